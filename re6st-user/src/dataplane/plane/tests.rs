//! Tunnels come, change and go in maps that refuse a write now and then; what packets find is whole after each write.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use re6st_common::{
    maps::{Settings, kind},
    tables::Tables as _,
};

use super::{super::memory::MemoryMaps, *};

/// What a map says.
fn refused() -> DataPlaneError {
    DataPlaneError::Full {
        map: "TUNNELS",
        capacity: 0,
    }
}

/// Refuses the writes whose bits are set, from the lowest on, and looks at what is there after each that is taken.
#[derive(Debug)]
struct Refusing {
    maps: MemoryMaps,
    pattern: u64,
    /// Where a route of the tests leads.
    route: Option<RouteKey>,
    wrong: Vec<String>,
}

impl Refusing {
    fn write<T>(&mut self, write: impl FnOnce(&mut MemoryMaps) -> T) -> Result<(), DataPlaneError> {
        let refuses = self.pattern & 1 == 1;
        self.pattern >>= 1;
        if refuses {
            return Err(refused());
        }
        write(&mut self.maps);
        self.look();
        Ok(())
    }

    fn look(&mut self) {
        let maps = &self.maps;
        for (index, tunnel) in &maps.tunnels {
            let ours = maps.is_underlay(re6st_common::address::Address::from_ipv6(tunnel.local));
            if !ours || !maps.next_hops.contains_key(&tunnel.next_hop) {
                self.wrong
                    .push(format!("TUNNELS[{index}]: half of {tunnel:?}"));
            }
        }
        let to = self.route.map(|key| key.to().network().into());
        if let Some(to) = to {
            let id = maps.route(re6st_common::address::Family::Ipv6, to, to);
            if id != next_hop_id::NONE && !maps.next_hops.contains_key(&id) {
                self.wrong.push(format!("a route to {id}, which is free"));
            }
        }
    }
}

impl MapEntries for Refusing {
    fn next_hops(&self) -> u32 {
        self.maps.next_hops()
    }

    fn tunnels(&self) -> u32 {
        self.maps.tunnels()
    }

    fn write_fib(&mut self, write: Write) -> Result<(), DataPlaneError> {
        self.write(|maps| maps.write_fib(write))
    }

    fn write_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError> {
        self.write(|maps| maps.write_next_hop(id, next_hop))
    }

    fn write_tunnel(&mut self, index: u32, tunnel: &Tunnel) -> Result<(), DataPlaneError> {
        self.write(|maps| maps.write_tunnel(index, tunnel))
    }

    fn clear_counters(&mut self, id: u32) -> Result<(), DataPlaneError> {
        let packets = self
            .maps
            .tunnels
            .values()
            .any(|tunnel| tunnel.next_hop == id);
        if packets || self.maps.next_hops.contains_key(&id) {
            self.wrong.push(format!("counters of {id} are in use"));
        }
        self.write(|maps| maps.clear_counters(id))
    }

    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError> {
        self.maps.tunnel_counters(id)
    }

    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError> {
        self.maps.reason_counters()
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        MapEntries::interface(&self.maps, index)
    }
}

fn plane() -> Plane<Refusing> {
    let settings = Settings {
        tunnel_mask: 7,
        ..Settings::EMPTY
    };
    let mut maps = MemoryMaps::new(settings);
    maps.capacity = 7;
    let maps = Refusing {
        maps,
        pattern: 0,
        route: None,
        wrong: Vec::new(),
    };
    Plane::new(maps, Fib::new(None), [])
}

fn tunnel(id: u32, key: u32, local: u8) -> Tunnel {
    let mut tunnel = Tunnel {
        next_hop: id,
        key,
        ..Tunnel::FREE
    };
    tunnel.local[15] = local;
    tunnel
}

fn next_hop(mtu: u32) -> NextHop {
    NextHop {
        kind: kind::TUNNEL,
        mtu,
        ..NextHop::FREE
    }
}

fn route(id: u32) -> Route {
    Route::new("2001:db8::/32".parse().unwrap(), None, id).unwrap()
}

/// What may happen to tunnels and to a route.
#[derive(Clone, Debug)]
enum Step {
    Open(u32, u8),
    Change(usize, u32, u8),
    Close(usize),
    Route(usize),
    NoRoute,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let step = prop_oneof![
        (0..16_u32, 0..3_u8).prop_map(|(key, local)| Step::Open(key, local)),
        (0..4_usize, 0..16_u32, 0..3_u8)
            .prop_map(|(which, key, local)| Step::Change(which, key, local)),
        (0..4_usize).prop_map(Step::Close),
        (0..4_usize).prop_map(Step::Route),
        Just(Step::NoRoute),
    ];
    // most writes are taken
    let pattern = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| a & b & c);
    proptest::collection::vec((step, pattern), 1..60)
}

