//! Reading headers: RFC 791, RFC 8200.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rules::Ecn;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of a VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// IP protocol of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IP protocol of GRE.
pub const PROTOCOL_GRE: u8 = 47;
/// IPv6 hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// IPv6 destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
/// IPv6 fragment header.
pub const FRAGMENT: u8 = 44;

/// Two bytes in network order.
pub fn read16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

/// Four bytes in network order.
pub fn read32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

/// The link layer of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Where the frame goes.
    pub destination: [u8; 6],
    /// VLAN identifier; none without a tag.
    pub vlan: Option<u16>,
    /// What follows.
    pub ethertype: u16,
    /// Bytes of the link header.
    pub length: usize,
}

impl Link {
    /// Reads Ethernet and at most one VLAN tag.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let destination = frame.get(0..6)?.try_into().ok()?;
        let ethertype = read16(frame, 12)?;
        if ethertype != ETHERTYPE_VLAN {
            return Some(Self {
                destination,
                vlan: None,
                ethertype,
                length: 14,
            });
        }
        Some(Self {
            destination,
            vlan: Some(read16(frame, 14)? & 0x0fff),
            ethertype: read16(frame, 16)?,
            length: 18,
        })
    }
}

/// An Internet header, outer or inner.
#[derive(Clone, Copy, Debug)]
pub struct Internet {
    /// Where the packet comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// What follows the header: IPv4 protocol, IPv6 next header.
    pub protocol: u8,
    /// Bytes of the header.
    pub header: usize,
    /// Bytes of the whole packet, as the header says.
    pub total: usize,
    /// Hop limit, time to live.
    pub hop_limit: u8,
    /// Differentiated services code point, six bits.
    pub dscp: u8,
    /// Congestion notification.
    pub ecn: Ecn,
    /// Whether it is a fragment of a packet (not an atomic fragment of IPv4).
    pub fragment: bool,
    /// IPv4: whether the header is anything but 20 bytes long (less is impossible). IPv6: whether an extension header follows.
    pub options: bool,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Cut short.
    Short,
    /// Another version, or an impossible header length.
    Impossible,
}

impl Internet {
    /// Reads the header that the EtherType announces.
    pub fn read(ethertype: u16, packet: &[u8]) -> Result<Self, Unreadable> {
        match ethertype {
            ETHERTYPE_IPV4 => Self::read_ipv4(packet),
            ETHERTYPE_IPV6 => Self::read_ipv6(packet),
            _ => Err(Unreadable::Impossible),
        }
    }

    fn read_ipv4(packet: &[u8]) -> Result<Self, Unreadable> {
        let header: [u8; 20] = packet
            .get(..20)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Unreadable::Short)?;
        let words = usize::from(header[0] & 15);
        if header[0] >> 4 != 4 {
            return Err(Unreadable::Impossible);
        }
        let flags_and_offset = u16::from_be_bytes([header[6], header[7]]);
        let [s0, s1, s2, s3, d0, d1, d2, d3] =
            [12, 13, 14, 15, 16, 17, 18, 19].map(|at: usize| header[at]);
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol: header[9],
            header: words * 4,
            total: usize::from(u16::from_be_bytes([header[2], header[3]])),
            hop_limit: header[8],
            dscp: header[1] >> 2,
            ecn: Ecn::from_bits(header[1]),
            // more fragments, or an offset
            fragment: flags_and_offset & 0x3fff != 0,
            options: words != 5,
        })
    }

    fn read_ipv6(packet: &[u8]) -> Result<Self, Unreadable> {
        let header = packet.get(..40).ok_or(Unreadable::Short)?;
        if header[0] >> 4 != 6 {
            return Err(Unreadable::Impossible);
        }
        let address = |at: usize| -> Result<IpAddr, Unreadable> {
            let bytes: [u8; 16] = header[at..at + 16]
                .try_into()
                .map_err(|_| Unreadable::Short)?;
            Ok(Ipv6Addr::from(bytes).into())
        };
        let traffic_class = header[0] << 4 | header[1] >> 4;
        Ok(Self {
            source: address(8)?,
            destination: address(24)?,
            protocol: header[6],
            header: 40,
            total: 40 + usize::from(u16::from_be_bytes([header[4], header[5]])),
            hop_limit: header[7],
            dscp: traffic_class >> 2,
            ecn: Ecn::from_bits(traffic_class),
            fragment: header[6] == FRAGMENT,
            options: is_extension_header(header[6]),
        })
    }
}

impl Internet {
    /// An outer header: destination options with nothing but a tunnel encapsulation limit (RFC 2473 section 4.1.1) are
    /// part of it.
    pub fn read_outer(ethertype: u16, packet: &[u8]) -> Result<Self, Unreadable> {
        let header = Self::read(ethertype, packet)?;
        if ethertype != ETHERTYPE_IPV6 || header.protocol != DESTINATION_OPTIONS {
            return Ok(header);
        }
        match packet.get(40..48) {
            // no more than these eight bytes, option 4, one byte long
            Some(&[next_header, 0, 4, 1, ..]) => Ok(Self {
                protocol: next_header,
                header: 48,
                fragment: next_header == FRAGMENT,
                options: is_extension_header(next_header),
                ..header
            }),
            _ => Ok(header),
        }
    }
}

/// Whether an IPv6 next header is an extension header that may stand before UDP or GRE: hop-by-hop options, routing
/// header, destination options (RFC 8200 section 4.1). The fragment header has a meaning of its own here; what is
/// behind an authentication header is ordinary traffic of the host.
fn is_extension_header(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | 43 | DESTINATION_OPTIONS)
}
