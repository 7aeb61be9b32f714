//! Routes on their way into maps in memory and a kernel's table that refuses what the test says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};

use re6st_common::maps::{Interface, Settings, Tunnel};

use super::*;
use crate::{
    dataplane::{fib::Fib, memory::MemoryMaps, plane::Plane},
    io::netlink::Refusal as KernelRefusal,
};

const DEVICE: u32 = 7;
const LAN: u32 = 5;
const A_TUNNEL: InterfaceId = InterfaceId(1 << 31 | next_hop_id::FIRST_TUNNEL);
const PEER: &str = "fe80::b";

/// The kernel's table.
#[derive(Debug, Default)]
struct Table {
    routes: BTreeMap<RouteKey, Way>,
    /// What it refuses with this errno.
    refused: BTreeMap<RouteKey, i32>,
    neighbours: BTreeMap<IpAddr, [u8; 6]>,
    sought: BTreeSet<IpAddr>,
}

impl KernelTable for Table {
    fn routes(&mut self, _first: u32) -> Result<Vec<(RouteKey, Way)>, NetlinkError> {
        Ok(self.routes.iter().map(|(key, way)| (*key, *way)).collect())
    }

    fn set_routes(
        &mut self,
        _first: u32,
        routes: &[(RouteKey, Option<Way>)],
    ) -> Result<Vec<KernelRefusal>, NetlinkError> {
        let mut refusals = Vec::new();
        for (index, (key, way)) in routes.iter().enumerate() {
            if let Some(&errno) = self.refused.get(key) {
                let explanation = None;
                let error = NetlinkError::Refused { errno, explanation };
                refusals.push(KernelRefusal { index, error });
            } else if let Some(way) = way {
                self.routes.insert(*key, *way);
            } else {
                self.routes.remove(key);
            }
        }
        Ok(refusals)
    }

    fn neighbour(
        &mut self,
        _interface: u32,
        address: IpAddr,
    ) -> Result<Option<[u8; 6]>, NetlinkError> {
        Ok(self.neighbours.get(&address).copied())
    }

    fn resolve_neighbour(&mut self, _interface: u32, address: IpAddr) -> Result<(), NetlinkError> {
        self.sought.insert(address);
        Ok(())
    }
}

type TestInstaller = Installer<Plane<MemoryMaps>, Table>;

/// With one tunnel, a plain interface, a static route to 2001:db8:42:5::/64, and the tunnel's peer 2001:db8:ffff::7.
fn installer() -> TestInstaller {
    let mut maps = MemoryMaps::new(Settings::EMPTY);
    let lan = Interface {
        flags: 0,
        address: [2, 0, 0, 0, 0, 1],
        reserved: [0; 2],
        name: maps::name("lan0"),
    };
    maps.interfaces.insert(LAN, lan);
    let tunnel = Tunnel {
        next_hop: next_hop_id::FIRST_TUNNEL,
        ..Tunnel::FREE
    };
    let send = NextHop {
        kind: kind::TUNNEL,
        ..NextHop::FREE
    };
    let context = Context {
        plane: Plane::new(maps, Fib::new(None), [(tunnel, send)]),
        device: DEVICE,
        device_mtu: 1420,
        port: 4754,
        metric: 2048,
        own: vec!["2001:db8:42:1::1".parse().unwrap()],
        fixed: HashSet::from([route("2001:db8:42:5::/64")]),
        peers: vec!["2001:db8:ffff::7".parse().unwrap()],
    };
    let tunnel = Exit::Tunnel(next_hop_id::FIRST_TUNNEL, Some(1300));
    let mut installer = Installer::new(
        context,
        HashMap::from([(A_TUNNEL, tunnel)]),
        Table::default(),
    );
    installer.set_exit(InterfaceId(LAN), Exit::Lan(LAN, [2, 0, 0, 0, 0, 1], 1500));
    installer
}

fn route(to: &str) -> RouteKey {
    RouteKey::new(to.parse().unwrap(), None).unwrap()
}

fn via(interface: InterfaceId) -> Wanted {
    Wanted::Via(interface, Router::Ipv6(PEER.parse().unwrap()))
}

/// Notes a wish and carries it out; what the speaker is told.
fn write(installer: &mut TestInstaller, to: &str, wanted: Wanted) -> Vec<(RouteKey, bool)> {
    installer.wishes.want(route(to), wanted);
    installer.turn();
    installer.wishes.outcomes()
}

/// The next hop that packets to a prefix take.
fn next_hop(installer: &TestInstaller, to: &str) -> Option<u32> {
    installer.plane.fib().get(route(to))
}

#[test]
fn a_route_is_in_both_tables_and_goes_from_both() {
    let mut installer = installer();

    let told = write(&mut installer, "2001:db8:42:2::/64", via(A_TUNNEL));

    assert_eq!(told, [], "nothing is amiss");
    assert_eq!(
        next_hop(&installer, "2001:db8:42:2::/64"),
        Some(next_hop_id::FIRST_TUNNEL)
    );
    let expected = Way::Through {
        interface: DEVICE,
        router: None,
        source: Some("2001:db8:42:1::1".parse().unwrap()),
        mtu: Some(1300),
    };
    assert_eq!(
        installer.kernel.routes.get(&route("2001:db8:42:2::/64")),
        Some(&expected)
    );
    write(&mut installer, "2001:db8:42:2::/64", Wanted::Unreachable);
    assert_eq!(
        next_hop(&installer, "2001:db8:42:2::/64"),
        None,
        "the kernel has the answer"
    );
    let unreachable = installer.kernel.routes.values();
    assert!(unreachable.eq([&Way::Unreachable]));
    write(&mut installer, "2001:db8:42:2::/64", Wanted::Nothing);
    assert!(installer.kernel.routes.is_empty());
}

