//! What is announced and what is heard are summed up alike, also where the horizon is split, so that equal digests spare
//! full announcements.

use std::time::Duration;

use super::network::{Link, Network, Node, prefix};
use crate::babel::{
    counters::Counters,
    quantities::Metric,
    random::Random,
    settings::{InterfaceKind, InterfaceSettings},
};

const SECOND: Duration = Duration::from_secs(1);

/// A LAN of three, and a node behind two of them, which has two ways there.
fn lan() -> Vec<Link> {
    let mut lan = Link::new(0, 1, 96);
    lan.others = &[2];
    vec![lan, Link::new(0, 3, 96), Link::new(3, 1, 150)]
}

fn counters(network: &Network, node: Node) -> Counters {
    *network.speakers[node].as_ref().expect("started").counters()
}

fn sum(network: &Network, count: fn(&Counters) -> u64) -> u64 {
    let nodes = 0..network.speakers.len();
    nodes.map(|node| count(&counters(network, node))).sum()
}

fn all_lans(settings: &mut InterfaceSettings) {
    settings.split_horizon = true;
    settings.kind = InterfaceKind::Lan;
}

#[test]
fn a_lan_of_our_kind_is_refreshed_by_digest() {
    const ROUTES: usize = 2_000;
    let mut network = Network::new(4, lan(), 1);
    for route in 0..ROUTES {
        network.announce(3, prefix(1000 + route), Metric(0));
    }
    network.run(SECOND * 60);
    let (octets, updates) = (
        network.octets,
        sum(&network, |counters| counters.updates_sent),
    );
    network.run(SECOND * 160);
    let rate = (network.octets - octets) / 160;
    assert!(rate < 2_500, "{rate} octets a second on three links");
    assert_eq!(sum(&network, |counters| counters.updates_sent), updates);
    for node in 0..3 {
        assert_eq!(network.routes[node].len(), ROUTES + 3);
        assert_eq!(counters(&network, node).expired_routes, 0);
        assert!(counters(&network, node).equal_digests > 0);
    }
}

#[test]
fn what_is_no_longer_learned_on_a_lan_is_announced_there_soon() {
    // section 3.7.4: until now it was not, and its metric did not change enough to be told
    let mut network = Network::new(4, lan(), 1);
    network.run(SECOND * 20);
    network.set_cost(2, 193);
    // what was announced before is never retracted, but expires
    network.run(SECOND * 90);
    assert_eq!(network.way(1, &prefix(3)), Some(192), "over the LAN");
    let heard = |network: &Network| {
        let speaker = network.speakers[2].as_ref().expect("started");
        let route = speaker.route(network.now, &prefix(3)).expect("it is known");
        let candidates = route.candidates.iter();
        candidates
            .filter(|candidate| !candidate.advertised_metric.is_infinite())
            .count()
    };
    assert_eq!(heard(&network), 1);
    network.set_cost(2, 191);
    network.run(SECOND * 5);
    assert_eq!(network.way(1, &prefix(3)), Some(191), "by its own link");
    assert_eq!(heard(&network), 2);
}

#[test]
fn digests_agree_again_after_whatever_happened() {
    for seed in 1..20 {
        let mut random = Random::new(seed);
        let mut links = lan();
        links.push(Link::new(4, 2, 96));
        links.push(Link::new(4, 3, 100));
        let adjust = if seed % 2 == 0 {
            |_: &mut _| {}
        } else {
            all_lans
        };
        let mut network = Network::with(5, links, seed, adjust, |_| {});
        network.links[0].loss = 100;
        for _ in 0..30 {
            let (link, node) = (random.below(5) as usize, random.below(5) as usize);
            match random.below(5) {
                0 => network.links[link].up = !network.links[link].up,
                1 | 2 => network.set_cost(link, 50 + random.below(200) as u16),
                3 => network.announce(node, prefix(100 + node), Metric(0)),
                _ => network.withdraw(node, prefix(100 + node)),
            }
            network.run(Duration::from_millis(random.below(5_000)));
        }
        for link in &mut network.links {
            (link.up, link.loss) = (true, 0);
        }
        // routes that are not told any more where they are learned now expire first
        network.run(SECOND * 150);
        let unequal = sum(&network, |counters| counters.unequal_blocks);
        network.run(SECOND * 100);
        assert_eq!(
            sum(&network, |counters| counters.unequal_blocks),
            unequal,
            "seed {seed}"
        );
    }
}
