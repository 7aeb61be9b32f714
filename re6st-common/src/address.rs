//! Internet addresses as two 64-bit words: what BPF compares in two instructions.

use crate::wire::ethertype;

/// An IPv6 address, or an IPv4 address mapped into `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The first eight bytes, as they are on the wire.
    high: u64,
    /// The last eight bytes, as they are on the wire.
    low: u64,
}

const MAPPED: u64 = 0xffff_0000_0000;

impl Address {
    /// An address from the numbers that its halves are.
    #[inline(always)]
    pub const fn new(high: u64, low: u64) -> Self {
        Self {
            high: high.to_be(),
            low: low.to_be(),
        }
    }

    /// An IPv6 address from its 16 bytes in network order.
    #[inline(always)]
    pub const fn from_ipv6(bytes: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(bytes);
        Self::new((number >> 64) as u64, number as u64)
    }

    /// An IPv4 address from its 4 bytes in network order.
    #[inline(always)]
    pub const fn from_ipv4(bytes: [u8; 4]) -> Self {
        Self::new(0, MAPPED | u32::from_be_bytes(bytes) as u64)
    }

    /// The first eight bytes, as a number.
    #[inline(always)]
    pub const fn high(self) -> u64 {
        u64::from_be(self.high)
    }

    /// The last eight bytes, as a number.
    #[inline(always)]
    pub const fn low(self) -> u64 {
        u64::from_be(self.low)
    }

    /// The 16 bytes in network order.
    #[inline(always)]
    pub const fn octets(self) -> [u8; 16] {
        (((self.high() as u128) << 64) | self.low() as u128).to_be_bytes()
    }

    /// The last four bytes: the IPv4 address of a mapped one.
    #[inline(always)]
    pub const fn ipv4_octets(self) -> [u8; 4] {
        (self.low() as u32).to_be_bytes()
    }

    /// Whether it is a global unicast IPv6 address (`2000::/3`): nothing is special about those, and most are.
    #[inline(always)]
    pub const fn is_global_ipv6(self) -> bool {
        self.high() >> 61 == 1
    }

    /// Whether packets from or to it stay on one link or reach several hosts: link-local (`fe80::/10`, `169.254/16`),
    /// multicast (`ff00::/8`, `224/4`) and IPv4 limited broadcast. Routers do not forward these by unicast routes.
    #[inline(always)]
    pub const fn is_link_scoped(self, family: Family) -> bool {
        match family {
            Family::Ipv6 => self.high() >> 54 == 0xfe80 >> 6 || self.high() >> 56 == 0xff,
            Family::Ipv4 => {
                let address = self.low() as u32;
                address >> 16 == 0xa9fe || address >> 28 == 0xe || address == u32::MAX
            }
        }
    }

    /// Whether no packet on a network may carry it: unspecified (`::`, `0/8`), loopback (`::1`, `127/8`), reserved
    /// (`240/4` but broadcast), and IPv4-mapped in a real IPv6 packet (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5).
    #[inline(always)]
    pub const fn is_forbidden(self, family: Family) -> bool {
        match family {
            Family::Ipv6 => {
                self.high() == 0 && (self.low() <= 1 || self.low() >> 32 == MAPPED >> 32)
            }
            Family::Ipv4 => {
                let address = self.low() as u32;
                address >> 24 == 0
                    || address >> 24 == 127
                    || (address >> 28 == 0xf && address != u32::MAX)
            }
        }
    }

    /// Whether it is a multicast address, or IPv4 limited broadcast: never a source.
    #[inline(always)]
    pub const fn is_multicast(self, family: Family) -> bool {
        match family {
            Family::Ipv6 => self.high() >> 56 == 0xff,
            Family::Ipv4 => {
                let address = self.low() as u32;
                address >> 28 == 0xe || address == u32::MAX
            }
        }
    }
}

/// Which Internet protocol a packet speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// RFC 791.
    Ipv4,
    /// RFC 8200.
    Ipv6,
}

impl Family {
    /// By its EtherType.
    #[inline(always)]
    pub const fn of(ethertype: u16) -> Option<Self> {
        match ethertype {
            ethertype::IPV4 => Some(Self::Ipv4),
            ethertype::IPV6 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// Its EtherType, in network order.
    #[inline(always)]
    pub const fn ethertype(self) -> [u8; 2] {
        match self {
            Self::Ipv4 => ethertype::IPV4,
            Self::Ipv6 => ethertype::IPV6,
        }
        .to_be_bytes()
    }
}

#[cfg(any(test, feature = "user"))]
impl From<std::net::IpAddr> for Address {
    fn from(address: std::net::IpAddr) -> Self {
        match address {
            std::net::IpAddr::V4(address) => Self::from_ipv4(address.octets()),
            std::net::IpAddr::V6(address) => Self::from_ipv6(address.octets()),
        }
    }
}
