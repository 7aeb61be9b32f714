//! Packets as they come in: what they say of links.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{
    Change, HEARING_INTERVALS, Links, Timer,
    interface::{Interface, QUICK_HELLOS},
    neighbour::Neighbour,
    rtt::Exchange,
};
use crate::{
    babel::{
        context::Context,
        ids::{Audience, NeighbourId},
        input::InterfaceId,
        message::{EchoedTimestamps, Message},
        output::{DownReason, Event},
        quantities::{Interval, Metric, SequenceNumber},
        settings::InterfaceKind,
    },
    time::Time,
};

/// A new neighbour is answered within this.
const GREETING: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// Where a packet came from, and when.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub interface: InterfaceId,
    pub source: Ipv6Addr,
    at: Time,
    /// The timestamp of its Hello, as soon as that was read.
    hello: Option<u32>,
    /// To all, not to us alone.
    group: bool,
    /// It says that its sender forwards as it did before a restart.
    continues: bool,
    /// Its sender, who is no neighbour, was told that we wait for Hellos.
    called: bool,
}

impl Links {
    /// A packet came; `None` if it is not from the link. `group`: to all, not to us alone.
    pub fn arrival(
        &self,
        interface: InterfaceId,
        source: Ipv6Addr,
        group: bool,
        at: Time,
    ) -> Option<Arrival> {
        let ours = self.interfaces.get(&interface);
        let ours = ours.filter(|interface| interface.up)?;
        let foreign = ours.settings.link_local == source || !source.is_unicast_link_local();
        (!foreign).then_some(Arrival {
            interface,
            source,
            at,
            hello: None,
            group,
            continues: false,
            called: false,
        })
    }

    /// Any packet is a sign of life, unless somebody else looks for those.
    pub fn sign_of_life(&mut self, context: &mut Context, arrival: &Arrival, restarting: bool) {
        let Some(id) = self.neighbours.find(arrival.interface, arrival.source) else {
            return;
        };
        if self.is_measured(arrival.interface) {
            // whoever measures says so
            return;
        }
        let neighbour = self.neighbours.get_mut(id);
        let revived = neighbour.is_some_and(|neighbour| neighbour.probes.heard(context.now));
        self.expect_sign(context, id);
        if revived {
            context.event(Event::NeighbourResponsive {
                interface: arrival.interface,
                address: arrival.source,
            });
            self.cost_changed(context, id, DownReason::NotHeard);
            self.send_hearing(context, id, restarting);
        }
    }

    /// Takes in what a message says of the link. Gives it back if it concerns routes, with its sender, which without a Hello
    /// is no neighbour (section 3.4).
    pub fn receive(
        &mut self,
        context: &mut Context,
        arrival: &mut Arrival,
        message: Message,
        restarting: bool,
    ) -> Option<(Option<NeighbourId>, Message)> {
        if let Message::Hello {
            unicast,
            sequence_number,
            interval,
            timestamp,
        } = message
        {
            arrival.hello = timestamp;
            self.receive_hello(context, arrival, unicast, sequence_number, interval);
            return None;
        }
        arrival.continues |= arrival.group && matches!(message, Message::Probe { .. });
        let Some(id) = self.neighbours.find(arrival.interface, arrival.source) else {
            self.call(context, arrival, restarting);
            return Some((None, message));
        };
        let neighbour = self.neighbours.get_mut(id)?;
        if is_request(&message) && !neighbour.requests.take(context.now) {
            context.counters.limited_requests += 1;
            context.limit_reached(arrival.interface, "requests of a neighbour");
            return None;
        }
        match message {
            Message::Acknowledgment { opaque } => neighbour.path_mtu.acknowledged(opaque),
            Message::AcknowledgmentRequest { opaque, .. } => {
                let answer = Message::Acknowledgment { opaque };
                self.changes.push(Change::Soon(id, answer));
            }
            Message::IHeardYou {
                address,
                reception_cost,
                interval,
                timestamps,
            } => {
                if self.is_for_us(arrival.interface, address) {
                    self.receive_hearing(
                        context,
                        id,
                        arrival,
                        (reception_cost, interval, timestamps),
                    );
                }
            }
            Message::Probe { token } => {
                self.found_peer(context, id);
                self.send_to(context, id, Message::ProbeReply { token });
            }
            Message::ProbeReply { .. } => self.found_peer(context, id),
            Message::Digest { .. } => {
                self.found_peer(context, id);
                return Some((Some(id), message));
            }
            _ => return Some((Some(id), message)),
        }
        None
    }

