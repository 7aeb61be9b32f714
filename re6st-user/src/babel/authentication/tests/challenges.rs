//! RFC 8967 section 4.3.1: who says where it is must prove that it says so now.

use super::{ANNE, BOB, GROUP, Rejected, Speaker, introduce, keys, later, pair};
use crate::{
    babel::{
        authentication::Verdict,
        wire::{self, PacketParts, PacketWriter},
    },
    time::Time,
};

/// Challenges for a packet of Anne's, if Bob sends any.
fn challenge(bob: &mut Speaker, now: Time, packet: &[u8]) -> Option<Vec<u8>> {
    let verdict = bob.receive(now, packet, ANNE, GROUP);
    assert_eq!(verdict.accepted, Err(Rejected::Unknown));
    let challenge = verdict.answer?;
    let freshness = PacketParts::new(&challenge).expect("a packet").freshness();
    freshness.request.map(<[u8]>::to_vec)
}

/// A packet of Anne's with this reply.
fn reply(anne: &mut Speaker, nonce: &[u8]) -> Vec<u8> {
    let packet = wire::challenges(None, Some(nonce)).expect("a packet");
    anne.sign(packet, BOB)
}

/// A packet of Anne's with this challenge.
fn request(anne: &mut Speaker, nonce: &[u8], destination: std::net::Ipv6Addr) -> Vec<u8> {
    let packet = wire::challenges(Some(nonce), None).expect("a packet");
    anne.sign(packet, destination)
}

#[test]
fn a_restarted_speaker_is_challenged_again() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let old = anne.send(GROUP);
    let mut anne = Speaker::started(ANNE, keys(&["one"], &["one"]), 2);

    introduce(&mut anne, &mut bob, later(1000));

    let packet = anne.send(GROUP);
    assert_eq!(bob.takes(&packet, &anne, GROUP), Ok(()));
    let verdict = bob.receive(later(2000), &old, ANNE, GROUP);
    assert_eq!(
        verdict.accepted,
        Err(Rejected::Unknown),
        "an old index is unknown"
    );
    let packet = anne.send(GROUP);
    assert_eq!(
        bob.takes(&packet, &anne, GROUP),
        Ok(()),
        "and harms nothing"
    );
}

/// At most one in 300 ms to one address, and with one nonce while that may be answered.
#[test]
fn challenges_are_rare() {
    let (mut anne, mut bob) = pair();
    let packet = anne.send(GROUP);

    let first = challenge(&mut bob, later(0), &packet);

    assert!(first.is_some());
    assert_eq!(challenge(&mut bob, later(299), &packet), None);
    assert_eq!(challenge(&mut bob, later(300), &packet), first);
    assert_eq!(challenge(&mut bob, later(599), &packet), None);
    assert_eq!(challenge(&mut bob, later(29_999), &packet), first);
    let second = challenge(&mut bob, later(30_299), &packet);
    assert!(second.is_some() && second != first, "30 s are over");
}

#[test]
fn a_reply_counts_once_and_in_time() {
    let (mut anne, mut bob) = pair();
    let hello = anne.send(GROUP);
    let nonce = challenge(&mut bob, later(0), &hello).expect("a challenge");

    let late = reply(&mut anne, &nonce);
    let verdict = bob.receive(later(30_000), &late, ANNE, BOB);
    assert_eq!(verdict.accepted, Err(Rejected::Unknown), "after 30 s");

    let nonce = challenge(&mut bob, later(30_300), &hello).expect("another challenge");
    let wrong = reply(&mut anne, b"something else");
    let verdict = bob.receive(later(30_301), &wrong, ANNE, BOB);
    assert_eq!(verdict.accepted, Err(Rejected::Unknown), "another nonce");
    let good = reply(&mut anne, &nonce);
    assert_eq!(
        bob.receive(later(30_302), &good, ANNE, BOB).accepted,
        Ok(())
    );
    let verdict = bob.receive(later(30_303), &good, ANNE, BOB);
    assert_eq!(verdict.accepted, Err(Rejected::Replayed));
}

/// Who holds a reply back cannot turn the numbers back with it.
#[test]
fn a_reply_does_not_make_old_numbers_new() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let mut before = Speaker::started(ANNE, keys(&["one"], &["one"]), 7);
    let old = before.send(GROUP);
    let nonce = challenge(&mut bob, later(1000), &old).expect("a challenge");
    let held_back = reply(&mut anne, &nonce);
    let packet = anne.send(BOB);
    assert_eq!(bob.takes(&packet, &anne, BOB), Ok(()));

    let verdict = bob.receive(later(2000), &held_back, ANNE, BOB);

    assert_eq!(verdict.accepted, Err(Rejected::Replayed));
    assert_eq!(bob.takes(&packet, &anne, BOB), Err(Rejected::Replayed));
}

#[test]
fn a_challenge_is_answered_by_its_nonce() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let nonce: Vec<u8> = (0..192).map(|number| number as u8).collect();
    let packet = request(&mut anne, &nonce, BOB);

    let verdict = bob.receive(later(1000), &packet, ANNE, BOB);

    let expected = Verdict {
        accepted: Ok(()),
        answer: wire::challenges(None, Some(&nonce)),
    };
    assert_eq!(verdict, expected);
}

/// Replies are rare too; challenges to the group, in old packets, or too long are not answered.
#[test]
fn not_every_challenge_is_answered() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let mut answered = |now, packet: &[u8], destination| {
        let verdict = bob.receive(now, packet, ANNE, destination);
        verdict.answer.is_some()
    };

    let to_all = request(&mut anne, b"nonce", GROUP);
    assert!(!answered(later(1000), &to_all, GROUP), "to the group");
    let first = request(&mut anne, b"nonce", BOB);
    assert!(answered(later(1000), &first, BOB));
    let soon = request(&mut anne, b"nonce", BOB);
    assert!(!answered(later(1299), &soon, BOB), "too soon");
    assert!(!answered(later(5000), &soon, BOB), "old");
    let again = request(&mut anne, b"nonce", BOB);
    assert!(answered(later(5000), &again, BOB));
    let mut too_long = PacketWriter::new(400, ANNE).finish();
    too_long.extend_from_slice(&[18, 193]);
    too_long.extend_from_slice(&[7; 193]);
    too_long[3] = 195;
    let too_long = anne.sign(too_long, BOB);
    assert!(!answered(later(9000), &too_long, BOB), "too long");
}

/// Both start at the same moment: each challenges, each answers, in one packet.
#[test]
fn two_unknown_speakers_get_to_know_each_other_at_once() {
    let (mut anne, mut bob) = pair();
    let hello = anne.send(GROUP);
    let from_bob = bob.receive(later(0), &hello, ANNE, GROUP).answer;
    let challenge = bob.sign(from_bob.expect("a challenge"), ANNE);

    let verdict = anne.receive(later(1), &challenge, BOB, ANNE);
    assert_eq!(verdict.accepted, Err(Rejected::Unknown));
    let reply_and_challenge = anne.sign(verdict.answer.expect("both"), BOB);
    let verdict = bob.receive(later(2), &reply_and_challenge, ANNE, BOB);
    assert_eq!(verdict.accepted, Ok(()));
    let reply = bob.sign(verdict.answer.expect("a reply"), ANNE);
    let verdict = anne.receive(later(3), &reply, BOB, ANNE);

    let accepted = Verdict {
        accepted: Ok(()),
        answer: None,
    };
    assert_eq!(verdict, accepted);
}
