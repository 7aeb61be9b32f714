//! Neighbours that lie or flood: what they make us keep and do is bounded and counted, and others are unharmed.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    bench::{Bench, OTHER, THIRD, heard, hello, often, retraction, update},
    network::{prefix, router_id},
};
use crate::babel::{
    counters::Counters,
    filter::{Action, Filter, Rule},
    input::{Input, InterfaceId},
    limits::Limits,
    message::{Message, Update},
    output::{Event, Output},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings},
};
use crate::route::RouteKey;

#[test]
fn neighbours_of_an_interface_are_bounded() {
    let mut bench = Bench::new(|settings, _| settings.limits.neighbours_per_interface = 3);
    for host in 2..10 {
        bench.hear(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host), &[hello(1)]);
    }
    assert_eq!(bench.speaker.neighbours().len(), 3);
    assert_eq!(bench.speaker.counters().limited_neighbours, 5);
}

#[test]
fn a_tunnel_has_one_neighbour_and_another_only_after_it() {
    let mut bench = Bench::new(|_, tunnel| {
        tunnel.kind = InterfaceKind::Tunnel;
        tunnel.name = "to-b".into();
    });
    let address = |host| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
    bench.hear(address(2), &[hello(1), heard()]);
    for host in 3..10 {
        bench.hear(
            address(host),
            &[hello(1), heard(), update(address(host), 100, 5, 1, 0)],
        );
    }
    let neighbours = |bench: &Bench| -> Vec<_> {
        let known = bench.speaker.neighbours().into_iter();
        known.map(|neighbour| neighbour.address).collect()
    };
    assert_eq!(neighbours(&bench), [address(2)]);
    assert_eq!(bench.speaker.counters().limited_neighbours, 7);
    let warnings = bench.speaker.warnings(bench.now);
    assert!(
        warnings[0].starts_with("to-b: too many neighbours"),
        "{warnings:?}"
    );

    // its Hellos promised another within 100 seconds
    bench.wait(Duration::from_secs(151));
    bench.hear(address(3), &[hello(1), heard()]);
    assert_eq!(
        neighbours(&bench),
        [address(3)],
        "the first is not heard any more"
    );
    bench.wait(Duration::from_secs(600));
    assert!(bench.speaker.warnings(bench.now).is_empty());
}

#[test]
fn the_whole_table_is_bounded_and_it_is_said() {
    let mut bench = Bench::new(|settings, _| settings.limits = Limits::of_prefixes(20));
    for host in 2..12 {
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
        bench.meet(from);
        let own = 1_000 * usize::from(host);
        for n in (100..110).chain(own..own + 10) {
            bench.hear(from, &[update(from, n, 5, 1, 0)]);
        }
    }
    let counters = *bench.speaker.counters();
    // ten prefixes of all, of which each neighbour may announce ten
    assert_eq!(bench.routes(None).len(), 10);
    assert_eq!(counters.limited_routes, 100);
    for host in 2..12 {
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host);
        for n in 100..110 {
            bench.hear(from, &[retraction(n)]);
        }
    }
    // the prefixes are remembered for a while, and so their room is not free
    bench.hear(OTHER, &[update(OTHER, 100, 5, 2, 0)]);
    assert_eq!(bench.selected(100), Some(OTHER));
    let warnings = bench.speaker.warnings(bench.now);
    assert!(
        warnings[0].contains("too many routes of a neighbour"),
        "{warnings:?}"
    );

    let mut bench = Bench::new(|settings, _| {
        (settings.limits.prefixes, settings.limits.routes) = (20, 25);
    });
    bench.meet(OTHER);
    bench.meet(THIRD);
    for n in 100..130 {
        bench.hear(OTHER, &[update(OTHER, n, 5, 1, 0)]);
    }
    for n in 100..110 {
        bench.hear(THIRD, &[update(THIRD, n, 5, 1, 0)]);
    }
    assert_eq!(bench.speaker.counters().limited_table, 10 + 5);
    let warnings = bench.speaker.warnings(bench.now);
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("too many prefixes")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("too many routes;")),
        "{warnings:?}"
    );
}

