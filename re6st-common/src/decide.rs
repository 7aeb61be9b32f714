//! What becomes of a packet. Reads only: nothing is rewritten before everything is checked.

use crate::{
    address::{Address, Family},
    maps::{NextHop, Settings, Tunnel, encapsulation, interface, kind, next_hop_id, settings},
    packet::Packet,
    parse::{self, Fit, Inner, Link, Outer, ecn},
    reason::{Fate, Reason},
    tables::{Neighbour, Tables},
    wire::{Ethernet, Gre, GreInUdp, Ipv4, Ipv6, Udp, ethertype, protocol},
};

/// A packet of the mesh inside its frame.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Bytes in front of it: Ethernet, and the outer headers if it came through a tunnel.
    pub front: usize,
    /// The packet.
    pub inner: Inner,
    /// The traffic class it must leave with.
    pub traffic_class: u8,
    /// The tunnel it came through, a next hop's number; [`next_hop_id::NONE`] for none.
    pub tunnel: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'tables> {
    /// To the kernel, as it is.
    Pass(Reason),
    /// To the kernel through the mesh device, freed of its outer headers.
    Deliver(Carried, Reason),
    /// Into a tunnel, or to a router on a link: the next hop's number and entry.
    Send(Carried, u32, &'tables NextHop),
    /// To a host behind this node.
    Forward(Carried, Neighbour),
    /// Nowhere.
    Drop(Reason),
}

/// Decides on a frame that arrived on a network interface.
#[inline(always)]
pub fn receive<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
) -> Decision<'tables> {
    let Some(link) = parse::link(packet) else {
        return Decision::Pass(Reason::Ordinary);
    };
    // only our own program, after this point, makes frames with that address
    if link.destination == tables.settings().device_address {
        return Decision::Drop(Reason::ForgedFrame);
    }
    let Some(outer) = parse::outer(packet, &link) else {
        return Decision::Pass(Reason::Ordinary);
    };
    match tunnel_header(packet, tables, &outer) {
        Ok(header) => from_tunnel(packet, tables, arrival, &link, &outer, &header),
        Err(Reason::Ordinary) => from_plain(packet, tables, arrival, &link, &outer),
        Err(reason) if reason.fate() == Fate::Dropped => refuse(tables, &outer, reason),
        Err(reason) => Decision::Pass(reason),
    }
}

/// What stands between the outer IP header and the inner packet.
struct TunnelHeader {
    gre: Gre,
    /// Bytes in front of the inner packet, from the start of the frame.
    front: usize,
    /// The length that UDP states; the one IP states where there is no UDP.
    stated_length: usize,
}

/// The header of a tunnel packet. Anything else is [`Reason::Ordinary`] if it does not concern us, or has the reason why
/// the fast path leaves it alone.
#[inline(always)]
fn tunnel_header<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    outer: &Outer,
) -> Result<TunnelHeader, Reason> {
    let settings = tables.settings();
    if let Some(reason) = outer.special {
        return Err(special(packet, outer, settings, reason));
    }
    match outer.protocol {
        protocol::UDP => match packet.read::<GreInUdp>(outer.payload) {
            Some(header) if outer.payload_length >= size_of::<GreInUdp>() => {
                if u16::from_be_bytes(header.udp.destination) != settings.port {
                    return Err(Reason::Ordinary);
                }
                if !matches!(header.gre.flags, Gre::KEY | Gre::PLAIN) {
                    return Err(Reason::Control);
                }
                Ok(TunnelHeader {
                    gre: header.gre,
                    front: outer.payload + size_of::<GreInUdp>(),
                    stated_length: u16::from_be_bytes(header.udp.length) as usize,
                })
            }
            _ => Err(short_datagram(packet, outer, settings.port)),
        },
        protocol::GRE if settings.has(settings::GRE) => {
            if flags(packet, outer, outer.payload) != Some(Gre::KEY) {
                return Err(Reason::Ordinary);
            }
            match packet.read::<Gre>(outer.payload) {
                Some(gre) if outer.payload_length >= size_of::<Gre>() => Ok(TunnelHeader {
                    gre,
                    front: outer.payload + size_of::<Gre>(),
                    stated_length: outer.payload_length,
                }),
                _ => Err(Reason::Truncated),
            }
        }
        _ => Err(Reason::Ordinary),
    }
}

