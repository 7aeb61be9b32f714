//! Links that come back: both ends use them again about one round trip after the first packet has passed, and a link on which
//! one end hears nothing causes no storm.

use std::time::Duration;

use super::network::{Link, Network, Node, prefix};
use crate::babel::input::{Input, InterfaceId};

const SECOND: Duration = Duration::from_secs(1);
/// Between two Hellos of the network.
const HELLO: Duration = Duration::from_secs(4);

/// Two nodes, the link between them a tunnel or a LAN, of this delay.
fn pair(lan: bool, delay: u64, seed: u64) -> Network {
    let mut link = Link::new(0, 1, 96);
    link.delay = Duration::from_millis(delay);
    // nobody else is there
    link.others = if lan { &[2] } else { &[] };
    let mut network = Network::new(3, vec![link], seed);
    network.run(SECOND * 30);
    network.speakers[2] = None;
    network.run(SECOND * 10 + Duration::from_millis(seed * 371));
    assert!(reach_each_other(&network));
    network
}

fn reach_each_other(network: &Network) -> bool {
    [(0, 1), (1, 0)]
        .iter()
        .all(|(from, to)| network.way(*from, &prefix(*to)).is_some())
}

/// How long it takes until both ends use the link.
fn recovery(network: &mut Network) -> Duration {
    let step = Duration::from_millis(20);
    let begin = network.now;
    while !reach_each_other(network) && network.now.since(begin) < SECOND * 120 {
        network.run(step);
    }
    network.now.since(begin)
}

fn carrier(network: &mut Network, node: Node, up: bool) {
    let interface = InterfaceId(0);
    network.tell(node, Input::Carrier { interface, up });
}

/// For each kind of link, delay and seed.
fn each(what: impl Fn(&mut Network, Duration, &str)) {
    for lan in [false, true] {
        for delay in [2, 150] {
            for seed in 1..=10 {
                let mut network = pair(lan, delay, seed);
                let round_trip = Duration::from_millis(2 * delay);
                what(
                    &mut network,
                    round_trip,
                    &format!("LAN {lan}, {delay} ms, seed {seed}"),
                );
            }
        }
    }
}

/// What is left after the first packet has passed: a few round trips, the spacing of quick Hellos, and the jitter of updates.
fn moment(round_trip: Duration) -> Duration {
    round_trip * 3 + Duration::from_millis(600)
}

#[test]
fn a_link_that_was_down_at_one_end_is_used_again_at_once() {
    each(|network, round_trip, place| {
        for seconds in [1, 6, 11, 30, 50, 100] {
            network.links[0].up = false;
            carrier(network, 1, false);
            network.run(SECOND * seconds);
            network.links[0].up = true;
            carrier(network, 1, true);
            let taken = recovery(network);
            assert!(
                taken <= moment(round_trip),
                "{place}, {seconds} s: {taken:?}"
            );
            network.run(SECOND * 20);
        }
    });
}

#[test]
fn a_link_that_lost_everything_for_a_while_is_used_again_when_the_first_hello_came() {
    each(|network, round_trip, place| {
        for seconds in [6, 11, 15, 30, 50, 100] {
            network.links[0].up = false;
            network.run(SECOND * seconds);
            network.links[0].up = true;
            let taken = recovery(network);
            let first = HELLO;
            assert!(
                taken <= first + moment(round_trip),
                "{place}, {seconds} s: {taken:?}"
            );
            network.run(SECOND * 20);
        }
    });
}

#[test]
fn a_link_that_lost_everything_one_way_is_used_again_when_the_first_hello_came() {
    each(|network, round_trip, place| {
        for (deaf, seconds) in [
            (0, 6),
            (1, 11),
            (0, 15),
            (1, 30),
            (0, 50),
            (1, 100),
            (0, 200),
        ] {
            network.links[0].deaf = Some(deaf);
            network.run(SECOND * seconds);
            network.links[0].deaf = None;
            let taken = recovery(network);
            let first = HELLO;
            assert!(
                taken <= first + moment(round_trip),
                "{place}, {deaf} deaf {seconds} s: {taken:?}"
            );
            network.run(SECOND * 20);
        }
    });
}

/// What is amiss with a link.
type Disturbance = fn(&mut Link);

/// Packets of ten minutes, on a LAN of eight or between two, and what they are if all is well.
fn packets(lan: bool, disturb: impl Fn(&mut Link)) -> (u64, u64) {
    let count = |disturbed: bool| {
        let mut link = Link::new(0, 1, 96);
        link.others = if lan { &[2, 3, 4, 5, 6, 7] } else { &[] };
        let mut network = Network::new(if lan { 8 } else { 2 }, vec![link], 1);
        network.run(SECOND * 30);
        if disturbed {
            disturb(&mut network.links[0]);
        }
        let before = network.packets;
        network.run(SECOND * 600);
        network.packets - before
    };
    (count(true), count(false))
}

#[test]
fn a_link_on_which_one_end_hears_little_or_nothing_causes_no_storm() {
    for lan in [false, true] {
        let disturbances: [(&str, Disturbance); 4] = [
            ("one is deaf", |link| link.deaf = Some(1)),
            ("30 % are lost", |link| link.loss = 300),
            ("60 % are lost", |link| link.loss = 600),
            ("90 % are lost", |link| link.loss = 900),
        ];
        for (what, disturb) in disturbances {
            let (disturbed, calm) = packets(lan, disturb);
            println!("LAN {lan}, {what}: {disturbed} packets, calm {calm}");
            assert!(
                disturbed < 6 * calm,
                "LAN {lan}, {what}: {disturbed} of {calm}"
            );
        }
    }
}
