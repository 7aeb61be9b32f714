//! The nodes whose addresses are remembered: how a node finds its way into the network, and back into it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Random,
    address::{Address, MAX_ADDRESSES, Owner},
    input::Source,
    random,
    settings::Timers,
};
use crate::{
    certificate::node_prefix::NodePrefix,
    time::{Time, Timestamp},
};

/// Where a node can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Which one.
    pub node: NodePrefix,
    /// Where: those that worked come first.
    pub addresses: Vec<Address>,
    /// Who runs it, if anybody said.
    pub owner: Option<Owner>,
    /// When the node signed it, by its own clock; none if it is not its signed word.
    pub made_at: Option<Timestamp>,
}

impl Known {
    /// One of which nothing is known.
    const fn nothing(node: NodePrefix) -> Self {
        Self {
            node,
            addresses: Vec::new(),
            owner: None,
            made_at: None,
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    source: Source,
    /// A tunnel to its first address was up.
    is_proven: bool,
    failures: u32,
    retry_at: Time,
}

/// All of them, a bounded number.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressBook {
    entries: BTreeMap<NodePrefix, Entry>,
}

/// What became of something learned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Learned {
    /// Addresses that were thrown away.
    pub bad: u64,
    /// What is remembered of the node is something else than before.
    pub is_new: bool,
    /// It is older than what the node has signed since, and was not taken.
    pub is_stale: bool,
}

impl AddressBook {
    /// Takes what somebody says of a node. What it signed itself counts until it signs something newer, whoever passes it on, or else
    /// whoever passes on an old record again would say where it is; of what is not signed, or as new, what less trusted ones say
    /// replaces nothing. The address that worked stays the first one.
    pub fn learn(&mut self, source: Source, told: Known) -> Learned {
        let mut good: Vec<Address> = Vec::with_capacity(told.addresses.len().min(MAX_ADDRESSES));
        for address in told.addresses.iter().take(MAX_ADDRESSES) {
            if address.is_usable() && !good.contains(address) {
                good.push(*address);
            }
        }
        let mut learned = Learned {
            bad: (told.addresses.len() - good.len()) as u64,
            ..Learned::default()
        };
        let Some(entry) = self.entries.get_mut(&told.node) else {
            learned.is_new = !good.is_empty();
            let known = Known {
                addresses: good,
                ..told
            };
            self.entries.insert(known.node, Entry::new(source, known));
            return learned;
        };
        let before = entry.known.made_at;
        if told.made_at.is_some_and(|made_at| Some(made_at) < before) {
            learned.is_stale = true;
            return learned;
        }
        entry.known.made_at = told.made_at.max(before);
        entry.known.owner = told.owner.or(entry.known.owner);
        let outranked = match told.made_at.cmp(&before) {
            _ if source == Source::Configuration => false,
            _ if entry.source == Source::Configuration => true,
            Ordering::Greater => false,
            Ordering::Less => true,
            Ordering::Equal => source < entry.source,
        };
        let outranked = outranked && !entry.known.addresses.is_empty();
        if outranked || good.is_empty() {
            return learned;
        }
        let proven = entry.known.addresses.first().filter(|_| entry.is_proven);
        if let Some(proven) = proven.copied() {
            match good
                .iter()
                .position(|address| address.socket == proven.socket)
            {
                Some(place) => good[..=place].rotate_right(1),
                None => {
                    good.insert(0, proven);
                    good.truncate(MAX_ADDRESSES);
                }
            }
        }
        entry.source = source;
        if good != entry.known.addresses {
            learned.is_new = true;
            entry.known.addresses = good;
            // what failed were other addresses
            entry.failures = 0;
            entry.retry_at = Time(0);
        }
        learned
    }

    /// Takes away what is too much: first of those that could not be reached or have no addresses, then any, but those that are
    /// protected. Returns whom.
    pub fn shrink(
        &mut self,
        limit: usize,
        protected: &BTreeSet<NodePrefix>,
        random: Random<'_>,
    ) -> Vec<NodePrefix> {
        let excess = self.entries.len().saturating_sub(limit);
        let ours = self.entries.iter();
        let ours = ours.filter(|(node, _)| !protected.contains(node));
        let (mut gone, mut others): (Vec<_>, Vec<_>) = ours.partition(|(_, entry)| entry.is_poor());
        random::shuffle(&mut gone, &mut *random);
        random::shuffle(&mut others, random);
        gone.append(&mut others);
        gone.truncate(excess);
        let gone = Vec::from_iter(gone.into_iter().map(|(node, _)| *node));
        for node in &gone {
            self.entries.remove(node);
        }
        gone
    }

    /// What is known of a node.
    pub fn get(&self, node: NodePrefix) -> Option<&Known> {
        self.entries.get(&node).map(|entry| &entry.known)
    }

    /// A tunnel to it is up.
    pub fn succeeded(&mut self, node: NodePrefix, address: Address) {
        let known = Known::nothing(node);
        let entry = self.entries.entry(node);
        let entry = entry.or_insert_with(|| Entry::new(Source::Itself, known));
        let place = (entry.known.addresses.iter()).position(|one| one.socket == address.socket);
        let address = place.map_or(address, |place| entry.known.addresses.remove(place));
        entry.known.addresses.insert(0, address);
        entry.known.addresses.truncate(MAX_ADDRESSES);
        entry.is_proven = true;
        entry.failures = 0;
        entry.retry_at = Time(0);
    }

    /// It could not be reached: it is left alone for some time, longer each time.
    pub fn failed(&mut self, node: NodePrefix, now: Time, timers: &Timers, random: Random<'_>) {
        let entry = self.entry(node);
        entry.failures = entry.failures.saturating_add(1);
        let doubled = timers.retry * 2_u32.pow(entry.failures.min(16) - 1);
        let wait = random::jittered(doubled.min(timers.retry_max), random);
        entry.retry_at = now + wait;
    }

    /// It is left alone until then, for another reason than that it could not be reached.
    pub fn postpone(&mut self, node: NodePrefix, until: Time) {
        let entry = self.entry(node);
        entry.retry_at = entry.retry_at.max(until);
    }

    fn entry(&mut self, node: NodePrefix) -> &mut Entry {
        let known = Known::nothing(node);
        let entry = self.entries.entry(node);
        entry.or_insert_with(|| Entry::new(Source::Other, known))
    }

    /// Whether it may be tried.
    pub fn is_due(&self, node: NodePrefix, now: Time) -> bool {
        self.entries
            .get(&node)
            .is_none_or(|entry| entry.retry_at <= now)
    }

    /// Everybody may be tried.
    pub fn forgive(&mut self) {
        for entry in self.entries.values_mut() {
            entry.failures = 0;
            entry.retry_at = Time(0);
        }
    }

    /// Takes a node out.
    pub fn remove(&mut self, node: NodePrefix) -> bool {
        self.entries.remove(&node).is_some()
    }

    /// All nodes with an address, and when they may be tried.
    pub fn nodes(&self) -> impl Iterator<Item = (NodePrefix, Time)> {
        let entries = self.entries.iter();
        let known = entries.filter(|(_, entry)| !entry.known.addresses.is_empty());
        known.map(|(node, entry)| (*node, entry.retry_at))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

impl Entry {
    const fn new(source: Source, known: Known) -> Self {
        Self {
            known,
            source,
            is_proven: false,
            failures: 0,
            retry_at: Time(0),
        }
    }

    fn is_poor(&self) -> bool {
        self.failures > 0 || self.known.addresses.is_empty()
    }
}
