//! Updates (RFC 8966 section 3.7): what is announced, when, to whom, and how fast.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    input::InterfaceId,
    interface::Interface,
    message::{Message, NextHop, Update},
    neighbour::NeighbourId,
    outbox::Outbox,
    probing::UNRESPONSIVE,
    quantities::{Interval, Metric, SequenceNumber},
    speaker::Speaker,
    table::{Announcement, Destination, DestinationId, Installed, Source},
    timers::{Appointment, Tick, Timer},
    wire::{PacketWriter, PushError},
};

/// Jitter of what must be known soon: new prefixes, retractions, other origins (section 3.7.2 allows 0.2 s).
const URGENT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(40));
/// Jitter of other triggered updates.
const TRIGGERED: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// How often what must not get lost is said again (section 3.7.2).
const RESENDS: u8 = 3;
/// Before the first repetition; doubled each time.
const RESEND_AFTER: Duration = Duration::from_millis(500);
/// Packets with updates wait until this many may leave, so that they leave together.
const BATCH: u32 = 8;
/// Steps of work that updates of one outbox may take in one go; it goes on at once.
const STEPS: u64 = 4096;
/// Between full announcements that one neighbour asks for.
const BETWEEN_DUMPS: Duration = Duration::from_secs(2);

/// Where updates go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audience {
    Group(InterfaceId),
    Neighbour(NeighbourId),
}

impl Speaker {
    /// What we have to say of a prefix: our own route before learned ones, and of these only what is installed.
    fn present_announcement(&self, destination: &Destination) -> Option<Announcement> {
        if let Some(metric) = destination.own {
            return Some(Announcement {
                router_id: self.settings.router_id,
                sequence_number: self.sequence_number,
                metric,
            });
        }
        let route = destination.route(destination.selected?)?;
        let metric = match destination.not_installed {
            true => Metric::INFINITY,
            false => self.metric(route),
        };
        (!metric.is_infinite()).then_some(Announcement {
            router_id: route.router_id,
            sequence_number: route.sequence_number,
            metric,
        })
    }

    /// Announces a prefix anew if what neighbours were told is too far from the truth (section 3.7.2), or with `exact`
    /// if it differs at all.
    pub(super) fn reconsider_announcement(&mut self, id: DestinationId, exact: bool) {
        self.follow_horizon(id);
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let old = destination
            .announced
            .filter(|old| !old.metric.is_infinite());
        let new = self.present_announcement(destination);
        let (new, urgent, reliable) = match (old, new) {
            (None, None) => return,
            (None, Some(new)) => (new, true, false),
            (Some(old), None) => {
                let retraction = Announcement {
                    metric: Metric::INFINITY,
                    ..old
                };
                (retraction, true, true)
            }
            (Some(old), Some(new)) if old.router_id != new.router_id => (new, true, true),
            (Some(old), Some(new)) => {
                let change = old.metric.0.abs_diff(new.metric.0);
                let big = u32::from(change) * 8 >= u32::from(old.metric.0) && change > 0;
                if !(big || exact && old != new) {
                    return;
                }
                // as good as a retraction for whoever has another way
                let avoided = new.metric > old.metric && change >= UNRESPONSIVE / 2;
                (new, avoided, avoided)
            }
        };
        self.change_announcement(id, new, reliable);
        self.announce_everywhere(id, urgent);
    }

    /// Where a prefix is learned may change without a change of what is announced. Neighbours at the former place have
    /// heard nothing of it if the horizon is split there (section 3.7.4).
    fn follow_horizon(&mut self, id: DestinationId) {
        let Some(destination) = self.table.get(id) else {
            return;
        };
        let learned_on = self.learned_on(destination);
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        if destination.learned_on == learned_on {
            return;
        }
        self.announced.remove(destination);
        let former = std::mem::replace(&mut destination.learned_on, learned_on);
        self.announced.add(destination);
        if destination.announced.is_none() || !destination.has_way() {
            return;
        }
        let at = self.now + self.random.between(TRIGGERED.0, TRIGGERED.1);
        if let Some(former) = former
            && let Some(interface) = self.interfaces.get_mut(&former)
            && interface.up
            && interface.settings.split_horizon
        {
            interface.outbox.announce(id);
            self.timers.set_by(Timer::FlushGroup(former), at);
        }
    }

