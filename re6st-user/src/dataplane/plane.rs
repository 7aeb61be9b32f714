//! In which order maps are written, whatever maps they are: what packets under way find is whole after each single write.
//!
//! | change | writes, in order |
//! |---|---|
//! | a route | as [`fib`](super::fib) says |
//! | a tunnel comes | its counters become zero; NEXT_HOPS: how to send; FIB_TRIE: our outer address; TUNNELS: what is accepted, an entry for each key |
//! | a tunnel changes | the same, but for its counters; what only the former needed goes last |
//! | a tunnel goes, when no route leads there | TUNNELS; FIB_TRIE: our outer address, if no other tunnel has it; NEXT_HOPS |
//!
//! An entry of TUNNELS is not written in one piece, but nothing is accepted that does not fit all of it, and one half of a
//! tunnel and the other of a free entry fit nothing. A number that was in use is used again only after packets that may have
//! it from a route of before are gone ([`MapEntries::write_next_hop`], [`MapEntries::clear_counters`]).

use std::collections::{BTreeMap, BTreeSet};

use re6st_common::{
    maps::{Interface, NextHop, Tunnel, TunnelCounters, kind, next_hop_id, table},
    reason::ReasonCounters,
};

use super::{
    DataPlane, DataPlaneError, Route,
    fib::{Applied, Fib, Write},
    prefix::Prefix,
};
use crate::route::RouteKey;

/// The maps of an instance, an entry at a time.
pub trait MapEntries {
    /// Entries of NEXT_HOPS.
    fn next_hops(&self) -> u32;

    /// Entries of TUNNELS, a power of two.
    fn tunnels(&self) -> u32;

    /// Writes to FIB or FIB_TRIE.
    fn write_fib(&mut self, write: Write) -> Result<(), DataPlaneError>;

    /// Writes to NEXT_HOPS. Packets find what was there before or what is there after.
    fn write_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError>;

    /// Writes to TUNNELS.
    fn write_tunnel(&mut self, index: u32, tunnel: &Tunnel) -> Result<(), DataPlaneError>;

    /// Sets the counters of a next hop to zero that no packet has any more.
    fn clear_counters(&mut self, id: u32) -> Result<(), DataPlaneError>;

    /// The sum over all CPUs.
    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError>;

    /// The sum over all CPUs.
    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError>;

    /// An entry of INTERFACES.
    fn interface(&self, index: u32) -> Option<Interface>;
}

/// Maps, and what is in them.
#[derive(Clone, Debug)]
pub struct Plane<M> {
    /// The maps that programs read.
    pub maps: M,
    routes: Applied,
    /// Those in use, by number.
    next_hops: BTreeMap<u32, NextHop>,
    /// The entries of TUNNELS in use, by index.
    tunnels: BTreeMap<u32, Tunnel>,
    /// The set of our outer addresses.
    underlay: BTreeSet<[u8; 16]>,
    /// Whether what only former tunnels needed may still be in the maps.
    stale: bool,
}

impl<M: MapEntries> Plane<M> {
    /// Goes on with maps that hold these routes and tunnels, and no other next hops.
    pub fn new(maps: M, fib: Fib, tunnels: impl IntoIterator<Item = (Tunnel, NextHop)>) -> Self {
        let mut plane = Self {
            maps,
            routes: fib.into(),
            next_hops: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            underlay: BTreeSet::new(),
            stale: false,
        };
        for (tunnel, next_hop) in tunnels {
            plane.next_hops.insert(tunnel.next_hop, next_hop);
            plane.underlay.insert(tunnel.local);
            plane.tunnels.insert(plane.index(&tunnel), tunnel);
        }
        plane
    }

    /// The routes.
    pub const fn fib(&self) -> &Fib {
        self.routes.fib()
    }

    fn last(&self) -> u32 {
        self.maps.next_hops().saturating_sub(1)
    }

    fn in_range(&self, id: u32) -> Result<(), DataPlaneError> {
        let last = self.last();
        match (next_hop_id::FIRST_TUNNEL..=last).contains(&id) {
            true => Ok(()),
            false => Err(DataPlaneError::NextHopOutOfRange { id, last }),
        }
    }

    /// Where in TUNNELS it is.
    fn index(&self, tunnel: &Tunnel) -> u32 {
        tunnel.key & self.maps.tunnels().saturating_sub(1)
    }

    fn set(&mut self, key: RouteKey, next_hop: Option<u32>) -> Result<(), DataPlaneError> {
        let maps = &mut self.maps;
        self.routes
            .set(key, next_hop, |write| maps.write_fib(write))
    }

