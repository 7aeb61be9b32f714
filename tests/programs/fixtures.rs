//! Described packets, and what must become of them.

use std::net::IpAddr;

use re6st_common::reason::Reason;
use testbed::packet::{Frame, Internet, address, protocol};

use crate::{
    namespace::{DEVICE_ADDRESS, Indices, ethernet, neighbour},
    world::{
        BROKEN, ETH0, ETH1, FIRST, FIRST_VLAN, FIXED_PORT, LAN0, MISSING, MTU, NO_NEIGHBOUR,
        OTHER0, PORT, Peer, SMALL, TC0, UP0, WITH_TC,
    },
};

/// What must become of a frame.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Dropped, for a reason.
    Dropped(Reason),
    /// Passed as it is.
    Untouched(Reason),
    /// Given to the kernel on the mesh device: this packet.
    Kernel(Reason, Vec<u8>),
    /// Sent to a peer: this inner packet, with this outer traffic class.
    Peer(Peer, u8, Vec<u8>),
    /// Sent to a peer: this inner packet, and padding behind it.
    PeerPadded(Peer, Vec<u8>, Vec<u8>),
    /// Sent to the neighbour on an interface: this packet.
    Neighbour(usize, Vec<u8>),
    /// Handed to TC to transmit on an interface: this packet.
    NeighbourByTc(usize, Vec<u8>),
}

/// A described packet.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What it is.
    pub name: String,
    /// Position of the interface it arrives on.
    pub arrival: usize,
    /// Its bytes.
    pub frame: Vec<u8>,
    /// Bytes of metadata the driver put in front.
    pub metadata: usize,
    /// The tunnel it came through, and the bytes of the inner packet, if that counts as received.
    pub received: Option<(u32, u64)>,
    /// The tunnel that counts it as sent although it was dropped, and its bytes: what is sent is counted before the
    /// frame is rewritten, which fails for reasons that are no packet's fault only.
    pub counted_as_sent: Option<(u32, u64)>,
    /// What must become of it.
    pub expected: Expected,
}

impl Fixture {
    /// The expected frame, with the bits of the flow's hash cleared; and the mask that clears them.
    pub fn expected_bytes(&self, indices: &Indices) -> (Vec<u8>, Vec<(usize, u8)>) {
        let from_xdp = |interface: u32| {
            let [a, b, c, d] = interface.to_be_bytes();
            Frame::new(DEVICE_ADDRESS, [0x02, 0x52, a, b, c, d])
        };
        match &self.expected {
            Expected::Dropped(_) | Expected::Untouched(_) => (self.frame.clone(), Vec::new()),
            Expected::Kernel(_, packet) => (from_xdp(0).bytes(packet), Vec::new()),
            Expected::Neighbour(position, packet) => {
                let front = Frame::new(neighbour(*position as u8), ethernet(*position as u8));
                (front.bytes(packet), Vec::new())
            }
            Expected::NeighbourByTc(position, packet) => {
                let front = from_xdp(indices.interfaces[*position]);
                (front.bytes(packet), Vec::new())
            }
            Expected::PeerPadded(peer, inner, padding) => {
                let mut bytes = peer.frame_to().bytes(&to_peer(*peer, 0, inner));
                bytes.extend(padding);
                (bytes, flow_mask(*peer, 14))
            }
            Expected::Peer(peer, class, inner) => {
                let by_tc = matches!(peer.id, WITH_TC | NO_NEIGHBOUR);
                let front = if by_tc {
                    from_xdp(indices.interfaces[peer.position])
                } else {
                    peer.frame_to()
                };
                let link = if by_tc || peer.vlan == 0 { 14 } else { 18 };
                (
                    front.bytes(&to_peer(*peer, *class, inner)),
                    flow_mask(*peer, link),
                )
            }
        }
    }
}

/// The outer packet we send to a peer.
pub fn to_peer(peer: Peer, class: u8, inner: &[u8]) -> Vec<u8> {
    let outer = Internet::between(peer.local(), peer.remote()).traffic_class(class);
    if !peer.is_fou() {
        return outer.gre(peer.remote_key(), inner).bytes();
    }
    let port = if peer.id == FIXED_PORT { PORT } else { 0xc000 };
    outer.fou(port, PORT, peer.remote_key(), inner).bytes()
}

/// Which bits of a frame to a peer carry the flow's hash: offset and bits of a byte.
pub fn flow_mask(peer: Peer, link: usize) -> Vec<(usize, u8)> {
    let mut mask = Vec::new();
    let internet = if peer.is_ipv4() { 20 } else { 40 };
    if !peer.is_ipv4() {
        mask.extend([(link + 1, 0x0f), (link + 2, 0xff), (link + 3, 0xff)]);
    }
    if peer.is_fou() && peer.id != FIXED_PORT {
        mask.extend([(link + internet, 0x3f), (link + internet + 1, 0xff)]);
    }
    mask
}

/// The outer packet a peer sends to us.
fn from_peer(peer: Peer, class: u8, inner: &[u8]) -> Vec<u8> {
    let outer = Internet::between(peer.remote(), peer.local()).traffic_class(class);
    if peer.is_fou() {
        outer.fou(0xd123, PORT, peer.key(), inner).bytes()
    } else {
        outer.gre(peer.key(), inner).bytes()
    }
}

const FAMILIES: [bool; 2] = [false, true];

fn family(ipv4: bool) -> &'static str {
    if ipv4 { "IPv4" } else { "IPv6" }
}

fn own(ipv4: bool, host: &str) -> IpAddr {
    address(&if ipv4 {
        format!("10.42.1.{host}")
    } else {
        format!("2001:db8:42:1::{host}")
    })
}

