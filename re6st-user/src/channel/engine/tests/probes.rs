//! Nodes that are looked at without a session: how far they are, who they are, and whether we are reached.

use std::{net::SocketAddr, time::Duration};

use super::world::{
    MILLISECOND, Payload, SECOND, World, address, certificate_of, cookie_reply, credentials_with,
    key_of, name, public_key_of, with_seeds,
};
use crate::channel::Input;

const ROUND_TRIP: Duration = Duration::from_millis(20);

/// One probes the other at these addresses.
fn probe(world: &mut World, from: u64, to: u64, addresses: &[SocketAddr]) {
    let input = Input::Probe {
        node: name(to),
        key: public_key_of(to),
        addresses: addresses.to_vec(),
    };
    world.input(from, input);
}

/// One tries to reach the other, which wants to know whether that is possible.
fn reach(world: &mut World, from: u64, to: u64) {
    let input = Input::Reach {
        node: name(to),
        key: public_key_of(to),
        addresses: vec![address(to, 1)],
    };
    world.input(from, input);
}

/// What is kept: peers, sessions of both kinds, indexes, keys.
fn kept(world: &mut World, node: u64) -> (usize, String) {
    let channels = world.node(node).channels.as_ref().unwrap();
    (channels.peers.len(), format!("{:?}", channels.sizes()))
}

#[test]
fn a_probe_measures_the_round_trip_and_leaves_nothing() {
    let mut world = World::new(2, 1);
    let before = [1, 2].map(|node| kept(&mut world, node));

    probe(&mut world, 1, 2, &[address(2, 1)]);
    world.run(SECOND * 16);

    assert_eq!(world.node(1).probed, [(name(2), Some(ROUND_TRIP))]);
    assert_eq!([1, 2].map(|node| kept(&mut world, node)), before);
    assert_eq!(world.node(2).counters().initiations_answered, 1);
}

#[test]
fn whoever_is_not_who_is_looked_for_gives_no_result() {
    // whose credentials node 2 has, and at which address it is looked for
    let other_name = || credentials_with(key_of(2), certificate_of(5).issue(&key_of(2)), &[]);
    let revoked = Some(77);
    for (what, at, credentials, revoked) in [
        ("nobody is there", address(7, 1), None, None),
        ("another node is there", address(3, 1), None, None),
        ("another name", address(2, 1), Some(other_name()), None),
        ("revoked", address(2, 1), None, revoked),
    ] {
        let mut world = World::new(3, 1);
        if let Some(credentials) = credentials {
            world.input(2, Input::Credentials(Box::new(credentials)));
        }
        if let Some(serial) = revoked {
            let certificate = crate::certificate::testing::CertificateOf {
                serial,
                ..certificate_of(2)
            };
            let credentials = credentials_with(key_of(2), certificate.issue(&key_of(2)), &[]);
            world.input(2, Input::Credentials(Box::new(credentials)));
            let own = super::world::credentials(1, &[serial]);
            world.input(1, Input::Credentials(Box::new(own)));
        }

        probe(&mut world, 1, 2, &[at]);
        world.run(SECOND * 5);

        assert_eq!(world.node(1).probed, [(name(2), None)], "{what}");
        assert_eq!(world.node(1).counters().node_probes_unanswered, 1, "{what}");
    }
}

#[test]
fn lost_packets_are_sent_again_and_there_is_one_result() {
    with_seeds(20, |seed| {
        let mut world = World::new(2, seed);
        world.way.loss = 30;
        probe(&mut world, 1, 2, &[address(2, 1)]);
        world.run(SECOND * 5);
        assert_eq!(world.node(1).probed.len(), 1);
    });
    let mut world = World::new(2, 1);
    world.cut = true;
    probe(&mut world, 1, 2, &[address(2, 1)]);
    world.run(MILLISECOND * 300);
    world.cut = false;
    world.run(SECOND);
    assert_eq!(world.node(1).probed, [(name(2), Some(ROUND_TRIP))]);
}

#[test]
fn addresses_are_tried_one_after_another() {
    let mut world = World::new(3, 1);
    let addresses = [address(7, 1), address(3, 1), address(2, 1)];
    probe(&mut world, 1, 2, &addresses);
    world.run(SECOND);
    assert_eq!(world.node(1).probed, [(name(2), Some(ROUND_TRIP))]);
    assert_eq!(world.node(1).counters().initiations_sent, 3);
}

