//! Next hops whose Ethernet address is not known, or not any more.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    internet::IpVersion::*,
    node::{Encapsulation::*, Node},
    traffic::ping,
};

use crate::meshes::Chain;

/// A field of a tunnel in the status.
fn of_tunnel(node: &Node, tunnel: &str, field: &str) -> Result<Value> {
    let status = node.status()?;
    let tunnels = status["tunnels"].as_array().context("no tunnels")?;
    let tunnel = tunnels
        .iter()
        .find(|entry| entry["name"] == tunnel)
        .context("no such tunnel")?;
    Ok(tunnel[field].clone())
}

#[test]
fn packets_arrive_also_while_the_next_hop_has_no_address() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    // the router is off while b is loaded, so that nobody answers
    let router = chain.internet.router();
    router.ip(&["link", "set", &chain.b.uplink.router_interface, "down"])?;
    chain.b.host.ip(&["neigh", "flush", "all"])?;
    chain.b.load()?;
    assert_eq!(of_tunnel(&chain.b, "c", "neighbour")?, Value::Null);
    router.ip(&["link", "set", &chain.b.uplink.router_interface, "up"])?;
    chain.a.load()?;
    chain.c.load()?;

    for version in [V6, V4] {
        let answers = ping(&chain.a.host, chain.c.address(version), 10, &[])?;

        assert!(answers.is_perfect(), "{version:?}: {}", answers.text);
    }
    Ok(())
}

#[test]
fn a_router_that_was_exchanged_is_reported_and_learned_by_loading_again() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let address = chain.c.address(V6);
    assert!(ping(&chain.a.host, address, 3, &[])?.is_perfect());
    assert_eq!(of_tunnel(&chain.b, "c", "stale")?, Value::Null);
    let interface = &chain.b.uplink.router_interface;
    chain
        .internet
        .router()
        .ip(&["link", "set", interface, "address", "02:00:00:00:00:99"])?;
    chain.b.host.ip(&["neigh", "flush", "all"])?;
    // the node's own traffic lets its kernel learn the new address
    let router = std::net::Ipv4Addr::from(u32::from(chain.b.uplink.ipv4) - 1);
    assert!(ping(&chain.b.host, router.into(), 2, &[])?.is_perfect());

    assert!(of_tunnel(&chain.b, "a", "stale")?.is_string());
    chain.b.load()?;

    assert!(ping(&chain.a.host, address, 5, &[])?.is_perfect());
    assert_eq!(of_tunnel(&chain.b, "a", "stale")?, Value::Null);
    Ok(())
}