/// What a packet is that has fragments, options or extension headers: a tunnel's is refused, since the kernel, who would
/// heed them, has no use for it afterwards. Fragments but the first do not tell; without that one the kernel discards them.
#[inline(always)]
fn special<P: Packet>(packet: &P, outer: &Outer, settings: &Settings, reason: Reason) -> Reason {
    let Some((protocol, at)) = parse::behind_special(packet, outer) else {
        return Reason::Ordinary;
    };
    let gre = match protocol {
        protocol::GRE if settings.has(settings::GRE) => at,
        protocol::UDP => match packet.read::<Udp>(at) {
            Some(udp) if u16::from_be_bytes(udp.destination) == settings.port => {
                at + size_of::<Udp>()
            }
            _ => return Reason::Ordinary,
        },
        _ => return Reason::Ordinary,
    };
    let Some(flags) = packet.read::<[u8; 2]>(gre) else {
        return Reason::Ordinary;
    };
    match flags {
        Gre::KEY => reason,
        Gre::PLAIN if protocol == protocol::UDP => reason,
        _ => Reason::Ordinary,
    }
}

/// What a UDP packet is that has no room for GRE with a key.
#[inline(always)]
fn short_datagram<P: Packet>(packet: &P, outer: &Outer, port: u16) -> Reason {
    let Some(udp) = packet.read::<Udp>(outer.payload) else {
        return Reason::Ordinary;
    };
    if u16::from_be_bytes(udp.destination) != port || outer.payload_length < size_of::<Udp>() {
        return Reason::Ordinary;
    }
    match flags(packet, outer, outer.payload + size_of::<Udp>()) {
        Some(Gre::KEY | Gre::PLAIN) => Reason::Truncated,
        _ => Reason::Control,
    }
}

/// The first two bytes of a GRE header, not of the padding behind a short packet.
#[inline(always)]
fn flags<P: Packet>(packet: &P, outer: &Outer, offset: usize) -> Option<[u8; 2]> {
    let inside = outer.payload_length >= offset - outer.payload + 2;
    packet.read(offset).filter(|_| inside)
}

/// Drops a tunnel packet, but not one between two other nodes on whose path this host is a router.
#[inline(always)]
fn refuse<'tables, T: Tables>(
    tables: &'tables T,
    outer: &Outer,
    reason: Reason,
) -> Decision<'tables> {
    if tables.is_underlay(outer.destination) {
        Decision::Drop(reason)
    } else {
        Decision::Pass(Reason::Ordinary)
    }
}

/// A packet that looks like one of a tunnel.
#[inline(always)]
fn from_tunnel<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
    link: &Link,
    outer: &Outer,
    header: &TunnelHeader,
) -> Decision<'tables> {
    let tunnel = match tunnel(tables, arrival, link, outer, &header.gre) {
        Ok(tunnel) => tunnel,
        Err(reason) => return refuse(tables, outer, reason),
    };
    match carried(packet, outer, header, tunnel.next_hop) {
        Ok(carried) => match route_from_tunnel(tables, arrival, carried) {
            Decision::Send(carried, ..) | Decision::Forward(carried, _)
                if may_be_merged(tables, tunnel) =>
            {
                Decision::Deliver(carried, Reason::Merged)
            }
            decision => decision,
        },
        Err(reason) if reason.fate() == Fate::Untouched => Decision::Pass(reason),
        Err(reason) => Decision::Drop(reason),
    }
}

/// Whether a tunnel's packets may be several that the kernel merged. It does so inside GRE, not inside UDP.
#[inline(always)]
fn may_be_merged<T: Tables>(tables: &T, tunnel: &Tunnel) -> bool {
    matches!(
        tunnel.encapsulation,
        encapsulation::GRE_IPV4 | encapsulation::GRE_IPV6
    ) && tables
        .interface(tunnel.interface)
        .is_some_and(|interface| interface.flags & interface::MERGED != 0)
}

/// The tunnel a packet belongs to: by its key, and then everything else must fit.
#[inline(always)]
fn tunnel<'tables, T: Tables>(
    tables: &'tables T,
    arrival: u32,
    link: &Link,
    outer: &Outer,
    gre: &Gre,
) -> Result<&'tables Tunnel, Reason> {
    let key = u32::from_be_bytes(gre.key);
    let tunnel = tables
        .tunnel(key & tables.settings().tunnel_mask)
        .filter(|_| gre.flags == Gre::KEY)
        .ok_or(Reason::UnknownKey)?;
    if tunnel.next_hop == next_hop_id::NONE
        || tunnel.key != key
        || tunnel.encapsulation != encapsulation_of(outer)
    {
        return Err(Reason::UnknownKey);
    }
    if Address::from_ipv6(tunnel.remote) != outer.source
        || Address::from_ipv6(tunnel.local) != outer.destination
    {
        return Err(Reason::WrongPeer);
    }
    if tunnel.interface != arrival || tunnel.vlan != link.vlan {
        return Err(Reason::WrongInterface);
    }
    Ok(tunnel)
}

