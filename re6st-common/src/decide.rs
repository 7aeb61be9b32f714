//! What becomes of a packet. Reads only: nothing is rewritten before everything is checked.

use crate::{
    address::{Address, Family},
    ecn,
    maps::{NextHop, Tunnel, encapsulation, interface, kind, next_hop_id, settings},
    packet::Packet,
    parse::{self, Fit, FrameHeader, Inner, Outer, Payload, TunnelHeader},
    reason::Reason,
    tables::{Neighbour, Tables},
    wire::{Ethernet, Gre, Ipv4, Ipv6, Udp, ethertype, protocol},
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

impl Carried {
    /// A packet that came through no tunnel.
    #[inline(always)]
    const fn plain(front: usize, inner: Inner) -> Self {
        Self {
            front,
            inner,
            traffic_class: inner.traffic_class,
            tunnel: next_hop_id::NONE,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'tables> {
    /// Nothing is made of it: dropped, or to the kernel as it is, as the reason's fate says.
    Decline(Reason),
    /// Freed of its outer headers, it goes on.
    Carry(Carried, Way<'tables>),
}

/// Where a packet of the mesh goes.
#[derive(Clone, Copy, Debug)]
pub struct Way<'tables> {
    /// Into a tunnel, or to a router on a link: the next hop's number and entry. That there is one is told by its address
    /// alone: verifiers before Linux 6.8 lose numbers of 32 bits on the stack, but no addresses.
    pub next_hop: Option<(u32, &'tables NextHop)>,
    /// Where to, if to no next hop.
    pub otherwise: Otherwise,
}

/// Where a packet of the mesh goes that is for no next hop.
#[derive(Clone, Copy, Debug)]
pub enum Otherwise {
    /// To the kernel, through the mesh device.
    Kernel(Reason),
    /// To a host behind this node.
    Site(Neighbour),
}

impl<'tables> Way<'tables> {
    #[inline(always)]
    const fn kernel(reason: Reason) -> Self {
        Self {
            next_hop: None,
            otherwise: Otherwise::Kernel(reason),
        }
    }

    #[inline(always)]
    const fn site(neighbour: Neighbour) -> Self {
        Self {
            next_hop: None,
            otherwise: Otherwise::Site(neighbour),
        }
    }

    #[inline(always)]
    const fn next_hop(id: u32, next_hop: &'tables NextHop) -> Self {
        Self {
            next_hop: Some((id, next_hop)),
            otherwise: Otherwise::Kernel(Reason::NoRoute),
        }
    }
}

/// A step on the way to a decision, or why it ends there: with [`Decision::Decline`].
type Step<T> = Result<T, Reason>;

/// Decides on a frame that arrived on a network interface.
#[inline(always)]
pub fn receive<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
) -> Decision<'tables> {
    match received(packet, tables, arrival) {
        Ok((carried, way)) => Decision::Carry(carried, way),
        Err(reason) => Decision::Decline(reason),
    }
}

#[inline(always)]
fn received<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
) -> Step<(Carried, Way<'tables>)> {
    let link = parse::frame_header(packet).ok_or(Reason::Ordinary)?;
    // only our own program, after this point, makes frames with that address
    if link.destination == tables.settings().device_address {
        return Err(Reason::ForgedFrame);
    }
    // for each family alone, so that nobody asks again which it is
    let arrived = match link.ethertype {
        ethertype::IPV4 => {
            let outer = parse::outer_ipv4(packet, link.length).ok_or(Reason::Ordinary)?;
            arrived(packet, tables, arrival, &link, outer)?
        }
        ethertype::IPV6 => {
            let outer = parse::outer_ipv6(packet, link.length).ok_or(Reason::Ordinary)?;
            arrived(packet, tables, arrival, &link, outer)?
        }
        _ => return Err(Reason::Ordinary),
    };
    match arrived {
        Arrived::Encapsulated(encapsulated) => from_tunnel(packet, tables, arrival, &encapsulated),
        Arrived::Plain => from_plain(packet, tables, arrival),
    }
}

/// What arrived, looked at from outside.
enum Arrived<'tables> {
    /// A packet of the mesh in one of a tunnel's.
    Encapsulated(Encapsulated<'tables>),
    /// A packet that is no tunnel's.
    Plain,
}

/// A packet of the mesh in one of a tunnel's.
struct Encapsulated<'tables> {
    tunnel: &'tables Tunnel,
    /// The EtherType of the inner packet.
    protocol: u16,
    /// Bytes in front of the inner packet, from the start of the frame.
    front: usize,
    /// Bytes of the inner packet.
    length: usize,
    /// ECN field of the outer header.
    ecn: u8,
}