/// A packet out of a tunnel.
fn tunnelled(
    name: &str,
    peer: Peer,
    outer_class: u8,
    inner: &Internet,
    expected: Expected,
) -> Fixture {
    let inner = inner.bytes();
    let received = !matches!(expected, Expected::Dropped(_) | Expected::Untouched(_));
    Fixture {
        name: name.to_owned(),
        arrival: peer.position,
        frame: peer
            .frame_from()
            .bytes(&from_peer(peer, outer_class, &inner)),
        metadata: 0,
        counted_as_sent: None,
        received: received.then_some((peer.id, inner.len() as u64)),
        expected,
    }
}

/// A frame on an interface, addressed to it.
fn plain(name: &str, position: usize, packet: &[u8], expected: Expected) -> Fixture {
    let frame = Frame::new(ethernet(position as u8), neighbour(position as u8)).bytes(packet);
    raw(name, position, frame, expected)
}

fn raw(name: &str, position: usize, frame: Vec<u8>, expected: Expected) -> Fixture {
    Fixture {
        name: name.to_owned(),
        arrival: position,
        frame,
        metadata: 0,
        counted_as_sent: None,
        received: None,
        expected,
    }
}

/// All of them.
pub fn all() -> Vec<Fixture> {
    [
        relays(),
        received_here(),
        limited_encapsulation(),
        sites(),
        from_plain(),
        explicit_congestion(),
        routes(),
        obstacles(),
        unusual_next_hops(),
        refused_tunnels(),
        refused_lengths(),
        refused_inside(),
        refused_plain(),
        untouched(),
    ]
    .concat()
}

/// Every encapsulation in, every encapsulation out, tagged and not, both families.
fn relays() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for from in (FIRST..=10).map(Peer::new) {
        for to in (FIRST..=10).map(Peer::new).filter(|to| to.id != from.id) {
            for ipv4 in FAMILIES {
                let packet = Internet::between(from.host(ipv4), to.host(ipv4))
                    .hop_limit(64)
                    .traffic_class(0xb8)
                    .udp(1000, 2000, b"relayed");
                let relayed = packet.clone().hop_limit(63).bytes();
                fixtures.push(tunnelled(
                    &format!("relay {} from {} to {}", family(ipv4), from.id, to.id),
                    from,
                    0,
                    &packet,
                    Expected::Peer(to, 0xb8, relayed),
                ));
            }
        }
    }
    fixtures
}

/// For this node itself.
fn received_here() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in (FIRST..=10).map(Peer::new) {
        for ipv4 in FAMILIES {
            let packet =
                Internet::between(peer.host(ipv4), own(ipv4, "1")).tcp(1000, 22, &[], b"hello");
            fixtures.push(tunnelled(
                &format!("local {} from {}", family(ipv4), peer.id),
                peer,
                0,
                &packet,
                Expected::Kernel(Reason::Local, packet.bytes()),
            ));
            // hop limit and options are of no concern to the one who receives it
            let last = packet.hop_limit(1);
            fixtures.push(tunnelled(
                &format!("local, hop limit 1, {} from {}", family(ipv4), peer.id),
                peer,
                0,
                &last,
                Expected::Kernel(Reason::Local, last.bytes()),
            ));
        }
    }
    fixtures
}

/// As Linux's ip6gre devices send by default: a tunnel encapsulation limit (RFC 2473 section 4.1.1) outside.
fn limited_encapsulation() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in [4, 6, 8, 10].map(Peer::new) {
        for ipv4 in FAMILIES {
            let packet = Internet::between(peer.host(ipv4), own(ipv4, "1")).udp(1, 2, b"limited");
            let plain = from_peer(peer, 0, &packet.bytes());
            let next_header = plain[6];
            let limit = [next_header, 0, 4, 1, 4, 1, 1, 0];
            let payload = [&limit[..], &plain[40..]].concat();
            let outer = Internet::between(peer.remote(), peer.local()).payload(60, &payload);
            let name = format!("encapsulation limit, {} from {}", family(ipv4), peer.id);
            let expected = Expected::Kernel(Reason::Local, packet.bytes());
            let frame = peer.frame_from().bytes(&outer.bytes());
            let mut fixture = raw(&name, peer.position, frame, expected);
            fixture.received = Some((peer.id, packet.bytes().len() as u64));
            fixtures.push(fixture);
        }
    }
    fixtures
}

/// For hosts behind this node.
fn sites() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in (FIRST..=10).map(Peer::new) {
        for ipv4 in FAMILIES {
            let to = |host: &str| {
                Internet::between(peer.host(ipv4), own(ipv4, host)).udp(5, 6, b"to the LAN")
            };
            let mut add = |what: &str, packet: Internet, expected: Expected| {
                let name = format!("site: {what}, {} from {}", family(ipv4), peer.id);
                fixtures.push(tunnelled(&name, peer, 0, &packet, expected));
            };
            let fewer = |packet: &Internet| packet.clone().hop_limit(63).bytes();
            let packet = to("2");
            let forwarded = fewer(&packet);
            add("neighbour", packet, Expected::Neighbour(LAN0, forwarded));
            let packet = to("8");
            let forwarded = fewer(&packet);
            add("by TC", packet, Expected::NeighbourByTc(TC0, forwarded));
            for (what, host) in [("not our interface", "9"), ("neighbour unknown", "77")] {
                let packet = to(host);
                let bytes = packet.bytes();
                add(what, packet, Expected::Kernel(Reason::Site, bytes));
            }
            let packet = to("2").hop_limit(1);
            let bytes = packet.bytes();
            add(
                "hop limit",
                packet,
                Expected::Kernel(Reason::HopLimit, bytes),
            );
        }
        for (length, fits) in [(1280, true), (1281, false)] {
            let packet = Internet::between(peer.host(false), own(false, "a")).udp(
                5,
                6,
                &vec![0; length - 48],
            );
            let expected = if fits {
                Expected::Neighbour(LAN0, packet.clone().hop_limit(63).bytes())
            } else {
                Expected::Kernel(Reason::Site, packet.bytes())
            };
            let name = format!("site: {length} bytes where 1280 fit, from {}", peer.id);
            fixtures.push(tunnelled(&name, peer, 0, &packet, expected));
        }
    }
    fixtures
}

