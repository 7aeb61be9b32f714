//! What of another configuration needs no load.

use std::collections::BTreeSet;

use re6st_common::maps::settings;

use super::{
    super::{device::Plan, forwarding, manifest::Manifest, resolve::ResolvedTunnel},
    present,
};
use crate::config::{Config, Encapsulation};

/// Whether a configuration differs from what is loaded in tunnels alone that can be opened and closed one by one, and in what
/// only Babel heeds: all else is in the programs, the sizes of the maps, the mesh device and the kernel's own tables.
/// `before` and `after`: the tunnels that are open, and that will be.
pub fn suffices(
    now: &Config,
    then: &Config,
    manifest: &Manifest,
    before: &[ResolvedTunnel],
    after: &[ResolvedTunnel],
) -> bool {
    differs_in_tunnels(now, then)
        && tells_apart(then, manifest.settings.tunnel_mask)
        && routes_stay(now, then)
        && routes_are_written(then, before, after)
        && has_gre(then) == (manifest.settings.flags & settings::GRE != 0)
        && after.iter().all(|tunnel| is_attached(manifest, tunnel))
        && forwarding::is_needed(then, may_carry(then, manifest, after))
            != manifest.sysctls.is_empty()
        && mtus_stay(&Plan::new(now, before), &Plan::new(then, after), manifest)
}

fn differs_in_tunnels(now: &Config, then: &Config) -> bool {
    let alike = then.with_tunnels(now.tunnels.clone());
    now.babel_interfaces() == then.babel_interfaces()
        && alike.is_some_and(|mut alike| {
            alike.babel.clone_from(&now.babel);
            alike.peers.clone_from(&now.peers);
            alike.mesh.clone_from(&now.mesh);
            alike == *now
        })
}

/// Whether their keys' low bits are different.
fn tells_apart(then: &Config, mask: u32) -> bool {
    let mut seen = BTreeSet::new();
    let mut keys = then
        .tunnels
        .iter()
        .flat_map(|tunnel| tunnel.keys.accepted());
    keys.all(|key| seen.insert(key & mask))
}

/// Whether static routes lead through the same tunnels.
fn routes_stay(now: &Config, then: &Config) -> bool {
    let mut routes = now.routes.iter();
    routes.all(|route| now.tunnel(&route.via) == then.tunnel(&route.via))
}

/// Whether no tunnel comes that static routes lead through: a load writes those of the tunnels that are there then.
fn routes_are_written(then: &Config, before: &[ResolvedTunnel], after: &[ResolvedTunnel]) -> bool {
    let among = |tunnels: &[ResolvedTunnel], name: &str| {
        let mut tunnels = tunnels.iter();
        tunnels.any(|tunnel| tunnel.tunnel.name == name)
    };
    let mut routes = then.routes.iter();
    routes.all(|route| among(before, &route.via) == among(after, &route.via))
}

fn has_gre(config: &Config) -> bool {
    let mut tunnels = config.tunnels.iter();
    tunnels.any(|tunnel| tunnel.encapsulation == Encapsulation::Gre)
}

fn is_attached(manifest: &Manifest, tunnel: &ResolvedTunnel) -> bool {
    let mut interfaces = manifest.interfaces.iter();
    interfaces.any(|record| record.index == tunnel.interface)
}

/// How many interfaces may carry tunnels.
fn may_carry(then: &Config, manifest: &Manifest, after: &[ResolvedTunnel]) -> usize {
    let carrying: BTreeSet<u32> = after.iter().map(|tunnel| tunnel.interface).collect();
    let absent = manifest.missing.keys();
    let absent = absent.filter(|what| what.starts_with(present::INTERFACE));
    carrying.len() + absent.count() + then.tunnels.len() - after.len()
}

fn mtus_stay(now: &Plan, then: &Plan, manifest: &Manifest) -> bool {
    let device = manifest.network.as_ref().map(|network| network.mtu);
    device == Some(then.mtu) && now.ipv6_mtu == then.ipv6_mtu
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::{
        super::super::manifest::{NetworkRecord, SysctlRecord},
        *,
    };

    const FILE: &str = r#"
        addresses  = ["2001:db8:42:1::1/64"]
        interfaces = ["eth2"]
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
        encap  = "fou"
        key    = { local = 9, remote = 10 }
        [[route]]
        to  = "2001:db8:42:2::/64"
        via = "b"
    "#;
    const OTHER: &str = r#"
        [[tunnel]]
        name   = "c"
        remote = "2001:db8::9"
        encap  = "fou"
        key    = { local = 11, remote = 12 }
    "#;

    /// All tunnels are used.
    fn used(config: &Config, interface: u32, mtu: u32) -> Vec<ResolvedTunnel> {
        let tunnels = config.tunnels.iter();
        tunnels
            .map(|tunnel| ResolvedTunnel::example(tunnel, interface, mtu))
            .collect()
    }

    #[test]
    fn tunnels_alone_need_no_load_and_all_else_does() {
        let now = Config::parse(FILE).unwrap();
        let mut manifest = Manifest::example(&[2]);
        manifest.settings.tunnel_mask = 1023;
        manifest.network = Some(NetworkRecord {
            mtu: 1420,
            addresses: Vec::new(),
            routes: 0,
        });
        // the node forwards between the mesh and lan0
        let sysctl = SysctlRecord {
            before: "0".to_owned(),
            set: "1".to_owned(),
        };
        manifest.sysctls = [("ipv6/conf/all/forwarding".to_owned(), sysctl)].into();
        let before = used(&now, 2, 1420);
        let suffices = |then: &str, interface: u32, mtu: u32| {
            let then = Config::parse(then).unwrap();
            let mut after = used(&then, interface, 1420);
            after.iter_mut().take(1).for_each(|tunnel| tunnel.mtu = mtu);
            super::suffices(&now, &then, &manifest, &before, &after)
        };
        let added = format!("{FILE}{OTHER}");
        for (then, suffice, what) in [
            (FILE.to_owned(), true, "nothing"),
            (added.clone(), true, "one more"),
            (added.replace("= 7,", "= 6,"), true, "another key"),
            (
                added.replace(
                    "\"lan0\"",
                    "\"lan0\"]\nannounce = [{ to = \"2001:db8:99::/48\" }",
                ),
                true,
                "what Babel says",
            ),
            (added.replace("= 11", "= 0x40b"), true, "another index"),
            (added.replace("= 11", "= 0x409"), false, "an index for two"),
            (
                added.replace("= 9,", "= 5,"),
                false,
                "a static route's tunnel",
            ),
            (added.replace("42:2::", "42:3::"), false, "a route"),
            (
                FILE.replacen("\"fou\"", "\"gre\"", 1),
                false,
                "the first GRE",
            ),
            (
                added.replace("\"eth2\"", "\"eth2\", \"eth3\""),
                false,
                "an interface",
            ),
            (
                added.replace("\"lan0\"", "\"lan1\""),
                false,
                "a plain interface",
            ),
            (added.replace("42::/48", "40::/44"), false, "the network"),
            (
                added.replace("networks", "forward = true\nnetworks"),
                false,
                "forwarding",
            ),
        ] {
            assert_eq!(suffices(&then, 2, 1420), suffice, "{what}");
        }
        let late = before.iter().filter(|tunnel| tunnel.tunnel.name != "b");
        let late: Vec<_> = late.cloned().collect();
        let comes = super::suffices(&now, &now, &manifest, &late, &before);
        assert!(!comes, "what a static route leads through");
        assert!(!suffices(&added, 3, 1420), "an interface without programs");
        assert!(!suffices(&added, 2, 1400), "the smallest MTU");
    }
}
