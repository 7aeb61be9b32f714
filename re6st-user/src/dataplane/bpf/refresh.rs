//! The entries of tunnels and interfaces, brought up to date while packets flow.

use re6st_common::maps::interface as flag;

use super::{
    error::BpfError,
    fill,
    maps::{Maps, access},
    offloads,
    plane::BpfDataPlane,
    resolve::ResolvedTunnel,
};
use crate::{dataplane::DataPlane as _, io::netlink::link::Interface};

/// Where a tunnel is in the maps.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of its next hop.
    pub next_hop: u32,
    /// Its index in TUNNELS.
    pub tunnel: u32,
}

/// Writes what has changed of a tunnel.
///
/// # Errors
/// What keeps a map from being written.
pub fn tunnel(
    tunnel: &ResolvedTunnel,
    place: Place,
    port: u16,
    plane: &mut BpfDataPlane,
    maps: &Maps,
) -> Result<(), BpfError> {
    let flags = access(
        maps.interfaces()?.get(&tunnel.interface, 0),
        "INTERFACES",
        tunnel.interface,
    )?
    .flags;
    let with_tc = flags & flag::TRANSMIT_WITH_TC != 0;
    let conflict = |error: crate::dataplane::DataPlaneError| BpfError::Conflict(error.to_string());
    plane
        .set_next_hop(place.next_hop, &tunnel.next_hop(port, with_tc))
        .map_err(conflict)?;
    let mut entries = maps.tunnels()?;
    let entry = tunnel.entry(place.next_hop);
    if access(entries.get(&place.tunnel, 0), "TUNNELS", place.tunnel)? != entry {
        fill::underlay(maps, tunnel.local)?;
        access(entries.set(place.tunnel, entry, 0), "TUNNELS", place.tunnel)?;
    }
    Ok(())
}

/// Writes the Ethernet address of an interface, if it is one of ours and has another now, and whether it has VLANs.
///
/// # Errors
/// What keeps the map from being written.
pub fn interface(interface: &Interface, maps: &Maps) -> Result<(), BpfError> {
    let mut entries = maps.interfaces()?;
    let (Ok(mut entry), Some(address)) = (entries.get(&interface.index, 0), interface.address)
    else {
        return Ok(());
    };
    let mut flags = entry.flags & !flag::HIDDEN_TAGS;
    if offloads::hides_vlan_tags(interface) {
        flags |= flag::HIDDEN_TAGS;
    }
    if (entry.address, entry.flags) != (address, flags) {
        (entry.address, entry.flags) = (address, flags);
        access(
            entries.insert(interface.index, entry, 0),
            "INTERFACES",
            interface.index,
        )?;
    }
    Ok(())
}
