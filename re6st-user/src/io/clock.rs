//! Where time comes from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, Time, Timestamp};

/// What the wall clock says.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.unwrap_or_default().as_secs())
}

/// Both clocks; `started` is the origin of the one that nobody sets.
pub fn now(started: Instant) -> Now {
    let elapsed = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    Now {
        elapsed: Time(elapsed),
        wall: wall(),
    }
}
