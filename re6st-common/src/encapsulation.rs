//! The outer headers: a ready-made template with lengths, traffic class and flow filled in.

use core::sync::atomic::{Ordering, compiler_fence};

use crate::{
    address::Family,
    checksum,
    maps::{NextHop, OUTER_SIZE, encapsulation, transmit},
    packet::Packet,
    parse::Inner,
    wire::{FouIpv4, FouIpv6, Gre, GreIpv4, GreIpv6, Header, Ipv4, Ipv6, Udp},
};

#[cfg(any(test, feature = "user"))]
mod template;

#[cfg(any(test, feature = "user"))]
pub use template::{LinkHeader, OuterHeaders, UdpPorts};

/// Bytes of the outer headers of an encapsulation; `None` for an unknown one.
#[inline(always)]
pub const fn outer_length(kind: u16) -> Option<usize> {
    match kind {
        encapsulation::FOU_IPV4 => Some(size_of::<FouIpv4>()),
        encapsulation::FOU_IPV6 => Some(size_of::<FouIpv6>()),
        encapsulation::GRE_IPV4 => Some(size_of::<GreIpv4>()),
        encapsulation::GRE_IPV6 => Some(size_of::<GreIpv6>()),
        _ => None,
    }
}

/// The outer IP version of an encapsulation.
#[inline(always)]
pub const fn outer_family(kind: u16) -> Family {
    match kind {
        encapsulation::FOU_IPV4 | encapsulation::GRE_IPV4 => Family::Ipv4,
        _ => Family::Ipv6,
    }
}

/// Writes the outer headers at `offset`, in front of the inner packet. `None` where they do not fit.
#[inline(always)]
pub fn write_outer<P: Packet>(
    packet: &mut P,
    offset: usize,
    next_hop: &NextHop,
    inner: &Inner,
    traffic_class: u8,
) -> Option<()> {
    let length = inner.length;
    let protocol = inner.family.ethertype();
    let flow = inner.flow_hash;
    let spread = next_hop.flags & transmit::FIXED_SOURCE_PORT == 0;
    match next_hop.encapsulation {
        encapsulation::FOU_IPV4 => {
            let outer: &mut FouIpv4 = from_template(packet, offset, &next_hop.outer)?;
            fill_ipv4(&mut outer.ip, next_hop, length, 16, traffic_class);
            fill_udp(&mut outer.udp, length, flow, spread);
            outer.gre.protocol = protocol;
        }
        encapsulation::FOU_IPV6 => {
            let outer: &mut FouIpv6 = from_template(packet, offset, &next_hop.outer)?;
            fill_ipv6(&mut outer.ip, length, 16, traffic_class, flow);
            fill_udp(&mut outer.udp, length, flow, spread);
            outer.gre.protocol = protocol;
        }
        encapsulation::GRE_IPV4 => {
            let outer: &mut GreIpv4 = from_template(packet, offset, &next_hop.outer)?;
            fill_ipv4(&mut outer.ip, next_hop, length, 8, traffic_class);
            outer.gre.protocol = protocol;
        }
        encapsulation::GRE_IPV6 => {
            let outer: &mut GreIpv6 = from_template(packet, offset, &next_hop.outer)?;
            fill_ipv6(&mut outer.ip, length, 8, traffic_class, flow);
            outer.gre.protocol = protocol;
        }
        _ => return None,
    }
    Some(())
}

/// Copies the front of a template to `offset`, whole words at a time.
#[inline(always)]
fn from_template<'packet, P: Packet, T: Header>(
    packet: &'packet mut P,
    offset: usize,
    bytes: &[u8; OUTER_SIZE],
) -> Option<&'packet mut T> {
    const { assert!(size_of::<T>() <= OUTER_SIZE) };
    let header: &mut T = packet.header_mut(offset)?;
    // SAFETY: the array is at least as long as T, and a Header is valid with any bytes at any address.
    *header = unsafe { bytes.as_ptr().cast::<T>().read_unaligned() };
    // or the compiler would leave out, in small pieces, what is filled in later
    compiler_fence(Ordering::SeqCst);
    Some(header)
}

/// `between` is what stands between the IP header and the inner packet, in bytes.
#[inline(always)]
fn fill_ipv4(ip: &mut Ipv4, next_hop: &NextHop, inner: u16, between: u16, traffic_class: u8) {
    let total_length = inner.wrapping_add(size_of::<Ipv4>() as u16 + between);
    let sum = next_hop.outer_checksum + total_length as u32 + traffic_class as u32;
    ip.total_length = total_length.to_be_bytes();
    ip.traffic_class = traffic_class;
    ip.checksum = (!checksum::fold(sum)).to_be_bytes();
}

#[inline(always)]
fn fill_ipv6(ip: &mut Ipv6, inner: u16, between: u16, traffic_class: u8, flow: u16) {
    let label = 0x6000_0000 | (traffic_class as u32) << 20 | flow as u32;
    ip.version_class_label = label.to_be_bytes();
    ip.payload_length = inner.wrapping_add(between).to_be_bytes();
}

/// The source port carries the flow (RFC 8086 section 3.2.1), in the dynamic range 0xC000-0xFFFF.
#[inline(always)]
fn fill_udp(udp: &mut Udp, inner: u16, flow: u16, spread: bool) {
    if spread {
        udp.source = (0xc000 | flow).to_be_bytes();
    }
    let length = inner.wrapping_add(size_of::<Udp>() as u16 + size_of::<Gre>() as u16);
    udp.length = length.to_be_bytes();
}
