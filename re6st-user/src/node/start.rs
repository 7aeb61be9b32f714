//! From a configuration to a running controller.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use blake2::{Blake2s256, Digest as _};

use super::{
    controller::Controller,
    install::{self, Exit, Installer},
    journal::{Journal, Origin},
    recorder::Recorder,
    state::State,
    transport::{Transport, TunnelLink, tunnel_id},
    wishes::Wanted,
};
use crate::{
    babel::{
        input::{InstalledRoute, InterfaceId, Restored},
        limits::Limits,
        message::NextHop,
        quantities::{Metric, RouterId},
        recording::Start,
        settings::Settings,
    },
    config::{Babel, Config},
    dataplane::{
        Route, RouteKey,
        bpf::{
            Manifest, Pins,
            load::{self, Request, Summary},
            maps::Maps,
            plane::BpfDataPlane,
            status::lookup::Lookup,
        },
    },
    io::netlink::{
        Route as Netlink,
        mesh_route::{self, Way},
        route::Destination,
    },
    membership::shell::Membership,
};

/// What survives restarts is kept below here unless configured.
const STATE: &str = "/var/lib/re6st-ebpf";

/// A controller about to start.
pub struct Started {
    /// It.
    pub controller: Controller,
    /// What the load came to.
    pub notes: Vec<String>,
}

/// Loads, keeping the routes of a controller before, and makes a controller. `record`: where to write what happens to it.
///
/// # Errors
/// What keeps the node from starting.
pub fn start(request: &Request<'_>, record: Option<&Path>) -> Result<Started> {
    let config = request.config;
    let Some(babel) = &config.babel else {
        bail!(
            "{} has no section [babel]: add one (it may be empty), or use `re6st-user load` for static routes",
            request.config_path.display()
        );
    };
    let directory = state_directory(babel, request.pins);
    let mut state = State::open(&directory)
        .with_context(|| format!("open the state directory {}", directory.display()))?;
    // whatever is wrong with its files is said before anything is attached
    let mut membership = config
        .registry
        .as_ref()
        .map(|registry| Membership::open(registry, babel, config, &directory, seed()?))
        .transpose()?;
    let mut netlink = Netlink::open().context("open rtnetlink")?;
    let before = Before::look(request.pins, &mut netlink)?;
    let summary = load::load(&Request {
        kept: &before.kept,
        ..*request
    })?;
    let metric = mesh_route::METRIC + summary.manifest.order;
    let identity = babel.router_id.unwrap_or_else(|| router_id(config));
    let router_id = babel
        .router_id
        .map_or_else(|| kept_router_id(&mut state, identity), Ok)?;
    let (journal, distances, unusable) = Journal::open(&directory, origin(&summary)?)
        .with_context(|| format!("read the distances kept in {}", directory.display()))?;
    let restored = Restored {
        sequence_number: state.kept.sequence_number,
        routes: before.restored(&summary, &state),
        distances,
    };
    let tunnels = tunnels(&summary, request.pins, identity);
    let mut transport =
        Transport::new(config.port, tunnels).context("open the sockets of the tunnels")?;
    let seed = transport.random()?;
    let mut settings = Settings::new(router_id);
    settings.addresses = config.addresses.iter().map(ipnet::IpNet::addr).collect();
    settings.limits = Limits::of_prefixes(babel.maximum_prefixes);
    settings.install = babel.install_filter.clone();
    if let Some(timeout) = babel.probe_timeout {
        settings.probing.timeout = timeout;
        settings.probing.interval = settings.probing.interval.min(timeout / 3);
    }
    let started = Instant::now();
    let start = Start {
        now: Controller::time_since(started),
        settings,
        restored,
        seed,
    };
    let recorder = record
        .map(|path| {
            Recorder::begin(path, &start).with_context(|| format!("record to {}", path.display()))
        })
        .transpose()?;
    let speaker = start.speaker();
    let restored = start.restored;
    let mut notes = summary.notes.clone();
    notes.retain(|note| !note.contains("[babel]"));
    if let Some(membership) = &mut membership {
        notes.append(&mut membership.notes);
    }
    notes.extend(unusable.map(|why| {
        format!(
            "the feasibility distances kept in {} are not used: {why}",
            directory.display()
        )
    }));
    notes.extend(
        summary
            .warnings
            .iter()
            .map(|warning| format!("WARNING: {warning}")),
    );
    let loaded = (request.pins.clone(), summary.manifest.clone());
    let mut installer = installer(request, summary, metric)?;
    // what was there and is not the speaker's any more
    for route in before.routes.keys() {
        if !restored.routes.iter().any(|kept| kept.route == *route) {
            installer.wishes.want(*route, Wanted::Nothing);
        }
    }
    for kept in &restored.routes {
        let wanted = Wanted::Via(kept.interface, kept.next_hop);
        if kept.interface.0 < 1 << 31 {
            installer.wishes.want(kept.route, wanted);
        } else {
            installer.wishes.assume(kept.route, wanted);
        }
    }
    let mut controller = Controller::new(
        config.clone(),
        babel.clone(),
        started,
        speaker,
        transport,
        installer,
        netlink,
        state,
        journal,
        recorder,
        membership.map(Membership::start).transpose()?,
    )?;
    controller.surroundings.loaded = Some(loaded);
    Ok(Started { controller, notes })
}

