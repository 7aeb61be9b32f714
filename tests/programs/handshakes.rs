//! Initiations of the secure channel: which reach the controller, which are answered, which are dropped.

use re6st_common::{
    address::Address,
    handshake::{self, HEAD_SIZE, SipKey},
    maps::{Handshakes, interface},
    reason::Reason::{
        self, Control, HandshakeCookie, HandshakeMac, HandshakeMalformed, HandshakeVersion,
        Ordinary,
    },
};
use testbed::{
    model::{Verdict, world::World},
    packet::{Frame, Internet, address, hex},
};

use crate::{
    namespace::{self, DEVICE_ADDRESS, Indices, ethernet, ip, neighbour},
    programs::{Kind, Observed, Programs, xdp_answer},
    world::{self, ETH0, ETH1, LAN0, PORT, TC0, VLAN},
};

/// Reasons that packets in this file show.
pub const REASONS: [Reason; 4] = [
    HandshakeMalformed,
    HandshakeVersion,
    HandshakeMac,
    HandshakeCookie,
];

const MAC_KEY: SipKey = SipKey::new([7; 16]);
const SECRET: SipKey = SipKey::new([9; 16]);
/// Octets of an initiation, as long as one with a certificate may be.
const LENGTH: usize = 700;
const SOURCE_PORT: u16 = 40_000;

/// All without a cookie are answered.
const JUDGED: Handshakes = Handshakes {
    enabled: 1,
    rate: 0,
    burst: 0,
    reserved: 0,
    mac_key: MAC_KEY,
    cookie_secret: SECRET,
};

/// What must become of an initiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Passed(Reason),
    Dropped(Reason),
    /// By XDP.
    Answered,
    /// By XDP, but TC transmits the answer.
    AnsweredByTc,
}
use Expected::{Answered, AnsweredByTc, Dropped, Passed};

/// An initiation on its way.
#[derive(Clone, Debug)]
struct Sent {
    position: usize,
    vlan: u16,
    from: &'static str,
    to: &'static str,
    payload: Vec<u8>,
    /// What is done to the frame.
    change: fn(&mut Vec<u8>),
}

impl Sent {
    fn frame(&self) -> Vec<u8> {
        let position = self.position as u8;
        let packet = Internet::new(self.from, self.to).udp(SOURCE_PORT, PORT, &self.payload);
        let front = Frame::new(ethernet(position), neighbour(position)).maybe_vlan(self.vlan);
        let mut frame = front.bytes(&packet.bytes());
        (self.change)(&mut frame);
        frame
    }

    /// The frame that it is answered with.
    fn answer(&self, minute: u32, by_tc: Option<u32>) -> Vec<u8> {
        let cookie = cookie(self.from, minute);
        let mac = &self.payload[16..24];
        let reply = [&[3, 1, 0, 0], &self.payload[4..8], &cookie, mac].concat();
        let packet = Internet::new(self.to, self.from).udp(PORT, SOURCE_PORT, &reply);
        let position = self.position as u8;
        let front = match by_tc {
            None => Frame::new(neighbour(position), ethernet(position)).maybe_vlan(self.vlan),
            Some(interface) => {
                let [a, b, c, d] = interface.to_be_bytes();
                Frame::new(DEVICE_ADDRESS, [0x02, 0x52, a, b, c, d])
            }
        };
        front.bytes(&packet.bytes())
    }
}

fn cookie(source: &str, minute: u32) -> [u8; 8] {
    handshake::cookie(SECRET, Address::from(address(source)), SOURCE_PORT, minute)
}

/// An initiation by somebody who knows our public key, changed after that.
fn initiation(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut initiation: Vec<u8> = (0..LENGTH).map(|at| at as u8 ^ 0x5a).collect();
    initiation[..8].copy_from_slice(&[1, 1, 0, 0, 0, 1, 2, 3]);
    initiation[8..16].fill(0);
    let head = initiation.first_chunk::<HEAD_SIZE>().expect("a head");
    let mac = handshake::mac(MAC_KEY, head);
    initiation[16..24].copy_from_slice(&mac);
    change(&mut initiation);
    initiation
}

