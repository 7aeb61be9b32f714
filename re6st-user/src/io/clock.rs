//! Where time comes from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, Time, Timestamp};

/// What the wall clock says.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.unwrap_or_default().as_secs())
}

/// The clock that nobody sets. It does not start at zero: there is a time before.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

/// Where it starts: a second.
const START: u64 = 1_000_000;

impl Clock {
    /// Starts now.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The time since it started, and a second.
    pub fn elapsed(&self) -> Time {
        let elapsed = u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX);
        Time(elapsed.saturating_add(START))
    }

    /// What both clocks say.
    pub fn now(&self) -> Now {
        Now {
            elapsed: self.elapsed(),
            wall: wall(),
        }
    }
}