proptest! {
    #[test]
    fn no_packet_finds_half_a_tunnel(steps in steps()) {
        let mut plane = plane();
        plane.maps.route = Some(route(3).key());
        let mut open: BTreeMap<u32, Tunnel> = BTreeMap::new();
        for (step, pattern) in steps {
            plane.maps.pattern = pattern;
            let chosen = |which: usize| open.keys().nth(which).copied();
            match step {
                Step::Open(key, local) => {
                    let Ok(id) = plane.free_next_hop(0) else { continue };
                    prop_assert!(!open.contains_key(&id), "{id} is in use");
                    // no packet has counted for it yet
                    plane.maps.maps.tunnel_counters.insert(id, TunnelCounters { sent_packets: 9, ..Default::default() });
                    let new = tunnel(id, key, local);
                    match plane.set_tunnel(id, &[new], &next_hop(1)) {
                        Ok(()) => {
                            open.insert(id, new);
                            prop_assert_eq!(plane.tunnel_counters(id).unwrap(), TunnelCounters::default());
                        }
                        Err(DataPlaneError::KeyInUse { .. }) => {}
                        Err(_) => while plane.remove_tunnel(id).is_err() && plane.next_hops.contains_key(&id) {}
                    }
                }
                Step::Change(which, key, local) => if let Some(id) = chosen(which) {
                    let new = tunnel(id, key, local);
                    let before = plane.maps.maps.tunnel_counters.get(&id).copied();
                    if plane.set_tunnel(id, &[new], &next_hop(2)).is_ok() {
                        open.insert(id, new);
                    } else if let Some(now) = plane.tunnels.values().find(|now| now.next_hop == id) {
                        open.insert(id, *now);
                    }
                    prop_assert_eq!(plane.maps.maps.tunnel_counters.get(&id).copied(), before);
                }
                Step::Close(which) => if let Some(id) = chosen(which) {
                    let used = plane.fib().uses(id) > 0;
                    let outcome = plane.remove_tunnel(id);
                    prop_assert!(!used || outcome.is_err(), "a route leads there");
                    if outcome.is_ok() {
                        open.remove(&id);
                    }
                }
                Step::Route(which) => if let Some(id) = chosen(which) {
                    let _ = plane.set_route(route(id));
                }
                Step::NoRoute => drop(plane.remove_route(route(3).key())),
            }
            prop_assert_eq!(&plane.maps.wrong, &Vec::<String>::new());
        }
        plane.maps.pattern = 0;
        let _ = plane.remove_route(route(3).key());
        for id in open.keys() {
            plane.remove_tunnel(*id).unwrap();
        }
        let maps = &plane.maps.maps;
        prop_assert!(maps.tunnels.is_empty() && maps.next_hops.is_empty(), "{maps:?}");
        prop_assert_eq!(maps.trie_entries(), 0);
    }
}

#[test]
fn a_number_goes_to_another_tunnel_only_when_no_route_leads_there() {
    let mut plane = plane();
    plane
        .set_tunnel(3, &[tunnel(3, 1, 1)], &next_hop(1))
        .unwrap();
    plane.set_next_hop(4, &next_hop(1)).unwrap();
    plane.set_route(route(3)).unwrap();

    assert_eq!(plane.free_next_hop(0).unwrap(), 5);
    assert_eq!(plane.free_next_hop(6).unwrap(), 6);
    let in_use = plane.remove_tunnel(3).unwrap_err();
    assert!(
        matches!(in_use, DataPlaneError::NextHopInUse { id: 3, routes: 1 }),
        "{in_use}"
    );
    let taken = plane.set_tunnel(5, &[tunnel(5, 9, 1)], &next_hop(1));
    let taken = taken.unwrap_err();
    assert!(
        matches!(taken, DataPlaneError::KeyInUse { index: 1 }),
        "{taken}"
    );
    plane.remove_route(route(3).key()).unwrap();
    plane.remove_tunnel(3).unwrap();
    assert_eq!(plane.free_next_hop(0).unwrap(), 3);
    for id in [3, 5, 6] {
        plane.set_next_hop(id, &next_hop(1)).unwrap();
    }
    assert!(plane.free_next_hop(0).is_err(), "there is no room");
}

#[test]
fn a_renewed_key_is_accepted_before_the_former_one_is_not() {
    let mut plane = plane();
    let accepted = |plane: &Plane<Refusing>| -> Vec<u32> {
        let tunnels = plane.maps.maps.tunnels.values();
        tunnels.map(|tunnel| tunnel.key).collect()
    };
    let [first, second] = [tunnel(3, 1, 1), tunnel(3, 2, 1)];
    plane.set_tunnel(3, &[first], &next_hop(1)).unwrap();

    plane.set_tunnel(3, &[second, first], &next_hop(1)).unwrap();
    assert_eq!(accepted(&plane), [1, 2], "both");

    plane.set_tunnel(3, &[second], &next_hop(1)).unwrap();
    assert_eq!(accepted(&plane), [2]);
    let twice = plane.set_tunnel(3, &[second, tunnel(3, 10, 1)], &next_hop(1));
    assert!(matches!(
        twice.unwrap_err(),
        DataPlaneError::KeyInUse { index: 2 }
    ));
    plane.set_tunnel(3, &[], &next_hop(1)).unwrap();
    assert_eq!(accepted(&plane), [] as [u32; 0], "it only sends");
    plane.remove_tunnel(3).unwrap();
    assert!(plane.maps.wrong.is_empty(), "{:?}", plane.maps.wrong);
}
