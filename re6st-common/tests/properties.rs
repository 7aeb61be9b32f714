//! What must hold of the packet logic whatever the bytes are.

// a property that does not hold has to stop the test
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Ipv4HeaderSlice, checksum::Sum16BitWords};
use proptest::prelude::*;
use re6st_common::{
    address::{Address, Family},
    apply::Verdict,
    checksum, ecn,
    packet::{Frame, Packet as _},
    reason::Reason,
    tables::Tables as _,
};
use support::{
    FIRST, LAN, OWN_ADDRESS, UNDERLAY, UPLINK, World,
    invariants::{check, run},
};

/// An inner packet: family, between mesh hosts of two nodes, any hop limit, class, ports and payload.
#[derive(Clone, Debug)]
struct Described {
    ipv4: bool,
    hop_limit: u8,
    class: u8,
    ports: (u16, u16),
    payload: Vec<u8>,
}

impl Described {
    fn bytes(&self, source: u8, destination: u8, host: u8) -> Vec<u8> {
        let builder = if self.ipv4 {
            etherparse::PacketBuilder::ipv4(
                support::ipv4(source, 2).ipv4_octets(),
                support::ipv4(destination, host).ipv4_octets(),
                self.hop_limit,
            )
        } else {
            etherparse::PacketBuilder::ipv6(
                support::ipv6(source, 2).octets(),
                support::ipv6(destination, host).octets(),
                self.hop_limit,
            )
        };
        let builder = builder.udp(self.ports.0, self.ports.1);
        let mut bytes = Vec::with_capacity(builder.size(self.payload.len()));
        builder.write(&mut bytes, &self.payload).unwrap();
        set_class(&mut bytes, self.class);
        bytes
    }
}

/// Writes the traffic class, and the header's checksum anew.
fn set_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        repair_checksum(packet);
    } else {
        packet[0] = 0x60 | class >> 4;
        packet[1] = packet[1] & 0x0f | class << 4;
    }
}

fn repair_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let checksum = Sum16BitWords::new()
        .add_slice(&packet[..20])
        .ones_complement();
    packet[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

fn with_hop_limit(mut packet: Vec<u8>, hop_limit: u8) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[8] = hop_limit;
        repair_checksum(&mut packet);
    } else {
        packet[7] = hop_limit;
    }
    packet
}

fn described() -> impl Strategy<Value = Described> {
    let payload = proptest::collection::vec(any::<u8>(), 0..1300);
    (
        any::<bool>(),
        any::<u8>(),
        any::<u8>(),
        any::<(u16, u16)>(),
        payload,
    )
        .prop_map(|(ipv4, hop_limit, class, ports, payload)| Described {
            ipv4,
            hop_limit,
            class,
            ports,
            payload,
        })
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if packet[0] >> 4 == 4 {
        [8, 0]
    } else {
        [0x86, 0xdd]
    };
    [&OWN_ADDRESS[..], &[2, 0, 0, 0, 0, 9], &ethertype, packet].concat()
}

