//! What babeld, BIRD and tcpdump's authors have put on the wire.

use super::{
    capture::{Captured, Sent, captures},
    packet,
};
use crate::babel::{
    message::{Message, Update},
    wire::{
        Ignored, PacketParts, PacketWriter,
        address::{self, AddressEncoding},
        decode,
        encode::{self, UpdateForm},
        frame,
        reader::Reader,
        state::ParserState,
        tlv::{Tlv, Tlvs, kind},
    },
};

/// Messages, and ignored TLVs.
fn read(sent: &Sent) -> (Vec<Message>, Vec<Ignored>) {
    let mut decoded = decode(&sent.octets, sent.source).expect("a packet");
    let messages = decoded.by_ref().collect();
    let ignored = Ignored::ALL
        .into_iter()
        .filter(|reason| decoded.ignored().of(*reason) > 0);
    (messages, ignored.collect())
}

fn packets(captured: &[Captured]) -> impl Iterator<Item = &Sent> {
    captured
        .iter()
        .filter_map(|captured| captured.packet.as_ref())
}

#[test]
fn all_that_live_speakers_say_is_understood() {
    let mut count = 0;
    for (name, captured) in captures("live") {
        for (number, captured) in captured.iter().enumerate() {
            let sent = captured.packet.as_ref().expect("a packet");

            let (messages, ignored) = read(sent);

            assert_eq!(ignored, [], "{name}, packet {number}: {messages:?}");
            count += 1;
        }
    }
    assert_eq!(count, 552);
}

/// Packet by packet, TLV by TLV: what was read is written again in the form that was chosen.
#[test]
fn all_that_live_speakers_say_is_written_to_the_same_octets() {
    for (name, captured) in captures("live") {
        for (number, sent) in packets(&captured).enumerate() {
            let frame = PacketParts::new(&sent.octets).expect("a packet");

            let mut body = Vec::new();
            let mut state = ParserState::new(sent.source);
            for tlv in Tlvs::new(Reader::new(frame.body)) {
                write_again(&mut body, &mut state, tlv.expect("a whole TLV"));
            }
            let mut written = packet(&body);
            for mac in frame.macs() {
                frame::append_mac(&mut written, mac);
            }

            assert_eq!(written, sent.octets, "{name}, packet {number}");
        }
    }
}

fn write_again(body: &mut Vec<u8>, state: &mut ParserState, tlv: Tlv<'_>) {
    let message = state.read(tlv).expect("a TLV we understand");
    let mut fixed = tlv.body;
    match (tlv.kind, message) {
        (kind::ROUTER_ID, _) => encode::router_id(body, state.router_id.expect("a router-id")),
        (kind::NEXT_HOP, _) => {
            let encoding = encoding(&mut fixed);
            let reserved = fixed.u8().expect("a reserved octet");
            let address = address::read(encoding, &mut fixed).expect("an address");
            let start = body.len();
            encode::next_hop(body, address, encoding);
            // BIRD sends what was in its buffer there
            body[start + 3] = reserved;
        }
        (_, Some(Message::Update(update))) => encode::update(body, &update, form(fixed)),
        (_, Some(Message::RetractAll)) => {
            fixed.u32();
            let interval = fixed.u16().map(crate::babel::quantities::Interval);
            let number = fixed.u16().map(crate::babel::quantities::SequenceNumber);
            encode::retract_all(body, interval.expect("one"), number.expect("one"));
        }
        (
            _,
            Some(Message::IHeardYou {
                address,
                reception_cost,
                interval,
                timestamps,
            }),
        ) => encode::i_heard_you(
            body,
            encoding(&mut fixed),
            address,
            (reception_cost, interval),
            timestamps,
        ),
        (_, Some(message)) => encode::message(body, &message),
        // authentication's: written by others, who know no more than the octets
        (kind, None) => encode::tlv(body, kind, |body| body.extend_from_slice(fixed.rest())),
    }
}

fn encoding(fixed: &mut Reader<'_>) -> AddressEncoding {
    let number = fixed.u8().expect("an encoding");
    AddressEncoding::from_number(number).expect("an encoding")
}

/// How another speaker wrote an update.
fn form(mut fixed: Reader<'_>) -> UpdateForm {
    let encoding = encoding(&mut fixed);
    let [flags, _length, omitted] = fixed.array().expect("an update");
    UpdateForm {
        encoding,
        flags,
        omitted,
    }
}