/// The minute that XDP counts by.
fn minute() -> u32 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE);
    u32::try_from(now.expect("the clock").tv_sec() / 60).expect("minutes since the start")
}

/// A namespace that keeps the addresses packets are sent to here.
fn enter() -> (Indices, World) {
    let indices = namespace::enter();
    for address in ["192.0.2.1/32", "198.51.100.1/32", "192.0.2.77/32"] {
        ip(&format!("-4 addr add {address} dev eth0"));
    }
    ip("-6 addr add 2001:db8:ff::1/128 dev lan0 nodad");
    let world = world::example(&indices);
    (indices, world)
}

const IPV4: (&str, &str) = ("192.0.2.103", "192.0.2.1");
const IPV6: (&str, &str) = ("2001:db8:ff::104", "2001:db8:ff::1");

fn sent((from, to): (&'static str, &'static str), payload: Vec<u8>) -> Sent {
    Sent {
        position: if from.contains(':') { LAN0 } else { ETH0 },
        vlan: 0,
        from,
        to,
        payload,
        change: |_| {},
    }
}

/// Initiations that are judged the same from IPv4 and IPv6.
fn of_both_families(
    addresses: (&'static str, &'static str),
) -> Vec<(&'static str, Sent, Expected)> {
    let with = |change: fn(&mut Vec<u8>)| sent(addresses, initiation(change));
    let cookies = [minute(), minute().wrapping_sub(1)].map(|minute| {
        let cookie = cookie(addresses.0, minute);
        initiation(|octets| octets[8..16].copy_from_slice(&cookie))
    });
    let [this, before] = cookies;
    let changed = |change: fn(&mut Vec<u8>)| Sent {
        change,
        ..sent(addresses, initiation(|_| {}))
    };
    let tagged = Sent {
        vlan: VLAN,
        ..sent(addresses, initiation(|_| {}))
    };
    vec![
        ("no cookie", with(|_| {}), Answered),
        ("a wrong cookie", with(|octets| octets[8] = 1), Answered),
        (
            "a head and no more",
            with(|octets| octets.truncate(56)),
            Answered,
        ),
        ("a VLAN's", tagged, Answered),
        (
            "a padded frame",
            changed(|frame| frame.extend([0; 9])),
            Answered,
        ),
        (
            "a cookie of this minute",
            sent(addresses, this),
            Passed(Control),
        ),
        (
            "a cookie of the minute before",
            sent(addresses, before),
            Passed(Control),
        ),
        (
            "a wrong MAC",
            with(|octets| octets[16] ^= 1),
            Dropped(HandshakeMac),
        ),
        (
            "another ephemeral key",
            with(|octets| octets[55] ^= 1),
            Dropped(HandshakeMac),
        ),
        (
            "another version",
            with(|octets| octets[1] = 2),
            Dropped(HandshakeVersion),
        ),
        (
            "not zero",
            with(|octets| octets[3] = 1),
            Dropped(HandshakeMalformed),
        ),
        (
            "session 0",
            with(|octets| octets[4..8].fill(0)),
            Dropped(HandshakeMalformed),
        ),
        (
            "one octet short",
            with(|octets| octets.truncate(55)),
            Dropped(HandshakeMalformed),
        ),
        (
            "a type alone",
            with(|octets| octets.truncate(1)),
            Dropped(HandshakeMalformed),
        ),
        (
            "a frame cut short",
            changed(|frame| frame.truncate(300)),
            Dropped(HandshakeMalformed),
        ),
        ("a response", with(|octets| octets[0] = 2), Passed(Control)),
        ("an empty datagram", with(Vec::clear), Passed(Control)),
        (
            "to another host of the link",
            changed(|frame| frame[5] ^= 0x40),
            Passed(Control),
        ),
        (
            "from a group of the link",
            changed(|frame| frame[6] |= 1),
            Dropped(HandshakeMalformed),
        ),
    ]
}

