//! A registry that was restored from an old backup: what it has given away since belongs to others.

use super::{
    super::{Mark, Newer},
    *,
};
use crate::certificate::{
    digest::KeyId,
    revocations::{Revocation, RevocationList},
};

/// What the database had when the backup was made.
fn backup(world: &World) -> Stored {
    let state = &world.rules.state;
    let blocks = state.tree.blocks(None);
    Stored {
        blocks: blocks
            .map(|(prefix, block)| (prefix, block.clone()))
            .collect(),
        revocations: state.revocations.clone(),
        revoked_keys: state.revoked_keys.clone(),
        replaced: state.replaced.clone(),
        serial: state.serial,
        registry_prefix: state.registry_prefix,
        number: state.number,
        mac_keys: state.mac_keys.clone(),
        parameters: (*state.parameters).clone(),
        publication: state.publication.clone(),
        clock: state.clock,
        ..Stored::default()
    }
}

fn restore(world: &mut World, stored: Stored) {
    let settings = world.rules.settings.clone();
    let issuer = std::mem::replace(
        &mut world.rules.issuer,
        Box::new(authority("2001:db8:42::/48")),
    );
    world.rules = Rules::restore(settings, issuer, stored).expect("rules");
    world.pass(0);
}

/// A registry with a node, restored to before another one enrolled and a third one ended.
fn restored() -> (World, [Node; 3], Mark) {
    let mut world = World::new();
    let own = world.enrol();
    let third = world.enrol();
    let stored = backup(&world);
    let lost = world.enrol();
    world.pass(60);
    let which = CertificateName::Prefix(third.prefix());
    world.operate(Command::Revoke { which }).expect("it ends");
    let mark = world.rules.mark();
    restore(&mut world, stored);
    (world, [own, lost, third], mark)
}

#[test]
fn by_its_mark_no_serial_number_is_given_twice_and_newcomers_wait() {
    let (mut world, _, mark) = restored();
    let command = Command::GoOnFrom { mark };
    let outcome = world.outcome(&Caller::Registry, command);
    assert!(outcome.reply.is_ok() && outcome.notices.len() == 1);

    let early = world.ask(&stranger(), enrol(None, newcomer().1));
    assert!(matches!(early, Err(Refusal::Unavailable(_))), "{early:?}");
    // nothing is rolled back: nodes have newer parameters
    assert!(world.number() < mark.number);
    world.pass(601);
    assert!(world.enrol().serial() > mark.serial);
    // what changes next is believed
    world
        .operate(Command::SetParameters {
            changes: vec![("hello-interval".to_owned(), Some(7.into()))],
        })
        .expect("a change");
    assert!(world.number() > mark.number);
}

#[test]
fn a_node_that_is_not_known_any_more_gets_its_place_again() {
    let (mut world, [_, lost, _], _) = restored();
    let prefix = CertificateName::Prefix(lost.prefix());
    assert!(world.summary(prefix).is_err());

    let reply = world.ask(&lost.caller(), Command::Introduce);

    assert_eq!(reply, Ok(Reply::Done));
    let summary = world.summary(prefix).expect("it is back");
    assert_eq!(summary.serial, lost.certificate.serial());
    assert_eq!(summary.subject_serial, lost.certificate.subject_serial());
    assert!(world.ask(&lost.caller(), Command::FetchParameters).is_ok());
    // others are above it, also those that were issued after it
    assert!(world.enrol().serial() > lost.serial() + 500);
    assert_eq!(
        world.ask(&lost.caller(), Command::Introduce),
        Ok(Reply::Done)
    );
}

