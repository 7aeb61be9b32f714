//! Our own certificate: renewed before it ends, when it is revoked, and never for a worse one.

use std::time::Duration;

use super::world::{Keys, World, revocations};
use crate::{
    certificate::testing::{START, authority},
    membership::messages::{Input, Keep, Question},
    time::DAY,
};

const SECOND: Duration = Duration::from_secs(1);

fn is_renewal(question: &Question) -> bool {
    matches!(question, Question::Renewal)
}

fn serial(world: &World) -> u64 {
    world.member.credentials().certificate.serial().number()
}

/// What a registry gives.
type Offer<'a> = &'a dyn Fn(&World) -> String;

/// A certificate for a year from now on, at the registry.
fn offer(world: &mut World, serial: u64) {
    let from = world.now.wall.minus(60);
    let certificate = world
        .keys
        .certificate_from(&world.authority, serial, "1/16", from, 365);
    world.registry.certificate = certificate.to_pem();
}

#[test]
fn a_certificate_is_renewed_thirty_days_before_it_ends() {
    let mut world = World::new(365);
    world.run_days(334);
    assert_eq!(world.count(is_renewal), 0);

    offer(&mut world, 6);
    world.run_days(3);

    assert_eq!(serial(&world), 6);
    let new = world.registry.certificate.clone();
    assert!(world.kept.contains(&Keep::Certificate(new)));
    assert_eq!(world.count(is_renewal), 1);
    // a year of silence
    world.asked.clear();
    world.run(Duration::from_secs(100));
    assert_eq!(world.count(is_renewal), 0);
}

#[test]
fn nodes_that_enrolled_together_do_not_renew_together() {
    let mut moments: Vec<u64> = (0..8)
        .map(|seed| {
            let mut world = World::with(31, Default::default(), super::world::CONFIGURATION, seed);
            world.run_days(3);
            let asked = world
                .asked
                .iter()
                .find(|(_, question)| is_renewal(question));
            asked.unwrap().0.wall.0
        })
        .collect();
    moments.sort_unstable();
    moments.dedup();
    assert_eq!(moments.len(), 8);
    assert!(moments[7] - moments[0] > 4 * 3600, "{moments:?}");
}

#[test]
fn a_refused_renewal_is_asked_for_at_least_daily() {
    let mut world = World::new(20);
    world.registry.refuses_renewal = true;
    world.run_days(10);

    let asked: Vec<u64> = world
        .asked
        .iter()
        .filter(|(_, question)| is_renewal(question))
        .map(|(at, _)| at.wall.0)
        .collect();

    assert!((12..=40).contains(&asked.len()), "{}", asked.len());
    let longest = asked
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(longest <= DAY, "{longest} s without a try");
    // the rest goes on
    assert_eq!(world.member.held().parameters_number(), Some(1));

    world.registry.refuses_renewal = false;
    offer(&mut world, 6);
    world.run_days(1);
    assert_eq!(serial(&world), 6);
}

#[test]
fn a_registry_that_was_away_for_months_renews_even_what_has_expired() {
    let mut world = World::new(60);
    world.run(SECOND);
    world.take_down();
    world.run_days(80);
    assert!(world.has_said("this node's certificate has expired"));
    assert_eq!(serial(&world), 5, "it goes on with what it has");

    world.registry.up = true;
    offer(&mut world, 6);
    world.run(Duration::from_secs(600));

    assert_eq!(serial(&world), 6);
    assert_eq!(
        world.member.report(world.now.wall, "").warnings,
        Vec::<String>::new()
    );
}

#[test]
fn an_expired_node_that_is_refused_everything_asks_for_a_certificate() {
    let mut world = World::new(5);
    world.now.wall = world.now.wall.plus(10 * DAY);
    world.registry.refuses = true;
    offer(&mut world, 6);
    world.run(SECOND);
    assert_eq!(serial(&world), 6);
    world.registry.refuses = false;
    world.run(SECOND * 30);
    assert_eq!(world.member.held().parameters_number(), Some(1));
}

