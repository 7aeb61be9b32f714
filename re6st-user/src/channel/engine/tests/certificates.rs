//! Who is let in, and who not any more.

use std::sync::LazyLock;

use super::world::{
    AUTHORITY, FIRST_ADDRESS, SECOND, World, address, certificate_of, credentials,
    credentials_with, key_of, name, public_key_of,
};
use crate::{
    certificate::{
        authority::Authority,
        static_key::StaticKey,
        testing::{CertificateOf, NETWORK, START, authority_of},
        verify::Authorities,
    },
    channel::{ChannelCredentials, Closing, Counters, Event, Input, Peer, refusal::Refusal},
    time::DAY,
};

/// Of the same network, and of another.
static OTHERS: LazyLock<[Authority; 2]> =
    LazyLock::new(|| [NETWORK, "2001:db8:43::/48"].map(authority_of));

/// A node 1 with this certificate, which believes in whoever issued it.
fn caller(certificate: &CertificateOf<'_>) -> ChannelCredentials {
    let key = key_of(1);
    let certificate = (certificate.issue(&key), certificate.authority);
    let mut credentials = credentials_with(key, certificate.0, &[]);
    credentials.authorities = Authorities::new(certificate.1.certificate().clone());
    credentials
}

/// The second node is called by one with these credentials.
fn called_by(caller: ChannelCredentials, revoked: &[u64]) -> World {
    let mut world = World::new(2, 1);
    world.input(1, Input::Credentials(Box::new(caller)));
    let own = Box::new(credentials(2, revoked));
    world.input(2, Input::Credentials(own));
    world.call(1, 2);
    world.run(SECOND * 3);
    world
}

fn assert_refused(world: &mut World, why: Refusal, counter: impl Fn(&Counters) -> u64) {
    assert!(counter(world.node(2).counters()) > 0, "{why:?}");
    assert_eq!(world.node(2).counters().initiations_answered, 0);
    assert!(world.node(2).tunnels.is_empty() && world.node(1).tunnels.is_empty());
    let told = world.node(2).events.iter().filter(|event| {
        matches!(event, Event::Refused { why: told, address, .. } if *told == why && *address == FIRST_ADDRESS)
    });
    assert_eq!(told.count(), 1, "said once: {:?}", world.node(2).events);
}

