//! Transport packets: each once, unchanged, within limits.

use std::{collections::BTreeSet, time::Duration};

use super::support::{START, index, mixed, sessions};
use crate::channel::{
    PostQuantum,
    post_quantum::SharedSecret,
    session::{Epoch, MAX_PLAINTEXT, MixError, OpenError, SealError, SessionSettings},
    wire::message::Receipt,
};

fn settings() -> SessionSettings {
    SessionSettings::default()
}

#[test]
fn what_one_seals_the_other_opens_once() {
    let (mut initiator, mut responder) = mixed(1, &settings());
    let packet = initiator.seal(START, b"hello").unwrap();
    assert_eq!(
        responder.open(START, &packet),
        Ok((Epoch(1), b"hello".to_vec()))
    );
    assert_eq!(responder.open(START, &packet), Err(OpenError::Replayed));
    assert!(responder.is_confirmed() && responder.is_ready());
    let packet = responder.seal(START, b"").unwrap();
    assert_eq!(initiator.open(START, &packet), Ok((Epoch(1), Vec::new())));
}

#[test]
fn every_bit_and_every_octet_of_a_packet_counts() {
    let (mut initiator, mut responder) = mixed(1, &settings());
    let packet = initiator.seal(START, b"hello").unwrap();
    for bit in 0..packet.len() * 8 {
        let mut changed = packet.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let name = responder.open(START, &changed).unwrap_err().name();
        let expected: &[_] = match bit / 8 {
            0 => &["wrong_kind"],
            1 => &["forged", "unknown_epoch"],
            2 | 3 => &["reserved_not_zero"],
            4..8 => &["wrong_index"],
            8..16 => &["forged", "counter_beyond_limit"],
            _ => &["forged"],
        };
        assert!(expected.contains(&name), "bit {bit}: {name}");
    }
    for length in 0..packet.len() {
        let name = responder.open(START, &packet[..length]).unwrap_err().name();
        let expected = if length < 32 { "truncated" } else { "forged" };
        assert_eq!(name, expected, "{length} octets");
    }
    let longer = [&packet[..], &[0]].concat();
    assert_eq!(responder.open(START, &longer), Err(OpenError::Forged));
    // none of it has changed anything
    assert!(!responder.is_confirmed());
    assert_eq!(responder.receipt(), Receipt::default());
    assert!(responder.open(START, &packet).is_ok());
}

#[test]
fn reflected_mixed_and_foreign_packets_are_refused() {
    let (mut initiator, mut responder) = mixed(1, &settings());
    let (mut other, mut other_responder) = mixed(2, &settings());
    let one = initiator.seal(START, b"one").unwrap();
    let two = initiator.seal(START, b"two").unwrap();
    // back to who has sent it, as it is and with the index it would want
    assert_eq!(initiator.open(START, &one), Err(OpenError::WrongIndex));
    let mut reflected = one.clone();
    reflected[4..8].copy_from_slice(&initiator.index().octets());
    assert_eq!(initiator.open(START, &reflected), Err(OpenError::Forged));
    // one's header before another's ciphertext
    let spliced = [&one[..16], &two[16..]].concat();
    assert_eq!(responder.open(START, &spliced), Err(OpenError::Forged));
    // of another session with the same indexes
    let foreign = other.seal(START, b"one").unwrap();
    assert_eq!(foreign[..16], one[..16]);
    assert_eq!(responder.open(START, &foreign), Err(OpenError::Forged));
    assert_eq!(other_responder.open(START, &one), Err(OpenError::Forged));
}

#[test]
fn packets_may_come_in_any_order_within_8192() {
    // Arrange
    let (mut initiator, mut responder) = mixed(1, &settings());
    let mut packets: Vec<_> = (0..8_193)
        .map(|_| initiator.seal(START, b"x").unwrap())
        .collect();
    // Act: backwards
    packets.reverse();
    let mut results = packets.iter().map(|packet| responder.open(START, packet));
    // Assert
    assert!(results.by_ref().take(8_192).all(|result| result.is_ok()));
    assert_eq!(results.next(), Some(Err(OpenError::TooOld)));
    for packet in &packets[..8_192] {
        assert_eq!(responder.open(START, packet), Err(OpenError::Replayed));
    }
    let receipt = responder.receipt();
    assert_eq!((receipt.highest, receipt.received), (8_192, 8_192));
}

#[test]
fn a_session_ends_before_its_counter_does() {
    assert!(settings().reject_packets <= 1 << 60);
    let limited = SessionSettings {
        reject_packets: 3,
        ..settings()
    };
    let (mut initiator, _) = mixed(1, &limited);
    let (_, mut strict) = mixed(
        1,
        &SessionSettings {
            reject_packets: 2,
            ..limited
        },
    );
    for counter in 0..3 {
        assert!(!initiator.is_dead(START));
        let packet = initiator.seal(START, b"x").unwrap();
        let opened = strict.open(START, &packet).map(|_| ());
        let expected = if counter < 2 {
            Ok(())
        } else {
            Err(OpenError::Exhausted)
        };
        assert_eq!(opened, expected);
    }
    for _ in 0..3 {
        assert_eq!(initiator.seal(START, b"x"), Err(SealError::Exhausted));
    }
    assert!(initiator.is_dead(START));
    assert_eq!(initiator.sealed(), 3);
}

