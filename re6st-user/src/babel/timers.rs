//! Timers that move often; routes and prefixes, of which there are many, have appointments instead.

use std::collections::{BTreeSet, HashMap};

use crate::time::Time;

/// Timers by what they are for, each set once at most.
#[derive(Debug)]
pub struct Timers<K> {
    deadlines: HashMap<K, Time>,
    order: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            deadlines: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Ord + std::hash::Hash> Timers<K> {
    pub fn set(&mut self, timer: K, at: Time) {
        self.cancel(timer);
        self.deadlines.insert(timer, at);
        self.order.insert((at, timer));
    }

    /// Sets a timer, unless it goes off earlier anyway.
    pub fn set_by(&mut self, timer: K, at: Time) {
        if self.deadlines.get(&timer).is_none_or(|set| *set > at) {
            self.set(timer, at);
        }
    }

    /// It does not go off any more.
    pub fn cancel(&mut self, timer: K) {
        if let Some(at) = self.deadlines.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The next that is due; it is no longer set.
    pub fn pop(&mut self, now: Time) -> Option<K> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }

    pub fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }
}
