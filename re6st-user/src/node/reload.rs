//! Another configuration, taken up while the node runs: what comes comes at once, and tunnels that go are drained first.
//!
//! Where only tunnels are others, they are opened and closed one by one ([`super::tunnels`]). Otherwise a load replaces
//! everything without losing a packet, and each tunnel keeps its number by its name. So no other moves.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{controller::Controller, host::due::Look};
use crate::{
    babel::input::Input,
    certificate::node_prefix::NodePrefix,
    config::{Babel, Config, Peer, Tunnel},
    dataplane::bpf::error::chain as in_one_line,
    io::supervisor,
    membership::{babel::BabelParameters, credentials::CredentialsError},
    route::RouteKey,
    time::Time,
};

/// For neighbours to take other ways, and for what they sent before to arrive.
const DRAINING: Duration = Duration::from_secs(1);
/// What is still to be done of a reload.
pub(super) struct Reload {
    /// When the tunnels that go have been drained.
    at: Time,
    /// As it shall be in the end.
    config: Config,
    /// The tunnels that go, by their names.
    leaving: BTreeSet<String>,
}

/// What another configuration changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// For people, a line each.
    told: Vec<String>,
    /// Tunnels of now that are not there, or others of the same name, in the end.
    leaving: BTreeSet<String>,
}

/// What a configuration changes in another, or why a running node cannot take it up. `managed`: the network has a word in what
/// Babel does.
fn changes(now: &Config, then: &Config, managed: bool) -> Result<Changes> {
    if now.babel.is_some() != then.babel.is_some() {
        bail!("the section [babel] has come or gone, which needs a restart");
    }
    let none = Babel::default();
    let [babel, next] = [now, then].map(|config| config.babel.as_ref().unwrap_or(&none));
    let fixed = [
        ("addresses", now.addresses != then.addresses),
        ("port", now.port != then.port),
        ("[registry]", now.registry != then.registry),
        ("up or daemon", now.commands != then.commands),
        ("babel.router-id", babel.router_id != next.router_id),
        (
            "babel.state-directory",
            babel.state_directory != next.state_directory,
        ),
        (
            "babel.maximum-prefixes",
            babel.maximum_prefixes != next.maximum_prefixes,
        ),
        (
            "babel.probe-timeout",
            babel.probe_timeout != next.probe_timeout,
        ),
        (
            "babel.filter (on = \"install\")",
            babel.install_filter != next.install_filter,
        ),
        (
            "babel.hello-interval, babel.update-interval or babel.mac of a managed node",
            managed && BabelParameters::configured(babel) != BabelParameters::configured(next),
        ),
    ];
    let fixed: Vec<&str> = fixed
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
    if !fixed.is_empty() {
        bail!("{} changed, which needs a restart", fixed.join(", "));
    }
    let mut changes = Changes::default();
    for tunnel in &now.tunnels {
        let name = &tunnel.name;
        match then.tunnel(name) {
            None => changes.told.push(format!("tunnel {name}: removed")),
            Some(other) if is_another(tunnel, other) => {
                changes.told.push(format!("tunnel {name}: replaced"));
            }
            Some(other) => {
                if other != tunnel {
                    changes.told.push(format!("tunnel {name}: changed"));
                }
                continue;
            }
        }
        changes.leaving.insert(name.clone());
    }
    changes.told.extend(changed_peers(&now.peers, &then.peers));
    let added = then.tunnels.iter().map(|tunnel| &tunnel.name);
    let added = added.filter(|name| now.tunnel(name).is_none());
    let added = added.map(|name| format!("tunnel {name}: added"));
    changes.told.extend(added);
    let parts = [
        ("routes", now.routes != then.routes),
        (
            "interfaces",
            now.interfaces != then.interfaces || now.gateway_interfaces != then.gateway_interfaces,
        ),
        ("networks", now.networks != then.networks),
        (
            "forwarding",
            (now.forward, now.ipv6_masquerade, now.fib_bits)
                != (then.forward, then.ipv6_masquerade, then.fib_bits),
        ),
        ("[babel]", babel != next),
    ];
    let differ = parts.into_iter().filter(|(_, differs)| *differs);
    let differ = differ.map(|(what, _)| format!("{what}: changed"));
    changes.told.extend(differ);
    let mesh = match (&now.mesh, &then.mesh) {
        (None, Some(_)) => Some("added"),
        (Some(_), None) => Some("removed"),
        (now, then) => (now != then).then_some("changed"),
    };
    changes
        .told
        .extend(mesh.map(|what| format!("[mesh]: {what}")));
    Ok(changes)
}

