//! Graceful restart: what was installed before stays until it is heard again or the time is over.

use std::collections::HashMap;

use super::{
    input::{InstalledRoute, Restored},
    output::{Event, Output},
    quantities::Metric,
    speaker::Speaker,
    table::{Announcement, Destination, DestinationId, Installed, Route},
    timers::{Tick, Timer},
};

/// Routes of before the restart that have not been heard again.
pub(super) type RestoredRoutes = HashMap<DestinationId, InstalledRoute>;

impl Speaker {
    /// Takes over what is installed, and as much of loop freedom as was kept.
    pub(super) fn restore(&mut self, restored: &Restored) {
        let now = Tick::from_time(self.now);
        let most = self.settings.limits.sources_per_route;
        for route in &restored.routes {
            let id = self.table.find_or_insert(route.route);
            if let Some(destination) = self.table.get_mut(id) {
                destination.installed = Installed::Restored;
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
        if !self.restored.is_empty() {
            let over = self.now + self.settings.restart_time;
            self.timers.set(Timer::RestartOver, over);
        }
    }

    /// Whether a route may be used while the restart lasts. Neighbours may still route through us as we said before; if
    /// we do not know what we said, only the way of before is free of loops (section 2.4).
    pub(super) fn fits_restored(&self, destination: &Destination, route: &Route) -> bool {
        if destination.installed != Installed::Restored || !destination.sources.is_empty() {
            return true;
        }
        let Some(restored) = self
            .table
            .find(&destination.key)
            .and_then(|id| self.restored.get(&id))
        else {
            return true;
        };
        self.way(route) == Some((restored.interface, restored.next_hop))
    }

    /// Nothing to do if it is what was installed before.
    pub(super) fn unless_restored(
        &mut self,
        id: DestinationId,
        route: InstalledRoute,
    ) -> Option<Output> {
        let old = self.restored.remove(&id);
        if old.is_some_and(|old| old.feasibility.is_none()) {
            self.assume_nearest(id);
        }
        let same = old
            .is_some_and(|old| (old.interface, old.next_hop) == (route.interface, route.next_hop));
        // the distance falls with what is announced from now on: only a snapshot tells it
        let route = InstalledRoute {
            feasibility: None,
            ..route
        };
        (!same).then_some(Output::Install(route))
    }

    /// What we announced before the restart is not known: the feasibility distance is set as small as the route in use
    /// allows, so that others must be newer or nearer (section 3.5.1).
    fn assume_nearest(&mut self, id: DestinationId) {
        let now = Tick::from_time(self.now);
        let most = self.settings.limits.sources_per_route;
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        let route = destination
            .selected
            .and_then(|selected| destination.route(selected))
            .copied();
        if let Some(route) = route {
            let distance = Announcement {
                router_id: route.router_id,
                sequence_number: route.sequence_number,
                metric: Metric(route.metric.0.saturating_add(1).min(u16::MAX - 1)),
            };
            destination.raise_source(distance, now, most);
        }
    }

    /// [`Timer::RestartOver`]: gives up what was not heard again, and tells neighbours that may still count on it.
    pub(super) fn end_restart(&mut self) {
        let restored = std::mem::take(&mut self.restored);
        let mut removed = 0;
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