/// Left to our own choices we say the same in no more octets.
#[test]
fn our_packets_are_no_longer_than_theirs() {
    for (name, captured) in captures("live") {
        for (number, sent) in packets(&captured).enumerate() {
            let (messages, _) = read(sent);
            let mut writer = PacketWriter::new(1500, sent.source);
            for message in &messages {
                assert_eq!(writer.push(message), Ok(()), "{name}, packet {number}");
            }
            let ours = Sent {
                octets: writer.finish(),
                ..*sent
            };

            assert_eq!(read(&ours), (messages, vec![]), "{name}, packet {number}");
            assert!(
                ours.octets.len() <= sent.octets.len(),
                "{name}, packet {number}"
            );
        }
    }
}

/// Packets, how many of them are another protocol's, messages in the rest, and why TLVs were ignored. Types 11 and 12 are of
/// RFC 7298; the mangled packets are IPv4, and are tried below.
#[test]
fn tcpdumps_captures_are_read() {
    let rows: [(&str, [usize; 3], &[Ignored]); 6] = [
        ("babel.pcap", [24, 8, 25], &[]),
        ("babel_auth.pcap", [1, 0, 3], &[Ignored::UnknownType]),
        ("babel_pad1.pcap", [2, 0, 4], &[]),
        ("babel_rfc6126bis.pcap", [130, 0, 473], &[]),
        ("babel_rtt.pcap", [9, 0, 14], &[]),
        ("babel_update_oobr.pcap", [0, 0, 0], &[]),
    ];
    let captures = captures("tcpdump");
    assert_eq!(captures.len(), rows.len());
    for ((name, captured), (expected, counts, reasons)) in captures.iter().zip(rows) {
        let (good, bad): (Vec<&Sent>, Vec<&Sent>) =
            packets(captured).partition(|sent| decode(&sent.octets, sent.source).is_ok());
        let all: Vec<_> = good.iter().map(|sent| read(sent)).collect();
        let messages = all.iter().map(|(messages, _)| messages.len()).sum();
        let mut ignored: Vec<Ignored> = all.into_iter().flat_map(|(_, ignored)| ignored).collect();
        ignored.dedup();

        assert_eq!(name, expected);
        assert_eq!(
            [good.len() + bad.len(), bad.len(), messages],
            counts,
            "{name}"
        );
        assert_eq!(ignored, reasons, "{name}");
    }
}

/// Cut off anywhere, or taken for a body as it stands, header and all: every reading ends, none costs more than its octets.
#[test]
fn mangled_packets_harm_nothing() {
    let all = ["live", "tcpdump"].into_iter().flat_map(captures);
    for (name, captured) in all {
        for captured in &captured {
            for cut in 0..captured.frame.len() {
                let octets = packet(&captured.frame[cut..]);
                let mut decoded = decode(&octets, super::SOURCE).expect("a header");
                let messages = decoded.by_ref().count();
                let ignored = decoded.ignored().total() as usize;
                assert!(messages + ignored <= captured.frame.len(), "{name}");
            }
            let Some(sent) = &captured.packet else {
                continue;
            };
            for cut in 0..sent.octets.len() {
                let octets = &sent.octets[..cut];
                assert!(decode(octets, sent.source).is_err() || cut > 4, "{name}");
                let body = packet(octets.get(4..).unwrap_or_default());
                let messages = decode(&body, super::SOURCE).expect("a header").count();
                assert!(messages <= cut, "{name}");
            }
        }
    }
}

/// What comes back is an update of the same route, for all who send one.
#[test]
fn the_captures_have_what_they_are_named_for() {
    let has = |name: &str, wanted: fn(&Message) -> bool| {
        let all = captures("live");
        let of_name = all.iter().filter(|(file, _)| file.starts_with(name));
        let mut count = 0;
        for (file, captured) in of_name {
            let found = packets(captured).any(|sent| read(sent).0.iter().any(wanted));
            assert!(found, "{file}");
            count += 1;
        }
        assert_eq!(count, 2, "{name}");
    };
    has("rtt", |message| {
        matches!(
            message,
            Message::Hello {
                timestamp: Some(_),
                ..
            }
        )
    });
    has("rtt", |message| {
        matches!(
            message,
            Message::IHeardYou {
                timestamps: Some(_),
                ..
            }
        )
    });
    has(
        "ssr",
        |message| matches!(message, Message::Update(Update { route, .. }) if route.from().is_some()),
    );
    has("v4viav6", |message| {
        matches!(message, Message::Update(Update { route, next_hop, .. })
            if route.to().addr().is_ipv4()
                && matches!(next_hop, Some(crate::babel::message::NextHop::Ipv6(_))))
    });
    has("plain", |message| {
        *message == Message::RouteRequest { route: None }
    });
}
