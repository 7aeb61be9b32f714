//! Who gets an answer, and what harm forged packets do.

use std::convert::Infallible;

use re6st_common::{
    address::Address,
    handshake::{SipKey, Verdict, cookie, cookie_reply, judge},
};

use super::support::{START, identity, index, initiation, random, response, sessions};
use crate::{
    certificate::static_key::StaticPublicKey,
    channel::{
        PostQuantum,
        handshake::{HandshakeError, Initiator, Received, RespondError, mac_key, respond},
        session::{OpenError, SessionSettings},
        wire::{Features, Offer, PacketError, packet::CookieReply},
    },
};

const SETTINGS: fn() -> SessionSettings = SessionSettings::default;

fn offer() -> Offer {
    Offer::ours(PostQuantum::Preferred)
}

/// Node 2's verdict on a packet.
fn refused(packet: &[u8]) -> Option<HandshakeError> {
    let decide = |_: &Received| Ok::<_, Infallible>(offer());
    let found = respond(
        &identity(2),
        packet,
        index(9),
        START,
        &SETTINGS(),
        &mut random(9),
        decide,
    );
    match found {
        Err(RespondError::Handshake(error)) => Some(error),
        Err(RespondError::Refused(never)) => match never {},
        Ok(_) => None,
    }
}

#[test]
fn each_side_learns_who_the_other_is_and_what_it_offers() {
    // Arrange
    let theirs = Offer {
        seen_at: Some("[2001:db8::7]:4754".parse().unwrap()),
        ..Offer::ours(PostQuantum::Required)
    };
    // Act
    let (mut initiator, packet) = initiation(1, &offer());
    let (of_initiator, answer, responder) = response(1, &packet, &SETTINGS(), theirs);
    let (of_responder, session) = initiator.finish(START, &SETTINGS(), &answer).unwrap();
    // Assert
    assert_eq!(of_initiator.certificate, b"certificate 1");
    assert_eq!(of_initiator.static_key, *identity(1).public_key());
    assert_eq!(of_initiator.offer, offer());
    assert_eq!(of_initiator.ephemeral[..], packet[24..56]);
    assert_eq!(of_responder.certificate, b"certificate 2");
    assert_eq!(of_responder.static_key, *identity(2).public_key());
    assert_eq!(of_responder.offer, theirs);
    assert_eq!(session.index(), responder.remote_index());
    assert_eq!(session.remote_index(), responder.index());
    assert!(session.is_confirmed() && !responder.is_confirmed());
    assert!(session.is_post_quantum() && responder.is_post_quantum());
}

#[test]
fn certificates_are_seen_by_nobody_else() {
    let (_, packet) = initiation(1, &offer());
    let (_, answer, _) = response(1, &packet, &SETTINGS(), offer());
    for packet in [packet, answer] {
        let found = packet.windows(11).any(|part| part == b"certificate");
        assert!(!found);
    }
}

#[test]
fn every_bit_of_an_initiation_counts_but_the_cookies() {
    let (_, packet) = initiation(1, &offer());
    assert_eq!(refused(&packet), None);
    for bit in 0..packet.len() * 8 {
        let mut changed = packet.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected: &[_] = match bit / 8 {
            0 => &[HandshakeError::Packet(PacketError::WrongKind)],
            1 => &[HandshakeError::Packet(PacketError::UnknownVersion)],
            2 | 3 => &[HandshakeError::Packet(PacketError::NotZero)],
            8..16 => {
                assert_eq!(refused(&changed), None, "the cookie is for another layer");
                continue;
            }
            4..8 | 16..56 => &[HandshakeError::WrongMac],
            _ => &[HandshakeError::Forged],
        };
        let found = refused(&changed);
        assert!(
            found.is_some_and(|found| expected.contains(&found)),
            "bit {bit}: {found:?}"
        );
    }
}

#[test]
fn a_part_of_an_initiation_or_a_longer_one_is_none() {
    let (_, packet) = initiation(1, &offer());
    for length in 0..packet.len() {
        let error = refused(&packet[..length]).unwrap();
        let expected = match length {
            0..120 => "truncated",
            _ => "forged_handshake",
        };
        assert_eq!(error.name(), expected, "{length} octets");
    }
    let longer = [&packet[..], &[0]].concat();
    assert_eq!(refused(&longer), Some(HandshakeError::Forged));
    let longest = [&packet[..], &[0; 9_000]].concat();
    assert_eq!(refused(&longest).unwrap().name(), "oversized");
}