#[test]
fn prefixes_that_nobody_may_announce_are_refused_by_name() {
    type Count = fn(&Counters) -> u64;
    let table: [(&str, Count); 21] = [
        ("fe80::/10", |counters| counters.refused_link_local),
        ("fe80::/64", |counters| counters.refused_link_local),
        ("fe80::2/128", |counters| counters.refused_link_local),
        ("169.254.0.0/16", |counters| counters.refused_link_local),
        ("169.254.7.7/32", |counters| counters.refused_link_local),
        ("ff00::/8", |counters| counters.refused_multicast),
        ("ff02::/16", |counters| counters.refused_multicast),
        ("ff02::1:6/128", |counters| counters.refused_multicast),
        ("224.0.0.0/4", |counters| counters.refused_multicast),
        ("224.0.0.111/32", |counters| counters.refused_multicast),
        ("::1/128", |counters| counters.refused_loopback),
        ("127.0.0.0/8", |counters| counters.refused_loopback),
        ("127.0.0.1/32", |counters| counters.refused_loopback),
        ("::/128", |counters| counters.refused_unspecified),
        ("0.0.0.0/32", |counters| counters.refused_unspecified),
        ("0.0.0.0/8", |counters| counters.refused_reserved),
        ("240.0.0.0/4", |counters| counters.refused_reserved),
        ("255.255.255.255/32", |counters| counters.refused_reserved),
        ("::ffff:10.0.0.0/104", |counters| counters.refused_mapped),
        ("192.0.2.1/32", |counters| counters.refused_own_addresses),
        ("2001:db8:1::1/128", |counters| {
            counters.refused_own_addresses
        }),
    ];
    let route = |text: &str| RouteKey::new(text.parse().expect("a prefix"), None).expect("one");
    let announced = |text| {
        let Message::Update(update) = update(OTHER, 100, 5, 1, 0) else {
            unreachable!("it is an update");
        };
        Message::Update(Update {
            route: route(text),
            ..update
        })
    };
    let bench = || {
        let mut bench = Bench::new(|settings, lan| {
            lan.ipv4 = Some([192, 0, 2, 1].into());
            lan.split_horizon = false;
            settings.addresses = vec!["2001:db8:1::1".parse().expect("an address")];
        });
        bench.meet(OTHER);
        bench.outputs.clear();
        bench
    };
    for (text, count) in table {
        let mut bench = bench();
        bench.hear(OTHER, &[announced(text)]);
        bench.wait(Duration::from_secs(1));
        assert_eq!(count(bench.speaker.counters()), 1, "{text}");
        let done = bench
            .outputs
            .iter()
            .find(|output| matches!(output, Output::Install(new) if new.route == route(text)));
        assert_eq!(done, None);
        let said = bench.said();
        let passed_on = said.iter().any(
            |message| matches!(message, Message::Update(update) if update.route == route(text)),
        );
        assert!(!passed_on, "{text}");
    }
    for text in [
        "::/0",
        "0.0.0.0/0",
        "2000::/3",
        "fc00::/7",
        "10.0.0.0/8",
        "128.0.0.0/1",
        "192.0.2.0/24",
        "2001:db8:1::/64",
    ] {
        let mut bench = bench();
        bench.hear(OTHER, &[announced(text)]);
        let installed =
            |output: &Output| matches!(output, Output::Install(new) if new.route == route(text));
        assert!(bench.outputs.iter().any(installed), "{text}");
    }
}

