//! Graceful restart: what was installed before stays until it is heard again or the time is over.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv6Addr,
    time::Duration,
};

use super::{
    input::{Distance, InstalledRoute, InterfaceId, Restored},
    message::NextHop,
    neighbour::NeighbourId,
    output::{Event, Output},
    quantities::{Metric, RouterId},
    selection::SOURCE_LIFETIME,
    speaker::Speaker,
    table::{Announcement, Destination, DestinationId, Installed, Route},
    timers::{Tick, Timer},
};

/// Routes of before the restart that have not been heard again.
pub(super) type RestoredRoutes = HashMap<DestinationId, InstalledRoute>;
/// The neighbours they go by.
pub(super) type RestoredWays = HashSet<(InterfaceId, NextHop)>;
/// Feasibility distances of before the restart.
pub(super) type RestoredDistances = HashMap<(DestinationId, RouterId), Distance>;

/// After a start that remembers no routes, nothing is selected for so long. A neighbour may still route by us, and must have
/// heard that we know nothing before another, who has, is believed: or its packets come back to us. Two retractions and three
/// Hellos are sent meanwhile.
const LISTEN: Duration = Duration::from_millis(400);
/// A retraction has been said often enough.
const RETRACTED: Duration = Duration::from_secs(8);

/// Whether a way goes by a neighbour, as far as is known: which of those on the link an IPv4 address belongs to, is not.
fn may_go_by(
    way: Option<(InterfaceId, NextHop)>,
    interface: InterfaceId,
    neighbour: Ipv6Addr,
) -> bool {
    way.is_some_and(|(on, next_hop)| {
        on == interface
            && match next_hop {
                NextHop::Ipv6(address) => address == neighbour,
                NextHop::Ipv4(_) => true,
            }
    })
}

impl Speaker {
    /// Takes over what is installed, and as much of loop freedom as was kept.
    pub(super) fn restore(&mut self, restored: &Restored) {
        for route in &restored.routes {
            let id = self.table.find_or_insert(route.route);
            if let Some(destination) = self.table.get_mut(id) {
                destination.installed = Installed::Restored;
                destination.distance_unknown = !self.distances_known;
            }
            self.restored.insert(id, *route);
            self.restored_ways.insert((route.interface, route.next_hop));
        }
        for distance in restored.distances.iter().flatten() {
            self.restore_distance(distance);
        }
        if self.restored.is_empty() {
            self.listening_until = self.now + LISTEN;
            self.timers.set(Timer::Listened, self.listening_until);
        } else {
            let over = self.now + self.settings.restart_time;
            self.timers.set(Timer::RestartOver, over);
            self.restart_over = over;
        }
    }

    fn restore_distance(&mut self, distance: &Distance) {
        let now = Tick::from_time(self.now);
        let id = self.table.find_or_insert(distance.route);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        let announced = Announcement {
            router_id: distance.router_id,
            sequence_number: distance.sequence_number,
            metric: distance.metric,
        };
        let most = self.settings.limits.sources_per_route;
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
        let forgotten = Tick::from_time(self.now + SOURCE_LIFETIME);
        self.look_by(id, forgotten);
    }

    /// [`Timer::Listened`]: now all that was heard may be used.
    pub(super) fn compare_all(&mut self) {
        let all: Vec<_> = self.neighbours.iter().map(|(id, _)| id).collect();
        for id in all {
            self.compare_routes(id);
        }
    }

    /// [`Timer::Settled`]: nobody routes through us any more by what we announced before the restart; the retraction has
    /// been said often enough, and the routes have expired since we last announced them. So any other way is free of loops.
    pub(super) fn settle(&mut self) {
        let unknown: Vec<DestinationId> = self
            .table
            .iter()
            .filter(|(_, destination)| destination.distance_unknown)
            .map(|(id, _)| id)
            .collect();
        self.distances_known = true;
        for id in unknown {
            if let Some(destination) = self.table.get_mut(id) {
                destination.distance_unknown = false;
            }
            self.select(id);
            self.ask_if_better(id);
        }
    }