/// For what happens at a random time.
fn seed() -> Result<u64> {
    let mut octets = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(u64::from_ne_bytes(octets))
}

/// Interfaces' numbers in the file of distances: the kernel's, and those of tunnels.
fn origin(summary: &Summary) -> Result<Origin> {
    let numbers = serde_json::to_vec(&(summary.device, &summary.manifest.tunnels))?;
    Origin::now(&numbers).context("read which boot this is")
}

fn state_directory(babel: &Babel, pins: &Pins) -> PathBuf {
    babel
        .state_directory
        .clone()
        .unwrap_or_else(|| Path::new(STATE).join(pins.instance().device()))
}

/// The one of before. Without its sequence number routes of the same router-id would not be believed for minutes (RFC 8966
/// section 3.2.1), so a node that remembers nothing takes another. A life that kept the number alone had its identity for one.
fn kept_router_id(state: &mut State, identity: RouterId) -> Result<RouterId> {
    let kept = state.kept.router_id;
    let former = state.kept.sequence_number.map(|_| identity);
    let router_id = match kept.or(former) {
        Some(router_id) => router_id,
        None => RouterId::new(seed()?.to_be_bytes()).unwrap_or(identity),
    };
    // written together with the number, before anything is announced
    state.kept.router_id = Some(router_id);
    Ok(router_id)
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

fn tunnels(
    summary: &Summary,
    pins: &Pins,
    router_id: RouterId,
) -> BTreeMap<InterfaceId, TunnelLink> {
    let link = |resolved: &crate::dataplane::bpf::resolve::ResolvedTunnel| {
        let name = &resolved.tunnel.name;
        let number = summary.manifest.tunnels.get(name)?;
        let link = TunnelLink {
            resolved: resolved.clone(),
            link_local: link_local(pins.instance().device(), router_id, name),
        };
        Some((tunnel_id(*number), link))
    };
    summary.tunnels.iter().filter_map(link).collect()
}

/// Our address inside a tunnel: the same after a restart.
fn link_local(instance: &str, router_id: RouterId, tunnel: &str) -> Ipv6Addr {
    let mut hash = Blake2s256::new();
    for part in [instance.as_bytes(), &router_id.octets(), tunnel.as_bytes()] {
        hash.update([part.len() as u8]);
        hash.update(part);
    }
    let hash = hash.finalize();
    let low = hash.first_chunk::<8>().copied().unwrap_or_default();
    Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(u64::from_be_bytes(low)))
}

