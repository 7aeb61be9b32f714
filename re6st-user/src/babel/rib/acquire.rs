//! Updates as they come in (RFC 8966 section 3.5.3).

use super::{
    Change, Digest, Rib,
    calendar::{Appointment, Tick},
    sender::{Sender, as_heard},
    table::Route,
};
use crate::{
    babel::{
        context::Context,
        ids::{DestinationId, NeighbourId},
        martian,
        message::Update,
        origins::{Refusal, node_name_of},
        output::Event,
        quantities::{Interval, Metric, RouterId},
        settings::{InterfaceKind, InterfaceSettings},
    },
    route::RouteKey,
    time::Time,
};

/// How a route comes in.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    pub settings: &'a InterfaceSettings,
    /// The prefix is nothing but an address of ours.
    pub own_address: bool,
    /// Its origin may not announce it.
    pub refusal: Option<Refusal>,
}

impl Rib {
    /// The prefix of an update, if anybody may announce it and the neighbour one more.
    pub fn place_for(
        &mut self,
        context: &mut Context,
        from: NeighbourId,
        update: &Update,
    ) -> Option<DestinationId> {
        let route = &update.route;
        if martian::is_refused(route, &mut context.counters) {
            return None;
        }
        let known = self
            .probably(from, route)
            .or_else(|| self.table.find(route));
        let before = known.and_then(|id| self.table.get(id)?.route(from).copied());
        let again = before.is_some();
        let before = before.map(|route| route.router_id);
        if self.has_enough_of_node(context, from, update, before) {
            context.counters.limited_node_prefixes += 1;
            let interface = self.senders.get(from)?.interface;
            context.limit_reached(interface, "prefixes of one node");
            // another origin than before: that one has lost it
            self.retract(context, known?, from);
            return None;
        }
        let sender = self.senders.get(from)?;
        let limits = &context.settings.limits;
        if !again && sender.routes.len() >= limits.routes_per_neighbour {
            context.counters.limited_routes += 1;
            context.limit_reached(sender.interface, "routes of a neighbour");
            return None;
        }
        let full = known.is_none() && self.table.len() >= limits.prefixes;
        if full || !again && self.table.routes >= limits.routes {
            context.counters.limited_table += 1;
            let limit = if full { "prefixes" } else { "routes" };
            context.limit_reached(sender.interface, limit);
            return None;
        }
        Some(known.unwrap_or_else(|| self.table.find_or_insert(*route)))
    }

    /// Whether a neighbour may not announce one more prefix of an origin. The prefix that its name gives a node is always taken,
    /// so that others who announce parts of it do not take its place.
    fn has_enough_of_node(
        &self,
        context: &Context,
        from: NeighbourId,
        update: &Update,
        before: Option<RouterId>,
    ) -> bool {
        let (Some(origins), Some(router_id)) = (context.settings.origins, update.router_id) else {
            return false;
        };
        let (Some(node), Some(sender)) = (node_name_of(router_id), self.senders.get(from)) else {
            return false;
        };
        before.and_then(node_name_of) != Some(node)
            && sender.prefixes_of(node) >= context.settings.limits.prefixes_per_node
            && !origins.is_node_prefix(&update.route, router_id)
    }

    /// The prefix of an update if it comes in the order of the last time.
    fn probably(&self, from: NeighbourId, route: &RouteKey) -> Option<DestinationId> {
        let sender = self.senders.get(from)?;
        let id = *sender.routes.get(sender.last_update as usize + 1)?;
        let destination = self.table.get(id)?;
        (destination.key == *route).then_some(id)
    }

    /// Acquires a route (section 3.5.3).
    pub fn acquire(
        &mut self,
        context: &mut Context,
        from: NeighbourId,
        id: DestinationId,
        update: &Update,
        import: Import<'_>,
    ) {
        let Some(mut route) = self.heard_route(context, from, update, import) else {
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
        if destination.distance_unknown && self.judge_restored(context, id, &route) {
            route.least_metric = Metric(0);
        }
        let before = self.restored_least_metric(id, &route);
        route.least_metric = route.least_metric.min(before);
        self.judge_unknown(context, id, &route);
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
            context.counters.unfeasible_updates += 1;
            // the sender's distance is what it was when we selected it or smaller, so the old route is as free of loops
            // as before; it is not refreshed either (section 3.5.3)
            let kept =
                |old: Route| old.router_id == route.router_id && !old.ignored && !route.ignored;
            if selected && old.is_some_and(kept) {
                self.changes.push(Change::Unfeasible { id, sender: from });
                return;
            }
        }
        self.store(context, id, from, route);
        // a selected route that is unfeasible now is unselected at once (section 3.5.3)
        self.select(context, id);
        let worse = old.is_some_and(|old| old.metric < route.metric);
        if !feasible || worse {
            self.changes.push(Change::Compared(id));
        }
    }