#[inline(always)]
fn encapsulation_of(outer: &Outer) -> u16 {
    match (outer.protocol, outer.family) {
        (protocol::UDP, Family::Ipv4) => encapsulation::FOU_IPV4,
        (protocol::UDP, Family::Ipv6) => encapsulation::FOU_IPV6,
        (_, Family::Ipv4) => encapsulation::GRE_IPV4,
        (_, Family::Ipv6) => encapsulation::GRE_IPV6,
    }
}

/// The packet inside of a tunnel's packet.
#[inline(always)]
fn carried<P: Packet>(
    packet: &P,
    outer: &Outer,
    header: &TunnelHeader,
    tunnel: u32,
) -> Result<Carried, Reason> {
    let end = outer.payload + outer.payload_length;
    if header.stated_length != outer.payload_length || end > packet.length() {
        return Err(Reason::BadLength);
    }
    let family = match u16::from_be_bytes(header.gre.protocol) {
        ethertype::IPV4 => Family::Ipv4,
        ethertype::IPV6 => Family::Ipv6,
        _ => return Err(Reason::UnknownProtocol),
    };
    let front = header.front;
    let inner = parse::inner(packet, family, front, end - front, Fit::Exact)?;
    if !(inner.source.is_global_ipv6() && inner.destination.is_global_ipv6()) {
        check_addresses(&inner)?;
    }
    Ok(Carried {
        front,
        inner,
        traffic_class: ecn::decapsulate(outer.ecn, inner.traffic_class)?,
        tunnel,
    })
}

/// What addresses a packet in a tunnel may have.
#[inline(always)]
fn check_addresses(inner: &Inner) -> Result<(), Reason> {
    let family = inner.family;
    if inner.source.is_multicast(family)
        || inner.source.is_forbidden(family)
        || inner.destination.is_forbidden(family)
    {
        return Err(Reason::ForbiddenAddress);
    }
    if inner.source.is_link_scoped(family) || inner.destination.is_link_scoped(family) {
        return Err(Reason::Control);
    }
    Ok(())
}

/// Where a packet out of a tunnel goes.
#[inline(always)]
fn route_from_tunnel<T: Tables>(tables: &T, arrival: u32, carried: Carried) -> Decision<'_> {
    let inner = &carried.inner;
    // a source that is this node itself, or behind it, cannot come from elsewhere
    match tables.route(inner.family, inner.source, inner.source) {
        next_hop_id::LOCAL | next_hop_id::SITE => return Decision::Drop(Reason::SpoofedSource),
        _ => {}
    }
    match tables.route(inner.family, inner.destination, inner.source) {
        next_hop_id::NONE => Decision::Deliver(carried, Reason::NoRoute),
        next_hop_id::LOCAL => Decision::Deliver(carried, Reason::Local),
        next_hop_id::SITE => match check(inner, u32::MAX) {
            Err(reason) => Decision::Deliver(carried, reason),
            Ok(()) => to_site(tables, arrival, carried),
        },
        id if id == carried.tunnel => Decision::Drop(Reason::RoutingLoop),
        _ if !tables.settings().has(settings::FORWARD) => {
            Decision::Drop(Reason::ForwardingDisabled)
        }
        id => match by_next_hop(tables, arrival, id, carried) {
            Err(reason) => Decision::Deliver(carried, reason),
            Ok(decision) => decision,
        },
    }
}

/// To a host behind this node: the kernel knows where it is.
#[inline(always)]
fn to_site<T: Tables>(tables: &T, arrival: u32, carried: Carried) -> Decision<'_> {
    match tables.kernel_route(arrival, &carried.inner) {
        // only to interfaces we were given; the operator's firewall may have a say about the others
        Some(neighbour) if tables.interface(neighbour.interface).is_some() => {
            Decision::Forward(carried, neighbour)
        }
        _ => Decision::Deliver(carried, Reason::Site),
    }
}

