//! The wire format, as its receivers and senders see it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what breaks a rule has to stop the test"
)]

use std::net::Ipv6Addr;

use ipnet::IpNet;

use crate::{
    babel::{
        message::{Message, NextHop, Update},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
        wire::{Ignored, decode},
    },
    route::RouteKey,
};

pub mod capture;
mod captures;
mod malformed;
mod packets;
mod round_trip;
mod state;
mod sub_tlvs;
mod writing;

/// Who sends the packets of the tests.
const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Octets in hexadecimal; spaces and what stands between bars, for the reader, do not count.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .split('|')
        .step_by(2)
        .flat_map(str::chars)
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    let (octets, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half an octet: {text}");
    octets.iter().map(|[high, low]| high << 4 | low).collect()
}

/// A packet with this body.
fn packet(body: &[u8]) -> Vec<u8> {
    let mut packet = vec![42, 2];
    packet.extend_from_slice(&(body.len() as u16).to_be_bytes());
    packet.extend_from_slice(body);
    packet
}

/// What a body says, and why TLVs of it were ignored, in the order of [`Ignored::ALL`].
fn read(body: &str) -> (Vec<Message>, Vec<Ignored>) {
    let packet = packet(&hex(body));
    let mut decoded = decode(&packet, SOURCE).expect("a packet");
    let messages = decoded.by_ref().collect();
    let times = |reason| vec![reason; decoded.ignored().of(reason) as usize];
    let ignored = Ignored::ALL.into_iter().flat_map(times).collect();
    (messages, ignored)
}

/// One row: a rule, a body, what is read of it, what is ignored.
type Row<'a> = (&'a str, &'a str, Vec<Message>, &'a [Ignored]);

#[track_caller]
fn check(rows: &[Row<'_>]) {
    for (rule, body, messages, ignored) in rows {
        let (read, left_out) = read(body);
        assert_eq!(read, *messages, "{rule}");
        assert_eq!(left_out, *ignored, "{rule}");
    }
}

fn key(to: &str) -> RouteKey {
    RouteKey::new(to.parse::<IpNet>().expect("a prefix"), None).expect("one family")
}

fn router(last: u8) -> RouterId {
    RouterId::new([0, 0, 0, 0, 0, 0, 0, last]).expect("not reserved")
}

/// A route of router 1 by way of the packet's source: interval 16 s, sequence number 7, metric 96.
fn update(to: &str) -> Update {
    Update {
        route: key(to),
        router_id: Some(router(1)),
        sequence_number: SequenceNumber(7),
        metric: Metric(96),
        interval: Interval(1600),
        next_hop: Some(NextHop::Ipv6(SOURCE)),
    }
}

fn announced(to: &str) -> Message {
    Message::Update(update(to))
}

fn retracted(to: &str) -> Message {
    Message::Update(Update {
        router_id: None,
        metric: Metric::INFINITY,
        next_hop: None,
        ..update(to)
    })
}

/// A Hello: number 5, interval 4 s.
const HELLO: &str = "04 06 0000 0005 0190";

const fn hello() -> Message {
    Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(5),
        interval: Interval(400),
        timestamp: None,
    }
}
