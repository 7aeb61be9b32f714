//! Keys change, and nobody notices.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::support::{START, mixed, sessions};
use crate::channel::{
    PostQuantum,
    post_quantum::SharedSecret,
    session::{Epoch, MAX_AHEAD, MAX_PAST, OpenError, SessionSettings},
};

const SECOND: Duration = Duration::from_secs(1);

fn every(packets: u64) -> SessionSettings {
    SessionSettings {
        ratchet_packets: packets,
        ..SessionSettings::default()
    }
}

#[test]
fn the_sender_changes_its_keys_after_two_minutes_or_a_million_packets() {
    let (mut initiator, _) = mixed(1, &SessionSettings::default());
    let later = START + Duration::from_secs(120);
    initiator
        .seal(later - Duration::from_micros(1), b"")
        .unwrap();
    assert_eq!(initiator.epochs().0, Epoch(1));
    initiator.seal(later, b"").unwrap();
    assert_eq!(initiator.epochs().0, Epoch(2));
    for _ in 1..1 << 20 {
        initiator.seal(later, b"").unwrap();
    }
    assert_eq!(initiator.epochs().0, Epoch(2));
    initiator.seal(later, b"").unwrap();
    assert_eq!(initiator.epochs().0, Epoch(3));
}

#[test]
fn in_epoch_0_no_keys_change_whatever_happens() {
    let (mut initiator, mut responder) = sessions(1, PostQuantum::Required, &every(1));
    for _ in 0..10 {
        let packet = initiator.seal(START + 600 * SECOND, b"").unwrap();
        let (epoch, _) = responder.open(START + 600 * SECOND, &packet).unwrap();
        assert_eq!(epoch, Epoch(0));
    }
}

#[test]
fn keys_of_before_are_kept_for_five_seconds() {
    let (mut initiator, mut responder) = mixed(1, &every(1));
    let early = initiator.seal(START, b"1").unwrap();
    let in_time = initiator.seal(START, b"1").unwrap();
    let next = initiator.seal(START, b"2").unwrap();
    assert_eq!(responder.open(START, &next).unwrap().0, Epoch(3));
    let end = START + 5 * SECOND;
    let before = end - Duration::from_micros(1);
    assert_eq!(responder.open(before, &in_time).unwrap().0, Epoch(2));
    assert_eq!(responder.next_deadline(), Some(end));
    assert_eq!(responder.open(end, &early), Err(OpenError::UnknownEpoch));
    responder.erase(end);
    assert_eq!(responder.next_deadline(), None);
}

#[test]
fn the_receiver_follows_as_far_as_it_looks_and_no_further() {
    for (lost, expected) in [(MAX_AHEAD - 1, None), (MAX_AHEAD, Some("unknown_epoch"))] {
        let (mut initiator, mut responder) = mixed(1, &every(1));
        let first = initiator.seal(START, b"").unwrap();
        responder.open(START, &first).unwrap();
        for _ in 0..lost {
            initiator.seal(START, b"").unwrap();
        }
        let packet = initiator.seal(START, b"").unwrap();
        let error = responder.open(START, &packet).err();
        assert_eq!(error.map(OpenError::name), expected, "{lost} lost");
    }
}

#[test]
fn a_forged_packet_of_a_later_epoch_moves_nothing() {
    let (mut initiator, mut responder) = mixed(1, &every(2));
    let mut packets = Vec::new();
    for _ in 0..40 {
        packets.push(initiator.seal(START, b"").unwrap());
    }
    responder.open(START, &packets[0]).unwrap();
    for label in 0..=u8::MAX {
        let mut forged = packets[1].clone();
        forged[1] = label;
        forged[20] ^= 1;
        let error = responder.open(START, &forged).unwrap_err();
        assert!(["forged", "unknown_epoch"].contains(&error.name()));
    }
    assert_eq!(responder.epochs().1, Epoch(1));
    for packet in &packets[1..] {
        assert!(responder.open(START, packet).is_ok());
    }
}

#[test]
fn labels_go_round_and_never_mean_epoch_0() {
    let (mut initiator, mut responder) = mixed(1, &every(1));
    for number in 1..=600 {
        let packet = initiator.seal(START, b"").unwrap();
        assert_eq!(packet[1], ((number - 1) % 255 + 1) as u8);
        assert_eq!(responder.open(START, &packet).unwrap().0, Epoch(number));
    }
}

