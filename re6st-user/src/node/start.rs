//! From a configuration to a running controller.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use blake2::{Blake2s256, Digest as _};

use super::{
    before::Before,
    control,
    controller::{Controller, Outside},
    install::Installer,
    instance::Instance,
    journal::{Former, Journal, Origin},
    recorder::{Empty, Recorder},
    state::State,
    wishes::Wanted,
};
use crate::{
    babel::{
        input::{InstalledRoute, Restored},
        limits::Limits,
        quantities::RouterId,
        recording::Start,
        settings::Settings,
    },
    config::{Babel, Config},
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
    let router_id = babel
        .router_id
        .unwrap_or_else(|| kept_router_id(&mut state, identity));
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

    let summary = load::load(&Request {
        kept: &before.kept,
        ..*request
    })?;
    let clock = Clock::new();
    let instance = Instance::new(clock.elapsed(), request, identity, &summary)?;
    let (journal, distances, unusable) = Journal::open(former, origin.with(&instance.numbers()?));
    let tunnels = instance.tunnels(&summary.tunnels);
    let start = Start {
        now: clock.elapsed(),
        settings: settings(config, babel, router_id),
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
    let of_load = summary
        .notes
        .iter()
        .filter(|note| !note.contains("[babel]"));
    notes.extend(of_load.cloned());
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

fn settings(config: &Config, babel: &Babel, router_id: RouterId) -> Settings {
    let mut settings = Settings::new(router_id);
    settings.addresses = config.addresses.iter().map(ipnet::IpNet::addr).collect();
    settings.limits = Limits::of_prefixes(babel.maximum_prefixes);
    settings.install = babel.install_filter.clone();
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

/// The one of before. Without its sequence number routes of the same router-id would not be believed for minutes (RFC 8966
/// section 3.2.1), so a node that remembers nothing takes another. A life that kept the number alone had its identity for one.
fn kept_router_id(state: &mut State, identity: RouterId) -> RouterId {
    let kept = state.kept.router_id;
    let former = state.kept.sequence_number.map(|_| identity);
    let router_id = match kept.or(former) {
        Some(router_id) => router_id,
        None => RouterId::new(random::number().to_be_bytes()).unwrap_or(identity),
    };
    // written together with the number, before anything is announced
    state.kept.router_id = Some(router_id);
    router_id
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
