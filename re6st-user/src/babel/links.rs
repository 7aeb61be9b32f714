//! Interfaces and neighbours as they come and go: Hellos, IHUs and what a link costs (RFC 8966 sections 3.4.1 to 3.4.3).

use std::{net::IpAddr, time::Duration};

use super::{
    input::InterfaceId,
    interface::{Interface, QUICK_HELLOS},
    message::{EchoedTimestamps, Message},
    neighbour::NeighbourId,
    output::{DownReason, Event},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings},
    speaker::Speaker,
    timers::Timer,
    updates::Audience,
};

/// Between Hellos that come quickly.
const QUICK: Duration = Duration::from_millis(100);
/// After a graceful restart this many Hellos say so.
const CONTINUING_HELLOS: u8 = 10;
/// IHUs promise the next within this many Hello intervals (appendix B).
const HEARING_INTERVALS: u32 = 3;

impl Speaker {
    /// [`super::input::Input::Interface`].
    pub(super) fn set_interface(&mut self, id: InterfaceId, settings: InterfaceSettings) {
        self.names.insert(id, settings.place());
        let known = self.interfaces.get_mut(&id);
        if let Some(interface) = known {
            let renumbered = interface.settings.ipv4 != settings.ipv4;
            // routes to the address that is ours now are not taken any more
            let filters = interface.settings.accept != settings.accept || renumbered;
            // neighbours must not go on sending to an address that is not ours any more
            let announced = interface.settings.announce != settings.announce
                || interface.settings.own_only != settings.own_only
                || renumbered;
            interface.settings = settings;
            let was_up = std::mem::replace(&mut interface.up, true);
            self.start_interface(id, !was_up);
            if announced {
                self.announce_anew(id);
            }
            for neighbour in self.neighbours.of_interface(id) {
                self.cost_changed(neighbour, DownReason::NotHeard);
                if filters {
                    self.send_soon(neighbour, Message::RouteRequest { route: None });
                }
            }
            return;
        }
        let number = SequenceNumber(self.random.next() as u16);
        let mut interface = Interface::new(settings, number);
        if !self.restored.is_empty() {
            interface.continuing_hellos = CONTINUING_HELLOS;
        }
        self.interfaces.insert(id, interface);
        self.start_interface(id, true);
    }

    /// Says that we are here, and asks for everything (section 3.8.2 and appendix B).
    fn start_interface(&mut self, id: InterfaceId, ask: bool) {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        interface.quick_hellos = QUICK_HELLOS;
        let jitter = self
            .random
            .between(Duration::ZERO, Duration::from_millis(20));
        let interval = interface.settings.update_interval;
        self.timers.set(Timer::Hello(id), self.now + jitter);
        let first = self.random.between(interval / 2, interval);
        self.timers.set(Timer::Update(id), self.now + first);
        if ask {
            // what neighbours have of a life before is void, unless it is still installed
            if self.restored.is_empty() {
                self.retract_everything(id);
            }
            self.ask_all(id);
        }
    }

    /// Says that nothing goes by us: twice, in case one gets lost (section 3.8.2 and appendix B).
    pub(super) fn retract_everything(&mut self, id: InterfaceId) {
        for _ in 0..2 {
            self.send(Audience::Group(id), vec![Message::RetractAll]);
        }
    }

    /// Says that nothing goes by us and that we hear nobody: twice, in case one gets lost.
    pub(super) fn take_leave(&mut self, id: InterfaceId) {
        let Some(interface) = self.interfaces.get(&id) else {
            return;
        };
        let interval = Interval::from_duration(interface.settings.hello_interval);
        let neighbours = self.neighbours.of_interface(id).into_iter();
        let unheard = neighbours.filter_map(|neighbour| {
            let address = IpAddr::V6(self.neighbours.get(neighbour)?.address);
            Some(Message::IHeardYou {
                address: Some(address),
                reception_cost: Metric::INFINITY,
                interval,
                timestamps: None,
            })
        });
        let messages: Vec<_> = std::iter::once(Message::RetractAll)
            .chain(unheard)
            .collect();
        for _ in 0..2 {
            self.send(Audience::Group(id), messages.clone());
        }
    }

