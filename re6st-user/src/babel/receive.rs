//! Packets as they come in.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{
    input::InterfaceId,
    interface::QUICK_HELLOS,
    message::{EchoedTimestamps, Message},
    neighbour::{Neighbour, NeighbourId},
    output::{DownReason, Event},
    quantities::{Interval, Metric, SequenceNumber},
    requests::SequenceNumberRequest,
    rtt::Exchange,
    settings::InterfaceKind,
    speaker::Speaker,
    timers::Timer,
    wire,
};
use crate::time::Time;

/// A new neighbour is answered within this.
const GREETING: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// Where a packet came from, and when.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    interface: InterfaceId,
    source: Ipv6Addr,
    at: Time,
    /// The timestamp of its Hello, as soon as that was read.
    hello: Option<u32>,
    /// To all, not to us alone.
    group: bool,
    /// It says that its sender forwards as it did before a restart.
    continues: bool,
}

impl Speaker {
    /// [`super::input::Input::Received`].
    pub(super) fn receive(
        &mut self,
        interface: InterfaceId,
        source: Ipv6Addr,
        group: bool,
        bytes: &[u8],
        at: Time,
    ) {
        self.counters.packets_received += 1;
        let ours = self
            .interfaces
            .get(&interface)
            .filter(|interface| interface.up);
        let foreign = ours.is_none_or(|interface| interface.settings.link_local == source);
        if foreign || !source.is_unicast_link_local() {
            self.counters.foreign_packets += 1;
            return;
        }
        let Ok(mut messages) = wire::decode(bytes, source) else {
            self.counters.bad_packets += 1;
            return;
        };
        let mut arrival = Arrival {
            interface,
            source,
            at,
            hello: None,
            group,
            continues: false,
        };
        if let Some(id) = self.neighbours.find(interface, source) {
            self.heard(id);
        }
        for message in &mut messages {
            self.receive_message(&mut arrival, message);
        }
        self.counters.ignored_tlvs += messages.ignored().total();
    }

    /// Any packet is a sign of life.
    fn heard(&mut self, id: NeighbourId) {
        let now = self.now;
        let revived = self
            .neighbours
            .get_mut(id)
            .is_some_and(|neighbour| neighbour.probes.heard(now));
        self.expect_sign(id);
        if revived {
            if let Some(neighbour) = self.neighbours.get(id) {
                let (interface, address) = (neighbour.interface, neighbour.address);
                self.event(Event::NeighbourResponsive { interface, address });
            }
            self.cost_changed(id, DownReason::NotHeard);
            self.send_hearing(id);
        }
    }

    fn receive_message(&mut self, arrival: &mut Arrival, message: Message) {
        if let Message::Hello {
            unicast,
            sequence_number,
            interval,
            timestamp,
        } = message
        {
            arrival.hello = timestamp;
            self.receive_hello(*arrival, unicast, sequence_number, interval);
            return;
        }
        arrival.continues |= arrival.group && matches!(message, Message::Probe { .. });
        // section 3.4: without a Hello there is no neighbour
        let Some(id) = self.neighbours.find(arrival.interface, arrival.source) else {
            if message == Message::RetractAll {
                // but we may go on routing by one of before our restart
                self.void_all_restored(arrival.interface, arrival.source);
            }
            return;
        };
        if is_request(&message) {
            let now = self.now;
            let allowed = self
                .neighbours
                .get_mut(id)
                .is_some_and(|neighbour| neighbour.requests.take(now));
            if !allowed {
                self.counters.limited_requests += 1;
                self.limit_reached(arrival.interface, "requests of a neighbour");
                return;
            }
        }
        match message {
            Message::Hello { .. } => {}
            Message::Acknowledgment { opaque } => {
                if let Some(neighbour) = self.neighbours.get_mut(id) {
                    neighbour.path_mtu.acknowledged(opaque);
                }
            }
            Message::AcknowledgmentRequest { opaque, .. } => {
                self.send_soon(id, Message::Acknowledgment { opaque });
            }
            Message::IHeardYou {
                address,
                reception_cost,
                interval,
                timestamps,
            } => {
                if self.is_for_us(arrival.interface, address) {
                    self.receive_hearing(id, arrival, reception_cost, interval, timestamps);
                }
            }
            Message::Update(update) => self.receive_update(id, &update),
            Message::RetractAll => self.retract_all(id),
            Message::RouteRequest { route } => self.receive_route_request(id, route),
            Message::SequenceNumberRequest {
                route,
                router_id,
                sequence_number,
                hop_count,
            } => {
                let request = SequenceNumberRequest {
                    route,
                    router_id,
                    sequence_number,
                    hop_count,
                };
                self.receive_sequence_number_request(id, request);
            }
            Message::Probe { token } => {
                self.found_peer(id);
                self.send_now(id, Message::ProbeReply { token });
            }
            Message::ProbeReply { .. } => self.found_peer(id),
            Message::Digest {
                first,
                interval,
                blocks,
            } => {
                self.found_peer(id);
                self.receive_digest(id, first, interval, &blocks);
            }
            Message::DigestMismatch { blocks } => self.dump_blocks_to(id, blocks),
        }
    }

