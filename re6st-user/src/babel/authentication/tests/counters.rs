//! RFC 8967 section 4.3 and RFC 9467: each packet is taken once.

use super::{ANNE, BOB, GROUP, Speaker, introduce, keys, later, pair};
use crate::babel::{
    authentication::Rejected,
    wire::{self, PacketParts, PacketWriter},
};

#[test]
fn a_packet_is_taken_once() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    for destination in [GROUP, BOB] {
        let packet = anne.send(destination);

        assert_eq!(bob.takes(&packet, &anne, destination), Ok(()));
        assert_eq!(
            bob.takes(&packet, &anne, destination),
            Err(Rejected::Replayed)
        );
    }
    assert_eq!(bob.authentication.rejected(Rejected::Replayed), 2);
}

#[test]
fn packets_of_one_kind_are_taken_in_order() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let [first, second, _lost, fourth] = [GROUP; 4].map(|destination| anne.send(destination));

    assert_eq!(bob.takes(&second, &anne, GROUP), Ok(()));
    assert_eq!(bob.takes(&first, &anne, GROUP), Err(Rejected::Replayed));
    assert_eq!(
        bob.takes(&fourth, &anne, GROUP),
        Ok(()),
        "packets may be lost"
    );
}

/// RFC 9467 section 3.1: access points hold multicast back.
#[test]
fn unicast_may_overtake_multicast() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let multicast = anne.send(GROUP);
    let unicast = anne.send(BOB);

    assert_eq!(bob.takes(&unicast, &anne, BOB), Ok(()));
    assert_eq!(bob.takes(&multicast, &anne, GROUP), Ok(()));

    assert_eq!(bob.takes(&unicast, &anne, BOB), Err(Rejected::Replayed));
    assert_eq!(bob.takes(&multicast, &anne, GROUP), Err(Rejected::Replayed));
}

/// RFC 8967 section 4.2: no number comes twice under one index.
#[test]
fn when_numbers_run_out_another_index_begins() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    anne.authentication.counter = u32::MAX - 1;
    let last = anne.send(GROUP);
    assert_eq!(bob.takes(&last, &anne, GROUP), Ok(()));
    let index = anne.authentication.index;

    let after = anne.send(GROUP);

    assert_ne!(anne.authentication.index, index);
    let counter = PacketParts::new(&after)
        .expect("a packet")
        .freshness()
        .counter;
    assert_eq!(counter, Some((0, &anne.authentication.index[..])));
    assert_eq!(bob.takes(&after, &anne, GROUP), Err(Rejected::Unknown));
    introduce(&mut anne, &mut bob, later(1000));
    let packet = anne.send(GROUP);
    assert_eq!(bob.takes(&packet, &anne, GROUP), Ok(()));
}

/// RFC 8967 section 4.3: also if it is signed.
#[test]
fn a_packet_without_a_number_is_not_taken() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let mut packet = PacketWriter::new(100, ANNE).finish();
    let mac = super::key("one").mac(&packet, ANNE, BOB);
    wire::append_mac(&mut packet, mac.octets());

    assert_eq!(bob.takes(&packet, &anne, BOB), Err(Rejected::NoCounter));
}

#[test]
fn what_is_no_packet_is_neither_signed_nor_taken() {
    let mut anne = Speaker::new(ANNE, keys(&["one"], &["one"]));
    for octets in [&[][..], &[42, 2, 0], &[42, 2, 0, 1], &[41, 2, 0, 0]] {
        let mut packet = octets.to_vec();

        let signed = anne
            .authentication
            .sign(&mut packet, ANNE, GROUP, &mut |_| ());

        assert!(signed.is_err());
        let verdict = anne.receive(later(0), octets, BOB, GROUP);
        assert_eq!(verdict.accepted, Err(Rejected::Malformed));
    }
    let mut longest = vec![42, 2, 0xff, 0xff];
    longest.resize(4 + 0xffff, 0);
    let signed = anne
        .authentication
        .sign(&mut longest, ANNE, GROUP, &mut |_| ());
    assert!(signed.is_err());
}