#[test]
fn a_session_is_dead_after_two_hours() {
    let (mut initiator, mut responder) = mixed(1, &settings());
    let end = START + Duration::from_secs(7_200);
    let before = end - Duration::from_micros(1);
    let packet = initiator.seal(before, b"x").unwrap();
    assert!(!responder.is_dead(before));
    assert_eq!(responder.open(end, &packet), Err(OpenError::Expired));
    assert_eq!(initiator.seal(end, b"x"), Err(SealError::Expired));
    assert!(responder.is_dead(end) && initiator.is_dead(end));
}

#[test]
fn what_fits_no_datagram_is_refused_and_uses_no_counter() {
    let (mut initiator, mut responder) = mixed(1, &settings());
    let longest = vec![7; MAX_PLAINTEXT];
    assert_eq!(
        initiator.seal(START, &[&longest[..], &[7]].concat()),
        Err(SealError::TooLong)
    );
    let packet = initiator.seal(START, &longest).unwrap();
    assert_eq!(packet[8..16], [0; 8]);
    assert_eq!(packet.len(), 65_507);
    assert_eq!(responder.open(START, &packet), Ok((Epoch(1), longest)));
    let oversized = [&packet[..], &[0]].concat();
    assert_eq!(
        responder.open(START, &oversized).unwrap_err().name(),
        "oversized"
    );
}

#[test]
fn the_responder_stays_in_epoch_0_until_the_initiator_has_shown_that_it_has_the_keys() {
    // Arrange
    let (mut initiator, mut responder) = sessions(1, PostQuantum::Required, &settings());
    let secret = || SharedSecret::new([7; 32]);
    let question = initiator.seal(START, b"key").unwrap();
    assert_eq!(responder.open(START, &question).unwrap().0, Epoch(0));
    assert!(!responder.is_ready() && !initiator.is_ready());
    // Act: the answer is lost, the question comes again
    responder.mix(START, &secret()).unwrap();
    let lost = responder.seal(START, b"ciphertext").unwrap();
    let again = initiator.seal(START, b"key").unwrap();
    assert_eq!(responder.open(START, &again).unwrap().0, Epoch(0));
    assert_eq!(responder.mix(START, &secret()), Err(MixError::Already));
    let answer = responder.seal(START, b"ciphertext").unwrap();
    assert_eq!(initiator.open(START, &answer).unwrap().0, Epoch(0));
    initiator.mix(START, &secret()).unwrap();
    assert_eq!(initiator.mix(START, &secret()), Err(MixError::Already));
    // Assert
    assert!(initiator.is_ready() && !responder.is_ready());
    let data = initiator.seal(START, b"data").unwrap();
    assert_eq!(responder.open(START, &data).unwrap().0, Epoch(1));
    assert!(responder.is_ready());
    let data = responder.seal(START, b"data").unwrap();
    assert_eq!(initiator.open(START, &data).unwrap().0, Epoch(1));
    // what was on its way still arrives
    assert_eq!(initiator.open(START, &lost).unwrap().0, Epoch(0));
}

#[test]
fn without_the_shared_secret_nothing_of_epoch_1_opens() {
    let (mut initiator, mut responder) = sessions(1, PostQuantum::Required, &settings());
    responder.mix(START, &SharedSecret::new([7; 32])).unwrap();
    initiator.mix(START, &SharedSecret::new([8; 32])).unwrap();
    let packet = initiator.seal(START, b"data").unwrap();
    assert_eq!(responder.open(START, &packet), Err(OpenError::Forged));
    let (mut initiator, mut responder) = sessions(1, PostQuantum::Required, &settings());
    initiator.mix(START, &SharedSecret::new([8; 32])).unwrap();
    let packet = initiator.seal(START, b"data").unwrap();
    assert_eq!(responder.open(START, &packet), Err(OpenError::UnknownEpoch));
}

#[test]
fn without_ml_kem_the_first_packet_confirms_and_nothing_is_mixed() {
    let (mut initiator, mut responder) = sessions(1, PostQuantum::Off, &settings());
    assert!(initiator.is_ready() && !responder.is_ready());
    assert_eq!(
        initiator.mix(START, &SharedSecret::new([7; 32])),
        Err(MixError::NotAgreed)
    );
    let packet = initiator.seal(START, b"data").unwrap();
    assert_eq!(responder.open(START, &packet).unwrap().0, Epoch(1));
    assert!(responder.is_ready() && responder.is_confirmed());
}

#[test]
fn the_two_directions_have_different_keys() {
    let (initiator, responder) = mixed(1, &settings());
    let keys = BTreeSet::from([*initiator.sending_key(), *responder.sending_key()]);
    assert_eq!(keys.len(), 2);
    assert_eq!(initiator.index(), index(0x1111));
}
