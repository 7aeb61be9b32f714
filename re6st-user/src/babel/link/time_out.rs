//! What is due on links: Hellos and what goes with them (RFC 8966 sections 3.4.1 and 3.4.2), and neighbours that were not
//! heard.

use std::time::Duration;

use super::{Change, Links, probing::ProbeState};
use crate::babel::{
    context::Context,
    ids::{Audience, NeighbourId},
    input::InterfaceId,
    message::Message,
    output::{DownReason, Event},
    quantities::{Interval, Metric},
    settings::InterfaceKind,
};

/// Between Hellos that come quickly.
const QUICK: Duration = Duration::from_millis(100);
/// An unresponsive neighbour is asked this often, so that it is soon back.
const REVIVAL: Duration = Duration::from_secs(1);
/// How long the answer to a question about the size of packets may take, so that it is there before the next one.
const ANSWER: Interval = Interval(50);

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// The next multicast Hello.
    Hello(InterfaceId),
    /// A multicast Hello should have come by now.
    HelloMissed(NeighbourId),
    /// A unicast Hello should have come by now.
    UnicastHelloMissed(NeighbourId),
    /// What the neighbour said of hearing us is too old.
    HearingExpired(NeighbourId),
    /// A probing neighbour is silent.
    Silence(NeighbourId),
    /// Whether large packets reach a neighbour is to be found out.
    PathMtu(NeighbourId),
}

impl Links {
    /// Something of what is due; `None` if nothing is. `restarting`: routes of before a restart are still in use.
    pub fn time_out(&mut self, context: &mut Context, restarting: bool) -> Option<()> {
        match self.timers.pop(context.now)? {
            Timer::Hello(id) => self.send_hello(context, id, restarting),
            Timer::HelloMissed(id) => self.hello_missed(context, id, false),
            Timer::UnicastHelloMissed(id) => self.hello_missed(context, id, true),
            Timer::HearingExpired(id) => self.hearing_expired(context, id),
            Timer::Silence(id) => self.check_silence(context, id, restarting),
            Timer::PathMtu(id) => self.check_path_mtu(context, id),
        }
        Some(())
    }

    /// A multicast Hello, and what its neighbours must hear with it.
    fn send_hello(&mut self, context: &mut Context, id: InterfaceId, restarting: bool) {
        self.hold_quality(context, id, restarting);
        let interface = self.interfaces.get_mut(&id);
        let Some(interface) = interface.filter(|interface| interface.up) else {
            return;
        };
        let quick = interface.quick_hellos > 0;
        interface.quick_hellos = interface.quick_hellos.saturating_sub(1);
        interface.hellos = interface.hellos.wrapping_add(1);
        let interval = interface.settings.hello_interval;
        let sequence_number = interface.hello_number;
        interface.hello_number = sequence_number.next();
        let timed = interface.settings.sends_times();
        let tunnel = interface.settings.kind == InterfaceKind::Tunnel;
        let all = quick || interface.hellos.is_multiple_of(3) || tunnel || timed;
        let continues = interface.continuing_hellos > 0;
        interface.continuing_hellos = interface.continuing_hellos.saturating_sub(1);
        // to the group, ahead of the Hello: what we said before the restart still holds
        let token = context.random.next() as u32;
        let mut messages = Vec::from_iter(continues.then_some(Message::Probe { token }));
        messages.push(Message::Hello {
            unicast: false,
            sequence_number,
            interval: Interval::from_duration(interval),
            timestamp: timed.then(|| context.now.timestamp()),
        });
        // section 3.4.2: seldom to good neighbours, always to bad ones; times are measured with each
        let neighbours = self.of_interface(id).into_iter();
        let heard = neighbours
            .filter(|neighbour| all || self.is_marginal(*neighbour))
            .filter_map(|neighbour| self.hearing(neighbour, restarting));
        messages.extend(heard);
        self.send(context, Audience::Group(id), messages);
        let wait = match quick {
            true => QUICK,
            false => context.random.between(interval * 15 / 16, interval),
        };
        self.timers.set(Timer::Hello(id), context.now + wait);
    }

    /// Whether it does not hear us, or we miss its Hellos.
    fn is_marginal(&self, id: NeighbourId) -> bool {
        self.neighbours.get(id).is_some_and(|neighbour| {
            neighbour.transmission_cost.is_infinite() || neighbour.multicast.bits & 0xf000 != 0xf000
        })
    }

