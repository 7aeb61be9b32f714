//! Feasibility distances as they are kept across restarts.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    Rib,
    calendar::Tick,
    table::{Announcement, Destination, Route, Source},
};
use crate::babel::{
    context::Context,
    ids::DestinationId,
    input::{Distance, InterfaceId},
    message::NextHop,
    output::Output,
    quantities::Metric,
};

/// How long a feasibility distance outlives the last announcement (appendix B).
pub const SOURCE_LIFETIME: Duration = Duration::from_secs(180);

/// Whether a way goes by a neighbour, as far as is known: which of those on the link an IPv4 address belongs to, is not.
pub fn may_go_by((on, next_hop): (InterfaceId, NextHop), at: InterfaceId, by: Ipv6Addr) -> bool {
    on == at
        && match next_hop {
            NextHop::Ipv6(address) => address == by,
            NextHop::Ipv4(_) => true,
        }
}

impl Rib {
    /// Takes over what was kept.
    pub(super) fn restore_distance(&mut self, context: &Context, distance: &Distance) {
        let now = Tick::from_time(context.now);
        let id = self.table.find_or_insert(distance.route);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        let announced = Announcement {
            router_id: distance.router_id,
            sequence_number: distance.sequence_number,
            metric: distance.metric,
        };
        let most = context.settings.limits.sources_per_route;
        destination.raise_source(announced, now, most);
        let key = (id, distance.router_id);
        // a way that is not installed any more was lost, and its neighbour may have forgotten all it said
        let installed = self.restored.get(&id);
        let installed = installed.map(|old| (old.interface, old.next_hop));
        if distance.via.is_some() && distance.via == installed {
            self.restored_distances.insert(key, *distance);
        } else {
            self.restored_distances.remove(&key);
        }
        self.look_by(id, Tick::from_time(context.now + SOURCE_LIFETIME));
    }

    /// The smallest metric that a neighbour is known to have announced before the restart, with the origin and sequence
    /// number of this route: it was in use with the distance that was kept, so it was strictly nearer.
    pub(super) fn restored_least_metric(&self, id: DestinationId, route: &Route) -> Metric {
        let kept = self.restored_distances.get(&(id, route.router_id));
        kept.filter(|kept| {
            kept.sequence_number == route.sequence_number && kept.via == self.way(route)
        })
        .map_or(Metric::INFINITY, |kept| {
            Metric(kept.metric.0.saturating_sub(1))
        })
    }

    /// From now on a neighbour must show anew that it is nearer: what it said of a prefix before the restart is void.
    pub(super) fn distrust(&mut self, id: DestinationId, interface: InterfaceId, by: Ipv6Addr) {
        if self.restored_distances.is_empty() {
            return;
        }
        let sources = self.table.get(id).map(|destination| &destination.sources);
        for source in sources.into_iter().flatten() {
            let key = (id, source.router_id);
            let via = self.restored_distances.get(&key).and_then(|kept| kept.via);
            if via.is_some_and(|way| may_go_by(way, interface, by)) {
                self.restored_distances.remove(&key);
            }
        }
    }

    /// The same of all it said; it is gone, and may have forgotten all when it comes again.
    pub fn distrust_all(&mut self, interface: InterfaceId, by: Ipv6Addr) {
        self.restored_distances
            .retain(|_, kept| !kept.via.is_some_and(|way| may_go_by(way, interface, by)));
    }

    /// All feasibility distances; `None` as long as one of before a restart may be missing.
    pub fn distances(&self) -> Option<Vec<Distance>> {
        let all = self.table.iter().flat_map(|(_, destination)| {
            let sources = destination.sources.iter();
            sources.map(|source| self.distance(destination, source))
        });
        self.distances_known.then(|| all.collect())
    }

    /// Whether [`Self::distances`] has them all.
    pub const fn knows_distances(&self) -> bool {
        self.distances_known
    }

    /// Has the feasibility distance of the route in use kept: it changes, or the selection does.
    pub(super) fn save_distance(&self, context: &mut Context, id: DestinationId) {
        let distance = self.table.get(id).and_then(|destination| {
            let route = destination.selected_route()?;
            Some(self.distance(destination, destination.source(route.router_id)?))
        });
        let output = distance.map(Output::SaveDistance);
        // it changes, and with it the selection
        if output.is_some() && output.as_ref() != context.outputs.last() {
            context.outputs.extend(output);
        }
    }

    fn distance(&self, destination: &Destination, source: &Source) -> Distance {
        let selected = destination.selected_route().filter(|route| {
            (route.router_id, route.sequence_number) == (source.router_id, source.sequence_number)
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
