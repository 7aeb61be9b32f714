//! From a configuration to a running controller.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use blake2::{Blake2s256, Digest as _};

use super::{
    before::Before,
    control,
    controller::Controller,
    install::Installer,
    instance::Instance,
    journal::{Former, Journal, Origin},
    outside::Outside,
    recorder::{Empty, Recorder},
    state::{Kept, State},
    wishes::Wanted,
};
use crate::{
    babel::{
        input::{InstalledRoute, Restored},
        limits::Limits,
        origins::{self, Origins},
        quantities::RouterId,
        recording::Start,
        settings::Settings,
    },
    certificate::{network::Network, node_prefix::NodePrefix},
    config::{Babel, Config, Tunnel},
    dataplane::bpf::{
        InstanceName, Pins,
        load::{self, Request},
        node,
        plane::BpfDataPlane,
    },
    io::{clock::Clock, lock::Lock, netlink::Rtnetlink, random},
    membership::shell::Membership,
    routing::{Routing, StaticRoutes},
};

/// What survives restarts is kept below here unless configured.
const STATE: &str = "/var/lib/re6st-ebpf";

/// A controller about to start.
pub struct Started {
    /// The loop, ready to run.
    pub controller: Controller,
    /// What the load came to.
    pub notes: Vec<String>,
}

/// Loads, keeping the routes of a controller before, and makes a controller. `sockets`: where its control socket and its
/// lock are. `record`: where to write what happens to it.
///
/// Whatever may fail but the load itself is done before it: nothing is attached by a node that cannot run.
///
/// # Errors
/// What keeps the node from starting.
pub fn start(request: &Request<'_>, sockets: &Path, record: Option<&Path>) -> Result<Started> {
    let config = request.config;
    let path = request.config_path.display();
    if config.babel.is_none() && config.registry.is_some() {
        bail!("{path} has a section [registry], but no [babel]: add one, it may be empty");
    }
    if config.babel.is_none() && record.is_some() {
        bail!("{path} has no section [babel], so there is nothing to record");
    }
    let babel = &config.babel.clone().unwrap_or_default();
    let held = hold(sockets, request.pins.instance())?;
    let directory = state_directory(babel, request.pins);
    let mut state = State::open(&directory)
        .with_context(|| format!("open the state directory {}", directory.display()))?;
    let identity = babel.router_id.unwrap_or_else(|| router_id(config));
    let former = Former::read(&directory)
        .with_context(|| format!("read the distances kept in {}", directory.display()))?;
    let origin = Origin::now().context("read which boot this is")?;
    let recording = record
        .map(|path| Empty::open(path).with_context(|| format!("record to {}", path.display())))
        .transpose()?;
    let seed = random::number();
    let mut membership = config
        .registry
        .as_ref()
        .map(|registry| Membership::open(registry, babel, config, &directory, seed))
        .transpose()?;
    let node = membership.as_ref().map(Membership::node);
    let router_id = babel
        .router_id
        .unwrap_or_else(|| kept_router_id(&mut state, identity, node.map(|(node, _)| node)));
    let mut notes = membership
        .as_mut()
        .map(|membership| std::mem::take(&mut membership.notes))
        .unwrap_or_default();
    let control = control::path(sockets, request.pins.instance());
    let routes = Rtnetlink::open().context("open rtnetlink")?;
    let mut outside = Outside::open(config, &control, membership, routes.port())?;
    let mut before = Before::look(request.pins, &mut outside.netlink)?;
    if config.babel.is_none() {
        before.kept.clear();
    }
    if node.is_none() {
        before.of_peers.clear();
    }
    // their packets go on, until a handshake renews them
    let with_peers = with_peers(config, std::mem::take(&mut before.of_peers));
    let config = &with_peers;

    let summary = load::load(&Request {
        config,
        kept: &before.kept,
        ..*request
    })?;
    let clock = Clock::new();
    let instance = Instance::new(
        clock.elapsed(),
        request,
        identity,
        node.map(|(node, _)| node),
        &summary,
    )?;
    let (journal, distances, unusable) = Journal::open(former, origin.with(&instance.numbers()?));
    let tunnels = instance.tunnels(&summary.tunnels);
    let start = Start {
        now: clock.elapsed(),
        settings: settings(config, babel, router_id, node.map(|(_, network)| network)),
        restored: Restored {
            sequence_number: state.kept.sequence_number,
            // without Babel nobody would let them expire: they all go
            routes: match config.babel {
                Some(_) => before.restored(&tunnels, &state),
                None => Vec::new(),
            },
            distances,
        },
        seed: random::number(),
    };
    outside.transport.set_tunnels(tunnels);
    let recorder = recording.map(|recording| Recorder::begin(recording, &start));
    notes.extend(summary.notes.iter().cloned());
    notes.extend(unusable.map(|why| {
        format!(
            "the feasibility distances kept in {} are not used: {why}",
            directory.display()
        )
    }));
    let warnings = summary.warnings.iter();
    notes.extend(warnings.map(|warning| format!("WARNING: {warning}")));
    let routing: Box<dyn Routing> = match config.babel {
        Some(_) => Box::new(start.speaker()),
        None => Box::new(StaticRoutes),
    };
    let (context, exits) = instance.context(config, summary)?;
    let mut installer = Installer::new(context, exits, routes);
    take_over(&before, &start.restored.routes, &mut installer);
    let controller = Controller::new(
        config.clone(),
        babel.clone(),
        clock,
        routing,
        installer,
        instance,
        state,
        journal,
        recorder,
        outside,
        held,
    );
    Ok(Started { controller, notes })
}

