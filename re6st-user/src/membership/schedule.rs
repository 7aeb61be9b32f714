//! When something that failed is tried again.

use std::time::Duration;

use crate::{babel::random::Random, time::Timestamp};

/// A moment, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the start, by a clock that nobody sets: what waiting is measured by.
    pub elapsed: Duration,
    /// What certificates are valid by. May be wrong, and may be set.
    pub wall: Timestamp,
}

/// How fast retries become rare.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The wait after the first failure, on average.
    pub first: Duration,
    /// The longest wait, on average.
    pub longest: Duration,
}

/// Questions asked in a row, and how soon after that one more may be asked.
const BURST: u32 = 30;
const INTERVAL: Duration = Duration::from_secs(1);

/// How many questions may be asked, whatever the answers are: some in a row, then one a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// When the last question would have been asked, had each waited for its turn.
    turn: Duration,
}

impl Allowance {
    /// From when on one may be asked.
    pub const fn not_before(&self) -> Duration {
        self.turn.saturating_sub(INTERVAL.saturating_mul(BURST))
    }

    /// One is asked.
    pub fn take(&mut self, now: Moment) {
        self.turn = self.turn.max(now.elapsed) + INTERVAL;
    }
}

/// Exponential backoff. Each wait is between half and one and a half of its average, so that the nodes of a network, which
/// all see a registry go and come back at the same time, do not come at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    not_before: Duration,
}

impl Retry {
    /// Whether it may be tried.
    pub fn is_due(&self, now: Moment) -> bool {
        self.not_before <= now.elapsed
    }

    /// From when on it may be tried.
    pub const fn not_before(&self) -> Duration {
        self.not_before
    }

    /// It went wrong: later, and later each time.
    pub fn failed(&mut self, now: Moment, pace: Pace, random: &mut Random) {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let average = pace.first.saturating_mul(doubled).min(pace.longest);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.elapsed + random.between(average / 2, average * 3 / 2);
    }

    /// It went wrong, and is wanted no sooner than after a time: later each time all the same, should that be none.
    pub fn refused(&mut self, now: Moment, wait: Duration, pace: Pace, random: &mut Random) {
        self.failed(now, pace, random);
        let backoff = self.not_before;
        self.postpone(now, wait, random);
        self.not_before = self.not_before.max(backoff);
    }

    /// Not before so long from now, nor much later.
    pub fn postpone(&mut self, now: Moment, wait: Duration, random: &mut Random) {
        self.not_before = now.elapsed + random.between(wait, wait * 3 / 2);
    }

    /// It went well: at once, when it is wanted again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Duration::ZERO;
    }
}
