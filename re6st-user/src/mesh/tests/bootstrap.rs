//! Into the network, and back.

use super::world::{OWN, SECOND, Ways, World, known, node};
use crate::mesh::{Event, Input, Loss, Metric, OpenFailure, Output, Settings, Source, Why};

fn asked_registry(outputs: &Output) -> bool {
    matches!(outputs, Output::AskRegistry)
}

#[test]
fn anchors_of_the_last_run_come_first() {
    let mut world = World::new(Settings::default(), 1);
    world.opens = |_| Err(OpenFailure::Unreachable);
    world.put(Input::Remembered {
        peers: (1..=50).map(known).collect(),
        anchors: vec![node(31), node(17)],
    });
    assert_eq!(world.openings()[..2], [31, 17]);
    let anchor = |output: &Output| {
        matches!(
            output,
            Output::Open {
                why: Why::Anchor,
                ..
            }
        )
    };
    assert_eq!(world.said.iter().filter(|(_, it)| anchor(it)).count(), 2);
}

#[test]
fn who_knows_nobody_asks_the_registry_and_takes_whom_it_names() {
    let mut world = World::new(Settings::default(), 2);
    let outputs = world.put(Input::Time);
    assert!(outputs.iter().any(asked_registry));
    world.learned(Source::Registry, [5]);
    assert_eq!(world.openings(), [5]);
    assert_eq!(world.tunnels[&5].1, Why::Bootstrap);
}

#[test]
fn the_registry_is_asked_less_and_less_often() {
    let mut world = World::new(Settings::default(), 3);
    world.put(Input::Time);
    world.put(Input::RegistrySilent);
    world.pass(SECOND * 3_600);
    let asked = world
        .said
        .iter()
        .filter(|(_, it)| asked_registry(it))
        .count();
    assert!((10..40).contains(&asked), "{asked} times in an hour");
}

#[test]
fn the_registrys_own_node_never_asks_it() {
    let settings = Settings {
        is_registry: true,
        ..Settings::default()
    };
    let mut world = World::new(settings, 4);
    world.put(Input::Time);
    world.pass(SECOND * 600);
    assert_eq!(world.when(asked_registry), None);
}

#[test]
fn without_the_registry_all_remembered_peers_are_tried_again_and_again() {
    let mut world = World::new(Settings::default(), 5);
    world.opens = |_| Err(OpenFailure::Unreachable);
    world.put(Input::Remembered {
        peers: (1..=30).map(known).collect(),
        anchors: Vec::new(),
    });
    world.put(Input::RegistrySilent);
    world.pass(SECOND * 600);
    let openings = world.openings();
    for number in 1..=30 {
        let tried = openings.iter().filter(|it| **it == number).count();
        assert!(tried >= 2, "node {number} was tried {tried} times");
    }
    assert!(openings.len() < 600, "{} openings", openings.len());
}

#[test]
fn who_has_a_way_to_nobody_leaves_nobody_alone_for_minutes() {
    let mut world = World::new(Settings::default(), 12);
    world.opens = |_| Err(OpenFailure::Unreachable);
    world.learned(Source::Registry, [5]);
    world.pass(SECOND * 600);
    let tries = world.openings().len();
    assert!((8..=20).contains(&tries), "{tries} in ten minutes");
}

#[test]
fn a_node_with_ways_keeps_five_random_tunnels_and_five_others() {
    let mut world = World::joined(Settings::default(), 100, 6);
    world.pass(SECOND * 30);
    assert_eq!(world.ours(Why::is_random).len(), 5);
    assert_eq!(world.ours(Why::is_optimised).len(), 5);
    assert!(!world.tunnels.contains_key(&OWN));
}

#[test]
fn people_hear_once_that_the_node_is_alone_or_has_joined() {
    let mut world = World::new(Settings::default(), 7);
    world.put(Input::Time);
    world.pass(SECOND * 60);
    world.ways = Ways::to(1..=3);
    world.pass(SECOND * 60);
    let events = world.said.iter().filter_map(|(_, output)| match output {
        Output::Event(event @ (Event::Alone | Event::Joined { .. })) => Some(event.clone()),
        _ => None,
    });
    let expected = vec![Event::Alone, Event::Joined { nodes: 3 }];
    assert_eq!(Vec::from_iter(events), expected);
}

#[test]
fn a_node_without_a_way_to_the_registrys_asks_the_registry() {
    let settings = Settings {
        registry_node: Some(node(0)),
        ..Settings::default()
    };
    let mut world = World::joined(settings, 50, 8);
    world.pass(SECOND * 60);
    assert!(world.when(asked_registry).is_some());
    world.learned(Source::Registry, [0]);
    assert_eq!(world.tunnels[&0].1, Why::Bootstrap);
}

#[test]
fn halves_of_a_network_find_each_other_without_the_registry() {
    let mut world = World::joined(Settings::default(), 20, 9);
    world.put(Input::Remembered {
        peers: (101..=120).map(known).collect(),
        anchors: Vec::new(),
    });
    world.pass(SECOND * 300);
    assert!(
        world.openings().iter().any(|number| *number > 100),
        "no node of the other half was tried"
    );
}

/// A node with all tunnels it wants opens one to node 300, of the other half of the network, and two hours pass. Whether it still has it.
fn keeps_tunnel_to_the_other_half(neighbours_know_a_way: bool) -> bool {
    let mut world = World::joined(Settings::default(), 20, 11);
    world.pass(SECOND * 60);
    world.learned(Source::Registry, [300]);
    world.ways.all.insert(node(300), Metric(500));
    for number in (1..=20).filter(|_| !neighbours_know_a_way) {
        let way = (node(300), node(number));
        world.ways.by.insert(way, Metric::INFINITY);
    }
    world.pass(SECOND * 7_200);
    assert!(world.ours(|_| true).len() <= 11);
    world.tunnels.contains_key(&300)
}

#[test]
fn the_only_tunnel_that_joins_two_halves_is_never_too_much() {
    assert!(keeps_tunnel_to_the_other_half(false));
    assert!(!keeps_tunnel_to_the_other_half(true));
}

#[test]
fn a_lost_tunnel_is_replaced_at_once() {
    let mut world = World::joined(Settings::default(), 100, 10);
    world.pass(SECOND * 30);
    let lost = world.ours(Why::is_random)[0];
    world.tunnels.remove(&lost);
    world.put(Input::Closed {
        node: node(lost),
        why: Loss::Silent,
    });
    world.pass(SECOND * 3);
    assert_eq!(world.ours(Why::is_random).len(), 5);
}

#[test]
fn who_led_into_a_network_that_has_no_others_gives_way_to_drawn_ones() {
    let settings = Settings {
        client_count: 3,
        ..Settings::default()
    };
    let mut world = World::new(settings, 8);
    world.put(Input::Reachable(Some(true)));
    world.learned(Source::Registry, 1..=8);
    assert_eq!(world.ours(|why| why == Why::Bootstrap).len(), 8);

    world.ways = Ways::to(1..=8);
    world.pass(SECOND * 300);

    assert_eq!(world.ours(Why::is_random).len(), 2);
    assert_eq!(world.tunnels.len(), 3);
}
