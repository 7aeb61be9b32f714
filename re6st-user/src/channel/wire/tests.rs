//! What is written is read the same; what is cut or unknown is refused or skipped, by name.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{
    Features, Message, Messages, Offer, PacketKind, SessionIndex,
    item::{ItemError, Items},
    message::{
        CIPHERTEXT, CloseReason, DocumentKind, ENCAPSULATION_KEY, Encapsulation, MAX_CLOSE_TEXT,
        MessageError, Receipt, TunnelTerms,
    },
};
use crate::channel::PostQuantum;

fn document_kind() -> impl Strategy<Value = DocumentKind> {
    prop_oneof![
        Just(DocumentKind::Parameters),
        Just(DocumentKind::Revocations),
        Just(DocumentKind::Successions),
    ]
}

fn socket_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

/// Messages of all kinds, with what they borrow leaked: a test ends soon.
fn message() -> impl Strategy<Value = Message<'static>> {
    let octets =
        || prop::collection::vec(any::<u8>(), 0..200).prop_map(|it| &*Box::leak(it.into()));
    let text = "[a-zé]{0,90}".prop_map(|it| &*Box::leak(it.into_boxed_str()));
    prop_oneof![
        (0..2_000_u16).prop_map(Message::Padding),
        (any::<bool>(), octets()).prop_map(|(unicast, packet)| Message::Babel { unicast, packet }),
        any::<u64>().prop_map(Message::Probe),
        (any::<u64>(), any::<u32>())
            .prop_map(|(echoed, waited)| Message::ProbeReply { echoed, waited }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(highest, received)| Message::Receipt(Receipt { highest, received })),
        any::<u8>().prop_map(|octet| {
            Message::EncapsulationKey(Box::leak(Box::new([octet; ENCAPSULATION_KEY])))
        }),
        any::<u8>().prop_map(|octet| Message::Ciphertext(Box::leak(Box::new([octet; CIPHERTEXT])))),
        (any::<u32>(), any::<u16>(), 2..u8::MAX, any::<[bool; 4]>()).prop_map(
            |(key, largest, other, flags)| {
                let [has_yours, behind_nat, complete, open] = flags;
                Message::Tunnel(TunnelTerms {
                    key,
                    largest,
                    encapsulation: match other % 2 {
                        0 => Encapsulation::Fou,
                        _ => Encapsulation::Other(other),
                    },
                    has_yours,
                    behind_nat,
                    complete,
                    open,
                })
            }
        ),
        (any::<u64>(), any::<u64>()).prop_map(|(parameters, revocations)| Message::Have {
            parameters,
            revocations
        }),
        (document_kind(), any::<u64>(), any::<u32>()).prop_map(|(kind, number, offset)| {
            Message::Want {
                kind,
                number,
                offset,
            }
        }),
        (
            document_kind(),
            any::<u64>(),
            any::<u32>(),
            any::<u32>(),
            octets()
        )
            .prop_map(|(kind, number, offset, total, octets)| Message::Piece {
                kind,
                number,
                offset,
                total,
                octets
            }),
        (0..=8_u8, text).prop_map(|(reason, text)| Message::Close {
            reason: [
                CloseReason::ShutDown,
                CloseReason::NotWanted,
                CloseReason::Expired,
                CloseReason::Revoked,
                CloseReason::NotAuthorised,
                CloseReason::Full,
                CloseReason::NoTunnel,
                CloseReason::Other(0),
                CloseReason::Other(77),
            ][usize::from(reason)],
            text
        }),
        (any::<u32>(), any::<u16>()).prop_map(|(id, size)| Message::PathProbe { id, size }),
        any::<u32>().prop_map(|id| Message::PathProbeReply { id }),
        socket_address().prop_map(Message::SeenAt),
    ]
}

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written(messages in prop::collection::vec(message(), 0..8)) {
        let mut packet = Vec::new();
        for message in &messages {
            let begin = packet.len();
            message.encode(&mut packet);
            prop_assert_eq!(packet.len() - begin, message.encoded_length());
        }
        let read = Messages::new(&packet).collect::<Result<Vec<_>, _>>();
        prop_assert_eq!(read, Ok(messages));
    }

    #[test]
    fn a_message_that_is_cut_is_refused_by_name_and_none_follows(message in message(), cut in any::<prop::sample::Index>()) {
        let mut packet = Vec::new();
        message.encode(&mut packet);
        let length = 1 + cut.index(packet.len() - 1);
        let mut read = Messages::new(&packet[..length]);
        prop_assert_eq!(read.next(), Some(Err(MessageError::Truncated(message.kind()))));
        prop_assert_eq!(read.next(), None);
    }

    #[test]
    fn whatever_stands_in_a_packet_is_read_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let read = Messages::new(&octets).take(octets.len() + 1);
        prop_assert!(read.count() <= octets.len());
        let _ = Items::parse(&octets);
        let _ = PacketKind::of(&octets);
    }

    #[test]
    fn items_are_read_as_they_were_written(
        certificate in prop::collection::vec(any::<u8>(), 0..2_000),
        version in 1..=u8::MAX,
        features in any::<u32>(),
        policy in 0..3_usize,
        index in prop::option::of(1..=u32::MAX),
        seen_at in prop::option::of(socket_address()),
    ) {
        let items = Items {
            certificate: &certificate,
            offer: Offer {
                version,
                features: Features(features),
                post_quantum: [PostQuantum::Off, PostQuantum::Preferred, PostQuantum::Required][policy],
                seen_at,
            },
            index: index.and_then(SessionIndex::new),
        };
        let payload = items.encode();
        prop_assert_eq!(Items::parse(&payload), Ok(items));
    }
}

