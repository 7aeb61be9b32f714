//! Rules of the protocol that one speaker alone shows (RFC 8966 sections 3.3 to 3.8).

use std::{net::Ipv6Addr, time::Duration};

use super::{
    bench::{Bench, LAN, OTHER, OURS, THIRD, heard, hello, retraction, update, updates},
    network::prefix,
};
use crate::babel::{
    filter::{Action, Filter, Rule},
    input::Input,
    message::Message,
    output::{GROUP, Output},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings, RoundTrip},
};

#[test]
fn our_number_goes_on_after_a_restart_and_is_saved_before_it_is_said() {
    // section 3.2.1: the one saved last was 100
    let mut bench = Bench::with_announced(|_, _| {});
    bench.meet(OTHER);
    let saved = |output: &Output| *output == Output::SaveSequenceNumber(SequenceNumber(101));
    let sent = |output: &Output| matches!(output, Output::Send { .. });
    let (saved, sent) = (
        bench.outputs.iter().position(saved),
        bench.outputs.iter().position(sent),
    );
    assert!(saved.is_some() && saved < sent, "{saved:?}, {sent:?}");
    assert_eq!(updates(&bench.said(), 0).first(), Some(&(101, 0)));
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
    assert_eq!(updates(&bench.said(), 999), [(0, u16::MAX)]);
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
fn packets_from_elsewhere_are_dropped() {
    let mut bench = Bench::new(|_, _| {});
    let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    bench.hear(global, &[hello(1)]);
    assert_eq!(bench.speaker.counters().foreign_packets, 1);
    assert!(bench.speaker.neighbours().is_empty());
}

#[test]
fn packets_fit_the_link_or_have_512_octets() {
    // section 4: the MTU less IPv6 and UDP headers; of larger MTUs 1280, which every path takes
    for (mtu, longest) in [(1_500, 1_232), (1_280, 1_232), (1_000, 952), (100, 512)] {
        let mut bench = Bench::with_announced(|_, lan| lan.mtu = mtu);
        for n in 100..400 {
            bench.input(Input::Announce {
                route: prefix(n),
                metric: Metric(0),
            });
        }
        bench.meet(OTHER);
        bench.wait(Duration::from_secs(20));
        let lengths = bench.outputs.iter().filter_map(|output| match output {
            Output::Send { packet, .. } => Some(packet.bytes.len()),
            _ => None,
        });
        let most = lengths.max().expect("something is said");
        assert!(
            (longest - 40..=longest).contains(&most),
            "{most} for an MTU of {mtu}"
        );
    }
}

#[test]
fn an_acknowledgment_comes_in_time_to_whoever_asked() {
    // section 3.3
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.said();
    let request = Message::AcknowledgmentRequest {
        opaque: 7,
        interval: Interval(1),
    };
    bench.hear(OTHER, &[request]);
    bench.wait(Duration::from_millis(10));
    let answer = (OTHER, vec![Message::Acknowledgment { opaque: 7 }]);
    assert!(bench.sent().contains(&answer));
}

fn hellos(messages: &[Message]) -> Vec<(u16, u16)> {
    let hellos = messages.iter().filter_map(|message| match message {
        Message::Hello {
            sequence_number,
            interval,
            ..
        } => Some((sequence_number.0, interval.0)),
        _ => None,
    });
    hellos.collect()
}

#[test]
fn hellos_are_numbered_one_by_one_and_tell_of_another_interval_soon() {
    // section 3.4.1
    let mut bench = Bench::new(|_, _| {});
    bench.wait(Duration::from_secs(30));
    let said = hellos(&bench.said());
    assert!(said.len() > 7, "{said:?}");
    for pair in said.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
        assert_eq!(pair[1].1, 400);
    }
    let mut settings = InterfaceSettings::new(InterfaceKind::Lan, OURS);
    settings.hello_interval = Duration::from_secs(15);
    bench.input(Input::Interface {
        interface: LAN,
        settings: Box::new(settings),
    });
    bench.wait(Duration::from_millis(50));
    let last = said.last().expect("several").0;
    assert_eq!(hellos(&bench.said()), [(last.wrapping_add(1), 1_500)]);
}

fn hello_of(unicast: bool, number: u16, hundredths: u16) -> Message {
    Message::Hello {
        unicast,
        sequence_number: SequenceNumber(number),
        interval: Interval(hundredths),
        timestamp: None,
    }
}

