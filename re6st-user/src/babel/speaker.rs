//! The speaker as its caller sees it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv6Addr,
    time::Duration,
};

use super::{
    counters::Counters,
    digest::Announced,
    input::{Input, InterfaceId, Restored},
    interface::Interface,
    limits::TokenBucket,
    message::{Message, Update},
    neighbour::{NeighbourId, Neighbours},
    output::{Event, GROUP, OutgoingPacket, Output},
    quantities::{Interval, Metric, RouterId, SequenceNumber},
    random::Random,
    requests::PendingRequest,
    restart::{RestoredDistances, RestoredRoutes, RestoredWays},
    settings::Settings,
    table::{DestinationId, Table},
    timers::{Appointment, Calendar, Timer, Timers},
    updates::Audience,
    wire::{PacketWriter, PushError},
};
use crate::{route::RouteKey, time::Time};

/// Steps of work that each kind of what is due may take in one call, so that it stays short: a few milliseconds. What is left
/// is due at once.
const STEPS: u64 = 4096;
/// Our own sequence number may grow this often.
const SEQUENCE_NUMBERS_PER_SECOND: u32 = 2;

/// No speaker remembers a sequence number of ours for longer: BIRD for five minutes after the last announcement, which lasts
/// another.
const REMEMBERED: Duration = Duration::from_secs(400);

/// The log hears of each bound this often, and for as long it is warned of.
pub(super) const BETWEEN_REPORTS: Duration = Duration::from_secs(600);

/// A bound that was reached.
#[derive(Debug)]
pub(super) struct Reached {
    /// Where, the last time.
    pub interface: InterfaceId,
    pub last: Time,
    /// When the log was told.
    reported: Option<Time>,
}

/// A router that speaks Babel. It does nothing by itself: [`Speaker::handle`] is called whenever something happens, and
/// at the latest at [`Speaker::next_deadline`] with [`Input::Time`].
#[derive(Debug)]
pub struct Speaker {
    pub(super) settings: Settings,
    pub(super) now: Time,
    pub(super) random: Random,
    pub(super) counters: Counters,
    pub(super) interfaces: BTreeMap<InterfaceId, Interface>,
    /// What people call interfaces, also those that are gone.
    pub(super) names: BTreeMap<InterfaceId, String>,
    pub(super) neighbours: Neighbours,
    pub(super) table: Table,
    /// Our own routes.
    pub(super) own: BTreeMap<RouteKey, DestinationId>,
    pub(super) sequence_number: SequenceNumber,
    /// Whether the number goes on from the life before.
    pub(super) sequence_number_restored: bool,
    /// Until then others may remember a number of a life before.
    pub(super) remembered_until: Time,
    pub(super) sequence_number_pace: TokenBucket,
    /// What somebody else announced last with our router-id.
    pub(super) duplicate: Option<DestinationId>,
    /// Bounds that were reached.
    pub(super) limits_reached: BTreeMap<&'static str, Reached>,
    pub(super) requests: BTreeMap<(DestinationId, RouterId), PendingRequest>,
    pub(super) restored: RestoredRoutes,
    pub(super) restored_ways: RestoredWays,
    /// Those of them whose neighbour took back what it said, to be given up.
    pub(super) voided: VecDeque<(DestinationId, InterfaceId, Ipv6Addr)>,
    /// When the restart is over; the start of the clock if there was none.
    pub(super) restart_over: Time,
    /// The feasibility distances of before, while it lasts.
    pub(super) restored_distances: RestoredDistances,
    /// Whether no announcement of ours is in force whose distance is not known.
    pub(super) distances_known: bool,
    /// Until then we only listen, after a start that remembers no routes.
    pub(super) listening_until: Time,
    /// Of what is announced.
    pub(super) announced: Announced,
    /// When small changes were last announced.
    pub(super) refreshed: Time,
    pub(super) timers: Timers,
    pub(super) calendar: Calendar,
    /// Neighbours whose routes are still to be compared or removed.
    work: VecDeque<NeighbourId>,
    /// Work done so far: routes compared, updates considered, prefixes sorted.
    pub(super) steps: u64,
    pub(super) outputs: Vec<Output>,
}

impl Speaker {
    /// A speaker without interfaces and routes of its own. `seed` decides all its jitter.
    pub fn new(now: Time, settings: Settings, restored: &Restored, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let number = restored.sequence_number.map(SequenceNumber::next);
        let mut speaker = Self {
            settings,
            now,
            sequence_number: number.unwrap_or(SequenceNumber(random.next() as u16)),
            sequence_number_restored: number.is_some(),
            remembered_until: now + REMEMBERED,
            sequence_number_pace: TokenBucket::new(SEQUENCE_NUMBERS_PER_SECOND, 10),
            random,
            counters: Counters::default(),
            interfaces: BTreeMap::new(),
            names: BTreeMap::new(),
            neighbours: Neighbours::default(),
            table: Table::default(),
            own: BTreeMap::new(),
            duplicate: None,
            limits_reached: BTreeMap::new(),
            requests: BTreeMap::new(),
            restored: RestoredRoutes::new(),
            restored_ways: RestoredWays::new(),
            voided: VecDeque::new(),
            restart_over: Time(0),
            restored_distances: RestoredDistances::new(),
            distances_known: restored.distances.is_some() || restored.routes.is_empty(),
            listening_until: now,
            announced: Announced::default(),
            refreshed: now,
            timers: Timers::default(),
            calendar: Calendar::default(),
            work: VecDeque::new(),
            steps: 0,
            outputs: Vec::new(),
        };
        speaker.restore(restored);
        speaker
            .outputs
            .push(Output::SaveSequenceNumber(speaker.sequence_number));
        speaker
    }

