//! The frames the generator sends, and how they must look when the sink gets them.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use anyhow::{Context as _, Result, ensure};
use re6st_common::checksum;

use super::layout::{Expected, HEAD_SIZE, Stream};

/// Eight bytes of payload that tell the generator's packets from all others.
pub const MARK: [u8; 8] = *b"re6stbed";
/// Hop limit of the generated packets.
pub const HOP_LIMIT: u8 = 64;
/// The mesh's network; bytes 6 and 7 of a destination are its number.
pub const NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, 0);
/// Where the packets say they come from.
pub const SOURCE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0xfffe, 0, 0, 0, 1);
const DESTINATION: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x42, 0, 0, 0, 0, 1);

/// EtherTypes.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// See above.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of an IPv4 header.
pub const IPV4: usize = 20;
const IPV6: usize = 40;
/// Bytes of a UDP header.
pub const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
/// UDP destination port of the inner packets: discard.
const PORT: u16 = 9;
// offsets from the inner IPv6 header on
const MARK_OFFSET: usize = IPV6 + UDP;
/// The two bytes that balance the checksum come behind the mark.
const BALANCE_OFFSET: usize = MARK_OFFSET + MARK.len();
/// The time of sending, in packets that are long enough.
const TIME_OFFSET: usize = BALANCE_OFFSET + 8;
const SLOT_OFFSET: usize = 24 + 6;
/// UDP source port.
const FLOW_OFFSET: usize = IPV6;
const HOP_LIMIT_OFFSET: usize = 7;

/// Both ends of a link.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// Ethernet address of the sending end.
    pub from: [u8; 6],
    /// Ethernet address of the receiving end.
    pub to: [u8; 6],
    /// IPv4 address of the sending end.
    pub source: Ipv4Addr,
    /// IPv4 address of the receiving end.
    pub destination: Ipv4Addr,
}

/// A frame: what stands in front of the inner packet, and the inner packet.
#[derive(Clone, Debug)]
pub struct Frame {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where the inner packet begins.
    pub inner: usize,
    /// Where a number is that grows by one with each packet, and its first value.
    pub sequence: Option<(usize, u32)>,
}

