//! What lies between the nodes, and what goes through it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::MILLISECOND;
use crate::time::Time;

const PORT: u16 = 4754;
/// Where the first node is.
pub const FIRST_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 1, 1)), PORT);

/// An address of a node: it has several.
pub fn address(node: u64, which: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, node as u8, which)), PORT)
}

/// The network between all.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub delay: Duration,
    /// Up to so much more, each packet for itself: so they overtake each other.
    pub jitter: Duration,
    /// In percent.
    pub loss: u64,
    /// In percent.
    pub duplication: u64,
    /// Octets of the largest IP packet.
    pub mtu: usize,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            delay: MILLISECOND * 10,
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            mtu: 1500,
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payload {
    Channel(Vec<u8>),
    /// GRE key.
    Data(u32),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Packet {
    pub at: Time,
    pub number: u64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: Payload,
}

/// What a node under load answers an initiation.
pub fn cookie_reply(initiation: &[u8], cookie: &[u8; 8]) -> Vec<u8> {
    let mut reply = vec![3, 1, 0, 0];
    reply.extend(&initiation[4..8]);
    reply.extend(cookie);
    reply.extend(&initiation[16..24]);
    reply
}
