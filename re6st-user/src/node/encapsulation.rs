//! Babel's packets inside tunnels: GRE with key, IPv6, UDP. Pure: bytes in, bytes out.

use std::net::Ipv6Addr;

use serde::Serialize;

use crate::babel::output::PORT;

/// GRE header with nothing but a key (RFC 2890).
const GRE: usize = 8;
/// IPv6 header.
const IPV6: usize = 40;
/// UDP header.
const UDP: usize = 8;
/// GRE flags: a key, nothing else, version 0.
const KEY_ONLY: [u8; 2] = [0x20, 0x00];
/// The protocol number of IPv6 in GRE.
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Next header of UDP.
const PROTOCOL_UDP: u8 = 17;
/// Version 6, traffic class CS6 (0xC0), no flow label.
const FIRST_WORD: [u8; 4] = [0x6c, 0, 0, 0];

/// A Babel packet that came through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelDatagram<'a> {
    /// The GRE key.
    pub key: u32,
    /// Link-local.
    pub source: Ipv6Addr,
    /// Link-local or multicast.
    pub destination: Ipv6Addr,
    /// What Babel reads.
    pub payload: &'a [u8],
}

/// Why a packet is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    /// Cut short, or its lengths disagree.
    #[error("bad length")]
    Length,
    /// No GRE header with nothing but a key.
    #[error("not GRE with a key")]
    Gre,
    /// Not IPv6 with UDP right behind, as router solicitations are.
    #[error("not UDP over IPv6")]
    Protocol,
    /// Ports that are not Babel's (RFC 8966 section 4.2).
    #[error("not Babel's ports")]
    Port,
    /// A source that is not link-local, or a destination beyond the link (RFC 8966 section 4.2).
    #[error("addresses beyond the link")]
    Address,
    /// The UDP checksum is missing or wrong.
    #[error("bad checksum")]
    Checksum,
}

/// Reads what follows the outer IP or UDP header.
///
/// # Errors
/// [`Refused`], for anything that is not exactly a Babel packet.
pub fn parse(bytes: &[u8]) -> Result<TunnelDatagram<'_>, Refused> {
    let (gre, rest) = bytes.split_first_chunk::<GRE>().ok_or(Refused::Length)?;
    if gre[..2] != KEY_ONLY {
        return Err(Refused::Gre);
    }
    if gre[2..4] != ETHERTYPE_IPV6 {
        return Err(Refused::Protocol);
    }
    let (ip, datagram) = rest.split_first_chunk::<IPV6>().ok_or(Refused::Length)?;
    if ip[0] >> 4 != 6 || ip[6] != PROTOCOL_UDP {
        return Err(Refused::Protocol);
    }
    let (udp, payload) = datagram.split_first_chunk::<UDP>().ok_or(Refused::Length)?;
    let word = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    if usize::from(word(ip, 4)) != datagram.len() || usize::from(word(udp, 4)) != datagram.len() {
        return Err(Refused::Length);
    }
    if word(udp, 0) != PORT || word(udp, 2) != PORT {
        return Err(Refused::Port);
    }
    let address = |at: usize| {
        let octets = ip[at..].first_chunk::<16>().copied();
        Ipv6Addr::from(octets.unwrap_or_default())
    };
    let (source, destination) = (address(8), address(24));
    let on_link = |address: &Ipv6Addr| address.is_unicast_link_local() || address.is_multicast();
    if !source.is_unicast_link_local() || !on_link(&destination) {
        return Err(Refused::Address);
    }
    // over IPv6 there must be one (RFC 8200 section 8.1)
    if word(udp, 6) == 0 || checksum(source, destination, datagram) != 0 {
        return Err(Refused::Checksum);
    }
    Ok(TunnelDatagram {
        key: u32::from_be_bytes([gre[4], gre[5], gre[6], gre[7]]),
        source,
        destination,
        payload,
    })
}

