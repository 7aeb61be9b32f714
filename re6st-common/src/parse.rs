//! From bytes to a description of the packet. Reads only; believes nothing that is not checked.

use crate::{
    address::{Address, Family},
    ecn,
    maps::{Settings, encapsulation, settings},
    packet::Packet,
    reason::Reason,
    wire::{
        EncapsulationLimit, Ethernet, Gre, GreInUdp, Ipv4, Ipv6, Udp, Vlan, ethertype, protocol,
    },
};

/// The front of a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader {
    /// Where the frame is going.
    pub destination: [u8; 6],
    /// What it carries, behind the VLAN tag if there is one.
    pub ethertype: u16,
    /// VLAN identifier; 0 without a tag.
    pub vlan: u16,
    /// Bytes in front of the IP header: 14, or 18 with a tag.
    pub length: usize,
}

/// Reads the Ethernet header and at most one VLAN tag; `None` for frames too short for the former. A frame that ends
/// within its tag carries nothing but a tag.
#[inline(always)]
pub fn frame_header<P: Packet>(packet: &P) -> Option<FrameHeader> {
    let ethernet: &Ethernet = packet.header(0)?;
    let untagged = FrameHeader {
        destination: ethernet.destination,
        ethertype: u16::from_be_bytes(ethernet.ethertype),
        vlan: 0,
        length: size_of::<Ethernet>(),
    };
    if untagged.ethertype != ethertype::VLAN {
        return Some(untagged);
    }
    let Some(tag) = packet.header::<Vlan>(size_of::<Ethernet>()) else {
        return Some(untagged);
    };
    Some(FrameHeader {
        ethertype: u16::from_be_bytes(tag.ethertype),
        vlan: u16::from_be_bytes(tag.control) & Vlan::IDENTIFIER,
        length: size_of::<Ethernet>() + size_of::<Vlan>(),
        ..untagged
    })
}

/// An IP header where it lies in a frame.
#[derive(Clone, Copy, Debug)]
pub enum Ip<'frame> {
    /// RFC 791.
    V4(&'frame Ipv4),
    /// RFC 8200.
    V6(&'frame Ipv6),
}

impl Ip<'_> {
    /// IPv4 or IPv6.
    #[inline(always)]
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4,
            Self::V6(_) => Family::Ipv6,
        }
    }

    /// Source address.
    #[inline(always)]
    pub const fn source(self) -> Address {
        match self {
            Self::V4(ip) => Address::from_ipv4(ip.source),
            Self::V6(ip) => Address::from_ipv6(ip.source),
        }
    }

    /// Destination address.
    #[inline(always)]
    pub const fn destination(self) -> Address {
        match self {
            Self::V4(ip) => Address::from_ipv4(ip.destination),
            Self::V6(ip) => Address::from_ipv6(ip.destination),
        }
    }

    /// ECN field, 2 bits.
    #[inline(always)]
    pub const fn ecn(self) -> u8 {
        ecn::MASK
            & match self {
                Self::V4(ip) => ip.traffic_class,
                Self::V6(ip) => ip.version_class_label[1] >> 4,
            }
    }
}

/// An IP header that may be a tunnel's outer one.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'frame> {
    /// The header.
    pub ip: Ip<'frame>,
    /// What follows the header.
    pub protocol: u8,
    /// Where what follows begins, from the start of the frame.
    pub payload: usize,
    /// How long it says it is.
    pub payload_length: usize,
    /// Why the fast path must leave the packet alone, if it must.
    pub special: Option<Reason>,
}

/// Reads an outer IP header; `None` where it is none, which is then somebody else's business.
#[inline(always)]
pub fn outer<'frame, P: Packet>(packet: &'frame P, link: &FrameHeader) -> Option<Outer<'frame>> {
    match link.ethertype {
        ethertype::IPV4 => outer_ipv4(packet, link.length),
        ethertype::IPV6 => outer_ipv6(packet, link.length),
        _ => None,
    }
}

/// [`outer`] for IPv4.
#[inline(always)]
pub fn outer_ipv4<P: Packet>(packet: &P, offset: usize) -> Option<Outer<'_>> {
    let ip: &Ipv4 = packet.header(offset)?;
    if ip.version_length >> 4 != 4 {
        return None;
    }
    let total_length = u16::from_be_bytes(ip.total_length) as usize;
    Some(Outer {
        ip: Ip::V4(ip),
        protocol: ip.protocol,
        payload: offset + size_of::<Ipv4>(),
        payload_length: total_length.checked_sub(size_of::<Ipv4>())?,
        special: if ip.version_length != 0x45 {
            Some(Reason::OuterOptions)
        } else if u16::from_be_bytes(ip.fragment) & Ipv4::FRAGMENT != 0 {
            Some(Reason::OuterFragment)
        } else {
            None
        },
    })
}

