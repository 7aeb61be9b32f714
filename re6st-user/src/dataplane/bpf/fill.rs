//! A fresh set of maps, filled before any packet sees it.

use std::{collections::BTreeMap, net::IpAddr};

use aya::{maps::PerCpuValues, util::nr_cpus};
use ipnet::IpNet;
use re6st_common::{
    address::Address,
    maps::{
        Interface, NextHopEntry, TrieKey, TrieValue, TunnelCounters, interface, next_hop_id, table,
    },
};

use super::{
    error::{BpfError, During as _},
    manifest::Manifest,
    maps::{Maps, access, trie_key},
    offloads,
    pins::Pins,
    plane::RouteMaps,
    resolve::{self, Interfaces, ResolvedTunnel},
    transmit::Transmit,
};
use crate::{
    config::Config,
    dataplane::{Route, fib::Fib},
};

/// Fills the maps in the folder `new`.
pub fn fill(
    config: &Config,
    tunnels: &[ResolvedTunnel],
    interfaces: &Interfaces,
    manifest: &Manifest,
    transmit: &Transmit,
    fib: &Fib,
    pins: &Pins,
) -> Result<(), BpfError> {
    let maps = Maps::new(pins.new_folder());
    next_hops(config, tunnels, interfaces, manifest, transmit, pins)?;
    let mut entries = maps.tunnels()?;
    for tunnel in tunnels {
        let index = tunnel.tunnel.keys.local & manifest.settings.tunnel_mask;
        let entry = tunnel.entry(number(manifest, tunnel)?);
        access(entries.set(index, entry, 0), "TUNNELS", index)?;
    }
    let mut routes = RouteMaps::open(&maps)?;
    for write in fib.contents() {
        routes
            .write(write)
            .map_err(|error| BpfError::Conflict(error.to_string()))?;
    }
    sets(config, tunnels, &maps)
}

/// Fills NEXT_HOPS and INTERFACES, whose entries depend on how the interfaces transmit.
pub fn next_hops(
    config: &Config,
    tunnels: &[ResolvedTunnel],
    interfaces: &Interfaces,
    manifest: &Manifest,
    transmit: &Transmit,
    pins: &Pins,
) -> Result<(), BpfError> {
    let maps = Maps::new(pins.new_folder());
    let mut entries = maps.next_hops()?;
    for tunnel in tunnels {
        let index = number(manifest, tunnel)?;
        let entry = tunnel.next_hop(config.port, transmit.needs_tc(tunnel.interface));
        let entry = NextHopEntry::new(entry);
        access(entries.set(index, entry, 0), "NEXT_HOPS", index)?;
    }
    let mut entries = maps.interfaces()?;
    for known in interfaces.values() {
        let mut flags = 0;
        let named_by = |names: &[String]| names.iter().any(|name| known.is_called(name));
        if named_by(&config.gateway_interfaces) {
            flags |= interface::GATEWAY;
        }
        if transmit.needs_tc(known.index) {
            flags |= interface::TRANSMIT_WITH_TC;
        }
        if named_by(config.babel_interfaces()) {
            flags |= interface::MESH;
        }
        if offloads::hides_vlan_tags(known) {
            flags |= interface::HIDDEN_TAGS;
        }
        if offloads::merges_segments(known) {
            flags |= interface::MERGED;
        }
        let entry = Interface {
            flags,
            address: known.address.unwrap_or_default(),
            reserved: [0; 2],
            name: resolve::name(&known.name),
        };
        access(
            entries.insert(known.index, entry, 0),
            "INTERFACES",
            known.index,
        )?;
    }
    Ok(())
}

fn number(manifest: &Manifest, tunnel: &ResolvedTunnel) -> Result<u32, BpfError> {
    let name = &tunnel.tunnel.name;
    manifest
        .tunnels
        .get(name)
        .copied()
        .ok_or_else(|| BpfError::Conflict(format!("tunnel {name} has no next hop number")))
}

