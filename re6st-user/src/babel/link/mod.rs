//! Interfaces and neighbours (RFC 8966 sections 3.2.2, 3.2.3 and 3.4): who is heard, how well, and what a link costs.
//!
//! Going in: interfaces as they come and go, packets, the passage of time. Coming out: [`Change`]s.

mod interface;
mod measured;
mod neighbour;
mod path_mtu;
mod probing;
mod quality;
mod receive;
mod rtt;
mod send;
mod time_out;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;

use self::{
    interface::{Interface, QUICK_HELLOS},
    neighbour::{Neighbour, Neighbours},
};
pub use self::{quality::Report, receive::Arrival, time_out::Timer};
use super::{
    context::Context,
    ids::{Audience, NeighbourId},
    input::InterfaceId,
    message::{EchoedTimestamps, Message},
    output::{DownReason, Event},
    quantities::{Interval, Metric, SequenceNumber},
    settings::InterfaceSettings,
    timers::Timers,
};
use crate::time::Time;

/// After a graceful restart this many Hellos say so.
const CONTINUING_HELLOS: u8 = 10;
/// IHUs promise the next within this many Hello intervals (appendix B).
const HEARING_INTERVALS: u32 = 3;
/// From a link's coming up to the first look at how large packets may be.
const PATH_MTU_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// What follows from what happened to links, in order.
#[derive(Debug)]
pub enum Change {
    /// To be sent to a neighbour within a few milliseconds.
    Soon(NeighbourId, Message),
    /// An interface begins to work, or has other settings; with `ask`, nothing that was said there before counts.
    Started { interface: InterfaceId, ask: bool },
    /// An interface does not work any more.
    Stopped(InterfaceId),
    /// A neighbour is heard for the first time.
    New {
        id: NeighbourId,
        interface: InterfaceId,
        address: Ipv6Addr,
    },
    /// A neighbour lost all it knew: whatever it announced before is void.
    Restarted(NeighbourId, Arrival),
    /// The link to a neighbour costs something else.
    Cost(NeighbourId, Metric),
    /// A neighbour knows nothing of what we announced: it is heard both ways now, or what was announced was too large.
    Uninformed(NeighbourId),
    /// A neighbour is gone. Its number is not used again until [`Links::forget`].
    Gone(NeighbourId),
}

/// What is different about an interface whose settings changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Renewed {
    /// It was there before.
    pub known: bool,
    /// What we take of neighbours.
    pub accepted: bool,
    /// What neighbours hear of us.
    pub announced: bool,
}

/// All interfaces and neighbours.
#[derive(Debug, Default)]
pub struct Links {
    interfaces: BTreeMap<InterfaceId, Interface>,
    neighbours: Neighbours,
    timers: Timers<Timer>,
    changes: Vec<Change>,
}