#[test]
fn a_hello_without_interval_counts_but_promises_nothing() {
    // section 3.4.1
    let mut bench = Bench::new(|_, _| {});
    bench.hear(OTHER, &[hello_of(false, 1, 400), heard()]);
    bench.hear(OTHER, &[hello_of(false, 2, 0)]);
    let reach = |bench: &Bench| bench.speaker.neighbours()[0].reach;
    assert_eq!(reach(&bench), 0xc000);
    bench.wait(Duration::from_millis(5_900));
    assert_eq!(reach(&bench), 0xc000);
    bench.wait(Duration::from_millis(200));
    assert_eq!(
        reach(&bench),
        0x6000,
        "one and a half of the interval of the first"
    );
}

#[test]
fn unicast_hellos_have_a_history_of_their_own() {
    // section 3.4.1 and appendix A.1
    let mut bench = Bench::new(|_, _| {});
    bench.hear(OTHER, &[hello_of(false, 900, 10_000), heard()]);
    for number in 1..4 {
        bench.hear(OTHER, &[hello_of(true, number, 10_000)]);
    }
    let neighbour = &bench.speaker.neighbours()[0];
    assert_eq!((neighbour.reach, neighbour.unicast_reach), (0x8000, 0xe000));
    assert_eq!(neighbour.cost, Metric(96), "either is enough");
}

#[test]
fn who_is_not_heard_to_hear_us_is_unusable_after_three_and_a_half_intervals() {
    // section 3.4.2
    let mut bench = Bench::new(|_, _| {});
    for number in 1..4 {
        bench.hear(OTHER, &[hello(number)]);
    }
    let hears = Message::IHeardYou {
        address: Some(OURS.into()),
        reception_cost: Metric(96),
        interval: Interval(400),
        timestamps: None,
    };
    bench.hear(OTHER, &[hears]);
    let cost = |bench: &Bench| bench.speaker.neighbours()[0].cost;
    bench.wait(Duration::from_millis(13_900));
    assert_eq!(cost(&bench), Metric(96));
    bench.wait(Duration::from_millis(200));
    assert_eq!(cost(&bench), Metric::INFINITY);
}

#[test]
fn what_others_hear_of_others_is_nothing_to_us() {
    // section 4.6.6
    let mut bench = Bench::new(|_, _| {});
    let other = Message::IHeardYou {
        address: Some(THIRD.into()),
        reception_cost: Metric(96),
        interval: Interval(400),
        timestamps: None,
    };
    for number in 1..4 {
        bench.hear(OTHER, &[hello(number), other.clone()]);
    }
    let neighbour = &bench.speaker.neighbours()[0];
    assert_eq!(neighbour.transmission_cost, Metric::INFINITY);
}

#[test]
fn a_neighbour_that_says_nothing_any_more_is_forgotten() {
    // section 3.2.4 and appendix A.1: sixteen Hellos
    let mut bench = Bench::new(|settings, _| settings.probing.interval = Duration::from_secs(99));
    for number in 1..4 {
        bench.hear(OTHER, &[hello_of(false, number, 100), heard()]);
    }
    bench.wait(Duration::from_secs(3));
    assert_eq!(bench.speaker.neighbours().len(), 1);
    bench.wait(Duration::from_secs(15));
    assert_eq!(bench.speaker.neighbours().len(), 0);
}

#[test]
fn our_own_routes_coming_back_are_ignored() {
    // section 3.5.3
    let mut bench = Bench::with_announced(|_, _| {});
    bench.meet(OTHER);
    bench.hear(
        OTHER,
        &[update(OTHER, 0, 0, 100, 96), update(OTHER, 100, 0, 100, 96)],
    );
    assert_eq!(bench.speaker.counters().own_updates, 2);
    assert_eq!(bench.selected(0), None);
    assert_eq!(bench.selected(100), None);
}

#[test]
fn a_slightly_better_route_has_to_last() {
    // section 3.6: hysteresis
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 50)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 7, 40)]);
    bench.wait(Duration::from_millis(3_900));
    assert_eq!(bench.selected(100), Some(OTHER));
    assert_eq!(bench.why(100), "a better one has not lasted yet");
    bench.wait(Duration::from_millis(300));
    assert_eq!(bench.selected(100), Some(THIRD));
    assert_eq!(bench.why(100), "it is the best");
    bench.hear(OTHER, &[update(OTHER, 100, 5, 8, 0)]);
    assert_eq!(bench.selected(100), Some(OTHER), "much better: at once");
}