/// The routes of a configuration through tunnels that are used, as the maps have them.
/// `kept`: those of a routing protocol, which yield to it.
pub fn fib(
    config: &Config,
    tunnels: &[ResolvedTunnel],
    manifest: &Manifest,
    kept: &[Route],
) -> Result<Fib, BpfError> {
    let mut fib = Fib::new(config.fib_network());
    let used = tunnels
        .iter()
        .map(|tunnel| Ok((tunnel.tunnel.name.as_str(), number(manifest, tunnel)?)))
        .collect::<Result<BTreeMap<_, _>, BpfError>>()?;
    for route in kept {
        if used.values().any(|number| *number == route.next_hop()) {
            fib.insert(*route);
        }
    }
    let mut insert = |to: IpNet, from: Option<IpNet>, next_hop: u32| {
        let route = Route::new(to, from, next_hop)
            .map_err(|error| BpfError::Conflict(error.to_string()))?;
        fib.insert(route);
        Ok::<(), BpfError>(())
    };
    for route in &config.routes {
        if let Some(next_hop) = used.get(route.via.as_str()) {
            insert(route.to, route.from, *next_hop)?;
        }
    }
    // last: nothing in the mesh is closer than this node to its own subnets
    for address in &config.addresses {
        insert(address.trunc(), None, next_hop_id::SITE)?;
    }
    for address in &config.addresses {
        insert(IpNet::from(address.addr()), None, next_hop_id::LOCAL)?;
    }
    Ok(fib)
}

/// The two sets of addresses in FIB_TRIE.
fn sets(config: &Config, tunnels: &[ResolvedTunnel], maps: &Maps) -> Result<(), BpfError> {
    let mut trie = maps.trie()?;
    let networks = config
        .networks
        .iter()
        .map(|network| (table::NETWORKS, *network));
    for (table, prefix) in networks {
        let (length, key) = key(table, prefix);
        access(
            trie.insert(&trie_key(length, key), MEMBER, 0),
            "FIB_TRIE",
            prefix,
        )?;
    }
    tunnels
        .iter()
        .try_for_each(|tunnel| underlay(maps, tunnel.local))
}

/// Of a set of addresses.
const MEMBER: TrieValue = TrieValue {
    next_hop: next_hop_id::NONE,
    source_table: 0,
};

/// Puts an address in the set of our outer addresses.
pub fn underlay(maps: &Maps, address: IpAddr) -> Result<(), BpfError> {
    let (length, key) = key(table::UNDERLAY, address.into());
    let outcome = maps.trie()?.insert(&trie_key(length, key), MEMBER, 0);
    access(outcome, "FIB_TRIE", address)
}

fn key(table: u32, prefix: IpNet) -> (u32, TrieKey) {
    const TABLE: u32 = 32;
    const MAPPED: u32 = 96;
    let length = TABLE
        + u32::from(prefix.prefix_len())
        + match prefix.network() {
            IpAddr::V4(_) => MAPPED,
            IpAddr::V6(_) => 0,
        };
    (length, TrieKey::new(table, Address::from(prefix.network())))
}

/// Sets the counters of tunnels to zero that are new in maps which the running instance has used: `former`, if so.
pub fn clear_counters(
    manifest: &Manifest,
    former: Option<&Manifest>,
    pins: &Pins,
) -> Result<(), BpfError> {
    let Some(former) = former else {
        return Ok(());
    };
    let mut counters = Maps::new(pins.new_folder()).tunnel_counters()?;
    let cpus = nr_cpus()
        .map_err(|(path, error)| std::io::Error::other(format!("{path}: {error}")))
        .during(|| "count the CPUs".to_owned())?;
    for (name, number) in &manifest.tunnels {
        if former.tunnels.get(name) != Some(number) {
            let zero = PerCpuValues::try_from(vec![TunnelCounters::default(); cpus])
                .during(|| "make per-CPU values".to_owned())?;
            access(counters.set(*number, zero, 0), "TUNNEL_COUNTERS", number)?;
        }
    }
    Ok(())
}