/// What differs in the `[[peer]]` tables, a line each.
fn changed_peers(now: &[Peer], then: &[Peer]) -> Vec<String> {
    let among = |peers: &[Peer], node| peers.iter().find(|peer| peer.node == node).cloned();
    let before = now.iter().filter_map(|peer| {
        let what = match among(then, peer.node) {
            None => "removed",
            Some(other) if other != *peer => "changed",
            Some(_) => return None,
        };
        Some(format!("peer {}: {what}", peer.node.common_name()))
    });
    let added = then.iter().map(|peer| peer.node);
    let added = added.filter(|node| among(now, *node).is_none());
    let added = added.map(|node| format!("peer {}: added", node.common_name()));
    before.chain(added).collect()
}

/// Whether a tunnel leads elsewhere, or is another to its peer: what is changed at once and what needs no draining does not
/// matter.
pub(super) fn is_another(tunnel: &Tunnel, other: &Tunnel) -> bool {
    let identity = |tunnel: &Tunnel| (tunnel.remote, tunnel.local, tunnel.encapsulation);
    identity(tunnel) != identity(other) || tunnel.keys != other.keys
}

/// A configuration with the tunnels that go as well. `None` where they and the new ones cannot be told apart.
fn with_leaving(now: &Config, then: &Config, leaving: &BTreeSet<String>) -> Option<Config> {
    let staying = then.tunnels.iter();
    let staying = staying.filter(|tunnel| !leaving.contains(&tunnel.name));
    let going = now.tunnels.iter();
    let going = going.filter(|tunnel| leaving.contains(&tunnel.name));
    let mut both = then.with_tunnels(staying.chain(going).cloned().collect())?;
    // what it has opened is drained first
    both.mesh = both.mesh.or_else(|| now.mesh.clone());
    for interface in &now.interfaces {
        if !both.interfaces.contains(interface) {
            both.interfaces.push(interface.clone());
        }
    }
    // routes by a tunnel that is there in the end
    both.routes.retain(|route| !leaving.contains(&route.via));
    let gone = now.routes.iter();
    let gone = gone.filter(|route| {
        let same = |other: &&crate::config::Route| (other.to, other.from) == (route.to, route.from);
        leaving.contains(&route.via) && both.routes.iter().find(same).is_none()
    });
    let gone: Vec<_> = gone.cloned().collect();
    both.routes.extend(gone);
    Some(both)
}

