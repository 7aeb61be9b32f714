//! A new authority is trusted by the word of the old one alone.

use std::time::Duration;

use serde_json::json;

use super::world::{START, World, authority, parameters};
use crate::{
    certificate::{
        authority::Authority,
        key::{KeyAlgorithm, PrivateKey},
        timestamp::DAY,
        verify::Authorities,
    },
    membership::{
        exchange::Question,
        member::{Input, Keep},
    },
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

    world.registry.up = false;
    world.now.wall = START.plus(3651 * DAY);
    world.input(Input::Time);
    assert_eq!(world.trust().iter().count(), 1);
    assert_eq!(
        world.trust().iter().next().unwrap().fingerprint(),
        next.certificate().fingerprint()
    );
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
    assert_eq!(world.member.report(world.now, "").refused_documents, 1);
    // and the node does not ask for it without end
    world.run(Duration::from_secs(3600));
    let asked = world.count(|question| *question == Question::Successions);
    assert!(asked < 20, "{asked}");
}
