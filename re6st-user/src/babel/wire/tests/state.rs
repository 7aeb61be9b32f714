//! RFC 8966 section 4.5: what TLVs of a packet leave behind for later ones.

use std::net::Ipv4Addr;

use super::{announced, check, retracted, router, update};
use crate::babel::{
    message::{Message, NextHop, Update},
    quantities::RouterId,
    wire::Ignored,
};

/// Router 1.
const ROUTER: &str = "06 0a 0000 0000000000000001";
/// 2001:db8:42:1::/64, as default prefix.
const FIRST: &str = "08 12 02 80 40 00 0640 0007 0060 20010db800420001";
/// The next one: 2 of its octets.
const SECOND: &str = "08 0c 02 00 40 06 0640 0007 0060 0002";

fn by_ipv4(to: &str) -> Message {
    Message::Update(Update {
        next_hop: Some(NextHop::Ipv4(Ipv4Addr::new(192, 0, 2, 1))),
        ..update(to)
    })
}

#[test]
fn omitted_octets_are_those_of_the_last_default_prefix() {
    check(&[
        (
            "set once, used often",
            &format!("{ROUTER} {FIRST} {SECOND} {SECOND}"),
            vec![
                announced("2001:db8:42:1::/64"),
                announced("2001:db8:42:2::/64"),
                announced("2001:db8:42:2::/64"),
            ],
            &[],
        ),
        (
            "without the flag P it stays",
            &format!("{ROUTER} {FIRST} 08 12 02 00 40 00 0640 0007 0060 fd00000000000000 {SECOND}"),
            vec![
                announced("2001:db8:42:1::/64"),
                announced("fd00::/64"),
                announced("2001:db8:42:2::/64"),
            ],
            &[],
        ),
        (
            "beyond a short default prefix are zeros",
            &format!(
                "{ROUTER} 08 0e 02 80 20 00 0640 0007 0060 20010db8 08 0c 02 00 40 06 0640 0007 0060 0002"
            ),
            vec![announced("2001:db8::/32"), announced("2001:db8:0:2::/64")],
            &[],
        ),
        (
            "all of them",
            &format!("{ROUTER} {FIRST} 08 0a 02 00 30 06 0640 0007 0060"),
            vec![
                announced("2001:db8:42:1::/64"),
                announced("2001:db8:42::/48"),
            ],
            &[],
        ),
    ]);
}