    /// No packet may find a route there; what is still to be taken back may lead there too.
    fn without_routes(&mut self, id: u32) -> Result<(), DataPlaneError> {
        if !self.next_hops.contains_key(&id) {
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        let maps = &mut self.maps;
        self.routes.settle(|write| maps.write_fib(write))?;
        match self.fib().uses(id) {
            0 => Ok(()),
            routes => Err(DataPlaneError::NextHopInUse { id, routes }),
        }
    }

    /// Writes to TUNNELS, after what goes with it.
    fn accept(&mut self, index: u32, tunnel: &Tunnel) -> Result<(), DataPlaneError> {
        if !self.underlay.contains(&tunnel.local) {
            self.maps.write_fib(underlay(tunnel.local, true))?;
            self.underlay.insert(tunnel.local);
        }
        self.maps.write_tunnel(index, tunnel)?;
        self.tunnels.insert(index, *tunnel);
        Ok(())
    }

    /// Frees a tunnel's entries of TUNNELS but some, and forgets the outer addresses that no tunnel has any more.
    fn accept_no_more(&mut self, id: u32, but: &[u32]) -> Result<(), DataPlaneError> {
        self.stale = true;
        let stale =
            |(index, tunnel): &(&u32, &Tunnel)| tunnel.next_hop == id && !but.contains(index);
        while let Some((&index, _)) = self.tunnels.iter().find(stale) {
            self.maps.write_tunnel(index, &Tunnel::FREE)?;
            self.tunnels.remove(&index);
        }
        let used: BTreeSet<[u8; 16]> = self.tunnels.values().map(|tunnel| tunnel.local).collect();
        let unused: Vec<[u8; 16]> = self.underlay.difference(&used).copied().collect();
        for local in unused {
            self.maps.write_fib(underlay(local, false))?;
            self.underlay.remove(&local);
        }
        self.stale = false;
        Ok(())
    }
}

impl<M: MapEntries> DataPlane for Plane<M> {
    fn set_route(&mut self, route: Route) -> Result<(), DataPlaneError> {
        let id = route.next_hop();
        if id >= next_hop_id::FIRST_TUNNEL && !self.next_hops.contains_key(&id) {
            self.in_range(id)?;
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        self.set(route.key(), Some(id))
    }

    fn remove_route(&mut self, key: RouteKey) -> Result<(), DataPlaneError> {
        match self.fib().get(key) {
            None => Err(DataPlaneError::NoSuchRoute(key)),
            Some(_) => self.set(key, None),
        }
    }

    fn free_next_hop(&self, from: u32) -> Result<u32, DataPlaneError> {
        let used = |id: &u32| self.next_hops.contains_key(id);
        let id = (from.max(next_hop_id::FIRST_TUNNEL)..).find(|id| !used(id));
        let id = id.unwrap_or(u32::MAX);
        self.in_range(id).map(|()| id)
    }

    fn set_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        self.in_range(id)?;
        if self.next_hops.get(&id) != Some(next_hop) {
            self.maps.write_next_hop(id, next_hop)?;
            self.next_hops.insert(id, *next_hop);
        }
        Ok(())
    }

    fn remove_next_hop(&mut self, id: u32) -> Result<(), DataPlaneError> {
        self.in_range(id)?;
        self.without_routes(id)?;
        self.maps.write_next_hop(id, &NextHop::FREE)?;
        self.next_hops.remove(&id);
        Ok(())
    }

    fn set_tunnel(
        &mut self,
        id: u32,
        accepted: &[Tunnel],
        next_hop: &NextHop,
    ) -> Result<(), DataPlaneError> {
        self.in_range(id)?;
        let mut indexes = Vec::with_capacity(accepted.len());
        for tunnel in accepted {
            let index = self.index(tunnel);
            let there = self.tunnels.get(&index);
            if indexes.contains(&index) || there.is_some_and(|there| there.next_hop != id) {
                return Err(DataPlaneError::KeyInUse { index });
            }
            indexes.push(index);
        }
        if !self.next_hops.contains_key(&id) {
            self.maps.clear_counters(id)?;
        }
        self.set_next_hop(id, next_hop)?;
        for (index, tunnel) in indexes.iter().zip(accepted) {
            let tunnel = Tunnel {
                next_hop: id,
                ..*tunnel
            };
            if self.tunnels.get(index) != Some(&tunnel) {
                self.stale = true;
                self.accept(*index, &tunnel)?;
            }
        }
        let of_it = self.tunnels.values().filter(|tunnel| tunnel.next_hop == id);
        if !self.stale && of_it.count() == accepted.len() {
            return Ok(());
        }
        self.accept_no_more(id, &indexes)
    }

    fn remove_tunnel(&mut self, id: u32) -> Result<(), DataPlaneError> {
        self.in_range(id)?;
        let known = self.next_hops.get(&id);
        if known.is_some_and(|known| known.kind != kind::TUNNEL) {
            return Err(DataPlaneError::NoSuchNextHop { id });
        }
        self.without_routes(id)?;
        self.accept_no_more(id, &[])?;
        self.remove_next_hop(id)
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        self.in_range(id)?;
        self.maps.tunnel_counters(id)
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        self.maps.reason_counters()
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.maps.interface(index)
    }
}

/// Puts an address in the set of our outer addresses, or takes it out.
fn underlay(local: [u8; 16], there: bool) -> Write {
    Write::member(table::UNDERLAY, Prefix::of_octets(local), there)
}

#[cfg(test)]
mod tests;