/// From a LAN, and from a gateway's uplink.
fn from_plain() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in (FIRST..=10).map(Peer::new) {
        for ipv4 in FAMILIES {
            let packet = Internet::between(own(ipv4, "2"), peer.host(ipv4))
                .traffic_class(0x2a)
                .tcp(99, 80, &[1, 1, 1, 1], b"from the LAN");
            fixtures.push(plain(
                &format!("{} from a LAN host to {}", family(ipv4), peer.id),
                LAN0,
                &packet.bytes(),
                Expected::Peer(peer, 0x2a, packet.clone().hop_limit(63).bytes()),
            ));
            let internet = address(if ipv4 {
                "198.51.100.77"
            } else {
                "2001:db8:77::7"
            });
            let packet = Internet::between(internet, peer.host(ipv4)).udp(53, 99, b"answer");
            fixtures.push(plain(
                &format!("{} from the Internet to {}", family(ipv4), peer.id),
                UP0,
                &packet.bytes(),
                Expected::Peer(peer, 0, packet.clone().hop_limit(63).bytes()),
            ));
        }
    }
    for (host, far) in [
        ("2001:db8:42:1::2", "2001:db8:cafe::1"),
        ("10.42.1.2", "203.0.113.1"),
    ] {
        let packet = Internet::new(host, far).udp(99, 53, b"question");
        let hopped = packet.clone().hop_limit(63).bytes();
        fixtures.push(plain(
            &format!("LAN host to the Internet by the mesh: {far}"),
            LAN0,
            &packet.bytes(),
            Expected::Peer(Peer::new(5), 0, hopped),
        ));
    }
    fixtures.push(padded());
    fixtures
}

/// A short frame comes with padding behind it, which stays there and which no length counts.
fn padded() -> Fixture {
    let peer = Peer::new(4);
    let packet = Internet::new("10.42.1.2", "10.42.4.7").udp(1, 2, b"");
    let mut frame = Frame::new(ethernet(LAN0 as u8), neighbour(LAN0 as u8)).bytes(&packet.bytes());
    let padding = vec![0xee; 60 - frame.len()];
    frame.extend(&padding);
    let hopped = packet.hop_limit(63).bytes();
    let expected = Expected::PeerPadded(peer, hopped, padding);
    raw("padded frame from a LAN host", LAN0, frame, expected)
}

/// RFC 6040 figure 4: inner, outer, result.
const CONGESTION: [(u8, u8, Option<u8>); 16] = [
    (0, 0, Some(0)),
    (0, 2, Some(0)),
    (0, 1, Some(0)),
    (0, 3, None),
    (2, 0, Some(2)),
    (2, 2, Some(2)),
    (2, 1, Some(1)),
    (2, 3, Some(3)),
    (1, 0, Some(1)),
    (1, 2, Some(1)),
    (1, 1, Some(1)),
    (1, 3, Some(3)),
    (3, 0, Some(3)),
    (3, 2, Some(3)),
    (3, 1, Some(3)),
    (3, 3, Some(3)),
];

fn explicit_congestion() -> Vec<Fixture> {
    // DSCP EF: the inner one goes on, the outer one ends here
    const INNER: u8 = 0xb8;
    const OUTER: u8 = 0x48;
    let mut fixtures = Vec::new();
    for (inner, outer, result) in CONGESTION {
        for peer in (FIRST..=6).map(Peer::new) {
            for ipv4 in FAMILIES {
                let to = Peer::new(FIRST_VLAN);
                let packet = |destination| {
                    Internet::between(peer.host(ipv4), destination)
                        .traffic_class(INNER | inner)
                        .udp(1, 2, b"marked")
                };
                let name = |what: &str| {
                    format!(
                        "{what}: ECN {inner:02b} in {outer:02b}, {} from {}",
                        family(ipv4),
                        peer.id
                    )
                };
                let expected = |there: &dyn Fn(u8) -> Expected| match result {
                    None => Expected::Dropped(Reason::IllegalEcn),
                    Some(ecn) => there(INNER | ecn),
                };
                let local = packet(own(ipv4, "1"));
                let kernel = |class: u8| {
                    Expected::Kernel(Reason::Local, local.clone().traffic_class(class).bytes())
                };
                let outer = OUTER | outer;
                fixtures.push(tunnelled(
                    &name("local"),
                    peer,
                    outer,
                    &local,
                    expected(&kernel),
                ));
                let relay = packet(to.host(ipv4));
                let onward = |class: u8| {
                    let relayed = relay.clone().traffic_class(class).hop_limit(63);
                    Expected::Peer(to, class, relayed.bytes())
                };
                fixtures.push(tunnelled(
                    &name("relay"),
                    peer,
                    outer,
                    &relay,
                    expected(&onward),
                ));
            }
        }
    }
    fixtures
}

