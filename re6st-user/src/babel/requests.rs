//! Requests (RFC 8966 section 3.8): asked of us, passed on, and our own.

use std::time::Duration;

use super::{
    input::InterfaceId,
    message::Message,
    neighbour::NeighbourId,
    probing::UNRESPONSIVE,
    quantities::{RouterId, SequenceNumber},
    speaker::Speaker,
    table::{Destination, DestinationId, Route},
    timers::Timer,
    updates::Audience,
};
use crate::{route::RouteKey, time::Time};

/// How far our own requests travel.
const HOP_COUNT: u8 = 64;
/// Before an unanswered request is repeated; doubled each time (appendix B).
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// How often it is repeated (appendix B).
const REPEATS: u8 = 3;

/// A request that would be one too many is put off by this.
const PUT_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Whoever asked but does not hear of it asks again, but not sooner than this.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// So many neighbours are asked for one prefix at a time, and so many that asked are answered one by one.
const MOST_ASKED: usize = 16;

/// A request for a newer sequence number that has not been answered (section 3.2.7).
#[derive(Debug)]
pub(super) struct PendingRequest {
    sequence_number: SequenceNumber,
    /// Who asked us.
    askers: Vec<NeighbourId>,
    /// Whose route we want ourselves, if we do.
    wanted: Option<NeighbourId>,
    /// Whom we asked that still has a route.
    asked: Vec<NeighbourId>,
    /// When we last asked somebody.
    asked_at: Time,
    hop_count: u8,
    repeats: u8,
    /// When it is repeated or given up.
    due: Time,
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
                self.advance_sequence_number(asked);
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

    /// Passes a request on, and remembers who asked (section 3.8.1.2).
    fn forward(&mut self, from: NeighbourId, id: DestinationId, request: SequenceNumberRequest) {
        if request.router_id == self.settings.router_id || request.hop_count < 2 {
            return;
        }
        let (key, now) = ((id, request.router_id), self.now);
        let Some(pending) = self.pending(key, request.sequence_number, from) else {
            return;
        };
        pending.hop_count = pending.hop_count.max(request.hop_count - 1);
        if !pending.askers.contains(&from) {
            if pending.askers.len() < MOST_ASKED {
                pending.askers.push(from);
            }
        } else if now.since(pending.asked_at) >= ASKED_AGAIN {
            // it heard nothing, and so may have whoever we asked
            pending.asked.clear();
        }
        if pending.wanted.is_none() {
            self.wait_for_answer(key);
        }
        // there may be an answer that is not in use
        self.select(id);
    }

    /// The best route that answers what somebody asks for, where the one in use does not: whoever asked may have no way at all
    /// until it is used.
    pub(super) fn awaited(
        &self,
        id: DestinationId,
        destination: &Destination,
        in_use: NeighbourId,
    ) -> Option<NeighbourId> {
        let in_use = destination.route(in_use)?;
        let pending = self.requests.get(&(id, in_use.router_id))?;
        let answers = |route: &&Route| {
            route.router_id == in_use.router_id
                && !pending.sequence_number.is_newer_than(route.sequence_number)
                && self.is_usable(destination, route)
        };
        if pending.askers.is_empty() || answers(&in_use) {
            return None;
        }
        let answers = destination.routes.iter().filter(answers);
        let best = answers.map(|route| (self.metric(route), route.neighbour));
        let (_, neighbour) = best.min().filter(|(metric, _)| metric.0 < UNRESPONSIVE)?;
        Some(neighbour)
    }

