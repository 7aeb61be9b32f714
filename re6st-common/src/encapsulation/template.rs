//! What userspace knows of a tunnel's headers, as the template in [`NextHop`] that the programs copy, and back.

use std::net::IpAddr;

use super::outer_family;
use crate::{
    address::{Address, Family},
    checksum,
    maps::{NextHop, OUTER_SIZE, encapsulation, transmit},
    wire::{Ethernet, Gre, Ipv4, Ipv6, Udp, Vlan, ethertype, protocol},
};

/// Time to live of outer headers.
const HOP_LIMIT: u8 = 64;

/// Outer headers but for what differs from packet to packet: lengths, traffic class, flow, the inner protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterHeaders {
    /// Our address.
    pub local: IpAddr,
    /// The peer's, of the same family.
    pub remote: IpAddr,
    /// UDP (RFC 8086), or plain GRE.
    pub udp: Option<UdpPorts>,
    /// The GRE key.
    pub key: u32,
}

/// The outer UDP ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPorts {
    /// `None`: the inner flow's hash (RFC 8086 section 3.2.1).
    pub source: Option<u16>,
    /// The tunnels' port.
    pub destination: u16,
}

impl OuterHeaders {
    /// One of [`encapsulation`].
    pub const fn encapsulation(&self) -> u16 {
        match (self.udp, self.remote) {
            (Some(_), IpAddr::V4(_)) => encapsulation::FOU_IPV4,
            (Some(_), IpAddr::V6(_)) => encapsulation::FOU_IPV6,
            (None, IpAddr::V4(_)) => encapsulation::GRE_IPV4,
            (None, IpAddr::V6(_)) => encapsulation::GRE_IPV6,
        }
    }

    /// Puts them into a next hop's entry.
    pub fn write(&self, entry: &mut NextHop) {
        let mut outer = [0; OUTER_SIZE];
        let mut put = |at: usize, bytes: &[u8]| outer[at..at + bytes.len()].copy_from_slice(bytes);
        let carried = match self.udp {
            Some(_) => protocol::UDP,
            None => protocol::GRE,
        };
        let (local, remote) = (Address::from(self.local), Address::from(self.remote));
        let behind = match self.remote {
            IpAddr::V4(_) => {
                put(0, &[0x45]);
                put(6, &Ipv4::DONT_FRAGMENT.to_be_bytes());
                put(8, &[HOP_LIMIT, carried]);
                put(12, &local.ipv4_octets());
                put(16, &remote.ipv4_octets());
                size_of::<Ipv4>()
            }
            IpAddr::V6(_) => {
                put(0, &[0x60]);
                put(6, &[carried, HOP_LIMIT]);
                put(8, &local.octets());
                put(24, &remote.octets());
                size_of::<Ipv6>()
            }
        };
        let mut gre = behind;
        if let Some(ports) = self.udp {
            put(behind, &ports.source.unwrap_or_default().to_be_bytes());
            put(behind + 2, &ports.destination.to_be_bytes());
            gre += size_of::<Udp>();
        }
        put(gre, &Gre::KEY);
        put(gre + 4, &self.key.to_be_bytes());
        entry.flags &= !transmit::FIXED_SOURCE_PORT;
        if self.udp.is_some_and(|ports| ports.source.is_some()) {
            entry.flags |= transmit::FIXED_SOURCE_PORT;
        }
        entry.encapsulation = self.encapsulation();
        entry.outer = outer;
        entry.outer_checksum = match self.remote {
            IpAddr::V4(_) => checksum::sum(&outer[..size_of::<Ipv4>()]),
            IpAddr::V6(_) => 0,
        };
    }

    /// Those of a next hop's entry; `None` if [`Self::write`] has not written it.
    pub fn read(entry: &NextHop) -> Option<Self> {
        let outer = &entry.outer;
        let ipv4 = |at: usize| Some(IpAddr::from(*outer.get(at..)?.first_chunk::<4>()?));
        let ipv6 = |at: usize| Some(IpAddr::from(*outer.get(at..)?.first_chunk::<16>()?));
        let port = |at: usize| Some(u16::from_be_bytes(*outer.get(at..)?.first_chunk()?));
        let (local, remote, behind) = match outer_family(entry.encapsulation) {
            Family::Ipv4 => (ipv4(12)?, ipv4(16)?, size_of::<Ipv4>()),
            Family::Ipv6 => (ipv6(8)?, ipv6(24)?, size_of::<Ipv6>()),
        };
        let udp = match entry.encapsulation {
            encapsulation::FOU_IPV4 | encapsulation::FOU_IPV6 => Some(UdpPorts {
                source: (entry.flags & transmit::FIXED_SOURCE_PORT != 0)
                    .then(|| port(behind))
                    .flatten(),
                destination: port(behind + 2)?,
            }),
            _ => None,
        };
        let gre = behind + udp.map_or(0, |_| size_of::<Udp>());
        let key = u32::from_be_bytes(*outer.get(gre + 4..)?.first_chunk()?);
        let found = Self {
            local,
            remote,
            udp,
            key,
        };
        let mut again = *entry;
        found.write(&mut again);
        (again == *entry).then_some(found)
    }
}