/// Routes that the array cannot answer, and some that it can.
fn routes() -> Vec<Fixture> {
    let from = Peer::new(FIRST_VLAN);
    let table: [(&str, &str, &str, u32); 7] = [
        (
            "a slot's route",
            "2001:db8:42:700::7",
            "2001:db8:42:3ff::98",
            3,
        ),
        (
            "a host route inside a slot",
            "2001:db8:42:700::7",
            "2001:db8:42:3ff::99",
            4,
        ),
        (
            "a range of slots",
            "2001:db8:42:700::7",
            "2001:db8:42:f001::1",
            5,
        ),
        (
            "beside a source-specific route",
            "2001:db8:42:700::7",
            "2001:db8:42:f100::1",
            5,
        ),
        (
            "a source-specific route",
            "2001:db8:42:300::7",
            "2001:db8:42:f1ff::1",
            6,
        ),
        (
            "a default route by source",
            "2001:db8:42:700::7",
            "2001:db8:1::1",
            4,
        ),
        (
            "a default route by source, IPv4",
            "10.42.7.7",
            "203.0.112.1",
            3,
        ),
    ];
    let mut fixtures: Vec<Fixture> = table
        .into_iter()
        .map(|(name, source, destination, id)| {
            let packet = Internet::new(source, destination).udp(1, 2, b"routed");
            let hopped = packet.clone().hop_limit(63).bytes();
            tunnelled(
                name,
                from,
                0,
                &packet,
                Expected::Peer(Peer::new(id), 0, hopped),
            )
        })
        .collect();
    let lost: [(&str, &str, &str); 3] = [
        (
            "no route in the mesh for a foreign source",
            "2001:db8:77::7",
            "2001:db8:1::1",
        ),
        (
            "no route in the mesh for a foreign source, IPv4",
            "9.9.9.9",
            "8.8.8.8",
        ),
        (
            "a next hop that does not exist",
            "2001:db8:42:700::7",
            "2001:db8:42:1000::1",
        ),
    ];
    assert_eq!(MISSING, 0x10, "the last one is routed to it");
    for (name, source, destination) in lost {
        let packet = Internet::new(source, destination).udp(1, 2, b"lost");
        let bytes = packet.bytes();
        fixtures.push(tunnelled(
            name,
            from,
            0,
            &packet,
            Expected::Kernel(Reason::NoRoute, bytes),
        ));
    }
    fixtures
}

/// What the kernel does better: hop limit, options, size.
fn obstacles() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    let (from, to) = (Peer::new(FIRST), Peer::new(FIRST_VLAN));
    // hop limit 2 is enough, options and size come after the hop limit
    const HOP_BY_HOP: [u8; 8] = [17, 0, 5, 2, 0, 0, 1, 0];
    for ipv4 in FAMILIES {
        let header = if ipv4 { 28 } else { 48 };
        let base = |length: usize| {
            Internet::between(from.host(ipv4), to.host(ipv4)).udp(1, 2, &vec![7; length - header])
        };
        let with_options = |packet: Internet| match ipv4 {
            true => packet.options(&[0x94, 4, 0, 0]),
            false => packet.payload(0, &[&HOP_BY_HOP[..], &[0; 8]].concat()),
        };
        let table: [(&str, Internet, Option<Reason>); 8] = [
            (
                "hop limit 0",
                base(100).hop_limit(0),
                Some(Reason::HopLimit),
            ),
            (
                "hop limit 1",
                base(100).hop_limit(1),
                Some(Reason::HopLimit),
            ),
            ("hop limit 2", base(100).hop_limit(2), None),
            ("hop limit 255", base(100).hop_limit(255), None),
            ("options", with_options(base(100)), Some(Reason::Options)),
            (
                "options, hop limit 1",
                with_options(base(100)).hop_limit(1),
                Some(Reason::HopLimit),
            ),
            ("as long as the MTU", base(MTU as usize), None),
            (
                "longer than the MTU",
                base(MTU as usize + 1),
                Some(Reason::TooBig),
            ),
        ];
        for (what, packet, reason) in table {
            let hopped = |packet: &Internet| {
                let limit = packet.bytes()[if ipv4 { 8 } else { 7 }];
                packet.clone().hop_limit(limit.saturating_sub(1)).bytes()
            };
            let expected = match reason {
                Some(reason) => Expected::Kernel(reason, packet.bytes()),
                None => Expected::Peer(to, 0, hopped(&packet)),
            };
            let name = format!("{what}, {}, relayed", family(ipv4));
            fixtures.push(tunnelled(&name, from, 0, &packet, expected));
        }
        // the same from a LAN: untouched
        let own_host = own(ipv4, "2");
        let base = |length: usize| {
            Internet::between(own_host, to.host(ipv4)).udp(1, 2, &vec![7; length - header])
        };
        let table = [
            ("hop limit 1", base(100).hop_limit(1), Reason::HopLimit),
            ("options", with_options(base(100)), Reason::Options),
            (
                "longer than the MTU",
                base(MTU as usize + 1),
                Reason::TooBig,
            ),
        ];
        for (what, packet, reason) in table {
            let name = format!("{what}, {}, from a LAN", family(ipv4));
            fixtures.push(plain(
                &name,
                LAN0,
                &packet.bytes(),
                Expected::Untouched(reason),
            ));
        }
    }
    let small = Peer::new(SMALL);
    for (length, fits) in [(1280, true), (1281, false)] {
        let packet =
            Internet::between(from.host(false), small.host(false)).udp(1, 2, &vec![7; length - 48]);
        let expected = if fits {
            Expected::Peer(small, 0, packet.clone().hop_limit(63).bytes())
        } else {
            Expected::Kernel(Reason::TooBig, packet.bytes())
        };
        fixtures.push(tunnelled(
            &format!("{length} bytes for MTU 1280"),
            from,
            0,
            &packet,
            expected,
        ));
    }
    // fragments inside are packets like others
    let packet = Internet::between(from.host(true), to.host(true))
        .fragment(true, 0)
        .udp(1, 2, &[0; 64]);
    let hopped = packet.clone().hop_limit(63).bytes();
    fixtures.push(tunnelled(
        "inner fragment",
        from,
        0,
        &packet,
        Expected::Peer(to, 0, hopped),
    ));
    fixtures
}

