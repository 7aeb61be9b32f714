//! Somebody who has a node's former key or certificate, and what the configuration says of a node later.

use super::world::{
    MILLISECOND, SECOND, World, address, certificate_of, credentials, credentials_with, key_of,
    name, public_key_of,
};
use crate::{
    certificate::{
        static_key::StaticKey,
        testing::{CertificateOf, START},
    },
    channel::{ChannelCredentials, Closing, Input, PeerState, wire::message::CloseReason},
    time::Timestamp,
};

/// Node 1's credentials of before.
const FORMER: u64 = 77;

fn former(key: StaticKey, until: Timestamp) -> ChannelCredentials {
    let certificate = CertificateOf {
        serial: FORMER,
        until,
        ..certificate_of(1)
    };
    let certificate = certificate.issue(&key);
    credentials_with(key, certificate, &[])
}

/// Three nodes, of which the third one is a thief who has these credentials of the first, and a channel to the second.
fn with_thief(credentials: ChannelCredentials) -> World {
    let mut world = World::new(3, 1);
    world.input(3, Input::Credentials(Box::new(credentials)));
    world.call(3, 2);
    world.run(SECOND);
    let tunnel = &world.node(2).tunnels[&name(1)];
    assert_eq!(tunnel.remote, address(3, 1), "the thief is in");
    world
}

fn sessions(world: &mut World, node: u64) -> usize {
    world.node(node).channels.as_ref().unwrap().sizes().sessions
}

/// What the thief sends is taken before this happens, and not after; the node that it was mistaken for stays.
fn assert_only_the_thief_is_out(world: &mut World, happens: impl FnOnce(&mut World)) {
    world.call(1, 2);
    world.run(MILLISECOND * 300);
    let stolen = world.node(3).tunnels[&name(2)].send;
    assert!(world.node(2).tunnels[&name(1)].accept.contains(&stolen));
    assert_eq!(sessions(world, 2), 2);
    happens(world);
    let accept = &world.node(2).tunnels[&name(1)].accept;
    assert!(!accept.contains(&stolen), "at once");
    assert!(world.node(2).closed.is_empty());
    world.run(SECOND * 5);
    world.assert_connected(1, 2);
    assert_eq!(world.report(2, 1).unwrap().address, Some(address(1, 1)));
}

#[test]
fn a_thiefs_session_ends_when_its_certificate_is_revoked_although_the_node_has_shown_a_newer_one() {
    let mut world = with_thief(former(key_of(1), START.plus(10_000)));
    assert_only_the_thief_is_out(&mut world, |world| {
        let revoked = Box::new(credentials(2, &[FORMER]));
        world.input(2, Input::Credentials(revoked));
    });
}

#[test]
fn a_thiefs_session_ends_with_its_certificate_although_the_node_has_shown_a_newer_one() {
    let mut world = with_thief(former(key_of(1), START.plus(3)));
    assert_only_the_thief_is_out(&mut world, |world| world.run(SECOND * 2));
}

#[test]
fn a_complete_session_of_another_static_key_ends_those_of_the_former_one() {
    let mut world = with_thief(former(StaticKey::generate().unwrap(), START.plus(10_000)));
    let stolen = world.node(2).tunnels[&name(1)].accept.clone();
    world.call(1, 2);
    world.run(MILLISECOND * 200);
    let tunnel = &world.node(2).tunnels[&name(1)];
    assert_eq!(tunnel.remote, address(1, 1));
    assert!(!tunnel.accept.contains(&stolen[0]));
    assert_eq!(sessions(&mut world, 2), 1);
    world.assert_connected(1, 2);
}

#[test]
fn whoever_has_called_last_does_not_decide_which_key_is_called() {
    let mut world = with_thief(former(StaticKey::generate().unwrap(), START.plus(10_000)));
    world.node(3).channels = None;
    world.call(2, 1);
    world.run(SECOND * 6);
    assert_eq!(world.report(2, 1).unwrap().address, Some(address(1, 1)));
    world.assert_connected(1, 2);
}

#[test]
fn a_key_that_was_shown_is_called_where_the_published_one_is_not_answered() {
    let mut world = World::new(2, 1);
    world.call(1, 2);
    world.run(SECOND);
    // the registry is behind, and stays so
    world.node(2).knows = false;
    let key = public_key_of(5);
    world.input(2, Input::PeerKey { node: name(1), key });
    world.call(2, 1);
    world.boot(1);
    world.configure_peers(1, Vec::new());
    world.run(SECOND * 8);
    world.assert_connected(1, 2);
}

