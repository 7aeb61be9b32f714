//! Requests (RFC 8966 section 3.8): asked of us, passed on, and our own.

use std::time::Duration;

use super::{
    input::InterfaceId,
    message::Message,
    neighbour::NeighbourId,
    quantities::{RouterId, SequenceNumber},
    speaker::Speaker,
    table::DestinationId,
    timers::Timer,
    updates::Audience,
};
use crate::dataplane::RouteKey;

/// How far our own requests travel.
const HOP_COUNT: u8 = 64;
/// Before an unanswered request is repeated; doubled each time (appendix B).
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// How often it is repeated (appendix B).
const REPEATS: u8 = 3;

/// A request that would be one too many is put off by this.
const PUT_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// A request for a newer sequence number that has not been answered (section 3.2.7).
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRequest {
    sequence_number: SequenceNumber,
    /// Who asked us; `None` if we asked.
    asker: Option<NeighbourId>,
    /// Whom we asked.
    asked: NeighbourId,
    hop_count: u8,
    repeats: u8,
}

/// A request for a newer sequence number, as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct SequenceNumberRequest {
    pub route: RouteKey,
    pub router_id: RouterId,
    pub sequence_number: SequenceNumber,
    pub hop_count: u8,
}

impl Speaker {
    /// Answers a route request (section 3.8.1.1).
    pub(super) fn receive_route_request(&mut self, from: NeighbourId, route: Option<RouteKey>) {
        self.counters.route_requests += 1;
        let Some(route) = route else {
            self.dump_to(from);
            return;
        };
        let Some(id) = self.table.find(&route) else {
            self.send_retraction(from, route);
            return;
        };
        self.announce_to(from, id);
    }

    /// Answers a request for a newer sequence number, or passes it on (section 3.8.1.2).
    pub(super) fn receive_sequence_number_request(
        &mut self,
        from: NeighbourId,
        request: SequenceNumberRequest,
    ) {
        self.counters.sequence_number_requests += 1;
        let Some(id) = self.table.find(&request.route) else {
            return;
        };
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let asked = request.sequence_number;
        if destination.own.is_some() {
            if request.router_id == self.settings.router_id
                && asked.is_newer_than(self.sequence_number)
            {
                self.advance_sequence_number();
            }
            self.answer(from, id);
            return;
        }
        let selected = destination
            .selected
            .and_then(|selected| destination.route(selected));
        let Some(selected) = selected else {
            self.forward(from, id, request);
            return;
        };
        let satisfies = selected.router_id != request.router_id
            || !asked.is_newer_than(selected.sequence_number);
        match satisfies {
            true => self.answer(from, id),
            false => self.forward(from, id, request),
        }
    }

    /// Announces a prefix as it is to one neighbour, to all if they were told something else.
    fn answer(&mut self, to: NeighbourId, id: DestinationId) {
        self.reconsider_announcement(id, true);
        self.announce_to(to, id);
    }

    /// Asks one neighbour that is nearer (section 3.8.1.2): a feasible route's sender before others', never the asker.
    fn forward(&mut self, from: NeighbourId, id: DestinationId, request: SequenceNumberRequest) {
        if request.router_id == self.settings.router_id || request.hop_count < 2 {
            return;
        }
        let key = (id, request.router_id);
        // one that asks for as much is under way
        if let Some(pending) = self.requests.get_mut(&key)
            && !request
                .sequence_number
                .is_newer_than(pending.sequence_number)
        {
            pending.asker.get_or_insert(from);
            return;
        }
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let next = destination
            .routes
            .iter()
            .filter(|route| route.neighbour != from && !self.metric(route).is_infinite())
            .min_by_key(|route| (!self.is_usable(destination, route), self.metric(route)))
            .map(|route| route.neighbour);
        if let Some(next) = next {
            let pending = PendingRequest {
                sequence_number: request.sequence_number,
                asker: Some(from),
                asked: next,
                hop_count: request.hop_count - 1,
                repeats: 0,
            };
            self.counters.forwarded_requests += 1;
            self.ask(key, pending);
        }
    }

