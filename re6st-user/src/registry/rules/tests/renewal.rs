//! A node gets another certificate.

use super::*;

const YEAR: u64 = 365 * DAY;

fn renew(world: &mut World, node: &Node) -> Result<Reply, Refusal> {
    world.ask(&node.caller(), Command::Renew { request: None })
}

#[test]
fn before_it_is_due_the_same_one() {
    let mut world = World::new();
    let node = world.enrol();

    let reply = renew(&mut world, &node);

    assert!(
        matches!(&reply, Ok(Reply::Present(summary)) if summary.serial == node.certificate.serial())
    );
}

#[test]
fn thirty_days_before_the_end_a_year_more() {
    let mut world = World::new();
    let node = world.enrol();
    world.pass(YEAR - 30 * DAY);

    let renewed = issued(renew(&mut world, &node));

    assert_eq!(renewed.prefix(), node.prefix());
    assert_eq!(renewed.public_key(), node.certificate.public_key());
    assert_eq!(renewed.subject_serial(), node.certificate.subject_serial());
    assert_eq!(renewed.not_after(), world.now.plus(YEAR));
    // the answer was lost: the old one is good for asking again
    let again = renew(&mut world, &node);
    assert!(
        matches!(&again, Ok(Reply::Present(summary)) if summary.serial == renewed.serial()),
        "{again:?}"
    );
}

#[test]
fn within_the_grace_period_an_expired_one_is_good_for_that_alone() {
    let mut world = World::new();
    let _registry = world.enrol();
    let node = world.enrol();
    let grace = world.rules.settings.grace_period;

    world.pass(YEAR + grace);

    let fetch = world.ask(&node.caller(), Command::FetchParameters);
    assert!(
        matches!(fetch, Err(Refusal::NotCurrent { .. })),
        "{fetch:?}"
    );
    let renewed = issued(renew(&mut world, &node));
    assert_eq!(renewed.prefix(), node.prefix());
}

#[test]
fn after_the_grace_period_the_prefix_is_another_nodes() {
    let mut world = World::new();
    let registry = world.enrol();
    let node = world.enrol();
    let grace = world.rules.settings.grace_period;
    assert_eq!(
        world.rules.next_end(),
        Some(node.certificate.not_after().plus(grace + 1))
    );

    world.pass(YEAR + grace + 1);
    let next = world.enrol();

    assert_eq!(next.prefix(), node.prefix());
    let late = renew(&mut world, &node);
    assert!(matches!(late, Err(Refusal::NotCurrent { .. })), "{late:?}");
    // nodes know the registry's own by its prefix: it keeps it
    assert!(
        world
            .summary(CertificateName::Prefix(registry.prefix()))
            .is_ok()
    );
}

/// Somebody makes the grace period longer, and the former owner of a prefix comes back.
#[test]
fn a_former_owner_is_not_the_present_one() {
    let mut world = World::new();
    let _registry = world.enrol();
    let former = world.enrol();
    world.pass(YEAR + world.rules.settings.grace_period + 1);
    let present = world.enrol();
    assert_eq!(present.prefix(), former.prefix());
    world.rules.settings.grace_period *= 10;

    let reply = renew(&mut world, &former);

    assert!(
        matches!(reply, Err(Refusal::NotCurrent { .. })),
        "{reply:?}"
    );
}

#[test]
fn a_node_changes_its_key() {
    let mut world = World::new();
    let node = world.enrol();
    let (key, request) = newcomer();

    let command = Command::Renew {
        request: Some(request),
    };
    let changed = Node::new(key, world.ask(&node.caller(), command));

    assert_eq!(changed.prefix(), node.prefix());
    assert_eq!(
        changed.certificate.not_after(),
        node.certificate.not_after()
    );
    assert_ne!(
        changed.certificate.public_key(),
        node.certificate.public_key()
    );
    // the old key, shown again, gets a certificate for the old key: not one it cannot use
    let back = issued(renew(&mut world, &node));
    assert_eq!(back.public_key(), node.certificate.public_key());
}

#[test]
fn another_nodes_key_is_refused() {
    let mut world = World::new();
    let (one, other) = (world.enrol(), world.enrol());
    let request = Some(request_for(&other.key));

    let reply = world.ask(&one.caller(), Command::Renew { request });

    assert!(matches!(reply, Err(Refusal::Conflict(_))), "{reply:?}");
}

#[test]
fn nobody_else_can_renew() {
    let mut world = World::new();
    world.enrol();
    for caller in [stranger(), operator()] {
        let reply = world.ask(&caller, Command::Renew { request: None });
        assert_eq!(reply, Err(Refusal::NotIdentified));
    }
}

#[test]
fn a_node_cannot_renew_without_end() {
    let mut world = World::with(|settings| {
        settings.renewals = Rate {
            count: 2,
            seconds: DAY as u32,
        }
    });
    let node = world.enrol();
    let mut replies = (0..3).map(|_| {
        let (_, request) = newcomer();
        world
            .ask(
                &node.caller(),
                Command::Renew {
                    request: Some(request),
                },
            )
            .map(|_| ())
    });
    assert_eq!(replies.next(), Some(Ok(())));
    assert_eq!(replies.next(), Some(Ok(())));
    assert_eq!(
        replies.next(),
        Some(Err(Refusal::TooMany {
            retry_after: DAY / 2
        }))
    );
}
