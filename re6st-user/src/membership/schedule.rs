//! When something that failed is tried again.

use std::time::Duration;

use crate::{babel::random::Random, time::Time};

/// How fast retries become rare.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The wait after the first failure, on average.
    pub first: Duration,
    /// The longest wait, on average.
    pub longest: Duration,
}

/// Exponential backoff. Each wait is between half and one and a half of its average, so that the nodes of a network, which
/// all see a registry go and come back at the same time, do not come at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    not_before: Time,
}

impl Retry {
    /// From when on it may be tried.
    pub const fn not_before(&self) -> Time {
        self.not_before
    }

    /// It went wrong: later, and later each time.
    pub fn failed(&mut self, now: Time, pace: Pace, random: &mut Random) {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let average = pace.first.saturating_mul(doubled).min(pace.longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + random.between(average / 2, average * 3 / 2);
    }

    /// It went wrong, and is wanted no sooner than after a time: later each time all the same, should that be none.
    pub fn refused(&mut self, now: Time, wait: Duration, pace: Pace, random: &mut Random) {
        self.failed(now, pace, random);
        let backoff = self.not_before;
        self.postpone(now, wait, random);
        self.not_before = self.not_before.max(backoff);
    }

    /// Not before so long from now, nor much later.
    pub fn postpone(&mut self, now: Time, wait: Duration, random: &mut Random) {
        self.not_before = now + random.between(wait, wait * 3 / 2);
    }

    /// It went well: at once, when it is wanted again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Time(0);
    }
}
