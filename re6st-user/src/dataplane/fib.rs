//! From routes to the entries of the maps FIB and FIB_TRIE: the fewest writes, in an order that disturbs no packet.
//!
//! What the maps mean is in ARCHITECTURE.md, "FIB". Here is how a change of one route gets there. Whatever write was the
//! last, a packet finds what was its route before the change or what is its route after it:
//!
//! 1. Source tables that stay in use get their new entries, the longest source first, and then lose the superfluous
//!    ones, the shortest first: a packet never falls from one entry to another that is not its own.
//! 2. A source table that comes into use is filled. Nothing refers to it yet.
//! 3. Destinations that a slot of the array answered for and the trie will have to are put in the trie. The slot hides
//!    them.
//! 4. The destination itself gets its entry in the trie.
//! 5. The slots change: to a next hop, which is the new answer, or to 0, whereupon the trie has it.
//! 6. What the slots now answer alone leaves the trie, and source tables nobody refers to any more are emptied.

use std::collections::{HashMap, hash_map::Entry};

use ipnet::Ipv6Net;
use re6st_common::{
    address::Family,
    maps::{TrieKey, TrieValue, next_hop_id, table},
};

use super::{
    Route, RouteKey,
    prefix::{Prefix, destination_table, family},
};

mod applied;
mod change;
mod destinations;
mod slots;
#[cfg(test)]
mod tests;

pub use applied::Applied;
use change::Change;
use destinations::Destinations;
use slots::Slots;

/// One write to a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets an entry of FIB.
    Slot {
        /// The index.
        slot: u32,
        /// The value: a next hop's number, or 0.
        next_hop: u32,
        /// The value until now.
        before: u32,
    },
    /// Sets or deletes an entry of FIB_TRIE.
    Trie {
        /// The data of the key.
        key: TrieKey,
        /// How many bits of it count.
        prefix_length: u32,
        /// The value; `None` deletes the entry.
        value: Option<TrieValue>,
        /// The value until now.
        before: Option<TrieValue>,
    },
}

impl Write {
    /// Puts a prefix in one of the sets [`table::NETWORKS`] and [`table::UNDERLAY`], or takes it out.
    pub fn member(table: u32, prefix: Prefix, there: bool) -> Self {
        let value = Some(direct(next_hop_id::NONE));
        match there {
            true => trie(table, prefix, value, None),
            false => trie(table, prefix, None, value),
        }
    }

    /// What takes it back.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Slot {
                slot,
                next_hop,
                before,
            } => Self::Slot {
                slot,
                next_hop: before,
                before: next_hop,
            },
            Self::Trie {
                key,
                prefix_length,
                value,
                before,
            } => Self::Trie {
                key,
                prefix_length,
                value: before,
                before: value,
            },
        }
    }
}

/// All routes, and what the maps have of them.
#[derive(Clone, Debug)]
pub struct Fib {
    slots: Option<Slots>,
    ipv4: Destinations,
    ipv6: Destinations,
    routes: usize,
    /// How many routes take each next hop.
    uses: HashMap<u32, usize>,
    trie_entries: usize,
    next_table: u32,
    /// The number of the next new table, where it must be one that has been.
    table_again: Option<u32>,
}

impl Fib {
    /// No routes. `network` is what the array covers: a network and the number of bits after the network's, from 1 to
    /// 20, together at most 64 ([`Config::fib_network`](crate::config::Config::fib_network)). Without it, everything is
    /// in the trie.
    pub fn new(network: Option<(Ipv6Net, u8)>) -> Self {
        Self {
            slots: network.map(|(network, bits)| Slots::new(network, bits)),
            ipv4: Destinations::new(Family::Ipv4),
            ipv6: Destinations::new(Family::Ipv6),
            routes: 0,
            uses: HashMap::new(),
            trie_entries: 0,
            next_table: table::FIRST_SOURCE,
            table_again: None,
        }
    }

    /// Adds a route or changes its next hop: the writes that make the maps follow, in order.
    pub fn insert(&mut self, route: Route) -> Vec<Write> {
        self.change(route.key(), Some(route.next_hop()))
    }

