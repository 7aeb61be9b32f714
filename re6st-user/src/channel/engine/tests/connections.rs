//! Two nodes find each other, and find each other again.

use std::time::Duration;

use super::world::{MILLISECOND, SECOND, Way, World, address, name, public_key_of, with_seeds};
use crate::channel::{Closing, Event, Input, OpenedBy, Output, Peer, PeerState, PostQuantum};

#[test]
fn a_node_calls_another_one_and_both_know_each_other() {
    let mut world = World::pair(1);
    world.run(SECOND);
    world.assert_connected(1, 2);
    let (ours, theirs) = (world.report(1, 2).unwrap(), world.report(2, 1).unwrap());
    assert_eq!(ours.opened_by, Some(OpenedBy::Us));
    assert_eq!(theirs.opened_by, Some(OpenedBy::Peer));
    assert_eq!((ours.configured, theirs.configured), (true, false));
    for report in [&ours, &theirs] {
        assert_eq!(report.post_quantum, Some(true));
        assert_eq!(report.quality.unwrap().round_trip, Some(MILLISECOND * 20));
        assert_eq!(
            (report.path_mtu, report.tunnel_mtu),
            (Some(1500), Some(1420))
        );
        assert!(
            report.quality.unwrap().responsive
                && !report.nat
                && report.certificate_expires.is_some()
        );
    }
}

#[test]
fn the_first_packet_of_babel_leaves_after_two_round_trips_and_its_answer_after_half_a_one_more() {
    let mut world = World::pair(1);
    // a round trip takes 20 ms
    world.run(MILLISECOND * 51);
    for (of, peer) in [(1, 2), (2, 1)] {
        let packet = [of as u8; 100];
        let peer_name = name(peer);
        world.input(
            of,
            Input::Babel {
                peer: peer_name,
                unicast: false,
                packet: &packet,
            },
        );
    }
    world.run(MILLISECOND * 10);
    assert_eq!(world.node(2).babel, [(name(1), true, vec![1; 100])]);
    assert_eq!(world.node(1).babel, [(name(2), true, vec![2; 100])]);
}

#[test]
fn both_call_at_once_and_soon_use_the_same_session() {
    with_seeds(100, |seed| {
        let mut world = World::new(2, seed);
        world.way = Way {
            jitter: MILLISECOND * 30,
            ..Way::default()
        };
        world.call(1, 2);
        world.call(2, 1);
        world.run(SECOND * 5);
        world.assert_connected(1, 2);
        let opened = [world.report(1, 2), world.report(2, 1)].map(|it| it.unwrap().opened_by);
        assert!(opened[0].is_some() && opened[0] != opened[1], "{opened:?}");
        // nothing is left of the other one
        world.run(SECOND * 30);
        for number in [1, 2] {
            let tunnel = world.node(number).tunnels.values().next().unwrap();
            assert_eq!(tunnel.accept.len(), 1);
        }
        world.assert_connected(1, 2);
    });
}

#[test]
fn a_peer_whose_address_changes_is_followed() {
    for mover in [1, 2] {
        let mut world = World::pair(1);
        world.run(SECOND * 2);
        world.node(mover).address = address(mover, 9);
        world.input(mover, Input::Moved);
        world.run(SECOND);
        world.assert_connected(1, 2);
        let other = 3 - mover;
        let report = world.report(other, mover).unwrap();
        assert_eq!(report.address, Some(address(mover, 9)));
        assert_eq!(world.node(other).counters().moves, 1);
    }
}

#[test]
fn a_node_behind_a_nat_calls_from_inside_and_both_use_the_fixed_port() {
    let mut world = World::new(2, 1);
    let outside = "198.51.100.1:40123".parse().unwrap();
    world.node(1).nat = Some(outside);
    world.call(1, 2);
    world.run(SECOND * 2);
    world.assert_connected(1, 2);
    for (of, peer) in [(1, 2), (2, 1)] {
        assert!(world.report(of, peer).unwrap().nat, "{of}");
    }
    assert_eq!(world.report(2, 1).unwrap().address, Some(outside));
    assert_eq!(world.report(1, 2).unwrap().seen_at, Some(outside));
    // the NAT forgets, and gives another port
    let other = "198.51.100.1:50999".parse().unwrap();
    world.node(1).nat = Some(other);
    world.run(SECOND * 2);
    world.assert_connected(1, 2);
    assert_eq!(world.report(2, 1).unwrap().address, Some(other));
}

