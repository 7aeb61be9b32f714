//! Whoever knows the routes changes them one at a time in the maps of a running node, and packets under way do not notice.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use re6st_common::checksum;
use re6st_user::{
    config::Config,
    dataplane::{
        DataPlane as _, Route,
        bpf::{
            InstanceName, Pins,
            load::{self, Occasion, Request},
            maps::Maps,
            plane::{BpfDataPlane, BpfMaps},
        },
        plane::Plane,
    },
    route::RouteKey,
};
use testbed::{
    internet::IpVersion::*,
    link::add_addresses,
    node::{Encapsulation::*, INSTANCE, Node},
    packet::{Frame, Internet as Packet},
    traffic::{UdpStream, ping},
};

use crate::meshes::Chain;

/// A subnet that node `c` has besides, which `a` sends to `b`, and of which `b` has not heard.
const SUBNET: &str = "2001:db8:42:9::/64";
const HOST: &str = "2001:db8:42:9::1";
/// How many routes the time of one is measured with.
const MANY: u16 = 2000;

/// Loads a node as `re6st-user load` does, and goes on with its maps; and the number of each tunnel's next hop.
fn loaded(node: &Node) -> Result<(BpfDataPlane, BTreeMap<String, u32>)> {
    let path = node.write_configuration()?;
    let config = Config::from_path(&path)?;
    let instance = InstanceName::parse(INSTANCE).map_err(anyhow::Error::msg)?;
    let pins = Pins::new(&node.host.bpffs(), &instance);
    let summary = node.host.enter(|| {
        load::load(&Request {
            config: &config,
            config_path: &path,
            pins: &pins,
            kept: &[],
            mode: None,
            allow_tcx: true,
            occasion: Occasion::Command,
            unless_held: None,
            renamed: None,
        })
    })??;
    let maps = BpfMaps::open(&Maps::new(pins.folder()))?;
    let plane = Plane::new(maps, summary.fib, summary.entries);
    Ok((plane, summary.manifest.tunnels))
}

#[test]
fn routes_are_added_changed_and_removed_while_packets_flow() -> Result<()> {
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    let routes = &mut chain.a.configuration.routes;
    routes.push(testbed::node::Route::new(SUBNET, "b"));
    add_addresses(&chain.c.host, "lo", &[&format!("{HOST}/128")])?;
    chain.a.load()?;
    chain.c.load()?;
    let (mut plane, numbers) = loaded(&chain.b)?;
    let (back, on) = (numbers["a"], numbers["c"]);
    let answered = || -> Result<u32> { Ok(ping(&chain.a.host, HOST.parse()?, 3, &[])?.received) };
    let (from, to) = (&chain.a.host, &chain.c.host);
    let streams =
        [V6, V4].map(|version| UdpStream::start(from, to, chain.c.address(version), 200, 2000));

    // a longer prefix where the stream goes, a source-specific one, and the subnet: none, added, changed, removed
    let neighbours = [
        Route::new("2001:db8:42:3::99/128".parse()?, None, back)?,
        Route::new(
            "2001:db8:42:3::/64".parse()?,
            Some("2001:db8:42:8::/64".parse()?),
            back,
        )?,
        Route::new("10.42.3.99/32".parse()?, None, back)?,
    ];
    for _ in 0..100 {
        for route in neighbours {
            plane.set_route(route)?;
        }
        for route in neighbours {
            plane.remove_route(route.key())?;
        }
    }
    let subnet = RouteKey::new(SUBNET.parse()?, None)?;
    assert_eq!(answered()?, 0);
    plane.set_route(Route::new(subnet.to(), None, on)?)?;
    assert_eq!(answered()?, 3);
    plane.set_route(Route::new(subnet.to(), None, back)?)?;
    assert_eq!(answered()?, 0);
    plane.set_route(Route::new(subnet.to(), None, on)?)?;
    assert_eq!(answered()?, 3);
    plane.remove_route(subnet)?;
    assert_eq!(answered()?, 0);

    for stream in streams {
        let stream = stream?.finish()?;
        assert!(stream.is_perfect(), "{stream:?}");
    }
    let loops = plane
        .reason_counters()?
        .get(re6st_common::reason::Reason::RoutingLoop);
    assert_eq!(loops, 3, "while the subnet's route led back");
    assert!(plane.tunnel_counters(on)?.sent_packets > 1000);
    Ok(())
}

