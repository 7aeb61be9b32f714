//! Route selection (RFC 8966 section 3.6): the best feasible route, with hysteresis, and what follows from a change.

use super::{
    input::{InstalledRoute, InterfaceId},
    message::NextHop,
    neighbour::NeighbourId,
    output::Output,
    quantities::Metric,
    speaker::Speaker,
    table::{Destination, DestinationId, Installed, Route},
    timers::{Appointment, Tick},
};
use crate::route::RouteKey;

impl Speaker {
    /// From here to the origin: computed when it is needed, so that a changed cost touches no route (section 3.5.2).
    pub(super) fn metric(&self, route: &Route) -> Metric {
        if route.ignored || route.metric.is_infinite() {
            return Metric::INFINITY;
        }
        let cost = self
            .neighbours
            .get(route.neighbour)
            .filter(|neighbour| neighbour.generation == route.generation)
            .map_or(Metric::INFINITY, |neighbour| neighbour.cost);
        route.metric.plus(Metric(route.added)).plus(cost)
    }

    pub(super) fn is_usable(&self, destination: &Destination, route: &Route) -> bool {
        !self.metric(route).is_infinite()
            && destination.is_route_feasible(route)
            && !destination.distance_unknown
            && self.now >= self.listening_until
    }

    /// The best usable route; among equals the first.
    fn best(&self, destination: &Destination) -> Option<(Metric, NeighbourId)> {
        destination
            .routes
            .iter()
            .filter(|route| self.is_usable(destination, route))
            .map(|route| (self.metric(route), route.neighbour))
            .min()
    }

    /// The route in use, if it still can be.
    fn current(&self, destination: &Destination) -> Option<(Metric, NeighbourId)> {
        let route = destination.route(destination.selected?)?;
        self.is_usable(destination, route)
            .then(|| (self.metric(route), route.neighbour))
    }

    /// Whether a route is newer than another of the same origin.
    fn is_newer(&self, destination: &Destination, one: NeighbourId, other: NeighbourId) -> bool {
        let route = |neighbour| destination.route(neighbour);
        let (Some(one), Some(other)) = (route(one), route(other)) else {
            return false;
        };
        one.router_id == other.router_id && one.sequence_number.is_newer_than(other.sequence_number)
    }