#[test]
fn unknown_messages_are_skipped_and_what_a_later_release_adds_is_ignored() {
    // a type of tomorrow, and a probe with a field of tomorrow
    let packet = [
        &[200, 0, 2, 1, 2][..],
        &[2, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7, 99],
        &[12, 0, 0],
    ]
    .concat();
    let read = Messages::new(&packet).collect::<Result<Vec<_>, _>>();
    let expected = vec![
        Message::Unknown(200),
        Message::Probe(7),
        Message::Unknown(12),
    ];
    assert_eq!(read, Ok(expected));
}

#[test]
fn a_value_that_its_type_does_not_want_is_malformed() {
    let refused: [&[u8]; 12] = [
        &[1, 0, 0],
        &[1, 0, 1, 2],
        &[2, 0, 7, 0, 0, 0, 0, 0, 0, 0],
        &[5, 0, 3, 1, 2, 3],
        &[6, 0, 0],
        &[7, 0, 2, 0, 0],
        &[10, 0, 13, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[11, 0, 4, 1, 0, 0, 0],
        &[13, 0, 0],
        &[13, 0, 2, 1, 0xff],
        &[16, 0, 7, 5, 0, 0, 0, 0, 0, 0],
        &[16, 0, 7, 6, 0, 0, 0, 0, 0, 0],
    ];
    for packet in refused {
        let read = Messages::new(packet).next();
        assert_eq!(
            read,
            Some(Err(MessageError::Malformed(packet[0]))),
            "{packet:?}"
        );
    }
}

#[test]
fn a_text_of_close_is_cut_between_characters_and_a_longer_one_is_refused() {
    let text = "é".repeat(MAX_CLOSE_TEXT);
    let reason = CloseReason::ShutDown;
    let mut packet = Vec::new();
    Message::Close {
        reason,
        text: &text,
    }
    .encode(&mut packet);
    let expected = Message::Close {
        reason,
        text: &text[..MAX_CLOSE_TEXT],
    };
    assert_eq!(Messages::new(&packet).next(), Some(Ok(expected)));
    let longer = [&[13, 0, 202, 1][..], &[b'x'; 201]].concat();
    let read = Messages::new(&longer).next();
    assert_eq!(read, Some(Err(MessageError::Malformed(13))));
}

#[test]
fn only_what_leads_to_epoch_1_may_precede_it() {
    let allowed = [
        Message::Padding(3),
        Message::EncapsulationKey(&[0; ENCAPSULATION_KEY]),
        Message::Ciphertext(&[0; CIPHERTEXT]),
        Message::Tunnel(TunnelTerms {
            key: 1,
            largest: 1420,
            encapsulation: Encapsulation::Fou,
            has_yours: false,
            behind_nat: false,
            complete: false,
            open: false,
        }),
        Message::Close {
            reason: CloseReason::Revoked,
            text: "",
        },
    ];
    assert!(allowed.iter().all(Message::may_precede_post_quantum));
    let data = Message::Babel {
        unicast: false,
        packet: &[],
    };
    assert!(!data.may_precede_post_quantum());
    assert!(!Message::Probe(1).may_precede_post_quantum());
}

/// A payload with all that must be there.
fn payload() -> Vec<u8> {
    let items = Items {
        certificate: b"c",
        offer: Offer::ours(PostQuantum::Preferred),
        index: None,
    };
    items.encode()
}

#[test]
fn unknown_items_are_skipped_unless_they_must_be_understood() {
    let with = |item: &[u8]| [&payload()[..], item].concat();
    let skipped = with(&[0x12, 0x34, 0, 2, 9, 9]);
    assert_eq!(Items::parse(&skipped), Items::parse(&payload()));
    assert!(Items::parse(&skipped).is_ok());
    let cases: [(&[u8], ItemError); 7] = [
        (&[0x80, 0x01, 0, 0], ItemError::Mandatory(0x8001)),
        (&[0, 1, 0, 1, b'd'], ItemError::Repeated(1)),
        (&[0, 5, 0, 1, 3], ItemError::Malformed(5)),
        (&[0, 3, 0, 4, 0, 0, 0, 0], ItemError::Malformed(3)),
        (&[0, 4, 0, 1, 4], ItemError::Malformed(4)),
        (&[0, 9, 0, 2, 1], ItemError::Malformed(9)),
        (&[0], ItemError::Malformed(0)),
    ];
    for (item, error) in cases {
        assert_eq!(Items::parse(&with(item)), Err(error), "{item:?}");
    }
    assert_eq!(Items::parse(&[]), Err(ItemError::Missing(2)));
    let no_version_0 = [0, 2, 0, 5, 0, 0, 0, 0, 0];
    assert_eq!(Items::parse(&no_version_0), Err(ItemError::Malformed(2)));
}
