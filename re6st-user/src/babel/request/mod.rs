//! Requests for newer sequence numbers (RFC 8966 section 3.8): asked of us, passed on, and our own.
//!
//! Going in: requests, routes that are not feasible, changes of routes, the passage of time. Coming out: [`Change`]s.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    context::Context,
    ids::{DestinationId, NeighbourId},
    limits::TokenBucket,
    message::Message,
    quantities::{RouterId, SequenceNumber, UNRESPONSIVE},
    rib::{Destination, Rib, Route},
    timers::Timers,
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
/// Requests that one neighbour gets a second, and at once.
const ASKED_PER_SECOND: u32 = 100;
const ASKED_AT_ONCE: u32 = 1000;

/// The prefix and the origin of which a newer number is wanted.
pub type Key = (DestinationId, RouterId);

/// What follows, in order.
#[derive(Debug)]
pub enum Change {
    /// A neighbour is asked.
    Ask(NeighbourId, Message),
    /// Somebody waits for a number at least this new; nobody any more if `None`.
    Sought(Key, Option<SequenceNumber>),
    /// A route that was not in use may be what somebody asks for.
    Select(DestinationId),
    /// A prefix is announced as it is to one neighbour, to all if they were told something else.
    Answer(NeighbourId, DestinationId),
    /// Our own number is not new enough.
    Advance(SequenceNumber),
}

/// A request for a newer sequence number that has not been answered (section 3.2.7).
#[derive(Debug)]
struct Pending {
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
pub struct SequenceNumberRequest {
    pub route: RouteKey,
    /// Originated by this router.
    pub router_id: RouterId,
    /// At least this new.
    pub sequence_number: SequenceNumber,
    /// How many more speakers may pass it on.
    pub hop_count: u8,
}

/// All that wait for an answer.
#[derive(Debug, Default)]
pub struct Requests {
    pending: BTreeMap<Key, Pending>,
    /// Of requests to each neighbour.
    paces: HashMap<NeighbourId, TokenBucket>,
    timers: Timers<Key>,
    changes: Vec<Change>,
}

impl Requests {
    /// What follows from what happened since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Answers a request for a newer sequence number, or passes it on (section 3.8.1.2).
    pub fn receive(
        &mut self,
        context: &mut Context,
        rib: &Rib,
        from: NeighbourId,
        request: SequenceNumberRequest,
    ) {
        context.counters.sequence_number_requests += 1;
        let Some(id) = rib.table().find(&request.route) else {
            return;
        };
        let Some(destination) = rib.table().get(id) else {
            return;
        };
        let asked = request.sequence_number;
        if destination.own.is_some() {
            if request.router_id == context.settings.router_id {
                self.changes.push(Change::Advance(asked));
            }
            self.changes.push(Change::Answer(from, id));
            return;
        }
        let satisfied = destination.selected_route().is_some_and(|selected| {
            selected.router_id != request.router_id
                || !asked.is_newer_than(selected.sequence_number)
        });
        match satisfied {
            true => self.changes.push(Change::Answer(from, id)),
            false => self.forward(context, rib, from, id, request),
        }
    }

    /// Passes a request on, and remembers who asked (section 3.8.1.2).
    fn forward(
        &mut self,
        context: &mut Context,
        rib: &Rib,
        from: NeighbourId,
        id: DestinationId,
        request: SequenceNumberRequest,
    ) {
        if request.router_id == context.settings.router_id || request.hop_count < 2 {
            return;
        }
        let (key, now) = ((id, request.router_id), context.now);
        let Some(pending) = self.pending(context, rib, key, request.sequence_number, from) else {
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
            self.wait_for_answer(now, key);
        }
        self.tell_what_is_sought(key);
        // there may be an answer that is not in use
        self.changes.push(Change::Select(id));
    }

    /// Asks for a route that can be used instead of one that cannot, if that would be better than the one in use.
    pub fn ask_if_better(&mut self, context: &mut Context, rib: &Rib, id: DestinationId) {
        let destination = rib.table().get(id);
        let better = destination.and_then(|it| rib.costs(context).better_unfeasible(it));
        if let Some(sender) = better {
            self.ask_sender(context, rib, id, sender);
        }
    }

