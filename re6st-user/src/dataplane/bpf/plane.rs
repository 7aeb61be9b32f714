//! The running maps as a [`DataPlane`]: one route, one next hop at a time, while packets flow.

use std::{
    collections::HashSet,
    sync::atomic::{Ordering, fence},
};

use aya::maps::{Array, MapData, MapError, PerCpuArray, lpm_trie::LpmTrie};
use re6st_common::{
    maps::{
        FibEntry, NextHop, NextHopEntry, TrieKey, TrieValue, TunnelCounters, kind, next_hop_id,
    },
    reason::ReasonCounters,
};

use super::{
    error::BpfError,
    maps::{self, Maps, trie_key},
};
use crate::{
    dataplane::{
        DataPlane, DataPlaneError, Route,
        fib::{Applied, Fib, Write},
    },
    io::host,
    route::RouteKey,
};

/// FIB and FIB_TRIE.
pub struct RouteMaps {
    fib: Array<MapData, FibEntry>,
    trie: LpmTrie<MapData, TrieKey, TrieValue>,
    trie_capacity: usize,
}

impl RouteMaps {
    /// Opens them.
    pub fn open(maps: &Maps) -> Result<Self, BpfError> {
        Ok(Self {
            fib: maps.fib()?,
            trie: maps.trie()?,
            trie_capacity: maps.trie_capacity()?,
        })
    }

    /// Carries out one write.
    pub fn write(&mut self, write: Write) -> Result<(), DataPlaneError> {
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
}

/// The maps of a running instance, and the routes in them.
pub struct BpfDataPlane {
    routes: Applied,
    maps: RouteMaps,
    next_hops: Array<MapData, NextHopEntry>,
    /// Next hops whose version that is not in use packets under way may still have.
    replaced: HashSet<u32>,
    tunnel_counters: PerCpuArray<MapData, TunnelCounters>,
    reasons: PerCpuArray<MapData, ReasonCounters>,
}

impl BpfDataPlane {
    /// Opens the maps. `fib`: the routes they hold, as the load that filled them returned it.
    pub fn open(maps: &Maps, fib: Fib) -> Result<Self, BpfError> {
        Ok(Self {
            routes: fib.into(),
            maps: RouteMaps::open(maps)?,
            next_hops: maps.next_hops()?,
            replaced: HashSet::new(),
            tunnel_counters: maps.tunnel_counters()?,
            reasons: maps.reasons()?,
        })
    }

    fn set(&mut self, key: RouteKey, next_hop: Option<u32>) -> Result<(), DataPlaneError> {
        let maps = &mut self.maps;
        self.routes.set(key, next_hop, |write| maps.write(write))
    }

    fn next_hop(&self, id: u32) -> Result<NextHop, DataPlaneError> {
        Ok(*self.entry(id)?.current())
    }

    fn entry(&self, id: u32) -> Result<NextHopEntry, DataPlaneError> {
        let last = self.next_hops.len().saturating_sub(1);
        if !(next_hop_id::FIRST_TUNNEL..=last).contains(&id) {
            return Err(DataPlaneError::NextHopOutOfRange { id, last });
        }
        self.next_hops
            .get(&id, 0)
            .map_err(|error| failed("NEXT_HOPS", format!("read entry {id}"), error))
    }

    /// Gives all packets from now on another version. Those under way go on with the one they have, which therefore is
    /// written to again only after all of them are gone; one wait is for every next hop.
    fn replace_next_hop(
        &mut self,
        id: u32,
        entry: NextHopEntry,
        next_hop: NextHop,
    ) -> Result<(), DataPlaneError> {
        if self.replaced.contains(&id) {
            host::wait_for_readers();
            self.replaced.clear();
        }
        let prepared = entry.prepared(next_hop);
        self.put_entry(id, prepared)?;
        // the version before the number that points to it, on any processor
        fence(Ordering::SeqCst);
        self.put_entry(id, prepared.switched())?;
        self.replaced.insert(id);
        Ok(())
    }

    fn put_entry(&mut self, id: u32, entry: NextHopEntry) -> Result<(), DataPlaneError> {
        self.next_hops
            .set(id, entry, 0)
            .map_err(|error| failed("NEXT_HOPS", format!("write entry {id}"), error))
    }
}

impl DataPlane for BpfDataPlane {
    fn set_route(&mut self, route: Route) -> Result<(), DataPlaneError> {
        let id = route.next_hop();
        if id >= next_hop_id::FIRST_TUNNEL && self.next_hop(id)?.kind == kind::FREE {
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        self.set(route.key(), Some(id))
    }

    fn remove_route(&mut self, key: RouteKey) -> Result<(), DataPlaneError> {
        if self.routes.fib().get(key).is_none() {
            return Err(DataPlaneError::NoSuchRoute(key));
        }
        self.set(key, None)
    }

    fn set_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        let before = self.entry(id)?;
        match before.current() == next_hop {
            true => Ok(()),
            false => self.replace_next_hop(id, before, *next_hop),
        }
    }

    fn remove_next_hop(&mut self, id: u32) -> Result<(), DataPlaneError> {
        let before = self.entry(id)?;
        if before.current().kind == kind::FREE {
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        let maps = &mut self.maps;
        // what is still to be taken back may lead to it
        self.routes.settle(|write| maps.write(write))?;
        match self.routes.fib().uses(id) {
            0 => self.replace_next_hop(id, before, NextHop::FREE),
            routes => Err(DataPlaneError::NextHopInUse { id, routes }),
        }
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        self.next_hop(id)?;
        maps::tunnel_sum(&self.tunnel_counters, id)
            .map_err(|error| failed("TUNNEL_COUNTERS", format!("read entry {id}"), error))
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        maps::reason_sum(&self.reasons).map_err(|error| failed("REASONS", "read".to_owned(), error))
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
