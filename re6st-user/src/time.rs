//! The clocks of the pure parts: whoever runs one reads it, a pure part only compares.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since an origin that is the same for one run of the node; it never goes backwards.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// What a Hello carries: the low 32 bits, which wrap after 71 minutes (RFC 9616 section 3.1).
    pub const fn timestamp(self) -> u32 {
        self.0 as u32
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// What lies beyond the end of the clock is its end.
    fn add(self, duration: Duration) -> Self {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(microseconds))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// What lies before the origin is the origin.
    fn sub(self, duration: Duration) -> Self {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(microseconds))
    }
}

/// A moment of the wall clock: seconds since 1970-01-01 00:00 UTC, without leap seconds. May be wrong, and may be set.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Seconds of a day.
pub const DAY: u64 = 86_400;
/// Clocks of others may be behind by so many seconds: certificates are valid from so long before they are issued.
pub const CLOCK_SKEW: u64 = 3_600;

impl Timestamp {
    /// So many seconds later, or the end of time.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// So many seconds earlier, or 1970.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds since another moment; 0 if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// By the clock that nobody sets: what waiting is measured by.
    pub elapsed: Time,
    /// By the wall clock: what certificates are valid by.
    pub wall: Timestamp,
}