    fn is_for_us(&self, interface: InterfaceId, address: Option<IpAddr>) -> bool {
        let Some(address) = address else {
            return true;
        };
        self.settings(interface)
            .is_some_and(|settings| match address {
                IpAddr::V6(address) => settings.link_local == address,
                IpAddr::V4(address) => settings.ipv4 == Some(address),
            })
    }

    /// It sent a probe or an answer: from now on its silence means something.
    fn found_peer(&mut self, context: &Context, id: NeighbourId) {
        if let Some(neighbour) = self.neighbours.get_mut(id)
            && !neighbour.probes.peer
        {
            neighbour.probes.peer = true;
            self.expect_sign(context, id);
        }
    }

    /// A Hello makes a neighbour (section 3.4.1).
    fn receive_hello(
        &mut self,
        context: &mut Context,
        arrival: &Arrival,
        unicast: bool,
        number: SequenceNumber,
        interval: Interval,
    ) {
        let known = self.neighbours.find(arrival.interface, arrival.source);
        let Some(id) = known.or_else(|| self.new_neighbour(context, arrival)) else {
            return;
        };
        let before = self.reception_cost(id);
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        if let Some(timestamp) = arrival.hello {
            neighbour.last_hello = Some((timestamp, arrival.at));
        }
        // what it said while the link was down we do not know: then nothing continues
        let continues = arrival.continues && !neighbour.cost.is_infinite();
        let (history, timer) = match unicast {
            true => (&mut neighbour.unicast, Timer::UnicastHelloMissed(id)),
            false => (&mut neighbour.multicast, Timer::HelloMissed(id)),
        };
        let restarted = history.receive(number, interval, continues);
        // an unscheduled Hello says nothing of the next one
        let patience = history.patience();
        if let Some(patience) = patience.filter(|_| interval != Interval::UNSCHEDULED) {
            self.timers.set(timer, context.now + patience);
        }
        if restarted && neighbour.requests.take(context.now) {
            // it knows nobody: the sooner it hears us, the better
            self.say_hello_quickly(context, arrival.interface);
        }
        if restarted && !continues {
            // whatever it announced before is void, also if its retraction was lost (appendix A.1)
            let all = Message::RouteRequest { route: None };
            self.changes
                .extend([Change::Restarted(id, *arrival), Change::Soon(id, all)]);
        }
        self.cost_changed(context, id, DownReason::Hellos);
        if before.is_infinite() && !self.reception_cost(id).is_infinite() {
            // the link works again as soon as it knows
            self.send_hearing(context, id, false);
        }
    }

    fn reception_cost(&self, id: NeighbourId) -> Metric {
        let neighbour = self.neighbours.get(id);
        let cost = neighbour.and_then(|neighbour| {
            Some(neighbour.reception_cost(self.settings(neighbour.interface)?))
        });
        cost.unwrap_or(Metric::INFINITY)
    }

    /// Somebody who is no neighbour, since we have heard no Hello, takes us for one: the link to us works, and by an IHU it
    /// learns that we wait for Hellos, which else come when it is time.
    fn call(&mut self, context: &mut Context, arrival: &mut Arrival, restarting: bool) {
        // after a graceful restart it goes on as before
        if restarting || std::mem::replace(&mut arrival.called, true) {
            return;
        }
        let known = self.of_interface(arrival.interface).len();
        let Some(interface) = self.interfaces.get_mut(&arrival.interface) else {
            return;
        };
        let room = match interface.settings.kind {
            InterfaceKind::Tunnel => 1,
            InterfaceKind::Lan => context.settings.limits.neighbours_per_interface,
        };
        if known >= room || !interface.greetings.take(context.now) {
            return;
        }
        let interval = interface.settings.hello_interval * HEARING_INTERVALS;
        let unheard = Message::IHeardYou {
            address: Some(IpAddr::V6(arrival.source)),
            reception_cost: Metric::INFINITY,
            interval: Interval::from_duration(interval),
            timestamps: None,
        };
        self.send(context, Audience::Group(arrival.interface), vec![unheard]);
    }

    /// A neighbour does not hear us: the sooner it gets Hellos, the sooner it does, if the link works again. What does not help
    /// is not done often.
    pub(super) fn greet(&mut self, context: &mut Context, id: InterfaceId) {
        let interface = self.interfaces.get_mut(&id);
        if interface.is_some_and(|interface| interface.greetings.take(context.now)) {
            self.say_hello_quickly(context, id);
        }
    }