#[test]
fn we_do_not_announce_what_nobody_may_and_take_no_source_of_that_kind() {
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    let key = |to: &str, from: Option<&str>| {
        let from = from.map(|from| from.parse().expect("a prefix"));
        RouteKey::new(to.parse().expect("a prefix"), from).expect("one family")
    };
    bench.input(Input::Announce {
        route: key("ff05::/16", None),
        metric: Metric(0),
    });
    assert_eq!(bench.speaker.totals().own, 0);
    assert_eq!(bench.speaker.counters().refused_multicast, 1);
    bench.meet(OTHER);
    let Message::Update(update) = update(OTHER, 100, 5, 1, 0) else {
        unreachable!("it is an update");
    };
    let route = key("2001:db8::/32", Some("fe80::/64"));
    bench.hear(OTHER, &[Message::Update(Update { route, ..update })]);
    assert!(bench.routes(None).is_empty());
    assert_eq!(bench.speaker.counters().refused_link_local, 1);
}

#[test]
fn routes_of_a_neighbour_are_bounded_and_others_are_unharmed() {
    let mut bench = Bench::new(|settings, _| settings.limits.routes_per_neighbour = 10);
    bench.meet(OTHER);
    bench.meet(THIRD);
    for n in 100..130 {
        bench.hear(OTHER, &[update(OTHER, n, 5, 1, 0)]);
    }
    bench.hear(THIRD, &[update(THIRD, 200, 6, 1, 0)]);
    assert_eq!(bench.speaker.counters().limited_routes, 20);
    assert_eq!(bench.selected(200), Some(THIRD));
}

#[test]
fn origins_of_a_prefix_are_bounded() {
    let mut bench = Bench::new(|settings, _| settings.limits.sources_per_route = 4);
    bench.meet(OTHER);
    for origin in 1..20 {
        bench.hear(OTHER, &[update(OTHER, 100, origin, 1, 0)]);
    }
    assert!(bench.speaker.counters().limited_sources >= 15);
}

#[test]
fn floods_of_requests_are_bounded() {
    let mut bench = Bench::new(|settings, _| settings.limits.requests_per_second = 10);
    bench.meet(OTHER);
    for n in 0..1000 {
        bench.hear(
            OTHER,
            &[Message::RouteRequest {
                route: Some(prefix(n)),
            }],
        );
    }
    assert!(
        bench.speaker.counters().limited_requests >= 890,
        "{:?}",
        bench.speaker.counters()
    );
}

#[test]
fn requests_that_wait_for_an_answer_are_bounded_and_the_log_hears_of_it_once() {
    let mut bench = Bench::new(|settings, _| settings.limits.pending_requests = 10);
    bench.meet(OTHER);
    for n in 100..130 {
        bench.hear(OTHER, &[update(OTHER, n, 5, 7, 10)]);
    }
    bench.wait(Duration::from_secs(1));
    bench.outputs.clear();
    for n in 100..130 {
        bench.hear(OTHER, &[update(OTHER, n, 5, 6, 10)]);
    }
    assert_eq!(bench.speaker.counters().limited_pending_requests, 20);
    let told = bench
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Event(Event::LimitReached { .. })));
    assert_eq!(told.count(), 1);
}

#[test]
fn one_neighbour_is_asked_so_often_and_no_more() {
    let mut bench = Bench::new(|settings, _| settings.probing.interval = Duration::from_secs(99));
    bench.meet(OTHER);
    for number in [7, 6] {
        for n in 0..3_000 {
            bench.hear(OTHER, &[update(OTHER, n, 5, number, 10)]);
        }
        bench.wait(Duration::from_millis(500));
    }
    let asked = |messages: Vec<Message>| {
        let requests = messages
            .iter()
            .filter(|message| matches!(message, Message::SequenceNumberRequest { .. }));
        requests.count()
    };
    let first = asked(bench.said());
    assert!((1_000..1_200).contains(&first), "{first} at once");
    bench.wait(Duration::from_secs(10));
    let then = asked(bench.said());
    assert!((800..1_200).contains(&then), "{then} in ten seconds");
}

#[test]
fn a_neighbour_harms_only_what_it_may_announce() {
    let mut bench = Bench::new(|_, lan| {
        lan.accept = Filter(vec![Rule {
            to: Some(prefix(100).to()),
            from: None,
            least_length: None,
            most_length: None,
            router_id: None,
            action: Action::Deny,
        }]);
    });
    bench.meet(OTHER);
    bench.hear(
        OTHER,
        &[update(OTHER, 100, 5, 1, 0), update(OTHER, 101, 5, 1, 0)],
    );
    assert_eq!(bench.selected(100), None);
    assert_eq!(bench.selected(101), Some(OTHER));
    assert_eq!(bench.speaker.counters().filtered_updates, 1);
}

