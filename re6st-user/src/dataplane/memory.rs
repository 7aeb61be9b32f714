//! The maps in memory, for tests: what the programs would read, on the host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use re6st_common::{
    maps::{
        Interface, NextHop, Settings, TrieKey, TrieValue, Tunnel, TunnelCounters, kind, next_hop_id,
    },
    parse::Inner,
    reason::ReasonCounters,
    tables::{Neighbour, Tables},
};

use super::{DataPlaneError, fib::Write, plane::MapEntries, prefix::Prefix};

/// Bits of the table's number in front of an address in a key of FIB_TRIE.
const TABLE: u32 = 32;

/// The maps of one instance in memory.
#[derive(Clone, Debug)]
pub struct MemoryMaps {
    /// What the programs are told at load time.
    pub settings: Settings,
    /// TUNNELS, the entries in use.
    pub tunnels: BTreeMap<u32, Tunnel>,
    /// NEXT_HOPS, the entries in use.
    pub next_hops: BTreeMap<u32, NextHop>,
    /// INTERFACES.
    pub interfaces: BTreeMap<u32, Interface>,
    /// TUNNEL_COUNTERS, those that are not zero.
    pub tunnel_counters: BTreeMap<u32, TunnelCounters>,
    /// REASONS.
    pub reason_counters: ReasonCounters,
    /// Entries of NEXT_HOPS.
    pub capacity: u32,
    slots: HashMap<u32, u32>,
    trie: HashMap<(u32, Prefix), TrieValue>,
    /// How many entries each table has with each prefix length.
    lengths: BTreeMap<(u32, u8), usize>,
}

impl MemoryMaps {
    /// Nothing in any map.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tunnels: BTreeMap::new(),
            next_hops: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            tunnel_counters: BTreeMap::new(),
            reason_counters: ReasonCounters::default(),
            capacity: 1024,
            slots: HashMap::new(),
            trie: HashMap::new(),
            lengths: BTreeMap::new(),
        }
    }

    /// Carries out a write; whether it changed anything.
    pub fn write(&mut self, write: Write) -> bool {
        match write {
            Write::Slot { slot, next_hop, .. } => {
                let before = match next_hop {
                    next_hop_id::NONE => self.slots.remove(&slot),
                    next_hop => self.slots.insert(slot, next_hop),
                };
                before.unwrap_or_default() != next_hop
            }
            Write::Trie {
                key,
                prefix_length,
                value,
                ..
            } => {
                let (table, prefix) = parse(&key, prefix_length);
                let before = match value {
                    Some(value) => self.trie.insert((table, prefix), value),
                    None => self.trie.remove(&(table, prefix)),
                };
                let entries = self.lengths.entry((table, prefix.length())).or_default();
                match (before, value) {
                    (None, Some(_)) => *entries += 1,
                    (Some(_), None) => *entries -= 1,
                    _ => {}
                }
                before != value
            }
        }
    }

    /// How many entries FIB_TRIE has.
    pub fn trie_entries(&self) -> usize {
        self.trie.len()
    }

    /// How many slots of FIB are not 0.
    pub fn slots_in_use(&self) -> usize {
        self.slots.len()
    }

    /// The numbers of the tables in FIB_TRIE that have entries.
    pub fn tables(&self) -> BTreeSet<u32> {
        self.trie.keys().map(|(table, _)| *table).collect()
    }

    /// Whether FIB and FIB_TRIE are the same as in another.
    pub fn same_routes(&self, other: &Self) -> bool {
        self.slots == other.slots && self.trie == other.trie
    }
}

impl MapEntries for MemoryMaps {
    fn next_hops(&self) -> u32 {
        self.capacity
    }

    fn tunnels(&self) -> u32 {
        self.settings.tunnel_mask + 1
    }

    fn write_fib(&mut self, write: Write) -> Result<(), DataPlaneError> {
        self.write(write);
        Ok(())
    }

    fn write_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        match next_hop.kind {
            kind::FREE => drop(self.next_hops.remove(&id)),
            _ => drop(self.next_hops.insert(id, *next_hop)),
        }
        Ok(())
    }

    fn write_tunnel(&mut self, index: u32, tunnel: &Tunnel) -> Result<(), DataPlaneError> {
        match tunnel.next_hop {
            next_hop_id::NONE => drop(self.tunnels.remove(&index)),
            _ => drop(self.tunnels.insert(index, *tunnel)),
        }
        Ok(())
    }

    fn clear_counters(&mut self, id: u32) -> Result<(), DataPlaneError> {
        self.tunnel_counters.remove(&id);
        Ok(())
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        Ok(self.tunnel_counters.get(&id).copied().unwrap_or_default())
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        Ok(self.reason_counters)
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }
}

fn parse(key: &TrieKey, prefix_length: u32) -> (u32, Prefix) {
    let length = u8::try_from(prefix_length.saturating_sub(TABLE)).unwrap_or(128);
    let prefix = Prefix::new(u128::from_be_bytes(key.address), length);
    (u32::from_be_bytes(key.table), prefix)
}

impl Tables for MemoryMaps {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn tunnel(&self, index: u32) -> Option<&Tunnel> {
        self.tunnels.get(&index)
    }

    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        self.next_hops.get(&id)
    }

    fn fib(&self, slot: u32) -> Option<u32> {
        Some(self.slots.get(&slot).copied().unwrap_or(next_hop_id::NONE))
    }

    fn trie(&self, key: &TrieKey) -> Option<TrieValue> {
        let (table, address) = parse(key, TrieKey::BITS);
        self.lengths
            .range((table, 0)..=(table, 128))
            .rev()
            .filter(|(_, entries)| **entries > 0)
            .find_map(|((_, length), _)| self.trie.get(&(table, address.truncated(*length))))
            .copied()
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }

    /// There is no kernel here.
    fn kernel_route(&self, _arrival: u32, _inner: &Inner) -> Option<Neighbour> {
        None
    }
}