    fn say_hello_quickly(&mut self, context: &mut Context, id: InterfaceId) {
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.quick_hellos = QUICK_HELLOS;
        }
        let soon = context.now + context.random.between(GREETING.0, GREETING.1);
        self.timers.set_by(Timer::Hello(id), soon);
    }

    /// Greets a new neighbour, if there is room for one.
    fn new_neighbour(&mut self, context: &mut Context, arrival: &Arrival) -> Option<NeighbourId> {
        let (interface, address) = (arrival.interface, arrival.source);
        let limits = context.settings.limits;
        let room = self.has_room(context, interface, limits.neighbours_per_interface);
        let now = context.now;
        let greets = |interface: &mut Interface| {
            let greets = room && interface.arrivals.take(now);
            greets.then_some((interface.multiplier, interface.quality))
        };
        let Some((multiplier, quality)) = self.interfaces.get_mut(&interface).and_then(greets)
        else {
            context.counters.limited_neighbours += 1;
            context.limit_reached(interface, "neighbours");
            return None;
        };
        let rate = limits.requests_per_second;
        let mut neighbour = Neighbour::new(interface, address, rate, now);
        neighbour.multiplier = multiplier;
        let measured = self.is_measured(interface);
        if measured {
            neighbour.take_quality(&quality);
        }
        let id = self.neighbours.insert(neighbour);
        self.changes.push(Change::New {
            id,
            interface,
            address,
        });
        self.say_hello_quickly(context, interface);
        let all = Message::RouteRequest { route: None };
        self.changes.push(Change::Soon(id, all));
        if !measured {
            self.send_probe(context, id);
        }
        context.event(Event::NewNeighbour { interface, address });
        Some(id)
    }

    /// Whether an interface takes one more neighbour. A tunnel has one; another address is its successor if it is not heard any
    /// more.
    fn has_room(&mut self, context: &mut Context, id: InterfaceId, of_a_lan: usize) -> bool {
        let known = self.of_interface(id);
        match self.settings(id).map(|settings| settings.kind) {
            None => false,
            Some(InterfaceKind::Lan) => known.len() < of_a_lan,
            Some(InterfaceKind::Tunnel) => {
                let missed = known.first().filter(|id| {
                    let neighbour = self.neighbours.get(**id);
                    neighbour.is_some_and(Neighbour::is_missed)
                });
                if let Some(missed) = missed {
                    self.remove_neighbour(context, *missed, DownReason::Hellos);
                }
                known.is_empty() || missed.is_some()
            }
        }
    }

    /// How well the neighbour hears us (section 3.4.2), and how long the way is (RFC 9616 section 3.3).
    fn receive_hearing(
        &mut self,
        context: &mut Context,
        id: NeighbourId,
        arrival: &Arrival,
        (cost, interval, timestamps): (Metric, Interval, Option<EchoedTimestamps>),
    ) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        neighbour.transmission_cost = cost;
        let profile = self
            .interfaces
            .get(&arrival.interface)
            .filter(|interface| interface.settings.sends_times())
            .and_then(|interface| interface.settings.round_trip);
        if let (Some(profile), Some(echo), Some(answer_sent)) = (profile, timestamps, arrival.hello)
        {
            let exchange = Exchange {
                hello_sent: echo.origin,
                hello_received: echo.received,
                answer_sent,
                answer_received: arrival.at.timestamp(),
            };
            match exchange.round_trip() {
                Some(round_trip) => neighbour.round_trip.add(round_trip, &profile),
                None => context.counters.bad_round_trips += 1,
            }
        }
        let hold = interval.duration() * 7 / 2;
        self.timers
            .set(Timer::HearingExpired(id), context.now + hold);
        self.cost_changed(context, id, DownReason::NotHeard);
        if cost.is_infinite() {
            self.greet(context, arrival.interface);
        }
    }
}

/// What makes us do work for a neighbour, and so is bounded in rate.
const fn is_request(message: &Message) -> bool {
    matches!(
        message,
        Message::AcknowledgmentRequest { .. }
            | Message::RouteRequest { .. }
            | Message::SequenceNumberRequest { .. }
            | Message::Probe { .. }
            | Message::DigestMismatch { .. }
    )
}
