//! Paths that take small packets only, and say nothing of the others.

use std::time::Duration;

use super::{
    bench::{Bench, OTHER, heard, hello},
    network::{Link, Network, Node, prefix},
};
use crate::babel::{
    input::InterfaceId,
    message::Message,
    output::{Event, NeighbourSnapshot, Output},
    quantities::{Interval, Metric},
};

const SECOND: Duration = Duration::from_secs(1);
/// Outer IPv6, UDP, GRE with a key, inner IPv6, UDP.
const HEADERS: usize = 40 + 8 + 8 + 40 + 8;
const ROUTES: usize = 201;

/// A link that passes outer packets of so many octets, and one that costs more and passes all.
fn network(path_mtu: usize) -> Network {
    let mut links = vec![
        Link::new(0, 1, 96),
        Link::new(0, 2, 200),
        Link::new(2, 1, 200),
    ];
    links[0].most = path_mtu - HEADERS;
    let mut network = Network::new(3, links, 1);
    for n in 0..ROUTES {
        network.announce(1, prefix(1_000 + n), Metric(0));
    }
    network
}

/// What a node knows of its neighbour on the first link.
fn neighbour(network: &Network, node: Node) -> NeighbourSnapshot {
    let speaker = network.speakers[node].as_ref().expect("started");
    let mut neighbours = speaker.neighbours().into_iter();
    let first = neighbours.find(|neighbour| neighbour.interface == InterfaceId(0));
    first.expect("a neighbour")
}

#[test]
fn updates_pass_every_path_that_takes_1280_octets() {
    for path_mtu in [1_280, 1_300, 1_500] {
        let mut network = network(path_mtu);
        network.run(SECOND * 20);
        for n in 0..ROUTES {
            assert_eq!(network.way(0, &prefix(1_000 + n)), Some(96), "{path_mtu}");
        }
        assert_eq!(neighbour(&network, 0).cost, Metric(96));
    }
}

#[test]
fn a_path_that_takes_less_is_avoided_and_said_until_it_takes_more() {
    let mut network = network(1_000);
    network.run(SECOND * 40);
    let avoided = neighbour(&network, 0);
    assert!(avoided.narrow);
    assert_eq!(avoided.cost, Metric(96 + 16_384));
    let speaker = network.speakers[0].as_ref().expect("started");
    let warnings = speaker.warnings(network.now);
    assert!(
        warnings[0].contains("packets of 1280 octets do not reach"),
        "{warnings:?}"
    );
    for n in 0..ROUTES {
        assert_eq!(
            network.way(0, &prefix(1_000 + n)),
            Some(400),
            "the other way"
        );
    }
    // without another way it is used, and small packets tell all
    network.links[1].up = false;
    network.run(SECOND * 30);
    for n in 0..ROUTES {
        assert_eq!(network.way(0, &prefix(1_000 + n)), Some(96));
    }
    network.links[1].up = true;
    network.links[0].most = 1_500;
    network.run(SECOND * 30);
    assert!(!neighbour(&network, 0).narrow);
    assert_eq!(network.way(0, &prefix(1_000)), Some(96));
}

#[test]
fn loss_makes_no_path_narrow() {
    for seed in 1..4 {
        let mut links = vec![Link::new(0, 1, 96)];
        links[0].loss = 150;
        let mut network = Network::new(2, links, seed);
        for _ in 0..720 {
            network.run(SECOND * 10);
            assert!(!neighbour(&network, 0).narrow, "seed {seed}");
        }
    }
}

/// What a neighbour that answers some acknowledgment requests makes of itself.
fn is_narrow_if(answers: impl Fn(usize) -> bool) -> bool {
    let mut bench = Bench::new(|_, _| {});
    for number in 1..4 {
        bench.hear(OTHER, &[hello(number), heard()]);
    }
    for _ in 0..600 {
        bench.wait(SECOND / 10);
        let mut replies = Vec::new();
        for output in std::mem::take(&mut bench.outputs) {
            match output {
                Output::Send { packet, .. } => {
                    let messages = crate::babel::wire::decode(&packet.bytes, OTHER).expect("ours");
                    for message in messages {
                        if let Message::AcknowledgmentRequest { opaque, interval } = message {
                            assert!(interval <= Interval(100), "before the next is sent");
                            if answers(packet.bytes.len()) {
                                replies.push(Message::Acknowledgment { opaque });
                            }
                        }
                    }
                }
                Output::Event(Event::PathNarrow { .. }) => return true,
                _ => {}
            }
        }
        bench.hear(OTHER, &replies);
    }
    false
}

#[test]
fn only_who_answers_small_requests_and_no_large_ones_has_a_narrow_path() {
    assert!(is_narrow_if(|octets| octets < 1_000));
    assert!(!is_narrow_if(|_| true));
    assert!(!is_narrow_if(|_| false), "it speaks no such thing");
}

#[test]
fn the_large_request_is_as_large_as_updates_may_be() {
    // a link of 1500 octets, of which a path may take but 1280
    let mut bench = Bench::new(|_, lan| lan.mtu = 1_500);
    bench.meet(OTHER);
    bench.wait(SECOND);
    let lengths = bench.outputs.iter().filter_map(|output| match output {
        Output::Send { packet, .. } => Some(packet.bytes.len()),
        _ => None,
    });
    assert_eq!(lengths.max(), Some(1_280 - 48));
}
