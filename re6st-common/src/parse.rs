//! From bytes to a description of the packet. Reads only; believes nothing that is not checked.

use crate::{
    address::{Address, Family},
    packet::Packet,
    reason::Reason,
    wire::{EncapsulationLimit, Ethernet, Ipv4, Ipv6, Vlan, ethertype, protocol},
};

/// The front of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Link {
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
pub fn link<P: Packet>(packet: &P) -> Option<Link> {
    let ethernet: Ethernet = packet.read(0)?;
    let untagged = Link {
        destination: ethernet.destination,
        ethertype: u16::from_be_bytes(ethernet.ethertype),
        vlan: 0,
        length: size_of::<Ethernet>(),
    };
    if untagged.ethertype != ethertype::VLAN {
        return Some(untagged);
    }
    let Some(tag) = packet.read::<Vlan>(size_of::<Ethernet>()) else {
        return Some(untagged);
    };
    Some(Link {
        ethertype: u16::from_be_bytes(tag.ethertype),
        vlan: u16::from_be_bytes(tag.control) & Vlan::IDENTIFIER,
        length: size_of::<Ethernet>() + size_of::<Vlan>(),
        ..untagged
    })
}

/// An IP header that may be a tunnel's outer one.
#[derive(Clone, Copy, Debug)]
pub struct Outer {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// What follows the header.
    pub protocol: u8,
    /// ECN field, 2 bits.
    pub ecn: u8,
    /// Where what follows begins, from the start of the frame.
    pub payload: usize,
    /// How long it says it is.
    pub payload_length: usize,
    /// Why the fast path must leave the packet alone, if it must.
    pub special: Option<Reason>,
}

/// Reads an outer IP header; `None` where it is none, which is then somebody else's business.
#[inline(always)]
pub fn outer<P: Packet>(packet: &P, link: &Link) -> Option<Outer> {
    match link.ethertype {
        ethertype::IPV4 => outer_ipv4(packet, link.length),
        ethertype::IPV6 => outer_ipv6(packet, link.length),
        _ => None,
    }
}

#[inline(always)]
fn outer_ipv4<P: Packet>(packet: &P, offset: usize) -> Option<Outer> {
    let ip: Ipv4 = packet.read(offset)?;
    if ip.version_length >> 4 != 4 {
        return None;
    }
    let total_length = u16::from_be_bytes(ip.total_length) as usize;
    Some(Outer {
        family: Family::Ipv4,
        source: Address::from_ipv4(ip.source),
        destination: Address::from_ipv4(ip.destination),
        protocol: ip.protocol,
        ecn: ip.traffic_class & ecn::MASK,
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

#[inline(always)]
fn outer_ipv6<P: Packet>(packet: &P, offset: usize) -> Option<Outer> {
    let ip: Ipv6 = packet.read(offset)?;
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
        family: Family::Ipv6,
        source: Address::from_ipv6(ip.source),
        destination: Address::from_ipv6(ip.destination),
        protocol,
        ecn: (ip.version_class_label[1] >> 4) & ecn::MASK,
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

/// Protocol and offset of what follows the options, the extension header or the fragment header of a packet that has such.
/// `None` where it is not there (all fragments but the first), or where more of them follow.
#[inline(always)]
pub fn behind_special<P: Packet>(packet: &P, outer: &Outer) -> Option<(u8, usize)> {
    match outer.family {
        Family::Ipv4 => {
            let start = outer.payload - size_of::<Ipv4>();
            let ip: Ipv4 = packet.read(start)?;
            let header_length = (ip.version_length & 0x0f) as usize * 4;
            let first = u16::from_be_bytes(ip.fragment) & Ipv4::OFFSET == 0;
            (first && header_length >= size_of::<Ipv4>())
                .then_some((ip.protocol, start + header_length))
        }
        Family::Ipv6 => {
            let [next_header, length, high, low]: [u8; 4] = packet.read(outer.payload)?;
            let fragment = outer.protocol == protocol::FRAGMENT;
            // in units of eight bytes; the fragment header has none, and the offset in the upper 13 bits
            let units = if fragment { 0 } else { length as usize };
            let first = !fragment || u16::from_be_bytes([high, low]) >> 3 == 0;
            first.then_some((next_header, outer.payload + 8 * (units + 1)))
        }
    }
}

/// What follows the destination options that Linux's ip6gre devices put in front of GRE or UDP unless told otherwise: the
/// tunnel encapsulation limit alone (RFC 2473 section 4.1.1). `None` for any other options.
#[inline(always)]
fn encapsulation_limit<P: Packet>(packet: &P, offset: usize) -> Option<u8> {
    let options: EncapsulationLimit = packet.read(offset)?;
    let alone = options.length == 0
        && options.option == EncapsulationLimit::OPTION
        && options.option_length == 1;
    alone.then_some(options.next_header)
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

#[inline(always)]
fn inner_ipv4<P: Packet>(
    packet: &P,
    offset: usize,
    available: usize,
    fit: Fit,
) -> Result<Inner, Reason> {
    if available < size_of::<Ipv4>() {
        return Err(Reason::Truncated);
    }
    let ip: Ipv4 = packet.read(offset).ok_or(Reason::Truncated)?;
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

#[inline(always)]
fn inner_ipv6<P: Packet>(
    packet: &P,
    offset: usize,
    available: usize,
    fit: Fit,
) -> Result<Inner, Reason> {
    if available < size_of::<Ipv6>() {
        return Err(Reason::Truncated);
    }
    let ip: Ipv6 = packet.read(offset).ok_or(Reason::Truncated)?;
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
    let networks = source.high.wrapping_mul(GOLDEN_RATIO) ^ destination.high;
    let hosts = source.low.wrapping_mul(GOLDEN_RATIO) ^ destination.low;
    let flow = networks ^ hosts ^ ((ports as u64) << 8 | protocol as u64);
    (flow.wrapping_mul(GOLDEN_RATIO) >> 48) as u16
}

/// Explicit Congestion Notification through tunnels (RFC 6040).
pub mod ecn {
    use crate::reason::Reason;

    /// The ECN field of a traffic class.
    pub const MASK: u8 = 0b11;
    const NOT_ECT: u8 = 0b00;
    const ECT_0: u8 = 0b10;
    const ECT_1: u8 = 0b01;
    const CE: u8 = 0b11;

    /// The inner traffic class after decapsulation: RFC 6040 section 4.2, figure 4.
    #[inline(always)]
    pub fn decapsulate(outer_ecn: u8, inner_class: u8) -> Result<u8, Reason> {
        match (outer_ecn, inner_class & MASK) {
            (CE, NOT_ECT) => Err(Reason::IllegalEcn),
            (CE, _) => Ok(inner_class | CE),
            (ECT_1, ECT_0) => Ok(inner_class & !MASK | ECT_1),
            _ => Ok(inner_class),
        }
    }
}