#[test]
fn a_forged_response_leaves_the_initiator_usable() {
    let (mut initiator, packet) = initiation(1, &offer());
    let (_, answer, _) = response(1, &packet, &SETTINGS(), offer());
    // every octet with one bit changed, every prefix, and one made by somebody else
    for at in 0..answer.len() {
        let mut changed = answer.clone();
        changed[at] ^= 1 << (at % 8);
        let error = initiator.finish(START, &SETTINGS(), &changed).unwrap_err();
        let expected: &[&str] = match at {
            0 => &["wrong_kind"],
            1 => &["unknown_format_version"],
            2 | 3 => &["reserved_not_zero"],
            4..8 => &["wrong_index"],
            _ => &["forged_handshake"],
        };
        assert!(expected.contains(&error.name()), "octet {at}: {error}");
        let error = initiator
            .finish(START, &SETTINGS(), &answer[..at])
            .unwrap_err();
        assert!(["truncated", "forged_handshake"].contains(&error.name()));
    }
    let (_, foreign, _) = response(7, &initiation(7, &offer()).1, &SETTINGS(), offer());
    let error = initiator.finish(START, &SETTINGS(), &foreign).unwrap_err();
    assert_eq!(error, HandshakeError::Forged);
    // Act: the true one
    assert!(initiator.finish(START, &SETTINGS(), &answer).is_ok());
    // Assert: once
    let again = initiator.finish(START, &SETTINGS(), &answer).unwrap_err();
    assert_eq!(again, HandshakeError::Finished);
}

#[test]
fn who_does_not_know_our_key_or_sends_us_our_own_packets_gets_no_answer() {
    // for node 3
    let other = *identity(3).public_key();
    let begin = |own: u8, peer: &StaticPublicKey| {
        Initiator::begin(&identity(own), peer, index(5), &offer(), &mut random(3))
    };
    let (_, packet) = begin(1, &other).unwrap();
    assert_eq!(refused(&packet), Some(HandshakeError::WrongMac));
    // reflected: a response where an initiation belongs, and our own initiation
    let (_, packet) = initiation(1, &offer());
    let (_, answer, _) = response(1, &packet, &SETTINGS(), offer());
    assert_eq!(refused(&answer).unwrap().name(), "wrong_kind");
    let (_, ours) = begin(2, identity(1).public_key()).unwrap();
    assert_eq!(refused(&ours), Some(HandshakeError::WrongMac));
    // somebody has given us our own key as a peer's
    let (_, own) = begin(2, identity(2).public_key()).unwrap();
    assert_eq!(refused(&own), Some(HandshakeError::OwnKey));
    // a key of small order: the agreement would not depend on ours
    let error = begin(1, &StaticPublicKey::new([0; 32])).unwrap_err();
    assert_eq!(error, HandshakeError::Agreement);
}

#[test]
fn a_cookie_is_taken_from_who_has_seen_the_initiation_and_changes_nothing_else() {
    // Arrange
    let (initiator, packet) = initiation(1, &offer());
    let secret = SipKey::new([4; 16]);
    let source = Address::from_ipv4([192, 0, 2, 7]);
    let judged = |packet: &[u8]| {
        let head = packet.first_chunk().unwrap();
        let key = mac_key(identity(2).public_key());
        judge(key, secret, head, source, 4754, 7)
    };
    let cookie = cookie(secret, source, 4754, 7);
    assert_eq!(judged(&packet), Verdict::NoCookie(cookie));
    let reply = cookie_reply(packet.first_chunk().unwrap(), cookie);
    let reply = CookieReply::parse(&reply).unwrap();
    // Act
    let again = initiator.answer(&reply).unwrap();
    // Assert
    assert_eq!(judged(&again), Verdict::GoodCookie);
    assert_eq!(again[..8], packet[..8]);
    assert_eq!(again[16..], packet[16..]);
    assert_eq!(refused(&again), None);
    let foreign = CookieReply {
        mac: [0; 8],
        ..reply
    };
    assert_eq!(initiator.answer(&foreign), None);
    let other = CookieReply {
        receiver: index(5),
        ..reply
    };
    assert_eq!(initiator.answer(&other), None);
}

#[test]
fn a_cookie_reply_of_another_size_is_none() {
    let (_, packet) = initiation(1, &offer());
    let reply = cookie_reply(packet.first_chunk().unwrap(), [1; 8]);
    for length in 1..reply.len() {
        assert_eq!(
            CookieReply::parse(&reply[..length]).unwrap_err().name(),
            "truncated"
        );
    }
    let longer = [&reply[..], &[0]].concat();
    assert_eq!(CookieReply::parse(&longer).unwrap_err().name(), "oversized");
}