#[test]
fn what_the_kernel_refuses_is_told_once_and_tried_each_second_until_it_passes() {
    let mut installer = installer();
    let to = "2001:db8:42:2::/64";
    installer.kernel.refused.insert(route(to), libc::EINVAL);

    let told = write(&mut installer, to, via(A_TUNNEL));

    assert_eq!(told, [(route(to), false)]);
    assert_eq!(installer.news().len(), 1);
    for _ in 0..3 {
        assert!(installer.wants_attention());
        installer.tick();
        installer.turn();
        assert!(installer.news().is_empty() && installer.wishes.outcomes().is_empty());
    }
    installer.kernel.refused.clear();
    installer.tick();
    installer.turn();
    assert_eq!(installer.wishes.outcomes(), [(route(to), true)]);
    assert_eq!(installer.counters.kernel_refusals, 4);
}

#[test]
fn what_is_refused_since_its_interface_is_down_waits_for_a_change() {
    let mut installer = installer();
    let to = "2001:db8:42:2::/64";
    installer.kernel.refused.insert(route(to), libc::ENETDOWN);
    assert_eq!(
        write(&mut installer, to, via(A_TUNNEL)),
        [(route(to), false)]
    );
    installer.kernel.refused.clear();

    installer.tick();

    assert!(!installer.wishes.is_busy());
    assert!(!installer.wants_attention(), "nothing ticks");
    installer.wishes.retry_after_change();
    installer.turn();
    assert_eq!(installer.wishes.outcomes(), [(route(to), true)]);
}

#[test]
fn what_the_data_plane_refuses_is_not_announced_and_passes_later() {
    let mut installer = installer();
    let to = "2001:db8:42:2::/64";
    let missing = InterfaceId(1 << 31 | 9);
    installer.exits.insert(missing, Exit::Tunnel(9, None));

    let told = write(&mut installer, to, via(missing));

    assert_eq!(told, [(route(to), false)]);
    assert_eq!(installer.counters.data_plane_refusals, 1);
    assert!(
        installer
            .wishes
            .why_not(&route(to))
            .unwrap()
            .contains("next hop 9")
    );
    let tunnel = NextHop {
        kind: kind::TUNNEL,
        ..NextHop::FREE
    };
    installer.plane.set_next_hop(9, &tunnel).unwrap();
    installer.tick();
    installer.turn();
    assert_eq!(installer.wishes.outcomes(), [(route(to), true)]);
}

#[test]
fn the_configuration_and_the_tunnels_own_packets_come_first() {
    for (to, why) in [
        ("2001:db8:42:5::/64", Refusal::Configured),
        (
            "2001:db8:ffff::/48",
            Refusal::Peer("2001:db8:ffff::7".parse().unwrap()),
        ),
    ] {
        let mut installer = installer();
        assert_eq!(
            write(&mut installer, to, via(A_TUNNEL)),
            [(route(to), false)],
            "{to}"
        );
        assert_eq!(installer.news(), [(route(to), why)]);
        assert_eq!(next_hop(&installer, to), None);
        assert_eq!(installer.counters.overruled, 1);
    }
    // a default route swallows everything and is taken all the same: the peers' own routes are longer
    assert_eq!(write(&mut installer(), "::/0", via(A_TUNNEL)), []);
}

#[test]
fn a_router_is_a_next_hop_that_packets_take_once_its_ethernet_address_is_known() {
    let mut installer = installer();
    let (to, router): (_, IpAddr) = ("2001:db8:42:2::/64", PEER.parse().unwrap());

    write(&mut installer, to, via(InterfaceId(LAN)));

    let number = next_hop(&installer, to).unwrap();
    assert_eq!(installer.plane.maps.next_hops[&number].ethernet_length, 0);
    assert!(installer.kernel.sought.contains(&router));
    installer
        .kernel
        .neighbours
        .insert(router, [2, 0, 0, 0, 0, 9]);
    installer.refresh_router(LAN, router);
    let entry = installer.plane.maps.next_hops[&number];
    assert_eq!(entry.ethernet[..12], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
    assert_eq!(entry.ethernet_length, 14);
    installer.tick();
    assert!(
        installer.plane.maps.next_hops.contains_key(&number),
        "it is in use"
    );
    write(&mut installer, to, Wanted::Nothing);
    installer.tick();
    assert!(
        !installer.plane.maps.next_hops.contains_key(&number),
        "forgotten"
    );
}

#[test]
fn what_somebody_else_has_changed_of_the_kernels_table_is_written_again() {
    let mut installer = installer();
    let lost = ["2001:db8:42:2::/64", "2001:db8:42:3::/64"];
    for to in lost.iter().chain(&["2001:db8:42:4::/64"]) {
        write(&mut installer, to, via(A_TUNNEL));
    }
    let before = installer.kernel.routes.clone();
    installer.kernel.routes.remove(&route(lost[0]));
    installer
        .kernel
        .routes
        .insert(route(lost[1]), Way::Unreachable);

    installer.compare().unwrap();
    installer.turn();

    assert_eq!(installer.kernel.routes, before);
    assert_eq!(installer.counters.repaired, 2);
}

#[test]
fn a_turn_writes_a_bounded_number_and_the_rest_in_the_next() {
    let mut installer = installer();
    for number in 0..=BATCH {
        installer
            .wishes
            .want(route(&format!("2001:db8:{number:x}::/48")), via(A_TUNNEL));
    }

    installer.turn();

    assert_eq!(installer.kernel.routes.len(), BATCH);
    assert!(installer.wishes.is_busy());
    installer.turn();
    assert_eq!(installer.kernel.routes.len(), BATCH + 1);
    assert!(!installer.wishes.is_busy());
}
