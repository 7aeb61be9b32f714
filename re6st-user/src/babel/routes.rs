//! Routes as they are acquired, expire and go (RFC 8966 sections 3.5.3 and 3.5.4).

use std::time::Duration;

use super::{
    digest::Digest,
    message::Update,
    neighbour::{Neighbour, NeighbourId},
    output::Event,
    quantities::{Interval, Metric, RouterId},
    settings::InterfaceKind,
    speaker::Speaker,
    table::{Announcement, DestinationId, Route},
    timers::{Appointment, Tick},
};
use crate::{route::RouteKey, time::Time};

/// Routes that are compared or removed in one go, when many must be.
const BATCH: usize = 512;

/// What a route contributes to the digest of its neighbour.
const fn as_heard(route: &Route) -> Announcement {
    Announcement {
        router_id: route.router_id,
        sequence_number: route.sequence_number,
        metric: route.metric,
    }
}

/// When a route expires that is announced in this interval: after three and a half of them (appendix B).
fn expiry(now: Time, interval: Interval) -> Tick {
    match interval {
        Interval::INFINITE => Tick(u32::MAX),
        interval => Tick::from_time(now + interval.duration() * 7 / 2),
    }
}

/// When to ask for it again: one interval before (section 3.8.2.3).
fn reminder(now: Time, interval: Interval) -> Tick {
    match interval {
        Interval::INFINITE => Tick(u32::MAX),
        interval => Tick::from_time(now + interval.duration() * 5 / 2),
    }
}

impl Speaker {
    /// Acquires a route (section 3.5.3).
    pub(super) fn receive_update(&mut self, from: NeighbourId, update: &Update) {
        self.counters.updates_received += 1;
        let Some(router_id) = update.router_id.filter(|_| !update.metric.is_infinite()) else {
            self.receive_retraction(from, update);
            return;
        };
        if self.is_refused(&update.route) {
            return;
        }
        let Some(id) = self.place_for(from, update) else {
            return;
        };
        self.void_before(id, from);
        self.retract_void(id, from);
        let Some(mut route) = self.heard_route(from, router_id, update) else {
            return;
        };
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let selected = destination.selected == Some(from);
        let old = destination.route(from).copied();
        if let Some(old) = old.filter(|old| old.is_same_life(&route)) {
            route.least_metric = route.least_metric.min(old.least_metric);
        }
        if destination.distance_unknown && self.judge_restored(id, &route) {
            route.least_metric = Metric(0);
        }
        let before = self.restored_least_metric(id, &route);
        route.least_metric = route.least_metric.min(before);
        self.judge_unknown(id, &route);
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let feasible = destination.is_route_feasible(&route);
        let repeated = old.is_some_and(|old| old.is_repeated_by(&route));
        if feasible && repeated && destination.has_way() {
            // most updates are: neither selection nor announcement can change
            self.refresh(id, from, &route);
            return;
        }
        if !feasible {
            self.counters.unfeasible_updates += 1;
            // the sender's distance is what it was when we selected it or smaller, so the old route is as free of loops
            // as before; it is not refreshed either (section 3.5.3)
            if selected
                && old
                    .is_some_and(|old| old.router_id == router_id && !old.ignored && !route.ignored)
            {
                self.ask_sender(id, from);
                return;
            }
        }
        self.store(id, from, route);
        // a selected route that is unfeasible now is unselected at once (section 3.5.3)
        self.select(id);
        let worse = old.is_some_and(|old| old.metric < route.metric);
        if !feasible || worse {
            self.ask_if_better(id);
        }
    }

    /// A route that cannot be used but would be better than what is used, if anything is: worth a request (sections 3.8.2.1
    /// and 3.8.2.2).
    pub(super) fn ask_if_better(&mut self, id: DestinationId) {
        if let Some(sender) = self.better_unfeasible(id) {
            self.ask_sender(id, sender);
        }
    }

