//! A node asks for another one's present certificate, by its name.

use super::*;

fn lookup(node: NodePrefix) -> Command {
    Command::FetchNodeCertificate { node }
}

fn is_found(reply: &Result<Reply, Refusal>) -> bool {
    match reply {
        Ok(Reply::Present(_) | Reply::Issued { .. }) => true,
        Err(Refusal::NoSuchNode(_)) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nodes_alone_find_each_other_by_name() {
    let mut world = World::new();
    let _registry = world.enrol();
    let (node, other) = (world.enrol(), world.enrol());

    let reply = world.ask(&node.caller(), lookup(other.prefix()));

    let Ok(Reply::Present(summary)) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(summary.serial, other.certificate.serial());
    let stranger = world.ask(&stranger(), lookup(other.prefix()));
    assert!(
        matches!(stranger, Err(Refusal::NotIdentified)),
        "{stranger:?}"
    );
    for name in ["77/16", "1/15", "2/17"] {
        let name = NodePrefix::from_common_name(name).unwrap();
        let reply = world.ask(&node.caller(), lookup(name));
        assert!(!is_found(&reply), "{name:?}");
    }
}

#[test]
fn a_certificate_that_is_good_for_nothing_is_not_given() {
    let mut world = World::new();
    let _registry = world.enrol();
    let (node, stolen, ended) = (world.enrol(), world.enrol(), world.enrol());
    let forgotten = world.enrol();
    for which in [
        CertificateName::Serial(stolen.certificate.serial()),
        CertificateName::Prefix(ended.prefix()),
    ] {
        world
            .operate(Command::Revoke { which })
            .expect("it is there");
    }

    for gone in [&stolen, &ended] {
        let reply = world.ask(&node.caller(), lookup(gone.prefix()));
        assert!(!is_found(&reply), "{:?}", gone.prefix());
        let reply = world.ask(&gone.caller(), lookup(node.prefix()));
        assert!(
            matches!(reply, Err(Refusal::NotCurrent { .. })),
            "{reply:?}"
        );
    }

    assert!(is_found(
        &world.ask(&node.caller(), lookup(forgotten.prefix()))
    ));
    world.pass(360 * DAY);
    let node = {
        let renewed = issued(world.ask(&node.caller(), Command::Renew { request: None }));
        Node {
            certificate: renewed,
            ..node
        }
    };
    world.pass(6 * DAY);
    assert!(!is_found(
        &world.ask(&node.caller(), lookup(forgotten.prefix()))
    ));
}

#[test]
fn nobody_can_list_the_network_that_way() {
    let mut world = World::new();
    let _registry = world.enrol();
    let (node, other) = (world.enrol(), world.enrol());

    let mut ask = |from: &Node| world.ask(&from.caller(), lookup(other.prefix()));
    for _ in 0..super::super::LOOKUPS.count {
        assert!(is_found(&ask(&node)));
    }

    let refused = ask(&node);
    assert!(
        matches!(refused, Err(Refusal::TooMany { retry_after: 10 })),
        "{refused:?}"
    );
    assert!(is_found(&ask(&other)), "others are not meant");
}
