//! Whom a node draws.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{OWN, SECOND, Ways, World, address_of, generator, known, node, number};
use crate::{
    mesh::{Block, Input, Known, Mesh, OpenFailure, Output, Settings, Why},
    time::Time,
};

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
fn names_that_nobody_has_do_not_keep_a_node_from_those_that_are_there() {
    let mut world = World::joined(Settings::default(), 400, 1);
    world.answers = |number| number <= 20;
    world.pass(SECOND * 240);
    let ours = world.ours(|_| true);
    assert!(ours.len() >= 8, "{ours:?}");
}

#[test]
fn tunnels_that_are_opened_together_are_spread_too() {
    let mut mesh = Mesh::new(node(OWN), Settings::default());
    let ways = Ways::to(1..=40);
    // three of four are in one block
    let address = |number: u32| {
        let number = u8::try_from(number).expect("small");
        match number % 4 {
            0 => address_of([20, number, 0, 1]),
            _ => address_of([66, 66, 0, number]),
        }
    };
    let peers = (1..=40).map(|number| Known {
        addresses: vec![address(number)],
        ..known(number)
    });
    let remembered = Input::Remembered {
        peers: peers.collect(),
        anchors: Vec::new(),
    };
    let (mut random, mut outputs) = (generator(3), Vec::new());
    for input in [remembered, Input::Reachable(Some(true))] {
        mesh.handle(Time(1), input, &ways, &mut random, &mut outputs);
    }
    let blocks = outputs.iter().filter_map(|output| match output {
        Output::Open { node, why, .. } if why.is_random() => {
            Some(Block::of(address(number(*node)).socket.ip()))
        }
        _ => None,
    });
    let blocks = Vec::from_iter(blocks);
    let different = blocks.iter().collect::<BTreeSet<_>>();
    assert_eq!((blocks.len(), different.len()), (5, 5), "{blocks:?}");
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