/// The inner packet: IPv6 UDP of `length` bytes in all, with a right checksum.
pub fn inner(length: usize) -> Vec<u8> {
    let udp_length = ((length - IPV6) as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(udp_length);
    packet.extend([UDP_PROTOCOL, HOP_LIMIT]);
    packet.extend(SOURCE.octets());
    packet.extend(DESTINATION.octets());
    // the source port is the flow's number
    packet.extend([0, 0]);
    packet.extend(PORT.to_be_bytes());
    packet.extend(udp_length);
    packet.extend([0, 0]);
    packet.extend(MARK);
    // nothing to balance yet
    packet.extend([0xff, 0xff]);
    packet.resize(length, 0x5a);
    let sum = !udp_sum(&packet);
    packet[IPV6 + 6..IPV6 + 8].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The sum over an IPv6 UDP packet and its pseudo-header (RFC 8200 section 8.1): 0xffff if its checksum is right.
fn udp_sum(packet: &[u8]) -> u16 {
    let mut data = packet[8..].to_vec();
    data.extend([0, UDP_PROTOCOL]);
    data.extend(&packet[4..6]);
    if data.len() % 2 == 1 {
        data.push(0);
    }
    checksum::fold(checksum::sum(&data))
}

/// An Ethernet header.
pub fn ethernet(hop: &Hop, ethertype: u16) -> Vec<u8> {
    [&hop.to[..], &hop.from[..], &ethertype.to_be_bytes()[..]].concat()
}

/// Ethernet, IPv4 and UDP headers for `payload` bytes, without UDP checksum.
pub fn ipv4_udp(hop: &Hop, port: u16, payload: usize) -> Vec<u8> {
    let mut front = ethernet(hop, ETHERTYPE_IPV4);
    front.extend([0x45, 0]);
    front.extend(((IPV4 + UDP + payload) as u16).to_be_bytes());
    front.extend([0, 0, 0x40, 0, HOP_LIMIT, UDP_PROTOCOL, 0, 0]);
    front.extend(hop.source.octets());
    front.extend(hop.destination.octets());
    let sum = !checksum::fold(checksum::sum(&front[ETHERNET..]));
    front[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
    front.extend(port.to_be_bytes());
    front.extend(port.to_be_bytes());
    front.extend(((UDP + payload) as u16).to_be_bytes());
    front.extend([0, 0]);
    front
}

impl Frame {
    /// What stands in front, then the inner packet.
    pub fn new(front: Vec<u8>, inner: &[u8]) -> Self {
        Self {
            inner: front.len(),
            bytes: [&front, inner].concat(),
            sequence: None,
        }
    }

    /// GRE with key in UDP over IPv4, as our tunnels have it.
    pub fn fou(hop: &Hop, port: u16, key: u32, inner: &[u8]) -> Self {
        let mut front = ipv4_udp(hop, port, 8 + inner.len());
        front.extend([0x20, 0]);
        front.extend(ETHERTYPE_IPV6.to_be_bytes());
        front.extend(key.to_be_bytes());
        Self::new(front, inner)
    }

    /// A stream of such frames to `slots` destinations, of which there are at most 2^16.
    pub fn stream(&self, interface: u32, first_slot: u32, slots: u32) -> Stream {
        const FLOWS: u32 = 1024;
        let mut head = [0; HEAD_SIZE];
        let length = self.bytes.len().min(HEAD_SIZE) & !7;
        head[..length].copy_from_slice(&self.bytes[..length]);
        let (sequence_offset, first_sequence) = self.sequence.unwrap_or_default();
        Stream {
            interface,
            head_length: length as u32,
            flow_offset: (self.inner + FLOW_OFFSET) as u32,
            flow_mask: FLOWS - 1,
            slot_offset: (self.inner + SLOT_OFFSET) as u32,
            first_slot,
            slots,
            balance_offset: (self.inner + BALANCE_OFFSET) as u32,
            sequence_offset: sequence_offset as u32,
            first_sequence,
            time_offset: 0,
            interval: 0,
            burst: 1,
            share_mask: 0,
            trim: 0,
            reserved: 0,
            head,
        }
    }

    /// Where the time of sending is written, if it is.
    pub fn time_offset(&self) -> u32 {
        (self.inner + TIME_OFFSET) as u32
    }

    /// What the sink has to count if this is what arrives.
    pub fn expected(&self) -> Expected {
        Expected {
            length: self.bytes.len() as u32,
            mark_offset: (self.inner + MARK_OFFSET) as u32,
            mark: MARK,
            time_offset: 0,
            reserved: 0,
        }
    }
}

/// How a frame must look at the sink.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The frame of the first packet of the first flow.
    pub frame: Frame,
    /// Bytes in front of the inner packet that may be anything.
    pub free: Vec<Range<usize>>,
    /// Hop limit of the inner packet.
    pub hop_limit: u8,
}

impl Arrival {
    /// Checks the front of a frame that arrived.
    pub fn check(&self, sample: &[u8]) -> Result<()> {
        let inner = self.frame.inner;
        ensure!(
            sample.len() >= inner + BALANCE_OFFSET + 2,
            "the sample is cut short: {sample:02x?}"
        );
        for (index, (seen, wanted)) in sample.iter().zip(&self.frame.bytes[..inner]).enumerate() {
            let free = self.free.iter().any(|range| range.contains(&index));
            ensure!(
                free || seen == wanted,
                "byte {index} of an arrived frame is {seen:#04x}, not {wanted:#04x}: {sample:02x?}"
            );
        }
        if sample[12..14] == ETHERTYPE_IPV4.to_be_bytes() {
            let header = sample.get(ETHERNET..ETHERNET + IPV4).context("cut short")?;
            ensure!(
                checksum::fold(checksum::sum(header)) == 0xffff,
                "the outer header's checksum is wrong: {sample:02x?}"
            );
        }
        self.check_inner(&sample[inner..])
            .with_context(|| format!("in {sample:02x?}"))
    }

    /// The inner packet must be as it was sent but for the hop limit; flow and destination differ between packets.
    fn check_inner(&self, sample: &[u8]) -> Result<()> {
        let mut packet = self.frame.bytes[self.frame.inner..].to_vec();
        packet[HOP_LIMIT_OFFSET] = self.hop_limit;
        for offset in [SLOT_OFFSET, FLOW_OFFSET, BALANCE_OFFSET] {
            packet[offset..offset + 2].copy_from_slice(&sample[offset..offset + 2]);
        }
        let length = sample.len().min(packet.len());
        ensure!(
            packet[..length] == sample[..length],
            "the inner packet is not as it was sent: {:02x?} became {:02x?}",
            &packet[..length],
            &sample[..length]
        );
        ensure!(udp_sum(&packet) == 0xffff, "the inner checksum is wrong");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    const HOP: Hop = Hop {
        from: [2, 0, 0, 0, 0, 1],
        to: [2, 0, 0, 0, 0, 2],
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
    };

    #[test]
    fn an_arrived_frame_is_checked_byte_by_byte() {
        let frame = Frame::fou(&HOP, 4754, 7, &inner(64));
        let arrival = Arrival {
            frame: frame.clone(),
            free: Vec::new(),
            hop_limit: HOP_LIMIT,
        };

        assert!(arrival.check(&frame.bytes).is_ok());
        for index in 0..frame.bytes.len() {
            let mut bytes = frame.bytes.clone();
            bytes[index] ^= 1;
            assert!(arrival.check(&bytes).is_err(), "byte {index}");
        }
    }
}
