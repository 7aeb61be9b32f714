//! What the maps answer for a route.

use aya::maps::{Array, MapData, MapError, lpm_trie::LpmTrie};
use ipnet::IpNet;
use re6st_common::{
    address::{Address, Family},
    maps::{FibEntry, Settings, TrieKey, TrieValue, next_hop_id},
};

use super::super::{
    error::BpfError,
    manifest::Manifest,
    maps::{Maps, access, trie_key},
};
use crate::io::netlink::route::Destination;

/// What the maps answer for the first address of a prefix.
pub struct Lookup {
    settings: Settings,
    fib: Array<MapData, FibEntry>,
    trie: LpmTrie<MapData, TrieKey, TrieValue>,
}

impl Lookup {
    /// Opens the maps.
    pub fn new(maps: &Maps, manifest: &Manifest) -> Result<Self, BpfError> {
        Ok(Self {
            settings: manifest.settings,
            fib: maps.fib()?,
            trie: maps.trie()?,
        })
    }

    /// The number of the next hop.
    pub fn next_hop(&self, destination: Destination) -> Result<u32, BpfError> {
        let address = destination.to.network().into();
        let family = match destination.to {
            IpNet::V4(_) => Family::Ipv4,
            IpNet::V6(_) => Family::Ipv6,
        };
        if family == Family::Ipv6
            && let Some(slot) = self.settings.fib_slot(address)
        {
            let index = FibEntry::index(slot);
            let number = access(self.fib.get(&index, 0), "FIB", index)?.next_hop(slot);
            if number != next_hop_id::NONE {
                return Ok(number);
            }
        }
        let Some(value) = self.longest(TrieKey::routes(family, address))? else {
            return Ok(next_hop_id::NONE);
        };
        if value.source_table == 0 {
            return Ok(value.next_hop);
        }
        let source = destination
            .from
            .map_or(Address::new(0, 0), |from| from.network().into());
        let value = self.longest(TrieKey::new(value.source_table, source))?;
        Ok(value.map_or(next_hop_id::NONE, |value| value.next_hop))
    }

    fn longest(&self, key: TrieKey) -> Result<Option<TrieValue>, BpfError> {
        match self.trie.get(&trie_key(TrieKey::BITS, key), 0) {
            Ok(value) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => access(Err(error), "FIB_TRIE", "address"),
        }
    }
}