    /// The interface that a prefix is learned on; `None` of our own and of those without a way.
    fn learned_on(&self, destination: &Destination) -> Option<InterfaceId> {
        if destination.own.is_some() {
            return None;
        }
        let via = self.neighbours.get(destination.selected?)?;
        Some(via.interface)
    }

    /// Changes what neighbours are told of a prefix; the feasibility distance falls first (section 3.7.3).
    fn change_announcement(&mut self, id: DestinationId, new: Announcement, reliable: bool) {
        let now = Tick::from_time(self.now);
        let most = self.settings.limits.sources_per_route;
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.use_source(now);
        let before = destination.source(new.router_id).map(Source::distance);
        let limited = destination.own.is_none() && destination.raise_source(new, now, most);
        let fell = before != destination.source(new.router_id).map(Source::distance);
        self.announced.remove(destination);
        destination.announced = Some(new);
        self.announced.add(destination);
        if reliable && std::mem::replace(&mut destination.resends, RESENDS) == 0 {
            let at = Tick::from_time(self.now + RESEND_AFTER);
            let appointment = Appointment::Resend(id);
            self.calendar
                .set_by(&mut destination.resend_at, at, appointment);
        }
        let selected = destination.selected;
        if fell {
            self.save_distance(id);
        }
        if limited {
            self.counters.limited_sources += 1;
            if let Some(selected) = selected {
                self.limit_reached_by(selected, "origins of a prefix");
            }
        }
    }

    /// A retraction of what we may have announced in a life before.
    pub(super) fn retract(&mut self, id: DestinationId) {
        let retraction = Announcement {
            router_id: self.settings.router_id,
            sequence_number: SequenceNumber(0),
            metric: Metric::INFINITY,
        };
        self.change_announcement(id, retraction, true);
        self.announce_everywhere(id, true);
    }

    /// [`Appointment::Resend`]: says it again, and at last forgets a retraction.
    pub(super) fn resend(&mut self, id: DestinationId) {
        let Some(destination) = self.table.get_mut(id) else {
            return;
        };
        destination.resend_at = Tick::UNSET;
        if destination.resends > 0 {
            destination.resends -= 1;
            let wait = RESEND_AFTER * (1 << (RESENDS - destination.resends));
            self.counters.resent_updates += 1;
            let (at, appointment) = (Tick::from_time(self.now + wait), Appointment::Resend(id));
            self.calendar
                .set(&mut destination.resend_at, at, appointment);
            self.announce_everywhere(id, false);
            return;
        }
        if destination
            .announced
            .is_some_and(|announced| announced.metric.is_infinite())
        {
            destination.announced = None;
        }
        self.forget_if_empty(id);
    }

    /// All is announced on an interface as its filter has it now, retractions of what was announced before among it.
    pub(super) fn announce_anew(&mut self, id: InterfaceId) {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        for (destination, _) in self.table.iter() {
            interface.outbox.announce(destination);
        }
        self.timers.set_by(Timer::FlushGroup(id), self.now);
    }

    fn announce_everywhere(&mut self, id: DestinationId, urgent: bool) {
        let (least, most) = if urgent { URGENT } else { TRIGGERED };
        let at = self.now + self.random.between(least, most);
        self.steps += self.interfaces.len() as u64;
        for (interface_id, interface) in &mut self.interfaces {
            if interface.up {
                interface.outbox.announce(id);
                self.timers.set_by(Timer::FlushGroup(*interface_id), at);
            }
        }
    }

    /// Announces one prefix to one neighbour, soon.
    pub(super) fn announce_to(&mut self, neighbour: NeighbourId, id: DestinationId) {
        let at = self.now + self.random.between(URGENT.0, URGENT.1);
        if let Some(neighbour) = self.neighbours.get_mut(neighbour) {
            neighbour.outbox.announce(id);
        }
        self.timers.set_by(Timer::Flush(neighbour), at);
    }

