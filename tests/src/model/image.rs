//! A world as the contents of the maps: the routes of the model, laid out as ARCHITECTURE.md's "FIB" says.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use re6st_common::{
    address::Address,
    maps::{TrieKey, TrieValue, next_hop_id, settings, table},
};

use super::world::{Route, World};

/// An entry of FIB_TRIE.
#[derive(Clone, Copy, Debug)]
pub struct TrieEntry {
    /// Bits of the key that count: 32 of the table and the address's.
    pub length: u32,
    /// Table and address.
    pub key: TrieKey,
    /// The answer.
    pub value: TrieValue,
}

/// The contents of FIB and FIB_TRIE.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Slots of the array that are not 0.
    pub fib: Vec<(u32, u32)>,
    /// Entries of the trie.
    pub trie: Vec<TrieEntry>,
}

impl Image {
    /// Lays a world's routes out. Without `slots` everything is in the trie, which is slower and no different.
    pub fn of(world: &World, slots: bool) -> Self {
        let mut image = Self::default();
        for network in &world.networks {
            image.member(table::NETWORKS, *network);
        }
        for address in &world.underlay {
            image.member(table::UNDERLAY, IpNet::from(*address));
        }
        image.routes(world);
        if slots && world.settings.flags & settings::NETWORK != 0 {
            image.slots(world);
        }
        image
    }

    fn insert(&mut self, table: u32, prefix: IpNet, value: TrieValue) {
        let mapped = if prefix.addr().is_ipv4() { 96 } else { 0 };
        self.trie.push(TrieEntry {
            length: 32 + mapped + u32::from(prefix.prefix_len()),
            key: TrieKey::new(table, Address::from(prefix.network())),
            value,
        });
    }

    fn member(&mut self, table: u32, prefix: IpNet) {
        let value = TrieValue {
            next_hop: next_hop_id::NONE,
            source_table: 0,
        };
        self.insert(table, prefix, value);
    }

    /// An entry for each destination. Where source-specific routes apply, it has a table by source with the inherited
    /// routes in it.
    fn routes(&mut self, world: &World) {
        let mut destinations: BTreeMap<IpNet, Vec<Route>> = BTreeMap::new();
        for route in &world.routes {
            destinations
                .entry(route.to.trunc())
                .or_insert_with(|| relevant(world, route.to));
        }
        let mut next_table = table::FIRST_SOURCE;
        for (destination, routes) in destinations {
            let by_destination = match destination {
                IpNet::V4(_) => table::IPV4,
                IpNet::V6(_) => table::IPV6,
            };
            let any_source = any(destination);
            if routes.iter().all(|route| route.from.is_none()) {
                let value = TrieValue {
                    next_hop: best(&routes, any_source),
                    source_table: 0,
                };
                self.insert(by_destination, destination, value);
                continue;
            }
            let source_table = next_table;
            next_table += 1;
            let value = TrieValue {
                next_hop: next_hop_id::NONE,
                source_table,
            };
            self.insert(by_destination, destination, value);
            let mut sources: Vec<IpNet> = routes
                .iter()
                .map(|route| route.from.unwrap_or(any_source).trunc())
                .collect();
            sources.sort();
            sources.dedup();
            for source in sources {
                let value = TrieValue {
                    next_hop: best(&routes, source),
                    source_table: 0,
                };
                self.insert(source_table, source, value);
            }
        }
    }

    /// The slots that one next hop answers whole.
    fn slots(&mut self, world: &World) {
        let settings = &world.settings;
        for slot in 0..=settings.fib_mask {
            let address = std::net::Ipv6Addr::from(u128::from(first_address(settings, slot)) << 64);
            let Ok(prefix) = ipnet::Ipv6Net::new(address, (64 - settings.fib_shift) as u8) else {
                continue;
            };
            let prefix = IpNet::V6(prefix);
            let inside = |route: &&Route| prefix.contains(&route.to) && route.to != prefix;
            if world.routes.iter().any(|route| inside(&route)) {
                continue;
            }
            let covering = || {
                world
                    .routes
                    .iter()
                    .filter(|route| route.to.contains(&prefix))
            };
            let Some(longest) = covering().map(|route| route.to.prefix_len()).max() else {
                continue;
            };
            let routes: Vec<Route> = covering()
                .filter(|route| route.to.prefix_len() == longest)
                .copied()
                .collect();
            if routes.iter().all(|route| route.from.is_none()) {
                self.fib.push((slot, best(&routes, any(prefix))));
            }
        }
    }
}

/// The routes that can win for an address of which `to` is the longest matching destination: its own, and those it
/// inherits from shorter ones where its own do not take every source.
fn relevant(world: &World, to: IpNet) -> Vec<Route> {
    let own = |route: &&Route| route.to == to;
    let takes_all = world
        .routes
        .iter()
        .filter(own)
        .any(|route| route.from.is_none());
    world
        .routes
        .iter()
        .filter(|route| own(route) || (!takes_all && route.to.contains(&to)))
        .copied()
        .collect()
}

fn first_address(settings: &re6st_common::maps::Settings, slot: u32) -> u64 {
    settings.network | u64::from(slot) << settings.fib_shift
}

/// All addresses of a prefix's family.
fn any(prefix: IpNet) -> IpNet {
    let unspecified: IpAddr = match prefix {
        IpNet::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpNet::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(unspecified, 0)
}

/// The next hop, among routes that all cover the destination, of packets from a source prefix.
fn best(routes: &[Route], source: IpNet) -> u32 {
    routes
        .iter()
        .filter(|route| route.from.is_none_or(|from| from.contains(&source)))
        .max_by_key(|route| {
            let from = route.from.map_or(0, |from| from.prefix_len());
            (route.to.prefix_len(), from)
        })
        .map_or(next_hop_id::NONE, |route| route.next_hop)
}
