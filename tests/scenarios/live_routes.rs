//! Whoever knows the routes changes them one at a time in the maps of a running node, and packets under way do not notice.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Result;
use re6st_user::{
    config::Config,
    dataplane::{
        DataPlane as _, Route, RouteKey,
        bpf::{
            InstanceName, Pins,
            load::{self, Request},
            maps::Maps,
            plane::BpfDataPlane,
        },
    },
};
use testbed::{
    internet::IpVersion::*,
    link::add_addresses,
    node::{Encapsulation::*, INSTANCE, Node},
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
        })
    })??;
    let plane = BpfDataPlane::open(&Maps::new(pins.folder()), summary.fib)?;
    Ok((plane, summary.manifest.tunnels))
}

#[test]
fn routes_are_added_changed_and_removed_while_packets_flow() -> Result<()> {
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    chain.a.configuration.routes.push(testbed::node::Route {
        to: SUBNET.into(),
        from: None,
        via: "b".into(),
    });
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