#[test]
fn by_numbers_alone_nobody_is_the_holder_of_a_prefix() {
    let (mut world, [_, lost, _], _) = restored();
    let other = world.enrol();
    assert_eq!(
        (other.prefix(), other.serial()),
        (lost.prefix(), lost.serial()),
        "given twice"
    );

    let outcome = world.outcome(&lost.caller(), Command::Introduce);
    assert_eq!(outcome.notices.len(), 1, "the operator is told");
    for command in [
        Command::Renew { request: None },
        Command::FetchOwnCertificate,
    ] {
        let reply = world.ask(&lost.caller(), command);
        assert!(
            matches!(reply, Err(Refusal::NotCurrent { .. })),
            "{reply:?}"
        );
    }
    let reply = world.ask(&other.caller(), Command::FetchOwnCertificate);
    assert!(reply.is_ok(), "{reply:?}");
}

#[test]
fn nobody_is_taken_up_who_was_revoked_or_is_there() {
    let (mut world, [own, _, third], _) = restored();
    let which = CertificateName::Prefix(third.prefix());
    world.operate(Command::Revoke { which }).expect("it ends");
    let nodes = world.operate(Command::ListCertificates {
        after: None,
        limit: 100,
    });
    for caller in [own.caller(), third.caller()] {
        let outcome = world.outcome(&caller, Command::Introduce);
        assert!(outcome.changes.is_empty() && outcome.notices.is_empty());
    }
    let after = world.operate(Command::ListCertificates {
        after: None,
        limit: 100,
    });
    assert_eq!(after, nodes);
}

#[test]
fn what_a_node_hands_back_is_taken_and_an_ended_node_gets_no_keys() {
    let (mut world, [own, lost, third], mark) = restored();
    let mac_keys = world.rules.state.mac_keys.clone();
    let mut revocations = RevocationList::default();
    let revocation = Revocation {
        at: world.now,
        not_after: third.certificate.not_after(),
    };
    revocations.insert(
        KeyId::of(b"authority"),
        third.certificate.serial(),
        revocation,
    );
    let mut parameters = world.rules.state.parameters.all();
    parameters.insert("hello-interval".to_owned(), 9.into());
    let newer = |number| Command::HandBack {
        newer: Box::new(Newer {
            number,
            parameters: parameters.clone(),
            revocations: revocations.clone(),
        }),
    };

    let number = world.number();
    let old = world.outcome(&own.caller(), newer(number));
    assert!(old.changes.is_empty(), "nothing new");
    world
        .ask(&lost.caller(), newer(mark.number))
        .expect("taken");

    assert!(world.number() > mark.number);
    assert_eq!(world.rules.state.parameters.all(), parameters);
    assert_eq!(world.revoked(), [third.serial()]);
    assert_ne!(world.rules.state.mac_keys, mac_keys);
    for command in [Command::FetchParameters, Command::Renew { request: None }] {
        let reply = world.ask(&third.caller(), command);
        assert!(
            matches!(reply, Err(Refusal::NotCurrent { .. })),
            "{reply:?}"
        );
    }
}

#[test]
fn the_keys_of_certificates_that_are_handed_back_as_revoked_get_none_again() {
    let mut world = World::new();
    let own = world.enrol();
    let first = world.enrol();
    let (key, request) = newcomer();
    let request = Some(request);
    let second = Node::new(key, world.ask(&first.caller(), Command::Renew { request }));
    let stored = backup(&world);
    world.pass(60);
    let which = CertificateName::Serial(second.certificate.serial());
    world
        .operate(Command::Revoke { which })
        .expect("it is there");
    let mark = world.rules.mark();
    let mut revocations = RevocationList::default();
    for (serial, revocation) in world.rules.state.revocations.clone() {
        revocations.insert(KeyId::of(b"authority"), serial, revocation);
    }
    restore(&mut world, stored);

    let newer = Newer {
        number: mark.number,
        parameters: world.rules.state.parameters.all(),
        revocations,
    };
    let newer = Box::new(newer);
    world
        .ask(&own.caller(), Command::HandBack { newer })
        .expect("taken");

    assert_eq!(world.revoked(), [first.serial(), second.serial()]);
    for node in [first, second] {
        let reply = world.ask(&stranger(), enrol(None, request_for(&node.key)));
        assert!(
            matches!(reply, Err(Refusal::RevokedKey { .. })),
            "{reply:?}"
        );
    }
}
