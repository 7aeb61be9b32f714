//! What XDP does with a frame: ARCHITECTURE.md, "Receive" and "From a plain interface".

use re6st_common::{
    maps::{NextHop, Tunnel, encapsulation, interface, kind, next_hop_id, settings, transmit},
    reason::{Fate, Reason},
};

use super::{
    Outcome, Traffic, Verdict,
    header::{
        ETHERTYPE_IPV4, ETHERTYPE_IPV6, FRAGMENT, HOP_BY_HOP, Internet, Link, PROTOCOL_GRE,
        PROTOCOL_UDP, Unreadable, read16, read32,
    },
    rules::{is_forbidden, is_link_scoped, is_multicast},
    transmit::{
        encapsulated, handed_over, set_ecn, shifted, take_hop, to_neighbour, traffic_class,
    },
    world::World,
};

/// What becomes of a frame that arrives on an interface.
pub fn receive(frame: &[u8], world: &World, arrival: u32) -> Outcome {
    let refused = |reason: Reason| match reason.fate() {
        Fate::Dropped => Outcome::untouched(frame, Verdict::Drop, reason),
        Fate::Kernel | Fate::Untouched => Outcome::untouched(frame, Verdict::Pass, reason),
    };
    if frame.get(..6) == Some(&world.settings.device_address) {
        return refused(Reason::ForgedFrame);
    }
    let Some(link) = Link::read(frame) else {
        return refused(Reason::Ordinary);
    };
    let packet = &frame[link.length..];
    let Ok(outer) = Internet::read_outer(link.ethertype, packet) else {
        return refused(Reason::Ordinary);
    };
    let least = if outer.source.is_ipv4() {
        20
    } else {
        outer.header
    };
    if outer.total < least {
        return refused(Reason::Ordinary);
    }
    let to_us = world.is_underlay(outer.destination);
    if let Some(reason) = special(world, packet, &outer) {
        return refused(if to_us { reason } else { Reason::Ordinary });
    }
    match classify(world, packet, &outer) {
        Class::Tunnel(udp) => tunnel(frame, world, arrival, &link, &outer, udp)
            .unwrap_or_else(|reason| refused(if to_us { reason } else { Reason::Ordinary })),
        Class::Control => refused(Reason::Control),
        Class::Plain => plain(frame, world, arrival, &link).unwrap_or_else(refused),
    }
}

/// Why a tunnel's packet is refused that has options or is a fragment; nothing for any other packet.
fn special(world: &World, packet: &[u8], outer: &Internet) -> Option<Reason> {
    let reason = match (outer.options, outer.fragment) {
        (true, _) => Reason::OuterOptions,
        (false, true) => Reason::OuterFragment,
        (false, false) => return None,
    };
    let (protocol, start) = if outer.source.is_ipv4() {
        let offset = read16(packet, 6)? & 0x1fff;
        if offset != 0 || outer.header < 20 {
            return None;
        }
        (outer.protocol, outer.header)
    } else {
        let next_header = *packet.get(outer.header)?;
        let length = usize::from(*packet.get(outer.header + 1)?);
        let third = read16(packet, outer.header + 2)?;
        match outer.protocol {
            FRAGMENT if third >= 8 => return None,
            FRAGMENT => (next_header, outer.header + 8),
            _ => (next_header, outer.header + 8 * (1 + length)),
        }
    };
    let behind = packet.get(start..)?;
    let gre = match protocol {
        PROTOCOL_UDP if read16(behind, 2)? == world.settings.port => read16(behind, 8)?,
        PROTOCOL_GRE if world.settings.flags & settings::GRE != 0 => read16(behind, 0)?,
        _ => return None,
    };
    let is_tunnel = gre == 0x2000 || (gre == 0 && protocol == PROTOCOL_UDP);
    is_tunnel.then_some(reason)
}

/// Whom a packet is for.
enum Class {
    /// A tunnel: in UDP or not.
    Tunnel(bool),
    /// The tunnels' port, but no GRE data.
    Control,
    /// Anything else.
    Plain,
}

fn classify(world: &World, packet: &[u8], outer: &Internet) -> Class {
    if outer.fragment || outer.options {
        return Class::Plain;
    }
    // bytes behind the length that the header states are padding
    let end = packet.len().min(outer.total).max(outer.header);
    let payload = packet.get(outer.header..end).unwrap_or(&[]);
    match outer.protocol {
        PROTOCOL_UDP if payload.len() >= 8 && read16(payload, 2) == Some(world.settings.port) => {
            match read16(payload, 8) {
                Some(0x2000 | 0x0000) => Class::Tunnel(true),
                _ => Class::Control,
            }
        }
        PROTOCOL_GRE
            if world.settings.flags & settings::GRE != 0 && read16(payload, 0) == Some(0x2000) =>
        {
            Class::Tunnel(false)
        }
        _ => Class::Plain,
    }
}

