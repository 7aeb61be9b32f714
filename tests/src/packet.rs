//! Packets for tests, built layer by layer, from the inside out.
//!
//! ```
//! use testbed::packet::{Frame, Internet};
//!
//! let inner = Internet::new("2001:db8:42:3::1", "2001:db8:42:4::1").udp(1000, 2000, b"hello");
//! let outer = Internet::new("192.0.2.103", "192.0.2.1").fou(0xc123, 4754, 7, &inner.bytes());
//! let frame = Frame::new([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).bytes(&outer.bytes());
//! assert_eq!(frame.len(), 14 + 36 + 40 + 8 + 5);
//! ```

// builds packets from what tests wrote down: a mistake there has to stop the test
#![allow(clippy::expect_used, clippy::panic)]

use std::net::IpAddr;

use etherparse::{Ipv4Header, Ipv4Options, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader};

/// IP protocol numbers.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// GRE.
    pub const GRE: u8 = 47;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// An IPv4 or IPv6 packet.
#[derive(Clone, Debug)]
pub struct Internet {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
    identification: u16,
    dont_fragment: bool,
    /// more fragments follow, offset in 8-byte units: IPv4
    fragment: Option<(bool, u16)>,
    options: Vec<u8>,
    protocol: u8,
    payload: Vec<u8>,
}

impl Internet {
    /// A packet without payload. Both addresses of one family, which is the packet's.
    pub fn new(source: &str, destination: &str) -> Self {
        Self::between(address(source), address(destination))
    }

    /// As [`Self::new`].
    pub fn between(source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "one family");
        Self {
            source,
            destination,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            identification: 0,
            dont_fragment: true,
            fragment: None,
            options: Vec::new(),
            protocol: 59,
            payload: Vec::new(),
        }
    }

    /// Sets the hop limit, or time to live.
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// Sets DSCP and ECN.
    pub fn traffic_class(mut self, traffic_class: u8) -> Self {
        self.traffic_class = traffic_class;
        self
    }

    /// Sets the flow label (IPv6).
    pub fn flow_label(mut self, flow_label: u32) -> Self {
        self.flow_label = flow_label;
        self
    }

    /// Sets IPv4 options; a multiple of four bytes.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Makes it a fragment (IPv4): whether more follow, and the offset in units of eight bytes.
    pub fn fragment(mut self, more: bool, offset: u16) -> Self {
        self.fragment = Some((more, offset));
        self.dont_fragment = false;
        self
    }

    /// Sets the payload.
    pub fn payload(mut self, protocol: u8, payload: &[u8]) -> Self {
        self.protocol = protocol;
        self.payload = payload.to_vec();
        self
    }

    /// UDP with a right checksum.
    pub fn udp(self, source: u16, destination: u16, payload: &[u8]) -> Self {
        let mut header =
            UdpHeader::without_ipv4_checksum(source, destination, payload.len()).expect("length");
        header.checksum = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
            }
            _ => panic!("one family"),
        }
        .expect("length");
        let bytes = [&header.to_bytes()[..], payload].concat();
        self.payload(protocol::UDP, &bytes)
    }

    /// UDP without checksum, as tunnels have it.
    pub fn udp_without_checksum(self, source: u16, destination: u16, payload: &[u8]) -> Self {
        let header =
            UdpHeader::without_ipv4_checksum(source, destination, payload.len()).expect("length");
        let bytes = [&header.to_bytes()[..], payload].concat();
        self.payload(protocol::UDP, &bytes)
    }

    /// TCP with a right checksum and options, a multiple of four bytes.
    pub fn tcp(self, source: u16, destination: u16, options: &[u8], payload: &[u8]) -> Self {
        let mut header = TcpHeader::new(source, destination, 1, 0xffff);
        header.set_options_raw(options).expect("options");
        header.ack = true;
        header.checksum = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
            }
            _ => panic!("one family"),
        }
        .expect("length");
        let bytes = [&header.to_bytes()[..], payload].concat();
        self.payload(protocol::TCP, &bytes)
    }

    /// A packet in GRE with key.
    pub fn gre(self, key: u32, inner: &[u8]) -> Self {
        let payload = gre(key, inner);
        self.payload(protocol::GRE, &payload)
    }

    /// A packet in GRE with key in UDP without checksum.
    pub fn fou(self, source_port: u16, port: u16, key: u32, inner: &[u8]) -> Self {
        let payload = gre(key, inner);
        self.udp_without_checksum(source_port, port, &payload)
    }

    /// Its bytes, with right lengths and checksums.
    pub fn bytes(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let payload = u16::try_from(self.payload.len()).expect("length");
                let (source, destination) = (source.octets(), destination.octets());
                let protocol = etherparse::IpNumber(self.protocol);
                let mut header =
                    Ipv4Header::new(payload, self.hop_limit, protocol, source, destination)
                        .expect("length");
                header.options = Ipv4Options::try_from(&self.options[..]).expect("options");
                header.set_payload_len(self.payload.len()).expect("length");
                header.dont_fragment = self.dont_fragment;
                header.identification = self.identification;
                if let Some((more, offset)) = self.fragment {
                    header.more_fragments = more;
                    header.fragment_offset = offset.try_into().expect("offset");
                }
                // etherparse has DSCP and ECN as fields of their own
                let mut bytes = header.to_bytes().to_vec();
                bytes[1] = self.traffic_class;
                let length = bytes.len();
                bytes[10..12].fill(0);
                let checksum = etherparse::checksum::Sum16BitWords::new()
                    .add_slice(&bytes[..length])
                    .ones_complement();
                bytes[10..12].copy_from_slice(&checksum.to_ne_bytes());
                bytes.extend(&self.payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    flow_label: Ipv6FlowLabel::try_new(self.flow_label).expect("flow label"),
                    payload_length: u16::try_from(self.payload.len()).expect("length"),
                    next_header: etherparse::IpNumber(self.protocol),
                    hop_limit: self.hop_limit,
                    source: source.octets(),
                    destination: destination.octets(),
                    ..Ipv6Header::default()
                };
                let mut bytes = header.to_bytes().to_vec();
                bytes[0] = 0x60 | self.traffic_class >> 4;
                bytes[1] = bytes[1] & 0x0f | self.traffic_class << 4;
                bytes.extend(&self.payload);
                bytes
            }
            _ => panic!("one family"),
        }
    }
}

