//! Neighbours that lie or flood: bounded, counted, and others are unharmed. Among them what other implementations got
//! wrong.

use std::{net::Ipv6Addr, time::Duration};

use super::network::{prefix, router_id};
use crate::babel::{
    filter::{Action, Filter, Rule},
    input::{Input, InterfaceId, Restored},
    message::{Message, NextHop, Update},
    output::{Event, GROUP, Output},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings, Settings},
    speaker::Speaker,
    time::Time,
    wire::{PacketWriter, decode},
};

const LAN: InterfaceId = InterfaceId(1);
const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const THIRD: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

/// One speaker and whatever is said to it.
struct Bench {
    speaker: Speaker,
    now: Time,
    outputs: Vec<Output>,
}

impl Bench {
    fn new(adjust: impl FnOnce(&mut Settings, &mut InterfaceSettings)) -> Self {
        let mut settings = Settings::new(router_id(0));
        let mut lan = InterfaceSettings::new(InterfaceKind::Lan, OURS);
        adjust(&mut settings, &mut lan);
        let now = Time(1_000_000);
        let restored = Restored {
            sequence_number: Some(SequenceNumber(100)),
            ..Restored::default()
        };
        let speaker = Speaker::new(now, settings, &restored, 1);
        let mut bench = Self {
            speaker,
            now,
            outputs: Vec::new(),
        };
        bench.input(Input::Interface {
            interface: LAN,
            settings: Box::new(lan),
        });
        bench
    }

    fn input(&mut self, input: Input) {
        self.speaker.handle(self.now, input, &mut self.outputs);
    }

    fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(next) = self.speaker.next_deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.input(Input::Time);
        }
        self.now = until;
    }

    fn hear(&mut self, source: Ipv6Addr, messages: &[Message]) {
        let mut packet = PacketWriter::new(1400, source);
        for message in messages {
            packet.push(message).expect("legal, and there is room");
        }
        let (bytes, received_at) = (packet.finish(), self.now);
        self.input(Input::Received {
            interface: LAN,
            source,
            destination: GROUP,
            bytes,
            received_at,
        });
    }

    /// A usable neighbour.
    fn meet(&mut self, source: Ipv6Addr) {
        for number in 1..4 {
            self.hear(source, &[hello(number), heard()]);
        }
        self.wait(Duration::from_millis(500));
    }

    /// What was said to a neighbour or to all since the last call.
    fn said(&mut self) -> Vec<Message> {
        let sent =
            std::mem::take(&mut self.outputs)
                .into_iter()
                .filter_map(|output| match output {
                    Output::Send { packet, .. } => Some(packet.bytes),
                    _ => None,
                });
        sent.flat_map(|bytes| decode(&bytes, OURS).expect("our own").collect::<Vec<_>>())
            .collect()
    }

    fn selected(&self, n: usize) -> Option<Ipv6Addr> {
        let routes = self.speaker.routes(self.now, Some(prefix(n)));
        let candidates = routes.iter().flat_map(|route| &route.candidates);
        candidates
            .filter(|candidate| candidate.selected)
            .map(|candidate| candidate.neighbour)
            .next()
    }
}

fn hello(number: u16) -> Message {
    Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(number),
        interval: Interval(10_000),
        timestamp: None,
    }
}

fn heard() -> Message {
    Message::IHeardYou {
        address: Some(OURS.into()),
        reception_cost: Metric(96),
        interval: Interval(30_000),
        timestamps: None,
    }
}

fn update(from: Ipv6Addr, n: usize, origin: usize, number: u16, metric: u16) -> Message {
    Message::Update(Update {
        route: prefix(n),
        router_id: Some(router_id(origin)),
        sequence_number: SequenceNumber(number),
        metric: Metric(metric),
        interval: Interval(10_000),
        next_hop: Some(NextHop::Ipv6(from)),
    })
}

fn finite_updates(messages: &[Message], n: usize) -> Vec<(u16, u16)> {
    let updates = messages.iter().filter_map(|message| match message {
        Message::Update(update) if update.route == prefix(n) => {
            Some((update.sequence_number.0, update.metric.0))
        }
        _ => None,
    });
    updates.collect()
}

#[test]
fn neighbours_of_an_interface_are_bounded() {
    let mut bench = Bench::new(|settings, _| settings.limits.neighbours_per_interface = 3);
    for host in 2..10 {
        bench.hear(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host), &[hello(1)]);
    }
    assert_eq!(bench.speaker.neighbours(bench.now).len(), 3);
    assert_eq!(bench.speaker.counters().limited_neighbours, 5);
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
fn packets_from_elsewhere_are_dropped() {
    let mut bench = Bench::new(|_, _| {});
    let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    bench.hear(global, &[hello(1)]);
    assert_eq!(bench.speaker.counters().foreign_packets, 1);
    assert!(bench.speaker.neighbours(bench.now).is_empty());
}