#[test]
fn octets_that_were_never_given_cannot_be_omitted() {
    check(&[
        ("no default prefix", &format!("{ROUTER} {SECOND}"), vec![], &[Ignored::BadPrefix]),
        (
            "more than the prefix has",
            &format!("{ROUTER} {FIRST} 08 0a 02 00 28 06 0640 0007 0060"),
            vec![announced("2001:db8:42:1::/64")],
            &[Ignored::BadPrefix],
        ),
        (
            "a default prefix of another family",
            &format!("{ROUTER} {FIRST} 08 0b 01 00 18 02 0640 0007 ffff 01"),
            vec![announced("2001:db8:42:1::/64")],
            &[Ignored::BadPrefix],
        ),
        (
            "RFC 9229 section 4.1: encodings 1 and 4 have each their own",
            &format!("{ROUTER} 08 0d 04 80 18 00 0640 0007 0060 0a2a01  08 0b 01 00 18 02 0640 0007 ffff 02
                      08 0b 04 00 18 02 0640 0007 0060 02"),
            vec![announced("10.42.1.0/24"), announced("10.42.2.0/24")],
            &[Ignored::BadPrefix],
        ),
    ]);
}

#[test]
fn an_update_needs_a_router_id() {
    let of_router_2 = Message::Update(Update {
        router_id: Some(router(2)),
        ..update("2001:db8:42:1::/64")
    });
    check(&[
        ("none", FIRST, vec![], &[Ignored::NoRouterId]),
        (
            "the last one",
            &format!("{ROUTER} 06 0a 0000 0000000000000002 {FIRST}"),
            vec![of_router_2],
            &[],
        ),
        (
            "a reserved one leaves none",
            &format!("{ROUTER} 06 0a 0000 ffffffffffffffff {FIRST}"),
            vec![],
            &[Ignored::IllegalValue, Ignored::NoRouterId],
        ),
        (
            "an ignored update has set the default prefix all the same",
            &format!("{FIRST} {ROUTER} {SECOND}"),
            vec![announced("2001:db8:42:2::/64")],
            &[Ignored::NoRouterId],
        ),
    ]);
}

/// RFC 8966 section 4.6.9: flag R.
#[test]
fn a_router_id_can_be_in_the_prefix() {
    let of = |octets, to| {
        Message::Update(Update {
            router_id: RouterId::new(octets),
            ..update(to)
        })
    };
    check(&[
        (
            "IPv6: the last 8 octets, also of the updates that follow",
            "08 1a 02 40 80 00 0640 0007 0060 20010db8000000000001000200030004
             08 0a 02 00 00 00 0640 0007 0060",
            vec![
                of([0, 1, 0, 2, 0, 3, 0, 4], "2001:db8::1:2:3:4/128"),
                of([0, 1, 0, 2, 0, 3, 0, 4], "::/0"),
            ],
            &[],
        ),
        (
            "IPv4: zeros and the address",
            "08 0e 04 40 20 00 0640 0007 0060 0a2a0102",
            vec![of([0, 0, 0, 0, 10, 42, 1, 2], "10.42.1.2/32")],
            &[],
        ),
        (
            "a prefix too short to have one leaves none",
            &format!("{ROUTER} 08 12 02 40 40 00 0640 0007 0060 20010db800420001"),
            vec![],
            &[Ignored::NoRouterId],
        ),
    ]);
}

/// FRR did not start from the packet's source (pull request 18470).
#[test]
fn the_ipv6_next_hop_is_the_source_until_another_is_given() {
    let by = |next_hop: &str| {
        Message::Update(Update {
            next_hop: Some(NextHop::Ipv6(next_hop.parse().expect("an address"))),
            ..update("2001:db8:42:1::/64")
        })
    };
    check(&[
        (
            "the source",
            &format!("{ROUTER} {FIRST}"),
            vec![by("fe80::1")],
            &[],
        ),
        (
            "encoding 3",
            &format!("{ROUTER} 07 0a 03 00 0000000000000002 {FIRST}"),
            vec![by("fe80::2")],
            &[],
        ),
        (
            "encoding 2",
            &format!("{ROUTER} 07 12 02 00 20010db8000000000000000000000003 {FIRST}"),
            vec![by("2001:db8::3")],
            &[],
        ),
        (
            "one that cannot be leaves none",
            &format!("{ROUTER} 07 12 02 00 00000000000000000000000000000001 {FIRST}"),
            vec![],
            &[Ignored::IllegalValue, Ignored::NoNextHop],
        ),
    ]);
}

#[test]
fn an_ipv4_update_needs_an_ipv4_next_hop_or_encoding_4() {
    let update_1 = "08 0d 01 00 18 00 0640 0007 0060 0a2a01";
    let update_4 = "08 0d 04 00 18 00 0640 0007 0060 0a2a01";
    check(&[
        (
            "none",
            &format!("{ROUTER} {update_1}"),
            vec![],
            &[Ignored::NoNextHop],
        ),
        (
            "given",
            &format!("{ROUTER} 07 06 01 00 c0000201 {update_1}"),
            vec![by_ipv4("10.42.1.0/24")],
            &[],
        ),
        (
            "RFC 9229: encoding 4 has the IPv6 next hop",
            &format!("{ROUTER} 07 06 01 00 c0000201 {update_4}"),
            vec![announced("10.42.1.0/24")],
            &[],
        ),
        (
            "RFC 9229 section 4.2: a next hop of encoding 4 is none",
            &format!("{ROUTER} 07 06 04 00 c0000201 {update_1}"),
            vec![],
            &[Ignored::BadAddressEncoding, Ignored::NoNextHop],
        ),
    ]);
}

/// RFC 8966 section 4.6.9. babeld refused retractions without router-id or next hop (issues 66 and 71).
#[test]
fn retractions_need_neither_router_id_nor_next_hop() {
    check(&[
        (
            "neither is there",
            "08 10 02 00 30 00 0640 0007 ffff 20010db80042  08 0d 01 00 18 00 0640 0007 ffff 0a2a01",
            vec![retracted("2001:db8:42::/48"), retracted("10.42.1.0/24")],
            &[],
        ),
        (
            "both are there, and are not used",
            &format!(
                "{ROUTER} 07 0a 03 00 0000000000000002 08 10 02 00 30 00 0640 0007 ffff 20010db80042"
            ),
            vec![retracted("2001:db8:42::/48")],
            &[],
        ),
        (
            "RFC 9229: encoding 4 retracts the same route",
            "08 0d 04 00 18 00 0640 0007 ffff 0a2a01",
            vec![retracted("10.42.1.0/24")],
            &[],
        ),
        (
            "all routes",
            "08 0a 00 00 00 00 0640 0007 ffff",
            vec![Message::RetractAll],
            &[],
        ),
        (
            "all routes, flags mean nothing",
            "08 0a 00 c0 00 00 0000 0000 ffff",
            vec![Message::RetractAll],
            &[],
        ),
    ]);
}

#[test]
fn nothing_is_left_for_the_next_packet() {
    let (first, _) = super::read(&format!("{ROUTER} {FIRST}"));
    let (second, ignored) = super::read(SECOND);

    assert_eq!(first, [announced("2001:db8:42:1::/64")]);
    assert_eq!((second, ignored), (vec![], vec![Ignored::BadPrefix]));
}