impl Links {
    /// What follows from what happened since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// An interface is there, or its settings have changed. `continues`: we forward as before a restart.
    pub fn set_interface(
        &mut self,
        context: &mut Context,
        id: InterfaceId,
        settings: InterfaceSettings,
        continues: bool,
    ) -> Renewed {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            let number = SequenceNumber(context.random.next() as u16);
            let mut interface = Interface::new(settings, number);
            if continues {
                interface.continuing_hellos = CONTINUING_HELLOS;
            }
            self.interfaces.insert(id, interface);
            self.start(context, id, true);
            return Renewed::default();
        };
        let renumbered = interface.settings.ipv4 != settings.ipv4;
        let renewed = Renewed {
            known: true,
            // routes to the address that is ours now are not taken any more
            accepted: interface.settings.accept != settings.accept || renumbered,
            // neighbours must not go on sending to an address that is not ours any more
            announced: interface.settings.announce != settings.announce
                || interface.settings.own_only != settings.own_only
                || renumbered,
        };
        let otherwise = interface.settings.measured != settings.measured;
        interface.settings = settings;
        let was_up = std::mem::replace(&mut interface.up, true);
        if otherwise {
            self.measured_otherwise(context, id);
        }
        self.start(context, id, !was_up);
        renewed
    }

    /// What neighbours of an interface cost, which has other settings; with `ask`, they are to announce all again.
    pub fn reassess(&mut self, context: &mut Context, interface: InterfaceId, ask: bool) {
        for neighbour in self.of_interface(interface) {
            self.cost_changed(context, neighbour, DownReason::NotHeard);
            if ask {
                let all = Message::RouteRequest { route: None };
                self.changes.push(Change::Soon(neighbour, all));
            }
        }
    }

    fn start(&mut self, context: &mut Context, id: InterfaceId, ask: bool) {
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.quick_hellos = QUICK_HELLOS;
            let jitter = Duration::from_millis(20);
            let jitter = context.random.between(Duration::ZERO, jitter);
            self.timers.set(Timer::Hello(id), context.now + jitter);
            self.changes.push(Change::Started { interface: id, ask });
        }
    }

    /// Without carrier, or without the interface, its neighbours are gone at once.
    pub fn stop(&mut self, context: &mut Context, id: InterfaceId) {
        for neighbour in self.of_interface(id) {
            self.remove_neighbour(context, neighbour, DownReason::Link);
        }
        self.timers.cancel(Timer::Hello(id));
        self.changes.push(Change::Stopped(id));
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.up = false;
        }
    }

    pub fn remove_interface(&mut self, context: &mut Context, id: InterfaceId) {
        self.stop(context, id);
        self.interfaces.remove(&id);
    }

    /// The link went down or came back.
    pub fn carrier(&mut self, context: &mut Context, id: InterfaceId, up: bool) {
        let Some(interface) = self.interfaces.get_mut(&id) else {
            return;
        };
        match (interface.up, up) {
            (true, false) => self.stop(context, id),
            (false, true) => {
                interface.up = true;
                self.start(context, id, true);
            }
            _ => {}
        }
    }

    /// We are gone: what neighbours of an interface are told, that nothing goes by us and that we hear nobody.
    pub fn farewell(&self, id: InterfaceId) -> Vec<Message> {
        let Some(interface) = self.interfaces.get(&id) else {
            return Vec::new();
        };
        let interval = Interval::from_duration(interface.settings.hello_interval);
        let neighbours = self.of_interface(id).into_iter();
        let unheard = neighbours.filter_map(|neighbour| {
            let address = IpAddr::V6(self.neighbours.get(neighbour)?.address);
            Some(Message::IHeardYou {
                address: Some(address),
                reception_cost: Metric::INFINITY,
                interval,
                timestamps: None,
            })
        });
        std::iter::once(Message::RetractAll)
            .chain(unheard)
            .collect()
    }

    /// Nothing is due any more, and there are no interfaces.
    pub fn shut_down(&mut self) {
        self.timers = Timers::default();
        self.interfaces.clear();
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceId> {
        self.interfaces.keys().copied()
    }

    pub fn settings(&self, id: InterfaceId) -> Option<&InterfaceSettings> {
        Some(&self.interfaces.get(&id)?.settings)
    }

    /// Those of interfaces.
    pub fn all_settings(&self) -> impl Iterator<Item = &InterfaceSettings> {
        self.interfaces
            .values()
            .map(|interface| &interface.settings)
    }

    /// Whether a prefix is nothing but an address of ours: whoever else announces it wants our packets.
    pub fn is_own(&self, context: &Context, prefix: IpNet) -> bool {
        let address = prefix.addr();
        let is_here =
            |settings: &InterfaceSettings| settings.ipv4.is_some_and(|own| own == address);
        prefix.prefix_len() == prefix.max_prefix_len()
            && (context.settings.addresses.contains(&address) || self.all_settings().any(is_here))
    }

    /// Where whoever hears something is.
    pub fn interface_of(&self, audience: Audience) -> Option<InterfaceId> {
        match audience {
            Audience::Group(id) => Some(id),
            Audience::Neighbour(id) => Some(self.neighbours.get(id)?.interface),
        }
    }

    /// Neighbours of an interface that are not gone.
    pub fn of_interface(&self, id: InterfaceId) -> Vec<NeighbourId> {
        self.neighbours.of_interface(id)
    }

    /// Neighbours that are not gone, with the settings of their interfaces.
    pub fn neighbours(
        &self,
    ) -> impl Iterator<Item = (NeighbourId, &Neighbour, &InterfaceSettings)> {
        self.neighbours.iter().filter_map(|(id, neighbour)| {
            Some((id, neighbour, self.settings(neighbour.interface)?))
        })
    }

    /// Whether a neighbour is of our kind: it sends or answers probes, or is at the other end of a channel.
    pub fn is_of_our_kind(&self, id: NeighbourId) -> bool {
        let neighbour = self.neighbours.get(id);
        neighbour
            .is_some_and(|neighbour| neighbour.probes.peer || self.is_measured(neighbour.interface))
    }

    /// Whether there is no neighbour that packets could go to.
    pub fn is_alone(&self) -> bool {
        self.neighbours()
            .all(|(_, neighbour, settings)| neighbour.present_cost(settings).is_infinite())
    }

    /// Whether Hellos of anybody come on an interface.
    pub fn hears_on(&self, interface: InterfaceId) -> bool {
        self.neighbours.iter().any(|(_, neighbour)| {
            neighbour.interface == interface
                && (neighbour.multicast.bits | neighbour.unicast.bits) != 0
        })
    }

    /// The cost of a link is multiplied, in 256ths; `None` for all neighbours of the interface, also those to come.
    pub fn set_multiplier(
        &mut self,
        context: &mut Context,
        interface: InterfaceId,
        address: Option<Ipv6Addr>,
        multiplier: u16,
    ) {
        let neighbours = match address {
            Some(address) => Vec::from_iter(self.neighbours.find(interface, address)),
            None => self.of_interface(interface),
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
            self.cost_changed(context, id, DownReason::NotHeard);
        }
    }

    /// The cost of a link may have changed: its routes are compared anew if it has enough.
    fn cost_changed(&mut self, context: &mut Context, id: NeighbourId, reason: DownReason) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let Some(interface) = self.interfaces.get(&neighbour.interface) else {
            return;
        };
        let cost = neighbour.present_cost(&interface.settings);
        let exact = context.settings.small_change == 0;
        if !neighbour.differs_much(cost, &interface.settings, exact) {
            return;
        }
        let before = std::mem::replace(&mut neighbour.cost, cost);
        let (interface, address) = (neighbour.interface, neighbour.address);
        self.changes.push(Change::Cost(id, cost));
        match (before.is_infinite(), cost.is_infinite()) {
            (true, false) => {
                context.event(Event::NeighbourUp { interface, address });
                self.changes.push(Change::Uninformed(id));
                self.expect_path_mtu(context, id);
            }
            (false, true) => context.event(Event::NeighbourDown {
                interface,
                address,
                reason,
            }),
            _ => {}
        }
    }

    /// The neighbour is gone: nothing goes by it from now on.
    fn remove_neighbour(&mut self, context: &mut Context, id: NeighbourId, reason: DownReason) {
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        neighbour.removed = true;
        if !std::mem::replace(&mut neighbour.cost, Metric::INFINITY).is_infinite() {
            context.event(Event::NeighbourDown {
                interface: neighbour.interface,
                address: neighbour.address,
                reason,
            });
        }
        self.neighbours.forget_address(id);
        for timer in [
            Timer::HelloMissed(id),
            Timer::UnicastHelloMissed(id),
            Timer::HearingExpired(id),
            Timer::Silence(id),
            Timer::PathMtu(id),
        ] {
            self.timers.cancel(timer);
        }
        self.changes.push(Change::Gone(id));
    }

    /// Nothing is left of a neighbour that is gone: another may have its number.
    pub fn forget(&mut self, id: NeighbourId) {
        self.neighbours.remove(id);
    }

    /// When to ask a neighbour of our kind, from which something came, for more. One of the two asks, the other waits a little
    /// longer and has heard it before it would: half the packets.
    fn expect_sign(&mut self, context: &Context, id: NeighbourId) {
        let neighbour = self.neighbours.get(id);
        let Some(neighbour) = neighbour.filter(|neighbour| neighbour.probes.peer) else {
            return;
        };
        let settings = self.settings(neighbour.interface);
        let Some(settings) = settings.filter(|settings| !settings.measured) else {
            return;
        };
        let asks_first = settings.link_local < neighbour.address;
        let probing = &context.settings.probing;
        let quiet = match asks_first {
            true => probing.interval,
            false => probing.interval + probing.repeat,
        };
        self.timers.set(Timer::Silence(id), context.now + quiet);
    }

    /// Asks for a sign of life, which also shows what kind of speaker we are.
    fn send_probe(&self, context: &mut Context, id: NeighbourId) {
        let token = context.random.next() as u32;
        context.counters.probes_sent += 1;
        self.send_to(context, id, Message::Probe { token });
    }

    /// The IHU for a neighbour.
    fn hearing(&self, id: NeighbourId, restarting: bool) -> Option<Message> {
        let neighbour = self.neighbours.get(id)?;
        let settings = self.settings(neighbour.interface)?;
        let reception_cost = neighbour.reception_cost(settings);
        if reception_cost.is_infinite() && restarting {
            // a graceful restart: it counts on what we said before, until enough of its Hellos came or that is too old
            return None;
        }
        let echo = neighbour.last_hello.filter(|_| settings.sends_times());
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
    fn send_hearing(&self, context: &mut Context, id: NeighbourId, restarting: bool) {
        if let Some(mut message) = self.hearing(id, restarting) {
            message.forget_times();
            self.send_to(context, id, message);
        }
    }
}
