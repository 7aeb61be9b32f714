//! What the TC programs do: ARCHITECTURE.md, "Handing over", "Send" and "Guard".

use re6st_common::{
    maps::{interface, kind, next_hop_id, settings},
    reason::Reason,
};

use super::{
    Outcome, Traffic, Verdict,
    header::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, Internet, Link, PROTOCOL_TCP, PROTOCOL_UDP, Unreadable,
    },
    rules::is_link_scoped,
    transmit::{encapsulated, shifted, traffic_class},
    world::World,
};

/// What becomes of a frame that this host sends through the mesh device. With segmentation offload, `segment` is how
/// many bytes of payload each of the packets to come has.
pub fn send(frame: &[u8], world: &World, segment: Option<usize>) -> Outcome {
    sent(frame, world, segment)
        .unwrap_or_else(|reason| Outcome::untouched(frame, Verdict::Drop, reason))
}

fn sent(frame: &[u8], world: &World, segment: Option<usize>) -> Result<Outcome, Reason> {
    let link = Link::read(frame).ok_or(Reason::Truncated)?;
    if link.ethertype != ETHERTYPE_IPV4 && link.ethertype != ETHERTYPE_IPV6 {
        return Err(Reason::SendLinkScoped);
    }
    let packet = &frame[link.length..];
    let header = Internet::read(link.ethertype, packet).map_err(|error| match error {
        Unreadable::Short => Reason::Truncated,
        Unreadable::Impossible => Reason::InnerMismatch,
    })?;
    if header.header < 20 {
        return Err(Reason::InnerMismatch);
    }
    if header.total > packet.len() || header.total < header.header {
        return Err(Reason::BadLength);
    }
    if is_link_scoped(header.source) || is_link_scoped(header.destination) {
        return Err(Reason::SendLinkScoped);
    }
    let id = world.route(header.destination, header.source);
    let next_hop = match id {
        next_hop_id::NONE => return Err(Reason::SendNoRoute),
        next_hop_id::LOCAL | next_hop_id::SITE => return Err(Reason::RoutingLoop),
        id => world
            .next_hops
            .get(&id)
            .filter(|next_hop| next_hop.kind == kind::TUNNEL)
            .ok_or(Reason::SendNoRoute)?,
    };
    let biggest = segment.map_or(header.total, |payload| {
        header.header + transport_header(packet, &header) + payload
    });
    if biggest > next_hop.mtu as usize {
        return Err(Reason::SendTooBig);
    }
    let outer = encapsulated(
        &world.settings,
        next_hop,
        traffic_class(packet),
        packet,
        header.total,
    );
    // bpf_redirect_neigh writes the addresses
    let mut bytes = frame[..12].to_vec();
    let ethertype: u16 = if outer.packet[0] >> 4 == 4 {
        0x0800
    } else {
        0x86dd
    };
    bytes.extend(ethertype.to_be_bytes());
    bytes.extend(&outer.packet);
    Ok(Outcome {
        verdict: Verdict::Redirect(next_hop.route_interface),
        reason: None,
        bytes,
        flow: shifted(outer.flow, 14),
        received: None,
        sent: Some(Traffic {
            next_hop: id,
            bytes: header.total as u64,
        }),
    })
}

/// Bytes of the TCP or UDP header.
fn transport_header(packet: &[u8], header: &Internet) -> usize {
    match header.protocol {
        PROTOCOL_TCP => packet
            .get(header.header + 12)
            .map_or(20, |byte| usize::from(byte >> 4) * 4),
        PROTOCOL_UDP => 8,
        _ => 0,
    }
}

/// Whether a frame that the kernel forwards to the mesh device may enter the mesh. `arrival` is the interface it came
/// from, 0 if this host made it.
pub fn may_enter(frame: &[u8], world: &World, arrival: u32) -> Result<(), Reason> {
    if arrival == 0 || arrival == world.settings.device {
        return Ok(());
    }
    let header = Link::read(frame)
        .and_then(|link| Internet::read(link.ethertype, &frame[link.length..]).ok());
    // what no router forwards is the next program's to refuse
    let Some(header) = header.filter(|header| !is_link_scoped(header.source)) else {
        return Ok(());
    };
    let is = |flag| {
        let entry = world.interfaces.get(&arrival);
        entry.is_some_and(|entry| entry.flags & flag != 0)
    };
    let gateway = is(interface::GATEWAY);
    match world.route(header.source, header.destination) {
        next_hop_id::SITE => Ok(()),
        // this node itself: the kernel translated the address (NAT)
        next_hop_id::LOCAL if header.source.is_ipv4() => Ok(()),
        next_hop_id::LOCAL if world.settings.flags & settings::IPV6_MASQUERADE != 0 => Ok(()),
        next_hop_id::LOCAL => Err(Reason::SpoofedSource),
        _ if is(interface::MESH) => Ok(()),
        _ if gateway && world.in_networks(header.source) => Err(Reason::SpoofedSource),
        _ if gateway => Ok(()),
        _ => Err(Reason::ForeignSource),
    }
}
