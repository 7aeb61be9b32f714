//! The maps in the kernel as a [`DataPlane`](crate::dataplane::DataPlane), while packets flow.

use std::{
    collections::HashSet,
    sync::atomic::{Ordering, fence},
};

use aya::{
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, PerCpuValues, lpm_trie::LpmTrie},
    util::nr_cpus,
};
use re6st_common::{
    maps::{
        FibEntry, Interface, NextHop, NextHopEntry, TrieKey, TrieValue, Tunnel, TunnelCounters,
    },
    reason::ReasonCounters,
};

use super::{
    error::BpfError,
    maps::{self, Maps, trie_key},
};
use crate::{
    dataplane::{
        DataPlaneError,
        fib::Write,
        plane::{MapEntries, Plane},
    },
    io::host,
};

/// The maps of a running instance, and what is in them.
pub type BpfDataPlane = Plane<BpfMaps>;

/// The maps that are written to, open.
pub struct BpfMaps {
    fib: Array<MapData, FibEntry>,
    trie: LpmTrie<MapData, TrieKey, TrieValue>,
    trie_capacity: usize,
    next_hops: Array<MapData, NextHopEntry>,
    /// Next hops whose version that is not in use packets under way may still have.
    replaced: HashSet<u32>,
    tunnels: Array<MapData, Tunnel>,
    interfaces: HashMap<MapData, u32, Interface>,
    tunnel_counters: PerCpuArray<MapData, TunnelCounters>,
    reasons: PerCpuArray<MapData, ReasonCounters>,
}

impl BpfMaps {
    /// Opens them.
    pub fn open(maps: &Maps) -> Result<Self, BpfError> {
        Ok(Self {
            fib: maps.fib()?,
            trie: maps.trie()?,
            trie_capacity: maps.trie_capacity()?,
            next_hops: maps.next_hops()?,
            replaced: HashSet::new(),
            tunnels: maps.tunnels()?,
            interfaces: maps.interfaces()?,
            tunnel_counters: maps.tunnel_counters()?,
            reasons: maps.reasons()?,
        })
    }

    /// The other slots of the entry stay as they are: nobody else writes.
    fn write_slot(&mut self, slot: u32, next_hop: u32) -> Result<(), DataPlaneError> {
        let number = u16::try_from(next_hop).map_err(|_| DataPlaneError::NextHopOutOfRange {
            id: next_hop,
            last: u16::MAX.into(),
        })?;
        let index = FibEntry::index(slot);
        self.fib
            .get(&index, 0)
            .and_then(|entry| self.fib.set(index, entry.with(slot, number), 0))
            .map_err(|error| failed("FIB", format!("set slot {slot} to {next_hop}"), error))
    }

    fn write_trie(
        &mut self,
        key: TrieKey,
        prefix_length: u32,
        value: Option<TrieValue>,
    ) -> Result<(), DataPlaneError> {
        let what = || format!("write the entry {:?}/{prefix_length}", key.address);
        let key = trie_key(prefix_length, key);
        let outcome = match value {
            Some(value) => self.trie.insert(&key, value, 0),
            None => self.trie.remove(&key),
        };
        outcome.map_err(|error| match &error {
            MapError::SyscallError(call) if call.io_error.raw_os_error() == Some(libc::ENOSPC) => {
                DataPlaneError::Full {
                    map: "FIB_TRIE",
                    capacity: self.trie_capacity,
                }
            }
            _ => failed("FIB_TRIE", what(), error),
        })
    }

    fn put_next_hop(&mut self, id: u32, entry: NextHopEntry) -> Result<(), DataPlaneError> {
        self.next_hops
            .set(id, entry, 0)
            .map_err(|error| failed("NEXT_HOPS", format!("write entry {id}"), error))
    }

    /// Waits for packets that may have a next hop of before, if there are any; one wait is for every next hop.
    fn wait_for_packets(&mut self, id: u32) {
        if self.replaced.contains(&id) {
            host::wait_for_readers();
            self.replaced.clear();
        }
    }
}

impl MapEntries for BpfMaps {
    fn next_hops(&self) -> u32 {
        self.next_hops.len()
    }

    fn tunnels(&self) -> u32 {
        self.tunnels.len()
    }

    fn write_fib(&mut self, write: Write) -> Result<(), DataPlaneError> {
        match write {
            Write::Slot { slot, next_hop, .. } => self.write_slot(slot, next_hop),
            Write::Trie {
                key,
                prefix_length,
                value,
                ..
            } => self.write_trie(key, prefix_length, value),
        }
    }

    /// Gives all packets from now on another version. Those under way go on with the one they have, which therefore is
    /// written to again only after all of them are gone.
    fn write_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        self.wait_for_packets(id);
        let entry = self
            .next_hops
            .get(&id, 0)
            .map_err(|error| failed("NEXT_HOPS", format!("read entry {id}"), error))?;
        let prepared = entry.prepared(*next_hop);
        self.put_next_hop(id, prepared)?;
        // the version before the number that points to it, on any processor
        fence(Ordering::SeqCst);
        self.put_next_hop(id, prepared.switched())?;
        self.replaced.insert(id);
        Ok(())
    }

    fn write_tunnel(&mut self, index: u32, tunnel: &Tunnel) -> Result<(), DataPlaneError> {
        self.tunnels
            .set(index, tunnel, 0)
            .map_err(|error| failed("TUNNELS", format!("write entry {index}"), error))
    }

    fn clear_counters(&mut self, id: u32) -> Result<(), DataPlaneError> {
        self.wait_for_packets(id);
        let what = || format!("clear entry {id}");
        let cpus = nr_cpus().map_err(|(_, error)| failed("TUNNEL_COUNTERS", what(), error))?;
        PerCpuValues::try_from(vec![TunnelCounters::default(); cpus])
            .map_err(|error| failed("TUNNEL_COUNTERS", what(), error))
            .and_then(|zero| {
                self.tunnel_counters
                    .set(id, zero, 0)
                    .map_err(|error| failed("TUNNEL_COUNTERS", what(), error))
            })
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        maps::tunnel_sum(&self.tunnel_counters, id)
            .map_err(|error| failed("TUNNEL_COUNTERS", format!("read entry {id}"), error))
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        maps::reason_sum(&self.reasons).map_err(|error| failed("REASONS", "read".to_owned(), error))
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index, 0).ok()
    }
}

fn failed(
    map: &'static str,
    action: String,
    error: impl std::error::Error + Send + Sync + 'static,
) -> DataPlaneError {
    DataPlaneError::Map {
        map,
        action,
        source: Box::new(error),
    }
}
