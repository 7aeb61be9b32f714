//! Reading from the front of some octets, whoever sent them; and writing what is read so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is left to be read. Each function takes its part off the front, or gives nothing if there is less.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// These.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many, known when this is compiled.
    pub fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }

    /// So many.
    pub fn octets(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    /// A length of 16 bits, and as many.
    pub fn measured(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.octets(length.into())
    }

    /// All that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// A number of 8 bits.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|&[octet]| octet)
    }

    /// A number of 16 bits, big-endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(|octets| u16::from_be_bytes(*octets))
    }

    /// A number of 32 bits, big-endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(|octets| u32::from_be_bytes(*octets))
    }

    /// A number of 64 bits, big-endian.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(|octets| u64::from_be_bytes(*octets))
    }

    /// Family (4 or 6), address and port.
    pub fn socket_address(&mut self) -> Option<SocketAddr> {
        let address: IpAddr = match self.u8()? {
            4 => Ipv4Addr::from(*self.array::<4>()?).into(),
            6 => Ipv6Addr::from(*self.array::<16>()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, self.u16()?))
    }
}

/// Family (4 or 6), address and port. An IPv6 address's scope and flow label are not of the wire.
pub fn put_socket_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(address.port().to_be_bytes());
}