#[test]
fn a_request_far_ahead_of_our_number_raises_it_by_one() {
    // section 3.8.1.2; FRR ignored requests more than 100 ahead
    let mut bench = Bench::new(|_, _| {});
    bench.input(Input::Announce {
        route: prefix(0),
        metric: Metric(0),
    });
    bench.meet(OTHER);
    bench.said();
    let before = bench.speaker.sequence_number();
    bench.hear(
        OTHER,
        &[Message::SequenceNumberRequest {
            route: prefix(0),
            router_id: router_id(0),
            sequence_number: SequenceNumber(before.0.wrapping_add(5_000)),
            hop_count: 9,
        }],
    );
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.speaker.sequence_number(), before.next());
    assert!(finite_updates(&bench.said(), 0).contains(&(before.next().0, 0)));
}

#[test]
fn a_request_for_a_route_is_answered_even_where_it_was_learned() {
    // section 3.8.1.1 against 3.7.4; FRR's split horizon swallowed the answer
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 0)]);
    bench.wait(Duration::from_secs(3));
    assert_eq!(finite_updates(&bench.said(), 100), [], "split horizon");
    bench.hear(
        OTHER,
        &[Message::RouteRequest {
            route: Some(prefix(100)),
        }],
    );
    bench.wait(Duration::from_millis(200));
    assert_eq!(finite_updates(&bench.said(), 100), [(1, 96)]);
}

#[test]
fn a_request_for_what_is_not_there_is_answered_with_a_retraction() {
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.said();
    bench.hear(
        OTHER,
        &[Message::RouteRequest {
            route: Some(prefix(999)),
        }],
    );
    bench.wait(Duration::from_millis(200));
    assert_eq!(finite_updates(&bench.said(), 999), [(0, u16::MAX)]);
}

#[test]
fn a_route_that_became_unfeasible_with_another_origin_is_unselected_at_once() {
    // section 3.5.3; FRR kept such routes installed
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 6, 1, 10)]);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 10)]);
    assert_eq!(bench.selected(100), Some(OTHER));
    bench.hear(OTHER, &[update(OTHER, 100, 6, 1, 500)]);
    assert_eq!(bench.selected(100), None);
}

#[test]
fn an_unfeasible_update_of_the_selected_route_is_ignored_and_a_newer_one_asked_for() {
    // sections 3.5.3 and 3.8.2.2
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.said();
    bench.hear(OTHER, &[update(OTHER, 100, 5, 6, 10)]);
    assert_eq!(bench.selected(100), Some(OTHER));
    bench.wait(Duration::from_millis(50));
    let asked = bench.said().into_iter().any(|message| {
        matches!(
            message,
            Message::SequenceNumberRequest {
                sequence_number: SequenceNumber(8),
                ..
            }
        )
    });
    assert!(asked);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 8, 500)]);
    let routes = bench.speaker.routes(bench.now, Some(prefix(100)));
    assert_eq!(routes[0].candidates[0].metric, Metric(596));
}

#[test]
fn a_route_that_gets_worse_is_used_until_a_better_one_may_be() {
    // the neighbour was nearer than we are when it announced 10, and can only come nearer (section 3.5.1)
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 7, 300)]);
    bench.wait(Duration::from_millis(200));
    bench.said();
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 5_000)]);
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.selected(100), Some(OTHER));
    let asked = bench
        .said()
        .into_iter()
        .any(|message| matches!(message, Message::SequenceNumberRequest { .. }));
    assert!(asked, "the other way would be better");
    bench.hear(THIRD, &[update(THIRD, 100, 5, 8, 300)]);
    assert_eq!(bench.selected(100), Some(THIRD));
}

#[test]
fn requests_are_passed_on_to_a_feasible_route_before_others() {
    // section 3.8.1.2; FRR did not look at feasibility
    const FOURTH: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 4);
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    for neighbour in [OTHER, THIRD, FOURTH] {
        bench.meet(neighbour);
    }
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 10)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 1, 400)]);
    bench.wait(Duration::from_millis(50));
    bench.outputs.clear();
    bench.hear(
        FOURTH,
        &[Message::SequenceNumberRequest {
            route: prefix(100),
            router_id: router_id(5),
            sequence_number: SequenceNumber(2),
            hop_count: 3,
        }],
    );
    bench.wait(Duration::from_millis(20));
    let to: Vec<(Ipv6Addr, u8)> = bench
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send {
                destination,
                packet,
                ..
            } => decode(&packet.bytes, OURS)
                .ok()?
                .find_map(|message| match message {
                    Message::SequenceNumberRequest { hop_count, .. } => {
                        Some((*destination, hop_count))
                    }
                    _ => None,
                }),
            _ => None,
        })
        .collect();
    assert_eq!(to, [(OTHER, 2)]);
}