/// Into a tunnel, or to a router on the same link.
#[inline(always)]
fn by_next_hop<T: Tables>(
    tables: &T,
    arrival: u32,
    id: u32,
    carried: Carried,
) -> Result<Decision<'_>, Reason> {
    let next_hop = tables
        .next_hop(id)
        .filter(|next_hop| next_hop.kind != kind::FREE)
        .ok_or(Reason::NoRoute)?;
    check(&carried.inner, next_hop.mtu)?;
    if next_hop.kind == kind::NEIGHBOUR {
        if next_hop.ethernet_length as usize != size_of::<Ethernet>() {
            return Err(Reason::UnresolvedNeighbour);
        }
        // back to the link it came from: the kernel also tells the sender of the better router (RFC 4861 section 8.2)
        if carried.tunnel == next_hop_id::NONE && next_hop.interface == arrival {
            return Err(Reason::Ordinary);
        }
    }
    Ok(Decision::Send(carried, id, next_hop))
}

/// What every router looks at before it forwards.
#[inline(always)]
fn check(inner: &Inner, mtu: u32) -> Result<(), Reason> {
    if inner.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    if inner.options {
        return Err(Reason::Options);
    }
    if inner.length as u32 > mtu {
        return Err(Reason::TooBig);
    }
    Ok(())
}

/// A frame that is not of a tunnel: from a host behind this node or from a gateway's uplink into the mesh, or nothing
/// to do with it.
#[inline(always)]
fn from_plain<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
    link: &Link,
    outer: &Outer,
) -> Decision<'tables> {
    let family = outer.family;
    let route = tables.route(family, outer.destination, outer.source);
    if route < next_hop_id::FIRST_TUNNEL
        || outer.destination.is_link_scoped(family)
        || outer.source.is_link_scoped(family)
    {
        return Decision::Pass(Reason::Ordinary);
    }
    match plain_into_mesh(packet, tables, arrival, link, outer, route) {
        Ok(decision) => decision,
        Err(reason) if reason.fate() == Fate::Dropped => Decision::Drop(reason),
        Err(reason) => Decision::Pass(reason),
    }
}

#[inline(always)]
fn plain_into_mesh<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
    link: &Link,
    outer: &Outer,
    route: u32,
) -> Result<Decision<'tables>, Reason> {
    let arrival_interface = tables.interface(arrival).ok_or(Reason::Ordinary)?;
    // a tagged frame arrives on another interface of the kernel's, which has rules of its own
    if link.destination != arrival_interface.address
        || link.length != size_of::<Ethernet>()
        || arrival_interface.flags & (interface::HIDDEN_TAGS | interface::MERGED) != 0
    {
        return Err(Reason::Ordinary);
    }
    let into_networks = tables.in_networks(outer.destination);
    let gateway = arrival_interface.flags & interface::GATEWAY != 0;
    let mesh = arrival_interface.flags & interface::MESH != 0;
    match tables.route(outer.family, outer.source, outer.source) {
        next_hop_id::SITE => {}
        next_hop_id::LOCAL => return Err(Reason::SpoofedSource),
        _ if mesh => {}
        _ if gateway && tables.in_networks(outer.source) => return Err(Reason::SpoofedSource),
        _ if gateway => {}
        _ if into_networks => return Err(Reason::ForeignSource),
        // by a default route into the mesh, perhaps: the kernel decides, and `send` checks the source
        _ => return Err(Reason::Ordinary),
    }
    let available = packet.length() - link.length;
    let inner = parse::inner(packet, outer.family, link.length, available, Fit::Padded)?;
    if inner.source.is_forbidden(inner.family) || inner.destination.is_forbidden(inner.family) {
        return Err(Reason::ForbiddenAddress);
    }
    // a foreign destination may be an address of this host: the kernel knows
    if !into_networks && !kernel_agrees(tables, arrival, &inner, route) {
        return Err(Reason::Ordinary);
    }
    let carried = Carried {
        front: link.length,
        inner,
        traffic_class: inner.traffic_class,
        tunnel: next_hop_id::NONE,
    };
    by_next_hop(tables, arrival, route, carried)
}

/// Whether the kernel too routes a packet to the mesh: to the mesh device, or to the same link.
#[inline(always)]
fn kernel_agrees<T: Tables>(tables: &T, arrival: u32, inner: &Inner, route: u32) -> bool {
    let interface = match tables.next_hop(route) {
        Some(next_hop) if next_hop.kind == kind::NEIGHBOUR => next_hop.interface,
        _ => tables.settings().device,
    };
    tables
        .kernel_route(arrival, inner)
        .is_some_and(|neighbour| neighbour.interface == interface)
}

