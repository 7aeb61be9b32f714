//! RFC 8966 section 4.4: what follows the fixed part of a TLV.

use super::{HELLO, announced, check, hello, update};
use crate::{
    babel::{
        message::{Message, Update},
        quantities::SequenceNumber,
        wire::Ignored,
    },
    route::RouteKey,
};

/// TLVs, each without its length, that end where sub-TLVs begin.
const TLVS: [(&str, &str); 14] = [
    ("acknowledgment request", "02 0000 beef 0190"),
    ("acknowledgment", "03 beef"),
    ("Hello", "04 0000 0005 0190"),
    ("IHU", "05 00 00 0060 04b0"),
    ("IHU with an address", "05 03 00 0060 04b0 0000000000000001"),
    ("router-id", "06 0000 0000000000000001"),
    ("next hop", "07 01 00 c0000201"),
    ("retraction", "08 02 00 00 00 0640 0007 ffff"),
    ("wildcard retraction", "08 00 00 00 00 0640 0007 ffff"),
    ("wildcard request", "09 00 00"),
    ("route request", "09 01 18 0a2a01"),
    ("seqno request", "0a 02 00 0008 7f 00 0000000000000009"),
    ("probe", "e0 0000 01020304"),
    ("mismatch", "e3 0000000000000001"),
];

/// The TLV with these sub-TLVs.
fn with(tlv: &str, sub_tlvs: &str) -> String {
    let (kind, body) = tlv.split_at(2);
    let body = format!("{body} {sub_tlvs}");
    format!("{kind} {:02x} {body}", super::hex(&body).len())
}

/// Padding, diversity (2), a timestamp too short to be one, an unknown one: several of them (a babeld before 1.12.2 did not
/// read on after the first), and of every TLV (FRR issue 13337).
#[test]
fn sub_tlvs_that_are_not_understood_are_skipped() {
    for (what, tlv) in TLVS {
        let plain = super::read(&with(tlv, ""));

        let more = super::read(&with(tlv, "00 01 02 0000 02 01 ff 03 02 0000 7f 00 00"));

        assert_eq!(more, plain, "{what}");
        assert_eq!(plain.1, [], "{what}");
    }
}

/// Also where it is only two octets long (FRR issue 22893), and where it is RFC 9079's in the wrong place.
#[test]
fn a_mandatory_sub_tlv_that_is_not_understood_makes_the_tlv_ignored() {
    for (what, tlv) in TLVS {
        for sub_tlvs in ["fe 00", "00 01 00 fe 00", "81 01 00", "ff 00"] {
            let body = format!("{} {HELLO}", with(tlv, sub_tlvs));
            check(&[(
                what,
                &body,
                vec![hello()],
                &[Ignored::UnknownMandatorySubTlv],
            )]);
        }
    }
    for (what, tlv) in TLVS
        .into_iter()
        .filter(|(_, tlv)| !["08 02", "09 01", "0a 02"].contains(&&tlv[..5]))
    {
        let body = format!("{} {HELLO}", with(tlv, "80 04 18 0a2a01"));
        check(&[(
            what,
            &body,
            vec![hello()],
            &[Ignored::UnknownMandatorySubTlv],
        )]);
    }
}

/// FRR read beyond the end of all of these (issue 10503).
#[test]
fn a_sub_tlv_longer_than_its_tlv_makes_it_ignored() {
    for (what, tlv) in TLVS {
        for sub_tlvs in ["03", "03 01", "01 02 00", "00 7f ff 00"] {
            let body = format!("{} {HELLO}", with(tlv, sub_tlvs));
            check(&[(what, &body, vec![hello()], &[Ignored::BadSubTlv])]);
        }
    }
}

/// RFC 8966 section 4.4: an ignored TLV has set the parser's state all the same.
#[test]
fn an_ignored_tlv_leaves_its_state_behind() {
    let router = "06 0a 0000 0000000000000001";
    let second = "08 0c 02 00 40 06 0640 0007 0060 0002";
    check(&[
        (
            "router-id",
            &format!(
                "{} 08 0a 02 00 00 00 0640 0007 0060",
                with("06 0000 0000000000000001", "fe 00")
            ),
            vec![announced("::/0")],
            &[Ignored::UnknownMandatorySubTlv],
        ),
        (
            "next hop",
            &format!(
                "{router} {} 08 0a 02 00 00 00 0640 0007 0060",
                with("07 03 00 0000000000000002", "fe 00")
            ),
            vec![Message::Update(Update {
                next_hop: Some(crate::babel::message::NextHop::Ipv6(
                    "fe80::2".parse().expect("an address"),
                )),
                ..update("::/0")
            })],
            &[Ignored::UnknownMandatorySubTlv],
        ),
        (
            "default prefix",
            &format!(
                "{router} {} {second}",
                with("08 02 80 40 00 0640 0007 0060 20010db800420001", "fe 00")
            ),
            vec![announced("2001:db8:42:2::/64")],
            &[Ignored::UnknownMandatorySubTlv],
        ),
    ]);
}

/// RFC 9616 section 3.1.
#[test]
fn a_timestamp_is_four_octets_of_a_hello() {
    let at = |timestamp| Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(5),
        interval: crate::babel::quantities::Interval(400),
        timestamp,
    };
    let rows = [
        ("03 04 01020304", Some(0x0102_0304)),
        ("00 03 04 01020304 01 00", Some(0x0102_0304)),
        ("03 06 01020304 0506", Some(0x0102_0304)),
        ("03 03 010203", None),
        ("", None),
    ];
    for (sub_tlvs, timestamp) in rows {
        let body = with("04 0000 0005 0190", sub_tlvs);
        check(&[(sub_tlvs, &body, vec![at(timestamp)], &[])]);
    }
}

/// RFC 9079 section 5.
#[test]
fn a_source_prefix_makes_it_another_route() {
    let route = |to: &str, from: &str| {
        RouteKey::new(to.parse().expect("a prefix"), from.parse().ok()).expect("one family")
    };
    let default = Update {
        route: route("::/0", "2001:db8:42::/48"),
        ..update("::/0")
    };
    check(&[
        (
            "update",
            &format!(
                "06 0a 0000 0000000000000001 {}",
                with("08 02 00 00 00 0640 0007 0060", "80 07 30 20010db80042")
            ),
            vec![Message::Update(default)],
            &[],
        ),
        (
            "route request (FRR skipped its sub-TLVs, pull request 13354); IPv4",
            &with("09 01 00", "80 04 18 0a2a01"),
            vec![Message::RouteRequest {
                route: Some(route("0.0.0.0/0", "10.42.1.0/24")),
            }],
            &[],
        ),
    ]);
}

/// RFC 9079 section 5.1.
#[test]
fn a_bad_source_prefix_makes_the_tlv_ignored() {
    let rows = [
        ("no length", "80 00"),
        ("length 0", "80 01 00"),
        ("129 bits", "80 12 81 0000000000000000000000000000000000"),
        ("cut off", "80 06 30 20010db800"),
        ("two of them", "80 02 08 20 80 02 08 20"),
    ];
    for (what, sub_tlvs) in rows {
        for tlv in [
            "08 02 00 00 00 0640 0007 ffff",
            "09 02 00",
            "0a 02 00 0008 7f 00 0000000000000009",
        ] {
            let body = format!("{} {HELLO}", with(tlv, sub_tlvs));
            check(&[(what, &body, vec![hello()], &[Ignored::BadSubTlv])]);
        }
    }
}
