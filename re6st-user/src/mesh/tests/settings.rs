//! What the settings say.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{SECOND, World, address, address_of, known, node};
use crate::mesh::{Address, Closing, Country, Input, Known, Settings, Source, Why};

fn country(code: &str) -> Country {
    code.parse().expect("two capital letters")
}

fn at(number: u32, code: &str) -> Known {
    let mut known = known(number);
    known.addresses[0].country = Some(country(code));
    known
}

/// Who gets a tunnel, of one node in France, one in China and one that says nothing.
fn opened(ours: &str, same_country: &[&str]) -> Vec<u32> {
    let settings = Settings {
        same_country: same_country.iter().map(|code| country(code)).collect(),
        ..Settings::default()
    };
    let mut world = World::joined(settings, 0, 1);
    let own = Address {
        country: ours.parse().ok(),
        ..address(1_000)
    };
    world.put(Input::OwnAddresses(vec![own]));
    let peers = vec![at(1, "FR"), at(2, "CN"), known(3)];
    world.put(Input::Learned {
        source: Source::Registry,
        peers,
    });
    let mut openings = world.openings();
    openings.sort_unstable();
    openings
}

#[test]
fn tunnels_do_not_cross_the_borders_of_the_listed_countries() {
    assert_eq!(opened("FR", &[]), [1, 2, 3]);
    assert_eq!(opened("FR", &["CN"]), [1, 3]);
    assert_eq!(opened("CN", &["CN"]), [2, 3]);
    assert_eq!(opened("DE", &["FR", "CN"]), [3]);
    assert_eq!(opened("?", &["CN"]), [1, 2, 3], "nobody knows where we are");
}

#[test]
fn a_client_opens_one_tunnel_whoever_the_registry_names() {
    let settings = Settings {
        client_mode: true,
        ..Settings::default()
    };
    let mut world = World::joined(settings, 0, 1);
    world.put(Input::Learned {
        source: Source::Registry,
        peers: (1..4).map(known).collect(),
    });
    assert_eq!(world.openings().len(), 1);
}

#[test]
fn disabled_versions_are_not_used_and_their_tunnels_go() {
    let mut world = World::joined(Settings::default(), 40, 2);
    world.pass(SECOND * 30);
    let settings = Settings {
        ipv4: false,
        ..Settings::default()
    };
    world.put(Input::Settings(Box::new(settings)));
    world.pass(SECOND * 60);
    assert_eq!(world.tunnels.len(), 0);
    let closed = world.closed();
    assert!(closed.iter().all(|(_, why)| *why == Closing::Disabled));
    assert_eq!(closed.len(), 10);
}

#[test]
fn fewer_tunnels_are_wanted_and_no_more_than_needed_are_closed() {
    let mut world = World::joined(Settings::default(), 40, 3);
    world.pass(SECOND * 60);
    let before = world.ours(|_| true);
    let settings = Settings {
        client_count: 6,
        ..Settings::default()
    };
    world.put(Input::Settings(Box::new(settings)));
    world.pass(SECOND * 240);
    let after = world.ours(|_| true);
    assert_eq!(after.len(), 6);
    assert!(after.iter().all(|number| before.contains(number)));
}

#[test]
fn preferred_peers_are_kept_and_found_again() {
    let preferred = BTreeMap::from([(node(7), Vec::new()), (node(300), vec![address(150)])]);
    let settings = Settings {
        preferred,
        ..Settings::default()
    };
    let mut world = World::joined(settings, 40, 4);
    world.pass(SECOND * 30);
    assert_eq!(world.ours(|why| why == Why::Preferred), [7, 300]);
    assert_eq!(world.ours(Why::is_random).len(), 5);
    assert_eq!(world.tunnels.len(), 10);
    world.tunnels.remove(&300);
    world.put(Input::Closed {
        node: node(300),
        why: crate::mesh::Loss::Silent,
    });
    world.pass(SECOND * 10);
    assert_eq!(world.ours(|why| why == Why::Preferred), [7, 300]);
}

#[test]
fn a_client_has_one_tunnel_and_serves_nobody() {
    let settings = Settings {
        client_mode: true,
        ..Settings::default()
    };
    let mut world = World::joined(settings, 40, 5);
    world.pass(SECOND * 3_600);
    assert_eq!(world.tunnels.len(), 1);
    world.called_by(39);
    assert_eq!(world.tunnels.len(), 1);
}

#[test]
fn less_is_served_and_the_latest_go() {
    let mut world = World::joined(Settings::default(), 0, 6);
    for number in 1..=10 {
        world.called_by(number);
        world.pass(SECOND);
    }
    let settings = Settings {
        max_clients: 4,
        ..Settings::default()
    };
    world.put(Input::Settings(Box::new(settings)));
    world.pass(SECOND * 20);
    let kept: BTreeSet<u32> = world.tunnels.keys().copied().collect();
    assert_eq!(kept, BTreeSet::from([1, 2, 3, 4]));
}

#[test]
fn an_address_of_a_block_that_everybody_has_is_an_address() {
    assert!(address_of([192, 168, 1, 1]).is_usable());
    for bad in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [169, 254, 7, 7],
        [224, 0, 0, 1],
        [255; 4],
    ] {
        assert!(!address_of(bad).is_usable(), "{bad:?}");
    }
}
