//! Makes frames of descriptions, with correct lengths and checksums.

use std::net::IpAddr;

use re6st_common::{
    checksum,
    encapsulation::LinkHeader,
    wire::{ethertype, protocol},
};

use super::{Content, Ip, Outer, Packet, Transport};

/// The source port of described GRE-in-UDP packets: of the range RFC 8086 section 3.2.1 recommends.
const OUTER_SOURCE_PORT: u16 = 0xc000;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Why there is no such packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length given does not hold what is described.
    #[error("length {given}: the headers alone take {needed} bytes")]
    TooShort {
        /// What was given.
        given: u16,
        /// The least that would do.
        needed: usize,
    },
    /// More than an IP packet can be.
    #[error("an IP packet of {0} bytes: none is longer than 65,535")]
    TooLong(usize),
}

/// The frame of a description. `link` does not matter for a frame given byte by byte.
pub fn frame(content: &Content, link: &LinkHeader) -> Result<Vec<u8>, FrameError> {
    let (outer, packet) = match content {
        Content::Frame(bytes) => return Ok(bytes.clone()),
        Content::Packet { outer, packet } => (outer, packet),
    };
    let inner = packet_bytes(packet)?;
    let (ip, bytes) = match outer {
        None => (&packet.ip, inner),
        Some(outer) => (&outer.ip, encapsulated(outer, &packet.ip, &inner)?),
    };
    let mut frame = link.bytes(ethertype_of(ip));
    frame.extend_from_slice(&bytes);
    Ok(frame)
}

const fn ethertype_of(ip: &Ip) -> u16 {
    match ip.source {
        IpAddr::V4(_) => ethertype::IPV4,
        IpAddr::V6(_) => ethertype::IPV6,
    }
}

fn encapsulated(outer: &Outer, inner_ip: &Ip, inner: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut gre = match outer.key {
        Some(_) => vec![0x20, 0],
        None => vec![0, 0],
    };
    gre.extend_from_slice(&ethertype_of(inner_ip).to_be_bytes());
    gre.extend(outer.key.into_iter().flat_map(u32::to_be_bytes));
    gre.extend_from_slice(inner);
    match outer.port {
        None => ip_bytes(&outer.ip, protocol::GRE, gre),
        Some(port) => {
            let mut udp = OUTER_SOURCE_PORT.to_be_bytes().to_vec();
            udp.extend_from_slice(&port.to_be_bytes());
            udp.extend_from_slice(&length16(8 + gre.len())?.to_be_bytes());
            // no checksum, as tunnels may (RFC 6935)
            udp.extend_from_slice(&[0, 0]);
            udp.extend_from_slice(&gre);
            ip_bytes(&outer.ip, protocol::UDP, udp)
        }
    }
}

