//! A network whose nodes hold certificates: who announces what is not its own is not believed, whoever passes it on.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::IpNet;

use super::{
    bench::{Bench, LAN, OTHER, THIRD, updates},
    network::{Installed, Link, Network, prefix},
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        limits::Limits,
        message::{Message, NextHop, Update},
        origins::{self, Origins},
        output::{Event, Output},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
        settings::Settings,
    },
    certificate::node_prefix::NodePrefix,
    route::RouteKey,
};

/// Of the node whose prefix is [`prefix`] of `n`.
fn named(n: usize) -> RouterId {
    let node = NodePrefix::new(n as u128, 32).expect("short");
    origins::router_id_of(&node, 3).expect("short")
}

fn managed(settings: &mut Settings) {
    settings.origins = Some(Origins {
        network: "2001:db8::/32".parse().expect("a network"),
        shortest: 0,
    });
}

fn default_route() -> RouteKey {
    RouteKey::new("::/0".parse().expect("a prefix"), None).expect("one family")
}

fn announces(from: Ipv6Addr, route: RouteKey, router_id: RouterId) -> Message {
    Message::Update(Update {
        route,
        router_id: Some(router_id),
        sequence_number: SequenceNumber(7),
        metric: Metric(10),
        interval: Interval(10_000),
        next_hop: Some(NextHop::Ipv6(from)),
    })
}

fn entitlement(interface: InterfaceId, n: usize, gateway: bool) -> Input {
    Input::Entitlement {
        interface,
        router_id_prefix: origins::name_of(named(n)),
        prefixes: vec![prefix(n).to()],
        gateway,
    }
}

/// Beside node 7, at the other end of a tunnel that has THIRD to tell.
fn beside_seven(gateway: bool) -> Bench {
    let mut bench = Bench::new(|settings, lan| {
        managed(settings);
        lan.name = "7/32".to_owned();
        lan.split_horizon = false;
    });
    bench.input(entitlement(LAN, 7, gateway));
    bench.meet(OTHER);
    bench.meet(THIRD);
    bench.said();
    bench
}

fn is_used(bench: &Bench, route: &RouteKey) -> bool {
    let route = bench.speaker.route(bench.now, route);
    route.is_some_and(|route| route.candidates.iter().any(|candidate| candidate.selected))
}

fn passed_on(bench: &mut Bench, route: RouteKey) -> Vec<Metric> {
    let said = bench.said().into_iter();
    let of_route = said.filter_map(|message| match message {
        Message::Update(update) if update.route == route => Some(update.metric),
        _ => None,
    });
    of_route.collect()
}

#[test]
fn a_neighbour_announces_its_own_and_passes_on_what_is_others() {
    let mut bench = beside_seven(true);
    let routes = [
        (prefix(7), named(7)),
        (prefix(8), named(8)),
        (default_route(), named(7)),
    ];
    for (route, router_id) in routes {
        bench.hear(OTHER, &[announces(OTHER, route, router_id)]);
        bench.wait(Duration::from_millis(200));
        assert!(is_used(&bench, &route), "{route:?}");
        assert!(!passed_on(&mut bench, route).is_empty(), "{route:?}");
    }
    assert_eq!(bench.speaker.warnings(bench.now), [""; 0]);
}

