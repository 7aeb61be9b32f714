//! Bounds on what neighbours may make a speaker keep or do, and the token buckets that bound rates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// How much is kept and done for neighbours; whatever is beyond is ignored and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Neighbours of one LAN; a tunnel has one.
    pub neighbours_per_interface: usize,
    /// Routes one neighbour may announce.
    pub routes_per_neighbour: usize,
    /// Prefixes of one node of the network that one neighbour may announce, itself or another node; the prefix that the node's
    /// name gives it is always one of them. Other origins, and networks without [`super::origins::Origins`], have no such bound.
    pub prefixes_per_node: usize,
    /// Routes of all neighbours.
    pub routes: usize,
    /// Prefixes in the table, also those that are remembered for a while without a route.
    pub prefixes: usize,
    /// Origins remembered for one prefix.
    pub sources_per_route: usize,
    /// Requests for newer sequence numbers that wait for an answer.
    pub pending_requests: usize,
    /// Requests of one neighbour that are answered a second; bursts of ten times that.
    pub requests_per_second: u32,
}

impl Limits {
    /// Prefixes in the table unless configured.
    pub const PREFIXES: usize = 200_000;

    /// For a table of so many prefixes: one neighbour may announce half of them, and five neighbours each.
    pub const fn of_prefixes(prefixes: usize) -> Self {
        Self {
            neighbours_per_interface: 256,
            routes_per_neighbour: prefixes.div_ceil(2),
            prefixes_per_node: 64,
            routes: prefixes.saturating_mul(5),
            prefixes,
            sources_per_route: 16,
            pending_requests: 10_000,
            requests_per_second: 200,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of_prefixes(Self::PREFIXES)
    }
}

/// Bounds a rate: tokens flow in steadily, up to a burst, and each deed takes one.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    burst: u32,
    /// Between two tokens, in microseconds.
    spacing: u64,
    /// When the bucket will have been full, as if it went on filling: full now if in the past.
    full_at: Time,
}

impl TokenBucket {
    /// A full bucket. A rate of 0 counts as 1.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let per_second = if per_second == 0 {
            1
        } else {
            per_second as u64
        };
        Self::every(Duration::from_micros(1_000_000 / per_second), burst)
    }

    /// A full bucket, into which a token flows in this time: a microsecond at least.
    pub const fn every(spacing: Duration, burst: u32) -> Self {
        let spacing = spacing.as_micros() as u64;
        Self {
            burst,
            spacing: if spacing == 0 { 1 } else { spacing },
            full_at: Time(0),
        }
    }

    /// How many tokens there are.
    pub const fn tokens(&self, now: Time) -> u32 {
        let missing = self.full_at.0.saturating_sub(now.0).div_ceil(self.spacing);
        let missing = if missing > self.burst as u64 {
            self.burst
        } else {
            missing as u32
        };
        self.burst - missing
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        let there = self.tokens(now) > 0;
        if there {
            self.full_at = Time(self.full_at.0.max(now.0) + self.spacing);
        }
        there
    }

    /// When there will be `tokens` tokens.
    pub fn ready_at(&self, tokens: u32) -> Time {
        let may_miss = u64::from(self.burst.saturating_sub(tokens)) * self.spacing;
        self.full_at - Duration::from_micros(may_miss)
    }
}
