//! The state, for people.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    input::{Distance, InstalledRoute, InterfaceId},
    message::NextHop,
    neighbour::Neighbour,
    output::{CandidateSnapshot, Event, NeighbourSnapshot, Output, Page, RouteSnapshot, Totals},
    quantities::Metric,
    speaker::{BETWEEN_REPORTS, Speaker},
    table::{Destination, DestinationId, Installed, Route, Source},
};
use crate::{route::RouteKey, time::Time};

/// The most neighbours, or prefixes, in a part of what we show: neighbours must not wait while we tell of them.
const PAGE: usize = 256;
/// The most ways in a part: there is one of each neighbour to each prefix.
const CANDIDATES: usize = 1024;
/// The most prefixes looked at for a part.
const LOOKED_AT: u32 = 8192;

/// Whether one contains the other.
fn is_near(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

impl Speaker {
    /// All neighbours.
    pub fn neighbours(&self) -> Vec<NeighbourSnapshot> {
        let all = self.neighbours.iter();
        all.filter_map(|(_, neighbour)| self.neighbour(neighbour))
            .collect()
    }

    /// Neighbours, a part of them that begins at `from`.
    pub fn neighbour_page(&self, from: u32) -> Page<NeighbourSnapshot> {
        let mut rest = self.neighbours.iter().filter(|(id, _)| id.0 >= from);
        let items = rest
            .by_ref()
            .take(PAGE)
            .filter_map(|(_, neighbour)| self.neighbour(neighbour));
        Page {
            items: items.collect(),
            next: rest.next().map(|(id, _)| id.0),
        }
    }

    fn neighbour(&self, neighbour: &Neighbour) -> Option<NeighbourSnapshot> {
        let settings = &self.interfaces.get(&neighbour.interface)?.settings;
        Some(NeighbourSnapshot {
            interface: neighbour.interface,
            interface_name: settings.name.clone(),
            address: neighbour.address,
            reach: neighbour.multicast.bits,
            unicast_reach: neighbour.unicast.bits,
            reception_cost: neighbour.reception_cost(settings),
            transmission_cost: neighbour.transmission_cost,
            cost: neighbour.present_cost(settings),
            multiplier: neighbour.multiplier,
            round_trip_microseconds: neighbour.round_trip.microseconds(),
            probing: neighbour.probes.peer,
            unresponsive: neighbour.probes.unresponsive,
            narrow: neighbour.path_mtu.narrow,
            routes: neighbour.routes.len(),
        })
    }

    /// How much there is of everything.
    pub fn totals(&self) -> Totals {
        Totals {
            neighbours: self.neighbours.iter().count(),
            prefixes: self.table.len(),
            routes: self.table.routes,
            own: self.own.len(),
        }
    }

    /// What keeps us from working as we should.
    pub fn warnings(&self, now: Time) -> Vec<String> {
        let name = |id| {
            let interface = self.interfaces.get(&id);
            interface.map_or("a former interface", |interface| &interface.settings.name)
        };
        let reached = self
            .limits_reached
            .iter()
            .filter(|(_, reached)| now.since(reached.last) < BETWEEN_REPORTS);
        let limits = reached.map(|(limit, reached)| {
            format!(
                "{}: too many {limit}; what is beyond the limit is ignored, and counted",
                name(reached.interface)
            )
        });
        let narrow = self.neighbours.iter().filter_map(|(_, neighbour)| {
            let narrow = neighbour.path_mtu.narrow;
            narrow.then(|| {
                format!(
                    "{}: packets of 1280 octets do not reach neighbour {}, smaller ones do (a path with a smaller MTU, whose ICMP errors are filtered?): it is avoided where there is another way",
                    name(neighbour.interface),
                    neighbour.address
                )
            })
        });
        limits
            .chain(narrow)
            .chain(self.shared_router_id())
            .collect()
    }

    /// Whether somebody else announces routes with our router-id: these routes have no way here, nor ours there.
    fn shared_router_id(&self) -> Option<String> {
        let own = self.settings.router_id;
        let destination = self.table.get(self.duplicate?)?;
        let neighbour = destination.routes.iter().find_map(|route| {
            let neighbour = self.neighbours.get(route.neighbour)?;
            let holds = route.router_id == own
                && route.generation == neighbour.generation
                && !route.metric.is_infinite();
            holds.then_some(neighbour)
        });
        let neighbour = neighbour.filter(|_| destination.own.is_none())?;
        Some(format!(
            "{}: neighbour {} announces {}, which is not ours, with our router-id {own}: if another node has a copy of our \
             state directory or `router-id`, neither reaches the other",
            self.place(neighbour.interface),
            neighbour.address,
            destination.key.to()
        ))
    }

    /// Whether there is no neighbour that packets could go to.
    pub fn is_alone(&self) -> bool {
        !self.neighbours.iter().any(|(_, neighbour)| {
            let interface = self.interfaces.get(&neighbour.interface);
            interface.is_some_and(|interface| {
                neighbour.present_cost(&interface.settings) < Metric::INFINITY
            })
        })
    }

    /// Whether Hellos of anybody come on an interface.
    pub fn hears_on(&self, interface: InterfaceId) -> bool {
        self.neighbours.iter().any(|(_, neighbour)| {
            neighbour.interface == interface
                && (neighbour.multicast.bits | neighbour.unicast.bits) != 0
        })
    }

    /// An interface as people call it, also one that is gone.
    pub fn place(&self, interface: InterfaceId) -> String {
        let name = self.names.get(&interface).cloned();
        name.filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("interface {}", interface.0))
    }

    /// An event in words.
    pub fn describe(&self, event: &Event) -> String {
        let place = event.interface().map(|interface| self.place(interface));
        event.words(&place.unwrap_or_default())
    }

    /// What is known of a route.
    pub fn route(&self, now: Time, route: &RouteKey) -> Option<RouteSnapshot> {
        let destination = self.table.get(self.table.find(route)?)?;
        self.snapshot(destination, now)
    }

    /// Routes in no particular order, a part of them that begins at `from`; with `near` only those to prefixes that lie in it,
    /// or in which it lies.
    pub fn route_page(&self, now: Time, from: u32, near: Option<IpNet>) -> Page<RouteSnapshot> {
        let mut items = Vec::new();
        let mut candidates = 0;
        let end = self.table.end().min(from.saturating_add(LOOKED_AT));
        let mut next = from;
        while next < end && items.len() < PAGE && candidates < CANDIDATES {
            let destination = self.table.get(DestinationId(next));
            next += 1;
            let item = destination
                .filter(|destination| near.is_none_or(|near| is_near(near, destination.key.to())))
                .and_then(|destination| self.snapshot(destination, now));
            if let Some(item) = item {
                candidates += item.candidates.len();
                items.push(item);
            }
        }
        Page {
            items,
            next: (next < self.table.end()).then_some(next),
        }
    }

    /// `None` for what is neither learned nor our own.
    fn snapshot(&self, destination: &Destination, now: Time) -> Option<RouteSnapshot> {
        let known = !destination.routes.is_empty()
            || destination.hold.is_some()
            || destination.own.is_some();
        known.then(|| RouteSnapshot {
            route: destination.key,
            own_metric: destination.own,
            candidates: self.candidates(destination, now),
            unreachable: destination.installed == Installed::Unreachable,
        })
    }

    fn candidates(&self, destination: &Destination, now: Time) -> Vec<CandidateSnapshot> {
        let usable = destination.routes.iter().filter(|route| !route.ignored);
        let mut candidates: Vec<CandidateSnapshot> = usable
            .filter_map(|route| self.candidate(destination, route, now))
            .collect();
        candidates
            .sort_by_key(|candidate| (!candidate.selected, !candidate.feasible, candidate.metric));
        candidates
    }

    fn candidate(
        &self,
        destination: &Destination,
        route: &Route,
        now: Time,
    ) -> Option<CandidateSnapshot> {
        let neighbour = self.neighbours.get(route.neighbour)?;
        let (interface, next_hop) = self.way(route)?;
        let lifetime = route.interval.duration() * 7 / 2;
        let expires = route
            .expires
            .time()
            .max(neighbour.blocks_expire[usize::from(destination.block)]);
        let announced = expires - lifetime;
        Some(CandidateSnapshot {
            interface,
            interface_name: self.interfaces.get(&interface)?.settings.name.clone(),
            neighbour: neighbour.address,
            next_hop: match next_hop {
                NextHop::Ipv6(address) => IpAddr::V6(address),
                NextHop::Ipv4(address) => IpAddr::V4(address),
            },
            router_id: route.router_id,
            sequence_number: route.sequence_number,
            advertised_metric: match route.generation == neighbour.generation {
                true => route.metric,
                false => Metric::INFINITY,
            },
            metric: self.metric(route),
            selected: destination.selected == Some(route.neighbour),
            feasible: destination.is_route_feasible(route),
            age_seconds: now.since(announced).as_secs(),
        })
    }

    /// What is installed.
    pub fn installed(&self) -> Vec<InstalledRoute> {
        self.table
            .iter()
            .filter(|(_, destination)| matches!(destination.installed, Installed::Via { .. }))
            .filter_map(|(_, destination)| self.installed_route(destination))
            .chain(self.restored.values().copied())
            .collect()
    }

    /// All feasibility distances, for whoever begins to keep them anew; afterwards [`Output::SaveDistance`] tells what
    /// changes. `None` as long as one of before a restart may be missing.
    pub fn distances(&self) -> Option<Vec<Distance>> {
        let all = self.table.iter().flat_map(|(_, destination)| {
            let sources = destination.sources.iter();
            sources.map(|source| self.distance(destination, source))
        });
        self.distances_known.then(|| all.collect())
    }

    /// Whether [`Speaker::distances`] has them all.
    pub const fn knows_distances(&self) -> bool {
        self.distances_known
    }

    /// Has the feasibility distance of the route in use kept.
    pub(super) fn save_distance(&mut self, id: DestinationId) {
        let distance = self.table.get(id).and_then(|destination| {
            let route = destination.route(destination.selected?)?;
            Some(self.distance(destination, destination.source(route.router_id)?))
        });
        let output = distance.map(Output::SaveDistance);
        // it changes, and with it the selection
        if output.is_some() && output.as_ref() != self.outputs.last() {
            self.outputs.extend(output);
        }
    }

    fn distance(&self, destination: &Destination, source: &Source) -> Distance {
        let selected = destination
            .selected
            .and_then(|selected| destination.route(selected))
            .filter(|route| {
                (route.router_id, route.sequence_number)
                    == (source.router_id, source.sequence_number)
                    && destination.is_route_feasible(route)
            });
        Distance {
            route: destination.key,
            router_id: source.router_id,
            sequence_number: source.sequence_number,
            metric: source.metric,
            via: selected.and_then(|route| self.way(route)),
        }
    }
}
