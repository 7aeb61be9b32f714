//! What one packet makes us do is bounded, however often it says so and however large the table is.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    bench::{Bench, LAN, OTHER, THIRD, heard, hello, retraction, update},
    network::{prefix, router_id},
};
use crate::babel::{
    input::{Input, Restored},
    message::{Message, Update},
    output::GROUP,
    quantities::{Interval, Metric, SequenceNumber},
    wire::PacketWriter,
};

/// In the table, each by all neighbours.
const ROUTES: usize = 10_000;
const NEIGHBOURS: u16 = 5;
/// Steps of work that one call may take: far less than there are routes.
const MOST: u64 = 30_000;

fn neighbour(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2 + number)
}

/// A relay with a large table.
fn relay() -> Bench {
    let mut bench = Bench::with_announced(|settings, lan| {
        settings.probing.interval = Duration::from_secs(9_999);
        lan.split_horizon = false;
    });
    for number in 0..NEIGHBOURS {
        let from = neighbour(number);
        bench.meet(from);
        for start in (0..ROUTES).step_by(40) {
            let updates = (start..start + 40).map(|n| update(from, 1_000 + n, 5, 1, number));
            bench.hear(from, &updates.collect::<Vec<_>>());
        }
    }
    bench.wait(Duration::from_secs(30));
    bench.outputs.clear();
    bench
}

/// A packet that says the same again and again, as often as it fits.
fn again_and_again(messages: &[Message]) -> Vec<u8> {
    let mut packet = PacketWriter::new(1_400, OTHER);
    while messages.iter().all(|message| packet.push(message).is_ok()) {}
    packet.finish()
}

/// The most steps of a call, from a packet on until nothing is due.
fn most_steps(bench: &mut Bench, bytes: Vec<u8>) -> u64 {
    let mut most = 0;
    let mut input = Input::Received {
        interface: LAN,
        source: OTHER,
        destination: GROUP,
        bytes,
        received_at: bench.now,
    };
    for _ in 0..10_000 {
        let before = bench.speaker.steps();
        bench.input(input);
        most = most.max(bench.speaker.steps() - before);
        bench.outputs.clear();
        let due = bench.speaker.next_deadline();
        let soon = bench.now + Duration::from_millis(100);
        match due.filter(|due| *due < soon) {
            Some(due) => bench.now = bench.now.max(due),
            None => return most,
        }
        input = Input::Time;
    }
    unreachable!("there is no end to it");
}

fn update_of(origin: usize) -> Message {
    update(OTHER, 1_000, origin, 1, 0)
}

fn request(route: usize, origin: usize, number: u16) -> Message {
    Message::SequenceNumberRequest {
        route: prefix(route),
        router_id: router_id(origin),
        sequence_number: SequenceNumber(number),
        hop_count: 255,
    }
}

fn hears(cost: u16) -> Message {
    let Message::IHeardYou {
        address, interval, ..
    } = heard()
    else {
        unreachable!("it is one");
    };
    Message::IHeardYou {
        address,
        reception_cost: Metric(cost),
        interval,
        timestamps: None,
    }
}

