//! What other implementations got wrong, each with where it was reported. The wire format's are beside it.

use std::{net::Ipv6Addr, time::Duration};

use super::{
    bench::{
        Bench, OTHER, OURS, THIRD, asks_for, hello, often, requests, retraction, update, updates,
    },
    network::{Installed, Link, Network, prefix, router_id},
};
use crate::babel::{
    filter::{Action, Filter, Rule},
    input::Input,
    message::Message,
    output::Output,
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceSettings, RoundTrip},
    wire::decode,
};

#[test]
fn a_request_far_ahead_of_our_number_raises_it_by_one() {
    // section 3.8.1.2; FRR pull request 22895: requests more than 100 ahead were ignored
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
    assert!(updates(&bench.said(), 0).contains(&(before.next().0, 0)));
}

#[test]
fn a_request_for_a_route_is_answered_even_where_it_was_learned() {
    // section 3.8.1.1 against 3.7.4; FRR issue 22918: split horizon swallowed the answer
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 0)]);
    bench.wait(Duration::from_secs(3));
    assert_eq!(updates(&bench.said(), 100), [], "split horizon");
    bench.hear(
        OTHER,
        &[Message::RouteRequest {
            route: Some(prefix(100)),
        }],
    );
    bench.wait(Duration::from_millis(200));
    assert_eq!(updates(&bench.said(), 100), [(1, 96)]);
}

#[test]
fn a_route_that_became_unfeasible_with_another_origin_is_unselected_at_once() {
    // section 3.5.3; FRR kept such routes installed (pull request 22928)
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
    // sections 3.5.3 and 3.8.2.2; FRR pull request 22928: it was taken over and stayed installed
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
    let route = bench.route(100).expect("it is known");
    assert_eq!(route.candidates[0].metric, Metric(596));
}

#[test]
fn requests_are_passed_on_to_a_feasible_route_before_others() {
    // section 3.8.1.2; FRR did not look at feasibility (pull request 18581)
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

#[test]
fn a_feasibility_distance_is_kept_for_three_minutes_after_the_last_announcement() {
    // section 3.7.3; FRR issue 18554
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.wait_among(&[OTHER], 300);
    bench.hear(OTHER, &[retraction(100)]);
    bench.wait_among(&[OTHER], 170);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 200)]);
    assert_eq!(bench.selected(100), None, "we announced it as 106");
    bench.wait_among(&[OTHER], 20);
    assert_eq!(bench.selected(100), Some(OTHER), "forgotten");
}

#[test]
fn a_newer_route_is_asked_for_when_all_feasible_ones_are_lost() {
    // section 3.8.2.1; FRR pull request 18582
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    bench.hear(THIRD, &[update(THIRD, 100, 5, 7, 300)]);
    bench.wait(Duration::from_secs(1));
    bench.outputs.clear();
    bench.hear(OTHER, &[retraction(100)]);
    assert_eq!(bench.selected(100), None);
    bench.wait(Duration::from_millis(20));
    let asked = bench
        .sent()
        .into_iter()
        .map(|(to, messages)| (to, requests(&messages)))
        .find(|(_, requests)| !requests.is_empty());
    let (to, requests) = asked.expect("a request");
    assert_eq!(to, THIRD);
    assert_eq!((requests[0].0, requests[0].1), (prefix(100), 8));
}

#[test]
fn an_unfeasible_route_that_is_announced_lives_on() {
    // section 3.5.3; FRR pull request 22915
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.hear(OTHER, &[update(OTHER, 100, 5, 7, 10)]);
    for _ in 0..10 {
        bench.hear(THIRD, &[often(THIRD, 7, 300)]);
        bench.wait_among(&[OTHER, THIRD], 4);
    }
    let candidate = bench.candidate(100, THIRD).expect("known");
    assert_eq!(candidate.advertised_metric, Metric(300));
    assert!(!candidate.feasible);
}

#[test]
fn a_route_expires_when_its_time_is_over_and_not_before() {
    // sections 3.5.3 and 3.8.2.3; FRR pull request 22912
    let mut bench = Bench::new(|_, _| {});
    bench.meet(OTHER);
    bench.hear(OTHER, &[often(OTHER, 7, 10)]);
    bench.said();
    bench.wait(Duration::from_millis(9_900));
    assert!(!asks_for(&bench.said(), 100));
    bench.wait(Duration::from_millis(300));
    let asked = bench.sent();
    let to: Vec<_> = asked
        .iter()
        .filter(|(_, messages)| asks_for(messages, 100))
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(to, [OTHER], "one interval before the end, once");
    bench.wait(Duration::from_millis(3_700));
    assert_eq!(bench.selected(100), Some(OTHER), "after 13.9 s");
    bench.wait(Duration::from_millis(300));
    assert_eq!(bench.selected(100), None, "after 14.2 s");
    let candidate = bench.candidate(100, OTHER).expect("kept as retracted");
    assert!(candidate.advertised_metric.is_infinite());
    bench.wait(Duration::from_millis(14_200));
    assert!(bench.candidate(100, OTHER).is_none(), "removed");
}