    /// Asks a neighbour whose route is not feasible for one that is (section 3.8.2.2), and if we have no good route, all others
    /// that have one (section 3.8.2.1).
    pub fn ask_sender(
        &mut self,
        context: &mut Context,
        rib: &Rib,
        id: DestinationId,
        sender: NeighbourId,
    ) {
        let Some(destination) = rib.table().get(id) else {
            return;
        };
        let Some(router_id) = destination.route(sender).map(|route| route.router_id) else {
            return;
        };
        let Some(source) = destination.source(router_id) else {
            return;
        };
        let key = (id, router_id);
        let number = source.sequence_number.next();
        let Some(pending) = self.pending(context, rib, key, number, sender) else {
            return;
        };
        pending.hop_count = HOP_COUNT;
        if pending.wanted.replace(sender).is_none() {
            pending.repeats = REPEATS;
            self.wait_for_answer(context.now, key);
        }
        self.ask(context, rib, key, sender);
        self.pursue(context, rib, key);
    }

    fn wait_for_answer(&mut self, now: Time, key: Key) {
        let due = now + REPEAT_AFTER;
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.due = due;
            self.timers.set(key, due);
        }
    }

    /// The pending request of a prefix and origin, for at least this number; `None` if there are too many.
    fn pending(
        &mut self,
        context: &mut Context,
        rib: &Rib,
        key: Key,
        number: SequenceNumber,
        cause: NeighbourId,
    ) -> Option<&mut Pending> {
        if self.pending.len() >= context.settings.limits.pending_requests
            && !self.pending.contains_key(&key)
        {
            context.counters.limited_pending_requests += 1;
            if let Some(cause) = rib.sender(cause) {
                context.limit_reached(cause.interface, "requests that wait for an answer");
            }
            return None;
        }
        let pending = self.pending.entry(key).or_insert_with(|| Pending {
            sequence_number: number,
            askers: Vec::new(),
            wanted: None,
            asked: Vec::new(),
            asked_at: Time(0),
            hop_count: 0,
            repeats: 0,
            due: Time(0),
        });
        if number.is_newer_than(pending.sequence_number) {
            pending.sequence_number = number;
            pending.asked.clear();
            if !pending.askers.is_empty() {
                self.changes.push(Change::Sought(key, Some(number)));
            }
        }
        Some(pending)
    }

    /// Who asked, or for what, has changed.
    fn tell_what_is_sought(&mut self, key: Key) {
        let pending = self.pending.get(&key);
        let pending = pending.filter(|pending| !pending.askers.is_empty());
        let number = pending.map(|pending| pending.sequence_number);
        self.changes.push(Change::Sought(key, number));
    }

    /// Routes have changed: whoever asked for what is there now hears of it at once (section 3.8.1.2), and whoever can answer
    /// now and was not asked is asked.
    pub fn pursue_all(&mut self, context: &mut Context, rib: &Rib, id: DestinationId) {
        if self.pending.is_empty() {
            return;
        }
        let of_prefix = self.pending.range((id, RouterId::LEAST)..);
        let keys = of_prefix.map(|(key, _)| *key);
        for key in keys.take_while(|key| key.0 == id).collect::<Vec<_>>() {
            self.satisfy(context, rib, key);
            self.pursue(context, rib, key);
        }
    }

    fn satisfy(&mut self, context: &Context, rib: &Rib, key: Key) {
        let Some(pending) = self.pending.get_mut(&key) else {
            return;
        };
        // none: its last route has gone
        let destination = rib.table().get(key.0);
        let number = pending.sequence_number;
        let is_new = |route: &Route| {
            route.router_id == key.1 && !number.is_newer_than(route.sequence_number)
        };
        let answered = destination
            .and_then(Destination::selected_route)
            .is_some_and(|route| route.router_id != key.1 || is_new(route));
        let costs = rib.costs(context);
        let found = destination.is_some_and(|destination| {
            let mut routes = destination.routes.iter();
            routes.any(|route| is_new(route) && costs.is_usable(destination, route, context.now))
        });
        pending.wanted = pending.wanted.filter(|_| !found);
        let told = match answered {
            true => std::mem::take(&mut pending.askers),
            false => Vec::new(),
        };
        if pending.wanted.is_none() && pending.askers.is_empty() {
            self.pending.remove(&key);
            self.timers.cancel(key);
        }
        if !told.is_empty() {
            self.changes.push(Change::Sought(key, None));
        }
        let answers = told.into_iter().map(|asker| Change::Answer(asker, key.0));
        self.changes.extend(answers);
    }

    fn pursue(&mut self, context: &mut Context, rib: &Rib, key: Key) {
        let (Some(destination), Some(pending)) =
            (rib.table().get(key.0), self.pending.get_mut(&key))
        else {
            return;
        };
        pending.asked.retain(|neighbour| {
            let route = destination.route(*neighbour);
            route.is_some_and(|route| !rib.metric(route).is_infinite())
        });
        for neighbour in able_to_answer(context, rib, destination, pending) {
            self.ask(context, rib, key, neighbour);
        }
    }