impl Controller {
    /// Reads the file again and takes up what it says; what that changes, for people. If it cannot, all is as before.
    ///
    /// # Errors
    /// What is wrong with the file, or cannot be loaded.
    pub(super) fn reload(&mut self) -> Result<Vec<String>> {
        let path = self.instance.config_path().to_owned();
        let then = self.with_peers(&Config::from_path(&path)?)?;
        if let Some(standing) = &self.membership {
            let own = standing.borrow().node;
            if let Some(error) = CredentialsError::own_peer(own, &then.peers) {
                return Err(error).with_context(|| format!("{}", path.display()));
            }
        }
        // what is being drained goes, whatever the file says by now of a tunnel of that name
        if let Some(reload) = self.reload.take() {
            self.finish(reload)?;
        }
        let managed = self.membership.is_some();
        let changes =
            changes(&self.config, &then, managed).with_context(|| format!("{}", path.display()))?;
        if changes.told.is_empty() {
            return Ok(Vec::new());
        }
        let (mut leaving, mut told) = (changes.leaving, changes.told);
        if then.mesh.is_none() {
            leaving.extend(self.opened_by_mesh().iter().map(NodePrefix::common_name));
        }
        let before = self.troubles.warnings();
        match with_leaving(&self.config, &then, &leaving) {
            Some(both) => told.extend(self.take_up(both)?),
            None => told.push("what comes waits for tunnels that go, whose keys it has".to_owned()),
        }
        leaving.iter().for_each(|tunnel| self.drain(tunnel));
        let wait = match leaving.is_empty() {
            true => Duration::ZERO,
            false => DRAINING,
        };
        // before anything is looked at: what interfaces cost depends on it
        self.reload = Some(Reload {
            at: self.now() + wait,
            config: then,
            leaving,
        });
        self.look_around()?;
        let warnings = self.troubles.warnings().into_iter();
        let warnings = warnings.filter(|warning| !before.contains(warning));
        told.extend(warnings.map(|warning| format!("WARNING: {warning}")));
        Ok(told)
    }

    /// The same, with a word in the log.
    pub(super) fn reload_and_say(&mut self) -> Result<Vec<String>> {
        supervisor::reloading();
        let outcome = self.reload();
        supervisor::ready();
        match &outcome {
            Ok(changes) if changes.is_empty() => self.say("reload: nothing has changed"),
            Ok(changes) => self.say(&format!("reload: {}", changes.join("; "))),
            Err(error) => {
                let why = in_one_line(error.as_ref());
                self.say(&format!("WARNING: reload: {why}"));
            }
        }
        outcome
    }

    /// Until something is to be done of a reload.
    pub(super) fn reload_wait(&self) -> Option<Duration> {
        let reload = self.reload.as_ref()?;
        Some(reload.at.since(self.now()))
    }

    /// Closes what has been drained.
    pub(super) fn go_on_with_reload(&mut self) {
        let now = self.now();
        let due = |reload: &mut Reload| reload.at <= now;
        let Some(reload) = self.reload.take_if(due) else {
            return;
        };
        let outcome = self.finish(reload).context("reload");
        let outcome = outcome.map(|()| None);
        self.tell("reload", outcome);
    }

    fn finish(&mut self, reload: Reload) -> Result<()> {
        // peers may have come and gone meanwhile
        let config = self.with_peers(&reload.config)?;
        if self.config == config {
            reload.leaving.iter().for_each(|name| self.undrain(name));
            return Ok(());
        }
        match self.take_up(config) {
            Ok(told) => {
                // another one may have the name now
                reload.leaving.iter().for_each(|name| self.undrain(name));
                told.iter().for_each(|told| self.say(told));
                Ok(())
            }
            Err(error) => {
                let at = self.now() + DRAINING;
                self.reload = Some(Reload { at, ..reload });
                Err(error)
            }
        }
    }

    /// Goes on with another configuration, or the one of before if that fails. What people should know of it.
    fn take_up(&mut self, config: Config) -> Result<Vec<String>> {
        let babel = config.babel.clone().unwrap_or_default();
        self.open_carriers(&config)
            .context("open sockets for the tunnels")?;
        let told = match self.steps(&config)? {
            Some(steps) => self.take(config, steps)?,
            None => self.load(config)?,
        };
        self.take_up_babel(babel);
        self.follow_mesh_settings();
        self.tell_peers();
        self.doubt_addresses();
        Ok(told)
    }

    pub(super) fn load(&mut self, config: Config) -> Result<Vec<String>> {
        let before = std::mem::replace(&mut self.config, config);
        let installed = self.routing.installed();
        let kept = self.installer.kept(&installed);
        let (now, renamed) = (self.now(), &self.host.named);
        let summary = match self.instance.load_again(now, &self.config, &kept, renamed) {
            Ok(summary) => summary,
            Err(error) => {
                self.config = before;
                return Err(error.into());
            }
        };
        let notes = summary.notes.iter().map(|note| format!("note: {note}"));
        let warnings = summary.warnings.iter();
        let warnings = warnings.map(|warning| format!("WARNING: {warning}"));
        let told = notes.chain(warnings).collect();
        self.adopt(summary)?;
        Ok(told)
    }