#[test]
fn what_its_origin_may_not_announce_is_neither_used_nor_passed_on_and_is_said() {
    let ipv4 = "10.8.0.0/24".parse::<IpNet>().expect("a prefix");
    let ipv4 = RouteKey::new(ipv4, None).expect("one family");
    let network = "2001:db8::/32".parse::<IpNet>().expect("a prefix");
    let by_source = RouteKey::new(default_route().to(), Some(network)).expect("one family");
    let stranger = RouterId::new([2, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1]).expect("not reserved");
    let cases = [
        (
            prefix(8),
            named(7),
            "refused_foreign_origins",
            "as a route of node 7/32",
        ),
        (
            prefix(8),
            stranger,
            "refused_nameless_origins",
            "which is no node's",
        ),
        (
            default_route(),
            stranger,
            "refused_nameless_origins",
            "which is no node's",
        ),
        (
            default_route(),
            named(7),
            "refused_no_gateway",
            "no gateway",
        ),
        (by_source, named(7), "refused_no_gateway", "no gateway"),
        (ipv4, named(7), "refused_not_entitled", "does not give it"),
    ];
    for (route, router_id, counter, words) in cases {
        let mut bench = beside_seven(false);
        for _ in 0..2 {
            bench.hear(OTHER, &[announces(OTHER, route, router_id)]);
            bench.wait(Duration::from_millis(200));
        }
        assert!(!is_used(&bench, &route), "{route:?} of {router_id}");
        let refused =
            |output: &&Output| matches!(output, Output::Event(Event::RouteRefused { .. }));
        let events = bench.outputs.iter().filter(refused).count();
        assert_eq!(
            events, 1,
            "{route:?} of {router_id}: the log hears of it once"
        );
        assert_eq!(passed_on(&mut bench, route), [], "{route:?} of {router_id}");
        let counters = bench.speaker.counters().by_name();
        assert!(counters.contains(&(counter, 2)), "{route:?} of {router_id}");
        let warnings = bench.speaker.warnings(bench.now).join("\n");
        assert!(
            warnings.contains(words) && warnings.contains("7/32"),
            "{warnings}"
        );
    }
}

#[test]
fn a_refusal_is_warned_of_as_long_as_it_is_announced_and_for_a_while_after() {
    let mut bench = beside_seven(false);
    bench.hear(OTHER, &[announces(OTHER, prefix(8), named(7))]);
    let warned = |bench: &Bench| !bench.speaker.warnings(bench.now).is_empty();
    bench.wait_among(&[OTHER], 300);
    assert!(warned(&bench));
    bench.hear(OTHER, &[Message::RetractAll]);
    bench.wait_among(&[OTHER], 200);
    assert!(warned(&bench), "for a while");
    bench.wait_among(&[OTHER], 200);
    assert!(!warned(&bench));
}

#[test]
fn what_a_neighbour_may_not_announce_any_more_is_lost_at_once_and_what_it_may_again_is_asked_for() {
    let mut bench = beside_seven(true);
    let ours = announces(OTHER, default_route(), named(7));
    bench.hear(OTHER, std::slice::from_ref(&ours));
    bench.wait(Duration::from_millis(200));
    assert!(is_used(&bench, &default_route()));
    bench.said();
    bench.input(entitlement(LAN, 7, false));
    bench.wait(Duration::from_millis(200));
    assert!(!is_used(&bench, &default_route()));
    assert_eq!(passed_on(&mut bench, default_route()), [Metric::INFINITY]);
    bench.input(entitlement(LAN, 7, true));
    bench.wait(Duration::from_millis(200));
    let all = Message::RouteRequest { route: None };
    assert!(bench.said().contains(&all));
    bench.hear(OTHER, &[ours]);
    assert!(is_used(&bench, &default_route()));
}

/// A part of a node's prefix.
fn part(n: usize, number: usize) -> RouteKey {
    let IpNet::V6(whole) = prefix(n).to() else {
        unreachable!("it is IPv6");
    };
    let address = Ipv6Addr::from_bits(whole.network().to_bits() | number as u128);
    RouteKey::new(IpNet::new(address.into(), 128).expect("short"), None).expect("one family")
}

fn installed(bench: &Bench) -> usize {
    let installs = |output: &&Output| matches!(output, Output::Install { .. });
    bench.outputs.iter().filter(installs).count()
}