    /// Removes a route: the writes that make the maps follow, in order; none if there is no such route.
    pub fn remove(&mut self, key: RouteKey) -> Vec<Write> {
        self.change(key, None)
    }

    /// Takes a change of a route back whose writes have not taken effect, or have been reversed. `before` is what
    /// [`Self::get`] said of it, `table` what [`Self::source_table`] did.
    fn take_back(&mut self, key: RouteKey, before: Option<u32>, table: u32) {
        self.table_again = (table != 0).then_some(table);
        self.change(key, before);
        self.table_again = None;
    }

    /// The number of a destination's source table; 0 without one.
    fn source_table(&self, key: RouteKey) -> u32 {
        let destinations = self.destinations(family(key.to()));
        destinations
            .get(key.to().into())
            .map_or(0, |destination| destination.table_number)
    }

    /// The next hop of a route.
    pub fn get(&self, key: RouteKey) -> Option<u32> {
        let destination = self.destinations(family(key.to())).get(key.to().into())?;
        match key.from() {
            None => destination.plain,
            Some(from) => destination.sources.get(&from.into()).copied(),
        }
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// How many routes take a next hop.
    pub fn uses(&self, next_hop: u32) -> usize {
        self.uses.get(&next_hop).copied().unwrap_or_default()
    }

    /// How many entries of FIB_TRIE the routes take.
    pub fn trie_entries(&self) -> usize {
        self.trie_entries
    }

    /// Everything, for maps that are empty and that no program uses yet.
    pub fn contents(&self) -> impl Iterator<Item = Write> {
        let slots = self.slots.iter().flat_map(Slots::answers);
        let slots = slots.map(|(slot, next_hop)| Write::Slot {
            slot,
            next_hop,
            before: next_hop_id::NONE,
        });
        let trie = [Family::Ipv4, Family::Ipv6].into_iter().flat_map(|family| {
            let destinations = self.destinations(family).iter();
            destinations.flat_map(move |(prefix, destination)| {
                let value = destination.value;
                let source_table = destination.table_number;
                let by_source = destination.table.iter().map(move |(source, next_hop)| {
                    trie(source_table, *source, Some(direct(*next_hop)), None)
                });
                let own =
                    value.map(|value| trie(destination_table(family), prefix, Some(value), None));
                by_source.chain(own)
            })
        });
        trie.chain(slots)
    }

    fn destinations(&self, family: Family) -> &Destinations {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    fn destinations_mut(&mut self, family: Family) -> &mut Destinations {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }

    fn change(&mut self, key: RouteKey, next_hop: Option<u32>) -> Vec<Write> {
        let family = family(key.to());
        let to = Prefix::from(key.to());
        let existed = self.destinations(family).has_routes(to);
        let before = self
            .destinations_mut(family)
            .set(to, key.from().map(Prefix::from), next_hop);
        if before == next_hop {
            return Vec::new();
        }
        self.count(before, next_hop);
        let writes = Change::new(self, family, to, existed).run();
        self.destinations_mut(family).forget(to);
        writes
    }

    fn count(&mut self, before: Option<u32>, after: Option<u32>) {
        if let Some(before) = before
            && let Entry::Occupied(mut uses) = self.uses.entry(before)
        {
            self.routes -= 1;
            match uses.get() {
                0 | 1 => _ = uses.remove(),
                more => *uses.get_mut() = more - 1,
            }
        }
        if let Some(after) = after {
            self.routes += 1;
            *self.uses.entry(after).or_default() += 1;
        }
    }
}

/// A value without a source table.
const fn direct(next_hop: u32) -> TrieValue {
    TrieValue {
        next_hop,
        source_table: 0,
    }
}

fn trie(table: u32, prefix: Prefix, value: Option<TrieValue>, before: Option<TrieValue>) -> Write {
    let (key, prefix_length) = prefix.trie_key(table);
    Write::Trie {
        key,
        prefix_length,
        value,
        before,
    }
}