/// A packet of a tunnel. An error is met before it is known to be of one of ours.
fn tunnel(
    frame: &[u8],
    world: &World,
    arrival: u32,
    link: &Link,
    outer: &Internet,
    udp: bool,
) -> Result<Outcome, Reason> {
    let packet = &frame[link.length..];
    let end = packet.len().min(outer.total);
    let payload = &packet[outer.header..end];
    let gre = if udp { 8 } else { 0 };
    let key = read32(payload, gre + 4).ok_or(Reason::Truncated)?;
    if read16(payload, gre) == Some(0) {
        return Err(Reason::UnknownKey);
    }
    let tunnel = find_tunnel(world, arrival, link, outer, udp, key)?;
    // From here on the packet is one of ours, whatever UNDERLAY says.
    let result = inner_packet(frame, link, outer, udp).and_then(|inner| {
        let length = inner.len();
        // padding of the frame stays behind it
        let start = link.length + outer.header + gre + 8;
        decapsulated(world, tunnel, outer, &frame[start..], length)
    });
    Ok(result.unwrap_or_else(|reason| {
        let verdict = match reason.fate() {
            Fate::Dropped => Verdict::Drop,
            Fate::Kernel | Fate::Untouched => Verdict::Pass,
        };
        Outcome::untouched(frame, verdict, reason)
    }))
}

/// Step 4: whose key it is.
fn find_tunnel<'a>(
    world: &'a World,
    arrival: u32,
    link: &Link,
    outer: &Internet,
    udp: bool,
    key: u32,
) -> Result<&'a Tunnel, Reason> {
    let expected = match (udp, outer.source.is_ipv4()) {
        (true, true) => encapsulation::FOU_IPV4,
        (true, false) => encapsulation::FOU_IPV6,
        (false, true) => encapsulation::GRE_IPV4,
        (false, false) => encapsulation::GRE_IPV6,
    };
    let tunnel = world
        .tunnels
        .get(&(key & world.settings.tunnel_mask))
        .filter(|tunnel| tunnel.next_hop != next_hop_id::NONE)
        .filter(|tunnel| tunnel.key == key && tunnel.encapsulation == expected)
        .ok_or(Reason::UnknownKey)?;
    let mapped = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(address) => address.octets(),
    };
    if tunnel.remote != mapped(outer.source) || tunnel.local != mapped(outer.destination) {
        return Err(Reason::WrongPeer);
    }
    if tunnel.interface != arrival || tunnel.vlan != link.vlan.unwrap_or(0) {
        return Err(Reason::WrongInterface);
    }
    Ok(tunnel)
}

/// Step 5: lengths, and what GRE carries.
fn inner_packet<'a>(
    frame: &'a [u8],
    link: &Link,
    outer: &Internet,
    udp: bool,
) -> Result<&'a [u8], Reason> {
    let packet = &frame[link.length..];
    let packet = packet.get(..outer.total).ok_or(Reason::BadLength)?;
    let payload = &packet[outer.header..];
    if udp && read16(payload, 4).map(usize::from) != Some(payload.len()) {
        return Err(Reason::BadLength);
    }
    let gre = if udp { &payload[8..] } else { payload };
    let protocol = read16(gre, 2).ok_or(Reason::Truncated)?;
    if protocol != ETHERTYPE_IPV4 && protocol != ETHERTYPE_IPV6 {
        return Err(Reason::UnknownProtocol);
    }
    let inner = &gre[8..];
    let header = Internet::read(protocol, inner).map_err(|error| match error {
        Unreadable::Short => Reason::Truncated,
        Unreadable::Impossible => Reason::InnerMismatch,
    })?;
    if header.header < 20 {
        return Err(Reason::InnerMismatch);
    }
    if header.total != inner.len() || header.header > header.total {
        return Err(Reason::BadLength);
    }
    Ok(inner)
}