    /// What is kept of an update, but for its place.
    fn heard_route(
        &mut self,
        context: &mut Context,
        from: NeighbourId,
        update: &Update,
        import: Import<'_>,
    ) -> Option<Route> {
        let router_id = update.router_id?;
        let own = router_id == context.settings.router_id;
        let own_address = !own && import.own_address;
        let sender = self.senders.get_mut(from)?;
        let announced = update.next_hop?;
        let next_hop = match import.settings.kind {
            InterfaceKind::Lan => sender.next_hop_number(announced),
            // nobody else is at the other end, whichever of its addresses it names
            InterfaceKind::Tunnel => Some(Sender::ITSELF),
        };
        let generation = sender.generation;
        let accept = &import.settings.accept;
        let added = accept.apply(&update.route, Some(router_id));
        context.counters.own_updates += u64::from(own);
        context.counters.refused_own_addresses += u64::from(own_address);
        context.counters.filtered_updates += u64::from(added.is_none());
        if own {
            self.heard_ourselves(context, from, update);
        } else {
            self.refuse_update(context, from, update, import.refusal);
        }
        Some(Route {
            router_id,
            neighbour: from,
            position: 0,
            expires: Tick::of_expiry(context.now, update.interval),
            appointment: Tick::UNSET,
            sequence_number: update.sequence_number,
            metric: update.metric,
            least_metric: update.metric,
            added: added.unwrap_or(0),
            interval: update.interval,
            generation,
            next_hop: next_hop.unwrap_or(0),
            ignored: own
                || own_address
                || added.is_none()
                || next_hop.is_none()
                || import.refusal.is_some(),
            asked: false,
        })
    }

    /// A route with our router-id comes back: our own, or that of somebody else who has our router-id.
    fn heard_ourselves(&mut self, context: &mut Context, from: NeighbourId, update: &Update) {
        let (Some(id), Some(sender)) = (self.table.find(&update.route), self.senders.get(from))
        else {
            return;
        };
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let own = destination.own.is_some();
        let foreign = !own && destination.announced.is_none();
        if foreign && self.duplicate.replace(id).is_none() {
            context.event(Event::DuplicateRouterId {
                interface: sender.interface,
                address: sender.address,
                route: update.route,
            });
        }
        if own
            && self
                .own_number
                .overtake(context.now, update.sequence_number)
        {
            self.own_number_changed(context);
        }
    }

    /// Lets a route that is there live longer.
    fn refresh(&mut self, id: DestinationId, from: NeighbourId, later: &Route) {
        let (Some(destination), Some(sender)) =
            (self.table.get_mut(id), self.senders.get_mut(from))
        else {
            return;
        };
        if let Some(route) = destination.route_mut(from) {
            route.expires = later.expires;
            route.least_metric = later.least_metric;
            route.asked = false;
            sender.last_update = route.position;
        }
    }

    /// Puts a route in its place, and sees to its expiry.
    fn store(&mut self, context: &Context, id: DestinationId, from: NeighbourId, mut route: Route) {
        let (Some(destination), Some(sender)) =
            (self.table.get_mut(id), self.senders.get_mut(from))
        else {
            return;
        };
        let key = destination.key;
        let due = Tick::of_reminder(context.now, route.interval);
        let new = as_heard(&route);
        let before = destination.route(from).map(|route| route.router_id);
        let first = before.is_none();
        sender.origin_changed(before, Some(route.router_id));
        if let Some(old) = destination.route_mut(from) {
            sender.heard.remove(&key, as_heard(old));
            route.position = old.position;
            route.appointment = old.appointment;
            *old = route;
        } else {
            route.position = sender.routes.len() as u32;
            sender.routes.push(id);
            destination.routes.push(route);
        }
        sender.heard.add(&key, new);
        sender.announces = true;
        sender.last_update = route.position;
        let Some(route) = destination.route_mut(from) else {
            return;
        };
        // an earlier appointment looks after it as well
        let appointment = Appointment::Route(id, from);
        self.calendar
            .set_by(&mut route.appointment, due, appointment);
        self.table.routes += usize::from(first);
    }

    /// Refreshes the routes of blocks whose digests are equal. Gives which are not.
    pub fn hear_digest(
        &mut self,
        now: Time,
        from: NeighbourId,
        first: u8,
        interval: Interval,
        blocks: &[u64],
    ) -> u64 {
        let until = now + interval.duration() * 7 / 2;
        let mut unequal = 0u64;
        let Some(sender) = self.senders.get_mut(from) else {
            return unequal;
        };
        for (place, digest) in (usize::from(first)..Digest::BLOCKS).zip(blocks) {
            if sender.heard.0[place] == *digest {
                sender.blocks_expire[place] = until;
            } else {
                unequal |= 1 << place;
            }
        }
        unequal
    }
}