#[test]
fn a_replayed_initiation_makes_a_session_that_nobody_can_use() {
    // Arrange
    let (mut initiator, packet) = initiation(1, &offer());
    let (first, answer, _) = response(1, &packet, &SETTINGS(), offer());
    let (_, mut session) = initiator.finish(START, &SETTINGS(), &answer).unwrap();
    let sent = session.seal(START, b"hello").unwrap();
    // Act
    let (second, _, mut replayed) = response(2, &packet, &SETTINGS(), offer());
    // Assert
    assert_eq!(first.ephemeral, second.ephemeral, "by which it is known");
    assert_eq!(replayed.open(START, &sent), Err(OpenError::Forged));
    assert!(!replayed.is_confirmed());
}

#[test]
fn no_two_handshakes_have_the_same_ephemeral_key() {
    let mut random = random(5);
    let mut seen = std::collections::BTreeSet::new();
    for number in 1..20 {
        let peer = *identity(2).public_key();
        let begun = Initiator::begin(&identity(1), &peer, index(number), &offer(), &mut random);
        assert!(seen.insert(begun.unwrap().1[24..56].to_vec()));
    }
}

#[test]
fn post_quantum_keys_are_made_if_both_can_and_nobody_is_talked_down() {
    use PostQuantum::{Off, Preferred, Required};
    let with = |policy| Offer::ours(policy);
    let old = Offer {
        features: Features(0),
        ..with(Preferred)
    };
    let cases = [
        (with(Preferred), with(Preferred), Some(true)),
        (with(Preferred), with(Required), Some(true)),
        (with(Required), with(Required), Some(true)),
        (with(Off), with(Preferred), Some(false)),
        (with(Off), with(Off), Some(false)),
        (with(Off), with(Required), None),
        (with(Preferred), old, Some(false)),
        (with(Required), old, None),
    ];
    for (one, other, expected) in cases {
        assert_eq!(
            one.agree_on_post_quantum(&other),
            expected,
            "{one:?} {other:?}"
        );
        assert_eq!(
            other.agree_on_post_quantum(&one),
            expected,
            "{other:?} {one:?}"
        );
    }
    // in the handshake itself, on the responder's side
    let (_, packet) = initiation(1, &with(Off));
    let found = respond(
        &identity(2),
        &packet,
        index(9),
        START,
        &SETTINGS(),
        &mut random(9),
        |_| Ok::<_, Infallible>(with(Required)),
    );
    let error = found.unwrap_err();
    assert_eq!(error, RespondError::Handshake(HandshakeError::PostQuantum));
}

#[test]
fn who_is_refused_gets_no_answer_and_the_reason_is_handed_back() {
    let (_, packet) = initiation(1, &offer());
    let found = respond(
        &identity(2),
        &packet,
        index(9),
        START,
        &SETTINGS(),
        &mut random(9),
        |received| match &received.certificate[..] {
            b"certificate 1" => Err("revoked"),
            _ => Ok(offer()),
        },
    );
    assert_eq!(found.unwrap_err(), RespondError::Refused("revoked"));
}

#[test]
fn a_certificate_that_fits_no_handshake_is_an_error_of_ours() {
    use super::support::static_key;
    use crate::channel::identity::Identity;
    let own = Identity::new(&static_key(&[1; 32]), vec![0; 9_000]);
    let peer = *identity(2).public_key();
    let begun = Initiator::begin(&own, &peer, index(1), &offer(), &mut random(1));
    assert_eq!(begun.unwrap_err(), HandshakeError::TooLong);
}

#[test]
fn nothing_secret_is_shown() {
    let (initiator, _) = initiation(1, &offer());
    let (session, _) = sessions(1, PostQuantum::Off, &SETTINGS());
    let key = data_encoding::HEXLOWER.encode(identity(1).public_key().octets());
    assert_eq!(format!("{:?}", identity(1)), format!("Identity({key})"));
    let key = data_encoding::HEXLOWER.encode(identity(2).public_key().octets());
    assert_eq!(
        format!("{initiator:?}"),
        format!("Initiator {{ index: 0x00001111, peer_key: {key}, .. }}")
    );
    assert_eq!(
        format!("{session:?}"),
        "Session { side: Initiator, index: 0x00001111, remote_index: 0x00002222, epochs: (Epoch(1), Epoch(0)), counter: 0, .. }"
    );
    assert_eq!(format!("{:?}", identity(1).mac_key()), "SipKey(..)");
}
