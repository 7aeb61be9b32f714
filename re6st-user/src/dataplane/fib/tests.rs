//! The maps follow the routes, and no packet is disturbed on the way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::net::IpAddr;

use ipnet::IpNet;
use re6st_common::{
    address::Address,
    maps::{Settings, settings},
    tables::Tables as _,
};

use super::{super::memory::MemoryMaps, *};

mod property;
mod refusals;

const NETWORK: &str = "2001:db8:42::/48";

/// The settings that go with the array for [`NETWORK`].
fn settings_for(network: Option<(Ipv6Net, u8)>) -> Settings {
    let Some((network, bits)) = network else {
        return Settings::EMPTY;
    };
    let length = u32::from(network.prefix_len());
    Settings {
        network: Address::from_ipv6(network.network().octets()).high(),
        network_mask: u64::MAX << (64 - length),
        fib_shift: 64 - length - u32::from(bits),
        fib_mask: (1 << bits) - 1,
        flags: settings::NETWORK,
        ..Settings::EMPTY
    }
}

fn array(bits: u8) -> Option<(Ipv6Net, u8)> {
    Some((NETWORK.parse().unwrap(), bits))
}

fn maps(network: Option<(Ipv6Net, u8)>) -> MemoryMaps {
    MemoryMaps::new(settings_for(network))
}

fn route(to: &str, from: Option<&str>, next_hop: u32) -> Route {
    let from = from.map(|from| from.parse().unwrap());
    Route::new(to.parse().unwrap(), from, next_hop).unwrap()
}

fn lookup(maps: &MemoryMaps, to: &str, from: &str) -> u32 {
    let (to, from): (IpAddr, IpAddr) = (to.parse().unwrap(), from.parse().unwrap());
    let family = match to {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    };
    maps.route(family, to.into(), from.into())
}

fn trie_prefixes(writes: &[Write]) -> Vec<String> {
    writes
        .iter()
        .filter_map(|write| match write {
            Write::Slot { .. } => None,
            Write::Trie {
                key,
                prefix_length,
                value,
                ..
            } => {
                let address = std::net::Ipv6Addr::from(key.address);
                let sign = if value.is_some() { '+' } else { '-' };
                Some(format!("{sign}{address}/{}", prefix_length - 32))
            }
        })
        .collect()
}

#[test]
fn a_node_prefix_is_one_write_to_the_array() {
    let mut fib = Fib::new(array(16));

    let writes = fib.insert(route("2001:db8:42:2::/64", None, 3));

    assert_eq!(
        writes,
        [Write::Slot {
            slot: 2,
            next_hop: 3,
            before: 0
        }]
    );
    assert_eq!((fib.len(), fib.trie_entries(), fib.uses(3)), (1, 0, 1));
}

#[test]
fn another_next_hop_is_one_write_and_the_same_one_is_none() {
    let mut fib = Fib::new(array(16));
    fib.insert(route("2001:db8:42:2::/64", None, 3));

    assert_eq!(fib.insert(route("2001:db8:42:2::/64", None, 3)), []);
    assert_eq!(
        fib.insert(route("2001:db8:42:2::/64", None, 4)),
        [Write::Slot {
            slot: 2,
            next_hop: 4,
            before: 3
        }]
    );
    assert_eq!((fib.len(), fib.uses(3), fib.uses(4)), (1, 0, 1));
}

#[test]
fn a_short_prefix_fills_what_no_longer_one_has() {
    let mut fib = Fib::new(array(16));
    fib.insert(route("2001:db8:42:2::/64", None, 3));

    let writes = fib.insert(route("2001:db8:42::/62", None, 4));

    let slots = [0, 1, 3].map(|slot| Write::Slot {
        slot,
        next_hop: 4,
        before: 0,
    });
    assert_eq!(writes, slots);
}

#[test]
fn a_default_route_is_one_write_to_the_trie() {
    let mut fib = Fib::new(array(16));

    let writes = fib.insert(route("::/0", None, 3));

    assert_eq!(trie_prefixes(&writes), ["+::/0"]);
    assert_eq!(writes.len(), 1);
}