    /// Who announces it.
    pub(super) fn better_unfeasible(&self, id: DestinationId) -> Option<NeighbourId> {
        let destination = self
            .table
            .get(id)
            .filter(|destination| destination.own.is_none())?;
        let unfeasible = destination
            .routes
            .iter()
            .filter(|route| !destination.is_route_feasible(route))
            .map(|route| (self.metric(route), route.neighbour))
            .min();
        let selected = destination
            .selected
            .and_then(|selected| destination.route(selected));
        let used = selected.map_or(Metric::INFINITY, |route| self.metric(route));
        let (_, sender) = unfeasible.filter(|(metric, _)| *metric < used)?;
        Some(sender)
    }

    /// The prefix of an update, if the neighbour may announce one more.
    fn place_for(&mut self, from: NeighbourId, update: &Update) -> Option<DestinationId> {
        let known = self
            .probably(from, &update.route)
            .or_else(|| self.table.find(&update.route));
        let again = known
            .and_then(|id| self.table.get(id))
            .is_some_and(|destination| destination.route(from).is_some());
        let neighbour = self.neighbours.get(from)?;
        let limits = &self.settings.limits;
        if !again && neighbour.routes.len() >= limits.routes_per_neighbour {
            self.counters.limited_routes += 1;
            self.limit_reached_by(from, "routes of a neighbour");
            return None;
        }
        let full = known.is_none() && self.table.len() >= limits.prefixes;
        if full || !again && self.table.routes >= limits.routes {
            self.counters.limited_table += 1;
            self.limit_reached_by(from, if full { "prefixes" } else { "routes" });
            return None;
        }
        Some(known.unwrap_or_else(|| self.table.find_or_insert(update.route)))
    }

    /// The prefix of an update if it comes in the order of the last time.
    fn probably(&self, from: NeighbourId, route: &RouteKey) -> Option<DestinationId> {
        let neighbour = self.neighbours.get(from)?;
        let id = *neighbour.routes.get(neighbour.last_update as usize + 1)?;
        let destination = self.table.get(id)?;
        (destination.key == *route).then_some(id)
    }

    /// What is kept of an update, but for its place.
    fn heard_route(
        &mut self,
        from: NeighbourId,
        router_id: RouterId,
        update: &Update,
    ) -> Option<Route> {
        let own = router_id == self.settings.router_id;
        let own_address = !own && self.is_own_address(update.route.to());
        let neighbour = self.neighbours.get_mut(from)?;
        let interface = self.interfaces.get(&neighbour.interface)?;
        let announced = update.next_hop?;
        let next_hop = match interface.settings.kind {
            InterfaceKind::Lan => neighbour.next_hop_number(announced),
            // nobody else is at the other end, whichever of its addresses it names
            InterfaceKind::Tunnel => Some(Neighbour::ITSELF),
        };
        let generation = neighbour.generation;
        let added = interface
            .settings
            .accept
            .apply(&update.route, Some(router_id));
        self.counters.own_updates += u64::from(own);
        self.counters.refused_own_addresses += u64::from(own_address);
        self.counters.filtered_updates += u64::from(added.is_none());
        if own && let Some(id) = self.table.find(&update.route) {
            self.heard_ourselves(from, id, update);
        }
        Some(Route {
            router_id,
            neighbour: from,
            position: 0,
            expires: expiry(self.now, update.interval),
            appointment: Tick::UNSET,
            sequence_number: update.sequence_number,
            metric: update.metric,
            least_metric: update.metric,
            added: added.unwrap_or(0),
            interval: update.interval,
            generation,
            next_hop: next_hop.unwrap_or(0),
            ignored: own || own_address || added.is_none() || next_hop.is_none(),
            asked: false,
        })
    }

