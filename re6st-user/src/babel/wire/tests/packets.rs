//! RFC 8966 section 4.2 and 4.6: whole packets, and each TLV by itself.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{SOURCE, check, hello, hex, key, packet, read, router};
use crate::babel::{
    message::{EchoedTimestamps, Message},
    quantities::{Interval, Metric, SequenceNumber},
    wire::{PacketError, PacketParts, decode},
};

#[test]
fn a_packet_with_a_wrong_header_is_dropped_whole() {
    let rows: [(&str, &str, PacketError); 7] = [
        ("", "no octet at all", PacketError::TooShort),
        ("2a 02 00", "a header cut off", PacketError::TooShort),
        ("2b 02 0000", "another magic", PacketError::BadMagic),
        ("2a 01 0000", "version 1", PacketError::BadVersion),
        ("2a 03 0000", "version 3", PacketError::BadVersion),
        (
            "2a 02 0001",
            "a body that is not there",
            PacketError::Truncated,
        ),
        // FRR issue 10502: the packet that read beyond its end
        (
            "2a 02 002a 02",
            "a body of one octet for 42",
            PacketError::Truncated,
        ),
    ];
    for (octets, what, error) in rows {
        assert_eq!(decode(&hex(octets), SOURCE).err(), Some(error), "{what}");
    }
}

/// RFC 8966 section 4.2.
#[test]
fn a_packet_from_beyond_the_link_is_dropped_whole() {
    let packet = packet(&hex(super::HELLO));

    for source in ["2001:db8::1", "::1", "ff02::1:6", "::"] {
        let source: Ipv6Addr = source.parse().expect("an address");

        assert_eq!(
            decode(&packet, source).err(),
            Some(PacketError::NotLinkLocal)
        );
    }
}

/// RFC 8966 section 4.2: a trailer has Pad1, PadN and MACs; nothing in it is a message.
#[test]
fn tlvs_of_the_trailer_are_not_messages() {
    let mut packet = packet(&[]);
    packet.extend_from_slice(&hex(
        "04 06 0000 0005 0190  00  01 02 0000  10 02 abcd  10 00  10 09 ff",
    ));

    let mut decoded = decode(&packet, SOURCE).expect("a packet");

    assert_eq!(decoded.next(), None);
    let macs: Vec<&[u8]> = decoded.frame().macs().collect();
    assert_eq!(macs, [&[0xab, 0xcd][..], &[]], "the last MAC is cut off");
}

/// RFC 8966 section 4.6.
#[test]
fn each_tlv_is_read() {
    let i_heard_you = |address, timestamps| Message::IHeardYou {
        address,
        reception_cost: Metric(96),
        interval: Interval(1200),
        timestamps,
    };
    let request = |route| Message::SequenceNumberRequest {
        route,
        router_id: router(9),
        sequence_number: SequenceNumber(8),
        hop_count: 127,
    };
    check(&[
        (
            "4.6.1 Pad1, 4.6.2 PadN",
            "00 00  01 00  01 03 000000",
            vec![],
            &[],
        ),
        (
            "4.6.3",
            "02 06 0000 beef 0190",
            vec![Message::AcknowledgmentRequest {
                opaque: 0xbeef,
                interval: Interval(400),
            }],
            &[],
        ),
        (
            "4.6.4",
            "03 02 beef",
            vec![Message::Acknowledgment { opaque: 0xbeef }],
            &[],
        ),
        ("4.6.5", super::HELLO, vec![hello()], &[]),
        (
            "4.6.5: the flag unicast; other flags are ignored (FRR dropped such Hellos); interval 0",
            "04 06 ffff 0005 0000",
            vec![Message::Hello {
                unicast: true,
                sequence_number: SequenceNumber(5),
                interval: Interval::UNSCHEDULED,
                timestamp: None,
            }],
            &[],
        ),
        (
            "4.6.6: reserved octets are ignored",
            "05 06 00 ff 0060 04b0",
            vec![i_heard_you(None, None)],
            &[],
        ),
        (
            "4.6.6",
            "05 0e 03 00 0060 04b0 0000 0000 0000 0001",
            vec![i_heard_you(Some(SOURCE.into()), None)],
            &[],
        ),
        (
            "4.6.6",
            "05 0a 01 00 0060 04b0 c0000201",
            vec![i_heard_you(Some(Ipv4Addr::new(192, 0, 2, 1).into()), None)],
            &[],
        ),
        (
            "RFC 9616 section 3.2",
            "05 10 00 00 0060 04b0 |timestamps| 03 08 00000011 00000022",
            vec![i_heard_you(
                None,
                Some(EchoedTimestamps {
                    origin: 0x11,
                    received: 0x22,
                }),
            )],
            &[],
        ),
        (
            "4.6.10",
            "09 02 00 00",
            vec![Message::RouteRequest { route: None }],
            &[],
        ),
        (
            "4.6.10",
            "09 08 02 30 20010db80042",
            vec![Message::RouteRequest {
                route: Some(key("2001:db8:42::/48")),
            }],
            &[],
        ),
        (
            "4.6.11",
            "0a 14 02 30 0008 7f 00 0000000000000009 20010db80042",
            vec![request(key("2001:db8:42::/48"))],
            &[],
        ),
        (
            "RFC 9229: requests of address encoding 1 and 4 are about the same routes",
            "0a 11 01 18 0008 7f 00 0000000000000009 0a2a01  0a 11 04 18 0008 7f 00 0000000000000009 0a2a01",
            vec![request(key("10.42.1.0/24")); 2],
            &[],
        ),
        (
            "ours",
            "e0 06 0000 01020304",
            vec![Message::Probe { token: 0x0102_0304 }],
            &[],
        ),
        (
            "ours",
            "e1 06 0000 01020304",
            vec![Message::ProbeReply { token: 0x0102_0304 }],
            &[],
        ),
        (
            "ours",
            "e2 14 3e 02 0190 0000000000000001 0000000000000002",
            vec![Message::Digest {
                first: 62,
                interval: Interval(400),
                blocks: vec![1, 2],
            }],
            &[],
        ),
        (
            "ours",
            "e3 08 8000000000000001",
            vec![Message::DigestMismatch {
                blocks: 1 << 63 | 1,
            }],
            &[],
        ),
    ]);
}

/// RFC 8967 section 6: authentication reads them; they are neither messages nor unknown.
#[test]
fn tlvs_of_authentication_are_passed_over() {
    let body = "11 06 00000007 abcd  12 02 0102  13 02 0304  11 04 00000008";

    assert_eq!(read(body), (vec![], vec![]));
    let packet = packet(&hex(body));
    let freshness = PacketParts::new(&packet).expect("a packet").freshness();
    assert_eq!(
        freshness.counter,
        Some((7, &[0xab, 0xcd][..])),
        "the first one counts"
    );
    assert_eq!(freshness.request, Some(&[1, 2][..]));
    assert_eq!(freshness.reply, Some(&[3, 4][..]));
}