/// [`outer`] for IPv6.
#[inline(always)]
pub fn outer_ipv6<P: Packet>(packet: &P, offset: usize) -> Option<Outer<'_>> {
    let ip: &Ipv6 = packet.header(offset)?;
    if ip.version_class_label[0] >> 4 != 6 {
        return None;
    }
    let payload = offset + size_of::<Ipv6>();
    let payload_length = u16::from_be_bytes(ip.payload_length) as usize;
    let limit = match ip.next_header {
        protocol::DESTINATION_OPTIONS => encapsulation_limit(packet, payload),
        _ => None,
    };
    let (protocol, skipped) = match limit {
        Some(next_header) => (next_header, size_of::<EncapsulationLimit>()),
        None => (ip.next_header, 0),
    };
    Some(Outer {
        ip: Ip::V6(ip),
        protocol,
        payload: payload + skipped,
        payload_length: payload_length.checked_sub(skipped)?,
        special: match protocol {
            protocol::FRAGMENT => Some(Reason::OuterFragment),
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                Some(Reason::OuterOptions)
            }
            _ => None,
        },
    })
}

/// What follows the destination options that Linux's ip6gre devices put in front of GRE or UDP unless told otherwise: the
/// tunnel encapsulation limit alone (RFC 2473 section 4.1.1). `None` for any other options.
#[inline(always)]
fn encapsulation_limit<P: Packet>(packet: &P, offset: usize) -> Option<u8> {
    let options: &EncapsulationLimit = packet.header(offset)?;
    let alone = options.length == 0
        && options.option == EncapsulationLimit::OPTION
        && options.option_length == 1;
    alone.then_some(options.next_header)
}

/// What an IP packet carries, as far as tunnels go.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'frame> {
    /// A packet of the mesh.
    Tunnel(TunnelHeader<'frame>),
    /// What was one, or pretends to be, in a shape in which no tunnel's packet is taken.
    Refused(Reason),
    /// Something else to the tunnels' port, for the controller.
    Control,
    /// Nothing of a tunnel's.
    Other,
}

/// What stands between the outer IP header and a packet of the mesh.
#[derive(Clone, Copy, Debug)]
pub struct TunnelHeader<'frame> {
    /// One of [`encapsulation`].
    pub encapsulation: u16,
    /// GRE, with a key or without.
    pub gre: &'frame Gre,
    /// Bytes in front of the inner packet, from the start of the frame.
    pub front: usize,
    /// The length of the outer header's payload that UDP states; the one IP states where there is no UDP.
    pub stated_length: usize,
}

/// Reads what follows an outer IP header.
#[inline(always)]
pub fn payload<'frame, P: Packet>(
    packet: &'frame P,
    outer: &Outer<'_>,
    settings: &Settings,
) -> Payload<'frame> {
    if let Some(reason) = outer.special {
        return match is_special_tunnel(packet, outer, settings) {
            Some(true) => Payload::Refused(reason),
            _ => Payload::Other,
        };
    }
    match outer.protocol {
        protocol::UDP => match packet.header::<GreInUdp>(outer.payload) {
            Some(header) if outer.payload_length >= size_of::<GreInUdp>() => {
                if header.udp.destination != settings.port.to_be_bytes() {
                    return Payload::Other;
                }
                if !matches!(header.gre.flags, Gre::KEY | Gre::PLAIN) {
                    return Payload::Control;
                }
                Payload::Tunnel(TunnelHeader {
                    encapsulation: match outer.ip {
                        Ip::V4(_) => encapsulation::FOU_IPV4,
                        Ip::V6(_) => encapsulation::FOU_IPV6,
                    },
                    gre: &header.gre,
                    front: outer.payload + size_of::<GreInUdp>(),
                    stated_length: u16::from_be_bytes(header.udp.length) as usize,
                })
            }
            _ => short_datagram(packet, outer, settings),
        },
        protocol::GRE if settings.has(settings::GRE) => {
            if gre_flags(packet, outer, outer.payload) != Some(Gre::KEY) {
                return Payload::Other;
            }
            match packet.header::<Gre>(outer.payload) {
                Some(gre) if outer.payload_length >= size_of::<Gre>() => {
                    Payload::Tunnel(TunnelHeader {
                        encapsulation: match outer.ip {
                            Ip::V4(_) => encapsulation::GRE_IPV4,
                            Ip::V6(_) => encapsulation::GRE_IPV6,
                        },
                        gre,
                        front: outer.payload + size_of::<Gre>(),
                        stated_length: outer.payload_length,
                    })
                }
                _ => Payload::Refused(Reason::Truncated),
            }
        }
        _ => Payload::Other,
    }
}