    /// Judges a route of a prefix that we announced before the restart without knowing how near we said to be.
    ///
    /// The way of before was free of loops when it was selected: that neighbour was nearer then, and can only have come
    /// nearer (section 2.4). It stays in use, and tells how new our own announcement was at most. All others must be
    /// newer. Any other way has to wait until we know more. Gives whether the route goes the way of before.
    pub(super) fn judge_restored(&mut self, id: DestinationId, route: &Route) -> bool {
        let goes_as_before = self
            .restored
            .get(&id)
            .is_some_and(|old| self.way(route) == Some((old.interface, old.next_hop)));
        let now = Tick::from_time(self.now);
        let most = self.settings.limits.sources_per_route;
        if goes_as_before
            && !route.ignored
            && let Some(destination) = self.table.get_mut(id)
        {
            destination.assume_nearest(route.router_id, route.sequence_number, now, most);
        }
        goes_as_before
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

    /// From now on a neighbour must show anew that it is nearer: what it said before the restart is void.
    fn distrust(&mut self, id: DestinationId, interface: InterfaceId, neighbour: Ipv6Addr) {
        if self.restored_distances.is_empty() {
            return;
        }
        let sources = self.table.get(id).map(|destination| &destination.sources);
        for source in sources.into_iter().flatten() {
            let key = (id, source.router_id);
            let kept = self.restored_distances.get(&key);
            if kept.is_some_and(|kept| may_go_by(kept.via, interface, neighbour)) {
                self.restored_distances.remove(&key);
            }
        }
    }

    /// The same of all it said; it is gone, and may have forgotten all when it comes again.
    pub(super) fn distrust_all(&mut self, interface: InterfaceId, neighbour: Ipv6Addr) {
        self.restored_distances
            .retain(|_, kept| !may_go_by(kept.via, interface, neighbour));
    }

    /// A prefix first heard of during the restart may be one that we announced, lost and retracted just before, and a
    /// neighbour that missed the retraction still routes by us: only what is newer than what is heard first is feasible.
    pub(super) fn judge_unknown(&mut self, id: DestinationId, route: &Route) {
        let (now, most) = (
            Tick::from_time(self.now),
            self.settings.limits.sources_per_route,
        );
        if !self.distances_known
            && self.now < self.restart_over
            && !route.ignored
            && let Some(destination) = self.table.get_mut(id)
            && destination.own.is_none()
            && destination.sources.is_empty()
            && !destination.distance_unknown
        {
            destination.assume_nearest(route.router_id, route.sequence_number, now, most);
        }
    }

    /// A neighbour says that the way of before does not go by it any more, or that it forgot all it said: a prefix that was
    /// not heard again since is lost.
    pub(super) fn void_restored(
        &mut self,
        id: DestinationId,
        interface: InterfaceId,
        by: Ipv6Addr,
    ) {
        let way = (interface, NextHop::Ipv6(by));
        self.distrust(id, interface, by);
        let goes_there = |old: &InstalledRoute| (old.interface, old.next_hop) == way;
        let kept = |destination: &Destination| destination.installed == Installed::Restored;
        if !self.restored.get(&id).is_some_and(goes_there) || !self.table.get(id).is_some_and(kept)
        {
            return;
        }
        self.restored.remove(&id);
        self.refuse(id);
        self.retract(id);
        self.select(id);
    }

    /// The same of everything that goes by a neighbour.
    pub(super) fn void_all_restored(&mut self, interface: InterfaceId, by: Ipv6Addr) {
        let before = self.restored_ways.len();
        self.restored_ways
            .retain(|way| !may_go_by(Some(*way), interface, by));
        if self.restored_ways.len() == before {
            return;
        }
        self.distrust_all(interface, by);
        let way = (interface, NextHop::Ipv6(by));
        let voided = self
            .restored
            .iter()
            .filter(|(_, old)| (old.interface, old.next_hop) == way)
            .map(|(id, _)| (*id, interface, by));
        self.voided.extend(voided);
    }

    /// The next route of before whose neighbour took back what it said, unless it was heard again meanwhile.
    pub(super) fn void_next_restored(&mut self) -> Option<()> {
        let (id, interface, by) = self.voided.pop_front()?;
        self.void_restored(id, interface, by);
        Some(())
    }

    /// A neighbour announces a prefix again: what it took back before that and is still to be given up is now.
    pub(super) fn void_before(&mut self, id: DestinationId, from: NeighbourId) {
        if self.voided.is_empty() {
            return;
        }
        if let Some(neighbour) = self.neighbours.get(from) {
            let (interface, address) = (neighbour.interface, neighbour.address);
            let way = (interface, NextHop::Ipv6(address));
            let goes_there = |old: &InstalledRoute| (old.interface, old.next_hop) == way;
            if !self.restored_ways.contains(&way) && self.restored.get(&id).is_some_and(goes_there)
            {
                self.void_restored(id, interface, address);
            }
        }
    }

    /// [`Timer::RestartOver`]: gives up what was not heard again, and tells neighbours that may still count on it.
    pub(super) fn end_restart(&mut self) {
        let restored = std::mem::take(&mut self.restored);
        self.restored_ways = RestoredWays::new();
        self.restored_distances = RestoredDistances::new();
        let mut removed = 0;
        // what we announced expires after three and a half update intervals (appendix B), elsewhere after four
        let interval = self
            .interfaces
            .values()
            .map(|interface| interface.settings.update_interval)
            .max();
        let expired = interval.unwrap_or_default() * 4;
        let wait = expired.saturating_sub(self.settings.restart_time);
        self.timers
            .set(Timer::Settled, self.now + wait.max(RETRACTED));
        for (id, route) in restored {
            let Some(destination) = self.table.get_mut(id) else {
                continue;
            };
            if destination.installed != Installed::Restored {
                continue;
            }
            destination.installed = Installed::Nothing;
            removed += 1;
            self.outputs.push(Output::Remove { route: route.route });
            self.retract(id);
            self.select(id);
        }
        self.event(Event::RestartOver { removed });
    }
}
