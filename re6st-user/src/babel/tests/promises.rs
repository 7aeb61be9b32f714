//! What holds in any network: no loops, shortest ways, nobody starves, retractions arrive.

use std::time::Duration;

use super::network::{Kept, Link, Network, prefix};
use crate::{
    babel::{quantities::Metric, random::Random},
    dataplane::RouteKey,
};

const SECOND: Duration = Duration::from_secs(1);

/// How many seeds: more with RE6ST_SEEDS.
fn seeds() -> std::ops::Range<u64> {
    let wanted = std::env::var("RE6ST_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok());
    1..1 + wanted.unwrap_or(8)
}

fn chain(nodes: usize) -> Vec<Link> {
    (1..nodes)
        .map(|node| Link::new(node - 1, node, 96))
        .collect()
}

/// A random connected network: a tree and some links more.
fn random_links(random: &mut Random, nodes: usize) -> Vec<Link> {
    let mut links = Vec::new();
    for node in 1..nodes {
        links.push((random.below(node as u64) as usize, node));
    }
    for _ in 0..nodes {
        let (one, other) = (
            random.below(nodes as u64) as usize,
            random.below(nodes as u64) as usize,
        );
        let known = |(a, b): &(usize, usize)| (*a, *b) == (one, other) || (*a, *b) == (other, one);
        if one != other && !links.iter().any(known) {
            links.push((one, other));
        }
    }
    let mut link = |(one, other)| {
        let mut link = Link::new(one, other, 10 + random.below(400) as u16);
        link.delay = Duration::from_micros(500 + random.below(60_000));
        link.jitter = Duration::from_micros(random.below(20_000));
        link.loss = random.below(50);
        link.duplication = random.below(50);
        link
    };
    links.into_iter().map(&mut link).collect()
}

fn all(nodes: usize) -> Vec<RouteKey> {
    (0..nodes).map(prefix).collect()
}

#[test]
fn neighbours_learn_each_other_within_a_second() {
    let mut network = Network::new(2, chain(2), 1);
    network.run(SECOND);
    network.assert_shortest(&all(2));
}

#[test]
fn a_chain_converges() {
    let mut network = Network::new(6, chain(6), 1);
    network.run(SECOND * 3);
    network.assert_shortest(&all(6));
}

#[test]
fn a_new_route_crosses_three_hops_in_a_fifth_of_a_second() {
    for seed in seeds() {
        let mut network = Network::new(4, chain(4), seed);
        network.run(SECOND * 30);
        network.announce(0, prefix(100), Metric(0));
        network.run(Duration::from_millis(200));
        assert_eq!(network.way(3, &prefix(100)), Some(3 * 96), "seed {seed}");
    }
}

#[test]
fn random_networks_have_no_loops_and_find_shortest_ways() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let nodes = 4 + random.below(12) as usize;
        let links = random_links(&mut random, nodes);
        let mut network = Network::new(nodes, links, seed);
        let prefixes = all(nodes);
        network.run_without_loops(SECOND * 20);
        for _ in 0..12 {
            disturb(&mut network, &mut random);
            let pause = Duration::from_millis(random.below(8_000));
            network.run_without_loops(pause);
        }
        calm(&mut network);
        network.run_without_loops(SECOND * 150);
        network.assert_shortest(&prefixes);
    }
}

/// Something happens that routing must get over.
fn disturb(network: &mut Network, random: &mut Random) {
    const SECONDS_DEAD: u64 = 10;
    let link = random.below(network.links.len() as u64) as usize;
    let node = random.below(network.speakers.len() as u64) as usize;
    match random.below(8) {
        0 | 1 => network.links[link].up = !network.links[link].up,
        2 | 3 => network.set_cost(link, 10 + random.below(400) as u16),
        // whoever routes by a node over a link that is cut does not hear that it forgot everything: until its Hellos are
        // missed, Babel cannot know better
        4 if network.is_wholly_connected(node) => network.restart(node, Kept::Nothing),
        // killed; the file is good, or damaged
        5 => network.restart(node, Kept::Distances),
        6 => network.restart(node, Kept::Routes),
        _ => {
            network.speakers[node] = None;
            let dead = Duration::from_millis(random.below(SECONDS_DEAD * 1000));
            network.run_without_loops(dead);
            network.restart(node, Kept::Distances);
        }
    }
}

/// Everything works again, without loss.
fn calm(network: &mut Network) {
    for link in &mut network.links {
        link.up = true;
        link.loss = 0;
    }
}

#[test]
fn retractions_reach_everybody() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let links = random_links(&mut random, 10);
        let mut network = Network::new(10, links, seed);
        network.run(SECOND * 20);
        network.withdraw(3, prefix(3));
        network.run_without_loops(SECOND * 8);
        for node in 0..10 {
            assert_eq!(
                network.way(node, &prefix(3)),
                None,
                "seed {seed}: node {node}"
            );
        }
    }
}
