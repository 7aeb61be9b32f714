//! XDP: the fixtures, through both programs, with and without the array FIB; and the switches of the settings.

use std::collections::BTreeSet;

use re6st_common::{
    maps::{TunnelCounters, interface, settings},
    reason::Reason,
};
use testbed::{
    model::{self, Verdict},
    packet::{Internet, hex},
};

use crate::{
    fixtures::{self, Expected, Fixture},
    namespace::{self, Indices},
    programs::{Kind, Observed, Programs, xdp_answer},
    world::{self, FIRST, FIRST_VLAN, Peer},
};

impl Expected {
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Dropped(reason) | Self::Untouched(reason) | Self::Kernel(reason, _) => {
                Some(*reason)
            }
            _ => None,
        }
    }

    fn verdict(&self, indices: &Indices) -> Verdict {
        match self {
            Self::Dropped(_) => Verdict::Drop,
            Self::Untouched(_) | Self::Kernel(..) | Self::NeighbourByTc(..) => Verdict::Pass,
            Self::Peer(peer, ..) if matches!(peer.id, world::WITH_TC | world::NO_NEIGHBOUR) => {
                Verdict::Pass
            }
            Self::Peer(peer, ..) | Self::PeerPadded(peer, ..) => {
                Verdict::Redirect(indices.interfaces[peer.position])
            }
            Self::Neighbour(position, _) => Verdict::Redirect(indices.interfaces[*position]),
        }
    }

    /// The tunnel a packet was sent to, and its bytes.
    fn sent(&self) -> Option<(u32, u64)> {
        match self {
            Self::Peer(peer, _, inner) | Self::PeerPadded(peer, inner, _) => {
                Some((peer.id, inner.len() as u64))
            }
            _ => None,
        }
    }
}

impl Fixture {
    fn sent(&self) -> Option<(u32, u64)> {
        self.expected.sent().or(self.counted_as_sent)
    }
}

fn masked(bytes: &[u8], mask: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (offset, bits) in mask {
        if let Some(byte) = bytes.get_mut(*offset) {
            *byte &= !bits;
        }
    }
    bytes
}

/// What is wrong with what was observed; nothing if all is right.
fn difference(fixture: &Fixture, observed: &Observed, indices: &Indices) -> Option<String> {
    let answer = xdp_answer(fixture.expected.verdict(indices));
    if observed.answer != answer {
        return Some(format!("answered {}, not {answer}", observed.answer));
    }
    let reasons: Vec<(Reason, u64)> = fixture
        .expected
        .reason()
        .map(|reason| (reason, 1))
        .into_iter()
        .collect();
    if observed.reasons != reasons {
        return Some(format!("counted {:?}, not {reasons:?}", observed.reasons));
    }
    let (bytes, mask) = fixture.expected_bytes(indices);
    // what is dropped may have been rewritten halfway
    let dropped = matches!(fixture.expected, Expected::Dropped(_));
    if !dropped && masked(&observed.bytes, &mask) != masked(&bytes, &mask) {
        return Some(format!(
            "became\n{}\nnot\n{}",
            hex(&observed.bytes),
            hex(&bytes)
        ));
    }
    None
}

fn traffic(before: TunnelCounters, after: TunnelCounters) -> [u64; 4] {
    [
        after.received_packets - before.received_packets,
        after.received_bytes - before.received_bytes,
        after.sent_packets - before.sent_packets,
        after.sent_bytes - before.sent_bytes,
    ]
}

/// Runs all fixtures; every mistake is told, not the first one only.
fn run_fixtures(kind: Kind, slots: bool) {
    run_fixtures_in_parts(kind, slots, usize::MAX);
}