#[test]
fn a_longer_prefix_moves_its_slot_to_the_trie_and_back() {
    let mut fib = Fib::new(array(16));
    fib.insert(route("2001:db8:42::/48", None, 3));
    fib.insert(route("2001:db8:42:1::/64", None, 2));

    let there = fib.insert(route("2001:db8:42:1::1/128", None, 1));
    let back = fib.remove(route("2001:db8:42:1::1/128", None, 1).key());

    // what the slot hides is there before the slot changes, and goes after it has changed
    assert_eq!(
        trie_prefixes(&there),
        [
            "+2001:db8:42:1::/64",
            "+2001:db8:42::/48",
            "+2001:db8:42:1::1/128"
        ]
    );
    assert_eq!(
        there.last(),
        Some(&Write::Slot {
            slot: 1,
            next_hop: 0,
            before: 2
        })
    );
    assert_eq!(
        back.first(),
        Some(&Write::Slot {
            slot: 1,
            next_hop: 2,
            before: 0
        })
    );
    assert_eq!(
        trie_prefixes(&back),
        [
            "-2001:db8:42:1::1/128",
            "-2001:db8:42:1::/64",
            "-2001:db8:42::/48"
        ]
    );
    assert_eq!(fib.trie_entries(), 0);
}

#[test]
fn the_longest_destination_wins_then_the_longest_source() {
    let mut fib = Fib::new(array(16));
    let mut maps = maps(array(16));
    let routes = [
        route("::/0", None, 3),
        route("::/0", Some("2001:db8:42::/48"), 4),
        route("::/0", Some("2001:db8:42:1::/64"), 5),
        route("2001:db8:99::/48", Some("2001:db8:42:2::/64"), 6),
        route("2001:db8:42:7::/64", None, 7),
        route("0.0.0.0/0", Some("10.42.1.0/24"), 8),
    ];
    for route in routes {
        fib.insert(route)
            .into_iter()
            .for_each(|write| assert!(maps.write(write)));
    }

    // destination, source, next hop
    let table = [
        ("2001:db8:1::1", "2001:db8:77::1", 3),
        ("2001:db8:1::1", "2001:db8:42:2::1", 4),
        ("2001:db8:1::1", "2001:db8:42:1::1", 5),
        ("2001:db8:99::1", "2001:db8:42:2::1", 6),
        ("2001:db8:99::1", "2001:db8:42:1::1", 5),
        ("2001:db8:99::1", "2001:db8:42:3::1", 4),
        ("2001:db8:99::1", "2001:db8:77::1", 3),
        ("2001:db8:42:7::1", "2001:db8:42:1::1", 7),
        ("2001:db8:42:8::1", "2001:db8:42:1::1", 5),
        ("192.0.2.1", "10.42.1.1", 8),
        ("192.0.2.1", "10.42.2.1", 0),
    ];
    for (to, from, next_hop) in table {
        assert_eq!(lookup(&maps, to, from), next_hop, "{to} from {from}");
    }
}

#[test]
fn removing_what_is_not_there_writes_nothing() {
    let mut fib = Fib::new(array(16));
    fib.insert(route("2001:db8:42:2::/64", None, 3));

    assert_eq!(fib.remove(route("2001:db8:42:3::/64", None, 3).key()), []);
    let specific = route("2001:db8:42:2::/64", Some("2001:db8::/32"), 3);
    assert_eq!(fib.remove(specific.key()), []);
    assert_eq!(fib.len(), 1);
}

#[test]
fn routes_that_make_no_sense_are_not_made() {
    let prefix = |text: &str| text.parse::<IpNet>().unwrap();

    let families = Route::new(prefix("::/0"), Some(prefix("10.0.0.0/8")), 3).unwrap_err();
    let nothing = Route::new(prefix("::/0"), None, 0).unwrap_err();
    let everywhere = Route::new(prefix("2001:db8::1/32"), Some(prefix("::/0")), 3).unwrap();

    assert_eq!(
        families.to_string(),
        "a route to ::/0 from 10.0.0.0/8: one is IPv4 and the other IPv6, no packet is both"
    );
    assert!(nothing.to_string().contains("remove the route instead"));
    assert_eq!(everywhere, route("2001:db8::/32", None, 3));
}

/// One in a node's own slot, the others wherever the array ends: nothing of it may take quadratic time.
#[test]
fn many_routes_take_little_time() {
    let mut fib = Fib::new(array(16));
    let start = std::time::Instant::now();

    let mut writes = 0;
    for number in 0..=u16::MAX {
        let (high, low) = (number >> 8, number & 0xff);
        writes += fib
            .insert(route(
                &format!("2001:db8:42:{high:x}{low:02x}::/64"),
                None,
                3,
            ))
            .len();
    }

    let taken = start.elapsed();
    assert_eq!(
        (writes, fib.trie_entries(), fib.contents().count()),
        (65_536, 0, 65_536)
    );
    assert!(taken.as_secs() < 10, "{taken:?}");
    println!("65,536 routes in {taken:?}");
}