/// Whether a packet with fragments, options or extension headers is a tunnel's: such is refused, since the kernel, who would
/// heed them, has no use for it afterwards. Fragments but the first do not tell; without that one the kernel discards them.
#[inline(always)]
fn is_special_tunnel<P: Packet>(
    packet: &P,
    outer: &Outer<'_>,
    settings: &Settings,
) -> Option<bool> {
    let (protocol, at) = behind_special(packet, outer)?;
    let gre = match protocol {
        protocol::GRE if settings.has(settings::GRE) => at,
        protocol::UDP => {
            let udp: &Udp = packet.header(at)?;
            (udp.destination == settings.port.to_be_bytes()).then_some(at + size_of::<Udp>())?
        }
        _ => return None,
    };
    Some(match packet.read::<[u8; 2]>(gre)? {
        Gre::KEY => true,
        Gre::PLAIN => protocol == protocol::UDP,
        _ => false,
    })
}

/// Protocol and offset of what follows the options, the extension header or the fragment header of a packet that has such.
/// `None` where it is not there (all fragments but the first), or where more of them follow.
#[inline(always)]
fn behind_special<P: Packet>(packet: &P, outer: &Outer<'_>) -> Option<(u8, usize)> {
    match outer.ip {
        Ip::V4(ip) => {
            let start = outer.payload - size_of::<Ipv4>();
            let header_length = (ip.version_length & 0x0f) as usize * 4;
            let first = u16::from_be_bytes(ip.fragment) & Ipv4::OFFSET == 0;
            (first && header_length >= size_of::<Ipv4>())
                .then_some((ip.protocol, start + header_length))
        }
        Ip::V6(_) => {
            let [next_header, length, high, low]: [u8; 4] = packet.read(outer.payload)?;
            let fragment = outer.protocol == protocol::FRAGMENT;
            // in units of eight bytes; the fragment header has none, and the offset in the upper 13 bits
            let units = if fragment { 0 } else { length as usize };
            let first = !fragment || u16::from_be_bytes([high, low]) >> 3 == 0;
            first.then_some((next_header, outer.payload + 8 * (units + 1)))
        }
    }
}

/// What a UDP packet is that has no room for GRE with a key.
#[inline(always)]
fn short_datagram<'frame, P: Packet>(
    packet: &'frame P,
    outer: &Outer<'_>,
    settings: &Settings,
) -> Payload<'frame> {
    let to_tunnels = packet.header::<Udp>(outer.payload).is_some_and(|udp| {
        udp.destination == settings.port.to_be_bytes() && outer.payload_length >= size_of::<Udp>()
    });
    if !to_tunnels {
        return Payload::Other;
    }
    match gre_flags(packet, outer, outer.payload + size_of::<Udp>()) {
        Some(Gre::KEY | Gre::PLAIN) => Payload::Refused(Reason::Truncated),
        _ => Payload::Control,
    }
}

/// The first two bytes of a GRE header, not of the padding behind a short packet.
#[inline(always)]
fn gre_flags<P: Packet>(packet: &P, outer: &Outer<'_>, offset: usize) -> Option<[u8; 2]> {
    let inside = outer.payload_length >= offset - outer.payload + 2;
    packet.read(offset).filter(|_| inside)
}

/// A packet of the mesh: what a tunnel carries.
#[derive(Clone, Copy, Debug)]
pub struct Inner {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Header and payload, in bytes.
    pub length: u16,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// DSCP (6 bits), ECN (2).
    pub traffic_class: u8,
    /// It has options that routers must heed.
    pub options: bool,
    /// The same for all packets of one flow, different for most others.
    pub flow_hash: u16,
}

/// How the length an IP header states must relate to the bytes there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Equal: inside a tunnel.
    Exact,
    /// At most: on a link, where short frames are padded.
    Padded,
}

impl Fit {
    #[inline(always)]
    fn holds(self, stated: usize, available: usize) -> bool {
        match self {
            Self::Exact => stated == available,
            Self::Padded => stated <= available,
        }
    }
}