#[test]
fn a_key_that_was_shown_with_a_certificate_that_is_revoked_is_not_called() {
    let mut world = with_thief(former(StaticKey::generate().unwrap(), START.plus(10_000)));
    world.node(2).knows = false;
    world.call(2, 1);
    let revoked = Box::new(credentials(2, &[FORMER]));
    world.input(2, Input::Credentials(revoked));
    assert_eq!(world.node(2).closed, [(name(1), Closing::Revoked)]);
    let before = world.node(2).counters().initiations_sent;
    world.run(SECOND * 60);
    assert_eq!(world.node(2).counters().initiations_sent, before);
    assert_eq!(world.report(2, 1).unwrap().state, PeerState::NoKey);
}

#[test]
fn a_session_of_another_key_than_the_configuration_says_from_now_on_ends() {
    let mut world = World::pair(1);
    world.run(SECOND);
    let mut peers = world.node(1).peers.clone();
    // its own changes nothing
    peers[0].key = Some(public_key_of(2));
    world.configure_peers(1, peers.clone());
    world.assert_connected(1, 2);
    peers[0].key = Some(public_key_of(3));
    world.configure_peers(1, peers);
    assert_eq!(world.node(1).closed, [(name(2), Closing::OtherKey)]);
    assert!(world.node(1).tunnels.is_empty());
}

#[test]
fn a_peer_that_we_have_called_and_that_the_configuration_names_no_more_is_told_and_not_called_again()
 {
    let mut world = World::pair(1);
    world.run(SECOND);
    world.configure_peers(1, Vec::new());
    assert_eq!(world.node(1).closed, [(name(2), Closing::NotWanted)]);
    let before = world.node(1).counters().initiations_sent;
    world.run(SECOND * 100);
    let closed = &world.node(2).closed;
    assert!(
        matches!(&closed[..], [(_, Closing::Told { text, .. })] if text.contains("configuration")),
        "{closed:?}"
    );
    assert_eq!(world.node(1).counters().initiations_sent, before);
    assert!(world.node(1).tunnels.is_empty());
}

#[test]
fn a_peer_that_has_called_us_stays_when_the_configuration_names_it_no_more_if_there_is_room() {
    for (room, stays) in [(1, true), (0, false)] {
        let mut world = World::new(2, 1);
        world.node(2).settings.served = room;
        world.boot(2);
        world.call(2, 1);
        world.call(1, 2);
        // node 1 opens the last
        world.run(SECOND);
        world.input(1, Input::Reconnect(name(2)));
        world.run(SECOND);
        world.configure_peers(2, Vec::new());
        let closed = world.node(2).closed.clone();
        assert_eq!(closed.is_empty(), stays, "{closed:?}");
    }
}

#[test]
fn a_peer_that_the_mesh_has_no_use_or_no_room_for_hears_that_and_is_not_called_again() {
    for (why, expected) in [
        (Closing::NotNeeded, CloseReason::NotNeeded),
        (Closing::Full, CloseReason::Full),
    ] {
        let mut world = World::pair(1);
        world.run(SECOND);
        let node = name(2);
        world.input(
            1,
            Input::Close {
                node,
                why: why.clone(),
            },
        );
        let before = world.node(1).counters().initiations_sent;
        world.run(SECOND * 100);
        assert_eq!(world.node(1).closed, [(node, why)]);
        let told = &world.node(2).closed;
        assert!(matches!(&told[..], [(_, Closing::Told { reason, .. })] if *reason == expected));
        assert_eq!(world.node(1).counters().initiations_sent, before);
    }
}

#[test]
fn whoever_is_refused_before_its_tunnel_is_open_hears_why() {
    let mut world = World::pair(1);
    while world.node(2).tunnels.is_empty() {
        world.run(MILLISECOND);
    }
    assert!(world.node(1).tunnels.is_empty());
    let (node, why) = (name(1), Closing::Full);
    world.input(2, Input::Close { node, why });
    world.run(SECOND);
    let told = &world.node(1).closed;
    assert!(
        matches!(&told[..], [(_, Closing::Told { reason, .. })] if *reason == CloseReason::Full),
        "{told:?}"
    );
}