/// A packet's way: lost together with so many that follow, or delayed by so many.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lost(usize),
    Delayed(usize),
}

/// Epochs in which nothing may come through: what is delayed before and after counts too.
const fn longest_outage() -> usize {
    MAX_AHEAD - 2 * MAX_PAST
}

fn ways(per_epoch: usize) -> impl Strategy<Value = Vec<Way>> {
    // a delayed packet must be no more than MAX_PAST epochs late
    let late = per_epoch * (MAX_PAST - 1);
    let outage = per_epoch * longest_outage();
    let way = prop_oneof![
        20 => (0..=late).prop_map(Way::Delayed),
        1 => (1..outage).prop_map(Way::Lost),
        1 => Just(Way::Lost(1)),
    ];
    prop::collection::vec(way, 1..300)
}

proptest! {
    /// Whatever comes through is opened, exactly once, in whatever order.
    #[test]
    fn ratchets_under_loss_reordering_and_duplication_lose_nothing(
        (per_epoch, ways) in (1..6_usize).prop_flat_map(|n| ways(n).prop_map(move |ways| (n, ways))),
        duplicate in any::<u64>(),
    ) {
        let (mut initiator, mut responder) = mixed(3, &every(per_epoch as u64));
        // confirmed, as before any data
        let first = initiator.seal(START, b"").unwrap();
        responder.open(START, &first).unwrap();
        let mut arrivals = Vec::new();
        let mut number = 0;
        let mut lost = 0;
        for way in ways {
            let (count, delay) = match way {
                // outages may follow one another
                Way::Lost(count) => (count.min(per_epoch * longest_outage() - lost), None),
                Way::Delayed(delay) => (1, Some(delay)),
            };
            lost = if delay.is_some() { 0 } else { lost + count };
            for _ in 0..count {
                let packet = initiator.seal(START, &usize::to_be_bytes(number)).unwrap();
                if let Some(delay) = delay {
                    arrivals.push((number + delay, number, packet));
                }
                number += 1;
            }
        }
        arrivals.sort();
        for (at, number, packet) in &arrivals {
            let (_, plaintext) = responder.open(START, packet)
                .map_err(|error| TestCaseError::fail(format!("{number} at {at}: {error}")))?;
            prop_assert_eq!(plaintext, number.to_be_bytes());
            if duplicate >> (number % 64) & 1 == 1 {
                prop_assert_eq!(responder.open(START, packet), Err(OpenError::Replayed));
            }
        }
        prop_assert_eq!(responder.receipt().received, 1 + arrivals.len() as u64);
    }

    /// Two sessions, both directions, any order of events: no key meets a counter twice, and no two directions or epochs share
    /// a key.
    #[test]
    fn nonces_are_never_repeated_and_keys_never_used_for_two_purposes(
        policies in prop::collection::vec(any::<bool>(), 2),
        events in prop::collection::vec((0..4_usize, 0..4_u8, 0..40_u64), 1..200),
    ) {
        let settings = SessionSettings { ratchet_after: 10 * SECOND, ..every(3) };
        let mut ends = Vec::new();
        for (seed, post_quantum) in policies.into_iter().enumerate() {
            let policy = if post_quantum { PostQuantum::Required } else { PostQuantum::Off };
            let (initiator, responder) = sessions(seed as u64, policy, &settings);
            ends.extend([initiator, responder]);
        }
        let mut now = START;
        let mut used = BTreeSet::new();
        let mut purposes = std::collections::BTreeMap::new();
        let mut on_the_way = vec![Vec::<Vec<u8>>::new(); 4];
        for (end, event, value) in events {
            let peer = end ^ 1;
            match event {
                0 => now = now + Duration::from_secs(value),
                1 => { let _ = ends[end].mix(now, &SharedSecret::new([end as u8 / 2; 32])); }
                2 => if let Some(packet) = on_the_way[end].pop() {
                    let _: Result<_, OpenError> = ends[end].open(now, &packet);
                },
                _ => {
                    let packet = ends[end].seal(now, b"x").unwrap();
                    let counter: [u8; 8] = packet[8..16].try_into().unwrap();
                    let key = *ends[end].sending_key();
                    prop_assert!(used.insert((key, counter)), "{} {:?}", end, counter);
                    let purpose = (end, ends[end].epochs().0);
                    prop_assert_eq!(*purposes.entry(key).or_insert(purpose), purpose);
                    on_the_way[peer].push(packet);
                }
            }
        }
    }
}