#[test]
fn ports_are_free_towards_whom_nothing_keeps_out() {
    let mut world = World::new(2, 1);
    world.call(1, 2);
    world.run(SECOND * 2);
    let fixed = [1, 2].map(|number| {
        let mut tunnels = world.node(number).tunnels.values();
        tunnels.next().map(|it| it.fixed_source_port)
    });
    // 2 was called without having asked; nobody knows what a firewall before 1 lets in
    assert_eq!(fixed, [Some(false), Some(true)]);
}

#[test]
fn all_addresses_of_a_peer_are_called_in_turn_before_any_is_called_more_seldom() {
    let mut world = World::new(2, 1);
    let addresses = vec![address(7, 1), address(7, 2), address(7, 3), address(2, 1)];
    let (node, key) = (name(2), None);
    world.configure_peers(
        1,
        vec![Peer {
            node,
            addresses,
            key,
        }],
    );
    world.run(SECOND * 3);
    world.assert_connected(1, 2);
    assert_eq!(world.node(1).counters().initiations_sent, 4);
}

#[test]
fn an_address_that_the_host_has_no_way_to_takes_no_time() {
    let mut world = World::new(2, 1);
    let mut addresses: Vec<_> = (1..=7).map(|which| address(7, which)).collect();
    world.no_way.clone_from(&addresses);
    addresses.push(address(2, 1));
    let (node, key) = (name(2), None);
    let peer = Peer {
        node,
        addresses,
        key,
    };
    world.configure_peers(1, vec![peer]);
    world.run(MILLISECOND * 300);
    world.assert_connected(1, 2);
}

#[test]
fn without_a_way_to_any_address_nobody_is_called_more_often() {
    let mut world = World::pair(1);
    world.no_way = vec![address(2, 1)];
    world.run(SECOND * 600);
    let sent = world.node(1).counters().initiations_sent;
    assert!((10..=20).contains(&sent), "{sent} in ten minutes");
}

#[test]
fn whoever_starts_again_is_back_within_seconds() {
    // who starts again, and who calls
    for (reboots, caller) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        let mut world = World::new(2, 1);
        world.call(caller, 3 - caller);
        world.run(SECOND * 5);
        world.boot(reboots);
        world.run(SECOND * 4);
        world.assert_connected(1, 2);
    }
}

#[test]
fn both_start_again_at_once() {
    let mut world = World::pair(1);
    world.call(2, 1);
    world.run(SECOND * 5);
    world.boot(1);
    world.boot(2);
    world.run(SECOND * 2);
    world.assert_connected(1, 2);
}

#[test]
fn peers_of_the_life_before_are_called_although_nobody_names_them() {
    let mut world = World::pair(1);
    world.run(SECOND);
    world.boot(2);
    let restored = vec![(name(1), address(1, 1), public_key_of(1))];
    world.input(2, Input::Restored(restored));
    world.run(MILLISECOND * 300);
    world.assert_connected(1, 2);
}

#[test]
fn a_cut_is_seen_in_a_second_the_channel_ends_in_a_minute_and_both_are_back_when_it_is_over() {
    let mut world = World::pair(1);
    world.run(SECOND * 5);
    world.cut = true;
    world.run(Duration::from_millis(1300));
    for (of, peer) in [(1, 2), (2, 1)] {
        assert_eq!(
            world.report(of, peer).unwrap().state,
            PeerState::Unresponsive
        );
        assert!(!world.node(of).quality[&name(peer)].responsive);
    }
    assert_eq!(world.node(1).tunnels.len(), 1, "packets may still flow");
    world.run(SECOND * 62);
    for number in [1, 2] {
        let closed = &world.node(number).closed;
        assert!(matches!(closed[..], [(_, Closing::Silent)]), "{closed:?}");
    }
    world.cut = false;
    world.run(SECOND * 80);
    world.assert_connected(1, 2);
}

#[test]
fn whose_key_is_not_known_is_asked_for_ever_more_seldom() {
    let mut world = World::new(2, 1);
    world.node(1).knows = false;
    world.call(1, 2);
    world.run(SECOND * 300);
    assert!((8..=16).contains(&world.node(1).wanted_keys));
    assert_eq!(world.report(1, 2).unwrap().state, PeerState::NoKey);
    assert!(world.node(1).events.contains(&Event::NoKey(name(2))));
    let key = public_key_of(2);
    world.input(1, Input::PeerKey { node: name(2), key });
    world.run(SECOND);
    world.assert_connected(1, 2);
}

