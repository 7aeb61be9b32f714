//! `status`: what is loaded, and whether it still fits the host.

mod changes;
pub mod lookup;
mod report;
mod trouble;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use super::{
    MANIFEST, MAPS,
    attach::{self, Hook},
    chain::{self, OtherInstance},
    error::{BpfError, During as _},
    manifest::{InterfaceRecord, Manifest, Mode},
    maps::{self, Maps, access},
    pins::Pins,
    programs,
};
use aya::programs::ProgramInfo;
use ipnet::IpNet;
use lookup::Lookup;
use re6st_common::{
    encapsulation::{LinkHeader, OuterHeaders},
    maps::{NextHop, encapsulation, interface, kind, next_hop_id, settings, transmit},
    reason::{Fate, Reason},
};
pub use report::*;

use crate::io::{
    bpf_call, host,
    lock::Holder,
    netlink::{Rtnetlink, mesh_route, route::Destination},
};
use crate::{printable::ethernet, route::RouteKey};

/// Looks at a loaded instance; `None` if there is none. `node`: the one that runs.
///
/// # Errors
/// What cannot be read.
pub fn status(pins: &Pins, node: Option<Holder>) -> Result<Option<Status>, BpfError> {
    observe(pins, node, |observer| observer.look())
}

/// The kernel's routes of an instance, by configuration, subnets and Babel, and where its maps send whatever packet; `None` if
/// it is not loaded.
///
/// # Errors
/// What cannot be read.
pub fn routes(pins: &Pins) -> Result<Option<(Vec<RouteStatus>, Ways)>, BpfError> {
    observe(pins, None, |observer| {
        let next_hops = observer.maps.current_next_hops()?;
        let ways = observer.ways(&next_hops)?;
        let mut destinations = observer.destinations()?;
        destinations.extend(observer.learned()?);
        let routes = destinations.into_iter().map(|to| ways.route(to));
        Ok((routes.collect::<Result<_, _>>()?, ways))
    })
}

/// Where the maps send packets.
pub struct Ways {
    lookup: Lookup,
    names: BTreeMap<u32, String>,
}

impl Ways {
    /// The name of the tunnel, or of a router's interface, or what else the data plane has for a route.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub fn via(&self, to: IpNet, from: Option<IpNet>) -> Result<String, BpfError> {
        Ok(match self.lookup.next_hop(Destination { to, from })? {
            next_hop_id::NONE => "nothing".to_owned(),
            next_hop_id::LOCAL => "this node".to_owned(),
            next_hop_id::SITE => "own subnet".to_owned(),
            number => self
                .names
                .get(&number)
                .cloned()
                .unwrap_or_else(|| number.to_string()),
        })
    }

    fn route(&self, destination: Destination) -> Result<RouteStatus, BpfError> {
        Ok(RouteStatus {
            to: destination.to,
            from: destination.from,
            via: self.via(destination.to, destination.from)?,
        })
    }
}

fn observe<T>(
    pins: &Pins,
    node: Option<Holder>,
    look: impl FnOnce(&mut Observer<'_>) -> Result<T, BpfError>,
) -> Result<Option<T>, BpfError> {
    host::check()?;
    let unfinished = Manifest::of_unfinished(pins)?;
    let interrupted = unfinished.is_some();
    let Some(manifest) = Manifest::of(pins)?.or(unfinished) else {
        return Ok(None);
    };
    let cookie =
        host::network_namespace().during(|| "identify the network namespace".to_owned())?;
    let mut warnings = Vec::new();
    if interrupted || !manifest.complete {
        warnings.push("a load was interrupted: load or unload".to_owned());
    }
    let here = manifest.network_namespace == cookie;
    if !here {
        warnings.push(
            "it belongs to another network namespace: what the kernel has there is not shown"
                .to_owned(),
        );
    }
    let mut observer = Observer {
        pins,
        node,
        maps: Maps::new(pins.folder()),
        netlink: Rtnetlink::open().during(|| "open rtnetlink".to_owned())?,
        manifest: &manifest,
        here,
        others: chain::others(pins, manifest.network_namespace)?,
        warnings,
    };
    look(&mut observer).map(Some)
}

struct Observer<'a> {
    pins: &'a Pins,
    node: Option<Holder>,
    maps: Maps,
    netlink: Rtnetlink,
    manifest: &'a Manifest,
    here: bool,
    others: Vec<OtherInstance>,
    warnings: Vec<String>,
}

