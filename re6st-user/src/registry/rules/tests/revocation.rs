//! Certificates nobody is to trust any more.

use super::*;
use crate::certificate::serial::Serial;

const YEAR: u64 = 365 * DAY;

fn revoke(world: &mut World, which: CertificateName) -> Result<Reply, Refusal> {
    world.operate(Command::Revoke { which })
}

fn by_serial(serial: u64) -> CertificateName {
    CertificateName::Serial(Serial::new(serial).expect("a serial number"))
}

/// Asks for a token for the next certificate of a node.
fn add_token(node: NodePrefix) -> Command {
    Command::AddToken {
        email: Email::parse("b@example.com").expect("an address"),
        token: None,
        right: TokenRight::Node(node),
    }
}

/// A token for the next certificate of a node.
fn token_for(world: &mut World, node: NodePrefix) -> super::super::token::Token {
    match world.operate(add_token(node)) {
        Ok(Reply::Token(token)) => token,
        other => panic!("{other:?}"),
    }
}

/// All that somebody with a node's key and certificate can ask for.
fn thefts(node: &Node) -> Vec<(Caller, Command)> {
    let (_, other) = newcomer();
    vec![
        (node.caller(), Command::Renew { request: None }),
        (
            node.caller(),
            Command::Renew {
                request: Some(request_for(&node.key)),
            },
        ),
        (
            node.caller(),
            Command::Renew {
                request: Some(other),
            },
        ),
        (stranger(), enrol(None, request_for(&node.key))),
        (node.caller(), enrol(None, request_for(&node.key))),
    ]
}

#[test]
fn a_revoked_key_never_gets_a_certificate_again_and_the_node_goes_on_with_another_by_a_token() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let other = world.enrol();
    world.pass(DAY);

    revoke(&mut world, by_serial(2)).expect("it is there");

    assert_eq!(world.revoked(), [2]);
    let fetch = world.ask(&node.caller(), Command::FetchParameters);
    assert!(
        matches!(fetch, Err(Refusal::NotCurrent { .. })),
        "{fetch:?}"
    );
    let token = token_for(&mut world, node.prefix());
    let mut all = thefts(&node);
    // not by the token either, nor by another node's right
    all.push((
        stranger(),
        enrol(Some(token.clone()), request_for(&node.key)),
    ));
    let request = Some(request_for(&node.key));
    all.push((other.caller(), Command::Renew { request }));
    for (from, command) in all {
        let reply = world.ask(&from, command.clone());
        assert!(
            matches!(
                reply,
                Err(Refusal::NotCurrent { .. } | Refusal::RevokedKey { .. })
            ),
            "{command:?}: {reply:?}"
        );
    }

    let (key, request) = newcomer();
    let next = Node::new(key, world.ask(&stranger(), enrol(Some(token), request)));

    assert_eq!(next.prefix(), node.prefix());
    assert_eq!(
        next.certificate.subject_serial(),
        node.certificate.subject_serial()
    );
    assert_eq!(next.certificate.not_after(), world.now.plus(YEAR));
    assert!(world.ask(&next.caller(), Command::FetchParameters).is_ok());
    // nor afterwards
    for pause in [0, 2 * YEAR] {
        world.pass(pause);
        for (from, command) in thefts(&node) {
            assert!(world.ask(&from, command).is_err());
        }
    }
}

#[test]
fn a_lost_key_is_replaced_by_a_token_and_the_former_one_has_no_part_in_it() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let token = token_for(&mut world, node.prefix());
    let (key, request) = newcomer();
    let next = Node::new(key, world.ask(&stranger(), enrol(Some(token), request)));

    let renewed = world.ask(&node.caller(), Command::Renew { request: None });

    assert!(
        matches!(renewed, Err(Refusal::NotCurrent { .. })),
        "{renewed:?}"
    );
    // it is known, and can be revoked
    revoke(&mut world, by_serial(node.serial())).expect("it is remembered");
    assert_eq!(world.revoked(), [node.serial()]);
    assert!(world.ask(&next.caller(), Command::FetchParameters).is_ok());
}

#[test]
fn a_token_for_a_node_that_has_ended_is_good_for_nothing() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let token = token_for(&mut world, node.prefix());
    revoke(&mut world, CertificateName::Prefix(node.prefix())).expect("it is there");

    let reply = world.ask(&stranger(), enrol(Some(token), newcomer().1));

    assert!(matches!(reply, Err(Refusal::Conflict(_))), "{reply:?}");
    let reply = world.operate(add_token(node.prefix()));
    assert!(matches!(reply, Err(Refusal::NotFound(_))), "{reply:?}");
}

#[test]
fn by_prefix_the_node_ends() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let number = world.number();

    revoke(&mut world, CertificateName::Prefix(node.prefix())).expect("it is there");

    assert_eq!(world.revoked(), [2]);
    assert!(world.number() > number);
    for command in [Command::FetchParameters, Command::FetchOwnCertificate] {
        let reply = world.ask(&node.caller(), command);
        assert!(
            matches!(reply, Err(Refusal::NotCurrent { .. })),
            "{reply:?}"
        );
    }
    for (from, command) in thefts(&node) {
        assert!(world.ask(&from, command).is_err());
    }
    // with another key it can come again, as a newcomer
    assert_eq!(world.enrol().serial(), 3);
}