    /// Asks a neighbour, unless it was asked; later, if it has got many requests: it answers so many and no more.
    fn ask(&mut self, context: &mut Context, rib: &Rib, key: Key, neighbour: NeighbourId) {
        let now = context.now;
        let (Some(destination), Some(pending)) =
            (rib.table().get(key.0), self.pending.get_mut(&key))
        else {
            return;
        };
        if pending.asked.contains(&neighbour) || pending.asked.len() >= MOST_ASKED {
            return;
        }
        let new = || TokenBucket::new(ASKED_PER_SECOND, ASKED_AT_ONCE);
        if !self.paces.entry(neighbour).or_insert_with(new).take(now) {
            context.counters.delayed_requests += 1;
            let later = now + context.random.between(PUT_OFF.0, PUT_OFF.1);
            self.timers.set_by(key, later);
            return;
        }
        pending.asked.push(neighbour);
        pending.asked_at = now;
        context.counters.forwarded_requests += u64::from(!pending.askers.is_empty());
        let message = Message::SequenceNumberRequest {
            route: destination.key,
            router_id: key.1,
            sequence_number: pending.sequence_number,
            hop_count: pending.hop_count,
        };
        self.changes.push(Change::Ask(neighbour, message));
    }

    /// Something of what is due: a request is repeated, or given up. `None` if nothing is.
    pub fn time_out(&mut self, context: &mut Context, rib: &Rib) -> Option<()> {
        let key = self.timers.pop(context.now)?;
        self.repeat(context, rib, key);
        Some(())
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    fn repeat(&mut self, context: &mut Context, rib: &Rib, key: Key) {
        let Some(pending) = self.pending.get_mut(&key) else {
            return;
        };
        let destination = rib.table().get(key.0);
        let is_of_use = |sender: &NeighbourId| {
            let route = destination.and_then(|destination| destination.route(*sender));
            route.is_some_and(|route| route.router_id == key.1 && !rib.metric(route).is_infinite())
        };
        let better = destination.and_then(|it| rib.costs(context).better_unfeasible(it));
        let best = better.filter(is_of_use);
        let best = best
            .or(pending.wanted.filter(is_of_use))
            .filter(|_| pending.wanted.is_some());
        if context.now < pending.due {
            // who was not asked then is asked now
            self.timers.set(key, pending.due);
            if let Some(best) = best {
                self.ask(context, rib, key, best);
            }
            self.pursue(context, rib, key);
            return;
        }
        let Some(best) = best.filter(|_| pending.repeats > 0) else {
            self.pending.remove(&key);
            self.changes.push(Change::Sought(key, None));
            return;
        };
        pending.repeats -= 1;
        pending.asked.clear();
        let wait = REPEAT_AFTER * (1 << REPEATS.saturating_sub(pending.repeats));
        pending.due = context.now + wait;
        self.timers.set(key, pending.due);
        self.ask(context, rib, key, best);
        self.pursue(context, rib, key);
    }

    /// A neighbour asks and answers no more.
    pub fn leave(&mut self, gone: NeighbourId) {
        self.paces.remove(&gone);
        for (key, pending) in &mut self.pending {
            pending.asked.retain(|asked| *asked != gone);
            let before = pending.askers.len();
            pending.askers.retain(|asker| *asker != gone);
            if pending.askers.is_empty() && before > 0 {
                self.changes.push(Change::Sought(*key, None));
            }
        }
    }

    pub fn stop(&mut self) {
        self.timers = Timers::default();
    }
}

/// Who can answer a request (section 3.8.1.2): the sender of a feasible route that is not avoided; if there is none, all
/// who have a route. Never the one who asked.
fn able_to_answer(
    context: &Context,
    rib: &Rib,
    destination: &Destination,
    pending: &Pending,
) -> Vec<NeighbourId> {
    let asker = match pending.askers.as_slice() {
        [asker] if pending.wanted.is_none() => Some(*asker),
        _ => None,
    };
    let mut able: Vec<_> = destination
        .routes
        .iter()
        .filter(|route| Some(route.neighbour) != asker)
        .map(|route| (rib.metric(route), route))
        .filter(|(metric, _)| !metric.is_infinite())
        .collect();
    able.sort_unstable_by_key(|(metric, route)| (*metric, route.neighbour));
    let costs = rib.costs(context);
    let good = able
        .iter()
        .filter(|(metric, _)| metric.0 < UNRESPONSIVE)
        .find(|(_, route)| costs.is_usable(destination, route, context.now));
    match good {
        // we only want something better, and whoever announces that was asked
        Some(_) if pending.askers.is_empty() => Vec::new(),
        Some((_, route)) => vec![route.neighbour],
        None => able.iter().map(|(_, route)| route.neighbour).collect(),
    }
}