/// Reads the packet of the mesh at `offset`, for which `available` bytes are left.
#[inline(always)]
pub fn inner<P: Packet>(
    packet: &P,
    family: Family,
    offset: usize,
    available: usize,
    fit: Fit,
) -> Result<Inner, Reason> {
    match family {
        Family::Ipv4 => inner_ipv4(packet, offset, available, fit),
        Family::Ipv6 => inner_ipv6(packet, offset, available, fit),
    }
}

/// [`inner`] for IPv4.
#[inline(always)]
pub fn inner_ipv4<P: Packet>(
    packet: &P,
    offset: usize,
    available: usize,
    fit: Fit,
) -> Result<Inner, Reason> {
    if available < size_of::<Ipv4>() {
        return Err(Reason::Truncated);
    }
    let ip: &Ipv4 = packet.header(offset).ok_or(Reason::Truncated)?;
    let header_length = (ip.version_length & 0x0f) as usize * 4;
    if ip.version_length >> 4 != 4 || header_length < size_of::<Ipv4>() {
        return Err(Reason::InnerMismatch);
    }
    let length = u16::from_be_bytes(ip.total_length);
    if !fit.holds(length as usize, available) || (length as usize) < header_length {
        return Err(Reason::BadLength);
    }
    let options = header_length > size_of::<Ipv4>();
    let fragment = u16::from_be_bytes(ip.fragment) & Ipv4::FRAGMENT != 0;
    let has_ports = !options && !fragment && carries_ports(ip.protocol);
    let source = Address::from_ipv4(ip.source);
    let destination = Address::from_ipv4(ip.destination);
    let ports = ports(packet, has_ports, offset + size_of::<Ipv4>());
    Ok(Inner {
        family: Family::Ipv4,
        source,
        destination,
        length,
        hop_limit: ip.hop_limit,
        traffic_class: ip.traffic_class,
        options,
        flow_hash: flow_hash(source, destination, ip.protocol, ports),
    })
}

/// [`inner`] for IPv6.
#[inline(always)]
pub fn inner_ipv6<P: Packet>(
    packet: &P,
    offset: usize,
    available: usize,
    fit: Fit,
) -> Result<Inner, Reason> {
    if available < size_of::<Ipv6>() {
        return Err(Reason::Truncated);
    }
    let ip: &Ipv6 = packet.header(offset).ok_or(Reason::Truncated)?;
    if ip.version_class_label[0] >> 4 != 6 {
        return Err(Reason::InnerMismatch);
    }
    let length = u16::from_be_bytes(ip.payload_length) as usize + size_of::<Ipv6>();
    if !fit.holds(length, available) || length > u16::MAX as usize {
        return Err(Reason::BadLength);
    }
    let source = Address::from_ipv6(ip.source);
    let destination = Address::from_ipv6(ip.destination);
    let has_ports = carries_ports(ip.next_header);
    let ports = ports(packet, has_ports, offset + size_of::<Ipv6>());
    let [class_high, class_low, ..] = ip.version_class_label;
    Ok(Inner {
        family: Family::Ipv6,
        source,
        destination,
        length: length as u16,
        hop_limit: ip.hop_limit,
        traffic_class: (class_high << 4) | (class_low >> 4),
        options: ip.next_header == protocol::HOP_BY_HOP,
        flow_hash: flow_hash(source, destination, ip.next_header, ports),
    })
}

#[inline(always)]
fn carries_ports(protocol: u8) -> bool {
    protocol == protocol::TCP || protocol == protocol::UDP
}

/// Both ports as one number; 0 where there are none.
#[inline(always)]
fn ports<P: Packet>(packet: &P, has_ports: bool, offset: usize) -> u32 {
    if !has_ports {
        return 0;
    }
    packet.read(offset).map_or(0, u32::from_be_bytes)
}

/// Multiplicative hashing of the five-tuple. Not secret and not for tables: it only spreads flows over queues.
#[inline(always)]
fn flow_hash(source: Address, destination: Address, protocol: u8, ports: u32) -> u16 {
    const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
    let networks = source.high().wrapping_mul(GOLDEN_RATIO) ^ destination.high();
    let hosts = source.low().wrapping_mul(GOLDEN_RATIO) ^ destination.low();
    let flow = networks ^ hosts ^ ((ports as u64) << 8 | protocol as u64);
    (flow.wrapping_mul(GOLDEN_RATIO) >> 48) as u16
}
