//! How often something may be done.

use std::time::Duration;

use crate::time::Time;

/// So many in so many seconds: all at once if none came before, then one whenever its share of the time has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many; 0 allows none.
    pub count: u32,
    /// In how many seconds; 0 allows any number.
    pub seconds: u32,
}

impl Rate {
    fn span(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// When one of a kind may ask again: the generic cell rate algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    /// When all that was asked has been paid off.
    paid_off: Time,
}

impl Bucket {
    /// Nothing was asked yet.
    pub const NEW: Self = Self { paid_off: Time(0) };

    /// Takes one.
    ///
    /// # Errors
    ///
    /// Too early: how long to wait.
    pub fn take(&mut self, rate: Rate, now: Time) -> Result<(), Duration> {
        if rate.seconds == 0 {
            return Ok(());
        }
        if rate.count == 0 {
            return Err(Duration::from_secs(u32::MAX.into()));
        }
        let span = rate.span();
        let latest = now + span;
        // nobody can owe so much: the clock was wrong, and went back
        if self.paid_off > latest + span {
            self.paid_off = Time(0);
        }
        let next = self.paid_off.max(now) + span / rate.count;
        if next > latest {
            return Err(next.since(latest));
        }
        self.paid_off = next;
        Ok(())
    }

    /// Whether nothing is owed, so that it can be forgotten.
    pub fn is_idle(self, now: Time) -> bool {
        self.paid_off <= now
    }

    /// From when on one can be taken, at a rate that is one.
    pub fn not_before(self, rate: Rate) -> Time {
        self.paid_off + rate.span() / rate.count.max(1) - rate.span()
    }
}
