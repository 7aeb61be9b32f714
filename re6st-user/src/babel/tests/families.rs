//! Prefixes of both families, by source, and of several origins.

use std::{net::Ipv4Addr, time::Duration};

use super::network::{Kept, Link, Network, Node, prefix};
use crate::{
    babel::{
        message::NextHop,
        quantities::Metric,
        settings::{InterfaceKind, InterfaceSettings},
    },
    route::RouteKey,
};

const SECOND: Duration = Duration::from_secs(1);

fn key(to: &str, from: Option<&str>) -> RouteKey {
    let from = from.map(|from| from.parse().expect("a prefix"));
    RouteKey::new(to.parse().expect("a prefix"), from).expect("one family")
}

fn chain(nodes: usize) -> Vec<Link> {
    (1..nodes)
        .map(|node| Link::new(node - 1, node, 96))
        .collect()
}

/// The next hop that the first node of a chain of three installs for a route of the last one.
fn next_hop(route: RouteKey, adjust: fn(&mut InterfaceSettings)) -> Option<NextHop> {
    let mut network = Network::with(3, chain(3), 1, adjust, |_| {});
    network.announce(2, route, Metric(0));
    network.run(SECOND * 5);
    assert_eq!(network.way(0, &route), Some(192));
    network.installed[0]
        .get(&route)
        .map(|installed| installed.next_hop)
}

#[test]
fn ipv4_goes_by_an_ipv4_next_hop_where_there_is_one() {
    let address = Ipv4Addr::new(10, 0, 0, 1);
    let found = next_hop(key("192.0.2.0/24", None), |settings| {
        settings.kind = InterfaceKind::Lan;
        settings.ipv4 = Some(Ipv4Addr::new(10, 0, 0, 1));
    });
    assert_eq!(found, Some(NextHop::Ipv4(address)));
}

#[test]
fn behind_a_tunnel_is_the_neighbour_whichever_of_its_addresses_it_names() {
    let found = next_hop(key("192.0.2.0/24", None), |settings| {
        settings.kind = InterfaceKind::Tunnel;
        settings.ipv4 = Some(Ipv4Addr::new(10, 0, 0, 1));
    });
    assert!(matches!(found, Some(NextHop::Ipv6(_))), "{found:?}");
}

#[test]
fn ipv4_goes_by_ipv6_where_there_is_no_ipv4_address() {
    // RFC 9229
    let found = next_hop(key("192.0.2.0/24", None), |_| {});
    assert!(matches!(found, Some(NextHop::Ipv6(_))), "{found:?}");
}

#[test]
fn routes_by_source_are_apart_from_those_without() {
    // RFC 9079 section 3: the same destination with another source is another route
    let by_source = key("::/0", Some("2001:db8::/32"));
    let plain = key("::/0", None);
    let mut network = Network::new(3, chain(3), 1);
    network.announce(2, by_source, Metric(0));
    network.run(SECOND * 5);
    assert_eq!(network.way(0, &by_source), Some(192));
    assert_eq!(network.way(0, &plain), None);
    network.announce(1, plain, Metric(0));
    network.run(SECOND * 5);
    network.withdraw(2, by_source);
    network.run(SECOND * 5);
    assert_eq!(network.way(0, &by_source), None);
    assert_eq!(network.way(0, &plain), Some(96));
}

#[test]
fn a_prefix_of_several_origins_goes_to_the_nearest_that_is_left() {
    let shared = key("2001:db8:ffff::/48", None);
    for seed in 1..6 {
        let mut network = Network::new(6, chain(6), seed);
        network.announce(0, shared, Metric(0));
        network.announce(5, shared, Metric(0));
        network.run(SECOND * 20);
        network.assert_shortest(&[shared]);
        network.withdraw(0, shared);
        network.run(SECOND * 5);
        network.assert_no_loop(&shared);
        network.assert_shortest(&[shared]);
        network.announce(0, shared, Metric(10));
        network.set_cost(2, 5_000);
        network.run(SECOND * 40);
        network.assert_no_loop(&shared);
        network.assert_shortest(&[shared]);
    }
}

/// A LAN of nodes 0 to `others` + 1, and a node behind the first and the last of the first three.
fn lan(others: &'static [Node]) -> Vec<Link> {
    let mut lan = Link::new(0, 1, 96);
    lan.others = others;
    let behind = others.len() + 2;
    vec![lan, Link::new(0, behind, 96), Link::new(2, behind + 1, 96)]
}

#[test]
fn all_of_a_lan_hear_all_and_reach_what_is_behind_it() {
    const OTHERS: [&[Node]; 3] = [&[2], &[2, 3, 4], &[2, 3, 4, 5, 6, 7]];
    for others in OTHERS {
        let nodes = others.len() + 4;
        let mut network = Network::new(nodes, lan(others), 1);
        network.run_without_loops(SECOND * 10);
        let all: Vec<RouteKey> = (0..nodes).map(prefix).collect();
        network.assert_shortest(&all);
        network.links[0].loss = 20;
        network.restart(2, Kept::Distances);
        network.restart(1, Kept::Nothing);
        network.run_without_loops(SECOND * 60);
        // two of three Hellos may just have been lost
        network.links[0].loss = 0;
        network.run_without_loops(SECOND * 20);
        network.assert_shortest(&all);
        // the ordinary member has one way to everything of the others: the horizon is split
        let speaker = network.speakers[1].as_ref().expect("started");
        let behind = speaker.route(network.now, &prefix(nodes - 2));
        assert_eq!(behind.expect("it is known").candidates.len(), 1);
        network.withdraw(nodes - 2, prefix(nodes - 2));
        network.run_without_loops(SECOND * 5);
        assert_eq!(network.way(1, &prefix(nodes - 2)), None);
    }
}

#[test]
fn tunnels_do_not_split_the_horizon_and_lans_do() {
    let settings = |kind| InterfaceSettings::new(kind, std::net::Ipv6Addr::LOCALHOST);
    assert!(settings(InterfaceKind::Lan).split_horizon);
    assert!(!settings(InterfaceKind::Tunnel).split_horizon);
}