#[test]
fn who_does_not_answer_is_said_once() {
    let mut world = World::pair(1);
    world.cut = true;
    world.run(SECOND * 600);
    let events = &world.node(1).events;
    assert!(matches!(events[..], [Event::NoAnswer { .. }]), "{events:?}");
    assert!(world.report(1, 2).unwrap().why.is_some());
    let sent = world.node(1).counters().initiations_sent;
    assert!((10..=20).contains(&sent), "{sent} in ten minutes");
}

#[test]
fn reconnecting_makes_new_keys_and_loses_nothing() {
    let mut world = World::pair(1);
    world.run(SECOND * 20);
    let before = world.node(1).tunnels[&name(2)].clone();
    world.input(1, Input::Reconnect(name(2)));
    world.run(SECOND);
    let after = world.node(1).tunnels[&name(2)].clone();
    assert!(after.send != before.send && after.accept.contains(&before.accept[0]));
    world.assert_connected(1, 2);
}

#[test]
fn who_shuts_down_says_so() {
    let mut world = World::pair(1);
    world.run(SECOND);
    world.input(2, Input::ShutDown);
    world.run(SECOND);
    let closed = &world.node(1).closed;
    assert!(matches!(&closed[..], [(_, Closing::Told { text, .. })] if text.contains("shut down")));
    assert!(world.node(2).tunnels.is_empty());
    assert!(
        world
            .node(2)
            .channels
            .as_ref()
            .unwrap()
            .next_deadline()
            .is_none()
    );
}

#[test]
fn post_quantum_keys_are_made_unless_one_has_none_and_then_refused_by_who_requires_them() {
    use PostQuantum::{Off, Preferred, Required};
    // whether there is a channel, with post-quantum keys
    let cases = [
        (Preferred, Preferred, Some(true)),
        (Required, Preferred, Some(true)),
        (Preferred, Off, Some(false)),
        (Off, Off, Some(false)),
        (Required, Off, None),
        (Off, Required, None),
    ];
    for (one, other, expected) in cases {
        let mut world = World::new(2, 1);
        world.input(1, Input::PostQuantum(one));
        world.input(2, Input::PostQuantum(other));
        world.call(1, 2);
        world.run(SECOND * 2);
        let report = world.report(1, 2).unwrap();
        assert_eq!(report.post_quantum, expected, "{one:?} {other:?}");
        let refused = world.node(2).counters().refused_post_quantum;
        assert_eq!(refused > 0, expected.is_none());
    }
}

#[test]
fn a_channel_without_post_quantum_keys_ends_when_they_are_required() {
    let mut world = World::new(2, 1);
    world.input(1, Input::PostQuantum(PostQuantum::Off));
    world.call(1, 2);
    world.run(SECOND);
    world.assert_connected(1, 2);
    world.input(2, Input::PostQuantum(PostQuantum::Required));
    world.run(SECOND);
    assert!(matches!(
        &world.node(1).closed[..],
        [(_, Closing::Told { .. })]
    ));
    assert!(world.node(2).tunnels.is_empty());
}

#[test]
fn only_so_many_that_nobody_named_are_served() {
    let mut world = World::new(4, 1);
    world.node(1).settings.served = 2;
    world.boot(1);
    for number in 2..=4 {
        world.call(number, 1);
        world.run(SECOND);
    }
    world.assert_connected(1, 2);
    world.assert_connected(1, 3);
    assert!(!world.is_connected(4, 1));
    assert!(world.node(1).counters().refused_full > 0);
    // who is named has a place
    world.call(1, 4);
    world.run(SECOND * 3);
    world.assert_connected(1, 4);
}

#[test]
fn an_idle_channel_carries_less_than_700_octets_a_second_both_ways_together() {
    let mut world = World::pair(1);
    world.run(SECOND * 60);
    let before = world.report(1, 2).unwrap();
    world.run(SECOND * 100);
    let after = world.report(1, 2).unwrap();
    let octets = after.sent - before.sent + after.received - before.received;
    assert!(octets < 70_000, "{octets} in 100 s");
}

#[test]
fn nothing_is_done_before_there_is_a_certificate() {
    let mut channels = crate::channel::Channels::new(crate::channel::Settings::default());
    let now = crate::time::Now {
        elapsed: crate::time::Time(5),
        wall: crate::certificate::testing::START,
    };
    let mut outputs: Vec<Output> = Vec::new();
    let bytes = [1; 200];
    let (from, to) = (address(1, 1), address(2, 1).ip());
    let datagram = Input::Datagram {
        from,
        to,
        bytes: &bytes,
    };
    channels.handle(now, datagram, &mut |_| {}, &mut outputs);
    assert_eq!((outputs.len(), channels.counters().no_credentials), (0, 1));
}