    /// Asks a neighbour whose route is not feasible for one that is (section 3.8.2.2), and if we have no good route, all others
    /// that have one (section 3.8.2.1).
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
        let key = (id, router_id);
        let Some(pending) = self.pending(key, source.sequence_number.next(), sender) else {
            return;
        };
        pending.hop_count = HOP_COUNT;
        if pending.wanted.replace(sender).is_none() {
            pending.repeats = REPEATS;
            self.wait_for_answer(key);
        }
        self.ask(key, sender);
        self.pursue(key);
    }

    fn wait_for_answer(&mut self, key: (DestinationId, RouterId)) {
        let due = self.now + REPEAT_AFTER;
        if let Some(pending) = self.requests.get_mut(&key) {
            pending.due = due;
            self.timers.set(Timer::Request(key.0, key.1), due);
        }
    }

    /// The pending request of a prefix and origin, for at least this number; `None` if there are too many.
    fn pending(
        &mut self,
        key: (DestinationId, RouterId),
        number: SequenceNumber,
        cause: NeighbourId,
    ) -> Option<&mut PendingRequest> {
        if self.requests.len() >= self.settings.limits.pending_requests
            && !self.requests.contains_key(&key)
        {
            self.counters.limited_pending_requests += 1;
            self.limit_reached_by(cause, "requests that wait for an answer");
            return None;
        }
        let new = || PendingRequest {
            sequence_number: number,
            askers: Vec::new(),
            wanted: None,
            asked: Vec::new(),
            asked_at: Time(0),
            hop_count: 0,
            repeats: 0,
            due: Time(0),
        };
        let pending = self.requests.entry(key).or_insert_with(new);
        if number.is_newer_than(pending.sequence_number) {
            pending.sequence_number = number;
            pending.asked.clear();
        }
        Some(pending)
    }

    /// Routes have changed: whoever asked for what is there now hears of it at once (section 3.8.1.2), and whoever can answer
    /// now and was not asked is asked.
    pub(super) fn pursue_all(&mut self, id: DestinationId) {
        if self.requests.is_empty() {
            return;
        }
        let of_prefix = self.requests.range((id, RouterId::LEAST)..);
        let keys: Vec<_> = of_prefix
            .map(|(key, _)| *key)
            .take_while(|key| key.0 == id)
            .collect();
        for key in keys {
            self.satisfy(key);
            self.pursue(key);
        }
    }

    fn satisfy(&mut self, key: (DestinationId, RouterId)) {
        let (Some(destination), Some(pending)) = (self.table.get(key.0), self.requests.get(&key))
        else {
            return;
        };
        let is_new = |route: &Route| {
            route.router_id == key.1
                && !pending.sequence_number.is_newer_than(route.sequence_number)
        };
        let selected = destination
            .selected
            .and_then(|selected| destination.route(selected));
        let answered = selected.is_some_and(|route| route.router_id != key.1 || is_new(route));
        let mut routes = destination.routes.iter();
        let found = routes.any(|route| is_new(route) && self.is_usable(destination, route));
        let Some(pending) = self.requests.get_mut(&key) else {
            return;
        };
        pending.wanted = pending.wanted.filter(|_| !found);
        let told = match answered {
            true => std::mem::take(&mut pending.askers),
            false => Vec::new(),
        };
        if pending.wanted.is_none() && pending.askers.is_empty() {
            self.requests.remove(&key);
            self.timers.cancel(Timer::Request(key.0, key.1));
        }
        for asker in told {
            self.answer(asker, key.0);
        }
    }

    fn pursue(&mut self, key: (DestinationId, RouterId)) {
        let (Some(destination), Some(pending)) = (self.table.get(key.0), self.requests.get(&key))
        else {
            return;
        };
        let is_of_use = |neighbour: &NeighbourId| {
            let route = destination.route(*neighbour);
            route.is_some_and(|route| !self.metric(route).is_infinite())
        };
        let asked = pending.asked.iter().copied().filter(is_of_use).collect();
        let able = self.able_to_answer(destination, pending);
        if let Some(pending) = self.requests.get_mut(&key) {
            pending.asked = asked;
        }
        for neighbour in able {
            self.ask(key, neighbour);
        }
    }

    /// Who can answer a request (section 3.8.1.2): the sender of a feasible route that is not avoided; if there is none, all
    /// who have a route. Never the one who asked.
    fn able_to_answer(
        &self,
        destination: &Destination,
        pending: &PendingRequest,
    ) -> Vec<NeighbourId> {
        let asker = match pending.askers.as_slice() {
            [asker] if pending.wanted.is_none() => Some(*asker),
            _ => None,
        };
        let mut able: Vec<_> = destination
            .routes
            .iter()
            .filter(|route| Some(route.neighbour) != asker)
            .map(|route| (self.metric(route), route))
            .filter(|(metric, _)| !metric.is_infinite())
            .collect();
        able.sort_unstable_by_key(|(metric, route)| (*metric, route.neighbour));
        let good = able
            .iter()
            .filter(|(metric, _)| metric.0 < UNRESPONSIVE)
            .find(|(_, route)| self.is_usable(destination, route));
        match good {
            // we only want something better, and whoever announces that was asked
            Some(_) if pending.askers.is_empty() => Vec::new(),
            Some((_, route)) => vec![route.neighbour],
            None => able.iter().map(|(_, route)| route.neighbour).collect(),
        }
    }

    /// Asks a neighbour, unless it was asked; later, if it has got many requests: it answers so many and no more.
    fn ask(&mut self, key: (DestinationId, RouterId), neighbour: NeighbourId) {
        let (now, (id, router_id)) = (self.now, key);
        let (Some(destination), Some(pending), Some(asked)) = (
            self.table.get(id),
            self.requests.get_mut(&key),
            self.neighbours.get_mut(neighbour),
        ) else {
            return;
        };
        if pending.asked.contains(&neighbour) || pending.asked.len() >= MOST_ASKED {
            return;
        }
        if !asked.asking.take(now) {
            self.counters.delayed_requests += 1;
            let later = now + self.random.between(PUT_OFF.0, PUT_OFF.1);
            self.timers.set_by(Timer::Request(id, router_id), later);
            return;
        }
        pending.asked.push(neighbour);
        pending.asked_at = now;
        self.counters.forwarded_requests += u64::from(!pending.askers.is_empty());
        let message = Message::SequenceNumberRequest {
            route: destination.key,
            router_id,
            sequence_number: pending.sequence_number,
            hop_count: pending.hop_count,
        };
        self.send_soon(neighbour, message);
    }

    /// [`Timer::Request`].
    pub(super) fn repeat_request(&mut self, id: DestinationId, router_id: RouterId) {
        let (key, now) = ((id, router_id), self.now);
        let Some(wanted) = self.requests.get(&key).map(|pending| pending.wanted) else {
            return;
        };
        let is_of_use = |sender: &NeighbourId| {
            let destination = self.table.get(id);
            let route = destination.and_then(|destination| destination.route(*sender));
            route.is_some_and(|route| {
                route.router_id == router_id && !self.metric(route).is_infinite()
            })
        };
        let best = self.better_unfeasible(id).filter(is_of_use);
        let best = best
            .or(wanted.filter(is_of_use))
            .filter(|_| wanted.is_some());
        let Some(pending) = self.requests.get_mut(&key) else {
            return;
        };
        let timer = Timer::Request(id, router_id);
        if now < pending.due {
            // who was not asked then is asked now
            self.timers.set(timer, pending.due);
            if let Some(best) = best {
                self.ask(key, best);
            }
            self.pursue(key);
            return;
        }
        let Some(best) = best.filter(|_| pending.repeats > 0) else {
            self.requests.remove(&key);
            return;
        };
        pending.repeats -= 1;
        pending.asked.clear();
        pending.due = now + REPEAT_AFTER * (1 << REPEATS.saturating_sub(pending.repeats));
        self.timers.set(timer, pending.due);
        self.ask(key, best);
        self.pursue(key);
    }

    /// It asks and answers no more.
    pub(super) fn forget_asker(&mut self, gone: NeighbourId) {
        for pending in self.requests.values_mut() {
            pending.askers.retain(|asker| *asker != gone);
            pending.asked.retain(|asked| *asked != gone);
        }
    }

    /// Our own sequence number grows by one, never more at a time (section 3.7.2 and 3.8.1.2); but if we do not know which we
    /// had in a life before, somebody who remembers tells us once.
    fn advance_sequence_number(&mut self, asked: SequenceNumber) {
        if !self.sequence_number_pace.take(self.now) {
            return;
        }
        let next = self.sequence_number.next();
        let remembered = self.now < self.remembered_until && !self.sequence_number_restored;
        if remembered && asked != next {
            self.sequence_number_restored = true;
            self.set_sequence_number(asked);
        } else {
            self.set_sequence_number(next);
        }
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
