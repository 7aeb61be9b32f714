//! A fresh set of maps, filled before any packet sees it.

use std::collections::BTreeMap;

use ipnet::IpNet;
use re6st_common::maps::{Interface, NextHop, Tunnel, interface, next_hop_id, table};

use super::{
    error::BpfError,
    manifest::Manifest,
    maps::{self, Maps, access},
    offloads,
    plane::BpfMaps,
    resolve::{Interfaces, ResolvedTunnel},
    transmit::Transmit,
};
use crate::{
    config::Config,
    dataplane::{
        Route,
        fib::{Fib, Write},
        plane::MapEntries as _,
        prefix::Prefix,
    },
    io::netlink::link,
};

/// Fills fresh maps. `tunnels`: as [`entries`] says.
pub fn fill(
    config: &Config,
    tunnels: &[(Tunnel, NextHop)],
    interfaces: &Interfaces,
    transmit: &Transmit,
    fib: &Fib,
    maps: &Maps,
) -> Result<(), BpfError> {
    next_hops(config, tunnels, interfaces, transmit, maps)?;
    let mut maps = BpfMaps::open(maps)?;
    for (tunnel, _) in tunnels {
        maps.write_tunnel(tunnel.key & (maps.tunnels() - 1), tunnel)?;
        let local = Prefix::of_octets(tunnel.local);
        maps.write_fib(Write::member(table::UNDERLAY, local, true))?;
    }
    for network in &config.networks {
        let network = Prefix::from(*network);
        maps.write_fib(Write::member(table::NETWORKS, network, true))?;
    }
    fib.contents().try_for_each(|write| maps.write_fib(write))?;
    Ok(())
}

/// Fills NEXT_HOPS and INTERFACES, whose entries depend on how the interfaces transmit.
pub fn next_hops(
    config: &Config,
    tunnels: &[(Tunnel, NextHop)],
    interfaces: &Interfaces,
    transmit: &Transmit,
    maps: &Maps,
) -> Result<(), BpfError> {
    let mut open = BpfMaps::open(maps)?;
    for (tunnel, next_hop) in tunnels {
        open.write_next_hop(tunnel.next_hop, next_hop)?;
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
            name: maps::name(&known.name),
        };
        access(
            entries.insert(known.index, entry, 0),
            "INTERFACES",
            known.index,
        )?;
    }
    Ok(())
}

/// The entries of TUNNELS and NEXT_HOPS of each tunnel: as many as it accepts keys.
pub fn entries(
    config: &Config,
    tunnels: &[ResolvedTunnel],
    manifest: &Manifest,
    transmit: &Transmit,
) -> Result<Vec<(Tunnel, NextHop)>, BpfError> {
    let mut entries = Vec::with_capacity(tunnels.len());
    for tunnel in tunnels {
        let with_tc = transmit.needs_tc(tunnel.interface);
        let next_hop = tunnel.next_hop(config.port, with_tc);
        let accepted = tunnel.entries(number(manifest, tunnel)?);
        entries.extend(accepted.into_iter().map(|tunnel| (tunnel, next_hop)));
    }
    Ok(entries)
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

/// Sets the counters of tunnels to zero that are new in maps which the running instance has used: `former`, if so.
pub fn clear_counters(
    manifest: &Manifest,
    former: Option<&Manifest>,
    maps: &Maps,
) -> Result<(), BpfError> {
    let Some(former) = former else {
        return Ok(());
    };
    let mut maps = BpfMaps::open(maps)?;
    for (name, number) in &manifest.tunnels {
        if former.tunnels.get(name) != Some(number) {
            maps.clear_counters(*number)?;
        }
    }
    Ok(())
}

/// Writes the Ethernet address of an interface, if it is one of ours and has another now, and whether it has VLANs.
///
/// # Errors
/// What keeps the map from being written.
pub fn refresh(known: &link::Interface, maps: &Maps) -> Result<(), BpfError> {
    let mut entries = maps.interfaces()?;
    let (Ok(mut entry), Some(address)) = (entries.get(&known.index, 0), known.address) else {
        return Ok(());
    };
    let mut flags = entry.flags & !interface::HIDDEN_TAGS;
    if offloads::hides_vlan_tags(known) {
        flags |= interface::HIDDEN_TAGS;
    }
    if (entry.address, entry.flags) != (address, flags) {
        (entry.address, entry.flags) = (address, flags);
        access(
            entries.insert(known.index, entry, 0),
            "INTERFACES",
            known.index,
        )?;
    }
    Ok(())
}
