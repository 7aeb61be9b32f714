//! The routes of one family by destination.

use std::collections::{BTreeMap, BTreeSet};

use re6st_common::{address::Family, maps::TrieValue};

use super::super::prefix::Prefix;

/// Up to so many source prefixes, looking at all of them is faster than asking for each length.
const FEW: usize = 32;

/// The routes to one destination prefix, and what the trie has of them.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// The next hop of packets from anywhere.
    pub plain: Option<u32>,
    /// Next hops by source prefix.
    pub sources: BTreeMap<Prefix, u32>,
    /// What the trie has for the destination.
    pub value: Option<TrieValue>,
    /// The number of its source table; 0 without one.
    pub table_number: u32,
    /// What the trie has in the source table.
    pub table: BTreeMap<Prefix, u32>,
}

impl Destination {
    /// The next hop of all packets, if there is but one.
    pub fn only_plain(&self) -> Option<u32> {
        self.plain.filter(|_| self.sources.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.plain.is_none() && self.sources.is_empty()
    }

    /// The next hop of packets from a prefix, by the longest source prefix that covers it.
    fn answer(&self, source: Prefix) -> Option<u32> {
        let specific = if self.sources.len() <= FEW {
            let covering = self
                .sources
                .iter()
                .filter(|(prefix, _)| prefix.covers(source));
            covering
                .max_by_key(|(prefix, _)| prefix.length())
                .map(|(_, id)| id)
        } else {
            let mut lengths = (0..=source.length()).rev();
            lengths.find_map(|length| self.sources.get(&source.truncated(length)))
        };
        specific.copied().or(self.plain)
    }
}

/// All destinations of one family.
#[derive(Clone, Debug)]
pub struct Destinations {
    family: Family,
    all: BTreeMap<Prefix, Destination>,
    /// How many destinations have each length.
    lengths: [usize; 129],
    /// Those with source-specific routes.
    sourced: BTreeSet<Prefix>,
}

impl Destinations {
    /// No routes yet.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            all: BTreeMap::new(),
            lengths: [0; 129],
            sourced: BTreeSet::new(),
        }
    }

    /// A destination that has routes, or had some until just now.
    pub fn get(&self, prefix: Prefix) -> Option<&Destination> {
        self.all.get(&prefix)
    }

    /// The same, to change what the trie has.
    pub fn get_mut(&mut self, prefix: Prefix) -> Option<&mut Destination> {
        self.all.get_mut(&prefix)
    }

    /// All in order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Destination)> {
        self.all
            .iter()
            .map(|(prefix, destination)| (*prefix, destination))
    }

    /// Sets or removes a route; returns what was there.
    pub fn set(&mut self, to: Prefix, from: Option<Prefix>, next_hop: Option<u32>) -> Option<u32> {
        let existed = self.all.contains_key(&to);
        if !existed {
            next_hop?;
            self.lengths[usize::from(to.length())] += 1;
        }
        let destination = self.all.entry(to).or_default();
        let before = match (from, next_hop) {
            (None, next_hop) => std::mem::replace(&mut destination.plain, next_hop),
            (Some(from), Some(next_hop)) => destination.sources.insert(from, next_hop),
            (Some(from), None) => destination.sources.remove(&from),
        };
        if destination.sources.is_empty() {
            self.sourced.remove(&to);
        } else {
            self.sourced.insert(to);
        }
        before
    }

    /// Whether there is any route to a destination.
    pub fn has_routes(&self, prefix: Prefix) -> bool {
        self.get(prefix)
            .is_some_and(|destination| !destination.is_empty())
    }

    /// Forgets a destination that has no routes any more; what the trie has of it must be gone.
    pub fn forget(&mut self, prefix: Prefix) {
        if self.all.get(&prefix).is_some_and(Destination::is_empty) {
            self.all.remove(&prefix);
            self.lengths[usize::from(prefix.length())] -= 1;
        }
    }

    /// The destinations with routes that cover a prefix, the longest first; the prefix itself is the first if it is one.
    pub fn covering(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, &Destination)> {
        (0..=prefix.length())
            .rev()
            .filter(|length| self.lengths[usize::from(*length)] > 0)
            .filter_map(move |length| {
                let (prefix, destination) = self.all.get_key_value(&prefix.truncated(length))?;
                (!destination.is_empty()).then_some((*prefix, destination))
            })
    }

    /// The destinations strictly inside a prefix whose source tables may hold routes inherited from it.
    pub fn heirs(&self, prefix: Prefix) -> Vec<Prefix> {
        self.sourced
            .range(prefix.range())
            .copied()
            .filter(|heir| *heir != prefix)
            .filter(|heir| self.get(*heir).is_some_and(|heir| heir.plain.is_none()))
            .collect()
    }

    /// The whole answer for packets to a destination, by source: its own routes and those it inherits.
    ///
    /// Of all matching routes the longest destination wins, then the longest source (RFC 9079 section 3.1). A route from
    /// anywhere matches everything, so nothing shorter is inherited past one.
    pub fn by_source(&self, prefix: Prefix) -> BTreeMap<Prefix, u32> {
        let mut chain = Vec::new();
        for (_, destination) in self.covering(prefix) {
            chain.push(destination);
            if destination.plain.is_some() {
                break;
            }
        }
        let everything = Prefix::everything(self.family);
        chain
            .iter()
            .flat_map(|destination| {
                let plain = destination.plain.map(|_| everything);
                destination.sources.keys().copied().chain(plain)
            })
            .filter_map(|source| {
                let answer = chain
                    .iter()
                    .find_map(|destination| destination.answer(source))?;
                Some((source, answer))
            })
            .collect()
    }
}