    fn take_up_babel(&mut self, babel: Babel) {
        let before = std::mem::replace(&mut self.babel, babel);
        if self.membership.is_none() {
            self.parameters = BabelParameters::configured(&self.babel);
        }
        if let Some(mac) = self.parameters.mac.clone()
            && before.mac != self.babel.mac
            && let Err(error) = self.transport.set_mac(&mac)
        {
            self.say(&format!("WARNING: babel.mac: {error}"));
        }
        for name in &before.interfaces {
            if !self.babel.interfaces.contains(name) {
                self.leave_lans(name, None);
                self.troubles.forget(name);
            }
        }
        let announced: BTreeSet<RouteKey> = self.babel.announce.iter().map(|own| own.0).collect();
        let gone = before.announce.iter().map(|own| own.0);
        let gone: Vec<_> = gone.filter(|route| !announced.contains(route)).collect();
        for route in gone {
            self.handle(Input::Withdraw { route });
        }
        self.announce();
        self.doubt_announcements();
        self.host.due.note(&[Look::Interfaces]);
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may end there")]
mod tests {
    use super::*;

    const FILE: &str = r#"
        addresses  = ["2001:db8:42:1::1/64"]
        interfaces = ["eth0"]
        networks   = ["2001:db8:42::/48"]
        [babel]
        interfaces = ["lan0"]
        [[tunnel]]
        name   = "a"
        remote = "192.0.2.7"
        encap  = "fou"
        key    = { local = 7, remote = 8 }
        [[tunnel]]
        name   = "b"
        remote = "192.0.2.8"
        encap  = "gre"
        key    = { local = 9, remote = 10 }
        [[route]]
        to  = "2001:db8:42:2::/64"
        via = "b"
        [registry]
        url  = "https://registry.example/"
        ca   = "ca.crt"
        cert = "cert.crt"
        key  = "cert.key"
        [[peer]]
        node    = "7/16"
        address = "192.0.2.17"
    "#;

    fn config(text: &str) -> Config {
        Config::parse(text).expect("a configuration")
    }

    /// The file with one thing put in place of another.
    fn with(from: &str, to: &str) -> Config {
        assert!(FILE.contains(from), "{from}");
        config(&FILE.replacen(from, to, 1))
    }

    #[test]
    fn each_change_is_told_and_only_tunnels_that_go_are_drained() {
        const TABLE: [(&str, &str, &[&str], &[&str]); 12] = [
            ("eth0", "eth0", &[], &[]),
            ("192.0.2.7", "192.0.2.9", &["tunnel a: replaced"], &["a"]),
            ("local = 7", "local = 6", &["tunnel a: replaced"], &["a"]),
            ("\"fou\"", "\"gre\"", &["tunnel a: replaced"], &["a"]),
            (
                "\"fou\"",
                "\"fou\"\nmtu = 1300",
                &["tunnel a: changed"],
                &[],
            ),
            (
                "name   = \"a\"",
                "name = \"c\"",
                &["tunnel a: removed", "tunnel c: added"],
                &["a"],
            ),
            ("42:2::/64", "42:3::/64", &["routes: changed"], &[]),
            (
                "[\"eth0\"]",
                "[\"eth0\", \"eth1\"]",
                &["interfaces: changed"],
                &[],
            ),
            ("[\"lan0\"]", "[\"lan1\"]", &["[babel]: changed"], &[]),
            ("192.0.2.17", "192.0.2.18", &["peer 7/16: changed"], &[]),
            (
                "7/16",
                "8/16",
                &["peer 7/16: removed", "peer 8/16: added"],
                &[],
            ),
            (
                "[[peer]]",
                "[[peer]]\nnode = \"9/16\"\n[[peer]]",
                &["peer 9/16: added"],
                &[],
            ),
        ];
        for (from, to, told, leaving) in TABLE {
            let changes = changes(&config(FILE), &with(from, to), false);
            let changes = changes.expect("it can be taken up");
            assert_eq!(changes.told, told, "{from} to {to}");
            assert!(changes.leaving.iter().eq(leaving), "{from} to {to}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_refused_by_name() {
        let babel = "interfaces = [\"lan0\"]";
        for (from, to, key) in [
            ("42:1::1/64", "42:4::1/64", "addresses"),
            ("networks", "port = 4755\nnetworks", "port"),
            (
                babel,
                "router-id = \"02:00:00:00:00:00:00:01\"",
                "babel.router-id",
            ),
            (babel, "maximum-prefixes = 7", "babel.maximum-prefixes"),
            (
                "\"cert.key\"",
                "\"cert.key\"\nstatic-key = \"other.key\"",
                "[registry]",
            ),
            (babel, "probe-timeout = 7", "babel.probe-timeout"),
            (
                babel,
                "state-directory = \"/tmp/other\"",
                "babel.state-directory",
            ),
            (
                babel,
                "filter = [{ on = \"install\", action = \"deny\" }]",
                "babel.filter",
            ),
        ] {
            let refused = changes(&config(FILE), &with(from, to), false);
            let why = refused.expect_err(key).to_string();
            assert!(why.starts_with(key), "{key}: {why}");
        }
        let hello = with(babel, "hello-interval = 7");
        assert!(changes(&config(FILE), &hello, false).is_ok());
        assert!(
            changes(&config(FILE), &hello, true).is_err(),
            "a managed node"
        );
        let none = config(&FILE.replace("[babel]", "").replace(babel, ""));
        assert!(changes(&config(FILE), &none, false).is_err());
    }

    #[test]
    fn the_mesh_comes_changes_and_goes_and_stays_until_its_tunnels_are_drained() {
        let plain = config(FILE);
        let [mesh, other] = ["[mesh]", "[mesh]\nclient-count = 3"];
        let [mesh, other] = [mesh, other].map(|section| config(&format!("{FILE}\n{section}")));
        for (now, then, told) in [
            (&plain, &mesh, "[mesh]: added"),
            (&mesh, &other, "[mesh]: changed"),
            (&mesh, &plain, "[mesh]: removed"),
        ] {
            let changes = changes(now, then, true).expect("it can be taken up");
            assert_eq!(changes.told, [told]);
        }
        let leaving = BTreeSet::new();
        let until_then = |now, then| with_leaving(now, then, &leaving).expect("nothing collides");
        assert_eq!(until_then(&other, &plain).mesh, other.mesh);
        assert_eq!(until_then(&other, &mesh).mesh, mesh.mesh);
    }

    #[test]
    fn while_they_are_drained_tunnels_that_go_stay_with_their_routes_and_interfaces() {
        let now = config(FILE);
        let mut then = with("192.0.2.8", "192.0.2.9");
        then.interfaces = vec!["eth1".into()];
        let leaving = BTreeSet::from(["b".to_owned()]);
        let both = with_leaving(&now, &then, &leaving).expect("their keys differ");
        assert_eq!(both.tunnel("b"), now.tunnel("b"));
        assert_eq!(both.tunnel("a"), then.tunnel("a"));
        assert_eq!(both.interfaces, ["eth1", "eth0"]);
        assert_eq!(both.routes, now.routes);
    }

    #[test]
    fn tunnels_with_the_key_of_one_that_goes_wait_for_its_end() {
        let then = config(&FILE.replace("\"b\"", "\"c\""));
        let leaving = BTreeSet::from(["b".to_owned()]);
        assert_eq!(with_leaving(&config(FILE), &then, &leaving), None);
    }
}
