//! What the data plane refuses is not announced on: others would send into a hole.

use std::time::Duration;

use super::network::{Installed, Link, Network, prefix};
use crate::{
    babel::{input::Input, quantities::Metric},
    route::RouteKey,
};

const SECOND: Duration = Duration::from_secs(1);
/// A few hops of news.
const SOON: Duration = Duration::from_millis(300);

fn outcome(network: &mut Network, node: usize, route: RouteKey, installed: bool) {
    network.tell(node, Input::Installed { route, installed });
}

/// 0 to 2 by way of 1, and by a longer way.
fn two_ways() -> Network {
    let links = vec![
        Link::new(0, 1, 96),
        Link::new(1, 2, 96),
        Link::new(0, 3, 200),
        Link::new(3, 2, 200),
    ];
    let mut network = Network::new(4, links, 1);
    network.run(SECOND * 10);
    assert_eq!(network.way(2, &prefix(0)), Some(192));
    network
}

#[test]
fn others_take_another_way_until_it_is_installed_after_all() {
    let mut network = two_ways();
    let route = prefix(0);

    outcome(&mut network, 1, route, false);
    network.run_without_loops(SOON);
    assert_eq!(network.way(2, &route), Some(400), "by the other way");
    // whatever is repeated or asked for meanwhile
    network.run_without_loops(SECOND * 120);
    assert_eq!(network.way(2, &route), Some(400));

    outcome(&mut network, 1, route, true);
    network.run_without_loops(SECOND * 10);
    assert_eq!(network.way(2, &route), Some(192));
}

#[test]
fn nobody_hears_of_what_is_refused_at_once() {
    let links = vec![Link::new(0, 1, 96), Link::new(1, 2, 96)];
    let mut network = Network::new(3, links, 1);
    network.run(SECOND * 10);
    let route = prefix(100);
    network.announce(0, route, Metric(0));
    while !network.routes[1].contains_key(&route) {
        assert!(network.step(network.now + SECOND), "1 learns it");
    }

    outcome(&mut network, 1, route, false);
    network.run(SECOND * 60);

    assert_eq!(network.routes[2].get(&route), None);
    assert_eq!(network.removals[2], []);
    outcome(&mut network, 1, route, true);
    network.run(SOON);
    assert_eq!(network.way(2, &route), Some(192));
}

#[test]
fn a_refusal_outlives_the_route_until_it_is_taken_back() {
    let mut network = two_ways();
    let route = prefix(0);
    outcome(&mut network, 1, route, false);
    network.withdraw(0, route);
    // longer than anything is remembered of it
    network.run(SECOND * 600);
    network.announce(0, route, Metric(0));
    network.run(SECOND * 10);
    assert_eq!(network.way(2, &route), Some(400));

    network.withdraw(0, route);
    network.run(SECOND * 600);
    outcome(&mut network, 1, route, true);
    network.announce(0, route, Metric(0));
    network.run(SECOND * 10);
    assert_eq!(network.way(2, &route), Some(192));
}

#[test]
fn an_own_route_is_announced_whatever_became_of_a_learned_one() {
    let mut network = two_ways();
    let route = prefix(0);
    outcome(&mut network, 1, route, false);
    network.announce(1, route, Metric(0));
    network.run(SECOND * 10);
    assert_eq!(network.routes[2].get(&route), Some(&Installed::Via(1)));
}