#[test]
fn whoever_claims_to_hear_us_for_nothing_costs_one() {
    // section 3.4.3; FRR issue 22917
    let mut bench = Bench::new(|_, _| {});
    let free = Message::IHeardYou {
        address: Some(OURS.into()),
        reception_cost: Metric(0),
        interval: Interval(30_000),
        timestamps: None,
    };
    for number in 1..4 {
        bench.hear(OTHER, &[hello(number), free.clone()]);
    }
    bench.wait(Duration::from_millis(500));
    bench.hear(OTHER, &[update(OTHER, 100, 5, 1, 10)]);
    let candidate = bench.candidate(100, OTHER).expect("known");
    assert_eq!(candidate.metric, Metric(11));
}

#[test]
fn a_hop_without_delay_costs_something() {
    // section 3.5.2; mycelium issue 54
    let mut links: Vec<Link> = (1..5).map(|node| Link::new(node - 1, node, 0)).collect();
    for link in &mut links {
        link.delay = Duration::from_micros(50);
    }
    links.push(Link::new(0, 4, 3));
    let adjust =
        |settings: &mut InterfaceSettings| settings.round_trip = Some(RoundTrip::default());
    let mut network = Network::with(5, links, 1, adjust, |_| {});
    network.run(Duration::from_secs(30));
    let installed = network.installed[0]
        .get(&prefix(4))
        .map(|route| route.metric);
    assert_eq!(installed, Some(Metric(3)), "one hop of 3 before four of 1");
}

#[test]
fn a_way_that_got_slow_is_left_although_its_distance_was_small() {
    // babeld issue 73: the feasibility distance of noon kept everybody from the better way of the night
    let (day, night) = (Duration::from_millis(10), Duration::from_millis(150));
    let mut links = vec![
        Link::new(0, 1, 96),
        Link::new(1, 2, 96),
        Link::new(0, 3, 96),
        Link::new(3, 2, 96),
    ];
    for link in &mut links[..2] {
        link.delay = day;
    }
    for link in &mut links[2..] {
        link.delay = Duration::from_millis(40);
    }
    let adjust =
        |settings: &mut InterfaceSettings| settings.round_trip = Some(RoundTrip::default());
    let mut network = Network::with(4, links, 1, adjust, |_| {});
    network.run(Duration::from_secs(60));
    assert_eq!(network.routes[0].get(&prefix(2)), Some(&Installed::Via(1)));
    for _ in 0..3 {
        network.links[1].delay = night;
        network.run_without_loops(Duration::from_secs(60));
        assert_eq!(network.routes[0].get(&prefix(2)), Some(&Installed::Via(3)));
        network.links[1].delay = day;
        network.run_without_loops(Duration::from_secs(60));
        assert_eq!(network.routes[0].get(&prefix(2)), Some(&Installed::Via(1)));
    }
}

#[test]
fn a_metric_that_does_not_fit_is_infinite() {
    // section 3.5.2; freifunk-berlin bbb-configs issue 1359: 67309 was refused as no metric at all
    let add = |settings: &mut InterfaceSettings| {
        settings.accept = Filter(vec![Rule {
            to: None,
            from: None,
            least_length: None,
            most_length: None,
            router_id: None,
            action: Action::Allow { add_metric: 60_000 },
        }]);
    };
    let mut bench = Bench::new(|_, lan| add(lan));
    bench.meet(OTHER);
    bench.hear(
        OTHER,
        &[
            update(OTHER, 100, 5, 1, 7_309),
            update(OTHER, 101, 5, 1, 5_000),
        ],
    );
    assert_eq!(bench.selected(100), None);
    assert_eq!(bench.selected(101), Some(OTHER));
    let candidate = bench.candidate(101, OTHER).expect("known");
    assert_eq!(candidate.metric, Metric(65_096));
    // and on the way out
    let mut bench = Bench::with_announced(|_, lan| {
        lan.announce = Filter(vec![Rule {
            to: None,
            from: None,
            least_length: None,
            most_length: None,
            router_id: None,
            action: Action::Allow { add_metric: 60_000 },
        }]);
    });
    bench.meet(OTHER);
    bench.said();
    bench.input(Input::Announce {
        route: prefix(0),
        metric: Metric(7_309),
    });
    bench.wait(Duration::from_millis(200));
    let said = updates(&bench.said(), 0);
    assert!(
        !said.is_empty() && said.iter().all(|(_, metric)| *metric == u16::MAX),
        "{said:?}"
    );
}