    /// Announces everything to one neighbour (section 3.8.1.1).
    pub(super) fn dump_to(&mut self, id: NeighbourId) {
        self.dump_blocks_to(id, u64::MAX);
    }

    /// Announces all of some blocks of the digest to one neighbour, soon; not again and again if it asks too often.
    pub(super) fn dump_blocks_to(&mut self, id: NeighbourId, blocks: u64) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        neighbour.wanted |= blocks;
        let soon = self.now + URGENT.0;
        let due = neighbour
            .last_dump
            .map_or(soon, |last| soon.max(last + BETWEEN_DUMPS));
        self.timers.set_by(Timer::Dump(id), due);
    }

    /// [`Timer::Dump`].
    pub(super) fn start_dump(&mut self, id: NeighbourId) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let blocks = std::mem::take(&mut neighbour.wanted);
        neighbour.last_dump = Some(self.now);
        neighbour.outbox.announce_blocks(blocks);
        self.counters.full_updates += u64::from(blocks == u64::MAX);
        self.timers.set_by(Timer::Flush(id), self.now);
    }

    /// [`Timer::Update`]: the full announcement of an interface (section 3.7.1).
    pub(super) fn periodic_update(&mut self, id: InterfaceId) {
        self.refresh_announcements(id);
        let now = self.now;
        let by_digest = self.digest_suffices(id);
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        let interval = interface.settings.update_interval;
        // jitter only makes it earlier: routes must not expire; and little, because all is announced
        let next = now + self.random.between(interval * 63 / 64, interval);
        self.timers.set(Timer::Update(id), next);
        if by_digest {
            self.send_digest(id);
            return;
        }
        if let Some(interface) = self.interfaces.get_mut(&id)
            && interface.up
        {
            interface.outbox.announce_all();
            self.counters.full_updates += 1;
            self.timers.set_by(Timer::FlushGroup(id), now);
        }
    }

    /// Small changes that triggered no update are told with the full announcement: once for all interfaces that are due
    /// at about the same time.
    fn refresh_announcements(&mut self, id: InterfaceId) {
        let interval = self
            .interfaces
            .get(&id)
            .map(|interface| interface.settings.update_interval);
        let recent = interval.is_some_and(|interval| self.now.since(self.refreshed) < interval / 2);
        if recent {
            return;
        }
        self.refreshed = self.now;
        let changed: Vec<DestinationId> = self
            .table
            .iter()
            .filter(|(_, destination)| {
                let new = self.present_announcement(destination);
                new.is_some() && new != destination.announced
            })
            .map(|(id, _)| id)
            .collect();
        for id in changed {
            self.reconsider_announcement(id, true);
        }
    }

    /// The update for a prefix, as an audience is told; `None` if it is told nothing.
    fn update_for(
        &self,
        id: DestinationId,
        interface_id: InterfaceId,
        interface: &Interface,
        dump: bool,
        group: bool,
    ) -> Option<Update> {
        let destination = self.table.get(id)?;
        let announced = destination.announced.or_else(|| {
            // asked for, and there is nothing: a retraction (section 3.8.1.1); after a restart we do not know yet
            let nothing = !dump && !group && destination.installed != Installed::Restored;
            nothing.then_some(Announcement {
                router_id: self.settings.router_id,
                sequence_number: SequenceNumber(0),
                metric: Metric::INFINITY,
            })
        })?;
        let settings = &interface.settings;
        let learned_here = || self.learned_on(destination) == Some(interface_id);
        let finite = !announced.metric.is_infinite();
        // an explicit request is answered all the same (section 3.8.1.1 against 3.7.4)
        if finite && settings.split_horizon && (group || dump) && learned_here() {
            return None;
        }
        let is_ours = destination.own.is_some() || !settings.own_only;
        let announced_as = settings
            .announce
            .apply(&destination.key, Some(announced.router_id));
        let metric = match announced_as.filter(|_| is_ours) {
            Some(added) => announced.metric.plus(Metric(added)),
            None => Metric::INFINITY,
        };
        if dump && metric.is_infinite() {
            return None;
        }
        let next_hop = match (destination.key.to(), settings.ipv4) {
            (IpNet::V4(_), Some(address)) => NextHop::Ipv4(address),
            // without an IPv4 address: RFC 9229
            _ => NextHop::Ipv6(settings.link_local),
        };
        let finite = !metric.is_infinite();
        Some(Update {
            route: destination.key,
            router_id: finite.then_some(announced.router_id),
            sequence_number: announced.sequence_number,
            metric,
            interval: Interval::from_duration(settings.update_interval),
            next_hop: finite.then_some(next_hop),
        })
    }

    /// [`Timer::FlushGroup`] and [`Timer::Flush`]: sends what waits, updates as fast as the interface's pace allows.
    pub(super) fn flush(&mut self, audience: Audience) {
        let Some((interface_id, mut outbox)) = self.take_outbox(audience) else {
            return;
        };
        let messages = std::mem::take(&mut outbox.messages);
        if !messages.is_empty() {
            self.send(audience, messages);
        }
        let enough = self.steps + STEPS;
        while outbox.has_updates() {
            let Some(interface) = self.interfaces.get_mut(&interface_id) else {
                return;
            };
            if self.steps >= enough {
                self.timers.set_by(timer_of(audience), self.now);
                break;
            }
            if !interface.pace.take(self.now) {
                let (ready, timer) = (interface.pace.ready_at(BATCH), timer_of(audience));
                self.timers.set_by(timer, ready);
                break;
            }
            if let Some(packet) = self.next_packet(&mut outbox, interface_id, audience, enough) {
                self.send_packet(audience, packet);
            }
        }
        self.put_outbox_back(audience, outbox);
    }

    /// As many updates as fit one packet and are found in the steps that are left; `None` if there is nothing to say.
    fn next_packet(
        &mut self,
        outbox: &mut Outbox,
        interface_id: InterfaceId,
        audience: Audience,
        enough: u64,
    ) -> Option<PacketWriter> {
        let interface = self.interfaces.get(&interface_id)?;
        let group = matches!(audience, Audience::Group(_));
        let mut packet = interface.writer();
        while self.steps < enough
            && let Some((id, dump)) = outbox.next(&self.table, &mut self.steps)
        {
            let Some(update) = self.update_for(id, interface_id, interface, dump, group) else {
                continue;
            };
            match packet.push(&Message::Update(update)) {
                Ok(()) => self.counters.updates_sent += 1,
                Err(PushError::Full) => {
                    outbox.give_back(id, dump);
                    break;
                }
                Err(PushError::Illegal) => self.counters.illegal_messages += 1,
            }
        }
        (!packet.is_empty()).then_some(packet)
    }

    fn take_outbox(&mut self, audience: Audience) -> Option<(InterfaceId, Outbox)> {
        match audience {
            Audience::Group(id) => {
                let interface = self
                    .interfaces
                    .get_mut(&id)
                    .filter(|interface| interface.up)?;
                Some((id, std::mem::take(&mut interface.outbox)))
            }
            Audience::Neighbour(id) => {
                let neighbour = self
                    .neighbours
                    .get_mut(id)
                    .filter(|neighbour| !neighbour.removed)?;
                Some((neighbour.interface, std::mem::take(&mut neighbour.outbox)))
            }
        }
    }

    fn put_outbox_back(&mut self, audience: Audience, outbox: Outbox) {
        match audience {
            Audience::Group(id) => {
                if let Some(interface) = self.interfaces.get_mut(&id) {
                    interface.outbox = outbox;
                }
            }
            Audience::Neighbour(id) => {
                if let Some(neighbour) = self.neighbours.get_mut(id) {
                    neighbour.outbox = outbox;
                }
            }
        }
    }
}

const fn timer_of(audience: Audience) -> Timer {
    match audience {
        Audience::Group(id) => Timer::FlushGroup(id),
        Audience::Neighbour(id) => Timer::Flush(id),
    }
}