/// The Ethernet header in front, with a VLAN tag or without, but for the EtherType.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// The neighbour's address.
    pub destination: [u8; 6],
    /// Our interface's.
    pub source: [u8; 6],
    /// VLAN identifier, 0 for none.
    pub vlan: u16,
}

impl LinkHeader {
    /// Its bytes, in front of a packet of this EtherType.
    pub fn bytes(&self, ethertype: u16) -> Vec<u8> {
        let tag = [ethertype::VLAN, self.vlan].map(u16::to_be_bytes);
        let tag = match self.vlan {
            0 => &[][..],
            _ => tag.as_flattened(),
        };
        let kind = ethertype.to_be_bytes();
        [&self.destination[..], &self.source, tag, &kind].concat()
    }

    /// Puts it into a next hop's entry, in front of the outer headers there.
    pub fn write(&self, entry: &mut NextHop) {
        let bytes = self.bytes(match outer_family(entry.encapsulation) {
            Family::Ipv4 => ethertype::IPV4,
            Family::Ipv6 => ethertype::IPV6,
        });
        entry.ethernet = [0; 18];
        entry.ethernet[..bytes.len()].copy_from_slice(&bytes);
        entry.ethernet_length = bytes.len() as u16;
    }

    /// That of a next hop's entry; `None` while the neighbour's address is not known.
    pub fn read(entry: &NextHop) -> Option<Self> {
        const TAGGED: u16 = (size_of::<Ethernet>() + size_of::<Vlan>()) as u16;
        let (destination, rest) = entry.ethernet.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let vlan = *rest.get(2..)?.first_chunk()?;
        (entry.ethernet_length != 0).then_some(Self {
            destination: *destination,
            source: *source,
            vlan: match entry.ethernet_length {
                TAGGED => u16::from_be_bytes(vlan),
                _ => 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::expect_used,
        clippy::panic,
        reason = "a test that cannot go on fails"
    )]
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn outer_headers() -> impl Strategy<Value = OuterHeaders> {
        let addresses = prop_oneof![
            any::<[Ipv4Addr; 2]>().prop_map(|both| both.map(IpAddr::V4)),
            any::<[Ipv6Addr; 2]>().prop_map(|both| both.map(IpAddr::V6)),
        ];
        let ports = proptest::option::of(any::<(Option<u16>, u16)>());
        (addresses, ports, any::<u32>()).prop_map(|([local, remote], ports, key)| OuterHeaders {
            local,
            remote,
            udp: ports.map(|(source, destination)| UdpPorts {
                source,
                destination,
            }),
            key,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            outer in outer_headers(),
            destination: [u8; 6],
            source: [u8; 6],
            vlan in 0..4096_u16,
        ) {
            let mut entry = NextHop::FREE;
            prop_assert_eq!(LinkHeader::read(&entry), None);
            outer.write(&mut entry);
            let link = LinkHeader { destination, source, vlan };
            link.write(&mut entry);
            prop_assert_eq!(OuterHeaders::read(&entry), Some(outer));
            prop_assert_eq!(LinkHeader::read(&entry), Some(link));
        }

        #[test]
        fn a_damaged_octet_is_another_tunnels_or_nobodys(outer in outer_headers(), at in 0..OUTER_SIZE, by in 1..=255_u8) {
            let mut entry = NextHop::FREE;
            outer.write(&mut entry);
            entry.outer[at] ^= by;
            prop_assert_ne!(OuterHeaders::read(&entry), Some(outer));
        }
    }

    #[test]
    fn the_headers_are_those_of_the_standards() {
        let mut entry = NextHop::FREE;
        let outer = OuterHeaders {
            local: [192, 0, 2, 1].into(),
            remote: [192, 0, 2, 7].into(),
            udp: Some(UdpPorts {
                source: None,
                destination: 4754,
            }),
            key: 0x0102_0304,
        };
        outer.write(&mut entry);
        let mut bytes = entry.outer;
        (bytes[3], bytes[25]) = (36, 16);
        let packet = etherparse::SlicedPacket::from_ip(&bytes[..36]);
        let packet = packet.expect("an IPv4 packet");
        let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else {
            panic!("not IPv4: {packet:?}");
        };
        assert!(ip.header().dont_fragment());
        assert_eq!(ip.header().ttl(), 64);
        let Some(etherparse::TransportSlice::Udp(udp)) = &packet.transport else {
            panic!("not UDP: {packet:?}");
        };
        assert_eq!(udp.destination_port(), 4754);
        assert_eq!(udp.payload(), [0x20, 0, 0, 0, 1, 2, 3, 4]);
    }
}
