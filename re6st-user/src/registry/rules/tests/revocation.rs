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

#[test]
fn by_serial_number_the_owner_gets_another_one_until_the_same_time() {
    let mut world = World::new();
    let node = world.enrol();
    world.pass(DAY);

    revoke(&mut world, by_serial(1)).expect("it is there");
    let fetch = world.ask(&node.caller(), Command::FetchParameters);
    let renewed = issued(world.ask(&node.caller(), Command::Renew { request: None }));

    assert_eq!(world.revoked(), [1]);
    assert!(
        matches!(fetch, Err(Refusal::NotCurrent { .. })),
        "{fetch:?}"
    );
    assert_eq!(renewed.serial().number(), 2);
    assert_eq!(renewed.not_after(), node.certificate.not_after());
    // the revoked one proves nothing any more: whoever has its key may have stolen it
    let again = world.ask(&node.caller(), Command::Renew { request: None });
    assert!(
        matches!(again, Err(Refusal::NotCurrent { .. })),
        "{again:?}"
    );
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
    for command in [
        Command::Renew { request: None },
        Command::FetchParameters,
        Command::FetchOwnCertificate,
    ] {
        let reply = world.ask(&node.caller(), command);
        assert!(
            matches!(reply, Err(Refusal::NotCurrent { .. })),
            "{reply:?}"
        );
    }
    // it can come again, as a newcomer
    let again = world.ask(&stranger(), enrol(None, request_for(&node.key)));
    assert_eq!(issued(again).serial().number(), 3);
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

#[test]
fn a_replaced_certificate_can_be_revoked_alone() {
    let mut world = World::new();
    let node = world.enrol();
    world.pass(YEAR - 20 * DAY);
    let renewed = Node::new(
        node.key,
        world.ask(
            &Caller::Node {
                certificate: Box::new(node.certificate),
            },
            Command::Renew { request: None },
        ),
    );

    revoke(&mut world, by_serial(1)).expect("it is remembered");

    assert_eq!(world.revoked(), [1]);
    assert!(
        world
            .ask(&renewed.caller(), Command::FetchParameters)
            .is_ok()
    );
    world.pass(21 * DAY);
    let late = revoke(&mut world, by_serial(1));
    assert!(
        matches!(late, Err(Refusal::NotFound(_))),
        "it has expired: {late:?}"
    );
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
    assert_eq!(world.rules.next_deadline(), Some(end.plus(1)));

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