    /// Our own route comes back with a newer number than ours: what we announced in a life whose number was not kept,
    /// or somebody else has our router-id. Either way only newer ones are believed.
    fn heard_ourselves(&mut self, from: NeighbourId, id: DestinationId, update: &Update) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let foreign = destination.own.is_none() && destination.announced.is_none();
        let newer = update.sequence_number.is_newer_than(self.sequence_number);
        if let Some(neighbour) = self.neighbours.get(from)
            && foreign
            && self.duplicate.replace(id).is_none()
        {
            let (interface, address) = (neighbour.interface, neighbour.address);
            self.event(Event::DuplicateRouterId {
                interface,
                address,
                route: update.route,
            });
        }
        let own = self
            .table
            .get(id)
            .is_some_and(|destination| destination.own.is_some());
        if own
            && newer
            && !self.sequence_number_restored
            && self.sequence_number_pace.take(self.now)
        {
            self.set_sequence_number(update.sequence_number.next());
        }
    }

    /// Lets a route that is there live longer.
    fn refresh(&mut self, id: DestinationId, from: NeighbourId, later: &Route) {
        let (Some(destination), Some(neighbour)) =
            (self.table.get_mut(id), self.neighbours.get_mut(from))
        else {
            return;
        };
        if let Some(route) = destination.route_mut(from) {
            route.expires = later.expires;
            route.least_metric = later.least_metric;
            route.asked = false;
            neighbour.last_update = route.position;
        }
    }

    /// Puts a route in its place, and sees to its expiry.
    fn store(&mut self, id: DestinationId, from: NeighbourId, mut route: Route) {
        let (Some(destination), Some(neighbour)) =
            (self.table.get_mut(id), self.neighbours.get_mut(from))
        else {
            return;
        };
        let key = destination.key;
        let due = reminder(self.now, route.interval);
        let new = as_heard(&route);
        let first = destination.route(from).is_none();
        if let Some(old) = destination.route_mut(from) {
            neighbour.heard.remove(&key, as_heard(old));
            route.position = old.position;
            route.appointment = old.appointment;
            *old = route;
        } else {
            route.position = neighbour.routes.len() as u32;
            neighbour.routes.push(id);
            destination.routes.push(route);
        }
        neighbour.heard.add(&key, new);
        neighbour.announces = true;
        neighbour.last_update = route.position;
        let Some(route) = destination.route_mut(from) else {
            return;
        };
        // an earlier appointment looks after it as well
        let appointment = Appointment::Route(id, from);
        self.calendar
            .set_by(&mut route.appointment, due, appointment);
        self.table.routes += usize::from(first);
    }

    fn receive_retraction(&mut self, from: NeighbourId, update: &Update) {
        let Some(id) = self.table.find(&update.route) else {
            return;
        };
        if let Some(neighbour) = self.neighbours.get(from) {
            self.void_restored(id, neighbour.interface, neighbour.address);
        }
        self.retracted(id, from);
    }

    /// The neighbour's route is unusable from now on (section 3.5.3); it is kept until it expires.
    pub(super) fn retracted(&mut self, id: DestinationId, from: NeighbourId) {
        let (Some(destination), Some(neighbour)) =
            (self.table.get_mut(id), self.neighbours.get_mut(from))
        else {
            return;
        };
        let key = destination.key;
        let Some(route) = destination
            .route_mut(from)
            .filter(|route| !route.metric.is_infinite())
        else {
            return;
        };
        if route.generation == neighbour.generation {
            neighbour.heard.remove(&key, as_heard(route));
        }
        route.generation = neighbour.generation;
        route.metric = Metric::INFINITY;
        route.expires = expiry(self.now, route.interval);
        self.select(id);
    }

    /// Retracts all routes of a neighbour (section 4.6.9): from now on none of them counts, and what follows from that is done
    /// bit by bit.
    pub(super) fn retract_all(&mut self, from: NeighbourId) {
        let Some(neighbour) = self.neighbours.get_mut(from) else {
            return;
        };
        let (interface, address) = (neighbour.interface, neighbour.address);
        if std::mem::take(&mut neighbour.announces) {
            neighbour.generation = neighbour.generation.wrapping_add(1);
            neighbour.heard = Digest::default();
            self.compare_routes(from);
        }
        self.void_all_restored(interface, address);
    }

    /// Retracts a route if its neighbour has taken back all it said since. Gives whether it had.
    fn retract_void(&mut self, id: DestinationId, from: NeighbourId) -> bool {
        let route = self
            .table
            .get(id)
            .and_then(|destination| destination.route(from));
        let generation = self
            .neighbours
            .get(from)
            .map(|neighbour| neighbour.generation);
        let void = route.is_some_and(|route| Some(route.generation) != generation);
        if void {
            self.retracted(id, from);
        }
        void
    }

    /// [`Appointment::Route`]: asks again for what is about to expire, retracts what has, removes what had.
    pub(super) fn check_expiry(&mut self, id: DestinationId, from: NeighbourId) {
        self.retract_void(id, from);
        let now = Tick::from_time(self.now);
        let (Some(destination), Some(neighbour)) =
            (self.table.get_mut(id), self.neighbours.get(from))
        else {
            return;
        };
        let (key, block, selected) = (
            destination.key,
            destination.block,
            destination.selected == Some(from),
        );
        let Some(route) = destination.route_mut(from) else {
            return;
        };
        route.appointment = Tick::UNSET;
        let appointment = Appointment::Route(id, from);
        let refreshed = Tick::from_time(neighbour.blocks_expire[usize::from(block)]);
        let finite = !route.metric.is_infinite();
        let expires = if finite {
            route.expires.max(refreshed)
        } else {
            route.expires
        };
        let interval = route.interval.duration();
        let remind_at = Tick::from_time(expires.time() - interval);
        let next = if expires <= now {
            None
        } else if finite && remind_at > now {
            Some(remind_at)
        } else {
            Some(expires)
        };
        if let Some(next) = next {
            let next = next.max(Tick(now.0 + 1));
            let ask = finite
                && selected
                && remind_at <= now
                && !std::mem::replace(&mut route.asked, true);
            self.calendar.set(&mut route.appointment, next, appointment);
            if ask {
                self.ask_again(from, key);
            }
            // digests refresh it without an update, and an earlier request may have been lost
            self.ask_if_better(id);
            return;
        }
        if finite {
            self.counters.expired_routes += 1;
            let again = (interval * 7 / 2).max(Duration::from_millis(100));
            let again = Tick::from_time(self.now + again);
            self.calendar
                .set(&mut route.appointment, again, appointment);
            self.retracted(id, from);
        } else {
            self.remove_route(id, from);
        }
    }

    /// Removes a route from the prefix and from the neighbour's list, where the last one takes its place.
    fn remove_route(&mut self, id: DestinationId, from: NeighbourId) {
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        let Some(place) = destination
            .routes
            .iter()
            .position(|route| route.neighbour == from)
        else {
            return;
        };
        let mut route = destination.routes.swap_remove(place);
        self.calendar
            .cancel(&mut route.appointment, Appointment::Route(id, from));
        let key = destination.key;
        if destination.selected == Some(from) {
            // selection knows no such route any more
            destination.better_since = None;
        }
        self.table.routes -= 1;
        if let Some(neighbour) = self.neighbours.get_mut(from) {
            if route.generation == neighbour.generation {
                neighbour.heard.remove(&key, as_heard(&route));
            }
            neighbour.routes.swap_remove(route.position as usize);
            if let Some(moved) = neighbour.routes.get(route.position as usize).copied()
                && let Some(moved) = self
                    .table
                    .get_mut(moved)
                    .and_then(|moved| moved.route_mut(from))
            {
                moved.position = route.position;
            }
        }
        self.select(id);
        self.forget_if_empty(id);
        if let Some(destination) = self.table.get(id)
            && destination.routes.is_empty()
        {
            let soon = Tick(Tick::from_time(self.now).0 + 1);
            self.look_by(id, soon);
        }
    }

    /// Compares a part of a neighbour's routes anew after its cost has changed, or removes them after it is gone. Gives
    /// whether anything is left to do.
    pub(super) fn work_on(&mut self, id: NeighbourId) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return false;
        };
        if neighbour.removed {
            let start = neighbour.routes.len().saturating_sub(BATCH);
            for destination in neighbour.routes[start..]
                .iter()
                .rev()
                .copied()
                .collect::<Vec<_>>()
            {
                self.remove_route(destination, id);
            }
            let left = self
                .neighbours
                .get(id)
                .is_some_and(|neighbour| !neighbour.routes.is_empty());
            if !left {
                self.neighbours.remove(id);
            }
            return left;
        }
        let end = neighbour.to_compare.min(neighbour.routes.len());
        let start = end.saturating_sub(BATCH);
        neighbour.to_compare = start;
        let batch = neighbour.routes[start..end].to_vec();
        for destination in batch {
            if !self.retract_void(destination, id) {
                self.select(destination);
            }
            self.ask_if_better(destination);
        }
        start > 0
    }
}