fn cases() -> Vec<(&'static str, Sent, Expected)> {
    let plain = |addresses| sent(addresses, initiation(|_| {}));
    let wrong = |addresses| sent(addresses, initiation(|octets| octets[16] ^= 1));
    let by_tc = Sent {
        position: TC0,
        ..plain(IPV4)
    };
    let by_tc_tagged = Sent {
        vlan: VLAN,
        ..by_tc.clone()
    };
    let options = Sent {
        change: |frame| frame[14] = 0x46,
        ..wrong(IPV4)
    };
    let length = Sent {
        // of UDP
        change: |frame| frame[14 + 20 + 5] ^= 1,
        ..plain(IPV4)
    };
    let from_port_0 = Sent {
        change: |frame| frame[34..36].fill(0),
        ..plain(IPV4)
    };
    let malformed = Dropped(HandshakeMalformed);
    let mut cases = vec![
        ("answered by TC", by_tc, AnsweredByTc),
        ("TC would lose the tag", by_tc_tagged, Passed(Control)),
        (
            "routed for others, IPv4",
            wrong(("192.0.2.103", "203.0.113.9")),
            Passed(Control),
        ),
        (
            "routed for others, IPv6",
            wrong(("2001:db8:ff::104", "2001:db8:77::1")),
            Passed(Control),
        ),
        (
            "to a group",
            wrong(("192.0.2.103", "224.0.0.9")),
            Passed(Control),
        ),
        (
            "to another of our addresses",
            plain(("192.0.2.103", "192.0.2.77")),
            Answered,
        ),
        ("with options", options, Passed(Ordinary)),
        ("another length", length, malformed),
        (
            "from the address it is to",
            plain(("192.0.2.1", "192.0.2.1")),
            malformed,
        ),
        (
            "from another of our addresses",
            plain(("198.51.100.1", "192.0.2.1")),
            malformed,
        ),
        ("from a group", plain(("224.0.0.9", "192.0.2.1")), malformed),
        (
            "from loopback",
            plain(("127.0.0.1", "192.0.2.1")),
            malformed,
        ),
        ("from port 0", from_port_0, malformed),
    ];
    cases.extend(of_both_families(IPV4));
    cases.extend(of_both_families(IPV6));
    cases
}

/// What is wrong; nothing if all is right.
fn difference(
    sent: &Sent,
    frame: &[u8],
    expected: Expected,
    observed: &Observed,
    indices: &Indices,
) -> Option<String> {
    let interface = indices.interfaces[sent.position];
    let (verdict, reason, bytes) = match expected {
        Passed(reason) => (Verdict::Pass, reason, frame.to_vec()),
        Dropped(reason) => (Verdict::Drop, reason, observed.bytes.clone()),
        Answered => {
            let bytes = sent.answer(minute(), None);
            (Verdict::Redirect(interface), HandshakeCookie, bytes)
        }
        AnsweredByTc => {
            let bytes = sent.answer(minute(), Some(interface));
            (Verdict::Pass, HandshakeCookie, bytes)
        }
    };
    let answer = xdp_answer(verdict);
    let right = observed.answer == answer && observed.reasons == [(reason, 1)];
    if !right {
        let Observed {
            answer: got,
            reasons,
            ..
        } = observed;
        return Some(format!(
            "{got} for {reasons:?}, not {answer} for {reason:?}"
        ));
    }
    (observed.bytes != bytes).then(|| {
        let (got, wanted) = (hex(&observed.bytes), hex(&bytes));
        format!("became\n{got}\nnot\n{wanted}")
    })
}

/// Runs all cases; every mistake is told, not the first one only.
fn run(kind: Kind, first_part: usize) {
    let (indices, world) = enter();
    let mut programs = Programs::load(kind, &world, true);
    programs.set_handshakes(JUDGED);
    loop {
        let begun = minute();
        let mistakes: Vec<String> = cases()
            .iter()
            .filter_map(|(name, sent, expected)| {
                let frame = sent.frame();
                let arrival = indices.interfaces[sent.position];
                let observed = programs.receive_in_parts(&frame, first_part, arrival, 0);
                let problem = difference(sent, &frame, *expected, &observed, &indices)?;
                Some(format!("{name} from {}: {problem}", sent.from))
            })
            .collect();
        if begun == minute() {
            assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
            return;
        }
    }
}