    /// Without carrier, or without the interface, its neighbours are gone at once.
    pub(super) fn stop_interface(&mut self, id: InterfaceId) {
        for neighbour in self.neighbours.of_interface(id) {
            self.remove_neighbour(neighbour, DownReason::Link);
        }
        for timer in [Timer::Hello(id), Timer::Update(id), Timer::FlushGroup(id)] {
            self.timers.cancel(timer);
        }
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.up = false;
            interface.outbox = Default::default();
        }
    }

    /// [`super::input::Input::Carrier`].
    pub(super) fn carrier(&mut self, id: InterfaceId, up: bool) {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        match (interface.up, up) {
            (true, false) => self.stop_interface(id),
            (false, true) => {
                interface.up = true;
                self.start_interface(id, true);
            }
            _ => {}
        }
    }

    /// [`Timer::Hello`]: a multicast Hello, and what its neighbours must hear with it.
    pub(super) fn send_hello(&mut self, id: InterfaceId) {
        let Some(interface) = self
            .interfaces
            .get_mut(&id)
            .filter(|interface| interface.up)
        else {
            return;
        };
        let quick = interface.quick_hellos > 0;
        interface.quick_hellos = interface.quick_hellos.saturating_sub(1);
        interface.hellos = interface.hellos.wrapping_add(1);
        let (all, interval) = (
            quick || interface.hellos.is_multiple_of(3),
            interface.settings.hello_interval,
        );
        let number = interface.hello_number;
        interface.hello_number = number.next();
        let timed = interface.settings.round_trip.is_some();
        let tunnel = interface.settings.kind == InterfaceKind::Tunnel;
        let continues = interface.continuing_hellos > 0;
        interface.continuing_hellos = interface.continuing_hellos.saturating_sub(1);
        // to the group, ahead of the Hello: what we said before the restart still holds
        let token = self.random.next() as u32;
        let mut messages: Vec<Message> = continues
            .then_some(Message::Probe { token })
            .into_iter()
            .collect();
        messages.push(Message::Hello {
            unicast: false,
            sequence_number: number,
            interval: Interval::from_duration(interval),
            timestamp: timed.then(|| self.now.timestamp()),
        });
        // section 3.4.2: seldom to good neighbours, always to bad ones; times are measured with each
        let heard: Vec<Message> = self
            .neighbours
            .of_interface(id)
            .into_iter()
            .filter(|neighbour| all || tunnel || timed || self.is_marginal(*neighbour))
            .filter_map(|neighbour| self.hearing(neighbour))
            .collect();
        messages.extend(heard);
        self.send(Audience::Group(id), messages);
        let wait = if quick {
            QUICK
        } else {
            self.random.between(interval * 15 / 16, interval)
        };
        self.timers.set(Timer::Hello(id), self.now + wait);
    }

    /// Whether it does not hear us, or we miss its Hellos.
    fn is_marginal(&self, id: NeighbourId) -> bool {
        self.neighbours.get(id).is_some_and(|neighbour| {
            neighbour.transmission_cost.is_infinite() || neighbour.multicast.bits & 0xf000 != 0xf000
        })
    }

    /// The IHU for a neighbour.
    fn hearing(&self, id: NeighbourId) -> Option<Message> {
        let neighbour = self.neighbours.get(id)?;
        let settings = &self.interfaces.get(&neighbour.interface)?.settings;
        let reception_cost = neighbour.reception_cost(settings);
        if reception_cost.is_infinite() && !self.restored.is_empty() {
            // a graceful restart: it counts on what we said before, until enough of its Hellos came or that is too old
            return None;
        }
        let echo = neighbour
            .last_hello
            .filter(|_| settings.round_trip.is_some());
        Some(Message::IHeardYou {
            address: Some(IpAddr::V6(neighbour.address)),
            reception_cost,
            interval: Interval::from_duration(settings.hello_interval * HEARING_INTERVALS),
            timestamps: echo.map(|(origin, received)| EchoedTimestamps {
                origin,
                received: received.timestamp(),
            }),
        })
    }

    /// An IHU to one neighbour at once, without times.
    pub(super) fn send_hearing(&mut self, id: NeighbourId) {
        if let Some(Message::IHeardYou {
            address,
            reception_cost,
            interval,
            ..
        }) = self.hearing(id)
        {
            let message = Message::IHeardYou {
                address,
                reception_cost,
                interval,
                timestamps: None,
            };
            self.send_now(id, message);
        }
    }

    /// The cost of a link may have changed: its routes are compared anew if it has enough.
    pub(super) fn cost_changed(&mut self, id: NeighbourId, reason: DownReason) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let Some(interface) = self.interfaces.get(&neighbour.interface) else {
            return;
        };
        let cost = neighbour.present_cost(&interface.settings);
        if !neighbour.differs_much(cost, &interface.settings) {
            return;
        }
        let before = std::mem::replace(&mut neighbour.cost, cost);
        let (interface, address) = (neighbour.interface, neighbour.address);
        self.compare_routes(id);
        match (before.is_infinite(), cost.is_infinite()) {
            (true, false) => {
                self.event(Event::NeighbourUp { interface, address });
                self.dump_to(id);
                self.expect_path_mtu(id);
            }
            (false, true) => self.report_down(id, reason),
            _ => {}
        }
    }

    /// A Hello did not come (appendix A.1). Without any for long the neighbour is gone.
    pub(super) fn hello_missed(&mut self, id: NeighbourId, unicast: bool) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let history = if unicast {
            &mut neighbour.unicast
        } else {
            &mut neighbour.multicast
        };
        history.miss();
        let next = Interval(history.interval).duration();
        if history.bits != 0 {
            let timer = if unicast {
                Timer::UnicastHelloMissed(id)
            } else {
                Timer::HelloMissed(id)
            };
            self.timers.set(timer, self.now + next);
        }
        if neighbour.multicast.bits == 0 && neighbour.unicast.bits == 0 {
            self.remove_neighbour(id, DownReason::Hellos);
            return;
        }
        self.cost_changed(id, DownReason::Hellos);
    }

    /// [`Timer::HearingExpired`]: its last IHU is too old (section 3.4.2).
    pub(super) fn hearing_expired(&mut self, id: NeighbourId) {
        if let Some(neighbour) = self.neighbours.get_mut(id) {
            neighbour.transmission_cost = Metric::INFINITY;
        }
        self.cost_changed(id, DownReason::NotHeard);
    }

    /// The neighbour is gone: nothing goes by it from now on, and its routes are removed bit by bit.
    pub(super) fn remove_neighbour(&mut self, id: NeighbourId, reason: DownReason) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let was_up = !neighbour.cost.is_infinite();
        let (interface, address) = (neighbour.interface, neighbour.address);
        neighbour.removed = true;
        neighbour.cost = Metric::INFINITY;
        if was_up {
            self.report_down(id, reason);
        }
        self.neighbours.forget_address(id);
        for timer in [
            Timer::Flush(id),
            Timer::HelloMissed(id),
            Timer::UnicastHelloMissed(id),
            Timer::HearingExpired(id),
            Timer::Silence(id),
            Timer::PathMtu(id),
            Timer::Dump(id),
        ] {
            self.timers.cancel(timer);
        }
        self.forget_asker(id);
        self.distrust_all(interface, address);
        self.enqueue_work(id);
    }

    /// [`super::input::Input::CostMultiplier`].
    pub(super) fn set_multiplier(
        &mut self,
        interface: InterfaceId,
        address: Option<std::net::Ipv6Addr>,
        multiplier: u16,
    ) {
        let neighbours = match address {
            Some(address) => self
                .neighbours
                .find(interface, address)
                .into_iter()
                .collect(),
            None => self.neighbours.of_interface(interface),
        };
        if address.is_none()
            && let Some(interface) = self.interfaces.get_mut(&interface)
        {
            interface.multiplier = multiplier;
        }
        for id in neighbours {
            if let Some(neighbour) = self.neighbours.get_mut(id) {
                neighbour.multiplier = multiplier;
            }
            self.cost_changed(id, DownReason::NotHeard);
        }
    }
}
