//! What the machines of a speaker share while they work.

use std::{collections::BTreeMap, time::Duration};

use super::{
    counters::Counters,
    input::InterfaceId,
    output::{Event, Output},
    random::Random,
    settings::Settings,
};
use crate::time::Time;

/// The log hears of each bound this often, and for as long it is warned of.
const BETWEEN_REPORTS: Duration = Duration::from_secs(600);

/// A bound that was reached.
#[derive(Debug)]
struct Reached {
    /// Where, the last time.
    interface: InterfaceId,
    last: Time,
    /// When the log was told.
    reported: Option<Time>,
}

/// Bounds that were reached.
#[derive(Debug, Default)]
pub struct ReachedLimits(BTreeMap<&'static str, Reached>);

impl ReachedLimits {
    /// One was. Gives whether the log is to be told, which is seldom.
    pub fn note(&mut self, now: Time, interface: InterfaceId, limit: &'static str) -> bool {
        let reached = self.0.entry(limit).or_insert(Reached {
            interface,
            last: now,
            reported: None,
        });
        (reached.interface, reached.last) = (interface, now);
        let recent = |reported: Time| now.since(reported) < BETWEEN_REPORTS;
        let tell = !reached.reported.is_some_and(recent);
        if tell {
            reached.reported = Some(now);
        }
        tell
    }

    /// Those that were reached of late, and where.
    pub fn recent(&self, now: Time) -> impl Iterator<Item = (&'static str, InterfaceId)> {
        let all = self.0.iter();
        let recent = all.filter(move |(_, reached)| now.since(reached.last) < BETWEEN_REPORTS);
        recent.map(|(limit, reached)| (*limit, reached.interface))
    }
}

/// Handed from machine to machine; none keeps it.
#[derive(Debug)]
pub struct Context {
    pub settings: Settings,
    pub now: Time,
    pub random: Random,
    pub counters: Counters,
    /// Bounds that were reached.
    pub limits: ReachedLimits,
    /// Work done so far: routes compared, updates considered, prefixes sorted.
    pub steps: u64,
    /// What is to be done outside, in order.
    pub outputs: Vec<Output>,
}

impl Context {
    /// At a start. `seed` decides all jitter.
    pub fn new(now: Time, settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            now,
            random: Random::new(seed),
            counters: Counters::default(),
            limits: ReachedLimits::default(),
            steps: 0,
            outputs: Vec::new(),
        }
    }

    /// For the log.
    pub fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    /// Notes that a bound was reached, and tells the log, seldom.
    pub fn limit_reached(&mut self, interface: InterfaceId, limit: &'static str) {
        if self.limits.note(self.now, interface, limit) {
            self.event(Event::LimitReached { interface, limit });
        }
    }
}
