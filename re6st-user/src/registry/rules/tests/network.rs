//! What all nodes do alike, and how they hear of it.

use super::{
    super::{Change, Notice, packed_integer},
    *,
};

fn set(name: &str, value: serde_json::Value) -> Command {
    Command::SetParameters {
        changes: vec![(name.to_owned(), Some(value))],
    }
}

#[test]
fn a_change_has_a_larger_number() {
    let mut world = World::new();
    let first = world.number();

    let outcome = world.outcome(&operator(), set("hello-interval", 4.into()));

    let second = world.number();
    assert!(second > first);
    assert_eq!(outcome.notices, [Notice::Parameters(second)]);
    let Ok(Reply::Parameters { document, .. }) = outcome.reply else {
        panic!("{outcome:?}")
    };
    assert_eq!(document.content["parameters"]["hello-interval"], 4);
    assert_eq!(document.content["network"], "2001:db8:42::/48");
    // the same again changes nothing
    let again = world.outcome(&operator(), set("hello-interval", 4.into()));
    assert_eq!(again.changes, []);
    assert_eq!(world.number(), second);
}

/// A registry restored from last week's backup must not publish numbers that nodes have seen.
#[test]
fn numbers_follow_the_time() {
    let mut world = World::new();
    let mut restored = World::new();
    for hello in 1..10 {
        world
            .operate(set("hello-interval", hello.into()))
            .expect("a change");
    }
    let seen = world.number();

    restored.now = world.now.plus(3600);
    restored
        .operate(set("hello-interval", 20.into()))
        .expect("a change");

    assert!(restored.number() > seen);
}

/// re6stnet's nodes order versions by their octets.
#[test]
fn the_number_is_re6stnets_version_too() {
    let mut world = World::new();
    let outcome = world.outcome(&operator(), set("encrypt", true.into()));
    let version = outcome.changes.iter().find_map(|change| match change {
        Change::Publication { version, .. } => Some(version),
        _ => None,
    });
    let version = version.expect("a publication");
    let (number, signature) = packed_integer::unpack(version).expect("a packed integer");
    assert_eq!(number, world.number());
    let message = &version[..version.len() - signature.len()];
    let authority = world.rules.issuer.sign(message).expect("a signature");
    assert!(!signature.is_empty() && !authority.is_empty());
}

#[test]
fn revocations_have_a_number_of_their_own() {
    let mut world = World::new();
    world.enrol();
    let node = world.enrol();
    let number = |world: &mut World| match world.ask(&Caller::Registry, Command::FetchRevocations) {
        Ok(Reply::Revocations(document)) => document.number,
        other => panic!("{other:?}"),
    };
    let first = number(&mut world);
    world
        .operate(set("encrypt", true.into()))
        .expect("a change");
    assert_eq!(number(&mut world), first, "it is not about them");

    world.pass(10);
    let which = CertificateName::Prefix(node.prefix());
    let outcome = world.outcome(&operator(), Command::Revoke { which });

    let second = number(&mut world);
    assert!(second > first);
    assert!(outcome.notices.contains(&Notice::Revocations(second)));
    let Ok(Reply::Parameters { document, .. }) =
        world.ask(&Caller::Registry, Command::FetchParameters)
    else {
        panic!("no parameters")
    };
    assert_eq!(
        document.content["revocations"]["number"], second,
        "nodes hear of it by the parameters"
    );
}

/// Nodes believe no router-id that names a shorter prefix, so they have to hear of one before its node does anything.
#[test]
fn nodes_hear_how_short_the_shortest_prefix_is_as_soon_as_it_is_given() {
    let mut world = World::new();
    let shortest = |world: &mut World| match world.ask(&Caller::Registry, Command::FetchParameters)
    {
        Ok(Reply::Parameters { document, .. }) => {
            let bits = document.content.get("shortest-prefix").cloned();
            (document.number, bits.and_then(|bits| bits.as_u64()))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(shortest(&mut world).1, None);
    world.enrol();
    let first = shortest(&mut world);
    assert_eq!(first.1, Some(16));
    world.enrol();
    assert_eq!(shortest(&mut world), first, "nothing is new");
    // a community's bits come before a node's: only together they are its name
    let text = "0 FR\n1 *".to_owned();
    world
        .operate(Command::SetCommunities { text })
        .expect("set");
    world.enrol();
    assert_eq!(shortest(&mut world), first, "17 bits are more");
    world.rules.settings.anonymous_prefix_length = 3;
    let large = world.enrol();
    let second = shortest(&mut world);
    assert_eq!(second.1, Some(4));
    assert!(second.0 > first.0);
    let which = CertificateName::Prefix(large.prefix());
    world.operate(Command::Revoke { which }).expect("revoked");
    assert_eq!(shortest(&mut world).1, Some(16));
}

#[test]
fn nodes_fetch_and_strangers_do_not() {
    let mut world = World::new();
    let node = world.enrol();
    for command in [Command::FetchParameters, Command::FetchRevocations] {
        assert!(world.ask(&node.caller(), command.clone()).is_ok());
        assert_eq!(world.ask(&stranger(), command), Err(Refusal::NotIdentified));
    }
}

#[test]
fn the_key_of_babel_is_replaced_in_three_steps() {
    let mut world = World::new();
    let keys = |world: &mut World, command| match world.operate(command) {
        Ok(Reply::Parameters { mac_keys, document }) => (
            mac_keys,
            document.content["mac-keys"].as_u64().expect("a number"),
        ),
        other => panic!("{other:?}"),
    };
    let (before, number) = keys(&mut world, Command::GetParameters);
    let old = before.sign.clone().expect("a network begins with a key");

    world.now = world.now.plus(100);
    let rotate = || Command::RotateMacKeys { at_once: false };
    let (accepting, next) = keys(&mut world, rotate());
    assert!(next > number, "nodes hear of each step by the parameters");
    assert_eq!(accepting.sign, Some(old.clone()));
    let new = accepting.accept.expect("the new key");
    let (signing, _) = keys(&mut world, rotate());
    assert_eq!(
        (signing.sign, signing.accept),
        (Some(new.clone()), Some(old))
    );
    let (done, _) = keys(&mut world, rotate());
    assert_eq!((done.sign, done.accept), (Some(new), None));
    // and the registry goes on after each step, unlike re6stnet's
    let (after, _) = keys(&mut world, Command::GetParameters);
    assert!(after.sign.is_some());
}

#[test]
fn another_mac_key_at_once() {
    let mut world = World::new();
    let keys = |world: &mut World| {
        let reply = world.operate(Command::GetParameters);
        let Ok(Reply::Parameters { document, mac_keys }) = reply else {
            panic!("{reply:?}")
        };
        (mac_keys, document.content["mac-keys"].clone())
    };
    let (before, number) = keys(&mut world);
    world
        .operate(Command::RotateMacKeys { at_once: false })
        .expect("a step");

    world
        .operate(Command::RotateMacKeys { at_once: true })
        .expect("another key");

    let (after, later) = keys(&mut world);
    assert!(after.sign.is_some() && after.sign != before.sign);
    assert_eq!((after.accept, after.accept_anything), (None, false));
    assert_ne!(later, number, "nodes are told");
}
