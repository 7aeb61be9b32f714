//! RFC 8967 sections 4.1 and 5: MACs and the keys that make them.

use super::{ANNE, BOB, GROUP, Message, Speaker, introduce, key, keys, later, pair};
use crate::babel::{
    authentication::{Algorithm, Key, Rejected},
    wire::PacketWriter,
};

/// Keys other speakers have: babeld takes HMAC-SHA256 keys up to a block, BLAKE2s has no longer ones.
#[test]
fn keys_have_a_length() {
    let rows = [
        (Algorithm::HmacSha256, 0, false),
        (Algorithm::HmacSha256, 1, true),
        (Algorithm::HmacSha256, 64, true),
        (Algorithm::HmacSha256, 65, false),
        (Algorithm::Blake2s128, 0, false),
        (Algorithm::Blake2s128, 1, true),
        (Algorithm::Blake2s128, 32, true),
        (Algorithm::Blake2s128, 33, false),
    ];
    for (algorithm, length, good) in rows {
        let key = Key::new(algorithm, &vec![7; length]);

        assert_eq!(key.is_ok(), good, "{algorithm}, {length} octets");
    }
    let error = Key::new(Algorithm::Blake2s128, &[7; 33]).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "a key of 33 octets: blake2s128 takes 1 to 32"
    );
}

#[test]
fn keys_are_not_shown() {
    let (anne, _) = pair();

    assert_eq!(format!("{:?}", key("secret")), "Key(blake2s128)");
    assert!(!format!("{:?}", anne.authentication).contains("one"));
}

#[test]
fn only_who_has_a_key_is_heard() {
    let mut anne = Speaker::new(ANNE, keys(&["one", "two"], &[]));
    let mut eve = Speaker::new(ANNE, keys(&["three"], &[]));
    let mut nobody = Speaker::new(ANNE, keys(&[], &[]));
    let mut bob = Speaker::new(BOB, keys(&["one"], &["two"]));

    let mut takes = |speaker: &mut Speaker| {
        let packet = speaker.send(GROUP);
        bob.takes(&packet, speaker, GROUP)
    };

    assert_eq!(takes(&mut eve), Err(Rejected::WrongMac));
    assert_eq!(takes(&mut nobody), Err(Rejected::NoMac));
    assert_eq!(
        takes(&mut anne),
        Err(Rejected::Unknown),
        "the MAC fits: she is challenged"
    );
}

/// RFC 8967 section 4.1: the MAC covers addresses, header and body; not the trailer, which others may have added to.
#[test]
fn what_was_signed_cannot_be_changed() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    let mut writer = PacketWriter::new(100, ANNE);
    writer
        .push(&Message::Acknowledgment { opaque: 7 })
        .expect("room");
    let packet = anne.sign(writer.finish(), BOB);

    assert_eq!(
        bob.takes(&packet, &anne, GROUP),
        Err(Rejected::WrongMac),
        "to another"
    );
    let eve = Speaker::new("fe80::e".parse().expect("an address"), keys(&[], &[]));
    assert_eq!(
        bob.takes(&packet, &eve, BOB),
        Err(Rejected::WrongMac),
        "from another"
    );
    for octet in 4..packet.len() {
        for bit in 0..8 {
            let mut changed = packet.clone();
            changed[octet] ^= 1 << bit;
            assert!(bob.takes(&changed, &anne, BOB).is_err(), "octet {octet}");
        }
    }
    let mut longer = packet;
    longer.extend_from_slice(&[1, 1, 0, 0, 16, 3, 1, 2, 3]);
    assert_eq!(
        bob.takes(&longer, &anne, BOB),
        Ok(()),
        "padding and a foreign MAC behind"
    );
}

/// RFC 8967 section 5: while both keys are around, all packets arrive.
#[test]
fn keys_are_changed_without_losing_a_packet() {
    let (mut anne, mut bob) = pair();
    introduce(&mut anne, &mut bob, later(0));
    introduce(&mut bob, &mut anne, later(1000));
    let steps: [(&[&str], &[&str]); 5] = [
        (&["one"], &["one"]),
        (&["one"], &["one", "two"]),
        (&["one", "two"], &["one", "two"]),
        (&["two"], &["one", "two"]),
        (&["two"], &["two"]),
    ];

    // one after the other takes each step
    for (sign, accept) in steps {
        for annes_turn in [true, false] {
            let speaker = if annes_turn { &mut anne } else { &mut bob };
            speaker.authentication.set_keys(keys(sign, accept));

            for destination in [GROUP, BOB] {
                let packet = anne.send(destination);
                assert_eq!(bob.takes(&packet, &anne, destination), Ok(()), "{sign:?}");
            }
            let packet = bob.send(GROUP);
            assert_eq!(anne.takes(&packet, &bob, GROUP), Ok(()), "{sign:?}");
        }
    }

    anne.authentication.set_keys(keys(&["one"], &["one"]));
    let packet = anne.send(GROUP);
    assert_eq!(
        bob.takes(&packet, &anne, GROUP),
        Err(Rejected::WrongMac),
        "the old key is gone"
    );
}

/// Also of different kinds at once.
#[test]
fn a_packet_has_a_mac_of_each_key() {
    let hmac = Key::new(Algorithm::HmacSha256, b"two").expect("a key");
    let mut all = keys(&["one"], &[]);
    all.sign.push(hmac.clone());
    let mut anne = Speaker::new(ANNE, all);
    let mut only_hmac = keys(&[], &[]);
    only_hmac.accept.push(hmac);
    let mut bob = Speaker::new(BOB, only_hmac);

    let packet = anne.send(GROUP);

    let frame = super::PacketParts::new(&packet).expect("a packet");
    let lengths: Vec<usize> = frame.macs().map(<[u8]>::len).collect();
    assert_eq!(lengths, [16, 32]);
    assert_eq!(bob.takes(&packet, &anne, GROUP), Err(Rejected::Unknown));
}

/// What a key is kept as wipes itself. HMAC is two states of its hash, and does not say so of itself.
#[test]
fn keys_are_wiped() {
    fn wiped<T: blake2::digest::zeroize::ZeroizeOnDrop>() {}

    wiped::<sha2::Sha256>();
    wiped::<blake2::Blake2sMac<blake2::digest::consts::U16>>();
}
