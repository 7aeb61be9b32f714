//! Where a node is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub use crate::certificate::record::Country;

/// So many addresses of a node are looked at.
pub const MAX_ADDRESSES: usize = 8;

/// What a tunnel to an address is carried in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A stream, for networks that let nothing else through.
    Tcp,
}

/// Who runs a node, as far as its certificate says: equal for nodes of one owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Owner(pub u64);

/// An address at which a node says it can be reached, or others say so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// IP address and port.
    pub socket: SocketAddr,
    /// What carries tunnels to it.
    pub protocol: Protocol,
    /// Where it is, if anybody said.
    pub country: Option<Country>,
    /// What nobody there has asked for gets there, as far as the node says: it need not be asked to call us while we call it.
    pub is_open: bool,
}

impl Address {
    /// A UDP address, of which nothing else is known.
    pub const fn udp(socket: SocketAddr) -> Self {
        Self {
            socket,
            protocol: Protocol::Udp,
            country: None,
            is_open: false,
        }
    }

    /// Whether packets can be sent there at all: a unicast address that is not the host itself, and a port. Addresses of a LAN are
    /// good ones, for nodes of that LAN.
    pub fn is_usable(&self) -> bool {
        let ip = self.socket.ip().to_canonical();
        let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
        let special = special
            || match ip {
                IpAddr::V4(ip) => {
                    let reserved = ip.octets()[0] == 0 || ip.octets()[0] >= 240;
                    reserved || ip.is_link_local()
                }
                // without a scope nobody knows on which link
                IpAddr::V6(ip) => ip.is_unicast_link_local(),
            };
        !special && self.socket.port() != 0
    }
}

/// Whether everybody can send to an address, as far as one sees by looking at it: not one of a LAN, of a provider's NAT
/// (RFC 6598), of a link, of nobody.
pub const fn is_public(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let special = address.is_private()
        || address.is_link_local()
        || address.is_loopback()
        || first == 0
        || first >= 224
        || first == 100 && second & 0xc0 == 64;
    !special
}

/// One that not everybody can send to.
pub const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !is_public(ip),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Addresses that one provider gives out, and one attacker may have many of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Block {
    /// The first 16 bits of an IPv4 address.
    V4(u16),
    /// The first 32 bits of an IPv6 address.
    V6(u32),
}

impl Block {
    /// The block of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4((ip.to_bits() >> 16) as u16),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 96) as u32),
        }
    }
}
