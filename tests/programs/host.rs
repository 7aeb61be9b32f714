//! The TC programs: what this host sends, what XDP handed over, what the kernel forwards.

use re6st_common::{maps::settings, reason::Reason};
use testbed::{
    model::{Verdict, host},
    packet::{Frame, Internet, hex, protocol},
};

use crate::{
    fixtures::{flow_mask, to_peer},
    namespace::{self, DEVICE_ADDRESS, neighbour},
    programs::{Buffer, Kind, Observed, Programs},
    world::{self, ETH0, ETH1, FIRST, LAN0, MISSING, MTU, Peer, SMALL, UP0},
};

/// Reasons that packets in this file show.
pub const REASONS: [Reason; 5] = [
    Reason::SendNoRoute,
    Reason::SendTooBig,
    Reason::SendLinkScoped,
    Reason::RoutingLoop,
    Reason::ForeignSource,
];

/// Answers of TC programs.
const CONTINUE: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;

fn sent_frame(packet: &[u8]) -> Vec<u8> {
    // what the kernel writes for a device without ARP
    Frame::new(DEVICE_ADDRESS, DEVICE_ADDRESS).bytes(packet)
}

#[test]
fn the_host_sends_into_every_tunnel() {
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    for peer in (FIRST..=SMALL).map(Peer::new) {
        for (ipv4, source) in [(false, "2001:db8:42:1::1"), (true, "10.42.1.1")] {
            // arrange: the hop limit and an option are of no concern here
            let packet = Internet::between(source.parse().unwrap(), peer.host(ipv4))
                .hop_limit(1)
                .traffic_class(0x2a)
                .udp(1, 2, b"sent");
            let before = programs.tunnel(peer.id);
            // act
            let frame = sent_frame(&packet.bytes());
            let observed = programs.classify("re6st_send", &frame, Buffer::default());
            // assert
            assert_eq!(observed.answer, REDIRECT, "to {peer:?}");
            assert_eq!(observed.reasons, []);
            let mut bytes = observed.bytes[12..].to_vec();
            let mut expected =
                Frame::new([0; 6], [0; 6]).bytes(&to_peer(peer, 0x2a, &packet.bytes()))[12..]
                    .to_vec();
            for (offset, bits) in flow_mask(peer, 14) {
                bytes[offset - 12] &= !bits;
                expected[offset - 12] &= !bits;
            }
            assert_eq!(bytes, expected, "{}\n{}", hex(&bytes), hex(&expected));
            let after = programs.tunnel(peer.id);
            assert_eq!(after.sent_packets - before.sent_packets, 1);
            assert_eq!(
                after.sent_bytes - before.sent_bytes,
                packet.bytes().len() as u64
            );
        }
    }
}

/// The mark of what is inside must not lead the outer packet to another route.
#[test]
fn what_leaves_by_the_kernels_routes_carries_no_mark() {
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    let buffer = Buffer {
        mark: 0xcafe,
        ..Buffer::default()
    };
    let packet = Internet::new("2001:db8:42:1::1", "2001:db8:42:300::7").udp(1, 2, b"x");
    let [a, b, c, d] = indices.interfaces[LAN0].to_be_bytes();
    let handed = |interface: [u8; 4]| {
        let source = [&[0x02, 0x52][..], &interface].concat();
        Frame::new(DEVICE_ADDRESS, source.try_into().unwrap()).bytes(&packet.bytes())
    };
    for (what, program, frame, mark) in [
        ("sent", "re6st_send", sent_frame(&packet.bytes()), 0),
        ("by TC", "re6st_handover", handed([a, b, c, d]), 0),
        // nftables on the mesh device may want to know it
        ("delivered", "re6st_handover", handed([0; 4]), 0xcafe),
    ] {
        let (observed, after) = programs.classify_marked(program, &frame, buffer);
        assert_eq!(observed.answer, REDIRECT, "{what}");
        assert_eq!(after, mark, "{what}");
    }
}

#[test]
fn the_guard_lets_in_this_nodes_ipv6_address_where_the_kernel_masquerades() {
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    world.settings.flags |= settings::IPV6_MASQUERADE;
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let packet = Internet::new("2001:db8:42:1::1", "2001:db8:42:400::7").udp(1, 2, b"x");
    let frame = sent_frame(&packet.bytes());
    let arrival = indices.interfaces[LAN0];
    let buffer = Buffer {
        arrival,
        ..Buffer::default()
    };

    let observed = programs.classify("re6st_guard", &frame, buffer);

    assert_eq!(observed.answer, CONTINUE);
    assert_eq!(host::may_enter(&frame, &world, arrival), Ok(()));
}