/// The same with frames of which only the first bytes, `first_part` of them, are in the first part.
fn run_fixtures_in_parts(kind: Kind, slots: bool, first_part: usize) {
    let indices = namespace::enter();
    let world = world::example(&indices);
    let mut programs = Programs::load(kind, &world, slots);
    let mut mistakes = Vec::new();
    for fixture in fixtures::all() {
        let arrival = indices.interfaces[fixture.arrival];
        let counters =
            |programs: &Programs| world::counted().map(|id| programs.tunnel(id)).collect();
        let before: Vec<TunnelCounters> = counters(&programs);
        let observed =
            programs.receive_in_parts(&fixture.frame, first_part, arrival, fixture.metadata);
        let after: Vec<TunnelCounters> = counters(&programs);
        let mut problem = difference(&fixture, &observed, &indices);
        for (index, next_hop) in world::counted().enumerate() {
            let received = fixture.received.filter(|(id, _)| *id == next_hop);
            let sent = fixture.sent().filter(|(id, _)| *id == next_hop);
            let expected = [
                received.map_or(0, |_| 1),
                received.map_or(0, |(_, bytes)| bytes),
                sent.map_or(0, |_| 1),
                sent.map_or(0, |(_, bytes)| bytes),
            ];
            let counted = traffic(before[index], after[index]);
            if counted != expected && problem.is_none() {
                problem = Some(format!(
                    "next hop {next_hop}: counted {counted:?}, not {expected:?} \
                     (packets and bytes received, sent)"
                ));
            }
        }
        mistakes.extend(problem.map(|problem| format!("{}: {problem}", fixture.name)));
    }
    assert!(
        mistakes.is_empty(),
        "{} of the fixtures:\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
}

#[test]
fn fixtures_in_one_buffer_with_the_array() {
    run_fixtures(Kind::OneBuffer, true);
}

#[test]
fn fixtures_in_one_buffer_with_the_trie_alone() {
    run_fixtures(Kind::OneBuffer, false);
}

#[test]
fn fixtures_with_fragments_allowed() {
    run_fixtures(Kind::Frags, true);
}

/// Some drivers leave the first part short, or with little more than an Ethernet header.
#[test]
fn fixtures_in_parts() {
    for first_part in [14, 15, 34, 54, 62, 90, 127] {
        run_fixtures_in_parts(Kind::Frags, true, first_part);
    }
}

#[test]
fn a_big_frame_whose_first_part_is_short_keeps_its_bytes() {
    // arrange
    let indices = namespace::enter();
    let mut programs = Programs::load(Kind::Frags, &world::example(&indices), true);
    let peer = Peer::new(FIRST);
    let arrival = indices.interfaces[peer.position];
    for length in [0, 1, 255, 256, 1_400, 8_900, 60_000] {
        let payload: Vec<u8> = (0..length).map(|byte: u32| (byte % 251) as u8).collect();
        let inner = Internet::new("2001:db8:42:300::1", "2001:db8:42:1::1").udp(1, 2, &payload);
        let outer = Internet::between(peer.remote(), peer.local());
        let outer = outer.fou(0xc123, world::PORT, peer.key(), &inner.bytes());
        let frame = peer.frame_from().bytes(&outer.bytes());
        let whole = programs.receive(&frame, arrival, 0);
        assert_eq!(whole.reasons, [(Reason::Local, 1)], "{length} bytes");
        for first_part in [14, 60, 127] {
            // act
            let observed = programs.receive_in_parts(&frame, first_part, arrival, 0);
            // assert
            assert_eq!(observed, whole, "{length} bytes, {first_part} of the frame");
        }
    }
}

/// The model has to pass the same fixtures: this needs no kernel.
#[test]
fn fixtures_in_the_model() {
    let indices = Indices {
        interfaces: [11, 12, 13, 14, 15, 16],
        device: 17,
    };
    let world = world::example(&indices);
    // the model's machine never fails
    let unknown_to_the_model = [Reason::RewriteFailed, Reason::NoHeadroom];
    let mut mistakes = Vec::new();
    for fixture in fixtures::all() {
        if let Some(reason) = fixture.expected.reason()
            && unknown_to_the_model.contains(&reason)
        {
            continue;
        }
        let arrival = indices.interfaces[fixture.arrival];
        let outcome = model::receive::receive(&fixture.frame, &world, arrival);
        let observed = Observed {
            answer: xdp_answer(outcome.verdict),
            bytes: outcome.bytes.clone(),
            reasons: outcome
                .reason
                .map(|reason| (reason, 1))
                .into_iter()
                .collect(),
        };
        let counted = (
            outcome
                .received
                .map(|traffic| (traffic.next_hop, traffic.bytes)),
            outcome
                .sent
                .map(|traffic| (traffic.next_hop, traffic.bytes)),
        );
        let expected = (fixture.received, fixture.sent());
        let problem = difference(&fixture, &observed, &indices).or_else(|| {
            (counted != expected).then(|| format!("counted {counted:?}, not {expected:?}"))
        });
        mistakes.extend(problem.map(|problem| format!("{}: {problem}", fixture.name)));
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// No reason is without a packet that shows it.
#[test]
fn every_reason_occurs() {
    // with worlds of their own, in this file, and among the scenarios (repairs)
    let elsewhere = [Reason::ForwardingDisabled, Reason::LinkMtu, Reason::Merged];
    let shown: BTreeSet<u32> = fixtures::all()
        .iter()
        .filter_map(|fixture| fixture.expected.reason())
        .chain(crate::host::REASONS.iter().copied())
        .chain(crate::handshakes::REASONS)
        .chain(elsewhere)
        .map(|reason| reason as u32)
        .collect();
    let missing: Vec<&Reason> = Reason::ALL
        .iter()
        .filter(|reason| !shown.contains(&(**reason as u32)))
        .collect();
    assert!(missing.is_empty(), "no packet shows {missing:?}");
}

#[test]
fn without_forwarding_others_packets_are_dropped_and_our_own_are_not() {
    // arrange
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    world.settings.flags &= !settings::FORWARD;
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let chosen = |name: &str| {
        let all = fixtures::all();
        let fixture = all.into_iter().find(|fixture| fixture.name == name);
        fixture.unwrap_or_else(|| panic!("a fixture named {name:?}"))
    };
    let relay = chosen(&format!("relay IPv6 from {FIRST} to {FIRST_VLAN}"));
    let refused = Fixture {
        expected: Expected::Dropped(Reason::ForwardingDisabled),
        received: None,
        ..relay
    };
    let others = [
        format!("local IPv6 from {FIRST}"),
        format!("site: neighbour, IPv6 from {FIRST}"),
        format!("IPv6 from a LAN host to {FIRST}"),
        "back where it came from, IPv6".to_owned(),
    ];
    for fixture in others.iter().map(|name| chosen(name)).chain([refused]) {
        // act
        let arrival = indices.interfaces[fixture.arrival];
        let observed = programs.receive(&fixture.frame, arrival, 0);
        // assert
        assert_eq!(
            difference(&fixture, &observed, &indices),
            None,
            "{}",
            fixture.name
        );
    }
}

/// Plain frames of an interface with VLANs whose frames may come without their tags are the kernel's, who knows the tags.
#[test]
fn where_tags_are_hidden_plain_frames_are_left_alone() {
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    let lan = indices.interfaces[world::LAN0];
    world.interfaces.get_mut(&lan).unwrap().flags |= interface::HIDDEN_TAGS;
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let mut plain = 0;
    for fixture in fixtures::all() {
        let arrival = indices.interfaces[fixture.arrival];
        let expected = match fixture.expected {
            // only marks what the programs themselves may not have come from outside
            Expected::Dropped(Reason::ForgedFrame) => fixture.expected.clone(),
            _ if arrival == lan => Expected::Untouched(Reason::Ordinary),
            _ => fixture.expected.clone(),
        };
        plain += u32::from(arrival == lan);
        let fixture = Fixture {
            expected,
            ..fixture
        };
        let observed = programs.receive(&fixture.frame, arrival, fixture.metadata);
        assert_eq!(
            difference(&fixture, &observed, &indices),
            None,
            "{}",
            fixture.name
        );
    }
    assert!(plain > 10, "{plain}");
}

/// Where the kernel may have merged segments, what would go on from GRE or from a plain link is its own.
#[test]
fn where_segments_are_merged_the_kernel_takes_them_apart() {
    // arrange
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    for interface in world.interfaces.values_mut() {
        interface.flags |= interface::MERGED;
    }
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let mut merged = 0;
    for fixture in fixtures::all() {
        let arrival = indices.interfaces[fixture.arrival];
        let outcome = model::receive::receive(&fixture.frame, &world, arrival);
        // the model's machine never fails
        if fixture.expected.reason() == Some(Reason::RewriteFailed) {
            continue;
        }
        // act
        let observed = programs.receive(&fixture.frame, arrival, 0);
        // assert
        let reasons: Vec<_> = outcome
            .reason
            .map(|reason| (reason, 1))
            .into_iter()
            .collect();
        let answer = xdp_answer(outcome.verdict);
        let name = &fixture.name;
        assert_eq!(
            (observed.answer, &observed.reasons),
            (answer, &reasons),
            "{name}"
        );
        if outcome.reason == Some(Reason::Merged) {
            merged += 1;
            assert_eq!(observed.bytes, outcome.bytes, "{name}");
        }
        let plain = fixture.received.is_none() && fixture.sent().is_some();
        assert!(!plain || outcome.reason == Some(Reason::Ordinary), "{name}");
    }
    assert!(merged > 10, "{merged}");
}

#[test]
fn without_gre_tunnels_protocol_47_is_left_alone() {
    // arrange
    let indices = namespace::enter();
    let mut world = world::example(&indices);
    world.settings.flags &= !settings::GRE;
    let mut programs = Programs::load(Kind::OneBuffer, &world, true);
    let peer = Peer::new(5);
    let inner = Internet::between(peer.host(false), Peer::new(3).host(false)).udp(1, 2, b"");
    let outer = Internet::between(peer.remote(), peer.local()).gre(peer.key(), &inner.bytes());
    let frame = peer.frame_from().bytes(&outer.bytes());
    // act
    let observed = programs.receive(&frame, indices.interfaces[peer.position], 0);
    // assert
    assert_eq!(observed.reasons, [(Reason::Ordinary, 1)]);
    assert_eq!(observed.bytes, frame);
}
