//! Authentication of packets by MAC (RFC 8967), with separate counters for unicast and multicast (RFC 9467).
//!
//! A packet carries a number that grows and the MACs of all keys we sign with. A receiver takes it if one MAC fits one of
//! its keys, and if the number is new. Whoever counts under an index that the receiver does not know, after a restart for
//! example, is challenged first: it must send back a nonce.
//!
//! Keys are changed without losing a packet: accept the new one everywhere, then sign with it everywhere, then drop the old
//! one everywhere (RFC 8967 section 5).

mod key;
mod peer;
#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use serde::Serialize;

pub use self::key::{Algorithm, Key, KeyError, PacketMac};
use self::peer::{Index, NONCE, Order, Peers};
use super::wire::{self, PacketError, PacketParts};
use crate::time::Time;

/// Length of our own index, in octets.
const INDEX: usize = 8;

/// Where unpredictable octets come from: fills what it is given.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// The keys of one interface.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// What we send is signed with all of these.
    pub sign: Vec<Key>,
    /// What we receive must be signed with one of these. Checking costs a MAC for each.
    pub accept: Vec<Key>,
}

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Rejected {
    /// It is no packet.
    #[error("malformed")]
    Malformed,
    /// It is not signed.
    #[error("no MAC")]
    NoMac,
    /// It is signed with other keys, or was changed on its way.
    #[error("wrong MAC")]
    WrongMac,
    /// It has no number.
    #[error("no packet counter")]
    NoCounter,
    /// Its number is not new.
    #[error("replayed or out of order")]
    Replayed,
    /// Its sender is, or counts in a way that is, not known yet, and has been challenged if it may be now.
    #[error("not yet known")]
    Unknown,
}

impl Rejected {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 6] = [
        Self::Malformed,
        Self::NoMac,
        Self::WrongMac,
        Self::NoCounter,
        Self::Replayed,
        Self::Unknown,
    ];
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its messages may be read.
    pub accepted: Result<(), Rejected>,
    /// A packet to be signed and sent to its sender alone, as soon as possible.
    pub answer: Option<Vec<u8>>,
}

impl Verdict {
    const fn rejected(reason: Rejected) -> Self {
        Self {
            accepted: Err(reason),
            answer: None,
        }
    }
}

/// Authentication on one interface.
#[derive(Debug)]
pub struct Authentication {
    keys: Keys,
    index: [u8; INDEX],
    counter: u32,
    peers: Peers,
    rejected: [u64; Rejected::ALL.len()],
}

impl Authentication {
    /// Starts to count, under an index nobody has seen.
    pub fn new(keys: Keys, entropy: Entropy<'_>) -> Self {
        let mut index = [0; INDEX];
        entropy(&mut index);
        Self {
            keys,
            index,
            counter: 0,
            peers: Peers::default(),
            rejected: [0; Rejected::ALL.len()],
        }
    }

    /// Changes the keys; counting goes on, also that of neighbours.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// How many octets [`Self::sign`] adds to a packet.
    pub fn overhead(&self) -> usize {
        let macs: usize = self
            .keys
            .sign
            .iter()
            .map(|key| wire::mac_tlv_length(key.algorithm().mac_length()))
            .sum();
        wire::packet_counter_tlv_length(INDEX) + macs
    }

    /// Numbers and signs a packet (RFC 8967 section 4.2): the last thing before it is sent, after its timestamp. A trailer
    /// it has is dropped.
    ///
    /// # Errors
    /// [`PacketError`] if it is no packet, or one that grows longer than a packet can be.
    pub fn sign(
        &mut self,
        packet: &mut Vec<u8>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        entropy: Entropy<'_>,
    ) -> Result<(), PacketError> {
        // a counter must never come again under one index (RFC 8967 section 4.2)
        match self.counter.checked_add(1) {
            Some(counter) => self.counter = counter,
            None => {
                entropy(&mut self.index);
                self.counter = 0;
            }
        }
        wire::append_packet_counter(packet, self.counter, &self.index)?;
        let signed = packet.len();
        for key in &self.keys.sign {
            let covered = packet.get(..signed).unwrap_or_default();
            let mac = key.mac(covered, source, destination);
            wire::append_mac(packet, mac.octets());
        }
        Ok(())
    }

    /// Looks at a packet from `source` to `destination`, ours or the group's, before anything else does (RFC 8967 section
    /// 4.3).
    pub fn verify(
        &mut self,
        now: Time,
        packet: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        entropy: Entropy<'_>,
    ) -> Verdict {
        let verdict = self
            .check_mac(packet, source, destination)
            .map_or_else(Verdict::rejected, |frame| {
                self.check_freshness(now, &frame, source, destination.is_multicast(), entropy)
            });
        if let Err(reason) = verdict.accepted {
            self.rejected[reason as usize] += 1;
        }
        verdict
    }

    /// How many packets were not taken for this reason.
    pub const fn rejected(&self, reason: Rejected) -> u64 {
        self.rejected[reason as usize]
    }

    /// Each key costs one MAC, however many the packet has.
    fn check_mac<'a>(
        &self,
        packet: &'a [u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) -> Result<PacketParts<'a>, Rejected> {
        let frame = PacketParts::new(packet).map_err(|_| Rejected::Malformed)?;
        if frame.macs().next().is_none() {
            return Err(Rejected::NoMac);
        }
        let fits = self.keys.accept.iter().any(|key| {
            let mac = key.mac(frame.signed, source, destination);
            frame.macs().any(|received| mac.matches(received))
        });
        if fits {
            Ok(frame)
        } else {
            Err(Rejected::WrongMac)
        }
    }

    /// Everything from here on comes from somebody who has a key; but it may be old, and somebody else may send it again.
    fn check_freshness(
        &mut self,
        now: Time,
        frame: &PacketParts<'_>,
        source: Ipv6Addr,
        multicast: bool,
        entropy: Entropy<'_>,
    ) -> Verdict {
        let freshness = frame.freshness();
        let known = freshness
            .counter
            .and_then(|(counter, index)| Some((counter, Index::new(index)?)));
        let Some(position) = known else {
            return Verdict::rejected(Rejected::NoCounter);
        };
        // challenges are between two (RFC 8967 section 4.3.1)
        let alone = |nonce: &&[u8]| !multicast && !nonce.is_empty();
        let proved = freshness
            .reply
            .filter(alone)
            .is_some_and(|reply| self.peers.is_reply(now, source, reply));
        // under an index we know numbers only grow, whatever else the packet proves
        let order = match self.peers.count(now, source, multicast, position) {
            Order::Unknown if proved => {
                self.peers.accept(now, source, position);
                Order::New
            }
            order => order,
        };
        // an old packet's challenge is not worth an answer (RFC 8967 section 4.3)
        let reply = freshness
            .request
            .filter(|nonce| !multicast && order != Order::Old && nonce.len() <= wire::MAX_NONCE)
            .filter(|_| self.peers.may_reply(now, source));
        let challenge = match order {
            Order::Unknown => self.peers.challenge(now, source, || fresh_nonce(entropy)),
            Order::New | Order::Old => None,
        };
        Verdict {
            accepted: match order {
                Order::New => Ok(()),
                Order::Old => Err(Rejected::Replayed),
                Order::Unknown => Err(Rejected::Unknown),
            },
            answer: wire::challenges(challenge.as_ref().map(|nonce| &nonce[..]), reply),
        }
    }
}

fn fresh_nonce(entropy: Entropy<'_>) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    entropy(&mut nonce);
    nonce
}