/// Steps 5 (addresses) to 8, with a packet freed of its outer headers. `inner` is `length` bytes and the frame's padding.
fn decapsulated(
    world: &World,
    tunnel: &Tunnel,
    outer: &Internet,
    inner: &[u8],
    length: usize,
) -> Result<Outcome, Reason> {
    let header = Internet::read(super::transmit::ethertype_of(inner), inner)
        .map_err(|_| Reason::InnerMismatch)?;
    let (source, destination) = (header.source, header.destination);
    if is_forbidden(source) || is_forbidden(destination) || is_multicast(source) {
        return Err(Reason::ForbiddenAddress);
    }
    if is_link_scoped(source) || is_link_scoped(destination) {
        return Err(Reason::Control);
    }
    let ecn = header
        .ecn
        .decapsulated(outer.ecn)
        .ok_or(Reason::IllegalEcn)?;
    if matches!(
        world.route(source, destination),
        next_hop_id::LOCAL | next_hop_id::SITE
    ) {
        return Err(Reason::SpoofedSource);
    }
    let mut inner = inner.to_vec();
    set_ecn(&mut inner, ecn);

    let received = Some(Traffic {
        next_hop: tunnel.next_hop,
        bytes: length as u64,
    });
    let kernel = |reason| Outcome {
        verdict: Verdict::Pass,
        reason: Some(reason),
        bytes: handed_over(&world.settings, 0, &inner),
        flow: Vec::new(),
        received,
        sent: None,
    };
    let outcome = match world.route(destination, source) {
        next_hop_id::NONE => kernel(Reason::NoRoute),
        next_hop_id::LOCAL => kernel(Reason::Local),
        next_hop_id::SITE => match obstacle(&header, usize::MAX) {
            Some(reason) => kernel(reason),
            None => site(world, &inner, length, &header).unwrap_or_else(|| kernel(Reason::Site)),
        },
        id if id == tunnel.next_hop => return Err(Reason::RoutingLoop),
        _ if world.settings.flags & settings::FORWARD == 0 => {
            return Err(Reason::ForwardingDisabled);
        }
        id => match usable_next_hop(world, id) {
            None => kernel(Reason::NoRoute),
            Some(next_hop) => match obstacle(&header, next_hop.mtu as usize) {
                Some(reason) => kernel(reason),
                None => by_next_hop(world, id, next_hop, &inner, length).unwrap_or_else(kernel),
            },
        },
    };
    let goes_on = outcome.reason.is_none();
    let outcome = if goes_on && may_be_merged(world, tunnel) {
        kernel(Reason::Merged)
    } else {
        outcome
    };
    Ok(Outcome {
        received,
        ..outcome
    })
}

/// Whether the kernel may have merged a tunnel's packets, which it does in GRE only.
fn may_be_merged(world: &World, tunnel: &Tunnel) -> bool {
    let interface = world.interfaces.get(&tunnel.interface);
    [encapsulation::GRE_IPV4, encapsulation::GRE_IPV6].contains(&tunnel.encapsulation)
        && interface.is_some_and(|interface| interface.flags & interface::MERGED != 0)
}

/// Why the kernel should have a packet rather than the next hop.
fn obstacle(header: &Internet, mtu: usize) -> Option<Reason> {
    let options = match header.source {
        std::net::IpAddr::V4(_) => header.options,
        std::net::IpAddr::V6(_) => header.protocol == HOP_BY_HOP,
    };
    if header.hop_limit <= 1 {
        Some(Reason::HopLimit)
    } else if options {
        Some(Reason::Options)
    } else if header.total > mtu {
        Some(Reason::TooBig)
    } else {
        None
    }
}

/// An entry of NEXT_HOPS that a packet can take.
fn usable_next_hop(world: &World, id: u32) -> Option<&NextHop> {
    world
        .next_hops
        .get(&id)
        .filter(|next_hop| [kind::TUNNEL, kind::NEIGHBOUR].contains(&next_hop.kind))
}

/// Into a tunnel, or to a router on a link, with one hop less.
fn by_next_hop(
    world: &World,
    id: u32,
    next_hop: &NextHop,
    inner: &[u8],
    length: usize,
) -> Result<Outcome, Reason> {
    if next_hop.kind == kind::TUNNEL {
        return Ok(into_tunnel(world, id, next_hop, inner, length));
    }
    if next_hop.ethernet_length != 14 {
        return Err(Reason::UnresolvedNeighbour);
    }
    let mut packet = inner.to_vec();
    take_hop(&mut packet);
    let with_tc = next_hop.flags & transmit::WITH_TC != 0;
    let (verdict, bytes) = if with_tc {
        let bytes = handed_over(&world.settings, next_hop.interface, &packet);
        (Verdict::Pass, bytes)
    } else {
        let [to, from] = [0, 6].map(|at| {
            let mut address = [0; 6];
            address.copy_from_slice(&next_hop.ethernet[at..at + 6]);
            address
        });
        let bytes = to_neighbour(to, from, &packet);
        (Verdict::Redirect(next_hop.interface), bytes)
    };
    Ok(Outcome {
        verdict,
        reason: None,
        bytes,
        flow: Vec::new(),
        received: None,
        sent: Some(Traffic {
            next_hop: id,
            bytes: length as u64,
        }),
    })
}