/// A configuration with the tunnels of peers that its own leave room for.
fn with_peers(config: &Config, of_peers: Vec<Tunnel>) -> Config {
    let mut all = config.clone();
    for tunnel in of_peers {
        let tunnels = all.tunnels.iter().cloned().chain([tunnel]);
        if let Some(more) = all.with_tunnels(tunnels.collect()) {
            all = more;
        }
    }
    all
}

/// There is one node an instance.
fn hold(sockets: &Path, instance: &InstanceName) -> Result<Lock> {
    let path = node::lock(sockets, instance);
    let taken = Lock::take(&path).with_context(|| format!("take {}", path.display()))?;
    if let Some(lock) = taken {
        return Ok(lock);
    }
    match node::holder(&path)? {
        Some(holder) => bail!(
            "a node runs on instance {instance} already ({holder}): stop it first, or run another instance beside it with \
             `--instance`"
        ),
        None => bail!("another node is about to start or to end on instance {instance}: try again"),
    }
}

fn settings(
    config: &Config,
    babel: &Babel,
    router_id: RouterId,
    network: Option<Network>,
) -> Settings {
    let mut settings = Settings::new(router_id);
    settings.addresses = config.addresses.iter().map(ipnet::IpNet::addr).collect();
    settings.limits = Limits::of_prefixes(babel.maximum_prefixes);
    settings.install = babel.install_filter.clone();
    settings.origins = network.map(|network| Origins {
        network,
        // the controller says it
        shortest: 0,
    });
    if let Some(timeout) = babel.probe_timeout {
        settings.probing.timeout = timeout;
        settings.probing.interval = settings.probing.interval.min(timeout / 3);
    }
    settings
}

/// Routes of before: those on plain links are made known to the data plane, and what is not the speaker's any more goes.
fn take_over(
    before: &Before,
    restored: &[InstalledRoute],
    installer: &mut Installer<BpfDataPlane, Rtnetlink>,
) {
    for route in before.routes.keys() {
        if !restored.iter().any(|kept| kept.route == *route) {
            installer.wishes.want(*route, Wanted::Nothing);
        }
    }
    for kept in restored {
        let wanted = Wanted::Via(kept.interface, kept.next_hop);
        if kept.interface.0 < 1 << 31 {
            installer.wishes.want(kept.route, wanted);
        } else {
            installer.wishes.assume(kept.route, wanted);
        }
    }
}

fn state_directory(babel: &Babel, pins: &Pins) -> PathBuf {
    babel
        .state_directory
        .clone()
        .unwrap_or_else(|| Path::new(STATE).join(pins.instance().device()))
}

/// Ours unless configured: of a node with a certificate the one that names it, of others the one of before.
fn kept_router_id(state: &mut State, identity: RouterId, node: Option<NodePrefix>) -> RouterId {
    let random = random::number();
    let router_id = node
        .and_then(|node| named_router_id(&state.kept, &node, random))
        .unwrap_or_else(|| unnamed_router_id(&state.kept, identity, random));
    // written together with the number, before anything is announced
    state.kept.router_id = Some(router_id);
    router_id
}

