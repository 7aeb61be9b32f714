//! The state, for people.

use std::net::IpAddr;

use super::{
    input::{Distance, InstalledRoute, InterfaceId},
    message::NextHop,
    output::{
        AnnouncementSnapshot, CandidateSnapshot, Event, NeighbourSnapshot, Output, RouteSnapshot,
    },
    quantities::Metric,
    speaker::{BETWEEN_REPORTS, Speaker},
    table::{Destination, DestinationId, Installed, Route, Source},
    time::Time,
};
use crate::dataplane::RouteKey;

impl Speaker {
    /// All neighbours.
    pub fn neighbours(&self, _now: Time) -> Vec<NeighbourSnapshot> {
        let neighbours = self.neighbours.iter().filter_map(|(_, neighbour)| {
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
        });
        neighbours.collect()
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
        limits.chain(narrow).collect()
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

    /// Learned routes, in no particular order; only this one if `route` is given.
    pub fn routes(&self, now: Time, route: Option<RouteKey>) -> Vec<RouteSnapshot> {
        let snapshot = |destination: &Destination| RouteSnapshot {
            route: destination.key,
            candidates: self.candidates(destination, now),
            unreachable: destination.installed == Installed::Unreachable,
        };
        let learned = |destination: &&Destination| {
            !destination.routes.is_empty() || destination.hold.is_some()
        };
        if let Some(route) = route {
            let destination = self.table.find(&route).and_then(|id| self.table.get(id));
            return destination
                .into_iter()
                .filter(learned)
                .map(snapshot)
                .collect();
        }
        self.table
            .iter()
            .map(|(_, destination)| destination)
            .filter(learned)
            .map(snapshot)
            .collect()
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

    /// Our own routes.
    pub fn announcements(&self) -> Vec<AnnouncementSnapshot> {
        let own = self.own.iter().filter_map(|(route, id)| {
            let metric: Metric = self.table.get(*id)?.own?;
            let sequence_number = self.sequence_number;
            Some(AnnouncementSnapshot {
                route: *route,
                metric,
                sequence_number,
            })
        });
        own.collect()
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
