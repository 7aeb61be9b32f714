//! One authority takes over from another.

use super::*;
use crate::certificate::{
    authority::AuthorityCertificate, error::IssueError, revocations::RevocationList,
    succession::SuccessionError,
};

fn succeed(authority: &Authority) -> Authority {
    authority
        .succeed(new_key(), NOW, NOW.plus(5000 * DAY))
        .unwrap()
}

#[test]
fn a_successor_is_for_the_same_network_under_another_name() {
    for old in both_authorities() {
        let new = succeed(&old);
        let third = succeed(&new);
        let certificates = [&old, &new, &third].map(Authority::certificate);

        for (generation, certificate) in (1..).zip(certificates) {
            assert_eq!(certificate.network().to_string(), NETWORK);
            assert_eq!(certificate.generation(), generation);
            assert_eq!(certificate.email(), Some("ca@example.com"));
        }
        // issuer and serial number name a certificate: the serial number is the network's, so the name differs
        assert_ne!(certificates[0].name, certificates[1].name);
        assert_ne!(certificates[1].name, certificates[2].name);
        assert_ne!(certificates[0].subject_key, certificates[1].subject_key);
    }
}

#[test]
fn a_successor_has_a_key_of_its_own() {
    let old = new_authority();
    let twin = PrivateKey::from_pem(&old.key().to_pem()).unwrap();

    let refused = old.succeed(twin, NOW, NOW.plus(DAY));

    assert_eq!(refused.unwrap_err(), IssueError::SameKey);
}

#[test]
fn during_the_change_nodes_of_both_are_trusted() {
    for old in both_authorities() {
        let new = succeed(&old);
        let statement = old.state_successor(&new).unwrap();
        let mut authorities = trust(&old);
        let revoked = RevocationList::default();
        let nodes = [new_node(&old), new_node(&new)];

        assert_eq!(authorities.follow(statement.envelope(), NOW), Ok(true));

        for (node, issuer) in nodes.iter().zip([&old, &new]) {
            let told = authorities.verify_node(node, &revoked, NOW, 0);
            assert_eq!(told, Ok(issuer.certificate()));
        }
        assert_eq!(authorities.follow(statement.envelope(), NOW), Ok(false));
        // and it is kept in the file
        assert_eq!(
            Authorities::from_pem(&authorities.to_pem()),
            Ok(authorities)
        );
    }
}

#[test]
fn a_chain_of_successors_is_followed_step_by_step() {
    let first = new_authority();
    let second = succeed(&first);
    let third = succeed(&second);
    let mut authorities = trust(&first);
    let last_step = second.state_successor(&third).unwrap();

    assert!(authorities.follow(last_step.envelope(), NOW).is_err());
    let step = first.state_successor(&second).unwrap();
    assert_eq!(authorities.follow(step.envelope(), NOW), Ok(true));
    assert_eq!(authorities.follow(last_step.envelope(), NOW), Ok(true));
}

#[test]
fn nobody_else_names_a_successor() {
    let ours = new_authority();
    let theirs = new_authority();
    let successor = succeed(&theirs);
    let mut authorities = trust(&ours);

    for statement in [
        theirs.state_successor(&successor).unwrap(),
        // signed by itself
        successor.state_successor(&successor).unwrap(),
    ] {
        let refused = authorities.follow(statement.envelope(), NOW);

        assert!(
            matches!(refused, Err(SuccessionError::Document(_))),
            "{refused:?}"
        );
    }
    assert_eq!(authorities, trust(&ours));
}

#[test]
fn an_authority_names_nobody_but_a_successor() {
    let first = new_authority();
    let second = succeed(&first);
    let stranger = new_authority();
    let foreign = succeed(&authority_of("2001:db8:43::/48", new_key()));

    for (signer, named) in [
        (&first, &stranger),
        (&first, &foreign),
        // back to the old one
        (&second, &first),
    ] {
        let statement = signer.state_successor(named).unwrap();
        let mut authorities = trust(signer);

        let refused = authorities.follow(statement.envelope(), NOW);

        assert_eq!(refused, Err(SuccessionError::NotASuccessor));
        assert_eq!(authorities, trust(signer));
    }
}

#[test]
fn there_are_never_more_than_four() {
    let first = new_authority();
    let mut authorities = trust(&first);
    for _ in 0..3 {
        let statement = first.state_successor(&succeed(&first)).unwrap();
        assert_eq!(authorities.follow(statement.envelope(), NOW), Ok(true));
    }
    let statement = first.state_successor(&succeed(&first)).unwrap();

    let refused = authorities.follow(statement.envelope(), NOW);

    assert_eq!(refused, Err(SuccessionError::TooMany));
}

#[test]
fn an_expired_authority_names_its_successor_to_those_alone_who_know_none() {
    let old = new_authority();
    let (new, other) = (succeed(&old), succeed(&old));
    let [statement, forged] = [&new, &other].map(|it| old.state_successor(it).unwrap());
    let late = old.certificate().not_after().plus(DAY);
    let mut away = trust(&old);

    assert_eq!(away.follow(statement.envelope(), late), Ok(true));

    // whoever has its key now changes nothing any more, not even where the clock says that all have expired
    for moment in [late, NOW.plus(9000 * DAY)] {
        let refused = away.follow(forged.envelope(), moment);
        assert!(
            matches!(refused, Err(SuccessionError::Document(_))),
            "{refused:?}"
        );
    }
    assert_eq!(away.follow(statement.envelope(), NOW), Ok(false));
    assert_eq!(away.iter().count(), 2);
    // it vouches for no document and no node
    let revoked = RevocationList::default();
    assert!(
        away.verify_node(&new_node(&old), &revoked, late, 0)
            .is_err()
    );
}

#[test]
fn whoever_was_away_during_many_successions_finds_the_last_and_keeps_at_most_four() {
    let mut chain = vec![new_authority()];
    for years in 1..8 {
        let last = chain.last().unwrap();
        let until = NOW.plus((3650 + 365 * years) * DAY);
        chain.push(last.succeed(new_key(), NOW, until).unwrap());
    }
    let mut away = trust(&chain[0]);
    let late = chain[6].certificate().not_after().plus(1);

    for pair in chain.windows(2) {
        let statement = pair[0].state_successor(&pair[1]).unwrap();
        assert_eq!(away.follow(statement.envelope(), late), Ok(true));
    }

    let generations: Vec<_> = away.iter().map(AuthorityCertificate::generation).collect();
    assert_eq!(generations, [5, 6, 7, 8]);
}