/// After a renewal the old certificate is good for a month more: it goes with its node.
#[test]
fn a_node_that_ends_leaves_no_good_certificate() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    world.pass(YEAR - 20 * DAY);
    let renewed = issued(world.ask(&node.caller(), Command::Renew { request: None }));

    revoke(&mut world, CertificateName::Prefix(node.prefix())).expect("it is there");

    assert_eq!(world.revoked(), [2, renewed.serial().number()]);
}

/// Whoever has a node's key can have a certificate for another one. The operator names the one the node has, or the one that
/// the list shows.
#[test]
fn a_thief_who_has_asked_for_a_certificate_for_another_key_is_stopped_whichever_is_revoked() {
    for revoked in [2, 3, 4] {
        let mut world = World::new();
        let _registry = world.enrol();
        let node = world.enrol();
        let mut steal = |from: &Node| {
            let (key, request) = newcomer();
            let request = Some(request);
            Node::new(key, world.ask(&from.caller(), Command::Renew { request }))
        };
        let thief = steal(&node);
        let again = steal(&thief);

        revoke(&mut world, by_serial(revoked)).expect("it is there");

        assert_eq!(world.revoked(), [2, 3, 4], "by {revoked}");
        for stolen in [&node, &thief, &again] {
            let fetch = world.ask(&stolen.caller(), Command::FetchParameters);
            assert!(
                matches!(fetch, Err(Refusal::NotCurrent { .. })),
                "by {revoked}: {fetch:?}"
            );
            for (from, command) in thefts(stolen) {
                assert!(world.ask(&from, command).is_err(), "by {revoked}");
            }
        }
    }
}

#[test]
fn a_replaced_certificate_is_remembered_until_it_expires() {
    let mut world = World::new();
    let node = world.enrol();
    let request = Some(newcomer().1);
    issued(world.ask(&node.caller(), Command::Renew { request }));

    world.pass(YEAR + 1);
    let late = revoke(&mut world, by_serial(1));

    assert!(
        matches!(late, Err(Refusal::NotFound(_))),
        "it has expired: {late:?}"
    );
}

/// Whoever has the key of an old certificate can ask for the present one.
#[test]
fn a_replaced_certificate_for_the_same_key_takes_the_present_one_with_it() {
    let mut world = World::new();
    let node = world.enrol();
    world.pass(YEAR - 20 * DAY);
    issued(world.ask(&node.caller(), Command::Renew { request: None }));

    revoke(&mut world, by_serial(1)).expect("it is remembered");

    assert_eq!(world.revoked(), [1, 2]);
    for (from, command) in thefts(&node) {
        assert!(world.ask(&from, command).is_err());
    }
}

#[test]
fn with_a_key_go_all_its_certificates_whichever_nodes_have_them() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let token = token_for(&mut world, node.prefix());
    let (key, request) = newcomer();
    let next = Node::new(key, world.ask(&stranger(), enrol(Some(token), request)));
    let again = enrol(None, request_for(&node.key));
    let again = issued(world.ask(&stranger(), again));
    assert_ne!(again.prefix(), node.prefix());

    revoke(&mut world, by_serial(node.serial())).expect("it is there");

    assert_eq!(world.revoked(), [node.serial(), again.serial().number()]);
    assert!(world.ask(&next.caller(), Command::FetchParameters).is_ok());
}

#[test]
fn the_registrys_own_node_cannot_be_ended() {
    let mut world = World::new();
    let registry = world.enrol();
    let reply = revoke(&mut world, CertificateName::Prefix(registry.prefix()));
    assert!(matches!(reply, Err(Refusal::Conflict(_))), "{reply:?}");
}

#[test]
fn twice_is_once_and_nothing_is_not_found() {
    let mut world = World::new();
    world.enrol();
    revoke(&mut world, by_serial(1)).expect("it is there");
    let number = world.number();
    revoke(&mut world, by_serial(1)).expect("it is there");
    assert_eq!(world.number(), number);
    for which in [
        by_serial(77),
        CertificateName::Prefix(NodePrefix::new(9, 16).expect("a prefix")),
    ] {
        let reply = revoke(&mut world, which);
        assert!(matches!(reply, Err(Refusal::NotFound(_))), "{reply:?}");
    }
}

#[test]
fn the_list_forgets_what_cannot_be_renewed_any_more() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    revoke(&mut world, CertificateName::Prefix(node.prefix())).expect("it is there");
    let number = world.number();
    let end = node
        .certificate
        .not_after()
        .plus(world.rules.settings.grace_period);
    assert_eq!(world.rules.next_end(), Some(end.plus(1)));

    world.pass(end.since(world.now));
    assert_eq!(world.revoked(), [2]);
    world.pass(1);

    assert_eq!(world.revoked(), [0_u64; 0]);
    assert!(world.number() > number);
}

#[test]
fn only_the_operator_revokes() {
    let mut world = World::new();
    let node = world.enrol();
    for caller in [stranger(), node.caller()] {
        let reply = world.ask(
            &caller,
            Command::Revoke {
                which: by_serial(1),
            },
        );
        assert_eq!(reply, Err(Refusal::Forbidden));
    }
}