#[test]
fn the_time_of_one_route_is_known() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    let (mut plane, numbers) = loaded(&chain.b)?;
    let tunnel = numbers["c"];
    for (kind, network, length) in [
        ("node prefixes, in the array", "2001:db8:42", 64),
        ("host routes, in the trie", "2001:db8:42", 128),
        ("foreign prefixes, in the trie", "2001:db8:43", 64),
    ] {
        let routes = (0x100..0x100 + MANY)
            .map(|number| {
                Ok(Route::new(
                    format!("{network}:{number:x}::/{length}").parse()?,
                    None,
                    tunnel,
                )?)
            })
            .collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        for route in &routes {
            plane.set_route(*route)?;
        }
        let added = start.elapsed();
        let start = Instant::now();
        for route in &routes {
            plane.remove_route(route.key())?;
        }
        let removed = start.elapsed();
        let each = u32::from(MANY);
        println!(
            "{kind}: {:?} to add one, {:?} to remove one",
            added / each,
            removed / each
        );
    }
    Ok(())
}

/// A next hop that changes between two peers as fast as it can: each packet is for one of them, as a whole.
#[test]
fn no_packet_sees_half_of_a_changed_next_hop() -> Result<()> {
    const TIME: Duration = Duration::from_secs(2);
    let chain = Chain::new((Fou, V4), (Fou, V4))?;
    let (mut plane, numbers) = loaded(&chain.b)?;
    let instance = InstanceName::parse(INSTANCE).map_err(anyhow::Error::msg)?;
    let pins = Pins::new(&chain.b.host.bpffs(), &instance);
    let before = *Maps::new(pins.folder())
        .next_hops()?
        .get(&numbers["c"], 0)?
        .current();
    let peers = [[198, 51, 100, 7], [203, 0, 200, 254]];
    let next_hops = peers.map(|peer| {
        let mut next_hop = before;
        next_hop.outer[16..20].copy_from_slice(&peer);
        // source and key as well: all of it is the peer's
        next_hop.outer[12..16].copy_from_slice(&peer);
        next_hop.outer[32..36].copy_from_slice(&peer);
        next_hop.outer_checksum = checksum::sum(&next_hop.outer[..20]);
        next_hop
    });
    let frame = Frame::new([2; 6], [2; 6]).bytes(
        &Packet::new("10.42.2.1", "10.42.3.1")
            .udp(1, 2, b"whole")
            .bytes(),
    );
    let stop = AtomicBool::new(false);
    let packets = std::thread::scope(|scope| -> Result<BTreeMap<[u8; 4], u64>> {
        let sender = scope.spawn(|| {
            chain.b.host.enter(|| -> Result<BTreeMap<[u8; 4], u64>> {
                let program = SchedClassifier::from_pin(pins.object("re6st_send"))?;
                let mut seen = BTreeMap::new();
                let mut output = vec![0; 256];
                while !stop.load(Ordering::Relaxed) {
                    let options = TestRunOptions {
                        data_in: Some(&frame),
                        data_out: Some(&mut output),
                        ..TestRunOptions::default()
                    };
                    program.test_run(options)?;
                    let outer = &output[14..50];
                    let peer: [u8; 4] = outer[16..20].try_into()?;
                    ensure!(
                        checksum::fold(checksum::sum(&outer[..20])) == 0xffff,
                        "{outer:?}"
                    );
                    ensure!(outer[12..16] == peer && outer[32..36] == peer, "{outer:?}");
                    *seen.entry(peer).or_insert(0) += 1;
                }
                Ok(seen)
            })?
        });
        let start = Instant::now();
        let mut outcome = Ok(());
        while start.elapsed() < TIME && outcome.is_ok() && !sender.is_finished() {
            outcome = next_hops
                .iter()
                .try_for_each(|next_hop| plane.set_next_hop(numbers["c"], next_hop));
        }
        stop.store(true, Ordering::Relaxed);
        outcome?;
        sender.join().map_err(|_| anyhow!("the sender panicked"))?
    })?;
    println!("{packets:?}");
    for peer in peers {
        assert!(
            packets.get(&peer).is_some_and(|count| *count > 0),
            "{packets:?}"
        );
    }
    Ok(())
}
