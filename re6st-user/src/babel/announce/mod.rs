//! Announcing (RFC 8966 section 3.7): who is told of what changed, when, and how fast.
//!
//! Going in: what is to be announced, requests for it, the passage of time. Coming out: packets to links.

mod outbox;
mod update;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use self::{outbox::Outbox, update::Telling};
use super::{
    context::Context,
    ids::{Audience, DestinationId, NeighbourId},
    input::InterfaceId,
    limits::TokenBucket,
    link::Links,
    message::{Message, Update},
    quantities::{Interval, Metric, SequenceNumber},
    rib::Rib,
    timers::Timers,
    wire::{PacketWriter, PushError},
};
use crate::{route::RouteKey, time::Time};

/// Jitter of what must be known soon: new prefixes, retractions, other origins (section 3.7.2 allows 0.2 s).
const URGENT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(40));
/// Jitter of other triggered updates.
const TRIGGERED: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// What else a neighbour is told waits so long for more.
const SOON: Duration = Duration::from_millis(5);
/// Packets that may leave back to back, and how many a second after that: half of what a receive buffer of 200 kB takes.
const BURST: u32 = 32;
const PACKETS_PER_SECOND: u32 = 640;
/// Packets with updates wait until this many may leave, so that they leave together.
const BATCH: u32 = 8;
/// Steps of work that updates of one outbox may take in one go; it goes on at once.
const STEPS: u64 = 4096;
/// Between full announcements that one neighbour asks for.
const BETWEEN_DUMPS: Duration = Duration::from_secs(2);
/// So many may come at once: who asks while it does not hear us well asks again when it does.
const DUMPS_AT_ONCE: u32 = 3;
/// A TLV has 255 octets.
const BLOCKS_PER_MESSAGE: usize = 16;
/// When updates still wait, the digest is put off by this.
const LATER: Duration = Duration::from_millis(200);

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The next full announcement.
    Update(InterfaceId),
    /// Something waits to be sent.
    Flush(Audience),
    /// A full announcement to one neighbour was put off.
    Dump(NeighbourId),
}

/// The neighbours of an interface together.
#[derive(Debug)]
struct Group {
    up: bool,
    outbox: Outbox,
    /// Of packets with updates, also to single neighbours.
    pace: TokenBucket,
}

/// A neighbour alone.
#[derive(Debug)]
struct Listener {
    interface: InterfaceId,
    outbox: Outbox,
    /// Whether it was told all once.
    told_all: bool,
    /// Of full announcements.
    dumps: TokenBucket,
    /// Which blocks of the digest are to be announced to it.
    wanted: u64,
}

/// What waits to be said.
#[derive(Debug)]
pub struct Announcer {
    groups: BTreeMap<InterfaceId, Group>,
    listeners: HashMap<NeighbourId, Listener>,
    timers: Timers<Timer>,
    /// When small changes were last announced.
    refreshed: Time,
}

impl Announcer {
    /// With nobody there to hear it.
    pub fn new(now: Time) -> Self {
        Self {
            groups: BTreeMap::new(),
            listeners: HashMap::new(),
            timers: Timers::default(),
            refreshed: now,
        }
    }

    /// An interface begins to work, or has other settings.
    pub fn start(&mut self, context: &mut Context, links: &Links, id: InterfaceId) {
        let Some(settings) = links.settings(id) else {
            return;
        };
        let group = self.groups.entry(id).or_insert_with(|| Group {
            up: true,
            outbox: Outbox::default(),
            pace: TokenBucket::new(PACKETS_PER_SECOND, BURST),
        });
        group.up = true;
        let interval = settings.update_interval;
        let first = context.random.between(interval / 2, interval);
        self.timers.set(Timer::Update(id), context.now + first);
    }