/// GRE with key (RFC 2890) around an IPv4 or IPv6 packet.
pub fn gre(key: u32, inner: &[u8]) -> Vec<u8> {
    let protocol = match inner.first().map(|byte| byte >> 4) {
        Some(4) => 0x0800u16,
        _ => 0x86dd,
    };
    let mut bytes = vec![0x20, 0];
    bytes.extend(protocol.to_be_bytes());
    bytes.extend(key.to_be_bytes());
    bytes.extend(inner);
    bytes
}

/// An Ethernet frame's front.
#[derive(Clone, Debug)]
pub struct Frame {
    destination: [u8; 6],
    source: [u8; 6],
    vlan: Option<u16>,
}

impl Frame {
    /// From one Ethernet address to another.
    pub fn new(destination: [u8; 6], source: [u8; 6]) -> Self {
        Self {
            destination,
            source,
            vlan: None,
        }
    }

    /// With a VLAN tag: identifier, priority 0.
    pub fn vlan(mut self, vlan: u16) -> Self {
        self.vlan = Some(vlan);
        self
    }

    /// With a VLAN tag if the identifier is not 0.
    pub fn maybe_vlan(mut self, vlan: u16) -> Self {
        self.vlan = Some(vlan).filter(|vlan| *vlan != 0);
        self
    }

    /// Its header, for what carries this EtherType.
    pub fn header(&self, ethertype: u16) -> Vec<u8> {
        let mut bytes = [self.destination, self.source].concat();
        if let Some(vlan) = self.vlan {
            bytes.extend([0x81, 0]);
            bytes.extend(vlan.to_be_bytes());
        }
        bytes.extend(ethertype.to_be_bytes());
        bytes
    }

    /// The frame around an IPv4 or IPv6 packet.
    pub fn bytes(&self, packet: &[u8]) -> Vec<u8> {
        let ethertype = match packet.first().map(|byte| byte >> 4) {
            Some(4) => 0x0800,
            _ => 0x86dd,
        };
        let mut bytes = self.header(ethertype);
        bytes.extend(packet);
        bytes
    }
}

/// An address that a test wrote down.
pub fn address(text: &str) -> IpAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is not an address"))
}

/// Bytes as hexadecimal numbers, 16 a line; `*` for lines that repeat the one before.
pub fn hex(bytes: &[u8]) -> String {
    let mut lines = Vec::new();
    let mut before: &[u8] = &[];
    for (index, line) in bytes.chunks(16).enumerate() {
        if line != before {
            let bytes: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push(format!("  {:04x}  {}", index * 16, bytes.join(" ")));
        } else if lines.last().is_none_or(|last: &String| last != "  *") {
            lines.push("  *".to_owned());
        }
        before = line;
    }
    lines.join("\n")
}
