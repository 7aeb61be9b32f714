//! What is known of those who sign packets: how far each has counted, and who has been challenged.

use std::{collections::BTreeMap, net::Ipv6Addr, time::Duration};

use crate::time::Time;

/// How long a nonce may be answered (RFC 8967 section 4.3.1.1).
const NONCE_LIFETIME: Duration = Duration::from_secs(30);
/// Between two challenges to one address, and between two replies (RFC 8967 section 4.3.1.1).
const RATE: Duration = Duration::from_millis(300);
/// How long an exchange of challenges keeps its place if others need one: more than a round trip.
const EXCHANGE_PROTECTED: Duration = Duration::from_secs(1);
/// Addresses whose counting is known at a time; the one not heard for longest makes room.
pub const MAX_PEERS: usize = 1024;
/// Addresses with which challenges are exchanged at a time.
pub const MAX_EXCHANGES: usize = 256;
/// Length of our nonces, in octets.
pub const NONCE: usize = 16;

/// The index under which a peer counts its packets: up to 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    octets: [u8; 32],
    length: u8,
}

impl Index {
    /// `None` if it is longer than RFC 8967 section 6.2 allows.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut index = Self {
            octets: [0; 32],
            length: u8::try_from(octets.len()).ok()?,
        };
        index
            .octets
            .get_mut(..octets.len())?
            .copy_from_slice(octets);
        Some(index)
    }
}

/// How far a peer has counted.
#[derive(Clone, Copy, Debug)]
struct Peer {
    index: Index,
    /// Of the last packet to us alone, and of the last to the group: one may overtake the other (RFC 9467 section 3.1).
    unicast: u32,
    multicast: u32,
    heard: Time,
}

/// How a packet's number compares with those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Later than all of its kind.
    New,
    /// As late as one before, or earlier.
    Old,
    /// Not to be compared: the peer, or its index, is unknown.
    Unknown,
}

/// Challenges that went to and fro.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    nonce: Option<([u8; NONCE], Time)>,
    challenged: Option<Time>,
    replied: Option<Time>,
    begun: Time,
}

impl Exchange {
    /// Whether this may be done again; if so, it has been.
    fn may(deed: &mut Option<Time>, now: Time) -> bool {
        let may = deed.is_none_or(|last| now.since(last) >= RATE);
        if may {
            *deed = Some(now);
        }
        may
    }
}

/// All peers of one interface.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    peers: BTreeMap<Ipv6Addr, Peer>,
    exchanges: BTreeMap<Ipv6Addr, Exchange>,
}

impl Peers {
    /// Compares a packet's number and takes note of it (RFC 8967 section 4.3, last step).
    pub fn count(
        &mut self,
        now: Time,
        address: Ipv6Addr,
        multicast: bool,
        (counter, index): (u32, Index),
    ) -> Order {
        let Some(peer) = self
            .peers
            .get_mut(&address)
            .filter(|peer| peer.index == index)
        else {
            return Order::Unknown;
        };
        let last = if multicast {
            &mut peer.multicast
        } else {
            &mut peer.unicast
        };
        if counter <= *last {
            return Order::Old;
        }
        *last = counter;
        peer.heard = now;
        Order::New
    }

    /// Takes over where a peer says it is: it has proved that it says so now.
    pub fn accept(&mut self, now: Time, address: Ipv6Addr, (counter, index): (u32, Index)) {
        if !self.peers.contains_key(&address) && self.peers.len() >= MAX_PEERS {
            let oldest = oldest(&self.peers, |peer| peer.heard);
            if let Some((address, _)) = oldest {
                self.peers.remove(&address);
            }
        }
        let peer = Peer {
            index,
            unicast: counter,
            multicast: counter,
            heard: now,
        };
        self.peers.insert(address, peer);
    }

    /// The nonce to send to an unknown peer; `None` if it was challenged a moment ago, or if there are too many. One that
    /// may still be answered is sent again; `fresh` is for when there is none.
    pub fn challenge(
        &mut self,
        now: Time,
        address: Ipv6Addr,
        fresh: impl FnOnce() -> [u8; NONCE],
    ) -> Option<[u8; NONCE]> {
        let exchange = self.exchange(now, address)?;
        if !Exchange::may(&mut exchange.challenged, now) {
            return None;
        }
        let live = exchange.nonce.filter(|(_, expires)| now < *expires);
        let (nonce, expires) = live.unwrap_or_else(|| (fresh(), now + NONCE_LIFETIME));
        exchange.nonce = Some((nonce, expires));
        Some(nonce)
    }

    /// Whether this is the answer to a challenge of ours, once (RFC 8967 section 4.3.1.3).
    pub fn is_reply(&mut self, now: Time, address: Ipv6Addr, reply: &[u8]) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&address) else {
            return false;
        };
        let answered = exchange
            .nonce
            .is_some_and(|(nonce, expires)| now < expires && nonce[..] == *reply);
        if answered {
            exchange.nonce = None;
        }
        answered
    }

    /// Whether to answer a challenge of this peer now (RFC 8967 section 4.3.1.2).
    pub fn may_reply(&mut self, now: Time, address: Ipv6Addr) -> bool {
        self.exchange(now, address)
            .is_some_and(|exchange| Exchange::may(&mut exchange.replied, now))
    }

    /// How many peers are known, and with how many challenges were exchanged.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.peers.len(), self.exchanges.len())
    }

    /// The exchange with a peer, in the place of the oldest one if there is no other.
    fn exchange(&mut self, now: Time, address: Ipv6Addr) -> Option<&mut Exchange> {
        if !self.exchanges.contains_key(&address) && self.exchanges.len() >= MAX_EXCHANGES {
            let (oldest, begun) = oldest(&self.exchanges, |exchange| exchange.begun)?;
            if now.since(begun) < EXCHANGE_PROTECTED {
                return None;
            }
            self.exchanges.remove(&oldest);
        }
        let exchange = self.exchanges.entry(address).or_insert(Exchange {
            nonce: None,
            challenged: None,
            replied: None,
            begun: now,
        });
        Some(exchange)
    }
}

fn oldest<T>(map: &BTreeMap<Ipv6Addr, T>, age: impl Fn(&T) -> Time) -> Option<(Ipv6Addr, Time)> {
    map.iter()
        .map(|(address, value)| (*address, age(value)))
        .min_by_key(|(_, time)| *time)
}