#[test]
fn an_expired_certificate_is_refused() {
    let certificate = CertificateOf {
        until: START.minus(1),
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    assert_refused(&mut world, Refusal::Expired, |it| it.refused_expired);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    let certificate = CertificateOf {
        from: START.plus(DAY),
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    assert_refused(&mut world, Refusal::NotYetValid, |it| {
        it.refused_not_yet_valid
    });
}

#[test]
fn a_revoked_certificate_is_refused() {
    let mut world = called_by(credentials(1, &[]), &[1]);
    assert_refused(&mut world, Refusal::Revoked, |it| it.refused_revoked);
}

#[test]
fn a_self_made_certificate_is_refused() {
    // the name of the authority is the same, its key is not
    let certificate = CertificateOf {
        authority: &OTHERS[0],
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    assert_refused(&mut world, Refusal::UnknownAuthority, |it| {
        it.refused_unknown_authority
    });
}

#[test]
fn a_certificate_of_another_network_is_refused() {
    let certificate = CertificateOf {
        authority: &OTHERS[1],
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    assert_refused(&mut world, Refusal::UnknownAuthority, |it| {
        it.refused_unknown_authority
    });
}

#[test]
fn somebody_elses_certificate_is_refused() {
    // it was seen on the way, but its key was not
    let mut stolen = credentials(3, &[]);
    stolen.key = StaticKey::generate().unwrap();
    let mut world = called_by(stolen, &[]);
    assert_refused(&mut world, Refusal::OtherKey, |it| it.refused_other_key);
}

#[test]
fn a_second_node_with_our_own_name_is_refused() {
    let certificate = CertificateOf {
        node: name(2),
        serial: 77,
        ..certificate_of(1)
    };
    let credentials = caller(&certificate);
    let mut world = World::new(3, 1);
    world.input(1, Input::Credentials(Box::new(credentials)));
    // called by another name, for nobody calls himself
    world.configure_peers(
        1,
        vec![Peer {
            node: name(3),
            addresses: vec![address(2, 1)],
            key: Some(public_key_of(2)),
        }],
    );
    world.run(SECOND * 3);
    assert_refused(&mut world, Refusal::OwnName, |it| it.refused_own_name);
}

#[test]
fn whoever_answers_has_to_have_the_name_that_was_called() {
    let mut world = World::new(3, 1);
    // the key of node 2 is said to be node 3's
    world.configure_peers(
        1,
        vec![Peer {
            node: name(3),
            addresses: vec![address(2, 1)],
            key: Some(public_key_of(2)),
        }],
    );
    world.run(SECOND * 5);
    assert!(world.node(1).counters().refused_other_name > 0);
    assert!(world.node(1).tunnels.is_empty() && world.node(2).tunnels.is_empty());
    let refused =
        |event: &&Event| matches!(event, Event::Refused { why, .. } if *why == Refusal::OtherName);
    assert_eq!(world.node(1).events.iter().filter(refused).count(), 1);
}

#[test]
fn a_key_in_the_configuration_has_to_be_the_peers() {
    let mut world = World::new(2, 1);
    world.configure_peers(
        2,
        vec![Peer {
            node: name(1),
            addresses: Vec::new(),
            key: Some(public_key_of(3)),
        }],
    );
    world.call(1, 2);
    world.run(SECOND * 3);
    assert_refused(&mut world, Refusal::Pinned, |it| it.refused_pinned);
}

#[test]
fn a_node_that_calls_itself_is_told() {
    let mut world = World::new(1, 1);
    world.call(1, 1);
    world.run(SECOND * 10);
    assert_eq!(world.node(1).events, [Event::OwnName]);
    assert_eq!(world.node(1).counters().initiations_sent, 0);
}

#[test]
fn a_revoked_peer_is_closed_at_once_whoever_called_and_told_why() {
    for revoked in [1, 2] {
        let mut world = World::pair(1);
        world.run(SECOND);
        let other = 3 - revoked;
        let list = Box::new(credentials(other, &[revoked]));
        world.input(other, Input::Credentials(list));
        assert!(world.node(other).tunnels.is_empty(), "at once");
        assert_eq!(
            world.node(other).closed,
            [(name(revoked), Closing::Revoked)]
        );
        world.run(SECOND * 100);
        assert!(world.node(revoked).tunnels.is_empty());
        let closed = &world.node(revoked).closed;
        assert!(
            matches!(&closed[..], [(_, Closing::Told { text, .. })] if text.contains("revoked")),
            "{closed:?}"
        );
        // taken back
        let list = Box::new(credentials(other, &[]));
        world.input(other, Input::Credentials(list));
        world.run(SECOND * 120);
        world.assert_connected(1, 2);
    }
}

#[test]
fn a_channel_ends_with_the_certificate() {
    let certificate = CertificateOf {
        until: START.plus(60),
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    world.assert_connected(1, 2);
    world.run(SECOND * 70);
    assert_eq!(world.node(2).closed, [(name(1), Closing::Expired)]);
    assert!(world.node(1).tunnels.is_empty() && world.node(2).tunnels.is_empty());
}

#[test]
fn a_renewed_certificate_is_shown_before_the_old_one_expires_and_nothing_is_closed() {
    let certificate = CertificateOf {
        until: START.plus(120),
        ..certificate_of(1)
    };
    let mut world = called_by(caller(&certificate), &[]);
    let renewed = CertificateOf {
        serial: 88,
        ..certificate_of(1)
    };
    world.input(1, Input::Credentials(Box::new(caller(&renewed))));
    world.run(SECOND * 300);
    world.assert_connected(1, 2);
    assert!(world.node(1).closed.is_empty() && world.node(2).closed.is_empty());
}

#[test]
fn clocks_that_are_five_minutes_off_do_no_harm() {
    for minutes in [-5, 5] {
        let mut world = World::new(2, 1);
        world.node(1).clock = minutes * 60;
        world.call(1, 2);
        world.run(SECOND);
        world.assert_connected(1, 2);
    }
}

#[test]
fn a_clock_that_is_years_off_is_named_and_its_end_is_enough() {
    let mut world = World::new(2, 1);
    world.node(1).clock = -3 * 365 * DAY as i64;
    world.call(1, 2);
    world.run(SECOND * 3);
    assert!(world.node(1).tunnels.is_empty());
    let why = world.report(1, 2).unwrap().why.unwrap();
    assert!(why.contains("not valid"), "{why}");
    world.node(1).clock = 0;
    world.run(SECOND * 80);
    world.assert_connected(1, 2);
    assert!(AUTHORITY.certificate().not_before() < START);
}
