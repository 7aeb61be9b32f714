//! The state, for people.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Speaker;
use crate::{
    babel::{
        ids::DestinationId,
        input::{Distance, InstalledRoute, InterfaceId},
        message::NextHop,
        output::{CandidateSnapshot, Event, NeighbourSnapshot, Page, RouteSnapshot, Totals},
        quantities::Metric,
        rib::{Destination, Installed, Route},
    },
    route::RouteKey,
    time::Time,
};

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
        self.neighbours_from(0)
            .map(|(_, neighbour)| neighbour)
            .collect()
    }

    /// Neighbours, a part of them that begins at `from`.
    pub fn neighbour_page(&self, from: u32) -> Page<NeighbourSnapshot> {
        let mut rest = self.neighbours_from(from);
        let items = rest.by_ref().take(PAGE).map(|(_, neighbour)| neighbour);
        Page {
            items: items.collect(),
            next: rest.next().map(|(id, _)| id),
        }
    }

    fn neighbours_from(&self, from: u32) -> impl Iterator<Item = (u32, NeighbourSnapshot)> {
        let all = self.links.neighbours().filter(move |(id, ..)| id.0 >= from);
        all.map(|(id, neighbour, settings)| {
            let snapshot = NeighbourSnapshot {
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
                loss: settings.measured.then_some(neighbour.loss),
                probing: neighbour.probes.peer,
                unresponsive: neighbour.probes.unresponsive,
                narrow: neighbour.path_mtu.narrow,
                routes: self.rib.sender(id).map_or(0, |sender| sender.routes.len()),
            };
            (id.0, snapshot)
        })
    }

    /// How much there is of everything.
    pub fn totals(&self) -> Totals {
        let table = self.rib.table();
        Totals {
            neighbours: self.links.neighbours().count(),
            prefixes: table.len(),
            routes: table.routes,
            own: self.rib.own().len(),
        }
    }

    /// What keeps us from working as we should.
    pub fn warnings(&self, now: Time) -> Vec<String> {
        let limits = self.context.limits.recent(now).map(|(limit, interface)| {
            let settings = self.links.settings(interface);
            let name = settings.map_or("a former interface", |settings| &settings.name);
            format!("{name}: too many {limit}; what is beyond the limit is ignored, and counted")
        });
        let neighbours = self.links.neighbours();
        let narrow = neighbours.filter(|(_, neighbour, _)| neighbour.path_mtu.narrow);
        let narrow = narrow.map(|(_, neighbour, settings)| {
            format!(
                "{}: packets of 1280 octets do not reach neighbour {}, smaller ones do (a path with a smaller MTU, whose ICMP errors are filtered?): it is avoided where there is another way",
                settings.name,
                neighbour.address
            )
        });
        limits
            .chain(narrow)
            .chain(self.shared_router_id())
            .chain(self.refused(now))
            .chain(self.refused_elsewhere())
            .collect()
    }

    /// What neighbours announce and their origins may not.
    fn refused(&self, now: Time) -> impl Iterator<Item = String> {
        self.rib.refused(now).map(|(interface, why, refused)| {
            format!(
                "{}: neighbour {} announces {} {}: that is ignored",
                self.place(interface),
                refused.address,
                refused.route.to(),
                why.words(refused.router_id)
            )
        })
    }

    /// Whether other nodes of the network refuse what we announce.
    fn refused_elsewhere(&self) -> Option<String> {
        let (origins, own) = (self.context.settings.origins?, self.settings().router_id);
        let mut routes = self.rib.own().keys();
        let (route, why) =
            routes.find_map(|route| Some((route, origins.refusal(None, route, own)?)))?;
        Some(format!(
            "other nodes of the network refuse {}, which this one announces {}",
            route.to(),
            why.words(own)
        ))
    }

    /// Whether somebody else announces routes with our router-id: these routes have no way here, nor ours there.
    fn shared_router_id(&self) -> Option<String> {
        let own = self.context.settings.router_id;
        let (route, sender) = self.rib.duplicate(own)?;
        Some(format!(
            "{}: neighbour {} announces {}, which is not ours, with our router-id {own}: if another node has a copy of our \
             state directory or `router-id`, neither reaches the other",
            self.place(sender.interface),
            sender.address,
            route.to()
        ))
    }

    /// Whether there is no neighbour that packets could go to.
    pub fn is_alone(&self) -> bool {
        self.links.is_alone()
    }

    /// Whether Hellos of anybody come on an interface.
    pub fn hears_on(&self, interface: InterfaceId) -> bool {
        self.links.hears_on(interface)
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
        self.snapshot(self.rib.table().find(route)?, now, |_| true)
    }

    /// Routes in no particular order, a part of them that begins at `from`; with `near` only those to prefixes that lie in it,
    /// or in which it lies.
    pub fn route_page(&self, now: Time, from: u32, near: Option<IpNet>) -> Page<RouteSnapshot> {
        let mut items = Vec::new();
        let mut candidates = 0;
        let end = self.rib.table().end().min(from.saturating_add(LOOKED_AT));
        let mut next = from;
        while next < end && items.len() < PAGE && candidates < CANDIDATES {
            let id = DestinationId(next);
            next += 1;
            let wanted = |to| near.is_none_or(|near| is_near(near, to));
            if let Some(item) = self.snapshot(id, now, wanted) {
                candidates += item.candidates.len();
                items.push(item);
            }
        }
        Page {
            items,
            next: (next < self.rib.table().end()).then_some(next),
        }
    }

    /// `None` for what is not wanted, and what is neither learned nor our own.
    fn snapshot(
        &self,
        id: DestinationId,
        now: Time,
        wanted: impl Fn(IpNet) -> bool,
    ) -> Option<RouteSnapshot> {
        let destination = self.rib.table().get(id)?;
        let known = !destination.routes.is_empty()
            || destination.hold.is_some()
            || destination.own.is_some();
        let decide = || self.rib.costs(&self.context).decide(id, destination, now);
        (known && wanted(destination.key.to())).then(|| RouteSnapshot {
            route: destination.key,
            own_metric: destination.own,
            candidates: self.candidates(destination, now),
            unreachable: destination.installed == Installed::Unreachable,
            why: decide().reason.words(),
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
        let sender = self.rib.sender(route.neighbour)?;
        let (interface, next_hop) = self.rib.way(route)?;
        let lifetime = route.interval.duration() * 7 / 2;
        let expires = route
            .expires
            .time()
            .max(sender.blocks_expire[usize::from(destination.block)]);
        let announced = expires - lifetime;
        Some(CandidateSnapshot {
            interface,
            interface_name: self.links.settings(interface)?.name.clone(),
            neighbour: sender.address,
            next_hop: match next_hop {
                NextHop::Ipv6(address) => IpAddr::V6(address),
                NextHop::Ipv4(address) => IpAddr::V4(address),
            },
            router_id: route.router_id,
            sequence_number: route.sequence_number,
            advertised_metric: match route.generation == sender.generation {
                true => route.metric,
                false => Metric::INFINITY,
            },
            metric: self.rib.metric(route),
            selected: destination.selected == Some(route.neighbour),
            feasible: destination.is_route_feasible(route),
            age_seconds: now.since(announced).as_secs(),
        })
    }

    /// What is installed.
    pub fn installed(&self) -> Vec<InstalledRoute> {
        self.rib.installed().collect()
    }

    /// All feasibility distances, for whoever begins to keep them anew; afterwards
    /// [`Output::SaveDistance`](crate::babel::output::Output::SaveDistance) tells what changes. `None` as long as one of before a
    /// restart may be missing.
    pub fn distances(&self) -> Option<Vec<Distance>> {
        self.rib.distances()
    }

    /// Whether [`Speaker::distances`] has them all.
    pub const fn knows_distances(&self) -> bool {
        self.rib.knows_distances()
    }
}