/// Tells tunnels' packets from others.
#[inline(always)]
fn arrived<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
    link: &FrameHeader,
    outer: Outer<'_>,
) -> Step<Arrived<'tables>> {
    // not a packet between two other nodes on whose path this host is a router
    let refuse = |reason| {
        Err(match tables.is_underlay(outer.ip.destination()) {
            true => reason,
            false => Reason::Ordinary,
        })
    };
    let header = match parse::payload(packet, &outer, tables.settings()) {
        Payload::Tunnel(header) => header,
        Payload::Refused(reason) => return refuse(reason),
        Payload::Control => return Err(Reason::Control),
        Payload::Other => return Ok(Arrived::Plain),
    };
    let tunnel = match tunnel(tables, arrival, link, &outer, &header) {
        Ok(tunnel) => tunnel,
        Err(reason) => return refuse(reason),
    };
    let end = outer.payload + outer.payload_length;
    if header.stated_length != outer.payload_length || end > packet.length() {
        return Err(Reason::BadLength);
    }
    Ok(Arrived::Encapsulated(Encapsulated {
        tunnel,
        protocol: u16::from_be_bytes(header.gre.protocol),
        front: header.front,
        length: end - header.front,
        ecn: outer.ip.ecn(),
    }))
}

/// The tunnel a packet belongs to: by its key, and then everything else must fit.
#[inline(always)]
fn tunnel<'tables, T: Tables>(
    tables: &'tables T,
    arrival: u32,
    link: &FrameHeader,
    outer: &Outer<'_>,
    header: &TunnelHeader<'_>,
) -> Result<&'tables Tunnel, Reason> {
    let key = u32::from_be_bytes(header.gre.key);
    let tunnel = tables
        .tunnel(key & tables.settings().tunnel_mask)
        .filter(|_| header.gre.flags == Gre::KEY)
        .ok_or(Reason::UnknownKey)?;
    if tunnel.next_hop == next_hop_id::NONE
        || tunnel.key != key
        || tunnel.encapsulation != header.encapsulation
    {
        return Err(Reason::UnknownKey);
    }
    if Address::from_ipv6(tunnel.remote) != outer.ip.source()
        || Address::from_ipv6(tunnel.local) != outer.ip.destination()
    {
        return Err(Reason::WrongPeer);
    }
    if tunnel.interface != arrival || tunnel.vlan != link.vlan {
        return Err(Reason::WrongInterface);
    }
    Ok(tunnel)
}

/// A packet of the mesh that came through a tunnel.
#[inline(always)]
fn from_tunnel<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    arrival: u32,
    encapsulated: &Encapsulated<'tables>,
) -> Step<(Carried, Way<'tables>)> {
    let family = Family::of(encapsulated.protocol).ok_or(Reason::UnknownProtocol)?;
    let (front, length) = (encapsulated.front, encapsulated.length);
    let inner = parse::inner(packet, family, front, length, Fit::Exact)?;
    let (source, destination) = (inner.source, inner.destination);
    if !(source.is_global_ipv6() && destination.is_global_ipv6()) {
        if source.is_multicast(family)
            || source.is_forbidden(family)
            || destination.is_forbidden(family)
        {
            return Err(Reason::ForbiddenAddress);
        }
        if source.is_link_scoped(family) || destination.is_link_scoped(family) {
            return Err(Reason::Control);
        }
    }
    let traffic_class =
        ecn::decapsulate(encapsulated.ecn, inner.traffic_class).ok_or(Reason::IllegalEcn)?;
    let carried = Carried {
        front,
        inner,
        traffic_class,
        tunnel: encapsulated.tunnel.next_hop,
    };
    let mut way = way(tables, arrival, &carried)?;
    let goes_on = way.next_hop.is_some() || matches!(way.otherwise, Otherwise::Site(_));
    if goes_on && may_be_merged(tables, encapsulated.tunnel) {
        way = Way::kernel(Reason::Merged);
    }
    Ok((carried, way))
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

/// Where a packet out of a tunnel goes.
#[inline(always)]
fn way<'tables, T: Tables>(
    tables: &'tables T,
    arrival: u32,
    carried: &Carried,
) -> Step<Way<'tables>> {
    let inner = &carried.inner;
    // a source that is this node itself, or behind it, cannot come from elsewhere
    match tables.route(inner.family, inner.source, inner.source) {
        next_hop_id::LOCAL | next_hop_id::SITE => return Err(Reason::SpoofedSource),
        _ => {}
    }
    let way = match tables.route(inner.family, inner.destination, inner.source) {
        next_hop_id::NONE => Err(Reason::NoRoute),
        next_hop_id::LOCAL => Err(Reason::Local),
        next_hop_id::SITE => site(tables, arrival, inner).map(Way::site),
        id if id == carried.tunnel => return Err(Reason::RoutingLoop),
        _ if !tables.settings().has(settings::FORWARD) => return Err(Reason::ForwardingDisabled),
        id => next_hop(tables, id, inner).map(|next_hop| Way::next_hop(id, next_hop)),
    };
    Ok(way.unwrap_or_else(Way::kernel))
}