    /// Selects anew, installs and announces what changed.
    pub(super) fn select(&mut self, id: DestinationId) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        self.steps += 1 + destination.routes.len() as u64;
        let before = destination.selected;
        let now = Tick::from_time(self.now);
        let own = destination.own.is_some();
        let current = self.current(destination);
        let best = if own { None } else { self.best(destination) };
        let awaited = current.and_then(|(_, current)| self.awaited(id, destination, current));
        let (chosen, better_since) = match (current, best) {
            _ if own => (None, None),
            (None, best) => (best.map(|(_, neighbour)| neighbour), None),
            _ if awaited.is_some() => (awaited, None),
            (Some((_, current)), None) => (Some(current), None),
            (Some((metric, current)), Some((better, neighbour))) => {
                let since = destination.better_since.unwrap_or(now);
                let much = u32::from(better.0) * 4 <= u32::from(metric.0) * 3;
                let long = self.now.since(since.time()) >= self.settings.hysteresis;
                // whoever starves waits for a newer number
                let newer = self.is_newer(destination, neighbour, current);
                if neighbour == current || better >= metric {
                    (Some(current), None)
                } else if much || long || newer {
                    (Some(neighbour), None)
                } else {
                    (Some(current), Some(since))
                }
            }
        };
        let newly_better = better_since.is_some() && destination.better_since.is_none();
        if let Some(destination) = self.table.get_mut(id) {
            destination.selected = chosen;
            destination.better_since = better_since;
            if let Some(chosen) = chosen.filter(|_| chosen != before) {
                destination.leave_way_of_before(chosen);
            }
        }
        if newly_better {
            let at = Tick(Tick::from_time(self.now + self.settings.hysteresis).0 + 1);
            self.look_by(id, at);
        }
        if chosen != before {
            self.counters.selections += 1;
        }
        self.reconsider_announcement(id, false);
        if chosen.is_some() && chosen != before {
            self.save_distance(id);
        }
        self.install(id, before.is_some());
        if chosen.is_none() && before.is_some() {
            self.ask_if_better(id);
        }
        self.pursue_all(id);
    }

    /// Brings the data plane in line with the selection.
    fn install(&mut self, id: DestinationId, was_selected: bool) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let old = destination.installed;
        let key = destination.key;
        let allowed = |route: &&Route| {
            self.settings
                .install
                .apply(&key, Some(route.router_id))
                .is_some()
        };
        let route = destination
            .selected
            .and_then(|selected| destination.route(selected))
            .filter(allowed);
        let wanted = match route {
            Some(route) => Installed::Via {
                neighbour: route.neighbour,
                next_hop: route.next_hop,
            },
            None if destination.own.is_some() || destination.selected.is_some() => {
                Installed::Nothing
            }
            None if was_selected && matches!(old, Installed::Via { .. }) => Installed::Unreachable,
            None => old,
        };
        if wanted == old {
            return;
        }
        if wanted == Installed::Unreachable {
            self.refuse(id);
            return;
        }
        let new = self.installed_route(destination);
        // whatever becomes of it, it is not as before the restart any more
        let restored = self.restored.remove(&id);
        let is_new = |new: &InstalledRoute| {
            restored
                .is_none_or(|old| (old.interface, old.next_hop) != (new.interface, new.next_hop))
        };
        let output = match wanted {
            // nothing to do if it is what was installed before
            Installed::Via { .. } => new.filter(is_new).map(Output::Install),
            Installed::Unreachable => None,
            Installed::Nothing | Installed::Restored => Some(Output::Remove { route: key }),
        };
        self.outputs.extend(output);
        if let Some(destination) = self.table.get_mut(id) {
            destination.installed = wanted;
            destination.hold = None;
        }
    }

    /// [`super::input::Input::Installed`].
    pub(super) fn set_installed(&mut self, route: &RouteKey, installed: bool) {
        let Some(id) = self.table.find(route) else {
            return;
        };
        if let Some(destination) = self.table.get_mut(id) {
            destination.not_installed = !installed;
        }
        self.reconsider_announcement(id, true);
        self.forget_if_empty(id);
    }

    /// Packets to a prefix that was lost are refused for a while (section 2.8): else they would follow a shorter prefix, maybe
    /// in a loop.
    pub(super) fn refuse(&mut self, id: DestinationId) {
        let hold = Tick::from_time(self.now + self.settings.hold_time);
        if let Some(destination) = self.table.get_mut(id) {
            destination.installed = Installed::Unreachable;
            destination.hold = Some(hold);
            let route = destination.key;
            self.outputs.push(Output::Unreachable { route });
            self.look_by(id, hold);
        }
    }

    /// What is installed for a selected route.
    pub(super) fn installed_route(&self, destination: &Destination) -> Option<InstalledRoute> {
        let route = destination.route(destination.selected?)?;
        let (interface, next_hop) = self.way(route)?;
        Some(InstalledRoute {
            route: destination.key,
            interface,
            next_hop,
            metric: self.metric(route),
        })
    }

    /// Interface and next hop of a route.
    pub(super) fn way(&self, route: &Route) -> Option<(InterfaceId, NextHop)> {
        let neighbour = self.neighbours.get(route.neighbour)?;
        Some((
            neighbour.interface,
            *neighbour.next_hops.get(usize::from(route.next_hop))?,
        ))
    }

    /// [`Appointment::Destination`]: ends a hold, lets a better route win that lasted, forgets old origins.
    pub(super) fn look_after(&mut self, id: DestinationId) {
        let now = Tick::from_time(self.now);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.look_at = Tick::UNSET;
        if destination.hold.is_some_and(|hold| hold <= now) {
            destination.hold = None;
            if destination.installed == Installed::Unreachable {
                destination.installed = Installed::Nothing;
                self.outputs.push(Output::Remove {
                    route: destination.key,
                });
            }
        }
        let forgot = self.collect_sources(id);
        let lasts = |destination: &Destination| destination.better_since.is_some();
        // what was not feasible may be now
        if forgot || self.table.get(id).is_some_and(lasts) {
            self.select(id);
        }
        if let Some(next) = self.next_look(id) {
            self.look_by(id, next.max(Tick(now.0 + 1)));
        }
        self.forget_if_empty(id);
    }

    /// A prefix is to be looked after, then at the latest.
    pub(super) fn look_by(&mut self, id: DestinationId, at: Tick) {
        if let Some(destination) = self.table.get_mut(id) {
            let appointment = Appointment::Destination(id);
            self.calendar
                .set_by(&mut destination.look_at, at, appointment);
        }
    }

    /// When a prefix has to be looked after again.
    fn next_look(&self, id: DestinationId) -> Option<Tick> {
        let destination = self.table.get(id)?;
        let lasted = destination
            .better_since
            .map(|since| Tick(Tick::from_time(since.time() + self.settings.hysteresis).0 + 1));
        let announced = destination
            .announced
            .is_some_and(|announced| !announced.metric.is_infinite());
        let sources = destination.sources.iter().filter(|_| !announced);
        let forgotten = sources.map(|source| Tick(source.used.0.saturating_add(lifetime().0)));
        [destination.hold, lasted, forgotten.min()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Forgets a prefix of which nothing is left.
    pub(super) fn forget_if_empty(&mut self, id: DestinationId) {
        if let Some(mut gone) = self.table.remove_if_empty(id) {
            let calendar = &mut self.calendar;
            calendar.cancel(&mut gone.look_at, Appointment::Destination(id));
            calendar.cancel(&mut gone.resend_at, Appointment::Resend(id));
        }
    }

    /// Forgets feasibility distances of origins that have not been announced for long (section 3.7.3). Gives whether there
    /// were any.
    fn collect_sources(&mut self, id: DestinationId) -> bool {
        let now = Tick::from_time(self.now);
        let Some(destination) = self.table.get_mut(id) else {
            return false;
        };
        let before = destination.sources.len();
        let lifetime = lifetime().0;
        destination.use_source(now);
        destination
            .sources
            .retain(|source| now.0.saturating_sub(source.used.0) < lifetime);
        destination.sources.len() < before
    }
}

/// How long a feasibility distance outlives the last announcement (appendix B).
pub(super) const SOURCE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(180);

/// The same in ticks.
fn lifetime() -> Tick {
    Tick::from_time(crate::time::Time(0) + SOURCE_LIFETIME)
}