fn packet_bytes(packet: &Packet) -> Result<Vec<u8>, FrameError> {
    let ip = &packet.ip;
    let ports = |ports: super::Ports| {
        let [a, b] = ports.source.to_be_bytes();
        let [c, d] = ports.destination.to_be_bytes();
        [a, b, c, d]
    };
    // protocol, header, and where in it the checksum is
    let (protocol, mut payload, checksum_at) = match (packet.transport, ip.source) {
        (Transport::Udp(udp), _) => {
            let mut header = ports(udp).to_vec();
            header.extend_from_slice(&[0; 4]);
            (protocol::UDP, header, Some(6))
        }
        (Transport::Tcp(tcp), _) => {
            let mut header = ports(tcp).to_vec();
            // sequence and acknowledgement number 0, no options, SYN, the largest window
            header.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
            (protocol::TCP, header, Some(16))
        }
        (Transport::Icmp, IpAddr::V4(_)) => (ICMP, vec![8, 0, 0, 0, 0, 1, 0, 1], Some(2)),
        (Transport::Icmp, IpAddr::V6(_)) => (ICMPV6, vec![128, 0, 0, 0, 0, 1, 0, 1], Some(2)),
        (Transport::Protocol(number), _) => (number, Vec::new(), None),
    };
    let front = header_length(ip);
    if let Some(given) = ip.length {
        let needed = front + payload.len();
        let padding = usize::from(given)
            .checked_sub(needed)
            .ok_or(FrameError::TooShort { given, needed })?;
        payload.resize(payload.len() + padding, 0);
    }
    if protocol == protocol::UDP {
        let length = length16(payload.len())?.to_be_bytes();
        payload[4..6].copy_from_slice(&length);
    }
    if let Some(at) = checksum_at {
        let sum = transport_checksum(ip, protocol, &payload);
        payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    ip_bytes(ip, protocol, payload)
}

/// RFC 768, RFC 9293 section 3.1, RFC 8200 section 8.1; ICMP for IPv4 has no pseudo header (RFC 792).
fn transport_checksum(ip: &Ip, protocol: u8, payload: &[u8]) -> u16 {
    let mut bytes = Vec::with_capacity(40 + payload.len() + 1);
    match (ip.source, ip.destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) if protocol == ICMP => {}
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
            bytes.extend_from_slice(&[0, protocol]);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        (source, destination) => {
            for address in [source, destination] {
                if let IpAddr::V6(address) = address {
                    bytes.extend_from_slice(&address.octets());
                }
            }
            bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 0, protocol]);
        }
    }
    bytes.extend_from_slice(payload);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    match !checksum::fold(checksum::sum(&bytes)) {
        // 0 would mean "none" in UDP
        0 if protocol == protocol::UDP => 0xffff,
        sum => sum,
    }
}

/// Bytes in front of the payload: the IP header with its options and extension headers.
const fn header_length(ip: &Ip) -> usize {
    let (fixed, options, fragment) = match ip.source {
        IpAddr::V4(_) => (20, 4, 0),
        IpAddr::V6(_) => (40, 8, 8),
    };
    fixed + if ip.options { options } else { 0 } + if ip.fragment { fragment } else { 0 }
}

/// An IP packet. A length given for an outer header is what it states, true or not.
fn ip_bytes(ip: &Ip, protocol: u8, payload: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let length = header_length(ip) + payload.len();
    let stated = match ip.length {
        Some(stated) => stated,
        None => length16(length)?,
    };
    let mut bytes = Vec::with_capacity(length);
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            // do not fragment, or more fragments
            let flags = if ip.fragment { 0x20 } else { 0x40 };
            let words = if ip.options { 6 } else { 5 };
            bytes.extend_from_slice(&[0x40 | words, ip.class]);
            bytes.extend_from_slice(&stated.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, flags, 0, ip.hop_limit, protocol, 0, 0]);
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
            if ip.options {
                // three times "no operation", end of list
                bytes.extend_from_slice(&[1, 1, 1, 0]);
            }
            let sum = !checksum::fold(checksum::sum(&bytes));
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (source, destination) => {
            let label = 0x6000_0000 | u32::from(ip.class) << 20;
            bytes.extend_from_slice(&label.to_be_bytes());
            bytes.extend_from_slice(&stated.saturating_sub(40).to_be_bytes());
            let after_options = if ip.fragment {
                protocol::FRAGMENT
            } else {
                protocol
            };
            let first = if ip.options {
                protocol::HOP_BY_HOP
            } else {
                after_options
            };
            bytes.extend_from_slice(&[first, ip.hop_limit]);
            for address in [source, destination] {
                if let IpAddr::V6(address) = address {
                    bytes.extend_from_slice(&address.octets());
                }
            }
            if ip.options {
                // PadN of four bytes
                bytes.extend_from_slice(&[after_options, 0, 1, 4, 0, 0, 0, 0]);
            }
            if ip.fragment {
                bytes.extend_from_slice(&[protocol, 0, 0, 1, 0, 0, 0, 1]);
            }
        }
    }
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

fn length16(length: usize) -> Result<u16, FrameError> {
    u16::try_from(length).map_err(|_| FrameError::TooLong(length))
}
