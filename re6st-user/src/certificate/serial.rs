//! Serial numbers of certificates.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A certificate's serial number: counted by the registry from 1. With the issuer's key it names a certificate for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Serial(u64);

impl Serial {
    /// The largest: what SQLite's integers hold.
    pub const MAX: u64 = i64::MAX as u64;

    /// From 1 to [`Serial::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number > Self::MAX {
            return None;
        }
        Some(Self(number))
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// From the content of a DER integer.
    pub(super) fn from_octets(octets: &[u8]) -> Option<Self> {
        let start = octets.iter().take_while(|octet| **octet == 0).count();
        let significant = octets.get(start..)?;
        // a negative number begins with a high bit
        if significant.len() > 8 || octets.first()? & 0x80 != 0 {
            return None;
        }
        Self::new(
            significant
                .iter()
                .fold(0, |number, octet| number << 8 | u64::from(*octet)),
        )
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u64> for Serial {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a serial number is between 1 and 2^63 - 1")
    }
}

impl From<Serial> for u64 {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}
