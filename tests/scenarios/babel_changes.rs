//! Ethernet addresses, MTUs and routes of the host that change under a running controller: packets follow, in XDP.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, Node, tunnel},
    process::Process,
    traffic::ping,
};

use crate::babel_nodes::{Pinging, assert_relayed_by_xdp, start, wait_for, wait_until};

/// How long packets may stay away.
const OUTAGE: Duration = Duration::from_secs(1);

/// `a` has a tunnel to the relay `b`, and `b` has a plain link to `c`.
struct Mixed {
    internet: Internet,
    a: Node,
    b: Node,
    c: Node,
    controllers: Vec<Process>,
}

impl Mixed {
    fn new() -> Result<Self> {
        let testbed = Testbed::new()?;
        let internet = Internet::new(&testbed)?;
        let node = |name, number| Node::new(&testbed, &internet, name, number);
        let (mut a, mut b, mut c) = (node("a", 1)?, node("b", 2)?, node("c", 3)?);
        tunnel(&mut a, &mut b, (Fou, V4))?;
        link((&b.host, "lan0"), (&c.host, "lan0"), LinkOptions::default())?;
        a.speak_babel(&[]);
        for node in [&mut b, &mut c] {
            node.configuration.interfaces.push("lan0".into());
            node.speak_babel(&["lan0"]);
        }
        let controllers = start(&[&a, &b, &c])?;
        let mixed = Self {
            internet,
            a,
            b,
            c,
            controllers,
        };
        for version in [V6, V4] {
            wait_for(&mixed.a, &mixed.c, version, &mixed.controllers)?;
        }
        mixed.assert_in_xdp()?;
        Ok(mixed)
    }

    /// Both ways across `b` are carried by XDP.
    fn assert_in_xdp(&self) -> Result<()> {
        assert_relayed_by_xdp(&self.a.host, self.c.address(V6), &self.b)
    }

    /// While packets flow from `a` to `c`, something changes: they follow, and XDP carries them again.
    fn change(&self, change: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let address = self.c.address(V6);
        let pinging = Pinging::start(&self.a.host, address, Duration::from_secs(4))?;
        std::thread::sleep(Duration::from_secs(1));
        change(self)?;
        let outage = pinging.outage()?;
        println!("outage {outage:?}");
        let logs: Vec<_> = self.controllers.iter().map(Process::stderr).collect();
        assert!(outage < OUTAGE, "{outage:?}\n{}", logs.join("\n---\n"));
        self.assert_in_xdp()
    }
}

fn tunnel_status(node: &Node, name: &str) -> Result<Value> {
    let status = node.status()?;
    let tunnels = status["tunnels"].as_array().context("no tunnels")?;
    let found = tunnels.iter().find(|tunnel| tunnel["name"] == name);
    Ok(found.context("no such tunnel")?.clone())
}

#[test]
fn the_ethernet_address_of_a_router_on_a_plain_link_is_followed() -> Result<()> {
    let mixed = Mixed::new()?;
    mixed.change(|mixed| {
        let new = ["link", "set", "lan0", "address", "02:00:00:00:03:99"];
        mixed.c.host.ip(&new).map(drop)
    })
}

#[test]
fn our_own_ethernet_address_on_a_plain_link_is_followed() -> Result<()> {
    let mixed = Mixed::new()?;
    mixed.change(|mixed| {
        let new = ["link", "set", "lan0", "address", "02:00:00:00:02:99"];
        mixed.b.host.ip(&new).map(drop)
    })
}

#[test]
fn the_ethernet_address_of_a_gateway_of_tunnels_is_followed() -> Result<()> {
    let mixed = Mixed::new()?;
    mixed.change(|mixed| {
        let interface = &mixed.b.uplink.router_interface;
        let new = ["link", "set", interface, "address", "02:00:00:00:00:99"];
        mixed.internet.router().ip(&new).map(drop)
    })?;
    assert_eq!(tunnel_status(&mixed.b, "a")?["stale"], Value::Null);
    Ok(())
}

#[test]
fn our_own_ethernet_address_on_the_underlay_is_followed() -> Result<()> {
    let mixed = Mixed::new()?;
    mixed.change(|mixed| {
        let new = ["link", "set", "eth0", "address", "02:00:00:00:02:98"];
        mixed.b.host.ip(&new).map(drop)
    })
}

