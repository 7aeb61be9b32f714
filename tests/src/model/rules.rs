//! Small rules of the RFCs.

use std::net::IpAddr;

/// Whether no packet may carry the address at all, as source or destination: RFC 1122 section 3.2.1.3, RFC 4291
/// sections 2.5.2, 2.5.3 and 2.5.5.2.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first == 0 || address.is_loopback() || (first >= 240 && !address.is_broadcast())
        }
        IpAddr::V6(address) => {
            address.is_unspecified() || address.is_loopback() || address.to_ipv4_mapped().is_some()
        }
    }
}

/// Whether it means several hosts.
pub fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether it is link-local or means several hosts: no unicast route applies.
pub fn is_link_scoped(address: IpAddr) -> bool {
    is_multicast(address)
        || match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
}

/// Explicit congestion notification, RFC 3168 section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// 00: not ECN-capable.
    NotEct,
    /// 01: ECN-capable, the second code point.
    Ect1,
    /// 10: ECN-capable.
    Ect0,
    /// 11: congestion experienced.
    Ce,
}

impl Ecn {
    /// From the low two bits.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    pub fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0,
            Self::Ect1 => 1,
            Self::Ect0 => 2,
            Self::Ce => 3,
        }
    }

    /// What leaves the tunnel; `None`: the packet must be dropped. RFC 6040 figure 4, `self` is the inner.
    pub fn decapsulated(self, outer: Self) -> Option<Self> {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        Some(match (self, outer) {
            (NotEct, NotEct) => NotEct,
            (NotEct, Ect0) => NotEct,
            (NotEct, Ect1) => NotEct,
            (NotEct, Ce) => return None,
            (Ect0, NotEct) => Ect0,
            (Ect0, Ect0) => Ect0,
            (Ect0, Ect1) => Ect1,
            (Ect0, Ce) => Ce,
            (Ect1, NotEct) => Ect1,
            (Ect1, Ect0) => Ect1,
            (Ect1, Ect1) => Ect1,
            (Ect1, Ce) => Ce,
            (Ce, NotEct) => Ce,
            (Ce, Ect0) => Ce,
            (Ce, Ect1) => Ce,
            (Ce, Ce) => Ce,
        })
    }
}

/// One's complement sum of 16-bit words, folded (RFC 1071).
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for word in bytes.chunks(2) {
        let word = [word[0], word.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
    }
    fold(sum)
}

/// Folds the carries in.
pub fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A checksum after one of the words it covers changed: RFC 1624 equation 3, `HC' = ~(~HC + ~m + m')`.
pub fn updated_checksum(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u32::from(!checksum) + u32::from(!old) + u32::from(new))
}
