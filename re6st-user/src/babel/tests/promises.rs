//! What holds in any network: no loops, shortest ways, nobody starves, retractions arrive.

use std::time::Duration;

use super::network::{Kept, Link, Network, other_prefixes, prefix};
use crate::{
    babel::{quantities::Metric, random::Random},
    route::RouteKey,
};

const SECOND: Duration = Duration::from_secs(1);

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells how to repeat what failed.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat this: RE6ST_SEED={} and the test's name", self.0);
        }
    }
}

/// Runs a scenario with 200 seeds, or as many as RE6ST_SEEDS says, or with the one of RE6ST_SEED.
fn with_seeds(scenario: impl Fn(u64)) {
    with_so_many_seeds(200, scenario);
}

/// The same with another number of seeds unless said.
fn with_so_many_seeds(count: u64, scenario: impl Fn(u64)) {
    let seeds = match number_from_environment("RE6ST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number_from_environment("RE6ST_SEEDS").unwrap_or(count),
    };
    for seed in seeds {
        let _replay = Replay(seed);
        scenario(seed);
    }
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
    with_seeds(|seed| {
        let mut network = Network::new(4, chain(4), seed);
        network.run(SECOND * 10);
        network.announce(0, prefix(100), Metric(0));
        network.run(Duration::from_millis(200));
        assert_eq!(network.way(3, &prefix(100)), Some(3 * 96));
    });
}

#[test]
fn random_networks_have_no_loops_and_find_shortest_ways() {
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let nodes = 4 + random.below(12) as usize;
        let links = random_links(&mut random, nodes);
        let mut network = Network::new(nodes, links, seed);
        let mut prefixes = all(nodes);
        for node in 0..2 {
            for other in other_prefixes(node) {
                network.announce(node, other, Metric(0));
                prefixes.push(other);
            }
        }
        network.run_without_loops(SECOND * 20);
        for _ in 0..12 {
            disturb(&mut network, &mut random);
            let pause = Duration::from_millis(random.below(8_000));
            network.run_without_loops(pause);
        }
        calm(&mut network);
        network.run_without_loops(SECOND * 150);
        network.assert_shortest(&prefixes);
    });
}

#[test]
fn prefixes_of_several_origins_find_the_nearest_and_no_loop_lasts() {
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let nodes = 4 + random.below(8) as usize;
        let links = random_links(&mut random, nodes);
        let mut network = Network::new(nodes, links, seed);
        let [ipv4, by_source, ipv4_by_source] = other_prefixes(100);
        let shared = [prefix(100), ipv4, by_source, ipv4_by_source];
        network.shared.extend(shared);
        for _ in 0..20 {
            let node = random.below(nodes as u64) as usize;
            let key = shared[random.below(4) as usize];
            match random.below(4) {
                0 => network.withdraw(node, key),
                1 => disturb(&mut network, &mut random),
                _ => network.announce(node, key, Metric(random.below(300) as u16)),
            }
            network.run_without_loops(Duration::from_millis(random.below(5_000)));
        }
        calm(&mut network);
        network.run_without_loops(SECOND * 150);
        for key in &shared {
            network.assert_no_loop(key);
        }
        network.assert_shortest(&shared);
    });
}

/// Thirty nodes with 45 links, of which five are cut without a word: within three seconds, of which the first is needed to
/// notice it, all find a way who have one, also if that is not feasible at first (section 3.8.2.1).
#[test]
fn killed_links_cut_nobody_off_for_long() {
    with_so_many_seeds(20, |seed| {
        const NODES: usize = 30;
        let mut random = Random::new(seed);
        let mut links = Vec::new();
        for node in 1..NODES {
            links.push((random.below(node as u64) as usize, node));
        }
        while links.len() < 45 {
            let ends = [(); 2].map(|()| random.below(NODES as u64) as usize);
            let link = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            if link.0 != link.1 && !links.contains(&link) {
                links.push(link);
            }
        }
        let mut link = |(one, other)| Link::new(one, other, 10 + random.below(400) as u16);
        let mut network = Network::new(NODES, links.into_iter().map(&mut link).collect(), seed);
        network.run(SECOND * 20);
        for _ in 0..5 {
            let link = random.below(45) as usize;
            network.links[link].up = false;
        }
        let ways: Vec<_> = all(NODES)
            .into_iter()
            .flat_map(|key| {
                let least = network.shortest(&key).into_iter().enumerate();
                least.filter_map(move |(node, least)| least.map(|_| (node, key)))
            })
            .collect();
        let cut_off = |network: &Network| -> Vec<_> {
            let lost = |(node, key): &&(usize, RouteKey)| network.way(*node, key).is_none();
            ways.iter().filter(lost).copied().collect()
        };
        network.run_without_loops(SECOND * 3);
        let lost = cut_off(&network);
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    });
}

/// Something happens that routing must get over.
fn disturb(network: &mut Network, random: &mut Random) {
    const SECONDS_DEAD: u64 = 10;
    let link = random.below(network.links.len() as u64) as usize;
    let node = random.below(network.speakers.len() as u64) as usize;
    match random.below(10) {
        0 | 1 => network.links[link].up = !network.links[link].up,
        2 | 3 => network.set_cost(link, 10 + random.below(400) as u16),
        // whoever routes by a node over a link that is cut does not hear that it forgot everything: until its Hellos are
        // missed, Babel cannot know better
        4 if network.is_wholly_connected(node) => network.restart(node, Kept::Nothing),
        // killed; the file is good, or damaged
        5 => network.restart(node, Kept::Distances),
        6 => network.restart(node, Kept::Routes),
        7 => network.announce(node, prefix(node), Metric(random.below(200) as u16)),
        8 => network.links[link].loss = random.below(100),
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
    with_seeds(|seed| {
        let mut random = Random::new(seed);
        let links = random_links(&mut random, 10);
        let mut network = Network::new(10, links, seed);
        let mut lost = vec![prefix(3)];
        for other in other_prefixes(3) {
            network.announce(3, other, Metric(0));
            lost.push(other);
        }
        network.run(SECOND * 20);
        for key in &lost {
            network.withdraw(3, *key);
        }
        network.run_without_loops(SECOND * 8);
        for node in 0..10 {
            for key in &lost {
                assert_eq!(network.way(node, key), None, "seed {seed}: node {node}");
            }
        }
    });
}
