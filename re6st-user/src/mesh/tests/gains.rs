//! Tunnels that shorten ways, and those to where traffic goes.

use std::time::Duration;

use super::world::{SECOND, World, node};
use crate::mesh::{Closing, Event, Input, Metric, OpenedBy, Output, Settings, Why};

/// A world of 40 nodes in which all ways cost 1,000, also by each neighbour. Node 40 says that it is near to all.
fn with_a_candidate(seed: u64) -> World {
    let mut world = World::joined(Settings::default(), 40, seed);
    world.metric = |number| Metric(if number == 40 { 300 } else { 1_000 });
    world.round_trip = |_| Some(Duration::from_millis(10));
    world
}

/// What neighbour 40 offers when it is one.
fn offer(world: &mut World, metric: u16) {
    for number in 1..40 {
        let way = (node(number), node(40));
        world.ways.by.insert(way, Metric(metric));
    }
}

#[test]
fn the_best_candidate_takes_the_place_of_the_least_worth_without_a_gap() {
    let mut world = with_a_candidate(1);
    world.refuses = |number| number == 40;
    world.pass(SECOND * 30);
    world.refuses = |_| false;
    offer(&mut world, 400);
    world.pass(SECOND * 3_600);
    assert_eq!(world.tunnels[&40], (OpenedBy::Us, Why::Gain));
    assert_eq!(world.ours(Why::is_optimised).len(), 5);
    let is_open =
        |output: &Output| matches!(output, Output::Open { node: it, .. } if *it == node(40));
    let opened = world.when(is_open).expect("it was opened");
    let mut drained = world
        .said
        .iter()
        .filter(|(_, it)| matches!(it, Output::Drain(_)));
    let drained = drained
        .find(|(at, _)| *at >= opened)
        .expect("another one went");
    assert!(drained.0.since(opened) >= Duration::from_secs(20));
}

#[test]
fn who_promises_more_than_it_gives_goes_and_is_not_believed_again_soon() {
    let mut world = with_a_candidate(2);
    world.refuses = |number| number == 40;
    world.pass(SECOND * 30);
    world.refuses = |_| false;
    let before = world.ours(|_| true);
    offer(&mut world, 1_000);
    world.said.clear();
    world.pass(SECOND * 1_200);
    let liar = |output: &Output| *output == Output::Event(Event::Liar(node(40)));
    assert!(world.when(liar).is_some());
    assert!(world.closed().contains(&(40, Closing::BrokenPromise)));
    let times = world
        .openings()
        .iter()
        .filter(|number| **number == 40)
        .count();
    assert_eq!(times, 1, "it was believed again");
    let kept = world.ours(|_| true);
    let kept = before.iter().filter(|number| kept.contains(number)).count();
    assert!(kept >= 9, "others went for it");
}

#[test]
fn candidates_that_would_shorten_nothing_are_not_probed() {
    let mut world = World::joined(Settings::default(), 100, 3);
    world.metric = |_| Metric(1_200);
    world.pass(SECOND * 3_600);
    let counters = world.mesh.counters();
    assert!(counters.questions > 100, "{}", counters.questions);
    assert_eq!(counters.probes, 0);
}

#[test]
fn answers_with_too_few_or_too_many_metrics_are_thrown_away() {
    let mut world = World::joined(Settings::default(), 100, 4);
    world.metrics_more = 1;
    world.pass(SECOND * 900);
    let counters = world.mesh.counters();
    assert!(counters.malformed_answers >= 20);
    assert_eq!(counters.improved, 0);
}

#[test]
fn who_says_that_it_is_everywhere_is_not_believed() {
    let mut world = World::joined(Settings::default(), 100, 5);
    world.metric = |_| Metric(0);
    // as far as the way over the mesh: the node itself is no nearer
    world.round_trip = |_| Some(Duration::from_millis(100));
    world.pass(SECOND * 3_600);
    assert_eq!(world.mesh.counters().improved, 0);
    assert_eq!(world.mesh.counters().broken_promises, 0);
}

/// Traffic to a node without a tunnel for ten minutes; the direct way there costs ten a millisecond, the way over the mesh 1,000.
fn with_traffic(round_trip: fn(u32) -> Option<Duration>) -> (World, u32) {
    let mut world = World::joined(Settings::default(), 100, 6);
    world.round_trip = round_trip;
    world.pass(SECOND * 30);
    let strangers = (1..=100).find(|number| !world.tunnels.contains_key(number));
    let there = strangers.expect("a node without a tunnel");
    for _ in 0..60 {
        world.pass(SECOND * 10);
        let octets = vec![(node(there), 5_000_000), (node(101), 1_000)];
        world.put(Input::Traffic(octets));
    }
    (world, there)
}

#[test]
fn a_direct_tunnel_is_opened_where_traffic_goes_and_it_is_shorter() {
    let (mut world, there) = with_traffic(|_| Some(Duration::from_millis(80)));
    assert_eq!(world.tunnels[&there], (OpenedBy::Us, Why::Direct));
    assert_eq!(world.ours(|why| why == Why::Direct), [there]);
    for _ in 0..60 {
        world.pass(SECOND * 10);
        world.put(Input::Traffic(Vec::new()));
    }
    assert_eq!(world.ours(|why| why == Why::Direct).len(), 0);
    assert!(world.closed().contains(&(there, Closing::Idle)));
}

#[test]
fn no_direct_tunnel_is_opened_where_the_mesh_is_as_short_or_nobody_answers() {
    for round_trip in [|_| Some(Duration::from_millis(98)), |_| None] {
        let (world, _) = with_traffic(round_trip);
        assert_eq!(world.ours(|why| why == Why::Direct).len(), 0);
    }
}
