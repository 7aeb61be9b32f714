//! What hostile members can do to a node.

use std::{collections::BTreeSet, time::Duration};

use super::world::{SECOND, World, address, address_of, known, node};
use crate::{
    mesh::{
        Address, Input, Known, Metric, Output, QuestionId, Settings, Source, known::AddressBook,
    },
    time::Timestamp,
};

#[test]
fn answers_that_nobody_asked_for_are_counted_and_nothing_else() {
    let mut world = World::joined(Settings::default(), 0, 1);
    for number in 1..=100 {
        let outputs = world.put(Input::Answered {
            by: known(number),
            id: QuestionId(number.into()),
            has_room: true,
            metrics: Vec::new(),
        });
        assert_eq!(outputs, []);
    }
    assert_eq!(world.mesh.counters().unasked_answers, 100);
}

#[test]
fn a_flood_of_questions_is_not_answered() {
    let mut world = World::joined(Settings::default(), 0, 2);
    for id in 0..1_000 {
        world.put(Input::Asked {
            by: known(1),
            id: QuestionId(id),
            destinations: vec![node(2)],
            reach_us: false,
        });
    }
    assert_eq!(world.mesh.counters().answered, 4);
    assert_eq!(world.mesh.counters().excess_questions, 996);
}

#[test]
fn who_wants_to_be_reached_is_looked_for_at_two_hosts_public_ones_first() {
    let mut world = World::joined(Settings::default(), 0, 2);
    let at = |text: &str| text.parse().map(Address::udp).expect("an address");
    let reach = [
        "10.0.0.1:4754",
        "100.64.0.1:4754",
        "203.0.113.9:53",
        "203.0.113.9:80",
        "127.0.0.1:4754",
        "198.51.100.1:4754",
        "198.51.100.2:4754",
    ];
    let outputs = world.put(Input::Asked {
        by: Known {
            addresses: reach.map(at).to_vec(),
            ..known(1)
        },
        id: QuestionId(1),
        destinations: Vec::new(),
        reach_us: true,
    });
    let reached = Output::Reach {
        node: node(1),
        addresses: ["203.0.113.9:53", "198.51.100.1:4754"].map(at).to_vec(),
    };
    assert!(outputs.contains(&reached), "{outputs:?}");
}

#[test]
fn a_question_is_answered_with_addresses_and_metrics() {
    let mut world = World::joined(Settings::default(), 5, 3);
    world.put(Input::OwnAddresses(vec![address(9)]));
    let outputs = world.put(Input::Asked {
        by: known(1),
        id: QuestionId(8),
        destinations: vec![node(2), node(77), node(super::world::OWN)],
        reach_us: false,
    });
    let answer = Output::Answer {
        node: node(1),
        id: QuestionId(8),
        addresses: vec![address(9)],
        has_room: true,
        metrics: vec![Metric(1_000), Metric::INFINITY, Metric(0)],
    };
    assert!(outputs.contains(&answer), "{outputs:?}");
}

#[test]
fn no_more_peers_are_remembered_than_the_limit() {
    let mut world = World::joined(Settings::default(), 0, 4);
    world.put(Input::Reachable(Some(false)));
    for round in 0..20 {
        world.learned(Source::Other, round * 190..(round + 1) * 190);
    }
    let known = world.mesh.report(world.now).known;
    assert_eq!(known, 200);
}

#[test]
fn addresses_that_nothing_can_be_sent_to_are_thrown_away() {
    let mut world = World::joined(Settings::default(), 0, 5);
    let peer = Known {
        addresses: vec![address_of([127, 0, 0, 1]), address_of([224, 0, 0, 5])],
        ..known(1)
    };
    world.put(Input::Learned {
        source: Source::Other,
        peers: vec![peer],
    });
    assert_eq!(world.openings(), Vec::<u32>::new());
    assert_eq!(world.mesh.counters().bad_addresses, 2);
}

#[test]
fn what_others_say_of_a_node_does_not_replace_what_it_says_itself() {
    let mut world = World::joined(Settings::default(), 1, 6);
    world.pass(SECOND);
    world.put(Input::Learned {
        source: Source::Other,
        peers: vec![Known {
            addresses: vec![address_of([66, 6, 6, 6])],
            ..known(1)
        }],
    });
    world.put(Input::Closed {
        node: node(1),
        why: crate::mesh::Loss::Silent,
    });
    world.pass(Duration::from_secs(10));
    let last = world.said.iter().rev().find_map(|(_, said)| match said {
        Output::Open { addresses, .. } => Some(addresses.clone()),
        _ => None,
    });
    assert_eq!(last, Some(vec![address(1)]));
}

#[test]
fn who_asks_too_often_is_not_learned_from() {
    let mut world = World::joined(Settings::default(), 0, 8);
    let ask = |place| Input::Asked {
        by: Known {
            addresses: vec![address_of([66, 6, 6, place])],
            ..known(1)
        },
        id: QuestionId(1),
        destinations: Vec::new(),
        reach_us: false,
    };
    for place in 1..=200 {
        world.put(ask(place));
    }
    let said = world.said.iter();
    let remembered = said.flat_map(|(_, said)| match said {
        Output::Remember(known) => known.addresses.clone(),
        _ => Vec::new(),
    });
    let expected = [1, 2, 3, 4].map(|place| address_of([66, 6, 6, place]));
    assert_eq!(BTreeSet::from_iter(remembered), BTreeSet::from(expected));
}

#[test]
fn the_newest_that_a_node_signed_counts_whoever_passes_it_on() {
    let signed = |place, made_at| Known {
        addresses: vec![address_of([20, 0, 0, place])],
        made_at: Some(Timestamp(made_at)),
        ..known(1)
    };
    // who tells of it, which record it is, made when; which one counts then
    let cases = [
        (Source::Itself, signed(1, 1_000), 1),
        (Source::Registry, signed(2, 999), 1),
        (Source::Other, signed(3, 1_000), 1),
        (Source::Other, signed(4, 1_001), 4),
        (Source::Itself, signed(1, 1_000), 4),
        (Source::Other, known(1), 4),
        (Source::Configuration, signed(5, 1_002), 5),
        (Source::Itself, signed(6, 1_003), 5),
    ];
    let mut book = AddressBook::default();
    let mut stale = 0;
    for (source, told, expected) in cases {
        stale += u32::from(book.learn(source, told).is_stale);
        let counts = book.get(node(1)).map(|known| known.addresses.clone());
        assert_eq!(counts, Some(vec![address_of([20, 0, 0, expected])]));
    }
    assert_eq!(stale, 2);
}

#[test]
fn an_address_where_somebody_else_is_is_not_tried() {
    let mut world = World::joined(Settings::default(), 0, 7);
    world.learned(Source::Registry, [1]);
    assert_eq!(world.openings(), [1]);
    world.put(Input::Learned {
        source: Source::Other,
        peers: (2..=20)
            .map(|number| Known {
                addresses: vec![address(1)],
                ..known(number)
            })
            .collect(),
    });
    world.pass(SECOND * 60);
    assert_eq!(world.openings(), [1]);
    assert!(world.mesh.counters().taken_addresses > 0);
}