/// Writes what follows the outer IP or UDP header. `None` if the payload is longer than a packet can be.
pub fn build(key: u32, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP + payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(GRE + IPV6 + UDP + payload.len());
    bytes.extend(KEY_ONLY);
    bytes.extend(ETHERTYPE_IPV6);
    bytes.extend(key.to_be_bytes());
    bytes.extend(FIRST_WORD);
    bytes.extend(length.to_be_bytes());
    bytes.extend([PROTOCOL_UDP, 1]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    let start = bytes.len();
    bytes.extend(PORT.to_be_bytes());
    bytes.extend(PORT.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let sum = match checksum(source, destination, &bytes[start..]) {
        // zero would mean that there is none
        0 => 0xffff,
        sum => sum,
    };
    bytes[start + 6..start + 8].copy_from_slice(&sum.to_be_bytes());
    Some(bytes)
}

/// The checksum of a UDP datagram over IPv6; 0 for one whose checksum is right.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, datagram: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u64 {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let last = rest.first().map_or(0, |octet| u64::from(*octet) << 8);
        let sum = |sum: u64, pair: &[u8; 2]| sum + u64::from(u16::from_be_bytes(*pair));
        pairs.iter().fold(last, sum)
    };
    let mut sum = words(&source.octets()) + words(&destination.octets()) + words(datagram);
    sum += datagram.len() as u64 + u64::from(PROTOCOL_UDP);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;
    use crate::babel::output::GROUP;
    use proptest::prelude::*;

    const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4);

    fn good() -> Vec<u8> {
        build(0xdead_beef, SOURCE, GROUP, &[42, 2, 0, 0]).unwrap()
    }

    #[test]
    fn what_is_built_is_what_a_linux_gre_device_makes() {
        let bytes = good();

        assert_eq!(
            bytes[..8],
            [0x20, 0, 0x86, 0xdd, 0xde, 0xad, 0xbe, 0xef],
            "GRE with key"
        );
        assert_eq!(
            bytes[8..16],
            [0x6c, 0, 0, 0, 0, 12, 17, 1],
            "IPv6, CS6, hop limit 1"
        );
        assert_eq!(
            bytes[48..54],
            [0x1a, 0x28, 0x1a, 0x28, 0, 12],
            "UDP 6696 to 6696"
        );
    }

    #[test]
    fn each_mistake_has_its_reason() {
        let spoiled = |at: usize, to: u8| {
            let mut bytes = good();
            bytes[at] = to;
            parse(&bytes).map(|inner| inner.key)
        };
        for (at, to, reason) in [
            (0, 0x00, Refused::Gre),
            (0, 0xa0, Refused::Gre),
            (1, 0x01, Refused::Gre),
            (2, 0x08, Refused::Protocol),
            (8, 0x4c, Refused::Protocol),
            (13, 13, Refused::Length),
            (14, 6, Refused::Protocol),
            (16, 0x20, Refused::Address),
            (32, 0x20, Refused::Address),
            (48, 0, Refused::Port),
            (50, 0, Refused::Port),
            (53, 11, Refused::Length),
            (54, 0xaa, Refused::Checksum),
            (59, 1, Refused::Checksum),
        ] {
            assert_eq!(spoiled(at, to), Err(reason), "octet {at} = {to:#x}");
        }
    }

    #[test]
    fn no_prefix_of_a_packet_is_a_packet() {
        let bytes = good();
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} octets");
        }
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(key: u32, low: u64, payload in proptest::collection::vec(any::<u8>(), 0..1400)) {
            let source = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(low));
            let bytes = build(key, source, GROUP, &payload).unwrap();

            let expected = TunnelDatagram { key, source, destination: GROUP, payload: &payload };
            prop_assert_eq!(parse(&bytes), Ok(expected));
        }

        #[test]
        fn anything_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_octet_of_the_datagram_is_noticed(at in 48_usize..60, by in 1_u8..) {
            let mut bytes = good();
            bytes[at] ^= by;
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
