//! Default routes for some sources only (RFC 9079): each side is the other's gateway.
//!
//! `laptop` - our node - LAN - the other, and a network of the world behind each of the two routers.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    daemon::{Babeld, Bird, Daemon, Features},
    host::{Host, Testbed},
    internet::IpVersion::V6,
    link::{LinkOptions, add_addresses, link},
    node::Node,
    traffic::ping,
};

use super::pair::{LAN, Lan, OURS, Pair, THEIRS, address};

/// Sources that use the other's gateway, and ours.
const OUR_PREFIX: &str = "2001:db8:42:1::/64";
/// See [`OUR_PREFIX`].
const THEIR_PREFIX: &str = "2001:db8:42:2::/64";
/// A source of our node's that neither is meant for.
const OUTSIDE: &str = "2001:db8:43::1";
/// What is behind the other router, and behind us.
const THEIR_WORLD: &str = "2001:db8:77::2";
/// See [`THEIR_WORLD`].
const OUR_WORLD: &str = "2001:db8:88::2";

/// A network behind a router, of which the router's address ends in 1 and that of the host on it in 2.
fn world(testbed: &Testbed, name: &str, router: &Host, host_address: &str) -> Result<Host> {
    let router_address = host_address.replace("::2", "::1");
    let host = testbed.host(name)?;
    link((router, "wan0"), (&host, "eth0"), LinkOptions::default())?;
    add_addresses(router, "wan0", &[&format!("{router_address}/64")])?;
    add_addresses(&host, "eth0", &[&format!("{host_address}/64")])?;
    host.ip(&["route", "add", "default", "via", &router_address])?;
    Ok(host)
}

fn each_is_the_others_gateway(daemon: &'static dyn Daemon) -> Result<()> {
    let testbed = Testbed::new()?;
    let mut pair = Pair::new(&testbed, daemon, Lan::default())?;
    pair.configure(Features {
        default_from: Some(THEIR_PREFIX),
        ..Features::default()
    });
    let laptop = pair
        .ours
        .lan_host(&testbed, "laptop", "site0", LinkOptions::default())?;
    let _our_world = world(&testbed, "our-world", &pair.ours.host, OUR_WORLD)?;
    pair.ours.configuration.interfaces.push("wan0".into());
    pair.ours.configuration.gateway_interfaces = vec!["wan0".into()];
    let their_world = world(&testbed, "their-world", &pair.theirs, THEIR_WORLD)?;
    // what babeld announces must be in the kernel
    let gateway = ["via", THEIR_WORLD, "dev", "wan0", "proto", "static"];
    pair.theirs
        .ip(&[&["-6", "route", "add", "default"], &gateway[..]].concat())?;
    add_addresses(&pair.ours.host, "lo", &[&format!("{OUTSIDE}/128")])?;
    let running = pair.start(Features {
        default_from: Some(OUR_PREFIX),
        ..Features::default()
    })?;

    running.reach_each_other(V6)?;
    let (ours, theirs) = (address(OURS, V6), address(THEIRS, V6));
    let (our_world, their_world_address): (IpAddr, IpAddr) =
        (OUR_WORLD.parse()?, THEIR_WORLD.parse()?);
    running.wait_for(&pair.ours.host, ours, their_world_address)?;
    running.wait_for(&pair.theirs, theirs, our_world)?;

    // in the kernel
    let get = |source: &str| {
        let route = ["-6", "route", "get", THEIR_WORLD, "from", source];
        pair.ours.host.ip(&route)
    };
    let (by_babel, elsewhere) = (get(&ours.to_string())?, get(OUTSIDE)?);
    assert!(
        by_babel.contains("proto babel") && by_babel.contains(LAN),
        "{by_babel}"
    );
    assert!(elsewhere.contains("dev eth0"), "{elsewhere}");
    let outside = ping(&pair.ours.host, their_world_address, 3, &["-I", OUTSIDE])?;
    assert_eq!(outside.received, 0, "{}", outside.text);

    // in XDP, for those behind our node; the answers to them are the kernel's business, as for any LAN
    let exchange = || ping(&laptop.host, their_world_address, 10, &[]);
    // the kernels learn their neighbours
    exchange()?;
    let before = pair.ours.host.forwarded_by_kernel()?;
    let answers = exchange()?;
    let after = pair.ours.host.forwarded_by_kernel()?;
    assert!(answers.is_perfect(), "{}", answers.text);
    assert_eq!(after.1 - before.1, 10, "{:?}", pair.ours.reasons()?);
    let from = |source: &str| {
        let packet = format!("on site0: {source} > {THEIR_WORLD} icmp");
        trace(&pair.ours, &packet)
    };
    let inside = from(&laptop.ipv6.to_string())?;
    assert_eq!(inside["outcome"], "sent", "{inside:#}");
    assert_eq!(inside["interface"], LAN, "{inside:#}");
    let outside = from("2001:db8:43::2")?;
    assert_ne!(outside["outcome"], "sent", "{outside:#}");
    drop(their_world);
    Ok(())
}

fn trace(node: &Node, packet: &str) -> Result<Value> {
    let output = node.re6st_user(&["trace", "--json", packet])?;
    let text = output.success().context(packet.to_owned())?.stdout;
    Ok(serde_json::from_str(&text)?)
}

#[test]
fn babeld_and_our_node_are_gateways() -> Result<()> {
    each_is_the_others_gateway(&Babeld)
}

#[test]
fn bird_and_our_node_are_gateways() -> Result<()> {
    each_is_the_others_gateway(&Bird)
}