    /// An interface does not work any more.
    pub fn stop(&mut self, id: InterfaceId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.up = false;
            group.outbox = Outbox::default();
        }
        self.timers.cancel(Timer::Update(id));
        self.timers.cancel(Timer::Flush(Audience::Group(id)));
    }

    pub fn remove(&mut self, id: InterfaceId) {
        self.groups.remove(&id);
    }

    /// Nothing is to be said any more.
    pub fn shut_down(&mut self) {
        self.timers = Timers::default();
        self.groups.clear();
    }

    pub fn meet(&mut self, id: NeighbourId, interface: InterfaceId) {
        let listener = Listener {
            interface,
            outbox: Outbox::default(),
            told_all: false,
            dumps: TokenBucket::every(BETWEEN_DUMPS, DUMPS_AT_ONCE),
            wanted: 0,
        };
        self.listeners.insert(id, listener);
    }

    pub fn leave(&mut self, id: NeighbourId) {
        self.listeners.remove(&id);
        self.timers.cancel(Timer::Flush(Audience::Neighbour(id)));
        self.timers.cancel(Timer::Dump(id));
    }

    /// Announces a prefix to everybody.
    pub fn announce(&mut self, context: &mut Context, id: DestinationId, urgent: bool) {
        let (least, most) = if urgent { URGENT } else { TRIGGERED };
        let at = context.now + context.random.between(least, most);
        context.steps += self.groups.len() as u64;
        for (interface, group) in self.groups.iter_mut().filter(|(_, group)| group.up) {
            group.outbox.announce(id);
            let timer = Timer::Flush(Audience::Group(*interface));
            self.timers.set_by(timer, at);
        }
    }

    /// A prefix is learned elsewhere now: where it was learned before, neighbours have heard nothing of it if the horizon is
    /// split there (section 3.7.4).
    pub fn announce_where_learned(
        &mut self,
        context: &mut Context,
        links: &Links,
        id: DestinationId,
        former: Option<InterfaceId>,
    ) {
        let at = context.now + context.random.between(TRIGGERED.0, TRIGGERED.1);
        if let Some(former) = former
            && let Some(group) = self.groups.get_mut(&former)
            && group.up
            && links
                .settings(former)
                .is_some_and(|settings| settings.split_horizon)
        {
            group.outbox.announce(id);
            let timer = Timer::Flush(Audience::Group(former));
            self.timers.set_by(timer, at);
        }
    }

    /// All is announced on an interface as its filter has it now, retractions of what was announced before among it.
    pub fn announce_anew(&mut self, now: Time, rib: &Rib, id: InterfaceId) {
        if let Some(group) = self.groups.get_mut(&id) {
            for (destination, _) in rib.table().iter() {
                group.outbox.announce(destination);
            }
            self.timers.set_by(Timer::Flush(Audience::Group(id)), now);
        }
    }

    /// Announces one prefix to one neighbour, soon.
    pub fn announce_to(&mut self, context: &mut Context, to: NeighbourId, id: DestinationId) {
        let at = context.now + context.random.between(URGENT.0, URGENT.1);
        if let Some(listener) = self.listeners.get_mut(&to) {
            listener.outbox.announce(id);
            let timer = Timer::Flush(Audience::Neighbour(to));
            self.timers.set_by(timer, at);
        }
    }

    /// Announces all of some blocks of the digest to one neighbour, soon; not again and again if it asks too often.
    pub fn dump_to(&mut self, now: Time, id: NeighbourId, blocks: u64) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.wanted |= blocks;
            let soon = now + URGENT.0;
            let due = soon.max(listener.dumps.ready_at(1));
            self.timers.set_by(Timer::Dump(id), due);
        }
    }

    /// To one neighbour, together with what else it is told within a few milliseconds.
    pub fn tell(&mut self, now: Time, id: NeighbourId, message: Message) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.outbox.messages.push(message);
            let timer = Timer::Flush(Audience::Neighbour(id));
            self.timers.set_by(timer, now + SOON);
        }
    }

    /// Answers a route request, for everything if it names no route (section 3.8.1.1).
    pub fn answer(
        &mut self,
        context: &mut Context,
        rib: &Rib,
        from: NeighbourId,
        route: Option<RouteKey>,
    ) {
        context.counters.route_requests += 1;
        let Some(route) = route else {
            self.dump_to(context.now, from, u64::MAX);
            return;
        };
        if let Some(id) = rib.table().find(&route) {
            self.announce_to(context, from, id);
            return;
        }
        let retraction = Update {
            route,
            router_id: None,
            sequence_number: SequenceNumber(0),
            metric: Metric::INFINITY,
            interval: Interval::INFINITE,
            next_hop: None,
        };
        self.tell(context.now, from, Message::Update(retraction));
    }

    /// Whether small changes that triggered no update are to be told now, with the full announcement of an interface: once for
    /// all interfaces that are due at about the same time.
    pub fn refreshes(&mut self, now: Time, links: &Links, id: InterfaceId) -> bool {
        let interval = links.settings(id).map(|settings| settings.update_interval);
        let recent = interval.is_some_and(|interval| now.since(self.refreshed) < interval / 2);
        if !recent {
            self.refreshed = now;
        }
        !recent
    }

    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        self.timers.pop(now)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    pub fn time_out(&mut self, context: &mut Context, rib: &Rib, links: &Links, timer: Timer) {
        match timer {
            Timer::Update(id) => self.announce_all(context, rib, links, id),
            Timer::Flush(audience) => self.flush(context, rib, links, audience),
            Timer::Dump(id) => self.start_dump(context, id),
        }
    }

    fn start_dump(&mut self, context: &mut Context, id: NeighbourId) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            let blocks = std::mem::take(&mut listener.wanted);
            listener.dumps.take(context.now);
            listener.told_all = true;
            listener.outbox.announce_blocks(blocks);
            context.counters.full_updates += u64::from(blocks == u64::MAX);
            let timer = Timer::Flush(Audience::Neighbour(id));
            self.timers.set_by(timer, context.now);
        }
    }

    /// The full announcement of an interface (section 3.7.1).
    fn announce_all(&mut self, context: &mut Context, rib: &Rib, links: &Links, id: InterfaceId) {
        let Some(settings) = links.settings(id) else {
            return;
        };
        let interval = settings.update_interval;
        // jitter only makes it earlier: routes must not expire; and little, because all is announced
        let next = context.now + context.random.between(interval * 63 / 64, interval);
        self.timers.set(Timer::Update(id), next);
        if self.digest_suffices(links, id) {
            self.send_digest(context, rib, links, id);
        } else if let Some(group) = self.groups.get_mut(&id).filter(|group| group.up) {
            group.outbox.announce_all();
            context.counters.full_updates += 1;
            let timer = Timer::Flush(Audience::Group(id));
            self.timers.set_by(timer, context.now);
        }
    }

    /// Whether a digest may stand for the full announcement: all neighbours there are of our kind, hear all that is
    /// announced, and have heard it once.
    fn digest_suffices(&self, links: &Links, id: InterfaceId) -> bool {
        let neighbours = links.of_interface(id);
        let informed = |id: &NeighbourId| {
            let listener = self.listeners.get(id);
            let heard_all = listener.is_some_and(|listener| listener.told_all);
            heard_all && links.is_of_our_kind(*id)
        };
        links
            .settings(id)
            .is_some_and(|settings| settings.announce.is_empty() && !settings.own_only)
            && !neighbours.is_empty()
            && neighbours.iter().all(informed)
    }

    /// Says what was announced, in short. Updates that wait go first, or the digest would be ahead of them.
    fn send_digest(&mut self, context: &mut Context, rib: &Rib, links: &Links, id: InterfaceId) {
        self.flush(context, rib, links, Audience::Group(id));
        let (Some(group), Some(settings)) = (self.groups.get(&id), links.settings(id)) else {
            return;
        };
        let waits = |id: &NeighbourId| {
            let listener = self.listeners.get(id);
            listener.is_some_and(|listener| listener.outbox.has_updates())
        };
        if group.outbox.has_updates() || links.of_interface(id).iter().any(waits) {
            self.timers.set_by(Timer::Update(id), context.now + LATER);
            return;
        }
        let interval = Interval::from_duration(settings.update_interval);
        let digest = rib.digest(id, settings.split_horizon);
        let parts = digest.chunks(BLOCKS_PER_MESSAGE).enumerate();
        let messages = parts.map(|(part, blocks)| Message::Digest {
            first: (part * BLOCKS_PER_MESSAGE) as u8,
            interval,
            blocks: blocks.to_vec(),
        });
        links.send(context, Audience::Group(id), messages.collect());
    }

    /// Sends what waits, updates as fast as the interface's pace allows.
    fn flush(&mut self, context: &mut Context, rib: &Rib, links: &Links, audience: Audience) {
        let (interface, outbox) = match audience {
            Audience::Group(id) => (id, None),
            Audience::Neighbour(id) => match self.listeners.get_mut(&id) {
                Some(listener) => (listener.interface, Some(&mut listener.outbox)),
                None => return,
            },
        };
        let (Some(group), Some(settings)) =
            (self.groups.get_mut(&interface), links.settings(interface))
        else {
            return;
        };
        if outbox.is_none() && !group.up {
            return;
        }
        let pace = &mut group.pace;
        let outbox = outbox.unwrap_or(&mut group.outbox);
        let messages = std::mem::take(&mut outbox.messages);
        if !messages.is_empty() {
            links.send(context, audience, messages);
        }
        let telling = Telling {
            interface,
            settings,
            router_id: context.settings.router_id,
            audience,
        };
        let enough = context.steps + STEPS;
        while outbox.has_updates() {
            if context.steps >= enough {
                self.timers.set_by(Timer::Flush(audience), context.now);
                break;
            }
            if !pace.take(context.now) {
                let ready = pace.ready_at(BATCH);
                self.timers.set_by(Timer::Flush(audience), ready);
                break;
            }
            let Some(mut packet) = links.writer(audience) else {
                break;
            };
            fill(&mut packet, outbox, context, rib, &telling, enough);
            links.send_packet(context, audience, packet);
        }
    }
}

/// As many updates as fit one packet and are found in the steps that are left.
fn fill(
    packet: &mut PacketWriter,
    outbox: &mut Outbox,
    context: &mut Context,
    rib: &Rib,
    telling: &Telling<'_>,
    enough: u64,
) {
    while context.steps < enough
        && let Some((id, dump)) = outbox.next(rib.table(), &mut context.steps)
    {
        let Some(update) = telling.update(rib, id, dump) else {
            continue;
        };
        match packet.push(&Message::Update(update)) {
            Ok(()) => context.counters.updates_sent += 1,
            Err(PushError::Full) => {
                outbox.give_back(id, dump);
                break;
            }
            Err(PushError::Illegal) => context.counters.illegal_messages += 1,
        }
    }
}
