//! Links and nodes that fail: how soon it is noticed, and what survives.

use std::time::Duration;

use super::network::{Installed, Kept, Link, Network, prefix};
use crate::babel::{
    input::{Input, InterfaceId},
    output::NeighbourSnapshot,
    quantities::Metric,
    settings::RoundTrip,
};

const SECOND: Duration = Duration::from_secs(1);

fn chain(nodes: usize) -> Vec<Link> {
    (1..nodes)
        .map(|node| Link::new(node - 1, node, 96))
        .collect()
}

/// Two ways from 0 to 2: by 1, and by 3, which costs more.
fn ring() -> Vec<Link> {
    vec![
        Link::new(0, 1, 96),
        Link::new(1, 2, 96),
        Link::new(2, 3, 150),
        Link::new(3, 0, 150),
    ]
}

#[test]
fn a_silent_cut_is_routed_around_within_a_second() {
    for seed in 1..6 {
        let mut network = Network::new(4, ring(), seed);
        network.run(SECOND * 20);
        assert_eq!(network.way(0, &prefix(2)), Some(192));
        network.links[1].up = false;
        network.run(SECOND);
        assert_eq!(network.way(0, &prefix(2)), Some(300), "seed {seed}");
        network.links[1].up = true;
        network.run(SECOND * 20);
        assert_eq!(
            network.way(0, &prefix(2)),
            Some(192),
            "seed {seed}: it heals"
        );
    }
}

#[test]
fn a_killed_controller_cuts_nobody_off_whose_data_plane_forwards_on() {
    for seed in 1..4 {
        let mut network = Network::new(4, chain(4), seed);
        network.run(SECOND * 20);
        let before = network.routes.clone();
        network.removals = vec![Vec::new(); 4];
        network.speakers[2] = None;
        network.run(SECOND * 3);
        assert_eq!(network.routes, before, "seed {seed}: while it is dead");
        let speaker = network.speakers[1].as_ref().expect("started");
        let unresponsive = |neighbour: &NeighbourSnapshot| neighbour.unresponsive;
        assert!(speaker.neighbours().iter().any(unresponsive));
        network.restart(2, Kept::Routes);
        for _ in 0..900 {
            network.run(Duration::from_millis(100));
            assert_eq!(network.routes, before, "seed {seed}: after its restart");
        }
        assert_eq!(network.removals, vec![Vec::new(); 4], "seed {seed}");
        let speaker = network.speakers[1].as_ref().expect("started");
        assert!(!speaker.neighbours().iter().any(unresponsive));
    }
}

#[test]
fn a_dead_neighbour_is_cut_off_by_its_hellos() {
    let mut network = Network::new(3, chain(3), 1);
    network.run(SECOND * 20);
    network.links[1].up = false;
    network.run(SECOND * 5);
    assert_eq!(network.routes[0].get(&prefix(2)), Some(&Installed::Via(1)));
    network.run(SECOND * 10);
    assert_eq!(
        network.routes[0].get(&prefix(2)),
        Some(&Installed::Unreachable)
    );
}

#[test]
fn a_lost_carrier_is_routed_around_at_once() {
    let mut network = Network::new(4, ring(), 1);
    network.run(SECOND * 20);
    network.links[1].up = false;
    for node in [1, 2] {
        network.tell(
            node,
            Input::Carrier {
                interface: InterfaceId(1),
                up: false,
            },
        );
    }
    network.run(Duration::from_millis(300));
    assert_eq!(network.way(0, &prefix(2)), Some(300));
}

/// Two hours; more with RE6ST_HOURS, a week has 168.
fn hours() -> u64 {
    let wanted = std::env::var("RE6ST_HOURS")
        .ok()
        .and_then(|text| text.parse().ok());
    wanted.unwrap_or(2)
}

#[test]
fn loss_raises_no_false_alarm() {
    for seed in 1..6 {
        assert_no_false_alarm(seed);
    }
}

/// An idle tunnel that loses 5 % each way and takes 150 ms for a round trip.
fn assert_no_false_alarm(seed: u64) {
    let mut links = vec![Link::new(0, 1, 96)];
    links[0].loss = 50;
    links[0].delay = Duration::from_millis(75);
    let mut network = Network::with(
        2,
        links,
        seed,
        |settings| settings.round_trip = Some(RoundTrip::default()),
        |_| {},
    );
    network.run(Duration::from_secs(hours() * 3600));
    // two of three Hellos may just have been lost
    network.links[0].loss = 0;
    network.run(SECOND * 15);
    for node in 0..2 {
        let speaker = network.speakers[node].as_ref().expect("started");
        assert_eq!(speaker.counters().unresponsive_neighbours, 0, "seed {seed}");
        assert!(speaker.counters().probes_sent > 1000);
        assert!(!speaker.neighbours()[0].cost.is_infinite());
    }
}

#[test]
fn a_stalled_process_raises_no_false_alarm() {
    let mut network = Network::new(2, vec![Link::new(0, 1, 96)], 1);
    network.run(SECOND * 5);
    let stalled = network.speakers[0].take();
    network.run(Duration::from_millis(650));
    network.speakers[0] = stalled;
    network.tell(0, Input::Time);
    let speaker = network.speakers[0].as_ref().expect("back");
    assert_eq!(
        speaker.counters().unresponsive_neighbours,
        0,
        "it asked but once"
    );
}