#[test]
fn everything_is_announced_again_each_interval() {
    // section 3.7.1
    let mut bench = Bench::with_announced(|_, _| {});
    bench.meet(OTHER);
    bench.wait(Duration::from_secs(20));
    bench.said();
    bench.wait(Duration::from_secs(160));
    let said = updates(&bench.said(), 0);
    assert_eq!(said.len(), 10);
    let number = bench.speaker.sequence_number();
    assert!(
        said.iter().all(|update| *update == (number.0, 0)),
        "own number and metric"
    );
}

#[test]
fn what_must_not_get_lost_is_said_four_times() {
    // section 3.7.2: a retraction, and another origin
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.wait(Duration::from_millis(200));
    assert_eq!(updates(&bench.said(), 100), [(7, 106)], "a new one once");
    bench.hear(OTHER, &[update(OTHER, 100, 6, 9, 10)]);
    bench.wait(Duration::from_secs(12));
    assert_eq!(updates(&bench.said(), 100), [(9, 106); 4]);
    bench.wait(Duration::from_secs(10));
    bench.said();
    bench.hear(OTHER, &[retraction(100)]);
    bench.wait(Duration::from_millis(200));
    assert_eq!(updates(&bench.said(), 100), [(9, u16::MAX)], "soon");
    bench.wait(Duration::from_secs(12));
    assert_eq!(updates(&bench.said(), 100), [(9, u16::MAX); 3]);
}

#[test]
fn a_start_and_an_end_void_what_was_announced() {
    // section 3.8.2 and appendix B
    let mut bench = Bench::new(|_, _| {});
    let begin = bench.said();
    assert_eq!(begin[..2], [Message::RetractAll, Message::RetractAll]);
    assert!(begin.contains(&Message::RouteRequest { route: None }));
    bench.meet(OTHER);
    bench.said();
    bench.input(Input::ShutDown);
    let unheard = Message::IHeardYou {
        address: Some(OTHER.into()),
        reception_cost: Metric::INFINITY,
        interval: Interval(400),
        timestamps: None,
    };
    let leave = (GROUP, vec![Message::RetractAll, unheard]);
    assert_eq!(bench.sent(), [leave.clone(), leave]);
}

#[test]
fn a_request_for_everything_is_answered_with_everything() {
    // section 3.8.1.1
    let mut bench = Bench::with_announced(|_, _| {});
    bench.meet(OTHER);
    bench.wait(Duration::from_secs(3));
    bench.said();
    bench.hear(OTHER, &[Message::RouteRequest { route: None }]);
    bench.wait(Duration::from_millis(50));
    assert_eq!(updates(&bench.said(), 0), [(101, 0)]);
}

#[test]
fn times_are_echoed_only_beside_a_hello() {
    // RFC 9616 section 3.2, also where all neighbours do not fit one packet
    let mut bench = Bench::new(|_, lan| lan.round_trip = Some(RoundTrip::default()));
    for host in 2..100 {
        let timed = Message::Hello {
            unicast: false,
            sequence_number: SequenceNumber(1),
            interval: Interval(10_000),
            timestamp: Some(5),
        };
        bench.hear(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host), &[timed]);
    }
    bench.wait(Duration::from_secs(10));
    let mut echoes = 0;
    for (_, messages) in bench.sent() {
        let echoing = |message: &&Message| {
            matches!(
                message,
                Message::IHeardYou {
                    timestamps: Some(_),
                    ..
                }
            )
        };
        let count = messages.iter().filter(echoing).count();
        assert!(count == 0 || !hellos(&messages).is_empty());
        echoes += count;
    }
    assert!(echoes > 0);
}

#[test]
fn what_a_new_filter_denies_is_retracted() {
    // appendix C: a retraction of what was said is never filtered
    let mut bench = Bench::with_announced(|_, _| {});
    bench.meet(OTHER);
    bench.said();
    let mut settings = InterfaceSettings::new(InterfaceKind::Lan, OURS);
    settings.announce = Filter(vec![Rule {
        to: Some(prefix(0).to()),
        from: None,
        least_length: None,
        most_length: None,
        router_id: None,
        action: Action::Deny,
    }]);
    bench.input(Input::Interface {
        interface: LAN,
        settings: Box::new(settings),
    });
    bench.wait(Duration::from_millis(50));
    assert_eq!(updates(&bench.said(), 0), [(101, u16::MAX)]);
}
