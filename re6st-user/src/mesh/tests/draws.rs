//! Whom a node draws.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{SECOND, World, address_of, node};
use crate::mesh::{Block, Input, Mesh, OpenFailure, Output, Settings, Why};

#[test]
fn every_node_is_as_likely_as_any_other() {
    let mut times: BTreeMap<u32, u32> = BTreeMap::new();
    for seed in 0..400 {
        let mut world = World::joined(Settings::default(), 20, seed);
        world.pass(SECOND);
        for number in world.ours(Why::is_random) {
            *times.entry(number).or_default() += 1;
        }
    }
    // 100 expected of each, with a deviation of 9
    assert_eq!(times.len(), 20);
    let (least, most) = (times.values().min(), times.values().max());
    assert!(least > Some(&60) && most < Some(&140), "{least:?} {most:?}");
}

#[test]
fn in_a_large_network_every_node_is_as_likely_for_all_others_together() {
    let mut drawn = BTreeSet::new();
    for own in 0..100 {
        let mut world = World::joined(Settings::default(), 900, own.into());
        world.mesh = Mesh::new(node(2_000 + own), Settings::default());
        world.pass(SECOND);
        drawn.extend(world.ours(Why::is_random));
    }
    // 500 draws of 900: 384 different ones expected, with a deviation of 9
    assert!((340..430).contains(&drawn.len()), "{}", drawn.len());
}

#[test]
fn in_a_large_network_one_node_draws_from_those_that_the_lot_gave_it() {
    let mut drawn = BTreeSet::new();
    for seed in 0..100 {
        let mut world = World::joined(Settings::default(), 900, seed);
        world.pass(SECOND);
        drawn.extend(world.ours(Why::is_random));
    }
    assert!((8..40).contains(&drawn.len()), "{}", drawn.len());
}

#[test]
fn one_that_does_not_answer_is_left_alone_and_another_one_is_drawn() {
    let mut world = World::joined(Settings::default(), 60, 1);
    world.answers = |number| number % 2 == 0;
    world.pass(SECOND * 60);
    let ours = world.ours(|_| true);
    assert_eq!(ours.len(), 10);
    assert!(ours.iter().all(|number| number % 2 == 0), "{ours:?}");
    let asked = world.said.iter().filter_map(|(_, output)| match output {
        Output::Ask { node, .. } => Some(*node),
        _ => None,
    });
    let asked = Vec::from_iter(asked);
    let different = asked.iter().collect::<BTreeSet<_>>();
    assert_eq!(different.len(), asked.len(), "somebody was asked twice");
}

#[test]
fn one_that_cannot_be_reached_is_tried_after_a_minute_and_then_less_and_less() {
    let mut world = World::joined(Settings::default(), 1, 2);
    world.opens = |_| Err(OpenFailure::Unreachable);
    world.pass(SECOND * 3_600);
    let tries = world.openings().len();
    assert!((4..=9).contains(&tries), "{tries} times in an hour");
}

#[test]
fn random_tunnels_are_spread_over_blocks_of_addresses() {
    let mut world = World::joined(Settings::default(), 100, 3);
    // two of three are in one block
    world.address = |number| match number % 3 {
        0 => address_of([20, u8::try_from(number).expect("small"), 0, 1]),
        _ => address_of([66, 66, 0, u8::try_from(number).expect("small")]),
    };
    world.pass(SECOND * 120);
    let random = world.ours(Why::is_random);
    let blocks = random
        .iter()
        .map(|number| Block::of((world.address)(*number).socket.ip()));
    let blocks = blocks.collect::<BTreeSet<_>>();
    assert_eq!((random.len(), blocks.len()), (5, 5), "{random:?}");
}

#[test]
fn where_all_are_in_one_block_they_are_taken_all_the_same() {
    let mut world = World::joined(Settings::default(), 100, 4);
    world.address = |number| address_of([192, 168, 0, u8::try_from(number).expect("small")]);
    world.pass(SECOND * 120);
    assert_eq!(world.ours(Why::is_random).len(), 5);
}

#[test]
fn who_is_expelled_is_closed_and_never_drawn() {
    let mut world = World::joined(Settings::default(), 30, 5);
    world.pass(SECOND * 30);
    let expelled = world.ours(|_| true);
    world.put(Input::Expelled(
        expelled.iter().copied().map(node).collect(),
    ));
    world.pass(SECOND * 3_600);
    let ours = world.ours(|_| true);
    assert_eq!(ours.len(), 10);
    assert!(ours.iter().all(|number| !expelled.contains(number)));
}