#[test]
fn a_graceful_restart_removes_nothing() {
    let mut network = Network::new(4, chain(4), 1);
    network.run(SECOND * 20);
    network.removals = vec![Vec::new(); 4];
    network.restart(1, Kept::Routes);
    for _ in 0..900 {
        network.run(Duration::from_millis(100));
        assert_eq!(
            network.way(0, &prefix(3)),
            Some(288),
            "at {:?}",
            network.now
        );
        assert_eq!(
            network.way(3, &prefix(0)),
            Some(288),
            "at {:?}",
            network.now
        );
    }
    assert_eq!(network.removals, vec![Vec::new(); 4]);
}

/// Node 0 is killed, its way to 2 is cut, and it starts again: how long until it goes the other way.
fn other_way_after_restart(kept: Kept, seed: u64) -> Duration {
    let mut network = Network::new(4, ring(), seed);
    network.run(SECOND * 20);
    assert_eq!(network.way(0, &prefix(2)), Some(192));
    network.speakers[0] = None;
    network.links[0].up = false;
    network.run(SECOND);
    network.restart(0, kept);
    let begin = network.now;
    while network.way(0, &prefix(2)) != Some(300)
        || network.routes[0][&prefix(2)] != Installed::Via(3)
    {
        network.run(Duration::from_millis(100));
    }
    network.now.since(begin)
}

#[test]
fn with_distances_kept_another_way_is_found_at_once_after_a_restart() {
    for seed in 1..6 {
        let with = other_way_after_restart(Kept::Distances, seed);
        assert!(with < SECOND * 4, "seed {seed}: {with:?}");
        let without = other_way_after_restart(Kept::Routes, seed);
        assert!(without > SECOND * 50, "seed {seed}: {without:?}");
    }
}

#[test]
fn a_way_that_got_worse_during_a_restart_stays_in_use() {
    let mut network = Network::new(3, chain(3), 1);
    network.run(SECOND * 20);
    network.speakers[0] = None;
    network.set_cost(1, 500);
    network.run(SECOND * 5);
    network.removals = vec![Vec::new(); 3];
    network.restart(0, Kept::Distances);
    network.run(SECOND * 90);
    assert_eq!(network.way(0, &prefix(2)), Some(596));
    assert_eq!(network.removals, vec![Vec::new(); 3]);
    let speaker = network.speakers[0].as_ref().expect("started");
    assert_eq!(speaker.counters().unfeasible_updates, 0);
}

#[test]
fn what_is_not_heard_again_after_a_restart_is_removed() {
    let mut network = Network::new(3, vec![Link::new(0, 1, 96), Link::new(1, 2, 96)], 1);
    network.run(SECOND * 20);
    network.speakers[2] = None;
    network.restart(1, Kept::Routes);
    network.run(SECOND * 50);
    assert_eq!(network.routes[1].get(&prefix(2)), Some(&Installed::Via(2)));
    network.run(SECOND * 15);
    assert_eq!(network.routes[1].get(&prefix(2)), None);
}

#[test]
fn a_lost_prefix_is_refused_for_a_while() {
    let mut network = Network::new(3, vec![Link::new(0, 1, 96), Link::new(1, 2, 96)], 1);
    network.run(SECOND * 20);
    network.withdraw(2, prefix(2));
    network.run(SECOND);
    assert_eq!(
        network.routes[0].get(&prefix(2)),
        Some(&Installed::Unreachable)
    );
    network.run(SECOND * 70);
    assert_eq!(network.routes[0].get(&prefix(2)), None);
}

#[test]
fn a_multiplied_cost_drains_a_link() {
    let mut network = Network::new(4, ring(), 1);
    network.run(SECOND * 20);
    for (node, interface) in [(0, 0), (1, 0)] {
        let interface = InterfaceId(interface);
        network.tell(
            node,
            Input::CostMultiplier {
                interface,
                neighbour: None,
                multiplier: 2560,
            },
        );
    }
    network.run(SECOND * 30);
    assert_eq!(network.routes[0].get(&prefix(1)), Some(&Installed::Via(3)));
}

#[test]
fn ten_thousand_routes_are_learned_quickly_and_refreshed_by_digest() {
    const ROUTES: usize = 10_000;
    let mut network = Network::new(2, vec![Link::new(0, 1, 96)], 1);
    network.links[0].up = false;
    for route in 0..ROUTES {
        network.announce(0, prefix(1000 + route), Metric(0));
    }
    network.run(SECOND * 3);
    network.links[0].up = true;
    let begin = network.now;
    while network.routes[1].len() <= ROUTES {
        network.run(Duration::from_millis(100));
        assert!(
            network.now.since(begin) < SECOND * 6,
            "{} learned",
            network.routes[1].len()
        );
    }
    let learned = network.now.since(begin);
    network.run(SECOND * 30);
    let octets = network.octets;
    network.run(SECOND * 160);
    let rate = (network.octets - octets) / 160;
    println!("learned in {learned:?}, {rate} octets/s both ways after that");
    assert!(
        rate < 2_000,
        "{rate} octets a second: the digest does not spare full announcements"
    );
    assert_eq!(
        network.routes[1].len(),
        ROUTES + 1,
        "digests keep routes alive"
    );
    let speaker = network.speakers[1].as_ref().expect("started");
    assert!(speaker.counters().equal_digests > 0);
    assert_eq!(speaker.counters().expired_routes, 0);
}