/// Next hops with something special about them.
fn unusual_next_hops() -> Vec<Fixture> {
    let from = Peer::new(FIRST_VLAN);
    let mut fixtures = Vec::new();
    for ipv4 in FAMILIES {
        for (what, id) in [
            ("transmitted by TC", WITH_TC),
            ("neighbour unknown", NO_NEIGHBOUR),
            ("fixed source port", FIXED_PORT),
        ] {
            let to = Peer::new(id);
            let packet = Internet::between(from.host(ipv4), to.host(ipv4)).udp(1, 2, b"special");
            let hopped = packet.clone().hop_limit(63).bytes();
            let name = format!("{what}, {}", family(ipv4));
            fixtures.push(tunnelled(
                &name,
                from,
                0,
                &packet,
                Expected::Peer(to, 0, hopped),
            ));
        }
    }
    let broken = Internet::between(from.host(false), Peer::new(BROKEN).host(false)).udp(1, 2, b"");
    let unsent = tunnelled(
        "unknown encapsulation",
        from,
        0,
        &broken,
        Expected::Dropped(Reason::RewriteFailed),
    );
    let length = broken.bytes().len() as u64;
    fixtures.push(Fixture {
        received: Some((from.id, length)),
        counted_as_sent: Some((BROKEN, length)),
        ..unsent
    });
    let packet = Internet::new("2001:db8:42:1::2", "2001:db8:42:400::7").udp(1, 2, b"");
    let crowded = plain(
        "no room in front of the frame",
        LAN0,
        &packet.bytes(),
        Expected::Dropped(Reason::NoHeadroom),
    );
    // the kernel's own record takes 40 of the 256 bytes of headroom, the driver's metadata all the rest
    fixtures.push(Fixture {
        metadata: 216,
        counted_as_sent: Some((4, packet.bytes().len() as u64)),
        ..crowded
    });
    fixtures
}

/// Keys, peers, interfaces.
fn refused_tunnels() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in (FIRST..=10).map(Peer::new) {
        let inner = Internet::between(peer.host(false), own(false, "1"))
            .udp(1, 2, b"")
            .bytes();
        let wrap = |source: IpAddr, destination: IpAddr, key: u32| {
            let outer = Internet::between(source, destination);
            if peer.is_fou() {
                outer.fou(0xd000, PORT, key, &inner).bytes()
            } else {
                outer.gre(key, &inner).bytes()
            }
        };
        let other = Peer::new(if peer.is_ipv4() == Peer::new(3).is_ipv4() {
            3
        } else {
            4
        });
        let (remote, local, key) = (peer.remote(), peer.local(), peer.key());
        let stranger = address(if peer.is_ipv4() {
            "192.0.2.250"
        } else {
            "2001:db8:ff::250"
        });
        let table: [(&str, IpAddr, IpAddr, u32, Expected); 6] = [
            (
                "unknown index",
                remote,
                local,
                0x3ff,
                Expected::Dropped(Reason::UnknownKey),
            ),
            (
                "upper bits of the key",
                remote,
                local,
                key ^ 0x8000_0000,
                Expected::Dropped(Reason::UnknownKey),
            ),
            (
                "another index",
                remote,
                local,
                key ^ 0x200,
                Expected::Dropped(Reason::UnknownKey),
            ),
            (
                "from a stranger",
                stranger,
                local,
                key,
                Expected::Dropped(Reason::WrongPeer),
            ),
            (
                "from a stranger to another host",
                stranger,
                stranger,
                key,
                Expected::Untouched(Reason::Ordinary),
            ),
            (
                "unknown key, to another host",
                remote,
                stranger,
                0x3ff,
                Expected::Untouched(Reason::Ordinary),
            ),
        ];
        for (what, source, destination, key, expected) in table {
            let frame = peer.frame_from().bytes(&wrap(source, destination, key));
            let name = format!("{what}, tunnel {}", peer.id);
            fixtures.push(raw(&name, peer.position, frame, expected));
        }
        // to another one of our addresses
        if peer.local() != other.local() {
            let frame = peer.frame_from().bytes(&wrap(remote, other.local(), key));
            let name = format!("to the wrong one of our addresses, tunnel {}", peer.id);
            fixtures.push(raw(
                &name,
                peer.position,
                frame,
                Expected::Dropped(Reason::WrongPeer),
            ));
        }
        let packet = wrap(remote, local, key);
        let wrong = Expected::Dropped(Reason::WrongInterface);
        let elsewhere = if peer.position == ETH0 { ETH1 } else { ETH0 };
        let name = format!("wrong interface, tunnel {}", peer.id);
        fixtures.push(raw(
            &name,
            elsewhere,
            peer.frame_from().bytes(&packet),
            wrong.clone(),
        ));
        for vlan in [0, 5, 6] {
            if vlan != peer.vlan {
                let front =
                    Frame::new(ethernet(peer.position as u8), neighbour(0)).maybe_vlan(vlan);
                let name = format!("VLAN {vlan}, tunnel {}", peer.id);
                fixtures.push(raw(
                    &name,
                    peer.position,
                    front.bytes(&packet),
                    wrong.clone(),
                ));
            }
        }
        // the key of a tunnel with the other encapsulation
        if peer.id <= 6 {
            let twisted = Internet::between(remote, local);
            let packet = if peer.is_fou() {
                twisted.gre(key, &inner)
            } else {
                twisted.fou(0xd000, PORT, key, &inner)
            };
            let name = format!("wrong encapsulation, tunnel {}", peer.id);
            let expected = Expected::Dropped(Reason::UnknownKey);
            fixtures.push(raw(
                &name,
                peer.position,
                peer.frame_from().bytes(&packet.bytes()),
                expected,
            ));
        }
    }
    fixtures
}

