//! The numbers of the protocol, each a type of its own.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use crate::route::Metric;

/// Who originates a route: 8 octets, unique in the network (RFC 8966 section 4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouterId([u8; 8]);

impl RouterId {
    /// None comes before it.
    pub(super) const LEAST: Self = Self([0, 0, 0, 0, 0, 0, 0, 1]);

    /// `None` for the two that are reserved: all zeros and all ones.
    pub const fn new(octets: [u8; 8]) -> Option<Self> {
        match u64::from_be_bytes(octets) {
            0 | u64::MAX => None,
            _ => Some(Self(octets)),
        }
    }

    /// As on the wire.
    pub const fn octets(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for RouterId {
    /// As babeld and BIRD write it: `02:00:5e:ff:fe:00:53:01`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(formatter, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RouterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A sequence number, of routes or of Hellos: 16 bits that wrap (RFC 8966 section 3.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// Whether it comes after `other`: by less than half of the numbers there are.
    pub const fn is_newer_than(self, other: Self) -> bool {
        let ahead = self.0.wrapping_sub(other.0);
        ahead != 0 && ahead < 0x8000
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// How often something is sent, as neighbours are told: hundredths of a second in 16 bits (RFC 8966 section 4.1.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Interval(pub u16);

impl Interval {
    /// In a Hello: another one is not promised. Elsewhere not legal.
    pub const UNSCHEDULED: Self = Self(0);
    /// In an Update: the route does not expire (RFC 8966 section 4.6.9).
    pub const INFINITE: Self = Self(u16::MAX);

    /// The nearest that can be said: at least a hundredth of a second, at most 655.34 seconds.
    pub fn from_duration(duration: Duration) -> Self {
        let hundredths = duration.as_millis().div_ceil(10);
        Self(
            u16::try_from(hundredths)
                .unwrap_or(u16::MAX)
                .clamp(1, u16::MAX - 1),
        )
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

/// Added to the cost of a link whose other end leaves probes unanswered: more than any other way costs, and still far
/// from infinity if a way has three such links.
pub(super) const UNRESPONSIVE: u16 = 16_384;
