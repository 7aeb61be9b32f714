//! Where the node is, told to the registry, and which others are there.

use std::time::Duration;

use super::world::{Keys, World};
use crate::{
    certificate::{
        authority::Authority,
        node_prefix::NodePrefix,
        record::{NodeRecord, Whereabouts},
        testing::{START, authority},
    },
    membership::{
        messages::{Input, Question},
        presence::PresenceStanding,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn somewhere(port: u16) -> Whereabouts {
    Whereabouts {
        addresses: vec![([192, 0, 2, 7], port).into()],
        open: true,
        country: None,
    }
}

fn told(world: &World) -> usize {
    world.count(|question| matches!(question, Question::Presence { .. }))
}

fn standing(world: &World) -> PresenceStanding {
    world.member.held().presence.standing().clone()
}

/// The record of another node of somebody's network.
fn record(authority: &Authority, node: &str) -> Vec<u8> {
    let keys = Keys::new();
    let certificate = keys.certificate_from(authority, 7, node, START, 365);
    let network = authority.certificate().network();
    let record = NodeRecord::sign(somewhere(1), &certificate, &keys.key, &network, START);
    record.unwrap().octets().to_vec()
}

#[test]
fn the_registry_is_told_at_once_and_every_few_minutes() {
    let mut world = World::new(365);
    world.run(SECOND);
    assert_eq!(told(&world), 0, "nobody has said where the node is");

    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND);

    assert_eq!(told(&world), 1);
    let own = standing(&world).own.unwrap();
    assert_eq!(own.whereabouts(), &somewhere(4754));
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(HOUR);
    assert_eq!(told(&world), 1 + 12, "once in five minutes");
    world.input(Input::Whereabouts(somewhere(4755)));
    world.run(SECOND);
    assert_eq!(told(&world), 1 + 12 + 1, "somewhere else");
}

#[test]
fn who_hides_says_nothing_more() {
    let mut world = World::new(365);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND);

    world.input(Input::Hidden);
    world.run(HOUR);

    assert_eq!(told(&world), 1);
    assert_eq!(standing(&world).own, None);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND);
    assert_eq!(told(&world), 2, "there again");
}

#[test]
fn the_record_never_becomes_old() {
    let mut world = World::new(365);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(HOUR * 48);
    let own = standing(&world).own.unwrap();
    assert!(world.now.wall.since(own.made_at()) <= 13 * 3_600);
}

#[test]
fn a_registry_that_was_away_is_told_at_once() {
    let mut world = World::new(365);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND * 10);
    world.take_down();
    world.run(SECOND * 30);
    world.registry.up = true;
    let before = told(&world);
    // its parameters are asked for first
    world.run(SECOND * 60);
    assert_eq!(told(&world), before + 1);
}

#[test]
fn a_registry_that_hears_it_too_often_is_asked_all_else_as_before() {
    let mut world = World::new(365);
    world.registry.hears_too_much = Some(SECOND * 20);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(HOUR);
    assert!((12..=180).contains(&told(&world)), "{}", told(&world));
    let others = world.count(|question| matches!(question, Question::Parameters { .. }));
    assert!(others >= 50, "{others}");

    world.registry.hears_too_much = None;
    let before = told(&world);
    world.run(SECOND * 90);
    assert_eq!(told(&world), before + 1);
}

#[test]
fn others_are_there_when_they_are_wanted() {
    let mut world = World::new(365);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND);
    world.registry.others = vec![
        record(&world.authority, "7/16"),
        record(&world.authority, "8/16"),
    ];
    let before = standing(&world);
    assert!(before.others.is_empty());

    world.input(Input::WantOthers(8));
    world.run(SECOND);

    let after = standing(&world);
    let names: Vec<NodePrefix> = after.others.iter().map(NodeRecord::node).collect();
    assert_eq!(
        names
            .iter()
            .map(NodePrefix::common_name)
            .collect::<Vec<_>>(),
        ["7/16", "8/16"]
    );
    assert!(after.generation > before.generation);
    assert!(
        world
            .asked
            .iter()
            .any(|(_, asked)| *asked == Question::Presence { count: 8 })
    );
}

#[test]
fn records_of_strangers_and_nonsense_are_passed_over() {
    let mut world = World::new(365);
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND);
    let own = standing(&world).own.unwrap().octets().to_vec();
    let good = record(&world.authority, "8/16");
    world.registry.others = vec![
        record(&authority(), "7/16"),
        b"nonsense".to_vec(),
        own,
        good,
    ];

    world.input(Input::WantOthers(4));
    world.run(SECOND);

    let names: Vec<String> = standing(&world)
        .others
        .iter()
        .map(|it| it.node().common_name())
        .collect();
    assert_eq!(names, ["8/16"]);
    assert!(!world.has_said("of no use"));
    world.registry.others = vec![b"nonsense".to_vec()];
    world.input(Input::WantOthers(4));
    world.run(SECOND);
    assert!(world.has_said("records of nodes are of no use"));
}

#[test]
fn a_node_without_an_x25519_key_says_once_that_nobody_is_told() {
    let mut world = World::new(365);
    let keys = Keys::new();
    let certificate = keys.certificate_without_static_key(&world.authority, "1/16");
    world.member.credentials.certificate = certificate;
    world.input(Input::Whereabouts(somewhere(4754)));
    world.run(SECOND * 30);
    let said = world
        .said
        .iter()
        .filter(|said| said.contains("nobody is told where"));
    assert_eq!(said.count(), 1);
    assert_eq!(told(&world), 0);
}
