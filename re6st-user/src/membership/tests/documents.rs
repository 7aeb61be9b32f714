//! Signed documents from anybody: taken if good and newer, kept, and never rolled back.

use std::time::Duration;

use serde_json::json;

use super::world::{World, mac_keys, parameters, revocations};
use crate::{
    certificate::testing::{authority, authority_of},
    membership::{
        held::{Held, Kept},
        messages::{Input, Keep, Question},
    },
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_document_of_a_peer_is_as_good_as_the_registrys() {
    let mut world = World::new(365);
    world.run(SECOND);
    world.take_down();
    world.run(SECOND);

    let values = json!({"hello-interval": 7});
    world.input(Input::Document(parameters(
        &world.authority,
        2,
        1,
        1,
        &values,
    )));
    world.input(Input::Document(revocations(&world.authority, 2, &[99])));

    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(7)
    );
    assert_eq!(world.member.held().revoked().len(), 1);
    // and is kept, and passed on, as it was signed
    assert!(
        world
            .kept
            .contains(&Keep::Parameters(parameters_held(&world)))
    );
}

fn parameters_held(world: &World) -> Vec<u8> {
    world
        .member
        .held()
        .parameters
        .as_ref()
        .unwrap()
        .envelope()
        .to_vec()
}

#[test]
fn nothing_is_rolled_back_not_even_after_a_restart() {
    let mut world = World::new(365);
    world.publish(8, 1, 1, &json!({"hello-interval": 9}));
    world.run(SECOND);
    let old = parameters(&world.authority, 7, 1, 1, &json!({"hello-interval": 1}));

    world.input(Input::Document(old.clone()));
    assert_eq!(world.member.held().parameters_number(), Some(8));

    let mut world = world.restarted(2);
    world.registry.up = false;
    world.run(SECOND);
    world.input(Input::Document(old));
    assert_eq!(world.member.held().parameters_number(), Some(8));
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(9)
    );
    assert_eq!(
        world.member.report(world.now.wall, "").refused_documents,
        0,
        "an old document is no attack"
    );
}

#[test]
fn a_registry_restored_from_an_old_backup_is_noticed_and_waited_for() {
    let mut world = World::new(365);
    world.publish(8, 1, 1, &json!({"hello-interval": 9}));
    world.run(SECOND);
    world.take_down();
    world.run(SECOND);

    world.registry.up = true;
    world.publish(5, 1, 1, &json!({"hello-interval": 5}));
    world.run(Duration::from_secs(30));
    assert_eq!(world.member.held().parameters_number(), Some(8));
    assert!(
        world.has_said("restored from an old backup"),
        "{:?}",
        world.said
    );

    // the same number again, for something else
    world.take_down();
    world.run(SECOND);
    world.registry.up = true;
    world.publish(8, 1, 1, &json!({"hello-interval": 4}));
    world.run(Duration::from_secs(30));
    assert!(
        world.has_said("have number 8, those this node has 8"),
        "{:?}",
        world.said
    );
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(9)
    );

    world.publish(9, 1, 1, &json!({"hello-interval": 6}));
    world.run(Duration::from_secs(1000));
    assert_eq!(
        world.member.babel_parameters().hello_interval,
        Duration::from_secs(6)
    );
    assert_eq!(world.member.report(world.now.wall, "").problem, None);
}

#[test]
fn forged_documents_are_refused_and_counted() {
    let mut world = World::new(365);
    world.run(SECOND);
    world.said.clear();
    let good = parameters(&world.authority, 5, 1, 1, &json!({"hello-interval": 1}));
    let stranger = authority();
    let neighbour_network = authority_of("2001:db8:43::/48");
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    let forged = [
        parameters(&stranger, 5, 1, 1, &json!({})),
        revocations(&stranger, 5, &[5]),
        parameters(&neighbour_network, 5, 1, 1, &json!({})),
        damaged,
        good[..good.len() - 1].to_vec(),
        Vec::new(),
        b"{}".to_vec(),
        vec![b'['; 100_000],
        // the payload is good, the type is another
        String::from_utf8(good)
            .unwrap()
            .replace("parameters+json", "revocations+json")
            .into_bytes(),
    ];
    let count = forged.len() as u64;

    for document in forged {
        world.input(Input::Document(document));
    }

    let report = world.member.report(world.now.wall, "");
    assert_eq!(report.refused_documents, count);
    assert_eq!(world.member.held().parameters_number(), Some(1));
    assert!(!world.member.watched().is_revoked);
    assert_eq!(
        world.said,
        Vec::<String>::new(),
        "nobody fills the log from outside"
    );
}

#[test]
fn mac_keys_and_revocations_are_fetched_only_if_the_parameters_name_newer_ones() {
    let mut world = World::new(365);
    world.run(SECOND);

    world.registry.mac_keys = mac_keys("0a", Some("0b"));
    world.publish(2, 2, 1, &json!({}));
    world.run(SECOND);
    assert_eq!(
        world.member.babel_parameters().mac,
        Some(mac_keys("0a", Some("0b")))
    );

    let is_keys = |question: &Question| matches!(question, Question::MacKeys { .. });
    let is_list = |question: &Question| matches!(question, Question::Revocations { .. });
    world.asked.clear();
    world.publish(3, 2, 1, &json!({"encrypt": true}));
    world.run(SECOND);
    assert_eq!((world.count(is_keys), world.count(is_list)), (0, 0));
    assert!(world.has_said("encryption"), "what cannot be done is said");

    world.registry.revocations = (4, revocations(&world.authority, 4, &[77]));
    world.publish(4, 2, 4, &json!({}));
    world.run(SECOND);
    assert_eq!((world.count(is_keys), world.count(is_list)), (0, 1));
    assert_eq!(world.member.held().revoked().len(), 1);
}

#[test]
fn what_is_kept_is_good_whatever_the_clock_says() {
    let mut world = World::new(365);
    world.run(SECOND);
    let mut world = world.restarted(1);
    // a host without a clock of its own
    world.now.wall = crate::time::Timestamp(0);
    world.registry.up = false;
    world.run(SECOND);
    assert_eq!(
        world.member.babel_parameters().mac,
        Some(mac_keys("0a", None))
    );
    assert!(
        world
            .member
            .report(world.now.wall, "")
            .warnings
            .iter()
            .any(|text| text.contains("clock"))
    );
}

#[test]
fn damaged_files_are_said_and_fetched_again() {
    let world = World::new(365);
    let stranger = authority();
    let kept = Kept {
        parameters: Some(parameters(&stranger, 900, 1, 1, &json!({}))),
        revocations: Some(b"torn".to_vec()),
        mac_keys: Some(Vec::new()),
        ..Kept::default()
    };

    let (held, said) = Held::restore(&kept, world.trust());

    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(
        (held.parameters_number(), held.revocations_number()),
        (None, None)
    );
    assert_eq!(held.mac_keys, None);
}

#[test]
fn without_keys_nothing_is_said_on_plain_interfaces() {
    let mut world = World::new(365);
    world.registry.up = false;
    world.run(SECOND);
    assert_eq!(world.member.babel_parameters().mac, None);
    let warnings = world.member.report(world.now.wall, "").warnings;
    assert!(
        warnings.iter().any(|text| text.contains("MAC")),
        "{warnings:?}"
    );
}
