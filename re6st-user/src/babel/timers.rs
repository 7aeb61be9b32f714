//! When what is due: a few timers that move often, and a calendar for the many appointments of routes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    input::InterfaceId, neighbour::NeighbourId, quantities::RouterId, table::DestinationId,
    time::Time,
};

/// What a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Timer {
    /// The next multicast Hello.
    Hello(InterfaceId),
    /// The next full announcement.
    Update(InterfaceId),
    /// Messages to the group wait to be sent.
    FlushGroup(InterfaceId),
    /// Messages to a neighbour wait to be sent.
    Flush(NeighbourId),
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
    /// A full announcement to one neighbour was put off.
    Dump(NeighbourId),
    /// A request is not answered yet.
    Request(DestinationId, RouterId),
    /// Routes of before the restart are given up.
    RestartOver,
    /// What was announced before a restart no longer counts anywhere.
    Settled,
    /// Neighbours have heard that we started.
    Listened,
}

/// Timers, each set once at most.
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: HashMap<Timer, Time>,
    order: BTreeSet<(Time, Timer)>,
}

impl Timers {
    /// Sets a timer, anew if it is set.
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.cancel(timer);
        self.deadlines.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets a timer, unless it goes off earlier anyway.
    pub fn set_by(&mut self, timer: Timer, at: Time) {
        if self.deadlines.get(&timer).is_none_or(|set| *set > at) {
            self.set(timer, at);
        }
    }

    pub fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.deadlines.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The next that is due.
    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }

    pub fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }
}

/// A tenth of a second since the clock's origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Tick(pub u32);

impl Tick {
    const MICROSECONDS: u64 = 100_000;

    /// The first tick not before a time.
    pub fn from_time(time: Time) -> Self {
        Self(u32::try_from(time.0.div_ceil(Self::MICROSECONDS)).unwrap_or(u32::MAX))
    }

    pub const fn time(self) -> Time {
        Time(self.0 as u64 * Self::MICROSECONDS)
    }
}

/// What is to be looked at. An appointment is not cancelled: whoever keeps it looks whether it still matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Appointment {
    /// A route may have expired.
    Route(DestinationId, NeighbourId),
    /// A lost prefix need no longer be refused, a better route may have lasted, an origin may be forgotten.
    Destination(DestinationId),
    /// Something important is announced again.
    Resend(DestinationId),
}

/// Appointments by tick.
#[derive(Debug, Default)]
pub(super) struct Calendar(BTreeMap<Tick, Vec<Appointment>>);

impl Calendar {
    pub fn add(&mut self, at: Tick, appointment: Appointment) {
        self.0.entry(at).or_default().push(appointment);
    }

    /// The next that is due, with its tick.
    pub fn pop(&mut self, now: Time) -> Option<(Tick, Appointment)> {
        let mut entry = self.0.first_entry()?;
        let tick = *entry.key();
        if tick.time() > now {
            return None;
        }
        let appointment = entry.get_mut().pop();
        if entry.get().is_empty() {
            entry.remove();
        }
        appointment.map(|appointment| (tick, appointment))
    }

    pub fn next(&self) -> Option<Time> {
        self.0.first_key_value().map(|(tick, _)| tick.time())
    }
}
