//! What a speaker announces on a link, summed up: equal digests spare the full announcement between speakers of our kind.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::table::{Announcement, Destination};
use crate::{babel::input::InterfaceId, route::RouteKey};

/// A digest of announcements in 64 blocks: in each the wrapping sum of a hash of every announcement, so that one can be
/// added and taken away without the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest(pub [u64; Self::BLOCKS]);

impl Default for Digest {
    fn default() -> Self {
        Self([0; Self::BLOCKS])
    }
}

impl Digest {
    pub const BLOCKS: usize = 64;

    /// Counts an announcement in; retractions count nothing.
    pub fn add(&mut self, key: &RouteKey, announcement: Announcement) {
        if !announcement.metric.is_infinite() {
            let block = &mut self.0[usize::from(block_of(key))];
            *block = block.wrapping_add(hash(key, announcement));
        }
    }

    /// Takes out what was counted in.
    pub fn remove(&mut self, key: &RouteKey, announcement: Announcement) {
        if !announcement.metric.is_infinite() {
            let block = &mut self.0[usize::from(block_of(key))];
            *block = block.wrapping_sub(hash(key, announcement));
        }
    }

    /// What is left if all of `part` is taken away.
    fn without(&self, part: &Self) -> [u64; Self::BLOCKS] {
        let mut left = self.0;
        for (block, part) in left.iter_mut().zip(&part.0) {
            *block = block.wrapping_sub(*part);
        }
        left
    }
}

/// Digests of all that is announced, and of the part learned on each interface: where the horizon is split, neighbours hear
/// all but that (RFC 8966 section 3.7.4).
#[derive(Debug, Default)]
pub struct Announced {
    all: Digest,
    learned: BTreeMap<InterfaceId, Digest>,
}

impl Announced {
    /// Counts what is announced of a prefix.
    pub fn add(&mut self, destination: &Destination) {
        if let Some(announcement) = destination.announced {
            self.all.add(&destination.key, announcement);
            if let Some(interface) = destination.learned_on {
                let learned = self.learned.entry(interface).or_default();
                learned.add(&destination.key, announcement);
            }
        }
    }

    /// Takes out what was counted: before announcement or interface change.
    pub fn remove(&mut self, destination: &Destination) {
        if let Some(announcement) = destination.announced {
            self.all.remove(&destination.key, announcement);
            if let Some(interface) = destination.learned_on
                && let Some(learned) = self.learned.get_mut(&interface)
            {
                learned.remove(&destination.key, announcement);
                if *learned == Digest::default() {
                    self.learned.remove(&interface);
                }
            }
        }
    }

    /// As neighbours of an interface hear it.
    pub fn on(&self, interface: InterfaceId, split_horizon: bool) -> [u64; Digest::BLOCKS] {
        match self.learned.get(&interface) {
            Some(learned) if split_horizon => self.all.without(learned),
            _ => self.all.0,
        }
    }
}

/// Which block a prefix belongs to.
pub fn block_of(key: &RouteKey) -> u8 {
    // the highest six of 64 bits
    (hash_key(key) >> 58) as u8
}

fn hash_key(key: &RouteKey) -> u64 {
    let to = hash_prefix(0xcbf2_9ce4_8422_2325, key.to());
    mix(match key.from() {
        Some(from) => hash_prefix(to, from),
        None => to,
    })
}

fn hash_prefix(start: u64, prefix: IpNet) -> u64 {
    let start = hash_octets(start, &[prefix.prefix_len()]);
    match prefix.addr() {
        IpAddr::V4(address) => hash_octets(start, &address.octets()),
        IpAddr::V6(address) => hash_octets(start, &address.octets()),
    }
}

fn hash(key: &RouteKey, announcement: Announcement) -> u64 {
    let start = hash_octets(hash_key(key), &announcement.router_id.octets());
    let start = hash_octets(start, &announcement.sequence_number.0.to_be_bytes());
    mix(hash_octets(start, &announcement.metric.0.to_be_bytes()))
}

/// FNV-1a. The same on every host, because it goes over the wire.
fn hash_octets(start: u64, octets: &[u8]) -> u64 {
    octets.iter().fold(start, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads what differs over all bits.
const fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