#[test]
fn no_packet_takes_longer_than_a_moment() {
    // what is said, and whose way is used afterwards
    let packets: Vec<(&str, Vec<Message>, Ipv6Addr)> = vec![
        ("probes", vec![Message::Probe { token: 1 }], OTHER),
        (
            "acknowledgment requests",
            vec![Message::AcknowledgmentRequest {
                opaque: 1,
                interval: Interval(1),
            }],
            OTHER,
        ),
        (
            "requests for all",
            vec![Message::RouteRequest { route: None }],
            OTHER,
        ),
        (
            "requests for what is not there",
            vec![Message::RouteRequest {
                route: Some(prefix(999_999)),
            }],
            OTHER,
        ),
        (
            "mismatches",
            vec![Message::DigestMismatch { blocks: u64::MAX }],
            OTHER,
        ),
        (
            "mismatches of nothing",
            vec![Message::DigestMismatch { blocks: 0 }],
            OTHER,
        ),
        (
            "digests",
            vec![Message::Digest {
                first: 0,
                interval: Interval(1_000),
                blocks: vec![7; 16],
            }],
            OTHER,
        ),
        (
            "requests for our next number",
            vec![request(0, 0, 9_000)],
            OTHER,
        ),
        (
            "requests to be passed on",
            (5..40).map(|origin| request(1_001, origin, 9)).collect(),
            OTHER,
        ),
        ("other origins", (5..40).map(update_of).collect(), OTHER),
        ("costs", vec![hears(50), hears(u16::MAX)], OTHER),
        (
            "new counts of Hellos",
            vec![hello(1_000), heard(), hello(9_000)],
            THIRD,
        ),
        (
            "retractions",
            (1_000..1_050).map(retraction).collect(),
            THIRD,
        ),
        (
            "all and nothing",
            vec![update_of(5), Message::RetractAll],
            THIRD,
        ),
        ("retractions of all", vec![Message::RetractAll], THIRD),
    ];
    let mut failed = Vec::new();
    for (what, messages, way) in packets {
        // one for each, so that all find a full table
        let mut bench = relay();
        let steps = most_steps(&mut bench, again_and_again(&messages));
        println!("{what}: {steps} steps");
        if steps > MOST {
            failed.push((what, steps));
        }
        assert_eq!(bench.selected(1_000), Some(way), "{what}");
        let last = bench.selected(1_000 + ROUTES - 1);
        assert!(last.is_some(), "{what}: there is a next best");
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn what_is_announced_after_all_was_retracted_stays() {
    let mut bench = relay();
    let begin = bench.speaker.counters().selections;
    bench.hear(OTHER, &[Message::RetractAll, update(OTHER, 1_500, 5, 2, 0)]);
    let then = bench.speaker.counters().selections;
    assert!(then < begin + ROUTES as u64 / 2, "bit by bit");
    let metric = bench
        .candidate(1_000, OTHER)
        .expect("kept")
        .advertised_metric;
    assert!(metric.is_infinite(), "but at once for whoever asks");
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.selected(1_500), Some(OTHER));
    for n in [1_000, 1_499, 1_501, 1_000 + ROUTES - 1] {
        assert_eq!(bench.selected(n), Some(THIRD), "{n}");
    }
    bench.hear(OTHER, &[update(OTHER, 1_000, 5, 2, 0)]);
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.selected(1_000), Some(OTHER), "announced again");
}

#[test]
fn a_restart_is_given_up_bit_by_bit() {
    let mut bench = relay();
    let restored = Restored {
        routes: bench.speaker.installed(),
        ..Restored::default()
    };
    assert_eq!(restored.routes.len(), ROUTES);
    bench = Bench::restarted(&restored, |_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 1_500, 5, 1, 7)]);
    assert_eq!(bench.selected(1_500), Some(OTHER), "as before");
    let steps = most_steps(&mut bench, again_and_again(&[Message::RetractAll]));
    assert!(steps < MOST, "{steps}");
    assert!(bench.speaker.installed().is_empty());
    bench.hear(OTHER, &[update(OTHER, 1_500, 5, 1, 7)]);
    assert_eq!(
        bench.selected(1_500),
        None,
        "it must show anew that it is nearer"
    );
}

/// There is one appointment for each route and two for each prefix at most, while something is said again and again.
fn assert_few_appointments(what: &str, says: impl Fn(usize) -> Message) {
    let mut bench = Bench::with_announced(|_, _| {});
    for from in [OTHER, THIRD] {
        bench.meet(from);
    }
    bench.hear(THIRD, &[update(THIRD, 100, 5, 1, 50)]);
    for time in 0..500 {
        bench.hear(OTHER, &[says(time)]);
        let (appointments, routes, prefixes) = bench.speaker.sizes();
        assert!(
            appointments <= routes + 2 * prefixes,
            "{what}: {appointments} after {time} times"
        );
        bench.wait(Duration::from_millis(10));
    }
}

#[test]
fn the_calendar_does_not_grow_however_often_a_neighbour_changes_its_mind() {
    let Message::Update(promise) = update(OTHER, 100, 5, 1, 7) else {
        unreachable!("it is one");
    };
    assert_few_appointments("sooner and sooner", |time| {
        let interval = Interval(60_000 - 100 * time as u16);
        Message::Update(Update {
            interval,
            ..promise
        })
    });
    assert_few_appointments("better and worse", |time| {
        update(OTHER, 100, 5, 1, [40, 55][time % 2])
    });
    assert_few_appointments("there and gone", |time| match time % 2 {
        0 => update(OTHER, 200, 5, 1, 7),
        _ => retraction(200),
    });
}
