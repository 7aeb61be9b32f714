//! Tells the headers of a frame, one after the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use re6st_common::wire::{ethertype, protocol};
use serde::Serialize;

use crate::printable;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// One header. A GRE key is not shown: who knows it can send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "header", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the fields are named as in the RFCs")]
pub enum Header {
    Ethernet {
        destination: String,
        source: String,
    },
    Vlan {
        identifier: u16,
    },
    Ip {
        version: u8,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        hop_limit: u8,
        traffic_class: u8,
        length: usize,
    },
    Extension {
        protocol: u8,
    },
    Udp {
        source: u16,
        destination: u16,
        length: u16,
    },
    Tcp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Gre {
        keyed: bool,
    },
    /// What is left, or cannot be read.
    Payload {
        length: usize,
    },
}

impl std::fmt::Display for Header {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ethernet {
                destination,
                source,
            } => write!(formatter, "Ethernet {source} > {destination}"),
            Self::Vlan { identifier } => write!(formatter, "VLAN {identifier}"),
            Self::Ip {
                version,
                source,
                destination,
                protocol,
                hop_limit,
                traffic_class,
                length,
            } => write!(
                formatter,
                "IPv{version} {source} > {destination}, protocol {protocol}, hop limit {hop_limit}, class \
                 {traffic_class}, {length} bytes"
            ),
            Self::Extension { protocol } => {
                write!(formatter, "extension header, then protocol {protocol}")
            }
            Self::Udp {
                source,
                destination,
                length,
            } => write!(formatter, "UDP {source} > {destination}, {length} bytes"),
            Self::Tcp {
                source,
                destination,
            } => write!(formatter, "TCP {source} > {destination}"),
            Self::Icmp { kind, code } => write!(formatter, "ICMP type {kind} code {code}"),
            Self::Gre { keyed: true } => formatter.write_str("GRE with key"),
            Self::Gre { keyed: false } => formatter.write_str("GRE without key"),
            Self::Payload { length } => write!(formatter, "{length} bytes"),
        }
    }
}

/// The headers of a frame. `port` is the UDP port behind which GRE is expected.
pub fn headers(frame: &[u8], port: u16) -> Vec<Header> {
    let mut headers = Vec::new();
    let rest = link(frame, port, &mut headers);
    if !rest.is_empty() {
        headers.push(Header::Payload { length: rest.len() });
    }
    headers
}

fn link<'a>(frame: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let Some((ethernet, rest)) = frame.split_first_chunk::<14>() else {
        return frame;
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, high, low] = *ethernet;
    headers.push(Header::Ethernet {
        destination: printable::ethernet([a, b, c, d, e, f]),
        source: printable::ethernet([g, h, i, j, k, l]),
    });
    let kind = u16::from_be_bytes([high, low]);
    match (kind, rest.split_first_chunk::<4>()) {
        (ethertype::VLAN, Some(([control, identifier, high, low], rest))) => {
            headers.push(Header::Vlan {
                identifier: u16::from_be_bytes([*control, *identifier]) & 0x0fff,
            });
            network(u16::from_be_bytes([*high, *low]), rest, port, headers)
        }
        _ => network(kind, rest, port, headers),
    }
}

fn network<'a>(kind: u16, bytes: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let Some(version) = bytes.first().map(|byte| byte >> 4) else {
        return bytes;
    };
    match (kind, version) {
        (ethertype::IPV4, 4) => ipv4(bytes, port, headers),
        (ethertype::IPV6, 6) => ipv6(bytes, port, headers),
        _ => bytes,
    }
}

fn ipv4<'a>(bytes: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let Some((ip, _)) = bytes.split_first_chunk::<20>() else {
        return bytes;
    };
    let Some(rest) = bytes.get(usize::from(ip[0] & 0xf).max(5) * 4..) else {
        return bytes;
    };
    headers.push(Header::Ip {
        version: 4,
        source: Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]).into(),
        destination: Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]).into(),
        protocol: ip[9],
        hop_limit: ip[8],
        traffic_class: ip[1],
        length: usize::from(u16::from_be_bytes([ip[2], ip[3]])),
    });
    transport(ip[9], rest, port, headers)
}

fn ipv6<'a>(bytes: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let Some((ip, mut rest)) = bytes.split_first_chunk::<40>() else {
        return bytes;
    };
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&ip[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    headers.push(Header::Ip {
        version: 6,
        source: address(8),
        destination: address(24),
        protocol: ip[6],
        hop_limit: ip[7],
        traffic_class: ip[0] << 4 | ip[1] >> 4,
        length: 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]])),
    });
    let mut next = ip[6];
    while let protocol::HOP_BY_HOP
    | protocol::ROUTING
    | protocol::FRAGMENT
    | protocol::DESTINATION_OPTIONS = next
        && let Some([following, length, ..]) = rest.get(..8)
    {
        let units = match next {
            protocol::FRAGMENT => 1,
            _ => usize::from(*length) + 1,
        };
        let Some(after) = rest.get(units * 8..) else {
            return rest;
        };
        headers.push(Header::Extension {
            protocol: *following,
        });
        (next, rest) = (*following, after);
    }
    transport(next, rest, port, headers)
}

fn transport<'a>(kind: u8, bytes: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let word = |at: usize| match bytes.get(at..at + 2) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let (source, destination) = (word(0), word(2));
    let used = match kind {
        protocol::UDP if bytes.len() >= 8 => {
            let length = word(4);
            headers.push(Header::Udp {
                source,
                destination,
                length,
            });
            if destination == port {
                return gre(&bytes[8..], port, headers);
            }
            8
        }
        protocol::TCP if bytes.len() >= 20 => {
            headers.push(Header::Tcp {
                source,
                destination,
            });
            20
        }
        ICMP | ICMPV6 if bytes.len() >= 8 => {
            headers.push(Header::Icmp {
                kind: bytes[0],
                code: bytes[1],
            });
            8
        }
        protocol::GRE => return gre(bytes, port, headers),
        _ => 0,
    };
    &bytes[used..]
}

fn gre<'a>(bytes: &'a [u8], port: u16, headers: &mut Vec<Header>) -> &'a [u8] {
    let Some(([flags, version, high, low], rest)) = bytes.split_first_chunk::<4>() else {
        return bytes;
    };
    let (keyed, rest) = match (flags, version, rest.split_first_chunk::<4>()) {
        (0x20, 0, Some((_, rest))) => (true, rest),
        (0, 0, _) => (false, rest),
        _ => return bytes,
    };
    headers.push(Header::Gre { keyed });
    network(u16::from_be_bytes([*high, *low]), rest, port, headers)
}
