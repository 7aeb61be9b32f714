//! Bodies that break a rule harm nothing but the TLVs that do. Several are published bugs of FRR and babeld.

use super::{HELLO, announced, check, hello};
use crate::babel::wire::Ignored;

/// RFC 8966 section 4.3.
#[test]
fn a_tlv_longer_than_the_body_ends_it() {
    let before = |tlv| format!("{HELLO} {tlv}");
    let rows = [
        "08 ff 00",
        "08",
        "e5 01",
        "01 02 00",
        "04 07 0000 0005 0190",
    ];
    for tlv in rows {
        check(&[(
            "what was read before is kept (FRR issues 10487 and 10502, CVE-2022-26127 and 26128)",
            &before(tlv),
            vec![hello()],
            &[Ignored::Overrun],
        )]);
    }
}

/// RFC 8966 section 4.3. FRR once left such a TLV without moving on and never came back (issue 11808).
#[test]
fn a_tlv_too_short_for_its_fixed_part_is_ignored_alone() {
    let rows = [
        "02 05 0000 beef 01",
        "03 01 be",
        "03 00",
        "04 05 0000 0005 01",
        "05 05 00 00 0060 04",
        "05 0d 03 00 0060 04b0 00000000000000",
        "06 09 0000 00000000000000",
        "07 00",
        "07 09 03 00 00000000000000",
        "08 09 02 00 00 00 0640 0007 00",
        "08 0f 02 00 30 00 0640 0007 0060 20010db800",
        "09 01 00",
        "09 07 02 30 20010db800",
        "0a 0d 02 00 0008 7f 00 00000000000000",
        "e0 05 0000 010203",
        "e2 0b 00 01 0190 00000000000000",
        "e3 07 00000000000000",
    ];
    for tlv in rows {
        check(&[(
            tlv,
            &format!("{tlv} {HELLO}"),
            vec![hello()],
            &[Ignored::TooShort],
        )]);
    }
}

/// RFC 8966 section 4.3; 11 and 12 are of RFC 7298, MACs belong in the trailer.
#[test]
fn a_tlv_of_unknown_type_is_skipped() {
    for tlv in [
        "0b 02 0000",
        "0c 00",
        "10 02 abcd",
        "14 00",
        "e4 01 00",
        "ff 00",
    ] {
        check(&[(
            tlv,
            &format!("{tlv} {HELLO}"),
            vec![hello()],
            &[Ignored::UnknownType],
        )]);
    }
}

/// RFC 8966 section 4.1.4; RFC 9229 section 4.2.
#[test]
fn an_address_encoding_out_of_place_makes_the_tlv_ignored() {
    let rows = [
        ("IHU of encoding 4", "05 0a 04 00 0060 04b0 c0000201"),
        ("IHU of encoding 5", "05 06 05 00 0060 04b0"),
        ("next hop of encoding 0", "07 02 00 00"),
        ("next hop of encoding 4", "07 06 04 00 c0000201"),
        (
            "update of encoding 3",
            "08 12 03 00 40 00 0640 0007 ffff 0000000000000001",
        ),
        ("update of encoding 5", "08 0a 05 00 00 00 0640 0007 ffff"),
        ("request of encoding 3", "09 0a 03 40 0000000000000001"),
        ("request of encoding 255", "09 02 ff 00"),
        (
            "request of encoding 0",
            "0a 0e 00 00 0008 7f 00 0000000000000009",
        ),
    ];
    for (what, tlv) in rows {
        check(&[(
            what,
            &format!("{tlv} {HELLO}"),
            vec![hello()],
            &[Ignored::BadAddressEncoding],
        )]);
    }
}

/// RFC 8966 sections 4.1.3 and 4.6. FRR accepted the first five (pull request 15698).
#[test]
fn an_illegal_value_makes_the_tlv_ignored() {
    let rows = [
        ("interval 0", "02 06 0000 beef 0000"),
        ("interval 0", "05 06 00 00 0060 0000"),
        ("router-id of zeros", "06 0a 0000 0000000000000000"),
        ("router-id of ones", "06 0a 0000 ffffffffffffffff"),
        (
            "router-id of zeros",
            "0a 0e 02 00 0008 7f 00 0000000000000000",
        ),
        ("hop count 0", "0a 0e 02 00 0008 00 00 0000000000000009"),
        (
            "wildcard update that is no retraction",
            "08 0a 00 00 00 00 0640 0007 0060",
        ),
        (
            "wildcard update with a prefix length",
            "08 0a 00 00 01 00 0640 0007 ffff",
        ),
        (
            "wildcard update that omits octets",
            "08 0a 00 00 00 01 0640 0007 ffff",
        ),
        ("wildcard request with a prefix length", "09 02 00 01"),
        (
            "multicast next hop",
            "07 12 02 00 ff020000000000000000000000010006",
        ),
        ("unspecified next hop", "07 06 01 00 00000000"),
        ("digest without blocks", "e2 04 00 00 0190"),
        (
            "digest beyond block 63",
            "e2 14 3f 02 0190 0000000000000001 0000000000000002",
        ),
        (
            "digest with interval 0",
            "e2 0c 00 01 0000 0000000000000001",
        ),
    ];
    for (what, tlv) in rows {
        check(&[(
            what,
            &format!("{tlv} {HELLO}"),
            vec![hello()],
            &[Ignored::IllegalValue],
        )]);
    }
    check(&[(
        "update with interval 0",
        "06 0a 0000 0000000000000001  08 0a 02 00 00 00 0000 0007 0060",
        vec![],
        &[Ignored::IllegalValue],
    )]);
}

/// RFC 8966 section 4.1.5.
#[test]
fn bits_behind_the_prefix_length_do_not_count() {
    check(&[
        (
            "the last octet",
            "06 0a 0000 0000000000000001  08 0f 02 00 22 00 0640 0007 0060 20010db8ff",
            vec![announced("2001:db8:c000::/34")],
            &[],
        ),
        (
            "octets of a longer default prefix",
            "06 0a 0000 0000000000000001  08 10 02 80 30 00 0640 0007 0060 20010db8ffff
             08 0b 02 00 22 04 0640 0007 0060 80",
            vec![
                announced("2001:db8:ffff::/48"),
                announced("2001:db8:8000::/34"),
            ],
            &[],
        ),
    ]);
}

/// RFC 8966 section 4.1.5.
#[test]
fn a_prefix_its_family_does_not_have_is_ignored() {
    let rows = [
        ("IPv4 of 33 bits", "09 07 01 21 0a2a0100ff"),
        ("IPv4 of 33 bits", "09 07 04 21 0a2a0100ff"),
        (
            "IPv6 of 129 bits",
            "09 13 02 81 20010db8000000000000000000000001ff",
        ),
        (
            "255 bits",
            "09 22 02 ff 0000000000000000000000000000000000000000000000000000000000000000",
        ),
    ];
    for (what, tlv) in rows {
        check(&[(
            what,
            &format!("{tlv} {HELLO}"),
            vec![hello()],
            &[Ignored::BadPrefix],
        )]);
    }
}
