//! A new authority is trusted by the word of the old one alone.

use std::time::Duration;

use serde_json::json;

use super::world::{World, parameters};
use crate::{
    certificate::{
        authority::Authority,
        key::{KeyAlgorithm, PrivateKey},
        testing::{START, authority},
        verify::Authorities,
    },
    membership::messages::{Input, Keep, Question},
    time::DAY,
};

fn successor(authority: &Authority, years: u64) -> Authority {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let until = START.plus(years * 365 * DAY);
    authority.succeed(key, START.minus(DAY), until).unwrap()
}

#[test]
fn a_new_authority_is_followed_and_kept_beside_the_old_one_until_that_ends() {
    let mut world = World::new(3000);
    let next = successor(&world.authority, 20);
    world.run(Duration::from_secs(1));

    // both sign for a while, and the parameters name both
    let statement = world.authority.state_successor(&next).unwrap();
    world.registry.successions = vec![statement.envelope().to_vec()];
    let mut named = named_by(&world, &[&world.authority, &next]);
    world.publish(2, 1, 1, &json!({}));
    world.registry.parameters = std::mem::take(&mut named);
    world.run(Duration::from_secs(1));

    assert_eq!(world.trust().iter().count(), 2);
    let kept = world.kept.iter().find_map(|keep| match keep {
        Keep::Authorities(pem) => Some(pem.clone()),
        _ => None,
    });
    assert_eq!(
        Authorities::from_pem(&kept.unwrap())
            .unwrap()
            .iter()
            .count(),
        2
    );
    assert_eq!(
        world.count(|question| *question == Question::Successions),
        1
    );

    // a document of the new one alone
    world.input(Input::Document(parameters(
        &next,
        3,
        1,
        1,
        &json!({"hello-interval": 5}),
    )));
    assert_eq!(world.member.held().parameters_number(), Some(3));

    // the old one ends: it is kept, and its word does not count
    world.registry.up = false;
    world.now.wall = START.plus(3651 * DAY);
    world.input(Input::Time);
    let of_both = [(&world.authority, 4), (&next, 5)]
        .map(|(authority, number)| parameters(authority, number, 1, 1, &json!({})));
    let [by_old, by_new] = of_both;
    world.input(Input::Document(by_old));
    assert_eq!(world.member.held().parameters_number(), Some(3));
    world.input(Input::Document(by_new));
    assert_eq!(world.member.held().parameters_number(), Some(5));
    assert_eq!(world.trust().iter().count(), 2);
    // also over a restart of a node whose certificate is still the old one's
    assert_eq!(world.restarted(8).trust().iter().count(), 2);
}

#[test]
fn a_clock_that_is_wrong_once_costs_no_authority() {
    for years in [20, -30_i64] {
        let mut world = World::new(3000);
        let next = successor(&world.authority, 15);
        let statement = world.authority.state_successor(&next).unwrap();
        world.input(Input::Document(statement.envelope().to_vec()));
        world.kept.clear();
        let right = world.now.wall;
        let days = years.unsigned_abs() * 365 * DAY;

        world.now.wall = match years {
            0.. => right.plus(days),
            _ => right.minus(days),
        };
        world.run(Duration::from_secs(300));
        let kept = world.kept.iter();
        let authorities = kept.filter(|keep| matches!(keep, Keep::Authorities(_)));
        assert_eq!(authorities.count(), 0, "{years}");
        // it starts while the clock is wrong, and when it is right again
        let mut world = world.restarted(8);
        world.run(Duration::from_secs(300));
        world.now.wall = right.plus(600);
        let mut world = world.restarted(9);
        world.run(Duration::from_secs(300));

        assert_eq!(world.trust().iter().count(), 2);
        assert_eq!(
            world.member.report(world.now.wall, "").problem,
            None,
            "{years}"
        );
    }
}

