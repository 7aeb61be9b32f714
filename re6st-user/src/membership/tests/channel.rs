//! What channels to other nodes are made from: other nodes' keys, and everything else that they may rest on.

use std::time::Duration;

use serde_json::json;

use super::world::{Keys, World, revocations};
use crate::{
    certificate::{
        authority::Authority,
        key::{KeyAlgorithm, PrivateKey},
        node_prefix::NodePrefix,
        serial::Serial,
        testing::{START, authority},
    },
    membership::{
        channel::ChannelStanding,
        held::Kept,
        messages::{Input, Keep, Question},
        node_keys::{MOST_KNOWN, MOST_WANTED, NodeKeys},
    },
    registry::documents::PostQuantum,
    time::DAY,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> NodePrefix {
    NodePrefix::from_common_name(text).unwrap()
}

/// A node that waits for news of the registry.
fn waiting() -> World {
    let mut world = World::new(365);
    world.run(SECOND);
    assert!(world.asked.last().unwrap().1.waits());
    world
}

/// Another node enrols, or does so again.
fn enrol(world: &mut World, node: &str) -> Keys {
    let keys = Keys::new();
    let certificate = keys.certificate_from(&world.authority, 7, node, START, 365);
    world
        .registry
        .nodes
        .insert(name(node), certificate.to_pem());
    keys
}

fn standing(world: &World) -> ChannelStanding {
    world.member.channel().unwrap().clone()
}

fn asked_for(world: &World, node: &str) -> usize {
    let node = name(node);
    world.count(|question| *question == Question::NodeKey { node })
}

#[test]
fn a_key_that_is_wanted_is_there_at_once_although_the_node_waits_for_news() {
    let mut world = waiting();
    let peer = enrol(&mut world, "7/16");
    let before = standing(&world);

    world.input(Input::WantNodeKey(name("7/16")));
    world.run(SECOND);

    let after = standing(&world);
    assert_eq!(
        after.keys.get(&name("7/16")),
        Some(&peer.fixed.public_key())
    );
    assert!(after.generation > before.generation);
    assert!(
        world.asked.last().unwrap().1.waits(),
        "it waits for news again"
    );
    world.publish(2, 1, 1, &json!({"post-quantum": "required"}));
    world.run(SECOND);
    assert_eq!(standing(&world).post_quantum, PostQuantum::Required);
    assert_eq!(asked_for(&world, "7/16"), 1);
}

#[test]
fn the_own_name_is_never_asked_for() {
    let mut world = waiting();

    world.input(Input::WantNodeKey(name("1/16")));
    world.run(MINUTE);

    assert_eq!(asked_for(&world, "1/16"), 0);
}

#[test]
fn a_certificate_is_believed_only_as_far_as_it_can_be_verified() {
    let keys = Keys::new();
    let strange = authority();
    for (why, make) in [
        (
            "it is node 8/16's",
            &(|ours: &Authority| keys.certificate_from(ours, 7, "8/16", START, 9).to_pem())
                as &dyn Fn(&Authority) -> String,
        ),
        ("revoked", &|ours| {
            keys.certificate_from(ours, 66, "7/16", START, 9).to_pem()
        }),
        ("expired", &|ours| {
            keys.certificate_from(ours, 7, "7/16", START.minus(9 * DAY), 8)
                .to_pem()
        }),
        ("", &|_| {
            keys.certificate_from(&strange, 7, "7/16", START, 9)
                .to_pem()
        }),
        ("it has no X25519 key", &|ours| {
            keys.certificate_without_static_key(ours, "7/16").to_pem()
        }),
        ("", &|_| "nonsense".to_owned()),
    ] {
        let mut world = World::new(365);
        world.registry.revocations = (1, revocations(&world.authority, 1, &[66]));
        world.run(SECOND);
        let certificate = make(&world.authority);
        world.registry.nodes.insert(name("7/16"), certificate);

        world.input(Input::WantNodeKey(name("7/16")));
        world.run(SECOND);

        assert!(standing(&world).keys.is_empty(), "{why}");
        let said = world.said.last().unwrap();
        let expected = "the certificate of node 7/16 is of no use";
        assert!(
            said.contains(expected) && said.contains(why),
            "{why}: {said}"
        );
        // it enrols again
        let peer = enrol(&mut world, "7/16");
        world.run(2 * MINUTE);
        let known = standing(&world).keys.get(&name("7/16")).copied();
        assert_eq!(known, Some(peer.fixed.public_key()), "{why}");
        let report = world.member.report(world.now.wall, "");
        assert_eq!(report.problem, None, "{why}");
    }
}

#[test]
fn a_node_that_the_registry_does_not_know_is_told_and_asked_for_ever_more_rarely() {
    let mut world = waiting();

    world.input(Input::WantNodeKey(name("7/16")));
    world.run(SECOND);

    assert!(standing(&world).missing.contains(&name("7/16")));
    assert!(world.has_said("the registry knows no node 7/16"));
    let said = world.said.len();
    world.run(60 * MINUTE);
    assert_eq!(world.said.len(), said, "it is said once");
    let asked = asked_for(&world, "7/16");
    assert!((10..=40).contains(&asked), "{asked}");

    let before = standing(&world).generation;
    enrol(&mut world, "7/16");
    world.run(9 * MINUTE);
    assert!(standing(&world).missing.is_empty());
    assert!(standing(&world).keys.contains_key(&name("7/16")));
    assert!(standing(&world).generation > before);
    let asked = asked_for(&world, "7/16");
    world.run(60 * MINUTE);
    assert_eq!(asked_for(&world, "7/16"), asked, "it is known");
}

#[test]
fn a_known_key_is_asked_for_again_at_most_once_a_minute_and_another_one_replaces_it() {
    let mut world = waiting();
    enrol(&mut world, "7/16");
    world.input(Input::WantNodeKey(name("7/16")));
    world.run(SECOND);
    let peer = enrol(&mut world, "7/16");

    for _ in 0..55 {
        world.input(Input::WantNodeKey(name("7/16")));
        world.run(SECOND);
    }
    assert_eq!(asked_for(&world, "7/16"), 1);
    world.run(MINUTE);

    assert_eq!(asked_for(&world, "7/16"), 2);
    let known = standing(&world).keys.get(&name("7/16")).copied();
    assert_eq!(known, Some(peer.fixed.public_key()));
    assert!(world.has_said("node 7/16 has another X25519 key"));
}

#[test]
fn one_name_that_is_refused_keeps_no_other_waiting_for_long() {
    let mut world = waiting();
    world.registry.refuses = true;
    world.input(Input::WantNodeKey(name("7/16")));
    world.run(10 * MINUTE);
    world.registry.refuses = false;
    enrol(&mut world, "8/16");

    world.input(Input::WantNodeKey(name("8/16")));
    world.run(2 * MINUTE);

    assert!(standing(&world).keys.contains_key(&name("8/16")));
}

#[test]
fn keys_are_known_after_a_start_without_the_registry() {
    let mut world = waiting();
    let peer = enrol(&mut world, "7/16");
    world.input(Input::WantNodeKey(name("7/16")));
    world.run(SECOND);

    let mut world = world.restarted(8);
    world.registry.up = false;
    world.run(MINUTE);

    assert_eq!(
        standing(&world).keys.get(&name("7/16")),
        Some(&peer.fixed.public_key())
    );
}

#[test]
fn damaged_files_are_said_and_the_registry_is_asked_again() {
    let low_order = format!(
        r#"[{{"node":"7/16","key":"{}","learned":1}}]"#,
        "0".repeat(64)
    );
    for text in [
        "",
        "[{}]",
        r#"[{"node":"x","key":"","learned":1}]"#,
        &low_order,
    ] {
        let kept = Kept {
            node_keys: Some(text.as_bytes().to_vec()),
            ..Kept::default()
        };
        let world = World::with(365, kept, super::world::CONFIGURATION, 7);
        assert!(
            world.has_said("the kept keys of peers cannot be used"),
            "{text}"
        );
        assert!(standing(&world).keys.is_empty());
    }
}

#[test]
fn what_is_wanted_and_what_is_known_is_bounded() {
    let mut world = waiting();
    for number in 100..100 + MOST_WANTED + 44 {
        let node = name(&format!("{number}/32"));
        world.input(Input::WantNodeKey(node));
        world.now.elapsed = world.now.elapsed + Duration::from_millis(1);
    }
    world.run(6 * MINUTE);
    let mut names: Vec<_> = world.asked.iter().map(|(_, question)| *question).collect();
    names.retain(|question| matches!(question, Question::NodeKey { .. }));
    names.sort_by_key(|question| format!("{question:?}"));
    names.dedup();
    // some were asked for before there were too many
    assert!((MOST_WANTED..MOST_WANTED + 44).contains(&names.len()));

    let mut keys = NodeKeys::default();
    let key = Keys::new().fixed.public_key();
    for number in 0..MOST_KNOWN as u64 + 10 {
        let mut now = world.now;
        now.wall = now.wall.plus(number);
        keys.learned(now, name(&format!("{number}/32")), key);
    }
    assert_eq!(keys.keys().len(), MOST_KNOWN);
    assert!(!keys.keys().contains_key(&name("9/32")));
    assert!(keys.keys().contains_key(&name("10/32")));
    let kept = NodeKeys::from_json(&keys.to_json()).unwrap();
    assert_eq!(kept.keys(), keys.keys());
}

#[test]
fn another_generation_comes_with_each_change_and_with_nothing_else() {
    let mut world = World::new(365);
    let mut before = standing(&world).generation;
    let mut is_another = |world: &World| {
        let now = standing(world).generation;
        now != std::mem::replace(&mut before, now)
    };
    world.run(SECOND);
    assert!(is_another(&world), "parameters and revocation list");
    let held = standing(&world).held;
    assert_eq!(
        held.parameters,
        Some((1, world.registry.parameters.clone()))
    );
    assert_eq!(held.revocations, Some(world.registry.revocations.clone()));

    world.run(60 * MINUTE);
    assert!(!is_another(&world), "nothing");

    world.publish(2, 1, 1, &json!({"post-quantum": "off"}));
    world.run(SECOND);
    assert!(is_another(&world), "parameters");
    assert_eq!(standing(&world).post_quantum, PostQuantum::Off);

    let list = revocations(&world.authority, 2, &[66]);
    world.input(Input::Document(list.clone()));
    assert!(is_another(&world), "a revocation list, from anybody");
    let issuer = world.authority.certificate().key_id();
    let revoked = standing(&world).revoked;
    assert!(revoked.contains(&issuer, Serial::new(66).unwrap()));
    world.input(Input::Document(list));
    assert!(!is_another(&world), "the same");
    world.input(Input::Document(b"{}".to_vec()));
    assert!(!is_another(&world), "nonsense");
    assert_eq!(world.member.report(world.now.wall, "").refused_documents, 1);

    let renewed = world.keys.certificate(&world.authority, 6, 800);
    world.registry.certificate = renewed.to_pem();
    world.run_days(364);
    assert!(is_another(&world), "the certificate");
    assert_eq!(*standing(&world).certificate, renewed);
}

#[test]
fn what_the_parameters_say_of_quantum_computers_is_preferred_unless_it_is_known() {
    for (values, policy) in [
        (json!({}), PostQuantum::Preferred),
        (json!({"post-quantum": "off"}), PostQuantum::Off),
        (json!({"post-quantum": "preferred"}), PostQuantum::Preferred),
        (json!({"post-quantum": "required"}), PostQuantum::Required),
        (json!({"post-quantum": "tomorrow"}), PostQuantum::Preferred),
        (json!({"post-quantum": 2}), PostQuantum::Preferred),
    ] {
        let mut world = World::new(365);
        world.publish(2, 1, 1, &values);
        world.run(SECOND);
        assert_eq!(standing(&world).post_quantum, policy, "{values}");
    }
}

#[test]
fn statements_about_successors_are_held_to_be_passed_on_also_after_a_restart() {
    let mut world = waiting();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let until = START.plus(3650 * DAY);
    let next = world.authority.succeed(key, START.minus(DAY), until);
    let statement = world.authority.state_successor(&next.unwrap()).unwrap();
    let statement = statement.envelope().to_vec();
    let before = standing(&world).generation;

    world.input(Input::Document(statement.clone()));

    assert!(standing(&world).generation > before);
    assert_eq!(standing(&world).authorities.iter().count(), 2);
    assert_eq!(
        standing(&world).held.successions,
        std::slice::from_ref(&statement)
    );
    world.input(Input::Document(statement.clone()));
    let kept = world.kept.iter();
    let kept = kept.filter(|keep| matches!(keep, Keep::Successions(_)));
    assert_eq!(kept.count(), 1, "it is written once");
    let world = world.restarted(8);
    assert_eq!(standing(&world).held.successions, [statement]);
}
