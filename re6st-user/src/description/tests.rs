//! Descriptions to packets and back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use re6st_common::encapsulation::LinkHeader;

use super::{headers::headers, *};

const LINK: LinkHeader = LinkHeader {
    destination: [2, 0, 0, 0, 0, 1],
    source: [2, 0, 0, 0, 0, 2],
    vlan: 0,
};

#[test]
fn a_description_says_the_same_when_it_is_written_and_read_again() {
    // as typed, and as it is written if that differs
    let table = [
        ("send: 10.42.1.1 > 10.42.3.1 icmp", None),
        (
            "send: 10.42.1.1 > 10.42.3.1",
            Some("send: 10.42.1.1 > 10.42.3.1 protocol 59"),
        ),
        (
            "from tunnel b: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp 5000 > 80",
            None,
        ),
        (
            "from tunnel b: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp",
            Some("from tunnel b: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp 49152 > 9"),
        ),
        ("on lan0 vlan 100: 2001:db8:: > 2001:db8::1 icmp", None),
        (
            "on lan0  :  fe80:: > fe80::1 icmp",
            Some("on lan0: fe80:: > fe80::1 icmp"),
        ),
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 gre: 10.42.1.1 > 10.42.3.1 icmp class 3",
            None,
        ),
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 fou key 0x07: 2001:db8:42:2::1 > 2001:db8:42:3::1 udp 5000 > 53 hop-limit 1 length 1400",
            Some(
                "on eth0: 192.0.2.7 > 192.0.2.1 fou port 4754 key 7: 2001:db8:42:2::1 > 2001:db8:42:3::1 udp 5000 > 53 hop-limit 1 length 1400",
            ),
        ),
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 fou port 99 key 7 options fragment: ::1 > ::2 icmp options",
            None,
        ),
        ("on eth0: hex 0000000000000000000000000800", None),
        (
            "on eth0: hex 00 00 00 00 00 00 00 00 00 00 00 00 08 00",
            Some("on eth0: hex 0000000000000000000000000800"),
        ),
    ];
    for (typed, written) in table {
        let description: Description = typed.parse().unwrap();

        assert_eq!(description.to_string(), written.unwrap_or(typed));
        assert_eq!(description.to_string().parse(), Ok(description));
    }
}

#[test]
fn what_describes_no_packet_is_explained() {
    let table = [
        ("", "expected WHERE: PACKET"),
        ("2001:db8::1 > 2001:db8::2", "expected WHERE: PACKET"),
        (
            "on: ::1 > ::2",
            "where it comes from ends early: expected an interface's name",
        ),
        (
            "at eth0: ::1 > ::2",
            "\"at\": expected \"on\", \"from tunnel\" or \"send\"",
        ),
        ("from b: ::1 > ::2", "\"b\": expected \"tunnel\""),
        (
            "on eth0 vlan 4095: ::1 > ::2",
            "\"4095\": expected a VLAN identifier from 1 to 4094",
        ),
        ("on eth0 eth1: ::1 > ::2", "\"eth1\": expected nothing more"),
        ("send: ::1 ::2", "the packet: \"::2\": expected \">\""),
        (
            "send: ::1 >",
            "the packet ends early: expected the destination address",
        ),
        ("send: ::1 > 10.0.0.1", "one is IPv4 and the other IPv6"),
        ("send: ::g > ::2", "\"::g\": expected the source address"),
        (
            "send: ::1 > ::2 sctp",
            "\"sctp\": expected \"hop-limit\", \"class\"",
        ),
        ("send: ::1 > ::2 udp 5 53", "\"53\": expected \">\""),
        (
            "send: ::1 > ::2 udp 5 > 65536",
            "expected the destination port from 0 to 65535",
        ),
        (
            "send: ::1 > ::2 hop-limit 256",
            "\"256\": expected a hop limit from 0 to 255",
        ),
        (
            "send: ::1 > ::2 length 5",
            "expected a length in bytes from 20 to 65535",
        ),
        (
            "on eth0: ::1 > ::2 vxlan: ::3 > ::4",
            "\"vxlan\": expected \"fou\" or \"gre\"",
        ),
        (
            "on eth0: ::1 > ::2 fou key x: ::3 > ::4",
            "\"x\": expected a key from 0 to 4294967295",
        ),
        ("send: ::1 > ::2 fou: ::3 > ::4", "write \"on INTERFACE:\""),
        (
            "send: hex 0000000000000000000000000800",
            "write \"on INTERFACE:\"",
        ),
        (
            "on eth0: hex 123",
            "hex: expected an even number of hexadecimal digits, at least 28",
        ),
        (
            "on eth0: hex xy00000000000000000000000800",
            "hex: expected an even number",
        ),
    ];
    for (text, expected) in table {
        let message = match text.parse::<Description>() {
            Ok(description) => panic!("{text:?} describes {description}"),
            Err(error) => error.to_string(),
        };

        assert!(
            message.contains(expected),
            "{text:?} says {message:?}, not {expected:?}"
        );
    }
}

