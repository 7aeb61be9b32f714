//! A speaker that was started again, and what foreign neighbours ask of it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::{
    bench::{self, Bench, requests, retraction, update},
    network::{Kept, Link, Network, other_prefixes, prefix, router_id},
};
use crate::babel::{
    input::{Distance, Input, InstalledRoute, InterfaceId, Restored},
    message::{Message, NextHop, Update},
    output::{GROUP, Output},
    quantities::{Interval, Metric, SequenceNumber},
    settings::{InterfaceKind, InterfaceSettings, Settings},
    speaker::Speaker,
    wire::{PacketWriter, decode},
};
use crate::{route::RouteKey, time::Time};

const LAN: InterfaceId = InterfaceId(100);
const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 2);

/// Which of these prefixes a speaker retracts when a neighbour that just met it asks for them.
fn retracted(speaker: &mut Speaker, begin: Time, prefixes: &[usize]) -> Vec<usize> {
    let mut outputs = Vec::new();
    let interface = Input::Interface {
        interface: LAN,
        settings: Box::new(InterfaceSettings::new(InterfaceKind::Lan, OURS)),
    };
    speaker.handle(begin, interface, &mut outputs);
    let mut packet = PacketWriter::new(1400, OTHER);
    let hello = Message::Hello {
        unicast: false,
        sequence_number: SequenceNumber(1),
        interval: Interval(400),
        timestamp: None,
    };
    let requests = prefixes.iter().map(|n| Message::RouteRequest {
        route: Some(prefix(*n)),
    });
    for message in std::iter::once(hello).chain(requests) {
        packet.push(&message).expect("legal, and there is room");
    }
    let received = Input::Received {
        interface: LAN,
        source: OTHER,
        destination: GROUP,
        bytes: packet.finish(),
        received_at: begin,
    };
    speaker.handle(begin, received, &mut outputs);
    let end = begin + Duration::from_secs(2);
    while let Some(next) = speaker.next_deadline().filter(|next| *next <= end) {
        speaker.handle(next.max(begin), Input::Time, &mut outputs);
    }
    let sent = outputs.into_iter().filter_map(|output| match output {
        Output::Send { packet, .. } => Some(packet.bytes),
        _ => None,
    });
    let said: Vec<Message> = sent
        .flat_map(|bytes| decode(&bytes, OURS).expect("our own").collect::<Vec<_>>())
        .collect();
    let is_retracted = |n: &usize| {
        said.iter().any(|message| {
            matches!(message, Message::Update(update) if update.route == prefix(*n) && update.metric.is_infinite())
        })
    };
    prefixes.iter().copied().filter(is_retracted).collect()
}

#[test]
fn what_is_still_forwarded_after_a_restart_is_not_retracted_for_those_who_ask() {
    // babeld asks as soon as our new count of Hellos makes it start anew with us
    let links = vec![Link::new(0, 1, 96), Link::new(1, 2, 96)];
    let mut network = Network::new(3, links, 1);
    network.run(Duration::from_secs(20));
    let before = network.speakers[1].as_ref().expect("it runs");
    let restored = Restored {
        routes: before.installed(),
        ..Restored::default()
    };
    let begin = network.now;
    let mut speaker = Speaker::new(begin, Settings::new(router_id(1)), &restored, 1);

    let retracted = retracted(&mut speaker, begin, &[0, 2, 9]);

    assert_eq!(retracted, [9], "there never was a way to this one alone");
}

#[test]
fn neighbours_believe_a_node_that_forgot_all_but_its_number_at_once() {
    for seed in 1..6 {
        let mut network = Network::new(2, vec![Link::new(0, 1, 96)], seed);
        network.run(Duration::from_secs(20));
        network.restart(1, Kept::Nothing);
        // farther than it was before: only a newer number makes that feasible
        network.announce(1, prefix(1), Metric(200));
        network.run(Duration::from_secs(1));
        assert_eq!(network.way(0, &prefix(1)), Some(296), "seed {seed}");
    }
}

#[test]
fn neighbours_believe_a_node_that_forgot_even_its_number() {
    // half of the numbers it may begin with are older than the one its neighbour remembers
    for seed in 1..40 {
        let mut network = Network::new(2, vec![Link::new(0, 1, 96)], seed);
        network.run(Duration::from_secs(20));
        network.saved[1] = None;
        network.restart(1, Kept::Nothing);
        network.run(Duration::from_secs(2));
        assert_eq!(network.way(0, &prefix(1)), Some(96), "seed {seed}");
        // and from now on its number grows as others' do
        let speaker = network.speakers[1].as_ref().expect("it runs");
        assert_eq!(network.saved[1], Some(speaker.sequence_number()));
    }
}