/// Dropped for a reason, or else what becomes of good packets.
fn assert_answer(observed: &Observed, reason: Option<Reason>, good: u32, what: &str) {
    let expected: Vec<(Reason, u64)> = reason.map(|reason| (reason, 1)).into_iter().collect();
    assert_eq!(observed.reasons, expected, "{what}");
    let answer = if reason.is_some() { SHOT } else { good };
    assert_eq!(observed.answer, answer, "{what}");
}

#[test]
fn what_the_host_may_not_send_is_dropped_for_a_reason() {
    let indices = namespace::enter();
    let world = world::example(&indices);
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let udp = |source: &str, destination: &str| {
        sent_frame(&Internet::new(source, destination).udp(1, 2, b"x").bytes())
    };
    let own = "2001:db8:42:1::1";
    let sized = |length: usize| {
        let payload = vec![0; length - 48];
        let packet = Internet::new(own, "2001:db8:42:300::7").udp(1, 2, &payload);
        sent_frame(&packet.bytes())
    };
    let mut short = udp(own, "2001:db8:42:300::7");
    short.pop();
    let missing = format!("2001:db8:42:{MISSING:x}00::7");
    let arp = [Frame::new([0; 6], [0; 6]).header(0x0806), vec![0; 28]].concat();
    let (fits, too_long) = (sized(MTU as usize), sized(MTU as usize + 1));
    let no_route = Some(Reason::SendNoRoute);
    let routing_loop = Some(Reason::RoutingLoop);
    let scoped = Some(Reason::SendLinkScoped);
    let cases = [
        ("no route", udp("2001:db8:77::1", "2001:db8:1::1"), no_route),
        ("no such next hop", udp(own, &missing), no_route),
        ("to itself", udp(own, own), routing_loop),
        ("to its LAN", udp(own, "2001:db8:42:1::2"), routing_loop),
        ("to its LAN", udp("10.42.1.1", "10.42.1.2"), routing_loop),
        ("multicast", udp(own, "ff02::1"), scoped),
        ("link-local", udp("fe80::1", "2001:db8:42:300::7"), scoped),
        ("link-local", udp("10.42.1.1", "169.254.3.4"), scoped),
        ("broadcast", udp("10.42.1.1", "255.255.255.255"), scoped),
        ("ARP", arp, scoped),
        ("cut short", short, Some(Reason::BadLength)),
        ("as long as the MTU", fits, None),
        ("longer than the MTU", too_long, Some(Reason::SendTooBig)),
    ];
    for (what, frame, reason) in cases {
        // act
        let observed = programs.classify("re6st_send", &frame, Buffer::default());
        let model = host::send(&frame, &world, None);
        // assert
        assert_answer(&observed, reason, REDIRECT, what);
        assert_eq!(model.reason, reason, "{what}, in the model");
        assert_eq!(model.verdict == Verdict::Drop, reason.is_some());
    }
}

/// What a segmented packet meets. A test run cannot say whether its segments are TCP or UDP, so the kernel makes no room
/// for outer headers: that far comes a packet whose segments fit.
fn measured(fits: bool) -> Reason {
    if fits {
        Reason::NoHeadroom
    } else {
        Reason::SendTooBig
    }
}

#[test]
fn a_segmented_packet_is_measured_by_its_segments() {
    let indices = namespace::enter();
    let world = world::example(&indices);
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];
    let mtu = MTU as usize;
    // family, TCP options, bytes of headers
    for (ipv4, options, headers) in [
        (false, &TIMESTAMPS[..], 40 + 32),
        (false, &[][..], 40 + 20),
        (true, &TIMESTAMPS[..], 20 + 32),
        (true, &[][..], 20 + 20),
    ] {
        let source = if ipv4 {
            "10.42.1.1"
        } else {
            "2001:db8:42:1::1"
        };
        let peer = Peer::new(FIRST);
        for (segment, fits) in [(mtu - headers, true), (mtu - headers + 1, false)] {
            // arrange: two segments; a test run takes no more than a page
            let packet = Internet::between(source.parse().unwrap(), peer.host(ipv4)).tcp(
                1,
                2,
                options,
                &vec![0; 2 * segment - 100],
            );
            let buffer = Buffer {
                segment_size: segment as u32,
                segments: 2,
                ..Buffer::default()
            };
            // act
            let frame = sent_frame(&packet.bytes());
            let observed = programs.classify("re6st_send", &frame, buffer);
            // assert
            let what = format!("IPv4 {ipv4}, {segment} bytes a segment, {headers} of headers");
            assert_eq!(observed.reasons, [(measured(fits), 1)], "{what}");
            let model = host::send(&frame, &world, Some(segment));
            assert_eq!(
                model.verdict == Verdict::Drop,
                !fits,
                "{what}, in the model"
            );
        }
    }
    // UDP segments (QUIC): 20 + 8 bytes of headers
    for (segment, fits) in [(mtu - 28, true), (mtu - 27, false)] {
        let packet = Internet::new("10.42.1.1", "10.42.3.7").udp(1, 443, &vec![0; 2 * segment]);
        let buffer = Buffer {
            segment_size: segment as u32,
            segments: 2,
            ..Buffer::default()
        };
        let frame = sent_frame(&packet.bytes());
        let observed = programs.classify("re6st_send", &frame, buffer);
        let what = format!("UDP, {segment} bytes a segment");
        assert_eq!(observed.reasons, [(measured(fits), 1)], "{what}");
    }
}