    /// Handles what happened, and whatever is due at `now`; appends what is to be done, in order.
    pub fn handle(&mut self, now: Time, input: Input, outputs: &mut Vec<Output>) {
        self.now = self.now.max(now);
        match input {
            Input::Interface {
                interface,
                settings,
            } => self.set_interface(interface, *settings),
            Input::InterfaceRemoved { interface } => {
                self.stop_interface(interface);
                self.interfaces.remove(&interface);
            }
            Input::Carrier { interface, up } => self.carrier(interface, up),
            Input::Received {
                interface,
                source,
                bytes,
                received_at,
                destination,
            } => {
                let group = destination == GROUP;
                self.receive(interface, source, group, &bytes, received_at);
            }
            Input::Announce { route, metric } => self.announce(route, metric),
            Input::Withdraw { route } => self.withdraw(&route),
            Input::Installed { route, installed } => self.set_installed(&route, installed),
            Input::CostMultiplier {
                interface,
                neighbour,
                multiplier,
            } => {
                self.set_multiplier(interface, neighbour, multiplier);
            }
            Input::Time => {}
            Input::ShutDown => self.shut_down(),
        }
        self.keep_appointments();
        outputs.append(&mut self.outputs);
    }

    /// When [`Speaker::handle`] must be called at the latest, `None` if nothing is due. It may lie in the past, when
    /// work was left undone to keep the call short.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.work.is_empty() || !self.voided.is_empty() || !self.outputs.is_empty() {
            return Some(self.now);
        }
        [self.timers.next(), self.calendar.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What it was given.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Of our own routes.
    pub const fn sequence_number(&self) -> SequenceNumber {
        self.sequence_number
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Everything that is due, as far as the steps reach.
    fn keep_appointments(&mut self) {
        self.work_off(|speaker| {
            let timer = speaker.timers.pop(speaker.now)?;
            speaker.time_out(timer);
            Some(())
        });
        self.work_off(|speaker| {
            match speaker.calendar.pop(speaker.now)? {
                Appointment::Route(id, neighbour) => speaker.check_expiry(id, neighbour),
                Appointment::Destination(id) => speaker.look_after(id),
                Appointment::Resend(id) => speaker.resend(id),
            }
            Some(())
        });
        self.work_off(Self::void_next_restored);
        if let Some(neighbour) = self.work.pop_front()
            && self.work_on(neighbour)
        {
            self.work.push_back(neighbour);
        }
    }

    /// Does one thing after the other until there is none, or it is enough for one call.
    fn work_off(&mut self, mut next: impl FnMut(&mut Self) -> Option<()>) {
        let enough = self.steps + STEPS;
        while self.steps < enough && next(self).is_some() {
            self.steps += 1;
        }
    }

    fn time_out(&mut self, timer: Timer) {
        match timer {
            Timer::Hello(id) => self.send_hello(id),
            Timer::Update(id) => self.periodic_update(id),
            Timer::FlushGroup(id) => self.flush(Audience::Group(id)),
            Timer::Flush(id) => self.flush(Audience::Neighbour(id)),
            Timer::HelloMissed(id) => self.hello_missed(id, false),
            Timer::UnicastHelloMissed(id) => self.hello_missed(id, true),
            Timer::HearingExpired(id) => self.hearing_expired(id),
            Timer::Silence(id) => self.check_silence(id),
            Timer::PathMtu(id) => self.check_path_mtu(id),
            Timer::Dump(id) => self.start_dump(id),
            Timer::Request(id, router_id) => self.repeat_request(id, router_id),
            Timer::RestartOver => self.end_restart(),
            Timer::Settled => self.settle(),
            Timer::Listened => self.compare_all(),
        }
    }

    /// A neighbour's routes are to be compared anew, a part at a time.
    pub(super) fn compare_routes(&mut self, id: NeighbourId) {
        if let Some(neighbour) = self.neighbours.get_mut(id) {
            neighbour.to_compare = neighbour.routes.len();
            self.enqueue_work(id);
        }
    }

    /// A neighbour's routes are to be looked at, a part at a time.
    pub(super) fn enqueue_work(&mut self, id: NeighbourId) {
        if !self.work.contains(&id) {
            self.work.push_back(id);
        }
    }

    fn announce(&mut self, route: RouteKey, metric: Metric) {
        if self.is_refused(&route) {
            return;
        }
        let id = self.table.find_or_insert(route);
        self.own.insert(route, id);
        if let Some(destination) = self.table.get_mut(id) {
            destination.own = Some(metric);
        }
        self.select(id);
        self.reconsider_announcement(id, true);
    }

    fn withdraw(&mut self, route: &RouteKey) {
        let Some(id) = self.own.remove(route) else {
            return;
        };
        if let Some(destination) = self.table.get_mut(id) {
            destination.own = None;
        }
        self.select(id);
    }

    /// Tells neighbours that nothing goes by us any more (section 3.5.5 and appendix B); installed routes stay.
    fn shut_down(&mut self) {
        for id in self.interfaces.keys().copied().collect::<Vec<_>>() {
            self.take_leave(id);
        }
        self.timers = Timers::default();
        self.calendar = Calendar::default();
        self.work.clear();
        self.voided.clear();
        self.interfaces.clear();
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Notes that a bound was reached, and tells the log, seldom.
    pub(super) fn limit_reached(&mut self, interface: InterfaceId, limit: &'static str) {
        let now = self.now;
        let reached = self.limits_reached.entry(limit).or_insert(Reached {
            interface,
            last: now,
            reported: None,
        });
        (reached.interface, reached.last) = (interface, now);
        let recent = |reported: Time| now.since(reported) < BETWEEN_REPORTS;
        if !reached.reported.is_some_and(recent) {
            reached.reported = Some(now);
            self.event(Event::LimitReached { interface, limit });
        }
    }

    /// The same, of a neighbour.
    pub(super) fn limit_reached_by(&mut self, id: NeighbourId, limit: &'static str) {
        if let Some(interface) = self.neighbours.get(id).map(|neighbour| neighbour.interface) {
            self.limit_reached(interface, limit);
        }
    }

    /// Sends messages at once, in as many packets as they need.
    pub(super) fn send(&mut self, audience: Audience, messages: Vec<Message>) {
        let Some((interface, _)) = self.address(audience) else {
            return;
        };
        let Some(interface) = self.interfaces.get(&interface) else {
            return;
        };
        let mut packets = vec![interface.writer()];
        for mut message in messages {
            if packets.len() > 1 {
                forget_times(&mut message);
            }
            let Some(packet) = packets.last_mut() else {
                return;
            };
            let mut result = packet.push(&message);
            if matches!(result, Err(PushError::Full)) && !packet.is_empty() {
                forget_times(&mut message);
                let mut next = interface.writer();
                result = next.push(&message);
                packets.push(next);
            }
            self.counters.illegal_messages += u64::from(result.is_err());
        }
        for packet in packets.into_iter().filter(|packet| !packet.is_empty()) {
            self.send_packet(audience, packet);
        }
    }

    pub(super) fn send_packet(&mut self, audience: Audience, packet: PacketWriter) {
        let Some((interface, destination)) = self.address(audience) else {
            return;
        };
        let timestamp_at = packet.timestamp_at();
        let packet = OutgoingPacket {
            timestamp_at,
            bytes: packet.finish(),
        };
        self.counters.packets_sent += 1;
        self.outputs.push(Output::Send {
            interface,
            destination,
            packet,
        });
    }

    fn address(&self, audience: Audience) -> Option<(InterfaceId, Ipv6Addr)> {
        match audience {
            Audience::Group(id) => Some((id, GROUP)),
            Audience::Neighbour(id) => {
                let neighbour = self.neighbours.get(id)?;
                Some((neighbour.interface, neighbour.address))
            }
        }
    }

    /// To one neighbour, at once.
    pub(super) fn send_now(&mut self, id: NeighbourId, message: Message) {
        self.send(Audience::Neighbour(id), vec![message]);
    }

    /// To one neighbour, together with what else it is told within a few milliseconds.
    pub(super) fn send_soon(&mut self, id: NeighbourId, message: Message) {
        if let Some(neighbour) = self.neighbours.get_mut(id) {
            neighbour.outbox.messages.push(message);
            let at = self.now + Duration::from_millis(5);
            self.timers.set_by(Timer::Flush(id), at);
        }
    }

    /// There is no such route (section 3.8.1.1).
    pub(super) fn send_retraction(&mut self, to: NeighbourId, route: RouteKey) {
        let retraction = Update {
            route,
            router_id: None,
            sequence_number: SequenceNumber(0),
            metric: Metric::INFINITY,
            interval: Interval::INFINITE,
            next_hop: None,
        };
        self.send_soon(to, Message::Update(retraction));
    }
}

/// Times of an IHU count only beside the Hello they answer with (RFC 9616 section 3.2), which is in the first packet.
const fn forget_times(message: &mut Message) {
    if let Message::IHeardYou { timestamps, .. } = message {
        *timestamps = None;
    }
}
