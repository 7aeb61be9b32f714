//! Next hops whose Ethernet address is not known, or not any more.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use testbed::{
    cleanup::wait_until,
    host::{Host, Testbed},
    internet::IpVersion::*,
    link::LinkOptions,
    node::Encapsulation::*,
    traffic::ping,
};

use crate::{
    babel_nodes::assert_reaches,
    meshes::{Chain, row},
};

/// The kernel's own patience with a neighbour is half a minute.
const QUICK: [(&str, &str); 3] = [
    ("base_reachable_time_ms", "500"),
    ("delay_first_probe_time", "1"),
    ("retrans_time_ms", "200"),
];

/// The kernel finds out soon about neighbours that are not what they were.
fn be_quick(host: &Host, interface: &str) -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        for (name, value) in QUICK {
            let name = format!("net.{family}.neigh.{interface}.{name}");
            host.set_sysctl(&name, value)?;
        }
    }
    Ok(())
}

#[test]
fn packets_arrive_also_while_the_next_hop_has_no_address() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    // the router is off while b is loaded, so that nobody answers
    let router = chain.internet.router();
    router.ip(&["link", "set", &chain.b.uplink.router_interface, "down"])?;
    chain.b.host.ip(&["neigh", "flush", "all"])?;
    chain.b.load()?;
    assert_eq!(chain.b.tunnel_status("c")?["neighbour"], Value::Null);
    router.ip(&["link", "set", &chain.b.uplink.router_interface, "up"])?;
    chain.a.load()?;
    chain.c.load()?;

    for version in [V6, V4] {
        assert_reaches(&chain.a.host, chain.c.address(version), 10);
    }
    Ok(())
}

#[test]
fn a_router_that_was_exchanged_is_reported_and_learned_by_loading_again() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let address = chain.c.address(V6);
    assert!(ping(&chain.a.host, address, 3, &[])?.is_perfect());
    assert_eq!(chain.b.tunnel_status("c")?["stale"], Value::Null);
    let interface = &chain.b.uplink.router_interface;
    chain
        .internet
        .router()
        .ip(&["link", "set", interface, "address", "02:00:00:00:00:99"])?;
    be_quick(&chain.b.host, "eth0")?;

    // nothing but the question lets the node's kernel find out
    let told = wait_until(Duration::from_secs(60), || {
        ["a", "c"].into_iter().all(|tunnel| {
            let status = chain.b.tunnel_status(tunnel);
            status.is_ok_and(|status| status["stale"].is_string())
        })
    });
    assert!(told, "{}", chain.b.host.ip(&["neigh"])?);
    chain.b.load()?;

    assert!(ping(&chain.a.host, address, 5, &[])?.is_perfect());
    assert_eq!(chain.b.tunnel_status("a")?["stale"], Value::Null);
    Ok(())
}

/// Nobody tells of it, and no packet of the node's own goes there: the node's kernel has to find out by itself.
#[test]
fn a_host_behind_a_node_that_was_exchanged_is_found_again() -> Result<()> {
    let (_internet, [a, mut b]) = row(["a", "b"], &[(Fou, V4)])?;
    let testbed = Testbed::new()?;
    let lan = b.lan_host(&testbed, "host", "lan0", LinkOptions::default())?;
    be_quick(&b.host, "lan0")?;
    a.load()?;
    b.load()?;
    for version in [V6, V4] {
        let address = lan.address(version);
        assert!(ping(&a.host, address, 3, &[])?.is_perfect());
    }
    // the host asks for nothing, and the kernel has not sent there for a while: it verifies it no more
    let old = lan.host.ethernet_address("eth0")?;
    let own = b.host.ethernet_address("lan0")?;
    for version in [V6, V4] {
        for (host, device, to, address, state) in [
            (&lan.host, "eth0", b.address(version), &own, "permanent"),
            (&b.host, "lan0", lan.address(version), &old, "stale"),
        ] {
            host.ip_batch(&format!(
                "neigh replace {to} lladdr {address} dev {device} nud {state}"
            ))?;
        }
    }

    lan.host
        .ip(&["link", "set", "eth0", "address", "02:00:00:00:00:99"])?;

    for version in [V6, V4] {
        let address = lan.address(version);
        let found = wait_until(Duration::from_secs(60), || {
            ping(&a.host, address, 2, &[]).is_ok_and(|answers| answers.is_perfect())
        });
        let neighbours = b.host.ip(&["neigh", "show", "dev", "lan0"])?;
        assert!(found, "{version:?}: {neighbours}");
    }
    Ok(())
}
