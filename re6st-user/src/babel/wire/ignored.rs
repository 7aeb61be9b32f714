//! What was not understood, counted.

use serde::Serialize;

/// Why a TLV was ignored. Its effect on the parser's state may have counted all the same (RFC 8966 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Ignored {
    /// A type we do not know, or one that does not belong in a body.
    #[error("unknown type")]
    UnknownType,
    /// It claims more octets than the packet has; nothing after it was read.
    #[error("longer than the packet")]
    Overrun,
    /// Its fixed part does not fit.
    #[error("too short")]
    TooShort,
    /// A sub-TLV claims more octets than the TLV has, or contradicts it.
    #[error("bad sub-TLV")]
    BadSubTlv,
    /// A sub-TLV of type 128 to 255 that we do not know.
    #[error("unknown mandatory sub-TLV")]
    UnknownMandatorySubTlv,
    /// An address encoding we do not know, or that is not allowed there.
    #[error("bad address encoding")]
    BadAddressEncoding,
    /// A prefix length that the family does not have, or octets omitted that were never given.
    #[error("bad prefix")]
    BadPrefix,
    /// A number that is not allowed there: interval 0, hop count 0, a reserved router-id.
    #[error("illegal value")]
    IllegalValue,
    /// An update before any router-id.
    #[error("no router-id")]
    NoRouterId,
    /// An IPv4 update before any IPv4 next hop.
    #[error("no next hop")]
    NoNextHop,
}

impl Ignored {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 10] = [
        Self::UnknownType,
        Self::Overrun,
        Self::TooShort,
        Self::BadSubTlv,
        Self::UnknownMandatorySubTlv,
        Self::BadAddressEncoding,
        Self::BadPrefix,
        Self::IllegalValue,
        Self::NoRouterId,
        Self::NoNextHop,
    ];
}

/// How many TLVs were ignored, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IgnoredCounters([u64; Ignored::ALL.len()]);

impl IgnoredCounters {
    /// For this reason.
    pub const fn of(&self, reason: Ignored) -> u64 {
        self.0[reason as usize]
    }

    /// For any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// With those of another packet.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// One more.
    pub(super) const fn count(&mut self, reason: Ignored) {
        self.0[reason as usize] += 1;
    }
}
