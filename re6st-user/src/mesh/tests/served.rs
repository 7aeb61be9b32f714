//! Tunnels of others.

use super::world::{OWN, SECOND, Ways, World, address, node};
use crate::mesh::{Closing, Input, OpenFailure, OpenedBy, Output, Settings, Why};

#[test]
fn no_more_are_served_than_the_settings_say() {
    let mut world = World::joined(Settings::default(), 0, 1);
    for number in 1..=25 {
        world.called_by(number);
    }
    assert_eq!(world.tunnels.len(), 20);
    let refused = (21..=25).map(|number| (number, Closing::Full));
    assert_eq!(world.closed(), Vec::from_iter(refused));
    assert_eq!(world.mesh.counters().refused_full, 5);
}

/// All places are taken by nodes to whom the lot did not give this one; then others come.
fn full_of_strangers(others: impl Iterator<Item = u32>) -> World {
    let settings = Settings {
        client_count: 0,
        ..Settings::default()
    };
    let mut world = World::joined(settings, 900, 2);
    let strangers = (1..=900).filter(|number| !world.gives_us_to(*number));
    for number in Vec::from_iter(strangers.take(20)) {
        world.called_by(number);
    }
    assert_eq!(world.served().len(), 20);
    for number in others {
        world.called_by(number);
    }
    world.pass(SECOND * 20);
    world
}

#[test]
fn a_quarter_is_for_those_that_no_route_leads_to_whenever_they_come() {
    let world = full_of_strangers(2_001..=2_010);
    let newcomers = world.served().into_iter().filter(|number| *number > 900);
    assert_eq!(newcomers.count(), 5);
    assert_eq!(world.served().len(), 20);
}

#[test]
fn a_half_is_for_those_to_whom_the_lot_gave_us_whenever_they_come() {
    let seen = World::joined(Settings::default(), 900, 2);
    let given = (1..=900).filter(|number| seen.gives_us_to(*number));
    let given = Vec::from_iter(given);
    assert!((15..50).contains(&given.len()), "{}", given.len());
    let world = full_of_strangers(given.iter().copied());
    let served = world.served();
    let of_them = served.iter().filter(|number| given.contains(number));
    assert_eq!((of_them.count(), served.len()), (10, 20));
}

#[test]
fn who_cannot_be_reached_opens_two_until_somebody_comes() {
    let mut world = World::new(Settings::default(), 3);
    world.ways = Ways::to(1..=50);
    world.pass(SECOND * 600);
    assert_eq!(world.tunnels.len(), 2);
    world.called_by(77);
    world.pass(SECOND * 30);
    assert_eq!(world.ours(|_| true).len(), 10);
}

#[test]
fn a_tunnel_that_both_ends_opened_belongs_to_the_greater() {
    for (other, is_ours) in [(OWN - 1, true), (OWN + 1, false)] {
        let mut world = World::joined(Settings::default(), 0, 4);
        world.learned(crate::mesh::Source::Lan, [other]);
        assert_eq!(world.openings(), [other]);
        let up = |opened_by| Input::Up {
            node: node(other),
            opened_by,
            address: address(other),
        };
        world.put(up(OpenedBy::Peer));
        assert_eq!(world.mesh.is_ours(node(other)), Some(is_ours), "ours first");
        world.put(up(OpenedBy::Us));
        assert_eq!(world.mesh.is_ours(node(other)), Some(is_ours), "again");
        assert!(
            world.closed().is_empty(),
            "there is one tunnel, and it stays"
        );
    }
}

#[test]
fn a_slot_that_the_peer_filled_is_filled_again() {
    let mut world = World::joined(Settings::default(), 2_000, 5);
    world.pass(SECOND * 30);
    let ours = world.ours(Why::is_random);
    let greater = ours.iter().find(|number| **number > OWN).expect("one");
    world.called_by(*greater);
    world.pass(SECOND * 30);
    assert_eq!(world.ours(Why::is_random).len(), 5);
    assert_eq!(world.tunnels.len(), 11);
}

#[test]
fn a_full_peer_is_left_alone_for_ten_minutes() {
    let mut world = World::joined(Settings::default(), 1, 6);
    world.opens = |_| Err(OpenFailure::Full);
    world.pass(SECOND * 590);
    assert_eq!(world.openings(), [1]);
    world.pass(SECOND * 60);
    assert_eq!(world.openings(), [1, 1]);
}

#[test]
fn an_expelled_node_is_not_served() {
    let mut world = World::joined(Settings::default(), 0, 7);
    world.put(Input::Expelled(vec![node(3)]));
    let outputs = world.called_by(3);
    let closed = Output::Close {
        node: node(3),
        why: Closing::Expelled,
    };
    assert!(outputs.contains(&closed));
}