/// What is left of a speaker that announced a prefix of origin 5, number 7, with metric 300.
fn before(route: RouteKey, next_hop: NextHop) -> Restored {
    Restored {
        sequence_number: Some(SequenceNumber(100)),
        routes: vec![InstalledRoute {
            route,
            interface: bench::LAN,
            next_hop,
            metric: Metric(300),
            origin: None,
        }],
        distances: Some(vec![Distance {
            route,
            router_id: router_id(5),
            sequence_number: SequenceNumber(7),
            metric: Metric(300),
            via: Some((bench::LAN, next_hop)),
        }]),
    }
}

/// Prefix 100, by the first neighbour, is still installed.
fn restarted() -> Bench {
    let restored = before(prefix(100), NextHop::Ipv6(bench::OTHER));
    Bench::restarted(&restored, |_, _| {})
}

/// Whether a neighbour that announces more than we did is selected nevertheless; if not, we ask for a newer route.
fn is_believed(bench: &mut Bench) -> bool {
    bench.meet(bench::OTHER);
    bench.said();
    bench.hear(bench::OTHER, &[update(bench::OTHER, 100, 5, 7, 500)]);
    bench.wait(Duration::from_millis(50));
    let selected = bench.selected(100);
    let asked = requests(&bench.said());
    assert_eq!(asked.is_empty(), selected.is_some(), "{asked:?}");
    selected == Some(bench::OTHER)
}

#[test]
fn the_neighbour_of_before_need_not_be_near_until_it_takes_back_what_it_said() {
    assert!(is_believed(&mut restarted()), "it was nearer");

    for taken_back in [Message::RetractAll, retraction(100)] {
        let mut bench = restarted();
        bench.meet(bench::OTHER);
        bench.hear(bench::OTHER, std::slice::from_ref(&taken_back));
        assert!(!is_believed(&mut bench), "after {taken_back:?}");
    }

    let mut bench = restarted();
    bench.hear(bench::OTHER, &[Message::RetractAll]);
    assert!(!is_believed(&mut bench), "before its first Hello");

    let mut bench = restarted();
    bench.meet(bench::OTHER);
    bench.hear(bench::OTHER, &[bench::hello(5_000)]);
    assert!(!is_believed(&mut bench), "it started again");

    let mut bench = restarted();
    bench.meet(bench::OTHER);
    for up in [false, true] {
        let interface = bench::LAN;
        bench.input(Input::Carrier { interface, up });
    }
    assert!(!is_believed(&mut bench), "we lost sight of it");
}

#[test]
fn an_ipv4_next_hop_may_be_any_neighbours() {
    let [route, ..] = other_prefixes(100);
    let next_hop = NextHop::Ipv4(Ipv4Addr::new(192, 0, 2, 2));
    for (forgot, believed) in [(false, true), (true, false)] {
        let mut bench = Bench::restarted(&before(route, next_hop), |_, lan| {
            lan.ipv4 = Some(Ipv4Addr::new(192, 0, 2, 1));
        });
        if forgot {
            bench.hear(bench::OTHER, &[Message::RetractAll]);
        }
        bench.meet(bench::OTHER);
        bench.said();
        let update = Message::Update(Update {
            route,
            router_id: Some(router_id(5)),
            sequence_number: SequenceNumber(7),
            metric: Metric(500),
            interval: Interval(10_000),
            next_hop: Some(next_hop),
        });
        bench.hear(bench::OTHER, &[update]);
        bench.wait(Duration::from_millis(50));
        let asked = requests(&bench.said());
        assert_eq!(asked.is_empty(), believed, "it forgot: {forgot}; {asked:?}");
    }
}

#[test]
fn a_way_that_was_lost_before_a_restart_is_not_believed_to_be_nearer() {
    let restored = Restored {
        routes: Vec::new(),
        ..before(prefix(100), NextHop::Ipv6(bench::OTHER))
    };
    let mut bench = Bench::restarted(&restored, |_, _| {});
    assert!(!is_believed(&mut bench));
}

#[test]
fn a_way_of_before_that_was_given_up_is_installed_again() {
    // it was removed for our own route: that it is the same as before the restart does not count any more
    let mut bench = restarted();
    bench.meet(bench::OTHER);
    let route = prefix(100);
    let metric = Metric(0);
    bench.input(Input::Announce { route, metric });
    assert!(bench.outputs.contains(&Output::Remove { route }));
    bench.outputs.clear();
    bench.input(Input::Withdraw { route });
    bench.hear(bench::OTHER, &[update(bench::OTHER, 100, 5, 7, 50)]);
    let installed = |output: &Output| matches!(output, Output::Install(new) if new.route == route);
    assert!(bench.outputs.iter().any(installed));
}
