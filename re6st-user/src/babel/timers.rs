//! When what is due: a few timers that move often, and a calendar for the many appointments of routes.

use std::collections::{BTreeSet, HashMap};

use super::{
    input::InterfaceId, neighbour::NeighbourId, quantities::RouterId, table::DestinationId,
};
use crate::time::Time;

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
    /// In the note of an appointment: there is none.
    pub const UNSET: Self = Self(0);

    /// The first tick not before a time.
    pub fn from_time(time: Time) -> Self {
        Self(u32::try_from(time.0.div_ceil(Self::MICROSECONDS)).unwrap_or(u32::MAX))
    }

    pub const fn time(self) -> Time {
        Time(self.0 as u64 * Self::MICROSECONDS)
    }
}

/// What is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Appointment {
    /// A route may have expired.
    Route(DestinationId, NeighbourId),
    /// A lost prefix need no longer be refused, a better route may have lasted, an origin may be forgotten.
    Destination(DestinationId),
    /// Something important is announced again.
    Resend(DestinationId),
}

/// Appointments by tick, each once at most: whoever it is with has a note of when.
#[derive(Debug, Default)]
pub(super) struct Calendar(BTreeSet<(Tick, Appointment)>);

impl Calendar {
    /// Makes an appointment, or moves it.
    pub fn set(&mut self, note: &mut Tick, at: Tick, appointment: Appointment) {
        self.cancel(note, appointment);
        *note = at;
        self.0.insert((at, appointment));
    }

    /// The same, unless it is earlier anyway.
    pub fn set_by(&mut self, note: &mut Tick, at: Tick, appointment: Appointment) {
        if *note == Tick::UNSET || *note > at {
            self.set(note, at, appointment);
        }
    }

    pub fn cancel(&mut self, note: &mut Tick, appointment: Appointment) {
        let at = std::mem::replace(note, Tick::UNSET);
        if at != Tick::UNSET {
            self.0.remove(&(at, appointment));
        }
    }

    /// The next that is due. It is no longer set: whoever it is with takes the note away.
    pub fn pop(&mut self, now: Time) -> Option<Appointment> {
        let (at, _) = self.0.first()?;
        if at.time() > now {
            return None;
        }
        self.0.pop_first().map(|(_, appointment)| appointment)
    }

    pub fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| at.time())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
