//! How much is computed for others, and what has been computed before.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use super::{counters::Counters, settings::Limits};
use crate::{rate::Bucket, time::Time};

/// Initiations of one source: an IPv4 address, or 56 bits of an IPv6 address.
fn source(address: SocketAddr) -> u64 {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()) | 1 << 63,
        IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
    }
}

/// What initiations have come.
#[derive(Debug, Default)]
pub(super) struct Sources {
    all: Bucket,
    each: HashMap<u64, Bucket>,
    /// Ephemeral keys of initiations that were answered.
    seen: HashSet<[u8; 32]>,
    order: VecDeque<(Time, [u8; 32])>,
}

impl Sources {
    /// Whether one more is computed. What is not is counted.
    pub fn take(
        &mut self,
        now: Time,
        from: SocketAddr,
        limits: &Limits,
        counters: &mut Counters,
    ) -> bool {
        let from = source(from);
        if !self.each.contains_key(&from) && self.each.len() >= limits.sources {
            self.each.retain(|_, bucket| !bucket.is_idle(now));
            if self.each.len() >= limits.sources {
                counters.too_many_initiations_of_source += 1;
                return false;
            }
        }
        let bucket = self.each.entry(from).or_default();
        if bucket.take(limits.initiations_of_source, now).is_err() {
            counters.too_many_initiations_of_source += 1;
            return false;
        }
        if self.all.take(limits.initiations, now).is_err() {
            counters.too_many_initiations += 1;
            return false;
        }
        true
    }

    pub fn is_replay(&self, ephemeral: &[u8; 32]) -> bool {
        self.seen.contains(ephemeral)
    }

    /// Remembers an initiation for a while.
    pub fn remember(&mut self, now: Time, ephemeral: [u8; 32], limits: &Limits) {
        while let Some((at, oldest)) = self.order.front().copied() {
            let full = self.order.len() >= limits.remembered_initiations;
            if !full && now.since(at) < limits.replay_memory {
                break;
            }
            self.order.pop_front();
            self.seen.remove(&oldest);
        }
        if self.seen.insert(ephemeral) {
            self.order.push_back((now, ephemeral));
        }
    }
}