    /// A Hello did not come (appendix A.1). Without any for long the neighbour is gone.
    fn hello_missed(&mut self, context: &mut Context, id: NeighbourId, unicast: bool) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let (history, timer) = match unicast {
            true => (&mut neighbour.unicast, Timer::UnicastHelloMissed(id)),
            false => (&mut neighbour.multicast, Timer::HelloMissed(id)),
        };
        history.miss();
        if history.bits != 0 {
            let next = Interval(history.interval).duration();
            self.timers.set(timer, context.now + next);
        }
        if neighbour.multicast.bits == 0 && neighbour.unicast.bits == 0 {
            self.remove_neighbour(context, id, DownReason::Hellos);
            return;
        }
        self.cost_changed(context, id, DownReason::Hellos);
    }

    /// Its last IHU is too old (section 3.4.2).
    fn hearing_expired(&mut self, context: &mut Context, id: NeighbourId) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        neighbour.transmission_cost = Metric::INFINITY;
        let interface = neighbour.interface;
        self.cost_changed(context, id, DownReason::NotHeard);
        self.greet(context, interface);
    }

    /// Nothing came for too long.
    fn check_silence(&mut self, context: &mut Context, id: NeighbourId, restarting: bool) {
        let now = context.now;
        let settings = context.settings.probing;
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let round_trip = neighbour.round_trip.duration();
        let falls_silent = !neighbour.probes.unresponsive
            && neighbour.probes.is_silent(now, &settings, round_trip);
        neighbour.probes.unresponsive |= falls_silent;
        neighbour.probes.probed(now);
        let (interface, address) = (neighbour.interface, neighbour.address);
        let next = match neighbour.probes.unresponsive {
            true => REVIVAL,
            false => ProbeState::repeat(&settings, round_trip),
        };
        self.timers.set(Timer::Silence(id), now + next);
        if falls_silent {
            context.counters.unresponsive_neighbours += 1;
            context.event(Event::NeighbourUnresponsive { interface, address });
            self.cost_changed(context, id, DownReason::NotHeard);
            self.send_hearing(context, id, restarting);
        }
        self.send_probe(context, id);
    }

    /// Whether packets as large as updates reach a neighbour.
    fn check_path_mtu(&mut self, context: &mut Context, id: NeighbourId) {
        let opaque = context.random.next();
        let opaque = [opaque as u16, (opaque >> 16) as u16];
        let neighbour = self.neighbours.get_mut(id);
        let Some(neighbour) = neighbour.filter(|neighbour| !neighbour.cost.is_infinite()) else {
            return;
        };
        let before = neighbour.path_mtu.narrow;
        let (asks, wait) = neighbour.path_mtu.go_on(opaque);
        let narrow = neighbour.path_mtu.narrow;
        if asks {
            self.send_pair(context, id, opaque);
        }
        self.timers.set(Timer::PathMtu(id), context.now + wait);
        if narrow != before {
            self.width_changed(context, id, narrow);
        }
    }

    fn send_pair(&self, context: &mut Context, id: NeighbourId, opaque: [u16; 2]) {
        let [small, large] = opaque.map(|opaque| Message::AcknowledgmentRequest {
            opaque,
            interval: ANSWER,
        });
        self.send_to(context, id, small);
        let to = Audience::Neighbour(id);
        let interface = self
            .interface_of(to)
            .and_then(|id| self.interfaces.get(&id));
        let Some(mut packet) = interface.map(|interface| interface.large_writer()) else {
            return;
        };
        // there is room in any packet
        if packet.push(&large).is_ok() {
            packet.pad();
            self.send_packet(context, to, packet);
        }
    }

    fn width_changed(&mut self, context: &mut Context, id: NeighbourId, narrow: bool) {
        let Some(neighbour) = self.neighbours.get(id) else {
            return;
        };
        let (interface, address) = (neighbour.interface, neighbour.address);
        let any = self.of_interface(interface).iter().any(|id| {
            let neighbour = self.neighbours.get(*id);
            neighbour.is_some_and(|neighbour| neighbour.path_mtu.narrow)
        });
        if let Some(interface) = self.interfaces.get_mut(&interface) {
            interface.narrow = any;
        }
        context.event(match narrow {
            true => Event::PathNarrow { interface, address },
            false => Event::PathWide { interface, address },
        });
        self.cost_changed(context, id, DownReason::NotHeard);
        if narrow {
            // what was announced so far was too large
            self.changes.push(Change::Uninformed(id));
        }
    }
}