/// To a host behind this node, if the kernel knows its neighbour on one of our interfaces.
fn site(world: &World, inner: &[u8], length: usize, header: &Internet) -> Option<Outcome> {
    let route = world.kernel_route(header.destination, length)?;
    let interface = world.interfaces.get(&route.interface)?;
    let mut inner = inner.to_vec();
    take_hop(&mut inner);
    let with_tc = interface.flags & interface::TRANSMIT_WITH_TC != 0;
    Some(Outcome {
        verdict: if with_tc {
            Verdict::Pass
        } else {
            Verdict::Redirect(route.interface)
        },
        reason: None,
        bytes: if with_tc {
            handed_over(&world.settings, route.interface, &inner)
        } else {
            to_neighbour(route.neighbour, route.address, &inner)
        },
        flow: Vec::new(),
        received: None,
        sent: None,
    })
}

/// Into a tunnel, with one hop less.
fn into_tunnel(world: &World, id: u32, next_hop: &NextHop, inner: &[u8], length: usize) -> Outcome {
    let mut inner = inner.to_vec();
    take_hop(&mut inner);
    let outer = encapsulated(
        &world.settings,
        next_hop,
        traffic_class(&inner),
        &inner,
        length,
    );
    let ready = usize::from(next_hop.ethernet_length);
    // without the neighbour's address the kernel has to find it out, and TC asks it to
    let with_tc = next_hop.flags & transmit::WITH_TC != 0 || ready == 0;
    let (verdict, bytes, link) = if with_tc {
        let bytes = handed_over(&world.settings, next_hop.route_interface, &outer.packet);
        (Verdict::Pass, bytes, 14)
    } else {
        let mut bytes = next_hop.ethernet[..ready].to_vec();
        bytes.extend(&outer.packet);
        (Verdict::Redirect(next_hop.interface), bytes, ready)
    };
    Outcome {
        verdict,
        reason: None,
        bytes,
        flow: shifted(outer.flow, link),
        received: None,
        sent: Some(Traffic {
            next_hop: id,
            bytes: length as u64,
        }),
    }
}

/// A packet that is not of a tunnel. The reason, if it does not enter the mesh.
fn plain(frame: &[u8], world: &World, arrival: u32, link: &Link) -> Result<Outcome, Reason> {
    let packet = &frame[link.length..];
    let header = &Internet::read(link.ethertype, packet).map_err(|_| Reason::Ordinary)?;
    let (source, destination) = (header.source, header.destination);
    let interface = world.interfaces.get(&arrival).ok_or(Reason::Ordinary)?;
    let id = world.route(destination, source);
    // a tagged frame is for another interface of the kernel's, with rules of its own
    if link.vlan.is_some()
        || interface.flags & (interface::HIDDEN_TAGS | interface::MERGED) != 0
        || link.destination != interface.address
        || id < next_hop_id::FIRST_TUNNEL
        || is_link_scoped(source)
        || is_link_scoped(destination)
    {
        return Err(Reason::Ordinary);
    }
    let gateway = interface.flags & interface::GATEWAY != 0;
    let owner = world.route(source, destination);
    let own = owner == next_hop_id::SITE;
    let mesh = interface.flags & interface::MESH != 0;
    if owner == next_hop_id::LOCAL || (gateway && !mesh && !own && world.in_networks(source)) {
        return Err(Reason::SpoofedSource);
    }
    let inside = world.in_networks(destination);
    if !own && !gateway && !mesh {
        return Err(if inside {
            Reason::ForeignSource
        } else {
            Reason::Ordinary
        });
    }
    if header.header < 20 {
        return Err(Reason::InnerMismatch);
    }
    if header.total > packet.len() || header.total < header.header {
        return Err(Reason::BadLength);
    }
    if is_forbidden(source) || is_forbidden(destination) {
        return Err(Reason::ForbiddenAddress);
    }
    let link_of = |id| {
        world
            .next_hops
            .get(&id)
            .filter(|next_hop| next_hop.kind == kind::NEIGHBOUR)
            .map(|next_hop| next_hop.interface)
    };
    let kernel_agrees = || {
        world
            .kernel_route(destination, header.total)
            .is_some_and(|route| route.interface == link_of(id).unwrap_or(world.settings.device))
    };
    if !inside && !kernel_agrees() {
        return Err(Reason::Ordinary);
    }
    let next_hop = usable_next_hop(world, id).ok_or(Reason::NoRoute)?;
    if let Some(reason) = obstacle(header, next_hop.mtu as usize) {
        return Err(reason);
    }
    let outcome = by_next_hop(world, id, next_hop, packet, header.total)?;
    if next_hop.kind == kind::NEIGHBOUR && next_hop.interface == arrival {
        return Err(Reason::Ordinary);
    }
    Ok(outcome)
}