impl Observer<'_> {
    fn look(&mut self) -> Result<Status, BpfError> {
        let manifest = self.manifest;
        let next_hops = self.maps.current_next_hops()?;
        let tunnels = self.tunnels(&next_hops)?;
        let interfaces = self.interfaces()?;
        self.look_for_trouble(&tunnels, &interfaces);
        if self.here {
            self.look_at_host(&tunnels, &interfaces, &next_hops)?;
        }
        let destinations = self.destinations()?;
        let maps = self.map_statuses()?;
        Ok(Status {
            instance: manifest.instance.clone(),
            version: manifest.version.clone(),
            complete: manifest.complete,
            config: manifest.config.display().to_string(),
            loaded_at: manifest.loaded_at,
            node: self.node_status(),
            port: manifest.settings.port,
            forward: manifest.settings.flags & settings::FORWARD != 0,
            programs: self.programs()?,
            interfaces,
            tunnels,
            route_count: destinations.len(),
            routes: match destinations.len() {
                0..=FEW => {
                    let ways = self.ways(&next_hops)?;
                    let routes = destinations.into_iter().map(|to| ways.route(to));
                    routes.collect::<Result<_, _>>()?
                }
                _ => Vec::new(),
            },
            reasons: self.reasons()?,
            memory: maps.iter().map(|map| map.memory).sum(),
            maps,
            warnings: std::mem::take(&mut self.warnings),
            controller: None,
        })
    }

    fn node_status(&mut self) -> NodeStatus {
        let state = match (self.node, self.manifest.by_node) {
            (Some(_), _) => NodeState::Runs,
            (None, true) => NodeState::Ended,
            (None, false) => NodeState::None,
        };
        if state == NodeState::Ended {
            self.warnings.push(
                "no node runs any more: packets are forwarded as it left it, and no route follows what changes. Start \
                 `re6st-user node` again, or unload"
                    .to_owned(),
            );
        }
        NodeStatus {
            state,
            process: self.node.and_then(|node| node.process),
        }
    }

    fn programs(&self) -> Result<Vec<ProgramStatus>, BpfError> {
        programs(self.manifest.frags)
            .into_iter()
            .map(|name| {
                let path = self.pins.object(name);
                let information = ProgramInfo::from_pin(&path)
                    .during(|| format!("open the program {}", path.display()))?;
                Ok(ProgramStatus {
                    name: name.to_owned(),
                    id: information.id(),
                    tag: format!("{:016x}", information.tag().swap_bytes()),
                })
            })
            .collect()
    }

    fn interfaces(&mut self) -> Result<Vec<InterfaceStatus>, BpfError> {
        let entries = self.maps.interfaces()?;
        let misplaced = self.misplaced()?;
        let mut statuses = Vec::new();
        for record in &self.manifest.interfaces {
            let flags = access(entries.get(&record.index, 0), "INTERFACES", record.index)
                .map_or(0, |entry| entry.flags);
            let missing = misplaced.iter().any(|program| {
                program.is_missing() && program.hook == Hook::Handover(record.index)
            });
            statuses.push(InterfaceStatus {
                name: self.name_now(record)?,
                index: record.index,
                mode: self.attached(record)?,
                reason: record.reason.clone(),
                tc: (!missing).then_some(record.tc),
                transmit: by(flags & interface::TRANSMIT_WITH_TC != 0),
                gateway: flags & interface::GATEWAY != 0,
            });
        }
        Ok(statuses)
    }

    fn attached(&self, record: &InterfaceRecord) -> Result<Option<Mode>, BpfError> {
        let own = attach::live_link(self.pins, Hook::Xdp(record.index))?.is_some();
        let attached = own || chain::holder(&self.others, record.index)?.is_some();
        Ok(attached.then_some(record.mode))
    }

    fn tunnels(&mut self, next_hops: &[NextHop]) -> Result<Vec<TunnelStatus>, BpfError> {
        let counters = self.maps.tunnel_counters()?;
        let mut statuses = Vec::new();
        for (number, entry) in next_hops.iter().enumerate() {
            if entry.kind != kind::TUNNEL {
                continue;
            }
            let number = number as u32;
            let sum = access(
                maps::tunnel_sum(&counters, number),
                "TUNNEL_COUNTERS",
                number,
            )?;
            let outer = OuterHeaders::read(entry);
            let stale = match &outer {
                None => Some("its headers are not those this version writes: load again".into()),
                Some(outer) if self.here => self.stale(entry, outer)?,
                Some(_) => None,
            };
            let unknown = || IpAddr::from(Ipv6Addr::UNSPECIFIED);
            statuses.push(TunnelStatus {
                name: maps::text(&entry.name),
                number,
                encapsulation: match entry.encapsulation {
                    encapsulation::FOU_IPV4 | encapsulation::FOU_IPV6 => "fou",
                    _ => "gre",
                },
                remote: outer.map_or_else(unknown, |outer| outer.remote),
                local: outer.map_or_else(unknown, |outer| outer.local),
                interface: self.interface_name(entry.route_interface)?,
                mtu: entry.mtu,
                neighbour: LinkHeader::read(entry).map(|link| ethernet(link.destination)),
                transmit: by(entry.flags & transmit::WITH_TC != 0),
                stale,
                received_packets: sum.received_packets,
                received_bytes: sum.received_bytes,
                sent_packets: sum.sent_packets,
                sent_bytes: sum.sent_bytes,
            });
        }
        Ok(statuses)
    }

    fn interface_name(&mut self, index: u32) -> Result<String, BpfError> {
        if !self.here {
            return Ok(index.to_string());
        }
        let interface = self
            .netlink
            .interface_by_index(index)
            .during(|| format!("look up interface {index}"))?;
        Ok(interface.map_or_else(|| format!("{index} (gone)"), |interface| interface.name))
    }

    /// What the kernel has routes of ours to, in order.
    fn destinations(&mut self) -> Result<Vec<Destination>, BpfError> {
        if !self.here {
            return Ok(Vec::new());
        }
        let mut destinations: Vec<Destination> = self
            .netlink
            .own_routes(self.manifest.settings.device)
            .during(|| "read the kernel's routes".to_owned())?
            .into_iter()
            .map(|(destination, _)| destination)
            .collect();
        destinations.sort_unstable();
        Ok(destinations)
    }

    fn ways(&mut self, next_hops: &[NextHop]) -> Result<Ways, BpfError> {
        let mut names = BTreeMap::new();
        for (number, entry) in (0..).zip(next_hops) {
            let name = match entry.kind {
                kind::TUNNEL => Some(maps::text(&entry.name)),
                kind::NEIGHBOUR => Some(self.interface_name(entry.interface)?),
                _ => None,
            };
            names.extend(name.map(|name| (number, name)));
        }
        Ok(Ways {
            lookup: Lookup::new(&self.maps, self.manifest)?,
            names,
        })
    }

    /// Those of a node's Babel, which stay when it ends.
    fn learned(&mut self) -> Result<Vec<Destination>, BpfError> {
        if !self.here {
            return Ok(Vec::new());
        }
        let metric = mesh_route::METRIC + self.manifest.order;
        let routes = self.netlink.mesh_routes(metric);
        let routes = routes.during(|| "read the kernel's routes of Babel".to_owned())?;
        let destination = |(key, _): (RouteKey, _)| Destination {
            to: key.to(),
            from: key.from(),
        };
        Ok(routes.into_iter().map(destination).collect())
    }

    fn reasons(&self) -> Result<Vec<ReasonStatus>, BpfError> {
        let sum = access(maps::reason_sum(&self.maps.reasons()?), "REASONS", 0)?;
        Ok(Reason::ALL
            .iter()
            .map(|reason| ReasonStatus {
                name: reason.name(),
                fate: match reason.fate() {
                    Fate::Dropped => "dropped",
                    Fate::Kernel => "kernel",
                    Fate::Untouched => "untouched",
                },
                description: reason.description(),
                packets: sum.get(*reason),
            })
            .collect())
    }

    fn map_statuses(&self) -> Result<Vec<MapStatus>, BpfError> {
        MAPS.into_iter()
            .chain([MANIFEST])
            .map(|name| {
                let path = self.pins.object(name);
                let what = || format!("open the map {}", path.display());
                let map = bpf_call::open_pin(&path).during(what)?;
                let number = |field| bpf_call::information(&map, field).during(what);
                Ok(MapStatus {
                    name,
                    entries: number("max_entries")?.unwrap_or_default() as u32,
                    memory: number("memlock")?.unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// So many routes, tunnels or neighbours belong to the summary; more are listed only when asked for.
pub const FEW: usize = 32;

const fn by(with_tc: bool) -> &'static str {
    if with_tc { "tc" } else { "xdp" }
}