#[test]
fn another_node_with_our_router_id_is_warned_of_as_long_as_it_is_there() {
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    assert!(bench.speaker.warnings(bench.now).is_empty());

    bench.hear(OTHER, &[update(OTHER, 100, 0, 1, 96)]);

    bench.wait(Duration::from_secs(60));
    let warnings = bench.speaker.warnings(bench.now);
    assert!(
        warnings[0].contains(&prefix(100).to().to_string()) && warnings[0].contains("router-id"),
        "{warnings:?}"
    );
    bench.hear(OTHER, &[retraction(100)]);
    assert!(bench.speaker.warnings(bench.now).is_empty());
}

#[test]
fn neighbours_that_come_and_go_are_greeted_so_often_and_no_more() {
    let mut bench = Bench::new(|_, _| {});
    for host in 2..2_000 {
        bench.hear(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, host), &[brief(1)]);
        // each is gone long before the next hundred come
        bench.wait(Duration::from_millis(10));
    }
    let events = bench
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Event(Event::NewNeighbour { .. })));
    let greeted = events.count();
    assert!(
        (256..256 + 16 * 21).contains(&greeted),
        "{greeted} in 20 seconds"
    );
    assert_eq!(
        bench.speaker.counters().limited_neighbours,
        1_998 - greeted as u64
    );
    bench.wait(Duration::from_secs(2));
    assert_eq!(bench.speaker.neighbours().len(), 0);
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 0)]);
    assert_eq!(bench.selected(100), Some(OTHER), "an honest one afterwards");
}

/// A Hello that promises the next in a hundredth of a second.
fn brief(number: u16) -> Message {
    Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(number),
        interval: Interval(1),
        timestamp: None,
    }
}

/// How many packets were sent.
fn packets(bench: &mut Bench) -> usize {
    bench.sent().len()
}

/// A neighbour says the same a thousand times in a second, another one its route: how many packets leave in that time.
fn flood(bench: &mut Bench, message: &Message) -> usize {
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(THIRD, &[update(THIRD, 200, 6, 1, 0)]);
    bench.wait(Duration::from_secs(3));
    bench.said();
    for _ in 0..1_000 {
        bench.hear(OTHER, std::slice::from_ref(message));
        bench.wait(Duration::from_millis(1));
    }
    assert_eq!(bench.selected(200), Some(THIRD));
    packets(bench)
}

#[test]
fn floods_of_what_is_answered_at_once_are_bounded() {
    let messages = [
        Message::Probe { token: 1 },
        Message::AcknowledgmentRequest {
            opaque: 1,
            interval: Interval(1),
        },
        Message::RouteRequest {
            route: Some(prefix(999)),
        },
        Message::SequenceNumberRequest {
            route: prefix(200),
            router_id: router_id(6),
            sequence_number: SequenceNumber(9_000),
            hop_count: 255,
        },
    ];
    for message in messages {
        let mut bench = Bench::new(|settings, _| settings.limits.requests_per_second = 20);
        let sent = flood(&mut bench, &message);
        assert!(sent <= 200 + 20 + 30, "{sent} packets for {message:?}");
        let counted = bench.speaker.counters().limited_requests;
        assert!(counted >= 700, "{counted} for {message:?}");
    }
}

#[test]
fn floods_of_requests_for_everything_are_answered_seldom() {
    const ROUTES: usize = 2_000;
    let messages = [
        Message::RouteRequest { route: None },
        Message::DigestMismatch { blocks: u64::MAX },
    ];
    for message in messages {
        let mut bench = Bench::new(|settings, _| settings.limits.requests_per_second = 10_000);
        for n in 1_000..1_000 + ROUTES {
            bench.input(Input::Announce {
                route: prefix(n),
                metric: Metric(0),
            });
        }
        let before = bench.speaker.counters().updates_sent;
        flood(&mut bench, &message);
        let sent = bench.speaker.counters().updates_sent - before;
        // at first to two neighbours and to all, then thrice at once and once more
        assert!(sent <= 7 * ROUTES as u64, "{sent} updates for {message:?}");
    }
}