    fn is_for_us(&self, interface: InterfaceId, address: Option<IpAddr>) -> bool {
        let Some(address) = address else {
            return true;
        };
        self.interfaces
            .get(&interface)
            .is_some_and(|interface| match address {
                IpAddr::V6(address) => interface.settings.link_local == address,
                IpAddr::V4(address) => interface.settings.ipv4 == Some(address),
            })
    }

    /// A Hello makes a neighbour (section 3.4.1).
    fn receive_hello(
        &mut self,
        arrival: Arrival,
        unicast: bool,
        number: SequenceNumber,
        interval: Interval,
    ) {
        let known = self.neighbours.find(arrival.interface, arrival.source);
        let Some(id) = known.or_else(|| self.new_neighbour(arrival)) else {
            return;
        };
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        if let Some(timestamp) = arrival.hello {
            neighbour.last_hello = Some((timestamp, arrival.at));
        }
        // what it said while the link was down we do not know: then nothing continues
        let continues = arrival.continues && !neighbour.cost.is_infinite();
        let history = if unicast {
            &mut neighbour.unicast
        } else {
            &mut neighbour.multicast
        };
        let restarted = history.receive(number, interval, continues);
        // an unscheduled Hello says nothing of the next one
        let patience = history
            .patience()
            .filter(|_| interval != Interval::UNSCHEDULED);
        if let Some(patience) = patience {
            let timer = if unicast {
                Timer::UnicastHelloMissed(id)
            } else {
                Timer::HelloMissed(id)
            };
            self.timers.set(timer, self.now + patience);
        }
        let now = self.now;
        if restarted && neighbour.requests.take(now) {
            // it knows nobody: the sooner it hears us, the better
            self.say_hello_quickly(arrival.interface);
        }
        if restarted && !continues {
            // whatever it announced before is void, also if its retraction was lost (appendix A.1)
            self.retract_all(id);
            self.send_soon(id, Message::RouteRequest { route: None });
        }
        self.cost_changed(id, DownReason::Hellos);
    }

    fn say_hello_quickly(&mut self, id: InterfaceId) {
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.quick_hellos = QUICK_HELLOS;
        }
        let soon = self.now + self.random.between(GREETING.0, GREETING.1);
        self.timers.set_by(Timer::Hello(id), soon);
    }

    /// Greets a new neighbour, if there is room for one.
    fn new_neighbour(&mut self, arrival: Arrival) -> Option<NeighbourId> {
        let Arrival {
            interface: interface_id,
            source,
            ..
        } = arrival;
        let limits = self.settings.limits;
        let now = self.now;
        let room = self.has_room(interface_id);
        let greeted = self
            .interfaces
            .get_mut(&interface_id)
            .is_some_and(|interface| room && interface.arrivals.take(now));
        if !greeted {
            self.counters.limited_neighbours += 1;
            self.limit_reached(interface_id, "neighbours");
            return None;
        }
        let interface = self.interfaces.get(&interface_id)?;
        let mut neighbour =
            Neighbour::new(interface_id, source, limits.requests_per_second, self.now);
        neighbour.multiplier = interface.multiplier;
        let id = self.neighbours.insert(neighbour);
        self.say_hello_quickly(interface_id);
        self.send_soon(id, Message::RouteRequest { route: None });
        self.send_probe(id);
        self.event(Event::NewNeighbour {
            interface: interface_id,
            address: source,
        });
        Some(id)
    }

    /// Whether an interface takes one more neighbour. A tunnel has one; another address is its successor if it is not heard any
    /// more.
    fn has_room(&mut self, id: InterfaceId) -> bool {
        let known = self.neighbours.of_interface(id);
        let Some(interface) = self.interfaces.get(&id) else {
            return false;
        };
        let most = match interface.settings.kind {
            InterfaceKind::Lan => self.settings.limits.neighbours_per_interface,
            InterfaceKind::Tunnel => 1,
        };
        if interface.settings.kind == InterfaceKind::Tunnel
            && let Some(known) = known.first().copied()
            && self.neighbours.get(known).is_some_and(Neighbour::is_missed)
        {
            self.remove_neighbour(known, DownReason::Hellos);
            return true;
        }
        known.len() < most
    }

    /// How well the neighbour hears us (section 3.4.2), and how long the way is (RFC 9616 section 3.3).
    fn receive_hearing(
        &mut self,
        id: NeighbourId,
        arrival: &Arrival,
        cost: Metric,
        interval: Interval,
        timestamps: Option<EchoedTimestamps>,
    ) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        neighbour.transmission_cost = cost;
        let profile = self
            .interfaces
            .get(&arrival.interface)
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
                None => self.counters.bad_round_trips += 1,
            }
        }
        let hold = interval.duration() * 7 / 2;
        self.timers.set(Timer::HearingExpired(id), self.now + hold);
        self.cost_changed(id, DownReason::NotHeard);
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