#[test]
fn the_mtu_of_an_underlay_and_of_a_plain_link_is_followed() -> Result<()> {
    let mixed = Mixed::new()?;
    let (a, b, c) = (&mixed.a, &mixed.b, &mixed.c);
    let fits = |size: &str| -> Result<bool> {
        let reply = ping(&a.host, c.address(V6), 3, &["-M", "do", "-s", size]);
        Ok(reply.is_ok_and(|reply| reply.received == 3))
    };
    assert_eq!(tunnel_status(b, "a")?["mtu"], 1420);
    assert!(fits("1350")?);

    for host in [&b.host, &c.host] {
        host.ip(&["link", "set", "lan0", "mtu", "1300"])?;
    }
    wait_until("packets for the plain link are too big", || {
        Ok(!fits("1350")?)
    })?;
    assert!(fits("1200")?);
    for host in [&b.host, &c.host] {
        host.ip(&["link", "set", "lan0", "mtu", "1500"])?;
    }
    // what the sender has learned of the path stays for minutes
    a.host.ip(&["-6", "route", "flush", "cache"])?;
    wait_until("the plain link takes them again", || fits("1350"))?;

    for (host, interface) in [
        (&b.host, "eth0"),
        (mixed.internet.router(), &b.uplink.router_interface),
    ] {
        host.ip(&["link", "set", interface, "mtu", "1400"])?;
    }
    wait_until("the tunnel's MTU", || {
        Ok(tunnel_status(b, "a")?["mtu"] == 1364)
    })?;
    let route = b
        .host
        .ip(&["-6", "route", "get", &a.address(V6).to_string()])?;
    assert!(route.contains("mtu 1364"), "{route}");
    b.host.ip(&["link", "set", "eth0", "mtu", "1500"])?;
    wait_until("the tunnel's MTU", || {
        Ok(tunnel_status(b, "a")?["mtu"] == 1420)
    })?;
    mixed.assert_in_xdp()
}

#[test]
fn what_the_kernel_could_not_tell_is_found_all_the_same() -> Result<()> {
    let mixed = Mixed::new()?;
    let addresses: String = (0..1000)
        .map(|number| format!("address add 2001:db8:ffff:ffff::{number:x}/128 dev lo\n"))
        .collect();
    let batch = mixed.b.host.directory().join("addresses");
    std::fs::write(&batch, addresses)?;
    let batch = batch.to_str().context("the path is not UTF-8")?;
    mixed.change(|mixed| {
        let controller = mixed.controllers[1].id();
        kill(controller, Signal::SIGSTOP)?;
        // more than its socket has room for
        let added = mixed.b.host.ip(&["-batch", batch]);
        let new = ["link", "set", "lan0", "address", "02:00:00:00:03:99"];
        let changed = mixed.c.host.ip(&new);
        kill(controller, Signal::SIGCONT)?;
        added.and(changed).map(drop)
    })
}

#[test]
fn another_way_to_the_peer_of_a_tunnel_is_followed() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut b) = (node("a", 1)?, node("b", 2)?);
    let second = internet.attach(&b.host, "eth1", LinkOptions::default())?;
    b.configuration.interfaces.push("eth1".into());
    tunnel(&mut a, &mut b, (Fou, V4))?;
    // the address stays the same whichever way packets take
    let shared = Ipv4Addr::new(198, 51, 100, 2);
    add_addresses(&b.host, "lo", &[&format!("{shared}/32")])?;
    let gateway = |address: Ipv4Addr| Ipv4Addr::from(u32::from(address) - 1).to_string();
    let via = |b: &Node, uplink: &testbed::internet::Uplink| -> Result<()> {
        let (to, by) = (a_network(), gateway(uplink.ipv4));
        b.host.ip(&["route", "replace", &to, "via", &by])?;
        let (to, by) = (shared.to_string(), uplink.ipv4.to_string());
        internet
            .router()
            .ip(&["route", "replace", &to, "via", &by])?;
        Ok(())
    };
    via(&b, &b.uplink)?;
    a.configuration.tunnels[0].remote = shared.into();
    b.configuration.tunnels[0].local = Some(shared.into());
    a.speak_babel(&[]);
    b.speak_babel(&[]);
    let controllers = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &controllers)?;
    assert_eq!(tunnel_status(&b, "a")?["interface"], "eth0");

    let pinging = Pinging::start(&a.host, b.address(V6), Duration::from_secs(4))?;
    std::thread::sleep(Duration::from_secs(1));
    via(&b, &second)?;

    let outage = pinging.outage()?;
    println!("outage {outage:?}");
    assert!(outage < OUTAGE, "{outage:?}\n{}", controllers[1].stderr());
    let status = tunnel_status(&b, "a")?;
    assert_eq!(
        (&status["interface"], &status["stale"]),
        (&"eth1".into(), &Value::Null)
    );
    Ok(())
}

/// Where `a` is on the Internet, the first to be attached.
fn a_network() -> String {
    "203.0.113.4/30".to_owned()
}