#[test]
fn a_digest_that_lies_keeps_nothing_alive_but_its_own_routes() {
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[often(OTHER, 7, 10)]);
    for _ in 0..10 {
        for first in [0, 16, 32, 48] {
            let blocks = vec![0xdead; 16];
            let digest = Message::Digest {
                first,
                interval: Interval(60_000),
                blocks,
            };
            bench.hear(OTHER, &[digest]);
        }
        bench.wait(Duration::from_secs(2));
    }
    assert_eq!(bench.selected(100), None, "it expired");
    let counters = bench.speaker.counters();
    assert_eq!((counters.equal_digests, counters.expired_routes), (0, 1));
    assert_eq!(counters.unequal_blocks, 640);
}

#[test]
fn intervals_that_lie_harm_only_their_sender() {
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 0)]);
    for number in 1..4 {
        let forever = Message::Hello {
            unicast: false,
            sequence_number: SequenceNumber(number),
            interval: Interval(u16::MAX),
            timestamp: None,
        };
        bench.hear(THIRD, &[forever, heard()]);
    }
    bench.hear(
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 4),
        &[brief(1), heard()],
    );
    bench.wait(Duration::from_secs(1));
    let known: Vec<_> = bench.speaker.neighbours();
    assert_eq!(known.len(), 2, "the brief one is gone");
    assert_eq!(bench.selected(100), Some(OTHER));
    let begin = std::time::Instant::now();
    bench.wait(Duration::from_secs(60));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "a minute is little work"
    );
}

#[test]
fn origins_that_change_all_the_time_cause_few_packets() {
    const ELSEWHERE: InterfaceId = InterfaceId(2);
    let mut bench = Bench::new(|settings, _| settings.probing.interval = Duration::from_secs(99));
    let ours = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, 9);
    let settings = InterfaceSettings::new(InterfaceKind::Lan, ours);
    bench.input(Input::Interface {
        interface: ELSEWHERE,
        settings: Box::new(settings),
    });
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(THIRD, &[update(THIRD, 200, 6, 1, 0)]);
    bench.wait(Duration::from_secs(3));
    bench.said();
    for origin in 0..10_000 {
        bench.hear(OTHER, &[update(OTHER, 100, 10 + origin, 1, 0)]);
        if origin % 10 == 0 {
            bench.wait(Duration::from_millis(1));
        }
    }
    let sent = packets(&mut bench);
    assert!(sent < 300, "{sent} packets in a second, for 10,000 changes");
    assert!(bench.speaker.counters().limited_sources >= 9_900);
    assert_eq!(bench.selected(200), Some(THIRD));
    bench.wait(Duration::from_secs(20));
    let after = packets(&mut bench);
    assert!(
        after < 60,
        "{after} packets in the twenty seconds after that"
    );
}

#[test]
fn a_flood_of_prefixes_stops_at_the_limit_and_is_said_once() {
    let mut bench = Bench::new(|settings, _| settings.limits.routes_per_neighbour = 1_000);
    bench.meet(OTHER);
    bench.meet(THIRD);
    for n in 0..20_000 {
        bench.hear(OTHER, &[update(OTHER, 1_000 + n, 5, 1, 0)]);
    }
    bench.hear(THIRD, &[update(THIRD, 200, 6, 1, 0)]);
    assert_eq!(bench.routes(None).len(), 1_001);
    assert_eq!(bench.speaker.counters().limited_routes, 19_000);
    assert_eq!(bench.selected(200), Some(THIRD));
    let told = bench
        .outputs
        .iter()
        .filter(|output| matches!(output, Output::Event(Event::LimitReached { .. })));
    assert_eq!(told.count(), 1);
}