/// A tunnel's frame as the other node makes it, with any inner packet.
fn tunnel_frame(index: u8, inner: &[u8]) -> Vec<u8> {
    let sender = World::of_node(2);
    let next_hop = sender.next_hops[&(FIRST + u32::from(index))];
    let length = [36, 56, 28, 48][usize::from(index)];
    let mut outer = next_hop.outer[..length].to_vec();
    let total = length + inner.len();
    if index.is_multiple_of(2) {
        outer[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    } else {
        outer[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
    }
    if index < 2 {
        let internet = length - 16;
        let udp = (total - internet) as u16;
        outer[internet + 4..internet + 6].copy_from_slice(&udp.to_be_bytes());
    }
    let protocol: [u8; 2] = match inner.first().map(|byte| byte >> 4) {
        Some(4) => [8, 0],
        _ => [0x86, 0xdd],
    };
    outer[length - 6..length - 4].copy_from_slice(&protocol);
    [&next_hop.ethernet[..14], &outer, inner].concat()
}

fn arrival() -> impl Strategy<Value = u32> {
    prop_oneof![Just(UNDERLAY), Just(LAN), Just(UPLINK), 0..6u32]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_handled(
        bytes in proptest::collection::vec(any::<u8>(), 14..200),
        arrival in arrival(),
    ) {
        check(&World::of_node(1), &bytes, arrival);
    }

    #[test]
    fn damaged_tunnel_packets_are_handled(
        described in described(),
        index in 0..4u8,
        nodes in (prop_oneof![Just(2u8), Just(1), 10..14u8], prop_oneof![Just(1u8), Just(2), 10..14u8]),
        damage in proptest::collection::vec((0..120usize, any::<u8>()), 0..4),
        cut in 0..60usize,
        arrival in arrival(),
    ) {
        let inner = described.bytes(nodes.0, nodes.1, 2);
        let mut frame = tunnel_frame(index, &inner);
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate((frame.len() - cut).max(14));
        check(&World::of_node(1), &frame, arrival);
    }

    /// Encapsulated by one node, decapsulated by the other: the same packet, one hop further.
    #[test]
    fn what_goes_in_comes_out(described in described(), index in 0..4u8) {
        prop_assume!(described.hop_limit > 1);
        // what a LAN sends to the tunnels' port may be another node's tunnel: the kernel's, and counted as control
        prop_assume!(described.ports.1 != 4754);
        // arrange: node 1 takes the packet from its LAN, node 2 has it for itself
        let sender = World::of_node(1);
        let mut receiver = World::of_node(2);
        let to = 10 + index;
        for (_, key, value) in &mut receiver.trie {
            // what is behind the tunnel for node 1 is node 2's own
            let own = [support::ipv6(to, 0), support::ipv4(to, 0)];
            if own.iter().any(|address| address.octets() == key.address) {
                value.next_hop = 1;
            }
        }
        receiver.fib.clear();
        let inner = described.bytes(1, to, 2);
        // act
        let (reason, verdict, sent) = run(&sender, &framed(&inner), LAN);
        // assert
        prop_assert_eq!(reason, None);
        prop_assert_eq!(verdict, Verdict::Redirect(UNDERLAY));
        check_outer(index, &sent[14..], described.class, inner.len());
        let (reason, verdict, delivered) = run(&receiver, &sent, UNDERLAY);
        prop_assert_eq!(reason, Some(Reason::Local));
        prop_assert_eq!(verdict, Verdict::Pass);
        let expected = with_hop_limit(inner, described.hop_limit - 1);
        prop_assert_eq!(&delivered[14..], &expected[..]);
    }

    /// A relay changes the hop limit and the congestion bits, keeps every checksum right, and nothing else.
    #[test]
    fn a_relay_changes_nothing_else(
        described in described(),
        from in 0..4u8,
        to in 0..4u8,
        outer_ecn in 0..4u8,
    ) {
        prop_assume!(from != to && described.hop_limit > 1);
        // the outer congestion mark, with the checksum it changes
        let inner = described.bytes(10 + from, 10 + to, 2);
        let mut frame = tunnel_frame(from, &inner);
        set_class(&mut frame[14..], outer_ecn);
        let (reason, verdict, relayed) = run(&World::of_node(1), &frame, UNDERLAY);
        let Some(class) = ecn::decapsulate(outer_ecn, described.class) else {
            prop_assert_eq!(reason, Some(Reason::IllegalEcn));
            return Ok(());
        };
        prop_assert_eq!(reason, None);
        prop_assert_eq!(verdict, Verdict::Redirect(UNDERLAY));
        check_outer(to, &relayed[14..], class, inner.len());
        let mut expected = with_hop_limit(inner, described.hop_limit - 1);
        set_class(&mut expected, class);
        let outer = [36, 56, 28, 48][usize::from(to)];
        prop_assert_eq!(&relayed[14 + outer..], &expected[..]);
    }

    /// To a host behind the node: as a router forwards it.
    #[test]
    fn a_packet_for_the_site_is_forwarded(described in described(), from in 0..4u8) {
        prop_assume!(described.hop_limit > 1);
        let inner = described.bytes(10 + from, 1, 8);
        let (reason, verdict, forwarded) = run(&World::of_node(1), &tunnel_frame(from, &inner), UNDERLAY);
        prop_assert_eq!(reason, None);
        prop_assert_eq!(verdict, Verdict::Redirect(LAN));
        let expected = with_hop_limit(inner, described.hop_limit - 1);
        prop_assert_eq!(&forwarded[14..], &expected[..]);
    }

    #[test]
    fn an_updated_checksum_is_the_recomputed_one(
        words in proptest::array::uniform10(any::<u16>()),
        at in 0..10usize,
        new in any::<u16>(),
    ) {
        // a header of all zero has two right checksums, and is no header
        let mut words = words;
        words[(at + 1) % 10] |= 0x4500;
        let whole = |words: &[u16; 10]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            !checksum::fold(checksum::sum(&bytes))
        };
        let before = whole(&words);
        let old = core::mem::replace(&mut words[at], new);
        prop_assert_eq!(checksum::update(before, old, new), whole(&words));
    }

    #[test]
    fn addresses_are_what_the_standard_library_says(bytes in any::<[u8; 16]>(), kind in 0..12u8) {
        let bytes = steered(bytes, kind);
        let address = Ipv6Addr::from(bytes);
        let ours = Address::from(IpAddr::V6(address));
        prop_assert_eq!(ours.octets(), bytes);
        prop_assert_eq!(ours.is_global_ipv6(), bytes[0] >> 5 == 1);
        prop_assert_eq!(ours.is_multicast(Family::Ipv6), address.is_multicast());
        prop_assert_eq!(
            ours.is_link_scoped(Family::Ipv6),
            address.is_multicast() || address.is_unicast_link_local()
        );
        prop_assert_eq!(
            ours.is_forbidden(Family::Ipv6),
            address.is_unspecified() || address.is_loopback() || address.to_ipv4_mapped().is_some()
        );
    }

    #[test]
    fn slots_of_the_array_are_the_bits_of_the_prefix(high in any::<u64>(), low in any::<u64>(), inside in any::<bool>()) {
        let world = World::of_node(1);
        let settings = world.settings();
        let high = if inside { settings.network | high & !settings.network_mask } else { high };
        let expected = (high >> 16 == 0x2001_0db8_0042).then_some((high >> 8 & 0xff) as u32);
        prop_assert_eq!(settings.fib_slot(Address::new(high, low)), expected);
    }
}

/// Random bytes, made likely to be something special.
fn steered(mut bytes: [u8; 16], kind: u8) -> [u8; 16] {
    match kind {
        0 => bytes[0] = 0xff,
        1 | 2 => (bytes[0], bytes[1]) = (0xfe, 0x80 | bytes[1] & 0x7f),
        3 => bytes = [0; 16],
        4 => bytes[..15].fill(0),
        5 => {
            bytes[..10].fill(0);
            bytes[10..12].fill(0xff);
        }
        6 => bytes[..12].fill(0),
        _ => {}
    }
    bytes
}

/// Lengths, checksum, class and fields that no packet may change.
fn check_outer(index: u8, outer: &[u8], class: u8, inner: usize) {
    let length = [36, 56, 28, 48][usize::from(index)];
    let internet = if index.is_multiple_of(2) { 20 } else { 40 };
    assert_eq!(outer.len(), length + inner);
    if internet == 20 {
        let header = Ipv4HeaderSlice::from_slice(outer).unwrap().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(usize::from(header.total_len), outer.len());
        assert_eq!(outer[1], class);
    } else {
        let payload = u16::from_be_bytes([outer[4], outer[5]]);
        assert_eq!(usize::from(payload), outer.len() - 40);
        assert_eq!(outer[0] << 4 | outer[1] >> 4, class);
    }
    if index < 2 {
        let udp = u16::from_be_bytes([outer[internet + 4], outer[internet + 5]]);
        assert_eq!(usize::from(udp), outer.len() - internet);
        assert_eq!(outer[internet + 6..internet + 8], [0, 0], "no UDP checksum");
        assert!(
            outer[internet] >= 0xc0,
            "the source port is of the dynamic range"
        );
    }
}

/// Every value of one word, in headers whose other words are like those of real ones: the update is exact.
#[test]
fn updated_checksums_are_right_for_every_word() {
    let rest = 0x4500u32 + 0x0054 + 0x4000 + 0xc0a8 + 0x0001;
    for old in 0..=u16::MAX {
        for new in [
            0,
            1,
            0x3f11,
            0x4011,
            0x8000,
            0xfffe,
            0xffff,
            old.wrapping_sub(0x100),
        ] {
            let before = !checksum::fold(rest + u32::from(old));
            let after = !checksum::fold(rest + u32::from(new));
            assert_eq!(
                checksum::update(before, old, new),
                after,
                "{old:#x} to {new:#x}"
            );
        }
    }
}

/// RFC 6040 figure 4.
#[test]
fn congestion_marks_leave_the_tunnel_as_the_rfc_says() {
    const NOT_ECT: u8 = 0b00;
    const ECT_0: u8 = 0b10;
    const ECT_1: u8 = 0b01;
    const CE: u8 = 0b11;
    // rows: inner; columns: outer Not-ECT, ECT(0), ECT(1), CE
    let figure = [
        (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
        (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ];
    for (inner, row) in figure {
        for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
            for dscp in [0, 0xb8, 0xfc] {
                let result = ecn::decapsulate(outer, dscp | inner);
                assert_eq!(
                    result,
                    expected.map(|ecn| dscp | ecn),
                    "{inner:02b} in {outer:02b}"
                );
            }
        }
    }
}

/// The first and last address of every special block, and their neighbours.
#[test]
fn ipv4_addresses_are_what_the_standard_library_says() {
    let edges = [
        0u32,
        0x0100_0000,
        0x7f00_0000,
        0x8000_0000,
        0xa9fe_0000,
        0xa9ff_0000,
        0xe000_0000,
        0xf000_0000,
        0xffff_ffff,
    ];
    for edge in edges {
        for offset in [-1i32, 0, 1] {
            let address = Ipv4Addr::from(edge.wrapping_add_signed(offset));
            let ours = Address::from(IpAddr::V4(address));
            let first = address.octets()[0];
            let several = address.is_multicast() || address.is_broadcast();
            assert_eq!(ours.is_multicast(Family::Ipv4), several, "{address}");
            assert_eq!(
                ours.is_link_scoped(Family::Ipv4),
                several || address.is_link_local(),
                "{address}"
            );
            assert_eq!(
                ours.is_forbidden(Family::Ipv4),
                first == 0 || address.is_loopback() || (first >= 240 && !address.is_broadcast()),
                "{address}"
            );
            assert_eq!(ours.ipv4_octets(), address.octets());
        }
    }
}

/// A frame cannot be read or written behind its end, nor be moved out of its buffer.
#[test]
fn frames_have_limits() {
    let mut frame = Frame::new(&[7; 20]);
    assert_eq!(frame.length(), 20);
    assert_eq!(frame.read::<[u8; 4]>(16), Some([7; 4]));
    assert_eq!(frame.read::<[u8; 4]>(17), None);
    assert_eq!(frame.read::<[u8; 4]>(usize::MAX), None);
    assert_eq!(frame.write(17, &[0u8; 4]), None);
    assert_eq!(frame.adjust_head(7), None);
    assert_eq!(frame.adjust_head(-257), None);
    assert_eq!(frame.adjust_head(-256), Some(()));
    assert_eq!(frame.length(), 276);
}
