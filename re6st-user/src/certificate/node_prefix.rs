//! The part of the network that belongs to a node: the bits after the network's, and a node of the tree the registry
//! allocates from.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use ipnet::Ipv6Net;
use thiserror::Error;

use super::network::Network;

/// A string of up to 128 bits that follow the network's. Ordered as text: `0` before `00` before `01` before `1`.
///
/// [`fmt::Display`] and [`FromStr`] are the bits as text (`0000000000000001`, the form of the registry's database);
/// [`NodePrefix::common_name`] is the form of certificates (`1/16`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodePrefix {
    // The upper `length` bits; all others are 0. The derived order is that of the bits as text.
    bits: u128,
    length: u8,
}

/// Why something is not a [`NodePrefix`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NodePrefixError {
    /// Longer than an address.
    #[error("a prefix has at most 128 bits")]
    TooLong,
    /// Something else than 0 and 1.
    #[error("a prefix is written with the digits 0 and 1")]
    Digit,
    /// Not the form of a CommonName.
    #[error("a node's CommonName is <number>/<length>, both decimal without leading zeros")]
    CommonName,
    /// The number of a CommonName has more bits than its length says.
    #[error("the number of the CommonName has more bits than its length")]
    Overflow,
}

impl NodePrefix {
    /// No bits: the whole network.
    pub const ROOT: Self = Self { bits: 0, length: 0 };

    /// The lower `length` bits of a number.
    pub fn new(number: u128, length: u8) -> Result<Self, NodePrefixError> {
        if length > 128 {
            return Err(NodePrefixError::TooLong);
        }
        if number.checked_shr(u32::from(length)).unwrap_or(0) != 0 {
            return Err(NodePrefixError::Overflow);
        }
        let bits = number.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Ok(Self { bits, length })
    }

    /// How many bits.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The bits as a number.
    pub fn number(&self) -> u128 {
        let shift = 128 - u32::from(self.length);
        self.bits.checked_shr(shift).unwrap_or(0)
    }

    /// Whether all bits are 0 (also if there are none).
    pub const fn is_zero(&self) -> bool {
        self.bits == 0
    }

    /// A bit, the first is number 0. None behind the end.
    pub const fn bit(&self, index: u8) -> Option<bool> {
        if index >= self.length {
            return None;
        }
        Some(self.bits >> (127 - index) & 1 == 1)
    }

    /// One bit less. None of the root.
    pub fn parent(&self) -> Option<Self> {
        self.truncated(self.length.checked_sub(1)?)
    }

    /// The other child of the same parent. None of the root.
    pub fn sibling(&self) -> Option<Self> {
        let last = 128_u8.checked_sub(self.length)?;
        let bit = 1_u128.checked_shl(u32::from(last))?;
        Some(Self {
            bits: self.bits ^ bit,
            length: self.length,
        })
    }

    /// One bit more. None if there are 128.
    pub fn child(&self, bit: bool) -> Option<Self> {
        let last = 127_u8.checked_sub(self.length)?;
        Some(Self {
            bits: self.bits | u128::from(bit) << last,
            length: self.length + 1,
        })
    }

    /// Both halves: first the one that ends with 0. None if there are 128 bits.
    pub fn children(&self) -> Option<[Self; 2]> {
        Some([self.child(false)?, self.child(true)?])
    }

    /// The first `length` bits. None if there are fewer.
    pub fn truncated(&self, length: u8) -> Option<Self> {
        if length > self.length {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Some(Self {
            bits: self.bits & mask,
            length,
        })
    }

    /// Whether the other one is this one or a part of it.
    pub fn contains(&self, other: &Self) -> bool {
        other.truncated(self.length) == Some(*self)
    }

    /// Whether they have anything in common: one contains the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The form of certificates: `<number>/<length>`.
    pub fn common_name(&self) -> String {
        format!("{}/{}", self.number(), self.length)
    }

    /// From the form of certificates. Strict, so that a prefix has one name only; the whole network is not a node's.
    pub fn from_common_name(name: &str) -> Result<Self, NodePrefixError> {
        let (number, length) = name.split_once('/').ok_or(NodePrefixError::CommonName)?;
        let length = decimal(length)?;
        let length = u8::try_from(length).map_err(|_| NodePrefixError::TooLong)?;
        let prefix = Self::new(decimal(number)?, length)?;
        if prefix == Self::ROOT {
            return Err(NodePrefixError::CommonName);
        }
        Ok(prefix)
    }

    /// The node's subnet. None if the network and the prefix are longer than an address.
    pub fn subnet(&self, network: &Network) -> Option<Ipv6Net> {
        let length = network.length().checked_add(self.length)?;
        let own = self
            .bits
            .checked_shr(u32::from(network.length()))
            .unwrap_or(0);
        Ipv6Net::new(Ipv6Addr::from_bits(network.bits() | own), length).ok()
    }

    /// The node whose subnet this is.
    pub fn of_subnet(subnet: &Ipv6Net, network: &Network) -> Option<Self> {
        let length = subnet.prefix_len().checked_sub(network.length())?;
        let bits = subnet
            .network()
            .to_bits()
            .checked_shl(network.length().into());
        let bits = bits.unwrap_or(0);
        let node = Self { bits, length };
        (node.subnet(network)? == subnet.trunc()).then_some(node)
    }

    /// The node's address: the first one after the subnet's own, with the subnet's length. None if the network and the
    /// prefix are longer than an address.
    pub fn address(&self, network: &Network) -> Option<Ipv6Net> {
        let subnet = self.subnet(network)?;
        let length = subnet.prefix_len();
        let last = u128::from(length < 128);
        let address = Ipv6Addr::from_bits(subnet.addr().to_bits() | last);
        Ipv6Net::new(address, length).ok()
    }
}

/// A number as people write it: digits, no sign, no leading zero.
fn decimal(text: &str) -> Result<u128, NodePrefixError> {
    let plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(NodePrefixError::CommonName);
    }
    text.parse().map_err(|_| NodePrefixError::Overflow)
}

impl fmt::Display for NodePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = usize::from(self.length);
        if length == 0 {
            return Ok(());
        }
        write!(f, "{:0length$b}", self.number())
    }
}

impl fmt::Debug for NodePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodePrefix({self})")
    }
}

impl FromStr for NodePrefix {
    type Err = NodePrefixError;

    fn from_str(bits: &str) -> Result<Self, NodePrefixError> {
        let length = u8::try_from(bits.len()).map_err(|_| NodePrefixError::TooLong)?;
        if length > 128 {
            return Err(NodePrefixError::TooLong);
        }
        let mut number = 0_u128;
        for digit in bits.bytes() {
            let bit = match digit {
                b'0' => 0,
                b'1' => 1,
                _ => return Err(NodePrefixError::Digit),
            };
            number = number << 1 | bit;
        }
        Self::new(number, length)
    }
}
