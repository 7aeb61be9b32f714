//! Moments as certificates and the registry's database count them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment: seconds since 1970-01-01 00:00 UTC, without leap seconds.
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