/// Frames cut short, and lengths that contradict each other.
fn refused_lengths() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for peer in (FIRST..=10).map(Peer::new) {
        for ipv4 in FAMILIES {
            let inner = Internet::between(peer.host(ipv4), own(ipv4, "1")).udp(
                1,
                2,
                b"long enough for both families",
            );
            let whole = peer.frame_from().bytes(&from_peer(peer, 0, &inner.bytes()));
            let link = if peer.vlan == 0 { 14 } else { 18 };
            let front = link + peer.outer_length();
            let internet = if peer.is_ipv4() { 20 } else { 40 };
            let mut add = |what: &str, frame: Vec<u8>, reason: Reason| {
                let name = format!("{what}, {} in tunnel {}", family(ipv4), peer.id);
                fixtures.push(raw(&name, peer.position, frame, Expected::Dropped(reason)));
            };
            let cut = |length: usize| whole[..length].to_vec();
            add("the key cut off", cut(front - 1), Reason::Truncated);
            add("the inner packet cut off", cut(front), Reason::BadLength);
            add(
                "the last byte cut off",
                cut(whole.len() - 1),
                Reason::BadLength,
            );
            // an outer packet that is right and has less in it than an inner header
            let little = |length: usize| {
                let packet = from_peer(peer, 0, &inner.bytes()[..length]);
                peer.frame_from().bytes(&packet)
            };
            add("nothing inside", little(0), Reason::Truncated);
            add("one byte inside", little(1), Reason::Truncated);
            add("half a header inside", little(19), Reason::Truncated);
            let changed = |offset: usize, value: u16| {
                let mut frame = whole.clone();
                frame[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
                frame
            };
            let length_at = if ipv4 { front + 2 } else { front + 4 };
            let stated = u16::from_be_bytes([whole[length_at], whole[length_at + 1]]);
            add(
                "inner length one less",
                changed(length_at, stated - 1),
                Reason::BadLength,
            );
            add(
                "inner length one more",
                changed(length_at, stated + 1),
                Reason::BadLength,
            );
            if peer.is_fou() {
                let at = link + internet + 4;
                let stated = u16::from_be_bytes([whole[at], whole[at + 1]]);
                add(
                    "UDP length one less",
                    changed(at, stated - 1),
                    Reason::BadLength,
                );
                add(
                    "UDP length one more",
                    changed(at, stated + 1),
                    Reason::BadLength,
                );
                add("UDP length 0", changed(at, 0), Reason::BadLength);
            }
            add(
                "GRE carries ARP",
                changed(front - 6, 0x0806),
                Reason::UnknownProtocol,
            );
            let twisted = if ipv4 { 0x86dd } else { 0x0800 };
            add(
                "GRE says the other version",
                changed(front - 6, twisted),
                Reason::InnerMismatch,
            );
            let mut version = whole.clone();
            version[front] = 0x50 | version[front] & 15;
            add("inner version 5", version, Reason::InnerMismatch);
            if ipv4 {
                let mut header = whole.clone();
                header[front] = 0x44;
                add(
                    "inner header of 16 bytes",
                    header.clone(),
                    Reason::InnerMismatch,
                );
                header[front] = 0x4f;
                add(
                    "inner header longer than the packet",
                    header,
                    Reason::BadLength,
                );
            }
            // padding behind a packet does no harm
            let mut padded = whole.clone();
            padded.extend([0xaa; 9]);
            let mut delivered = inner.bytes();
            delivered.extend([0xaa; 9]);
            let name = format!("padding, {} in tunnel {}", family(ipv4), peer.id);
            let mut fixture = raw(
                &name,
                peer.position,
                padded,
                Expected::Kernel(Reason::Local, delivered),
            );
            fixture.received = Some((peer.id, inner.bytes().len() as u64));
            fixtures.push(fixture);
        }
    }
    fixtures
}

/// What no inner packet may be.
fn refused_inside() -> Vec<Fixture> {
    let peer = Peer::new(FIRST);
    let forbidden = Expected::Dropped(Reason::ForbiddenAddress);
    let spoofed = Expected::Dropped(Reason::SpoofedSource);
    let control = Expected::Untouched(Reason::Control);
    let table: Vec<(&str, &str, Expected)> = vec![
        ("::", "2001:db8:42:1::1", forbidden.clone()),
        ("::1", "2001:db8:42:1::1", forbidden.clone()),
        ("::ffff:1.2.3.4", "2001:db8:42:1::1", forbidden.clone()),
        ("ff02::1", "2001:db8:42:1::1", forbidden.clone()),
        ("ff0e::1", "2001:db8:42:1::1", forbidden.clone()),
        ("2001:db8:42:300::7", "::", forbidden.clone()),
        ("2001:db8:42:300::7", "::1", forbidden.clone()),
        ("2001:db8:42:300::7", "::ffff:10.42.1.1", forbidden.clone()),
        ("0.0.0.0", "10.42.1.1", forbidden.clone()),
        ("0.1.2.3", "10.42.1.1", forbidden.clone()),
        ("127.0.0.1", "10.42.1.1", forbidden.clone()),
        ("127.255.255.255", "10.42.1.1", forbidden.clone()),
        ("224.0.0.1", "10.42.1.1", forbidden.clone()),
        ("240.0.0.1", "10.42.1.1", forbidden.clone()),
        ("255.255.255.255", "10.42.1.1", forbidden.clone()),
        ("10.42.3.7", "0.0.0.0", forbidden.clone()),
        ("10.42.3.7", "127.0.0.1", forbidden.clone()),
        ("10.42.3.7", "250.0.0.1", forbidden),
        ("2001:db8:42:1::1", "2001:db8:42:400::1", spoofed.clone()),
        ("2001:db8:42:1::2", "2001:db8:42:400::1", spoofed.clone()),
        ("2001:db8:42:1::1", "2001:db8:42:1::1", spoofed.clone()),
        ("10.42.1.1", "10.42.4.1", spoofed.clone()),
        ("10.42.1.200", "10.42.4.1", spoofed),
        ("fe80::1", "ff02::1:6", control.clone()),
        ("fe80::1", "fe80::2", control.clone()),
        ("febf::1", "2001:db8:42:1::1", control.clone()),
        ("2001:db8:42:300::7", "ff02::1:6", control.clone()),
        ("2001:db8:42:300::7", "fe80::2", control.clone()),
        ("169.254.1.1", "10.42.1.1", control.clone()),
        ("10.42.3.7", "169.254.1.1", control.clone()),
        ("10.42.3.7", "224.0.0.5", control.clone()),
        ("10.42.3.7", "239.255.255.255", control.clone()),
        ("10.42.3.7", "255.255.255.255", control),
    ];
    let mut fixtures: Vec<Fixture> = table
        .into_iter()
        .map(|(source, destination, expected)| {
            let packet = Internet::new(source, destination).udp(6696, 6696, b"inside");
            let name = format!("inside: {source} to {destination}");
            tunnelled(&name, peer, 0, &packet, expected)
        })
        .collect();
    for ipv4 in FAMILIES {
        let packet = Internet::between(Peer::new(4).host(ipv4), peer.host(ipv4)).udp(1, 2, b"");
        let expected = Expected::Dropped(Reason::RoutingLoop);
        let name = format!("back where it came from, {}", family(ipv4));
        fixtures.push(tunnelled(&name, peer, 0, &packet, expected));
    }
    fixtures
}

