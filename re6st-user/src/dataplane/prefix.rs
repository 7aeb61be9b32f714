//! Prefixes as the trie has them: 128 bits for both families.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use re6st_common::{
    address::{Address, Family},
    maps::{TrieKey, table},
};

/// Bits in front of an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;
/// Bits of the table's number in front of a key of FIB_TRIE.
const TABLE: u32 = 32;

/// A prefix of 128-bit addresses, IPv4 mapped. The order puts a prefix before those it covers, and all of these before
/// whatever comes after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    bits: u128,
    length: u8,
}

impl Prefix {
    /// A prefix; bits behind the length are dropped. Lengths above 128 count as 128.
    pub const fn new(bits: u128, length: u8) -> Self {
        let length = if length > 128 { 128 } else { length };
        Self {
            bits: bits & mask(length),
            length,
        }
    }

    /// All addresses of a family.
    pub const fn everything(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::new(0xffff_0000_0000, MAPPED),
            Family::Ipv6 => Self::new(0, 0),
        }
    }

    /// One address, in network order.
    pub const fn of_octets(octets: [u8; 16]) -> Self {
        Self::new(u128::from_be_bytes(octets), 128)
    }

    /// The first address.
    pub const fn bits(self) -> u128 {
        self.bits
    }

    /// How many bits are fixed; for IPv4 96 more than people say.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether all addresses of `other` are in it.
    pub const fn covers(self, other: Self) -> bool {
        self.length <= other.length && other.bits & mask(self.length) == self.bits
    }

    /// The prefix of this length, at most its own, that covers it.
    pub const fn truncated(self, length: u8) -> Self {
        Self::new(
            self.bits,
            if length < self.length {
                length
            } else {
                self.length
            },
        )
    }

    /// Where what it covers lies in the order, itself included.
    pub const fn range(self) -> RangeInclusive<Self> {
        let last = Self {
            bits: self.bits | !mask(self.length),
            length: 128,
        };
        self..=last
    }

    /// Key and prefix length in FIB_TRIE, in bits.
    pub fn trie_key(self, table: u32) -> (TrieKey, u32) {
        let address = Address::from_ipv6(self.bits.to_be_bytes());
        (TrieKey::new(table, address), TABLE + u32::from(self.length))
    }
}

/// The bits that a prefix of this length fixes.
const fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - length),
    }
}

impl From<IpNet> for Prefix {
    fn from(prefix: IpNet) -> Self {
        let bits = u128::from_be_bytes(Address::from(prefix.addr()).octets());
        match prefix {
            IpNet::V4(_) => Self::new(bits, MAPPED + prefix.prefix_len()),
            IpNet::V6(_) => Self::new(bits, prefix.prefix_len()),
        }
    }
}

/// The family of a prefix.
pub const fn family(prefix: IpNet) -> Family {
    match prefix {
        IpNet::V4(_) => Family::Ipv4,
        IpNet::V6(_) => Family::Ipv6,
    }
}

/// The table of routes by destination of a family.
pub const fn destination_table(family: Family) -> u32 {
    match family {
        Family::Ipv4 => table::IPV4,
        Family::Ipv6 => table::IPV6,
    }
}