#[test]
fn a_flood_of_parts_of_one_node_stops_at_the_limit_and_harms_nobody() {
    const FLOOD: usize = 60_000;
    for whose in [7, 8] {
        let mut bench = beside_seven(false);
        let most = Limits::default().prefixes_per_node;
        for number in (0..FLOOD).step_by(20) {
            let parts = (number..number + 20).map(|number| part(whose, number));
            let parts = parts.map(|part| announces(OTHER, part, named(whose)));
            bench.hear(OTHER, &parts.collect::<Vec<_>>());
        }
        bench.wait(Duration::from_millis(200));
        assert_eq!(bench.speaker.totals().routes, most, "of node {whose}");
        assert_eq!(installed(&bench), most, "of node {whose}");
        let counters = bench.speaker.counters();
        assert_eq!(counters.limited_node_prefixes, (FLOOD - most) as u64);
        let told = |output: &&Output| matches!(output, Output::Event(Event::LimitReached { .. }));
        assert_eq!(bench.outputs.iter().filter(told).count(), 1);
        let warnings = bench.speaker.warnings(bench.now).join("\n");
        assert!(
            warnings.contains("too many prefixes of one node"),
            "{warnings}"
        );
        // what the name gives a node, parts of it that were there, what is another node's, and what comes another way
        let taken = [
            (OTHER, prefix(whose), whose),
            (OTHER, part(whose, 0), whose),
            (OTHER, part(9, 1), 9),
            (THIRD, part(8, 99_999), 8),
        ];
        for (from, route, origin) in taken {
            bench.hear(from, &[announces(from, route, named(origin))]);
            bench.wait(Duration::from_millis(200));
            assert!(is_used(&bench, &route), "{route:?}");
        }
    }
}

#[test]
fn there_is_room_again_for_prefixes_of_a_node_when_others_of_it_are_gone() {
    let mut bench = Bench::new(|settings, _| {
        managed(settings);
        settings.limits.prefixes_per_node = 2;
    });
    bench.meet(OTHER);
    let hear = |bench: &mut Bench, number, origin| {
        let route = part(origin, number);
        bench.hear(OTHER, &[announces(OTHER, route, named(origin))]);
        is_used(bench, &route)
    };
    assert!(hear(&mut bench, 1, 7) && hear(&mut bench, 2, 7));
    assert!(!hear(&mut bench, 3, 7));
    bench.hear(OTHER, &[Message::RetractAll]);
    bench.wait_among(&[OTHER], 800);
    assert!(hear(&mut bench, 3, 7) && hear(&mut bench, 4, 7));
    assert!(!hear(&mut bench, 5, 7));
}

#[test]
fn a_prefix_whose_new_origin_has_too_many_is_lost() {
    let ipv4 = |n: u8| {
        let prefix = IpNet::new([10, 7, n, 0].into(), 24).expect("short");
        RouteKey::new(prefix, None).expect("one family")
    };
    let mut bench = Bench::new(|settings, _| {
        managed(settings);
        settings.limits.prefixes_per_node = 1;
    });
    bench.meet(OTHER);
    bench.hear(OTHER, &[announces(OTHER, ipv4(1), named(7))]);
    bench.hear(OTHER, &[announces(OTHER, ipv4(2), named(8))]);
    assert!(is_used(&bench, &ipv4(1)) && is_used(&bench, &ipv4(2)));
    bench.hear(OTHER, &[announces(OTHER, ipv4(2), named(7))]);
    assert!(is_used(&bench, &ipv4(1)) && !is_used(&bench, &ipv4(2)));
}