/// Decides on a packet the host sent, or its kernel forwarded, to the mesh device. `segment_size` is how many bytes of
/// payload each of the packets will have that the kernel cuts it into; 0 for one that stays whole.
#[inline(always)]
pub fn send<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    segment_size: u32,
) -> Result<Decision<'tables>, Reason> {
    let ethernet: Ethernet = packet.read(0).ok_or(Reason::Truncated)?;
    let family = match u16::from_be_bytes(ethernet.ethertype) {
        ethertype::IPV4 => Family::Ipv4,
        ethertype::IPV6 => Family::Ipv6,
        _ => return Err(Reason::SendLinkScoped),
    };
    let front = size_of::<Ethernet>();
    let available = packet.length() - front;
    let inner = parse::inner(packet, family, front, available, Fit::Padded)?;
    if inner.destination.is_link_scoped(family) || inner.source.is_link_scoped(family) {
        return Err(Reason::SendLinkScoped);
    }
    let id = tables.route(family, inner.destination, inner.source);
    match id {
        next_hop_id::NONE => return Err(Reason::SendNoRoute),
        next_hop_id::LOCAL | next_hop_id::SITE => return Err(Reason::RoutingLoop),
        _ => {}
    }
    let next_hop = tables
        .next_hop(id)
        .filter(|next_hop| next_hop.kind == kind::TUNNEL)
        .ok_or(Reason::SendNoRoute)?;
    if longest_segment(packet, front, &inner, segment_size) > next_hop.mtu {
        return Err(Reason::SendTooBig);
    }
    let carried = Carried {
        front,
        inner,
        traffic_class: inner.traffic_class,
        tunnel: next_hop_id::NONE,
    };
    Ok(Decision::Send(carried, id, next_hop))
}

/// Bytes of the longest packet that the kernel will make of one, from the IP header on.
#[inline(always)]
fn longest_segment<P: Packet>(packet: &P, front: usize, inner: &Inner, segment_size: u32) -> u32 {
    if segment_size == 0 {
        return inner.length as u32;
    }
    let (network, protocol) = match inner.family {
        Family::Ipv4 => match packet.read::<Ipv4>(front) {
            Some(ip) => ((ip.version_length & 0x0f) as usize * 4, ip.protocol),
            None => (size_of::<Ipv4>(), 0),
        },
        Family::Ipv6 => match packet.read::<Ipv6>(front) {
            Some(ip) => (size_of::<Ipv6>(), ip.next_header),
            None => (size_of::<Ipv6>(), 0),
        },
    };
    let transport = match protocol {
        protocol::TCP => match packet.read::<[u8; 1]>(front + network + TCP_DATA_OFFSET) {
            Some([data_offset]) => (data_offset >> 4) as usize * 4,
            None => TCP_SMALLEST,
        },
        protocol::UDP => size_of::<Udp>(),
        _ => 0,
    };
    segment_size + (network + transport) as u32
}

/// Where a TCP header says, in the upper half of a byte, how many 32-bit words it has (RFC 9293 section 3.1).
const TCP_DATA_OFFSET: usize = 12;
/// Bytes of a TCP header without options.
const TCP_SMALLEST: usize = 20;

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
    let link = parse::link(packet).ok_or(Reason::Truncated)?;
    let Some(outer) = parse::outer(packet, &link) else {
        return Ok(());
    };
    if outer.source.is_link_scoped(outer.family) {
        return Ok(());
    }
    match tables.route(outer.family, outer.source, outer.source) {
        next_hop_id::SITE => Ok(()),
        // This node itself: the kernel translated the address of a host behind it. That it did cannot be seen, but from
        // outside it takes no IPv4 packet with an address of its own, unlike IPv6.
        next_hop_id::LOCAL if outer.family == Family::Ipv4 => Ok(()),
        next_hop_id::LOCAL if tables.settings().has(settings::IPV6_MASQUERADE) => Ok(()),
        next_hop_id::LOCAL => Err(Reason::SpoofedSource),
        _ if flags & interface::MESH != 0 => Ok(()),
        _ if from_gateway && tables.in_networks(outer.source) => Err(Reason::SpoofedSource),
        _ if from_gateway => Ok(()),
        _ => Err(Reason::ForeignSource),
    }
}