/// What may not enter the mesh from a plain interface.
fn refused_plain() -> Vec<Fixture> {
    let ordinary = Expected::Untouched(Reason::Ordinary);
    let foreign = Expected::Dropped(Reason::ForeignSource);
    let spoofed = Expected::Dropped(Reason::SpoofedSource);
    let forbidden = Expected::Dropped(Reason::ForbiddenAddress);
    let table: [(&str, usize, &str, &str, &Expected); 19] = [
        (
            "a LAN host's foreign source",
            LAN0,
            "2001:db8:77::1",
            "2001:db8:42:400::1",
            &foreign,
        ),
        (
            "a LAN host's foreign source",
            LAN0,
            "9.9.9.9",
            "10.42.4.1",
            &foreign,
        ),
        (
            "a LAN host as another node",
            LAN0,
            "2001:db8:42:300::1",
            "2001:db8:42:400::1",
            &foreign,
        ),
        (
            "a LAN host as this node",
            LAN0,
            "2001:db8:42:1::1",
            "2001:db8:42:400::1",
            &spoofed,
        ),
        (
            "a LAN host as this node",
            LAN0,
            "10.42.1.1",
            "10.42.4.1",
            &spoofed,
        ),
        (
            "the Internet as this node",
            UP0,
            "2001:db8:42:1::1",
            "2001:db8:42:400::1",
            &spoofed,
        ),
        (
            "the Internet as another node",
            UP0,
            "2001:db8:42:300::1",
            "2001:db8:42:400::1",
            &spoofed,
        ),
        (
            "the Internet as another node",
            UP0,
            "10.42.3.1",
            "10.42.4.1",
            &spoofed,
        ),
        (
            "the Internet as loopback",
            UP0,
            "127.0.0.1",
            "10.42.4.1",
            &forbidden,
        ),
        (
            "the Internet as reserved",
            UP0,
            "240.0.0.1",
            "10.42.4.1",
            &forbidden,
        ),
        (
            "the Internet as unspecified",
            UP0,
            "::",
            "2001:db8:42:400::1",
            &forbidden,
        ),
        (
            "the underlay's foreign source",
            ETH0,
            "9.9.9.9",
            "10.42.4.1",
            &foreign,
        ),
        (
            "a foreign source to foreign parts",
            LAN0,
            "2001:db8:42:300::1",
            "2001:db8:1::1",
            &ordinary,
        ),
        (
            "foreign parts that the kernel reaches otherwise",
            LAN0,
            "2001:db8:42:1::2",
            "2001:db8:beef::1",
            &ordinary,
        ),
        (
            "foreign parts, neighbour unknown",
            LAN0,
            "2001:db8:42:1::2",
            "2001:db8:cafe::2",
            &ordinary,
        ),
        (
            "link-local source",
            LAN0,
            "fe80::1",
            "2001:db8:42:400::1",
            &ordinary,
        ),
        ("multicast", LAN0, "2001:db8:42:1::2", "ff0e::1", &ordinary),
        (
            "to this node",
            LAN0,
            "2001:db8:42:1::2",
            "2001:db8:42:1::1",
            &ordinary,
        ),
        (
            "from host to host behind this node",
            LAN0,
            "10.42.1.2",
            "10.42.1.8",
            &ordinary,
        ),
    ];
    let mut fixtures: Vec<Fixture> = table
        .into_iter()
        .map(|(what, position, source, destination, expected)| {
            let packet = Internet::new(source, destination).udp(1, 2, b"plain");
            let name = format!("{what}: {source} to {destination}");
            plain(&name, position, &packet.bytes(), expected.clone())
        })
        .collect();
    let good = Internet::new("2001:db8:42:1::2", "2001:db8:42:400::1").udp(1, 2, b"plain");
    let lan = |destination: [u8; 6]| Frame::new(destination, neighbour(LAN0 as u8));
    let other_host = lan([2, 9, 9, 9, 9, 9]).bytes(&good.bytes());
    let tagged = lan(ethernet(LAN0 as u8)).vlan(5).bytes(&good.bytes());
    let broadcast = lan([0xff; 6]).bytes(&good.bytes());
    let mine = lan(ethernet(LAN0 as u8)).bytes(&good.bytes());
    let mut short = mine.clone();
    short.truncate(mine.len() - 1);
    let missing = Internet::new("2001:db8:42:1::2", "2001:db8:42:1000::1").udp(1, 2, b"");
    fixtures.extend([
        raw(
            "a frame for another host",
            LAN0,
            other_host,
            ordinary.clone(),
        ),
        raw("a tagged plain frame", LAN0, tagged, ordinary.clone()),
        raw("a broadcast frame", LAN0, broadcast, ordinary.clone()),
        raw(
            "from an interface we were not given",
            OTHER0,
            mine,
            ordinary,
        ),
        raw(
            "a plain frame cut short",
            LAN0,
            short,
            Expected::Dropped(Reason::BadLength),
        ),
        plain(
            "to a next hop that does not exist",
            LAN0,
            &missing.bytes(),
            Expected::Untouched(Reason::NoRoute),
        ),
    ]);
    fixtures
}