/// A host behind this node, if the kernel knows where it is.
#[inline(always)]
fn site<T: Tables>(tables: &T, arrival: u32, inner: &Inner) -> Step<Neighbour> {
    check(inner, u32::MAX)?;
    tables
        .kernel_route(arrival, inner)
        // only to interfaces we were given; the operator's firewall may have a say about the others
        .filter(|neighbour| tables.interface(neighbour.interface).is_some())
        .ok_or(Reason::Site)
}

/// A tunnel, or a router on a link, if a packet can go there at once.
#[inline(always)]
fn next_hop<'tables, T: Tables>(
    tables: &'tables T,
    id: u32,
    inner: &Inner,
) -> Step<&'tables NextHop> {
    let next_hop = tables
        .next_hop(id)
        .filter(|next_hop| next_hop.kind != kind::FREE)
        .ok_or(Reason::NoRoute)?;
    check(inner, next_hop.mtu)?;
    if next_hop.kind == kind::NEIGHBOUR
        && next_hop.ethernet_length as usize != size_of::<Ethernet>()
    {
        return Err(Reason::UnresolvedNeighbour);
    }
    Ok(next_hop)
}

/// What every router looks at before it forwards.
#[inline(always)]
fn check(inner: &Inner, mtu: u32) -> Step<()> {
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
) -> Step<(Carried, Way<'tables>)> {
    // once more, which few packets need, so that nothing has to be remembered for those of tunnels
    let link = parse::frame_header(packet).ok_or(Reason::Ordinary)?;
    let outer = parse::outer(packet, &link).ok_or(Reason::Ordinary)?;
    let (family, source) = (outer.ip.family(), outer.ip.source());
    let destination = outer.ip.destination();
    let route = tables.route(family, destination, source);
    if route < next_hop_id::FIRST_TUNNEL
        || destination.is_link_scoped(family)
        || source.is_link_scoped(family)
    {
        return Err(Reason::Ordinary);
    }
    let interface = tables.interface(arrival).ok_or(Reason::Ordinary)?;
    // a tagged frame arrives on another interface of the kernel's, which has rules of its own
    if link.destination != interface.address
        || link.length != size_of::<Ethernet>()
        || interface.flags & (interface::HIDDEN_TAGS | interface::MERGED) != 0
    {
        return Err(Reason::Ordinary);
    }
    let into_networks = tables.in_networks(destination);
    let gateway = interface.flags & interface::GATEWAY != 0;
    let mesh = interface.flags & interface::MESH != 0;
    match tables.route(family, source, source) {
        next_hop_id::SITE => {}
        next_hop_id::LOCAL => return Err(Reason::SpoofedSource),
        _ if mesh => {}
        _ if gateway && tables.in_networks(source) => return Err(Reason::SpoofedSource),
        _ if gateway => {}
        _ if into_networks => return Err(Reason::ForeignSource),
        // by a default route into the mesh, perhaps: the kernel decides, and `send` checks the source
        _ => return Err(Reason::Ordinary),
    }
    let available = packet.length() - link.length;
    let inner = parse::inner(packet, family, link.length, available, Fit::Padded)?;
    if source.is_forbidden(family) || destination.is_forbidden(family) {
        return Err(Reason::ForbiddenAddress);
    }
    // a foreign destination may be an address of this host: the kernel knows
    if !into_networks && !kernel_agrees(tables, arrival, &inner, route) {
        return Err(Reason::Ordinary);
    }
    let next_hop = next_hop(tables, route, &inner)?;
    // back to the link it came from: the kernel also tells the sender of the better router (RFC 4861 section 8.2)
    if next_hop.kind == kind::NEIGHBOUR && next_hop.interface == arrival {
        return Err(Reason::Ordinary);
    }
    let carried = Carried::plain(link.length, inner);
    Ok((carried, Way::next_hop(route, next_hop)))
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

/// Decides on a packet the host sent, or its kernel forwarded, to the mesh device: the next hop's number and entry.
/// `segment_size` is how many bytes of payload each of the packets will have that the kernel cuts it into; 0 for one that stays
/// whole.
///
/// # Errors
/// Why it is dropped.
#[inline(always)]
pub fn send<'tables, P: Packet, T: Tables>(
    packet: &P,
    tables: &'tables T,
    segment_size: u32,
) -> Result<(Carried, u32, &'tables NextHop), Reason> {
    let ethernet: &Ethernet = packet.header(0).ok_or(Reason::Truncated)?;
    let ethertype = u16::from_be_bytes(ethernet.ethertype);
    let family = Family::of(ethertype).ok_or(Reason::SendLinkScoped)?;
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
    Ok((Carried::plain(front, inner), id, next_hop))
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