#[test]
fn a_revoked_node_says_so_and_asks_for_another_certificate_at_once() {
    let mut world = World::new(365);
    world.run(SECOND);
    world.registry.revocations = (2, revocations(&world.authority, 2, &[5]));
    world.registry.refuses_renewal = true;
    world.publish(2, 1, 2, &serde_json::json!({}));
    world.run(SECOND);

    assert!(world.has_said("REVOKED"), "{:?}", world.said);
    assert_eq!(world.count(is_renewal), 1);
    let report = world.member.report(world.now.wall, "");
    assert!(report.certificate.revoked);
    assert!(report.warnings.iter().any(|text| text.contains("revoked")));

    world.registry.refuses_renewal = false;
    offer(&mut world, 6);
    world.run_days(1);
    assert_eq!(serial(&world), 6);
    assert!(!world.member.report(world.now.wall, "").certificate.revoked);
}

#[test]
fn a_node_that_is_refused_looks_whether_it_is_revoked() {
    let mut world = World::new(365);
    world.run(SECOND);
    // the parameters do not reach it any more, but anybody may see what is revoked
    world.registry.refuses = true;
    world.registry.revocations = (2, revocations(&world.authority, 2, &[5]));
    offer(&mut world, 6);
    world.run(Duration::from_secs(61));
    assert_eq!(serial(&world), 6);
}

#[test]
fn worse_certificates_are_refused() {
    let other = Keys::new();
    let stranger = authority();
    let same_key_other_static = |world: &World| {
        let keys = Keys {
            key: crate::certificate::key::PrivateKey::from_pem(&world.keys.key.to_pem()).unwrap(),
            fixed: Keys::new().fixed,
        };
        keys.certificate(&world.authority, 6, 365)
    };
    let cases: [(&str, Offer<'_>); 7] = [
        ("not for this node's key", &|world| {
            other.certificate(&world.authority, 6, 365).to_pem()
        }),
        ("X25519", &|world| same_key_other_static(world).to_pem()),
        ("the prefix 2/16", &|world| {
            let keys = &world.keys;
            keys.certificate_from(&world.authority, 6, "2/16", START, 365)
                .to_pem()
        }),
        ("not issued by an authority", &|world| {
            world.keys.certificate(&stranger, 6, 365).to_pem()
        }),
        ("expired", &|world| {
            let from = START.minus(2 * DAY);
            world
                .keys
                .certificate_from(&world.authority, 6, "1/16", from, 1)
                .to_pem()
        }),
        ("not valid yet", &|world| {
            let from = START.plus(90 * DAY);
            world
                .keys
                .certificate_from(&world.authority, 6, "1/16", from, 365)
                .to_pem()
        }),
        ("no PEM block", &|_| "nothing".to_owned()),
    ];
    for (words, certificate) in cases {
        let mut world = World::new(20);
        world.registry.certificate = certificate(&world);
        world.run_days(2);
        assert!(world.has_said(words), "{words}: {:?}", world.said);
        assert_eq!(serial(&world), 5, "{words}");
        assert!(
            !world
                .kept
                .iter()
                .any(|keep| matches!(keep, Keep::Certificate(_)))
        );
    }
}

#[test]
fn short_lived_certificates_are_renewed_daily_not_for_ever() {
    // 29 days are less than the 30 before whose end a renewal is due
    let mut world = World::new(29);
    for day in 0..6_u64 {
        let from = world.now.wall;
        let keys = &world.keys;
        let next = keys.certificate_from(&world.authority, 6 + day, "1/16", from, 29);
        world.registry.certificate = next.to_pem();
        world.run_days(1);
    }
    let count = world.count(is_renewal);
    assert!((4..=8).contains(&count), "{count}");
    assert!(serial(&world) > 6);
}

#[test]
fn every_step_towards_the_end_is_said_once() {
    let mut world = World::new(100);
    world.registry.up = false;
    world.run_days(110);
    for words in ["90 days", "30 days", "7 days", "has expired"] {
        let subject = "this node's certificate";
        let times = world
            .said
            .iter()
            .filter(|text| text.contains(subject) && text.contains(words))
            .count();
        assert_eq!(times, 1, "{words}: {:?}", world.said);
    }
    world.input(Input::Time);
    assert!(!world.has_said("the network's authority"));
}

#[test]
fn a_certificate_that_ends_is_asked_for_at_once_however_recently_it_was() {
    // it is due all its life, and the registry gives the same one: the next try is in 16 to 24 hours
    let mut world = World::new(1);
    let end = START.plus(DAY);
    world.run(Duration::from_secs(DAY + 61));

    let mut asked = world
        .asked
        .iter()
        .filter(|(_, question)| is_renewal(question));
    assert!(
        asked.any(|(at, _)| (end..=end.plus(61)).contains(&at.wall)),
        "{:?}",
        world.asked.last()
    );
}
