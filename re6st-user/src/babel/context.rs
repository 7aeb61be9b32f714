//! What the machines of a speaker share while they work.

use super::{counters::Counters, random::Random, settings::Settings};
use crate::time::Time;

/// Handed from machine to machine; none keeps it.
#[derive(Debug)]
pub struct Context {
    /// What people set.
    pub settings: Settings,
    /// The present.
    pub now: Time,
    /// All jitter.
    pub random: Random,
    /// How often what happened.
    pub counters: Counters,
    /// Work done so far: routes compared, updates considered, prefixes sorted.
    pub steps: u64,
}
