//! Graceful restart: what was installed before stays until it is heard again or the time is over.

use std::{collections::HashMap, net::Ipv6Addr, time::Duration};

use super::{
    input::{InstalledRoute, InterfaceId, Restored},
    message::NextHop,
    output::{Event, Output},
    speaker::Speaker,
    table::{Announcement, DestinationId, Installed, Route},
    timers::{Tick, Timer},
};

/// Routes of before the restart that have not been heard again.
pub(super) type RestoredRoutes = HashMap<DestinationId, InstalledRoute>;

/// After a start that remembers no routes, nothing is selected for so long. A neighbour may still route by us, and must have
/// heard that we know nothing before another, who has, is believed: or its packets come back to us. Two retractions and three
/// Hellos are sent meanwhile.
const LISTEN: Duration = Duration::from_millis(400);
/// A retraction has been said often enough.
const RETRACTED: Duration = Duration::from_secs(8);

impl Speaker {
    /// Takes over what is installed, and as much of loop freedom as was kept.
    pub(super) fn restore(&mut self, restored: &Restored) {
        let now = Tick::from_time(self.now);
        let most = self.settings.limits.sources_per_route;
        for route in &restored.routes {
            let id = self.table.find_or_insert(route.route);
            if let Some(destination) = self.table.get_mut(id) {
                destination.installed = Installed::Restored;
                destination.distance_unknown = route.feasibility.is_none();
                if let Some(kept) = route.feasibility {
                    let distance = Announcement {
                        router_id: kept.router_id,
                        sequence_number: kept.sequence_number,
                        metric: kept.metric,
                    };
                    destination.raise_source(distance, now, most);
                }
            }
            self.restored.insert(id, *route);
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

    /// Nothing to do if it is what was installed before.
    pub(super) fn unless_restored(
        &mut self,
        id: DestinationId,
        route: InstalledRoute,
    ) -> Option<Output> {
        let old = self.restored.remove(&id);
        let same = old
            .is_some_and(|old| (old.interface, old.next_hop) == (route.interface, route.next_hop));
        // the distance falls with what is announced from now on: only a snapshot tells it
        let route = InstalledRoute {
            feasibility: None,
            ..route
        };
        (!same).then_some(Output::Install(route))
    }

    /// A prefix first heard of during the restart may be one that we announced, lost and retracted just before, and a
    /// neighbour that missed the retraction still routes by us: only what is newer than what is heard first is feasible.
    pub(super) fn judge_unknown(&mut self, id: DestinationId, route: &Route) {
        let (now, most) = (
            Tick::from_time(self.now),
            self.settings.limits.sources_per_route,
        );
        if self.now < self.restart_over
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
        let goes_there = |old: &InstalledRoute| (old.interface, old.next_hop) == way;
        if !self.restored.get(&id).is_some_and(goes_there) {
            return;
        }
        self.restored.remove(&id);
        self.refuse(id);
        self.retract(id);
        self.select(id);
    }

    /// The same of everything that goes by a neighbour.
    pub(super) fn void_all_restored(&mut self, interface: InterfaceId, by: Ipv6Addr) {
        for id in self.restored.keys().copied().collect::<Vec<_>>() {
            self.void_restored(id, interface, by);
        }
    }

    /// [`Timer::RestartOver`]: gives up what was not heard again, and tells neighbours that may still count on it.
    pub(super) fn end_restart(&mut self) {
        let restored = std::mem::take(&mut self.restored);
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
