//! When which route and which prefix is to be looked at: there may be millions of appointments.

use std::collections::BTreeSet;

use crate::{
    babel::{
        ids::{DestinationId, NeighbourId},
        quantities::Interval,
    },
    time::Time,
};

/// A tenth of a second since the clock's origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u32);

impl Tick {
    const MICROSECONDS: u64 = 100_000;
    /// In the note of an appointment: there is none.
    pub const UNSET: Self = Self(0);

    /// The first tick not before a time.
    pub fn from_time(time: Time) -> Self {
        Self(u32::try_from(time.0.div_ceil(Self::MICROSECONDS)).unwrap_or(u32::MAX))
    }

    /// When a route expires that is announced in this interval: after three and a half of them (appendix B).
    pub fn of_expiry(now: Time, interval: Interval) -> Self {
        match interval {
            Interval::INFINITE => Self(u32::MAX),
            interval => Self::from_time(now + interval.duration() * 7 / 2),
        }
    }

    /// When to ask for it again: one interval before (section 3.8.2.3).
    pub fn of_reminder(now: Time, interval: Interval) -> Self {
        match interval {
            Interval::INFINITE => Self(u32::MAX),
            interval => Self::from_time(now + interval.duration() * 5 / 2),
        }
    }

    pub const fn time(self) -> Time {
        Time(self.0 as u64 * Self::MICROSECONDS)
    }

    /// The one after the first that is not before a time.
    pub fn after(time: Time) -> Self {
        Self(Self::from_time(time).0 + 1)
    }
}

/// What is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Appointment {
    /// A route may have expired.
    Route(DestinationId, NeighbourId),
    /// A lost prefix need no longer be refused, a better route may have lasted, an origin may be forgotten.
    Destination(DestinationId),
    /// Something important is announced again.
    Resend(DestinationId),
}

/// Appointments by tick, each once at most: whoever it is with has a note of when.
#[derive(Debug, Default)]
pub struct Calendar(BTreeSet<(Tick, Appointment)>);

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

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