/// The one that names a node, `None` if its prefix is too long for that. Its last octet tells lives apart: without the sequence
/// number of the last one it is another. A node that had a router-id of another form, or another prefix, is to others as one that
/// lost all: what it announced as that is replaced, neighbour by neighbour, by what it announces now.
fn named_router_id(kept: &Kept, node: &NodePrefix, random: u64) -> Option<RouterId> {
    let [life, other_life, ..] = random.to_be_bytes();
    let name = origins::name_of(origins::router_id_of(node, 0)?);
    let before = kept.router_id.filter(|id| origins::name_of(*id) == name);
    match (before, kept.sequence_number) {
        (Some(before), Some(_)) => Some(before),
        (Some(before), None) => {
            let [.., last] = before.octets();
            let another = last.wrapping_add(other_life.max(1));
            origins::router_id_of(node, another)
        }
        (None, _) => origins::router_id_of(node, life),
    }
}

/// The one of before. Without its sequence number routes of the same router-id would not be believed for minutes (RFC 8966
/// section 3.2.1), so a node that remembers nothing takes another, which names no node of a managed network. A life that kept
/// the number alone had its identity for one.
fn unnamed_router_id(kept: &Kept, identity: RouterId, random: u64) -> RouterId {
    let unnamed = |id: &RouterId| origins::node_of(*id).is_none();
    let former = kept.sequence_number.map(|_| identity);
    let before = kept.router_id.filter(unnamed).or(former);
    let another = || RouterId::new((random | 1 << 63).to_be_bytes());
    before.or_else(another).unwrap_or(identity)
}

/// The same for the same first address, another for any other.
fn router_id(config: &Config) -> RouterId {
    let address = config.addresses.first().map(ToString::to_string);
    let hash = Blake2s256::digest(address.unwrap_or_default().as_bytes());
    let octets = hash.first_chunk::<8>().copied().unwrap_or([1; 8]);
    RouterId::new(octets)
        .or_else(|| RouterId::new([1; 8]))
        .unwrap_or_else(|| router_id(config))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test may end there")]

    use super::*;
    use crate::babel::quantities::SequenceNumber;

    fn id(octets: [u8; 8]) -> RouterId {
        RouterId::new(octets).expect("not reserved")
    }

    fn kept(router_id: Option<[u8; 8]>, number: Option<u16>) -> Kept {
        Kept {
            router_id: router_id.map(id),
            sequence_number: number.map(SequenceNumber),
            ..Kept::default()
        }
    }

    #[test]
    fn a_node_with_a_certificate_is_named_by_its_router_id_and_lives_differ_in_the_last_octet() {
        let node = NodePrefix::from_common_name("1/16").expect("a name");
        let name = |life| id([16, 0, 1, 0, 0, 0, 0, life]);
        let random = u64::from_be_bytes([7, 9, 1, 1, 1, 1, 1, 1]);
        let before = Some([16, 0, 1, 0, 0, 0, 0, 5]);
        let cases = [
            (kept(None, None), name(7), "the first life"),
            (kept(before, Some(8)), name(5), "the same life"),
            (kept(before, None), name(14), "the number was lost"),
            (kept(Some([3; 8]), Some(8)), name(7), "a hash before"),
            (
                kept(Some([16, 0, 2, 0, 0, 0, 0, 5]), Some(8)),
                name(7),
                "another prefix before",
            ),
            (kept(None, Some(8)), name(7), "of an old version"),
        ];
        for (kept, expected, what) in cases {
            assert_eq!(
                named_router_id(&kept, &node, random),
                Some(expected),
                "{what}"
            );
        }
        let unlucky = u64::from_be_bytes([7, 0, 1, 1, 1, 1, 1, 1]);
        let found = named_router_id(&kept(before, None), &node, unlucky);
        assert_eq!(found, Some(name(6)), "never the same");
    }

    #[test]
    fn whoever_has_no_name_names_nobody() {
        let long = NodePrefix::from_common_name("5/49").expect("a name");
        assert_eq!(named_router_id(&kept(None, None), &long, 1), None);
        let (identity, random) = (id([9; 8]), u64::from_be_bytes([16, 0, 1, 0, 0, 0, 0, 5]));
        let cases = [
            (kept(None, None), id([144, 0, 1, 0, 0, 0, 0, 5]), "random"),
            (kept(Some([0xc3; 8]), Some(8)), id([0xc3; 8]), "as before"),
            (kept(Some([0xc3; 8]), None), id([0xc3; 8]), "as before"),
            (kept(None, Some(8)), identity, "of an old version"),
            (
                kept(Some([16, 0, 1, 0, 0, 0, 0, 5]), None),
                id([144, 0, 1, 0, 0, 0, 0, 5]),
                "a name before",
            ),
        ];
        for (kept, expected, what) in cases {
            assert_eq!(
                unnamed_router_id(&kept, identity, random),
                expected,
                "{what}"
            );
        }
    }
}
