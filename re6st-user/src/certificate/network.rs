//! The network a certification authority is for: its IPv6 prefix, told by the serial number of its certificate.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The IPv6 prefix of a whole mesh; a node's prefix is a part of it.
///
/// At least 8 bits are left for nodes, so that a serial number has at most 16 octets (RFC 5280, section 4.1.2.2 allows 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Ipv6Net", into = "Ipv6Net")]
pub struct Network(Ipv6Net);

/// Why something is not a [`Network`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NetworkError {
    /// Not an IPv6 prefix at all.
    #[error("not an IPv6 prefix such as 2001:db8:42::/48")]
    Syntax,
    /// An address with bits behind the prefix.
    #[error("the address has bits behind the prefix length")]
    HostBits,
    /// Too long.
    #[error(
        "a network's prefix has at most {} bits, so that nodes have some",
        Network::MAX_LENGTH
    )]
    TooLong,
    /// A serial number that cannot be that of a network's authority.
    #[error(
        "the serial number of the certificate is not a 1 followed by the bits of a network's prefix"
    )]
    Serial,
}

impl Network {
    /// Bits of the longest prefix.
    pub const MAX_LENGTH: u8 = 120;

    /// From a prefix without host bits.
    pub fn new(prefix: Ipv6Net) -> Result<Self, NetworkError> {
        if prefix.prefix_len() > Self::MAX_LENGTH {
            return Err(NetworkError::TooLong);
        }
        if prefix.addr() != prefix.network() {
            return Err(NetworkError::HostBits);
        }
        Ok(Self(prefix))
    }

    /// The prefix.
    pub const fn prefix(&self) -> Ipv6Net {
        self.0
    }

    /// Bits of the prefix.
    pub const fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// The prefix as the upper bits of an integer.
    pub(super) fn bits(&self) -> u128 {
        self.0.addr().to_bits()
    }

    /// The serial number of the authority: a 1 followed by the bits of the prefix, as an unsigned big-endian integer.
    /// (The 1 keeps leading zeros.)
    pub fn serial(&self) -> u128 {
        let length = u32::from(self.length());
        let bits = self.bits().checked_shr(128 - length).unwrap_or(0);
        1 << length | bits
    }

    /// The network an authority with this serial number is for: the serial number as unsigned big-endian octets.
    pub fn from_serial(octets: &[u8]) -> Result<Self, NetworkError> {
        let start = octets.iter().take_while(|octet| **octet == 0).count();
        let significant = octets.get(start..).unwrap_or_default();
        if significant.is_empty() || significant.len() > 16 {
            return Err(NetworkError::Serial);
        }
        let serial = significant
            .iter()
            .fold(0_u128, |value, octet| value << 8 | u128::from(*octet));
        let length = serial.ilog2();
        // the highest 1 is shifted out
        let address = serial.checked_shl(128 - length).unwrap_or(0);
        let length = u8::try_from(length).map_err(|_| NetworkError::Serial)?;
        let prefix =
            Ipv6Net::new(Ipv6Addr::from_bits(address), length).map_err(|_| NetworkError::Serial)?;
        Self::new(prefix).map_err(|_| NetworkError::Serial)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        Self::new(text.parse().map_err(|_| NetworkError::Syntax)?)
    }
}

impl TryFrom<Ipv6Net> for Network {
    type Error = NetworkError;

    fn try_from(prefix: Ipv6Net) -> Result<Self, NetworkError> {
        Self::new(prefix)
    }
}

impl From<Network> for Ipv6Net {
    fn from(network: Network) -> Self {
        network.0
    }
}

/// The number in a node's subject (attribute `serialNumber`): the smallest not used by a valid certificate when it was
/// issued. It selects the node's IPv4 subnet, and stays the same over renewals.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SubjectSerial(pub u32);

impl fmt::Display for SubjectSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The IPv4 network of a mesh, cut into one subnet a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ipv4Network {
    prefix: Ipv4Net,
    subnet_bits: u8,
}

/// Why something is not an [`Ipv4Network`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Ipv4NetworkError {
    /// An address with bits behind the prefix.
    #[error("the address has bits behind the prefix length")]
    HostBits,
    /// More subnets than serial numbers are made for.
    #[error("a subnet's number has at most {} bits", Ipv4Network::MAX_SUBNET_BITS)]
    SubnetBits,
    /// Prefix and subnet do not fit an address.
    #[error("the prefix length and the bits of a subnet's number are more than 32 together")]
    TooLong,
}

impl Ipv4Network {
    /// Bits of the longest number of a subnet.
    pub const MAX_SUBNET_BITS: u8 = 16;

    /// A network whose nodes have the `subnet_bits` bits after the prefix for themselves.
    pub fn new(prefix: Ipv4Net, subnet_bits: u8) -> Result<Self, Ipv4NetworkError> {
        if prefix.addr() != prefix.network() {
            return Err(Ipv4NetworkError::HostBits);
        }
        if subnet_bits > Self::MAX_SUBNET_BITS {
            return Err(Ipv4NetworkError::SubnetBits);
        }
        if prefix.prefix_len() + subnet_bits > 32 {
            return Err(Ipv4NetworkError::TooLong);
        }
        Ok(Self {
            prefix,
            subnet_bits,
        })
    }

    /// The whole network.
    pub const fn prefix(&self) -> Ipv4Net {
        self.prefix
    }

    /// Bits of a subnet's number.
    pub const fn subnet_bits(&self) -> u8 {
        self.subnet_bits
    }

    /// The address of the node with this number, with the length of its subnet. None if there are fewer subnets.
    pub fn address(&self, serial: SubjectSerial) -> Option<Ipv4Net> {
        if serial.0 >> self.subnet_bits != 0 {
            return None;
        }
        let length = self.prefix.prefix_len() + self.subnet_bits;
        let number = serial.0.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let subnet = self.prefix.addr().to_bits() | number;
        // subnets of two addresses and of one have no network address of their own (RFC 3021)
        let own = if length < 31 { subnet + 1 } else { subnet };
        Ipv4Net::new(Ipv4Addr::from_bits(own), length).ok()
    }
}