#[test]
fn a_node_that_was_away_all_the_time_finds_the_new_authority_by_the_old_ones_word_and_renews() {
    let mut world = World::new(365);
    let next = successor(&world.authority, 20);
    world.run(Duration::from_secs(1));
    world.take_down();
    world.run(Duration::from_secs(1));

    // ten years later the registry has the new one alone
    world.now.wall = START.plus(3660 * DAY);
    world.registry.up = true;
    world.registry.shows = next.certificate().clone();
    world.registry.number = 2;
    world.registry.parameters = parameters(&next, 2, 1, 1, &json!({"hello-interval": 3}));
    let (from, statement) = (
        world.now.wall.minus(60),
        world.authority.state_successor(&next).unwrap(),
    );
    let certificate = world.keys.certificate_from(&next, 6, "1/16", from, 365);
    world.registry.certificate = certificate.to_pem();
    world.run(Duration::from_secs(600));
    assert!(world.has_said("no"), "{:?}", world.said);
    assert_eq!(world.trust().iter().count(), 1);

    world.registry.successions = vec![b"{}".to_vec(), statement.envelope().to_vec()];
    world.run(Duration::from_secs(1000));

    assert_eq!(world.trust().iter().count(), 2);
    assert_eq!(world.member.held().parameters_number(), Some(2));
    assert_eq!(world.member.credentials().certificate, certificate);
    assert_eq!(world.member.report(world.now.wall, "").problem, None);
    let world = world.restarted(8);
    assert_eq!(world.trust().iter().count(), 2);
}

#[test]
fn a_stranger_in_the_registrys_place_is_asked_rarely_and_believed_nothing() {
    let mut world = World::new(365);
    world.run(Duration::from_secs(1));
    world.take_down();
    world.run(Duration::from_secs(1));
    let stranger = authority();
    let fake = successor(&stranger, 20);
    world.registry.up = true;
    world.registry.shows = fake.certificate().clone();
    let statement = stranger.state_successor(&fake).unwrap();
    world.registry.successions = vec![statement.envelope().to_vec(); 3];
    world.asked.clear();

    world.run(Duration::from_secs(7200));

    assert_eq!(world.trust().iter().count(), 1);
    assert!(!world.member.report(world.now.wall, "").reachable);
    let asked = world.count(|question| *question == Question::Successions);
    assert!((5..=40).contains(&asked), "{asked}");
    assert!(world.asked.len() < 100, "{}", world.asked.len());
    let said = world.said.iter().filter(|text| *text == "no").count();
    assert!(said <= 2, "{:?}", world.said);
}

#[test]
fn statements_about_authorities_of_long_ago_are_no_problem() {
    let mut world = World::new(365);
    let (next, before) = (successor(&world.authority, 20), authority());
    world.run(Duration::from_secs(1));
    let long_ago = before.state_successor(&successor(&before, 20)).unwrap();
    let statement = world.authority.state_successor(&next).unwrap();
    world.registry.successions = [&long_ago, &statement, &long_ago]
        .map(|it| it.envelope().to_vec())
        .into();
    let named = named_by(&world, &[&world.authority, &next]);
    world.publish(2, 1, 1, &json!({}));
    world.registry.parameters = named;
    world.run(Duration::from_secs(1));

    assert_eq!(world.trust().iter().count(), 2);
    assert_eq!(world.member.report(world.now.wall, "").problem, None);
}

/// Parameters number 2 that name these authorities.
fn named_by(world: &World, authorities: &[&Authority]) -> Vec<u8> {
    use crate::{certificate::document::Signed, registry::documents::NetworkParameters};
    let fingerprints: Vec<String> = authorities
        .iter()
        .map(|authority| authority.certificate().fingerprint().to_string())
        .collect();
    let content = json!({"authorities": fingerprints, "mac-keys": 1, "revocations": {"number": 1}});
    let content = NetworkParameters(content.as_object().unwrap().clone());
    Signed::sign(2, content, &world.authority, None)
        .unwrap()
        .envelope()
        .to_vec()
}

#[test]
fn an_authority_nobody_speaks_for_is_not_trusted() {
    let mut world = World::new(365);
    let stranger = authority();
    let fake = successor(&stranger, 20);
    world.run(Duration::from_secs(1));

    // named, but only a stranger speaks for it
    let statement = stranger.state_successor(&fake).unwrap();
    world.registry.successions = vec![statement.envelope().to_vec()];
    let named = named_by(&world, &[&world.authority, &fake]);
    world.publish(2, 1, 1, &json!({}));
    world.registry.parameters = named;
    world.run(Duration::from_secs(1));
    world.input(Input::Document(statement.envelope().to_vec()));

    assert_eq!(world.trust().iter().count(), 1);
    assert!(
        world.has_said("a new authority is not trusted"),
        "{:?}",
        world.said
    );
    assert_eq!(world.member.report(world.now.wall, "").refused_documents, 1);
    // and the node does not ask for it without end
    world.run(Duration::from_secs(3600));
    let asked = world.count(|question| *question == Question::Successions);
    assert!(asked < 20, "{asked}");
}