#[test]
fn initiations_in_one_buffer() {
    run(Kind::OneBuffer, usize::MAX);
}

#[test]
fn initiations_with_fragments_allowed() {
    run(Kind::Frags, usize::MAX);
}

#[test]
fn initiations_in_parts() {
    for first_part in [14, 34, 60, 90, 127] {
        run(Kind::Frags, first_part);
    }
}

/// A node without channels has no keys.
#[test]
fn while_nothing_is_judged_all_initiations_are_the_controllers() {
    let (indices, world) = enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    for off in [
        None,
        Some(Handshakes {
            enabled: 0,
            ..JUDGED
        }),
    ] {
        off.into_iter().for_each(|off| programs.set_handshakes(off));
        for (name, sent, expected) in cases() {
            let frame = sent.frame();
            let observed = programs.receive(&frame, indices.interfaces[sent.position], 0);
            let reason = match expected {
                Passed(reason) => reason,
                _ => Control,
            };
            let problem = difference(&sent, &frame, Passed(reason), &observed, &indices);
            assert_eq!(problem, None, "{name}");
        }
    }
}

#[test]
fn as_many_without_a_cookie_pass_as_there_are_tokens() {
    // arrange
    let (indices, world) = enter();
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    programs.set_handshakes(Handshakes {
        rate: 1,
        burst: 3,
        ..JUDGED
    });
    let frame = sent(IPV4, initiation(|_| {})).frame();
    let wrong = sent(IPV4, initiation(|octets| octets[16] ^= 1)).frame();
    let mut receive = |frame: &[u8]| {
        let observed = programs.receive(frame, indices.interfaces[ETH0], 0);
        observed.reasons[0].0
    };
    // act: those that are dropped in any case take no token
    let refused = receive(&wrong);
    let reasons: Vec<Reason> = (0..5).map(|_| receive(&frame)).collect();
    // assert
    assert_eq!(refused, HandshakeMac);
    let expected = [Control, Control, Control, HandshakeCookie, HandshakeCookie];
    assert_eq!(reasons, expected);
}

/// The answer would leave without the tag that the frame came with.
#[test]
fn where_tags_are_hidden_only_tagged_initiations_are_answered() {
    let (indices, mut world) = enter();
    let eth0 = indices.interfaces[ETH0];
    let flags = &mut world.interfaces.get_mut(&eth0).expect("eth0").flags;
    *flags |= interface::HIDDEN_TAGS;
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    programs.set_handshakes(JUDGED);
    let plain = sent(IPV4, initiation(|_| {}));
    let tagged = Sent {
        vlan: VLAN,
        ..plain.clone()
    };
    let wrong = sent(IPV4, initiation(|octets| octets[16] ^= 1));
    for (what, sent, reason) in [
        ("plain", plain, Control),
        ("tagged", tagged, HandshakeCookie),
        ("a wrong MAC", wrong, HandshakeMac),
    ] {
        let observed = programs.receive(&sent.frame(), eth0, 0);
        assert_eq!(observed.reasons, [(reason, 1)], "{what}");
    }
}

/// An interface that the program runs on, but that the node was not given.
#[test]
fn where_the_interface_is_not_known_nothing_is_judged() {
    let (indices, mut world) = enter();
    world.interfaces.remove(&indices.interfaces[ETH1]);
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    programs.set_handshakes(JUDGED);
    let wrong = Sent {
        position: ETH1,
        ..sent(IPV4, initiation(|octets| octets[16] ^= 1))
    };

    let observed = programs.receive(&wrong.frame(), indices.interfaces[ETH1], 0);

    assert_eq!(observed.reasons, [(Control, 1)]);
}