    /// Asks a neighbour whose route is not feasible for one that is (section 3.8.2.2).
    pub(super) fn ask_sender(&mut self, id: DestinationId, sender: NeighbourId) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let Some(router_id) = destination.route(sender).map(|route| route.router_id) else {
            return;
        };
        let Some(source) = destination.source(router_id) else {
            return;
        };
        let sequence_number = source.sequence_number.next();
        let key = (id, router_id);
        let under_way = self
            .requests
            .get(&key)
            .is_some_and(|pending| !sequence_number.is_newer_than(pending.sequence_number));
        if under_way {
            return;
        }
        let pending = PendingRequest {
            sequence_number,
            asker: None,
            asked: sender,
            hop_count: HOP_COUNT,
            repeats: REPEATS,
        };
        self.ask(key, pending);
    }

    /// All feasible routes are lost: asks the sender of the best of the others (section 3.8.2.1).
    pub(super) fn ask_for_newer(&mut self, id: DestinationId) {
        let best = self.table.get(id).and_then(|destination| {
            destination
                .routes
                .iter()
                .filter(|route| !self.metric(route).is_infinite())
                .min_by_key(|route| self.metric(route))
                .map(|route| route.neighbour)
        });
        if let Some(best) = best {
            self.ask_sender(id, best);
        }
    }

    fn ask(&mut self, key: (DestinationId, RouterId), pending: PendingRequest) {
        if self.requests.len() >= self.settings.limits.pending_requests
            && !self.requests.contains_key(&key)
        {
            self.counters.limited_pending_requests += 1;
            self.limit_reached_by(pending.asked, "requests that wait for an answer");
            return;
        }
        self.send_request(key.0, key.1, pending, REPEAT_AFTER);
    }

    /// Sends a request and waits for the answer; later, if the neighbour has got many: it answers so many and no more.
    fn send_request(
        &mut self,
        id: DestinationId,
        router_id: RouterId,
        mut pending: PendingRequest,
        patience: Duration,
    ) {
        let now = self.now;
        let neighbour = self.neighbours.get_mut(pending.asked);
        let allowed = neighbour.is_some_and(|neighbour| neighbour.asking.take(now));
        let patience = if allowed {
            patience
        } else {
            // this was none
            pending.repeats = pending.repeats.saturating_add(1);
            self.counters.delayed_requests += 1;
            self.random.between(PUT_OFF.0, PUT_OFF.1)
        };
        self.requests.insert((id, router_id), pending);
        let timer = Timer::Request(id, router_id);
        self.timers.set(timer, now + patience);
        let Some(route) = self
            .table
            .get(id)
            .filter(|_| allowed)
            .map(|destination| destination.key)
        else {
            return;
        };
        let message = Message::SequenceNumberRequest {
            route,
            router_id,
            sequence_number: pending.sequence_number,
            hop_count: pending.hop_count,
        };
        self.send_soon(pending.asked, message);
    }

    /// [`Timer::Request`].
    pub(super) fn repeat_request(&mut self, id: DestinationId, router_id: RouterId) {
        let Some(mut pending) = self.requests.remove(&(id, router_id)) else {
            return;
        };
        let lost = self
            .table
            .get(id)
            .is_some_and(|destination| destination.own.is_none() && !destination.routes.is_empty());
        if pending.repeats == 0 || !lost {
            return;
        }
        pending.repeats -= 1;
        let wait = REPEAT_AFTER * (1 << REPEATS.saturating_sub(pending.repeats));
        // whoever is best now
        let best = self.table.get(id).and_then(|destination| {
            destination
                .routes
                .iter()
                .filter(|route| route.router_id == router_id && !self.metric(route).is_infinite())
                .min_by_key(|route| self.metric(route))
                .map(|route| route.neighbour)
        });
        if let Some(best) = best {
            pending.asked = best;
            self.send_request(id, router_id, pending, wait);
        }
    }

    /// An update has come: whoever asked for it hears of it at once (section 3.8.1.2).
    pub(super) fn satisfy_request(
        &mut self,
        id: DestinationId,
        router_id: RouterId,
        sequence_number: SequenceNumber,
    ) {
        if self.requests.is_empty() {
            return;
        }
        let key = (id, router_id);
        let Some(pending) = self.requests.get(&key).copied() else {
            return;
        };
        if pending.sequence_number.is_newer_than(sequence_number) {
            return;
        }
        self.requests.remove(&key);
        self.timers.cancel(Timer::Request(id, router_id));
        if let Some(asker) = pending.asker {
            self.answer(asker, id);
        }
    }

    /// Nobody asks or answers any more.
    pub(super) fn forget_asker(&mut self, gone: NeighbourId) {
        for pending in self.requests.values_mut() {
            pending.asker = pending.asker.filter(|asker| *asker != gone);
        }
    }

    /// Our own sequence number grows by one, never more at a time (section 3.7.2 and 3.8.1.2).
    fn advance_sequence_number(&mut self) {
        if !self.sequence_number_pace.take(self.now) {
            return;
        }
        self.set_sequence_number(self.sequence_number.next());
    }

    /// From now on our own routes carry this number, and neighbours hear it.
    pub(super) fn set_sequence_number(&mut self, number: SequenceNumber) {
        self.sequence_number = number;
        self.outputs
            .push(super::output::Output::SaveSequenceNumber(number));
        for id in self.own.values().copied().collect::<Vec<_>>() {
            self.reconsider_announcement(id, true);
        }
    }

    /// Asks the neighbour again for a route that is about to expire (section 3.8.2.3).
    pub(super) fn ask_again(&mut self, neighbour: NeighbourId, route: RouteKey) {
        self.send_soon(neighbour, Message::RouteRequest { route: Some(route) });
    }

    /// Asks all of an interface, or one neighbour, for everything.
    pub(super) fn ask_all(&mut self, interface: InterfaceId) {
        self.send(
            Audience::Group(interface),
            vec![Message::RouteRequest { route: None }],
        );
    }
}
