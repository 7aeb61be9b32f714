//! What the kernel forwards into the mesh: who may speak for a source.

use crate::{
    address::Family,
    maps::{interface, next_hop_id, settings},
    packet::Packet,
    parse,
    reason::Reason,
    tables::Tables,
};

/// Whether a packet the kernel forwards into the mesh may enter it: the slow path's half of the rule that
/// a plain interface's hosts speak for this node's own subnets only, and nobody on the Internet for the mesh.
#[inline(always)]
pub fn may_enter<P: Packet, T: Tables>(packet: &P, tables: &T, arrival: u32) -> Result<(), Reason> {
    let from_host = arrival == 0 || arrival == tables.settings().device;
    if from_host {
        return Ok(());
    }
    let flags = tables.interface(arrival).map_or(0, |entry| entry.flags);
    let from_gateway = flags & interface::GATEWAY != 0;
    let link = parse::frame_header(packet).ok_or(Reason::Truncated)?;
    let Some(outer) = parse::outer(packet, &link) else {
        return Ok(());
    };
    let (family, source) = (outer.ip.family(), outer.ip.source());
    if source.is_link_scoped(family) {
        return Ok(());
    }
    match tables.route(family, source, source) {
        next_hop_id::SITE => Ok(()),
        // This node itself: the kernel translated the address of a host behind it. That it did cannot be seen, but from
        // outside it takes no IPv4 packet with an address of its own, unlike IPv6.
        next_hop_id::LOCAL if family == Family::Ipv4 => Ok(()),
        next_hop_id::LOCAL if tables.settings().has(settings::IPV6_MASQUERADE) => Ok(()),
        next_hop_id::LOCAL => Err(Reason::SpoofedSource),
        _ if flags & interface::MESH != 0 => Ok(()),
        _ if from_gateway && tables.in_networks(source) => Err(Reason::SpoofedSource),
        _ if from_gateway => Ok(()),
        _ => Err(Reason::ForeignSource),
    }
}