/// What is none of our business, or the kernel's.
fn untouched() -> Vec<Fixture> {
    let peer = Peer::new(FIRST);
    let ordinary = Expected::Untouched(Reason::Ordinary);
    let control = Expected::Untouched(Reason::Control);
    let fragment = Expected::Untouched(Reason::OuterFragment);
    let options = Expected::Untouched(Reason::OuterOptions);
    let forged = Expected::Dropped(Reason::ForgedFrame);
    let inner = Internet::between(peer.host(false), own(false, "1"))
        .udp(1, 2, b"")
        .bytes();
    let outer = || Internet::new("192.0.2.103", "192.0.2.1");
    let outer6 = || Internet::new("2001:db8:ff::104", "2001:db8:ff::1");
    let port = |payload: &[u8]| outer().udp(PORT, PORT, payload).bytes();
    let extension = |next: u8| {
        outer6()
            .payload(next, &[17, 0, 0, 0, 0, 0, 0, 0, 1, 2])
            .bytes()
    };
    let limited = |next: u8| {
        outer6()
            .payload(
                60,
                &[
                    &[next, 0, 4, 1, 4, 1, 1, 0][..],
                    &[17, 0, 4, 1, 4, 1, 1, 0, 0],
                ]
                .concat(),
            )
            .bytes()
    };
    let eth0 = || Frame::new(ethernet(0), neighbour(0));
    let arp = [eth0().header(0x0806), vec![0; 28]].concat();
    let two_tags = [eth0().vlan(5).header(0x8100), vec![0, 5, 8, 0], port(b"x")].concat();
    let mut padded_keepalive = eth0().bytes(&port(b""));
    padded_keepalive.resize(60, 0);
    let device = |vlan| Frame::new(DEVICE_ADDRESS, neighbour(0)).maybe_vlan(vlan);
    vec![
        raw("ARP", ETH0, arp, ordinary.clone()),
        raw("two VLAN tags", ETH0, two_tags, ordinary.clone()),
        raw(
            "half an IPv4 header",
            ETH0,
            eth0().bytes(&port(b"")[..15]),
            ordinary.clone(),
        ),
        raw(
            "half a VLAN tag",
            ETH0,
            eth0().vlan(5).header(0)[..16].to_vec(),
            ordinary.clone(),
        ),
        plain(
            "SSH",
            ETH0,
            &outer().tcp(999, 22, &[], b"").bytes(),
            ordinary.clone(),
        ),
        plain(
            "another UDP port",
            ETH0,
            &outer().udp(999, 53, b" \0").bytes(),
            ordinary.clone(),
        ),
        plain(
            "ICMP",
            ETH0,
            &outer().payload(protocol::ICMP, &[8, 0, 0, 0]).bytes(),
            ordinary.clone(),
        ),
        plain(
            "ICMPv6",
            ETH0,
            &outer6().payload(protocol::ICMPV6, &[128, 0, 0, 0]).bytes(),
            ordinary.clone(),
        ),
        plain(
            "GRE without key",
            ETH0,
            &outer().payload(47, &[0, 0, 8, 0, 1]).bytes(),
            ordinary.clone(),
        ),
        plain("handshake", ETH0, &port(&[1; 100]), control.clone()),
        plain(
            "encrypted transport",
            ETH0,
            &port(&[4; 100]),
            control.clone(),
        ),
        plain(
            "an empty datagram to the port",
            ETH0,
            &port(b""),
            control.clone(),
        ),
        raw(
            "an empty datagram to the port, padded",
            ETH0,
            padded_keepalive,
            control.clone(),
        ),
        plain(
            "GRE with checksum to the port",
            ETH0,
            &port(&[0xa0; 40]),
            control.clone(),
        ),
        plain(
            "GRE with sequence number to the port",
            ETH0,
            &port(&[0x30; 40]),
            control,
        ),
        plain(
            "GRE without key to the port",
            ETH0,
            &port(&[0, 0, 8, 0, 0x45, 0, 0, 0, 0, 0]),
            Expected::Dropped(Reason::UnknownKey),
        ),
        plain(
            "GRE to the port, cut short",
            ETH0,
            &port(&[0x20, 0, 8, 0]),
            Expected::Dropped(Reason::Truncated),
        ),
        plain(
            "first fragment",
            ETH0,
            &outer().fragment(true, 0).udp(1, PORT, &inner).bytes(),
            fragment.clone(),
        ),
        plain(
            "last fragment",
            ETH0,
            &outer().fragment(false, 9).udp(1, PORT, &inner).bytes(),
            fragment.clone(),
        ),
        plain("IPv6 fragment", ETH0, &extension(44), fragment),
        plain(
            "fragment to another host",
            ETH0,
            &Internet::new("192.0.2.103", "192.0.2.9")
                .fragment(true, 0)
                .udp(1, PORT, &inner)
                .bytes(),
            ordinary.clone(),
        ),
        plain(
            "IPv4 options",
            ETH0,
            &outer().options(&[1; 4]).udp(1, PORT, &inner).bytes(),
            options.clone(),
        ),
        plain("hop-by-hop options", ETH0, &extension(0), options.clone()),
        plain("routing header", ETH0, &extension(43), options.clone()),
        plain("destination options", ETH0, &extension(60), options.clone()),
        plain("two encapsulation limits", ETH0, &limited(60), options),
        plain(
            "options to another host",
            ETH0,
            &Internet::new("192.0.2.103", "192.0.2.9")
                .options(&[1; 4])
                .udp(1, PORT, &inner)
                .bytes(),
            ordinary,
        ),
        raw(
            "the mesh device's address from outside",
            ETH0,
            device(0).bytes(&inner),
            forged.clone(),
        ),
        raw(
            "the same with a tag",
            ETH1,
            device(5).bytes(&inner),
            forged.clone(),
        ),
        raw(
            "the same, cut within a tag",
            ETH0,
            device(5).header(0x0800)[..15].to_vec(),
            forged.clone(),
        ),
        raw(
            "the same, carrying anything",
            LAN0,
            [device(0).header(0x88cc), vec![0; 4]].concat(),
            forged,
        ),
    ]
}