fn installer(request: &Request<'_>, summary: Summary, metric: u32) -> Result<Installer> {
    let config = request.config;
    let maps = Maps::new(request.pins.folder());
    let device_mtu = summary
        .tunnels
        .iter()
        .map(|tunnel| tunnel.mtu)
        .max()
        .unwrap_or_default();
    let exits: HashMap<_, _> = summary
        .tunnels
        .iter()
        .filter_map(|tunnel| {
            let number = *summary.manifest.tunnels.get(&tunnel.tunnel.name)?;
            let mtu = Some(tunnel.mtu).filter(|mtu| *mtu < device_mtu);
            Some((tunnel_id(number), Exit::Tunnel(number, mtu)))
        })
        .collect();
    let context = install::Context {
        plane: BpfDataPlane::open(&maps, summary.fib)?,
        maps,
        device: summary.device,
        device_mtu,
        port: config.port,
        tunnel_mask: summary.manifest.settings.tunnel_mask,
        metric,
        own: config.addresses.iter().map(ipnet::IpNet::addr).collect(),
        fixed: install::fixed(config),
        peers: summary
            .tunnels
            .iter()
            .map(|tunnel| tunnel.tunnel.remote)
            .collect(),
        first_number: summary
            .manifest
            .tunnels
            .values()
            .max()
            .map_or(re6st_common::maps::next_hop_id::FIRST_TUNNEL, |last| {
                last + 1
            }),
    };
    let mut installer = Installer::new(context, Netlink::open()?);
    installer.exits = exits;
    Ok(installer)
}

/// What a controller before left.
#[derive(Default)]
struct Before {
    /// Routes in the kernel.
    routes: HashMap<RouteKey, Way>,
    /// Those of them that go through tunnels, with the next hops' numbers.
    kept: Vec<Route>,
}

impl Before {
    fn look(pins: &Pins, netlink: &mut Netlink) -> Result<Self> {
        let Some(manifest) = Manifest::of(pins)? else {
            return Ok(Self::default());
        };
        let metric = mesh_route::METRIC + manifest.order;
        let routes: HashMap<RouteKey, Way> = netlink
            .mesh_routes(metric)
            .context("read the routes of before")?
            .into_iter()
            .collect();
        let lookup = Lookup::new(&Maps::new(pins.folder()), &manifest)?;
        let mut kept = Vec::new();
        for (key, way) in &routes {
            let Way::Through { router: None, .. } = way else {
                continue;
            };
            let destination = Destination {
                to: key.to(),
                from: key.from(),
            };
            let number = lookup.next_hop(destination)?;
            if install::is_tunnel(number)
                && let Ok(route) = Route::new(key.to(), key.from(), number)
            {
                kept.push(route);
            }
        }
        Ok(Self { routes, kept })
    }

    /// What the speaker shall know of it.
    fn restored(&self, summary: &Summary, state: &State) -> Vec<InstalledRoute> {
        let names: HashMap<u32, &String> = summary
            .manifest
            .tunnels
            .iter()
            .map(|(name, number)| (*number, name))
            .collect();
        let through = self.kept.iter().filter_map(|route| {
            let name = names.get(&route.next_hop())?;
            let neighbour = state.kept.neighbours.get(*name)?;
            Some((
                route.key(),
                tunnel_id(route.next_hop()),
                NextHop::Ipv6(*neighbour),
            ))
        });
        let on_links = self.routes.iter().filter_map(|(key, way)| match way {
            Way::Through {
                interface,
                router: Some(router),
                ..
            } => Some((
                *key,
                InterfaceId(*interface),
                match router {
                    IpAddr::V4(address) => NextHop::Ipv4(*address),
                    IpAddr::V6(address) => NextHop::Ipv6(*address),
                },
            )),
            _ => None,
        });
        through
            .chain(on_links)
            .map(|(route, interface, next_hop)| InstalledRoute {
                route,
                interface,
                next_hop,
                metric: Metric::INFINITY,
            })
            .collect()
    }
}