fn decoded(text: &str) -> Vec<String> {
    let description: Description = text.parse().unwrap();
    let frame = frame(&description.content, &LINK).unwrap();
    headers(&frame, 4754)
        .iter()
        .skip(1)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_frame_is_what_was_described() {
    let table: [(&str, &[&str]); 5] = [
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 fou key 7: 2001:db8::1 > 2001:db8::2 udp 5000 > 53 length 1400",
            &[
                "IPv4 192.0.2.7 > 192.0.2.1, protocol 17, hop limit 64, class 0, 1436 bytes",
                "UDP 49152 > 4754, 1416 bytes",
                "GRE with key",
                "IPv6 2001:db8::1 > 2001:db8::2, protocol 17, hop limit 64, class 0, 1400 bytes",
                "UDP 5000 > 53, 1360 bytes",
                "1352 bytes",
            ],
        ),
        (
            "on eth0: 2001:db8::7 > 2001:db8::8 gre key 7 class 3: 10.42.1.1 > 10.42.3.1 tcp 1 > 2",
            &[
                "IPv6 2001:db8::7 > 2001:db8::8, protocol 47, hop limit 64, class 3, 88 bytes",
                "GRE with key",
                "IPv4 10.42.1.1 > 10.42.3.1, protocol 6, hop limit 64, class 0, 40 bytes",
                "TCP 1 > 2",
            ],
        ),
        (
            "send: 10.42.1.1 > 10.42.3.1 icmp options hop-limit 1",
            &[
                "IPv4 10.42.1.1 > 10.42.3.1, protocol 1, hop limit 1, class 0, 32 bytes",
                "ICMP type 8 code 0",
            ],
        ),
        (
            "send: 2001:db8::1 > 2001:db8::2 icmp options fragment",
            &[
                "IPv6 2001:db8::1 > 2001:db8::2, protocol 0, hop limit 64, class 0, 64 bytes",
                "extension header, then protocol 44",
                "extension header, then protocol 58",
                "ICMP type 128 code 0",
            ],
        ),
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 fou: 10.42.1.1 > 10.42.3.1",
            &[
                "IPv4 192.0.2.7 > 192.0.2.1, protocol 17, hop limit 64, class 0, 52 bytes",
                "UDP 49152 > 4754, 32 bytes",
                "GRE without key",
                "IPv4 10.42.1.1 > 10.42.3.1, protocol 59, hop limit 64, class 0, 20 bytes",
            ],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(decoded(text), expected, "{text}");
    }
}

/// A sum over everything a checksum covers, the checksum included, is all ones (RFC 1071).
#[test]
fn checksums_are_right() {
    let pseudo = |frame: &[u8], protocol: u8| match frame[12] {
        0x08 => [
            &frame[26..34],
            &[0, protocol],
            &((frame.len() - 34) as u16).to_be_bytes(),
        ]
        .concat(),
        _ => [
            &frame[22..54],
            &((frame.len() - 54) as u32).to_be_bytes(),
            &[0, 0, 0, protocol],
        ]
        .concat(),
    };
    // description, protocol, where the transport header begins, whether there is a pseudo header
    let table = [
        ("send: 10.42.1.1 > 10.42.3.1 udp length 61", 17, 34, true),
        ("send: 10.42.1.1 > 10.42.3.1 tcp", 6, 34, true),
        ("send: 10.42.1.1 > 10.42.3.1 icmp", 1, 34, false),
        (
            "send: 2001:db8::1 > 2001:db8::2 udp 1 > 2 length 99",
            17,
            54,
            true,
        ),
        ("send: 2001:db8::1 > 2001:db8::2 tcp", 6, 54, true),
        ("send: 2001:db8::1 > 2001:db8::2 icmp", 58, 54, true),
    ];
    for (text, protocol, at, has_pseudo_header) in table {
        let description: Description = text.parse().unwrap();
        let frame = frame(&description.content, &LINK).unwrap();
        let mut covered = if has_pseudo_header {
            pseudo(&frame, protocol)
        } else {
            Vec::new()
        };
        covered.extend_from_slice(&frame[at..]);
        covered.resize(covered.len().next_multiple_of(2), 0);

        let sum = re6st_common::checksum::fold(re6st_common::checksum::sum(&covered));

        assert_eq!(sum, 0xffff, "{text}");
        if at == 34 {
            let header = re6st_common::checksum::sum(&frame[14..34]);
            assert_eq!(re6st_common::checksum::fold(header), 0xffff, "{text}");
        }
    }
}

#[test]
fn a_length_that_cannot_be_is_refused() {
    let table = [
        (
            "send: 2001:db8::1 > 2001:db8::2 tcp length 59",
            "length 59: the headers alone take 60 bytes",
        ),
        (
            "on eth0: 192.0.2.7 > 192.0.2.1 fou key 7: 2001:db8::1 > 2001:db8::2 length 65535",
            "an IP packet of 65551 bytes",
        ),
    ];
    for (text, expected) in table {
        let description: Description = text.parse().unwrap();

        let error = frame(&description.content, &LINK).unwrap_err();

        assert!(error.to_string().contains(expected), "{error}");
    }
}
