//! Signed documents that go from node to node.

use super::world::{SECOND, Way, World, with_seeds};
use crate::channel::{Held, Input};

fn held(parameters: u64, size: usize) -> Held {
    let document: Vec<u8> = (0..size).map(|at| (at / 3 % 251) as u8).collect();
    Held {
        parameters: Some((parameters, document)),
        ..Held::default()
    }
}

#[test]
fn a_newer_document_is_with_all_within_seconds_and_an_older_one_with_nobody() {
    let mut world = World::new(3, 1);
    world.call(1, 2);
    world.call(2, 3);
    world.run(SECOND);
    world.input(1, Input::Held(held(7, 3000)));
    world.input(2, Input::Held(held(5, 2000)));
    world.run(SECOND);
    assert!(world.node(2).documents == [held(7, 3000).parameters.unwrap().1]);
    assert!(world.node(1).documents.is_empty());
    // they were good
    world.input(3, Input::Held(held(5, 2000)));
    world.input(2, Input::Held(held(7, 3000)));
    world.run(SECOND);
    let last = world.node(3).documents.last().map(Vec::len);
    assert_eq!((world.node(3).documents.len(), last), (2, Some(3000)));
}

#[test]
fn who_comes_later_gets_it_too() {
    let mut world = World::pair(1);
    world.input(2, Input::Held(held(3, 100)));
    world.run(SECOND * 2);
    assert_eq!(world.node(1).documents.len(), 1);
}

#[test]
fn a_large_one_comes_whole_through_loss_and_disorder() {
    with_seeds(5, |seed| {
        let mut world = World::pair(seed);
        world.way = Way {
            loss: 5,
            duplication: 5,
            jitter: SECOND / 50,
            ..Way::default()
        };
        world.run(SECOND * 5);
        world.input(2, Input::Held(held(9, 4 << 20)));
        world.run(SECOND * 300);
        assert_eq!(world.node(1).documents.len(), 1);
        assert!(world.node(1).documents[0] == held(9, 4 << 20).parameters.unwrap().1);
    });
}

#[test]
fn whoever_says_that_it_has_what_is_of_no_use_is_asked_ever_more_seldom() {
    let mut world = World::pair(1);
    world.run(SECOND);
    // nobody takes it: it is forged, perhaps
    world.input(2, Input::Held(held(u64::MAX, 2000)));
    world.run(SECOND * 3600);
    let useless = world.node(1).counters().useless_documents;
    assert!((3..=12).contains(&useless), "{useless} in an hour");
    assert_eq!(
        world.node(1).documents.len(),
        1,
        "the same is not given twice"
    );
}

#[test]
fn one_that_is_too_large_is_not_taken() {
    let mut world = World::pair(1);
    world.node(1).settings.limits.document = 10_000;
    world.boot(1);
    world.run(SECOND * 5);
    world.input(2, Input::Held(held(3, 10_001)));
    world.run(SECOND * 20);
    assert!(world.node(1).documents.is_empty());
    assert!(world.node(1).counters().useless_documents > 0);
}

#[test]
fn statements_about_successors_come_by_themselves() {
    let mut world = World::pair(1);
    let statements = vec![vec![1; 1500], vec![2; 1400]];
    let held = Held {
        successions: statements.clone(),
        ..Held::default()
    };
    world.input(2, Input::Held(held));
    world.run(SECOND * 3);
    assert_eq!(world.node(1).documents, statements);
    world.run(SECOND * 100);
    assert_eq!(world.node(1).documents.len(), 2, "once");
}
