//! What babeld and BIRD have signed.

use crate::babel::{
    authentication::{Algorithm, Key, Keys, Rejected, tests::Speaker},
    wire::{PacketParts, tests::capture::captures},
};

/// Of all captures that have one.
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

#[test]
fn all_macs_of_live_speakers_fit() {
    let mut count = 0;
    for (name, captured) in captures("live") {
        let algorithm = match name.split_once('.') {
            Some(("hmac-sha256", _)) => Algorithm::HmacSha256,
            Some(("blake2s128", _)) => Algorithm::Blake2s128,
            _ => continue,
        };
        let key = Key::new(algorithm, KEY).expect("a key");
        for sent in captured
            .iter()
            .filter_map(|captured| captured.packet.as_ref())
        {
            let frame = PacketParts::new(&sent.octets).expect("a packet");
            let mac = key.mac(frame.signed, sent.source, sent.destination);

            let macs: Vec<&[u8]> = frame.macs().collect();

            assert_eq!(macs, [mac.octets()], "{name}");
            assert!(frame.freshness().counter.is_some(), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 188);
}

/// A third speaker on the link hears both, and takes nothing that is not signed with its key.
#[test]
fn packets_of_live_speakers_are_taken_or_not_by_their_keys() {
    for (name, captured) in captures("live") {
        let keys = |secret| Keys {
            sign: Vec::new(),
            accept: [Algorithm::HmacSha256, Algorithm::Blake2s128]
                .into_iter()
                .map(|algorithm| Key::new(algorithm, secret).expect("a key"))
                .collect(),
        };
        let mut member = Speaker::new(super::BOB, keys(KEY));
        let mut stranger = Speaker::new(super::BOB, keys(&KEY[1..]));
        let signed = name.starts_with("hmac") || name.starts_with("blake");
        for sent in captured
            .iter()
            .filter_map(|captured| captured.packet.as_ref())
        {
            let hears = |speaker: &mut Speaker| {
                let verdict =
                    speaker.receive(super::START, &sent.octets, sent.source, sent.destination);
                verdict.accepted
            };

            let expected = if signed {
                Rejected::Unknown
            } else {
                Rejected::NoMac
            };
            assert_eq!(hears(&mut member), Err(expected), "{name}");
            let expected = if signed {
                Rejected::WrongMac
            } else {
                Rejected::NoMac
            };
            assert_eq!(hears(&mut stranger), Err(expected), "{name}");
        }
    }
}