/// A node that passes on what an origin with the name of half of the network announces.
#[test]
fn names_shorter_than_any_nodes_are_refused_from_when_it_is_known_and_until_it_is_another() {
    let half = NodePrefix::new(0, 1).expect("short");
    let half = origins::router_id_of(&half, 0).expect("short");
    let mut bench = beside_seven(false);
    bench.hear(OTHER, &[announces(OTHER, prefix(8), half)]);
    assert!(is_used(&bench, &prefix(8)), "nothing is known");
    bench.said();
    bench.input(Input::ShortestPrefix { bits: 32 });
    bench.wait(Duration::from_millis(200));
    assert!(!is_used(&bench, &prefix(8)));
    assert_eq!(passed_on(&mut bench, prefix(8)), [Metric::INFINITY]);
    assert_eq!(bench.speaker.counters().refused_short_origins, 1);
    let warnings = bench.speaker.warnings(bench.now).join("\n");
    assert!(
        warnings.contains("as a route of node 0/1, and no node"),
        "{warnings}"
    );
    // node 8 has its own all the same
    bench.hear(OTHER, &[announces(OTHER, prefix(8), named(8))]);
    assert!(is_used(&bench, &prefix(8)));
    bench.said();
    bench.input(Input::ShortestPrefix { bits: 1 });
    bench.wait(Duration::from_millis(200));
    let all = Message::RouteRequest { route: None };
    assert!(bench.said().contains(&all));
    bench.hear(OTHER, &[announces(OTHER, prefix(9), half)]);
    assert!(is_used(&bench, &prefix(9)));
}

#[test]
fn a_node_whose_own_router_id_does_not_name_it_is_told_that_others_refuse_it() {
    let warnings = |router_id| {
        let mut bench = Bench::new(|settings, _| {
            managed(settings);
            settings.router_id = router_id;
        });
        bench.input(Input::Announce {
            route: prefix(7),
            metric: Metric(0),
        });
        bench.speaker.warnings(bench.now)
    };
    assert_eq!(warnings(named(7)), [""; 0]);
    for other in [named(8), RouterId::new([0xc3; 8]).expect("not reserved")] {
        assert!(warnings(other)[0].contains("other nodes of the network refuse"));
    }
}

#[test]
fn without_origins_nothing_is_refused_and_no_node_has_a_bound() {
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    bench.input(entitlement(LAN, 7, false));
    bench.meet(OTHER);
    bench.hear(OTHER, &[announces(OTHER, prefix(8), named(7))]);
    bench.wait(Duration::from_millis(200));
    assert!(is_used(&bench, &prefix(8)));
    assert_eq!(updates(&bench.said(), 8).len(), 1);
    let most = Limits::default().prefixes_per_node;
    for number in 0..2 * most {
        bench.hear(OTHER, &[announces(OTHER, part(7, number), named(7))]);
    }
    assert_eq!(bench.speaker.totals().routes, 1 + 2 * most);
}

/// A ring of five, of which node 2 says that it is the origin of node 0's prefix and of a default route: its neighbours stay with
/// the right way, and nobody has a default route.
#[test]
fn a_thief_in_the_network_gets_nothing() {
    const NODES: usize = 5;
    let ring = (0..NODES).map(|node| Link::new(node, (node + 1) % NODES, 96));
    let settings = |settings: &mut Settings| {
        managed(settings);
        let number = u64::from_be_bytes(settings.router_id.octets());
        settings.router_id = named(number as usize - 1);
    };
    for seed in 1..=10 {
        let mut network = Network::with(NODES, ring.clone().collect(), seed, |_| {}, settings);
        for (link, ends) in network
            .links
            .iter()
            .map(|link| link.ends)
            .enumerate()
            .collect::<Vec<_>>()
        {
            let interface = InterfaceId(link as u32);
            network.tell(ends.0, entitlement(interface, ends.1, false));
            network.tell(ends.1, entitlement(interface, ends.0, false));
        }
        network.run(Duration::from_secs(10));
        network.announce(2, prefix(0), Metric(0));
        network.announce(2, default_route(), Metric(0));
        network.run(Duration::from_secs(60));
        let next = |node: usize| network.routes[node].get(&prefix(0)).copied();
        assert_eq!(next(1), Some(Installed::Via(0)), "seed {seed}");
        assert_eq!(next(3), Some(Installed::Via(4)), "seed {seed}");
        assert_eq!(next(4), Some(Installed::Via(0)), "seed {seed}");
        for node in [0, 1, 3, 4] {
            let route = network.routes[node].get(&default_route());
            assert_eq!(route, None, "seed {seed}: node {node}");
        }
    }
}
