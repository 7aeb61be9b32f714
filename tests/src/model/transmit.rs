//! A packet on its way: into a tunnel, to a neighbour, to the kernel.

use re6st_common::maps::{NextHop, Settings, encapsulation, transmit};

use super::{
    FlowBits,
    header::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, read16},
    rules::{Ecn, sum, updated_checksum},
};

/// EtherType of an Internet packet, by its version.
pub fn ethertype_of(packet: &[u8]) -> u16 {
    if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        ETHERTYPE_IPV4
    } else {
        ETHERTYPE_IPV6
    }
}

/// A frame for our TC program: to the mesh device's own address, from `02 52` and the interface to transmit on, 0 for
/// the mesh device.
pub fn handed_over(settings: &Settings, interface: u32, packet: &[u8]) -> Vec<u8> {
    let mut frame = settings.device_address.to_vec();
    frame.extend([0x02, 0x52]);
    frame.extend(interface.to_be_bytes());
    frame.extend(ethertype_of(packet).to_be_bytes());
    frame.extend(packet);
    frame
}

/// A frame to a neighbour.
pub fn to_neighbour(destination: [u8; 6], source: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let mut frame = destination.to_vec();
    frame.extend(source);
    frame.extend(ethertype_of(packet).to_be_bytes());
    frame.extend(packet);
    frame
}

/// Sets the ECN bits of a packet.
pub fn set_ecn(packet: &mut [u8], ecn: Ecn) {
    if ethertype_of(packet) == ETHERTYPE_IPV4 {
        change_ipv4_word(packet, 0, |[version, service]| {
            [version, service & !3 | ecn.bits()]
        });
    } else {
        packet[1] = packet[1] & 0xcf | ecn.bits() << 4;
    }
}

/// Takes one off the hop limit.
pub fn take_hop(packet: &mut [u8]) {
    if ethertype_of(packet) == ETHERTYPE_IPV4 {
        change_ipv4_word(packet, 8, |[time_to_live, protocol]| {
            [time_to_live - 1, protocol]
        });
    } else {
        packet[7] -= 1;
    }
}

fn change_ipv4_word(packet: &mut [u8], at: usize, change: impl Fn([u8; 2]) -> [u8; 2]) {
    let old = [packet[at], packet[at + 1]];
    let new = change(old);
    if new == old {
        return;
    }
    let checksum = u16::from_be_bytes([packet[10], packet[11]]);
    let updated = updated_checksum(checksum, u16::from_be_bytes(old), u16::from_be_bytes(new));
    packet[at..at + 2].copy_from_slice(&new);
    packet[10..12].copy_from_slice(&updated.to_be_bytes());
}

/// An encapsulated packet, without Ethernet.
pub struct Encapsulated {
    /// Outer headers and inner packet.
    pub packet: Vec<u8>,
    /// Where the flow's hash is, counted from the outer header.
    pub flow: Vec<FlowBits>,
}

/// Puts the outer headers in front. `length` is the inner packet's: what follows it is padding.
pub fn encapsulated(
    settings: &Settings,
    next_hop: &NextHop,
    traffic_class: u8,
    inner: &[u8],
    length: usize,
) -> Encapsulated {
    let (ipv4, udp) = match next_hop.encapsulation {
        encapsulation::FOU_IPV4 => (true, true),
        encapsulation::FOU_IPV6 => (false, true),
        encapsulation::GRE_IPV4 => (true, false),
        _ => (false, false),
    };
    let internet = if ipv4 { 20 } else { 40 };
    let outer = internet + if udp { 16 } else { 8 };
    let total = outer + length;

    let mut packet = next_hop.outer[..outer].to_vec();
    let mut flow = Vec::new();
    if ipv4 {
        packet[1] = traffic_class;
        packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        packet[10..12].fill(0);
        let checksum = !sum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet[0] = 0x60 | traffic_class >> 4;
        packet[1] = packet[1] & 0x0f | traffic_class << 4;
        packet[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
        // flow label, RFC 6438
        flow.push(FlowBits {
            offset: 1,
            mask: [0x0f, 0xff, 0xff],
        });
    }
    if udp {
        if next_hop.flags & transmit::FIXED_SOURCE_PORT != 0 {
            packet[internet..internet + 2].copy_from_slice(&settings.port.to_be_bytes());
        } else {
            // 0xc000 to 0xffff, RFC 8086 section 3.2.1
            packet[internet] = 0xc0;
            packet[internet + 1] = 0;
            flow.push(FlowBits {
                offset: internet,
                mask: [0x3f, 0xff, 0],
            });
        }
        packet[internet + 4..internet + 6]
            .copy_from_slice(&((total - internet) as u16).to_be_bytes());
        packet[internet + 6..internet + 8].fill(0);
    }
    packet[outer - 8..outer - 6].copy_from_slice(&[0x20, 0]);
    packet[outer - 6..outer - 4].copy_from_slice(&ethertype_of(inner).to_be_bytes());
    packet.extend(inner);
    Encapsulated { packet, flow }
}

/// Where the first byte of an offset within the packet is within the frame.
pub fn shifted(flow: Vec<FlowBits>, by: usize) -> Vec<FlowBits> {
    flow.into_iter()
        .map(|bits| FlowBits {
            offset: bits.offset + by,
            ..bits
        })
        .collect()
}

/// The traffic class of a packet: DSCP and ECN.
pub fn traffic_class(packet: &[u8]) -> u8 {
    if ethertype_of(packet) == ETHERTYPE_IPV4 {
        packet[1]
    } else {
        (read16(packet, 0).unwrap_or(0) >> 4) as u8
    }
}