#[test]
fn a_node_under_load_is_measured_without_the_round_trip_for_its_cookie() {
    let mut world = World::new(2, 1);
    world.recorded = Some(Vec::new());
    world.cut = true;
    probe(&mut world, 1, 2, &[address(2, 1)]);
    world.cut = false;
    let Payload::Channel(initiation) = world.recorded.take().unwrap().remove(0).payload else {
        panic!("no initiation");
    };
    world.run(MILLISECOND * 100);

    world.recorded = Some(Vec::new());
    let from = address(2, 1);
    let to = world.node(1).address.ip();
    let bytes = &cookie_reply(&initiation, b"biscuits");
    world.input(1, Input::Datagram { from, to, bytes });
    world.run(SECOND);

    let sent = world.recorded.take().unwrap().remove(0);
    assert_eq!(sent.to, address(2, 1));
    assert!(matches!(&sent.payload, Payload::Channel(bytes) if bytes[8..16] == *b"biscuits"));
    assert_eq!(world.node(1).probed, [(name(2), Some(ROUND_TRIP))]);
}

#[test]
fn a_session_that_there_is_stays_as_it_is() {
    let mut world = World::pair(1);
    world.run(SECOND * 2);
    let seen = |world: &mut World| {
        [1, 2].map(|node| {
            let node = world.node(node);
            let tunnels = (node.tunnels.clone(), node.tunnel_changes);
            (
                tunnels,
                node.closed.clone(),
                node.reached_by.clone(),
                node.counters().moves,
            )
        })
    };
    let before = seen(&mut world);
    for (from, to) in [(1, 2), (2, 1)] {
        // more than the sessions of one node that are not confirmed yet
        for _ in 0..6 {
            probe(&mut world, from, to, &[address(to, 1)]);
            world.run(SECOND);
            reach(&mut world, from, to);
            world.run(SECOND);
        }
        assert_eq!(world.node(from).probed.len(), 6);
        assert!(world.node(from).probed.iter().all(|(_, it)| it.is_some()));
    }
    assert_eq!(seen(&mut world), before);
    world.assert_connected(1, 2);
}

#[test]
fn so_many_are_probed_at_a_time_and_what_others_want_leaves_half_to_us() {
    let mut world = World::new(5, 1);
    world.node(1).settings.limits.probes = 4;
    world.boot(1);
    for node in 2..=4 {
        reach(&mut world, 1, node);
    }
    assert_eq!(world.node(1).counters().excess_node_probes, 1);
    for node in 4..=6 {
        probe(&mut world, 1, node, &[address(node, 1)]);
    }
    assert_eq!(world.node(1).counters().excess_node_probes, 2);
    assert_eq!(world.node(1).probed, [(name(6), None)], "at once");
    world.run(SECOND);
    let answered = world.node(1).counters().node_probes_answered;
    assert_eq!(answered, 4);
    assert_eq!(world.node(1).probed.len(), 3, "nobody wants the others'");
}

#[test]
fn who_wants_to_be_reached_gets_one_packet_at_each_address_and_no_more() {
    let mut world = World::new(2, 1);
    world.boot(1);
    let before = world.node(1).counters().datagrams_sent;
    let input = Input::Reach {
        node: name(2),
        key: public_key_of(2),
        addresses: vec![address(7, 1), address(8, 1)],
    };
    world.input(1, input);
    world.run(SECOND * 30);
    assert_eq!(world.node(1).counters().datagrams_sent, before + 2);
}

#[test]
fn a_node_hears_that_it_is_reached_unless_it_has_called_there_lately() {
    let mut world = World::new(3, 1);
    reach(&mut world, 1, 2);
    world.run(SECOND);
    assert_eq!(world.node(2).reached_by, [name(1)]);
    assert!(world.node(1).reached_by.is_empty());

    // an answer may pass a NAT that lets in nothing else
    probe(&mut world, 2, 3, &[address(3, 1)]);
    world.run(SECOND * 10);
    reach(&mut world, 3, 2);
    world.run(SECOND);
    assert_eq!(world.node(2).reached_by, [name(1)]);
    world.run(SECOND * 300);
    reach(&mut world, 3, 2);
    world.run(SECOND);
    assert_eq!(world.node(2).reached_by, [name(1), name(3)]);
}

#[test]
fn a_peer_that_was_probed_before_it_came_may_have_come_through_the_hole_that_this_made() {
    let mut world = World::new(2, 1);
    probe(&mut world, 1, 2, &[address(2, 1)]);
    world.run(SECOND);
    world.call(2, 1);
    world.run(SECOND * 2);
    world.assert_connected(1, 2);
    let mut tunnels = world.node(2).tunnels.values();
    assert!(tunnels.all(|tunnel| tunnel.fixed_source_port));
}

#[test]
fn two_behind_nats_that_let_in_answers_alone_meet_if_one_calls_and_the_other_one_reaches() {
    for is_reached in [false, true] {
        let mut world = World::new(2, 1);
        world.answers_only = true;
        world.call(1, 2);
        world.run(MILLISECOND * 100);
        if is_reached {
            reach(&mut world, 2, 1);
        }
        world.run(SECOND * 5);
        assert_eq!(world.is_connected(1, 2), is_reached);
    }
}