#[test]
fn what_xdp_handed_over_is_redirected_and_nothing_else() {
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world::example(&indices), true);
    let packet = Internet::new("2001:db8:42:300::7", "2001:db8:42:1::1").udp(1, 2, b"x");
    let handed = |interface: u32| {
        let [a, b, c, d] = interface.to_be_bytes();
        Frame::new(DEVICE_ADDRESS, [0x02, 0x52, a, b, c, d]).bytes(&packet.bytes())
    };
    let other = Frame::new(namespace::ethernet(0), neighbour(0)).bytes(&packet.bytes());
    let cases = [
        ("onto the mesh device", handed(0), REDIRECT),
        (
            "out of an interface",
            handed(indices.interfaces[LAN0]),
            REDIRECT,
        ),
        ("an ordinary frame", other, CONTINUE),
    ];
    for (what, frame, answer) in cases {
        let observed = programs.classify("re6st_handover", &frame, Buffer::default());
        assert_eq!(observed.answer, answer, "{what}");
        assert_eq!(observed.bytes, frame, "{what}");
        assert_eq!(observed.reasons, [], "{what}");
    }
}

#[test]
fn the_guard_lets_in_who_may_speak_for_a_source() {
    let indices = namespace::enter();
    let world = world::example(&indices);
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let [lan, uplink, underlay, mesh] =
        [LAN0, UP0, ETH0, ETH1].map(|position| indices.interfaces[position]);
    let foreign = Some(Reason::ForeignSource);
    let spoofed = Some(Reason::SpoofedSource);
    // source, arrival, refused why
    let cases: [(&str, u32, Option<Reason>); 19] = [
        ("2001:db8:42:1::1", 0, None),
        ("2001:db8:77::1", 0, None),
        ("2001:db8:77::1", indices.device, None),
        ("2001:db8:42:1::2", lan, None),
        ("2001:db8:42:1::2", underlay, None),
        ("10.42.1.2", lan, None),
        // translated by this node, or it would not have got this far
        ("10.42.1.1", lan, None),
        // pretending to be this node
        ("2001:db8:42:1::1", lan, spoofed),
        ("2001:db8:42:1::1", mesh, spoofed),
        ("2001:db8:77::1", lan, foreign),
        ("2001:db8:42:300::1", lan, foreign),
        ("9.9.9.9", underlay, foreign),
        ("9.9.9.9", uplink, None),
        ("2001:db8:77::1", uplink, None),
        ("2001:db8:42:300::1", uplink, spoofed),
        ("10.42.3.1", uplink, spoofed),
        ("fe80::1", lan, None),
        // routers forward for others
        ("2001:db8:42:300::1", mesh, None),
        ("9.9.9.9", mesh, None),
    ];
    for (source, arrival, reason) in cases {
        // arrange
        let destination = if source.contains(':') {
            "2001:db8:42:400::7"
        } else {
            "10.42.4.7"
        };
        let packet = Internet::new(source, destination).payload(protocol::UDP, &[0; 8]);
        let frame = sent_frame(&packet.bytes());
        let buffer = Buffer {
            arrival,
            ..Buffer::default()
        };
        // act
        let observed = programs.classify("re6st_guard", &frame, buffer);
        let model = host::may_enter(&frame, &world, arrival);
        // assert
        let what = format!("{source} from interface {arrival}");
        assert_answer(&observed, reason, CONTINUE, &what);
        assert_eq!(model.err(), reason, "{what}, in the model");
    }
}
