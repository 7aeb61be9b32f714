//! Addresses on the wire (RFC 8966 section 4.1.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::Reader;

/// How an address or a prefix is written (RFC 8966 section 4.1.4, RFC 9229 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressEncoding {
    /// None: all routes, or whoever receives it.
    Wildcard,
    /// 4 octets.
    Ipv4,
    /// 16 octets.
    Ipv6,
    /// The last 8 octets of an address in `fe80::/64`.
    LinkLocal,
    /// An IPv4 prefix with an IPv6 next hop.
    Ipv4ViaIpv6,
}

impl AddressEncoding {
    /// `None` for numbers without a meaning.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Wildcard,
            1 => Self::Ipv4,
            2 => Self::Ipv6,
            3 => Self::LinkLocal,
            4 => Self::Ipv4ViaIpv6,
            _ => return None,
        })
    }

    /// As on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Wildcard => 0,
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
            Self::LinkLocal => 3,
            Self::Ipv4ViaIpv6 => 4,
        }
    }

    /// The shortest that says this address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(address) => match address.segments() {
                [0xfe80, 0, 0, 0, ..] => Self::LinkLocal,
                _ => Self::Ipv6,
            },
        }
    }
}

/// Reads an address; `None` if it is cut off, or if the encoding is one of prefixes only.
pub fn read(encoding: AddressEncoding, body: &mut Reader<'_>) -> Option<IpAddr> {
    Some(match encoding {
        AddressEncoding::Ipv4 => Ipv4Addr::from(body.array::<4>()?).into(),
        AddressEncoding::Ipv6 => Ipv6Addr::from(body.array::<16>()?).into(),
        AddressEncoding::LinkLocal => {
            let interface = u128::from(body.u64()?);
            Ipv6Addr::from_bits(0xfe80 << 112 | interface).into()
        }
        AddressEncoding::Wildcard | AddressEncoding::Ipv4ViaIpv6 => return None,
    })
}

/// Writes an address. The encoding must be one of its family, not [`AddressEncoding::LinkLocal`] for other addresses.
pub fn write(encoding: AddressEncoding, address: IpAddr, octets: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => octets.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => {
            let skipped = match encoding {
                AddressEncoding::LinkLocal => 8,
                _ => 0,
            };
            octets.extend_from_slice(address.octets().get(skipped..).unwrap_or_default());
        }
    }
}
