//! How short packets are (RFC 8966 section 4.5 from the sender's side), and what is refused.

use std::net::Ipv4Addr;

use super::{SOURCE, announced, hello, hex, key, packet, retracted, router, update};
use crate::babel::{
    message::{Message, NextHop, Update},
    quantities::{Interval, Metric, SequenceNumber},
    wire::{PacketWriter, PushError},
};

fn written(messages: &[Message]) -> Vec<u8> {
    let mut writer = PacketWriter::new(1400, SOURCE);
    for message in messages {
        assert_eq!(writer.push(message), Ok(()), "{message:?}");
    }
    writer.finish()
}

#[track_caller]
fn check(messages: &[Message], body: &str) {
    assert_eq!(written(messages), packet(&hex(body)));
}

/// An announced route by way of 192.0.2.1.
fn by_ipv4(to: &str) -> Message {
    Message::Update(Update {
        next_hop: Some(NextHop::Ipv4(Ipv4Addr::new(192, 0, 2, 1))),
        ..update(to)
    })
}

#[test]
fn a_router_id_serves_all_updates_that_follow() {
    check(
        &[announced("::/0"), announced("::/0")],
        "06 0a 0000 0000000000000001  08 0a 02 00 00 00 0640 0007 0060  08 0a 02 00 00 00 0640 0007 0060",
    );
}

#[test]
fn octets_the_default_prefix_has_are_omitted() {
    check(
        &[
            announced("2001:db8:42:1::/64"),
            announced("2001:db8:42:2::/64"),
            announced("2001:db8:42::/48"),
            announced("2001:db8:42:2::/64"),
        ],
        "06 0a 0000 0000000000000001  08 12 02 80 40 00 0640 0007 0060 20010db800420001
         08 0b 02 80 40 07 0640 0007 0060 02  08 0a 02 00 30 06 0640 0007 0060  08 0a 02 00 40 08 0640 0007 0060",
    );
}

#[test]
fn next_hops_are_written_where_they_are_not_known() {
    check(
        &[
            announced("::/0"),
            by_ipv4("10.42.1.0/24"),
            by_ipv4("10.42.2.0/24"),
        ],
        "06 0a 0000 0000000000000001  08 0a 02 00 00 00 0640 0007 0060
         07 06 01 00 c0000201  08 0d 01 80 18 00 0640 0007 0060 0a2a01  08 0b 01 80 18 02 0640 0007 0060 02",
    );
}

/// RFC 9229 section 3.
#[test]
fn an_ipv4_route_with_an_ipv6_next_hop_has_encoding_4() {
    check(
        &[announced("10.42.1.0/24")],
        "06 0a 0000 0000000000000001  08 0d 04 80 18 00 0640 0007 0060 0a2a01",
    );
}

#[test]
fn retractions_are_short() {
    check(
        &[retracted("10.42.1.0/24"), Message::RetractAll],
        "08 0d 01 80 18 00 0640 0007 ffff 0a2a01  08 0a 00 00 00 00 ffff 0000 ffff",
    );
    let with_origin = Message::Update(Update {
        metric: Metric::INFINITY,
        ..update("10.42.1.0/24")
    });
    check(&[with_origin], "08 0d 01 80 18 00 0640 0007 ffff 0a2a01");
}

/// What babeld and BIRD need: 12 octets of router-id and 12 to 13 of update.
#[test]
fn a_route_of_its_own_router_takes_25_octets_or_less() {
    let mut writer = PacketWriter::new(1400, SOURCE);
    let mut routes = 0;
    for number in 0..200_u8 {
        let update = Message::Update(Update {
            router_id: Some(router(number + 1)),
            ..update(&format!("2001:db8:42:{number:x}::/64"))
        });
        match writer.push(&update) {
            Ok(()) => routes += 1,
            Err(error) => {
                assert_eq!(error, PushError::Full);
                break;
            }
        }
    }
    assert!(routes >= 1390 / 25 - 1, "{routes} routes in a packet");
}

#[test]
fn what_does_not_fit_leaves_the_packet_as_it_was() {
    // 4 octets of header, 12 of router-id, 20 of update
    let mut writer = PacketWriter::new(36, SOURCE);
    assert_eq!(writer.push(&announced("2001:db8:42:1::/64")), Ok(()));
    let before = writer.clone();

    let other = Message::Update(Update {
        router_id: Some(router(2)),
        ..update("::/0")
    });
    assert_eq!(writer.push(&other), Err(PushError::Full));

    assert_eq!(writer.len(), 36);
    assert_eq!(writer.finish(), before.finish());
}

/// RFC 8966 section 4.2: the body's length has 16 bits.
#[test]
fn no_packet_is_longer_than_its_header_can_tell() {
    let mut writer = PacketWriter::new(usize::MAX, SOURCE);
    while writer.push(&hello()) == Ok(()) {}

    let packet = writer.finish();

    assert!(packet.len() <= 4 + 65_535);
    assert_eq!(
        super::decode(&packet, SOURCE).expect("a packet").count(),
        65_535 / 8
    );
}

/// RFC 9616 section 3.1: it is overwritten as late as possible.
#[test]
fn the_place_of_the_timestamp_is_known() {
    let with_timestamp = Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(5),
        interval: Interval(400),
        timestamp: Some(0),
    };
    let mut writer = PacketWriter::new(1400, SOURCE);
    assert!(writer.is_empty());
    assert_eq!(writer.push(&Message::Acknowledgment { opaque: 1 }), Ok(()));
    assert_eq!(writer.timestamp_at(), None);
    assert_eq!(writer.push(&with_timestamp), Ok(()));

    let place = writer.timestamp_at().expect("a timestamp");
    assert_eq!(
        writer.push(&with_timestamp),
        Err(PushError::Full),
        "a packet is sent once"
    );
    let mut packet = writer.finish();
    packet[place..place + 4].copy_from_slice(&[1, 2, 3, 4]);

    let last = super::decode(&packet, SOURCE).expect("a packet").last();
    assert!(matches!(
        last,
        Some(Message::Hello {
            timestamp: Some(0x0102_0304),
            ..
        })
    ));
}

#[test]
fn what_receivers_would_ignore_is_not_written() {
    let but = |change: fn(&mut Update)| {
        let mut update = update("2001:db8:42::/48");
        change(&mut update);
        Message::Update(update)
    };
    let digest = |first, count| Message::Digest {
        first,
        interval: Interval(400),
        blocks: vec![0; count],
    };
    let rows = [
        but(|update| update.router_id = None),
        but(|update| update.next_hop = None),
        but(|update| update.next_hop = Some(NextHop::Ipv4(Ipv4Addr::new(192, 0, 2, 1)))),
        but(|update| update.next_hop = Some(NextHop::Ipv6("ff02::1".parse().expect("an address")))),
        but(|update| update.interval = Interval(0)),
        Message::AcknowledgmentRequest {
            opaque: 1,
            interval: Interval(0),
        },
        Message::IHeardYou {
            address: None,
            reception_cost: Metric(96),
            interval: Interval(0),
            timestamps: None,
        },
        Message::SequenceNumberRequest {
            route: key("::/0"),
            router_id: router(1),
            sequence_number: SequenceNumber(1),
            hop_count: 0,
        },
        digest(0, 0),
        digest(0, 32),
        digest(34, 31),
    ];
    for message in rows {
        let mut writer = PacketWriter::new(1400, SOURCE);

        assert_eq!(
            writer.push(&message),
            Err(PushError::Illegal),
            "{message:?}"
        );

        assert!(writer.is_empty());
    }
}
