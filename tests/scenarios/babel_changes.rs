//! Ethernet addresses, MTUs and routes of the host that change under a running controller: packets follow, in XDP.

use std::{net::Ipv4Addr, thread::sleep, time::Duration};

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use testbed::{
    host::Host,
    internet::{IpVersion::*, Uplink},
    link::{LinkOptions, add_addresses},
    node::{Encapsulation::*, Node},
    traffic::ping,
};

use crate::{
    babel_nodes::{Pinging, assert_relayed_by_xdp, logs, start, wait_for, wait_until},
    meshes::{Mixed, speaking},
};

/// How long packets may stay away.
const OUTAGE: Duration = Duration::from_secs(1);

/// Both ways across the relay are carried by XDP.
fn mixed() -> Result<Mixed> {
    let mixed = Mixed::new(|_| Ok(()))?;
    assert_in_xdp(&mixed)?;
    Ok(mixed)
}

fn assert_in_xdp(mixed: &Mixed) -> Result<()> {
    assert_relayed_by_xdp(&mixed.a.host, mixed.c.address(V6), &mixed.b)
}

/// While packets flow from `a` to `c`, something changes: they follow, and XDP carries them again.
fn change(mixed: &Mixed, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let address = mixed.c.address(V6);
    let pinging = Pinging::start(&mixed.a.host, address, Duration::from_secs(4))?;
    sleep(Duration::from_secs(1));
    change()?;
    let outage = pinging.outage()?;
    println!("outage {outage:?}");
    assert!(outage < OUTAGE, "{outage:?}\n{}", logs(&mixed.controllers));
    assert_in_xdp(mixed)
}

/// The same when the Ethernet address of an interface becomes another.
fn change_address(mixed: &Mixed, host: &Host, interface: &str, address: &str) -> Result<()> {
    let command = ["link", "set", interface, "address", address];
    change(mixed, || host.ip(&command).map(drop))
}

#[test]
fn the_ethernet_address_of_a_router_on_a_plain_link_is_followed() -> Result<()> {
    let mixed = mixed()?;
    change_address(&mixed, &mixed.c.host, "lan0", "02:00:00:00:03:99")
}

#[test]
fn our_own_ethernet_address_on_a_plain_link_is_followed() -> Result<()> {
    let mixed = mixed()?;
    change_address(&mixed, &mixed.b.host, "lan0", "02:00:00:00:02:99")
}

#[test]
fn the_ethernet_address_of_a_gateway_of_tunnels_is_followed() -> Result<()> {
    let mixed = mixed()?;
    let (router, interface) = (mixed.internet.router(), &mixed.b.uplink.router_interface);
    change_address(&mixed, router, interface, "02:00:00:00:00:99")?;
    assert_eq!(mixed.b.tunnel_status("a")?["stale"], Value::Null);
    Ok(())
}

#[test]
fn our_own_ethernet_address_on_the_underlay_is_followed() -> Result<()> {
    let mixed = mixed()?;
    change_address(&mixed, &mixed.b.host, "eth0", "02:00:00:00:02:98")
}

#[test]
fn the_mtu_of_an_underlay_and_of_a_plain_link_is_followed() -> Result<()> {
    let mixed = mixed()?;
    let (a, b, c) = (&mixed.a, &mixed.b, &mixed.c);
    let fits = |size: &str| -> Result<bool> {
        let reply = ping(&a.host, c.address(V6), 3, &["-M", "do", "-s", size]);
        Ok(reply.is_ok_and(|reply| reply.received == 3))
    };
    assert_eq!(b.tunnel_status("a")?["mtu"], 1420);
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
        Ok(b.tunnel_status("a")?["mtu"] == 1364)
    })?;
    let route = b
        .host
        .ip(&["-6", "route", "get", &a.address(V6).to_string()])?;
    assert!(route.contains("mtu 1364"), "{route}");
    b.host.ip(&["link", "set", "eth0", "mtu", "1500"])?;
    wait_until("the tunnel's MTU", || {
        Ok(b.tunnel_status("a")?["mtu"] == 1420)
    })?;
    assert_in_xdp(&mixed)
}

#[test]
fn what_the_kernel_could_not_tell_is_found_all_the_same() -> Result<()> {
    let mixed = mixed()?;
    let (b, c) = (&mixed.b.host, &mixed.c.host);
    let addresses: String = (0..1000)
        .map(|number| format!("address add 2001:db8:ffff:ffff::{number:x}/128 dev lo\n"))
        .collect();
    change(&mixed, || {
        let controller = mixed.controllers[1].id();
        kill(controller, Signal::SIGSTOP)?;
        // more than its socket has room for
        let added = b.ip_batch(&addresses);
        let new = ["link", "set", "lan0", "address", "02:00:00:00:03:99"];
        let changed = c.ip(&new);
        kill(controller, Signal::SIGCONT)?;
        added.and(changed.map(drop))
    })
}

#[test]
fn another_way_to_the_peer_of_a_tunnel_is_followed() -> Result<()> {
    let (internet, [mut a, mut b]) = speaking(["a", "b"], &[(Fou, V4)])?;
    let second = internet.attach(&b.host, "eth1", LinkOptions::default())?;
    b.configuration.interfaces.push("eth1".into());
    // the address stays the same whichever way packets take
    let shared = Ipv4Addr::new(198, 51, 100, 2);
    add_addresses(&b.host, "lo", &[&format!("{shared}/32")])?;
    let via = |b: &Node, uplink: &Uplink| -> Result<()> {
        // where `a` is on the Internet, the first to be attached
        let (to, by) = ("203.0.113.4/30", uplink.router(V4).to_string());
        b.host.ip(&["route", "replace", to, "via", &by])?;
        let (to, by) = (shared.to_string(), uplink.ipv4.to_string());
        internet
            .router()
            .ip(&["route", "replace", &to, "via", &by])?;
        Ok(())
    };
    via(&b, &b.uplink)?;
    a.configuration.tunnels[0].remote = shared.into();
    b.configuration.tunnels[0].local = Some(shared.into());
    let controllers = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &controllers)?;
    assert_eq!(b.tunnel_status("a")?["interface"], "eth0");

    let pinging = Pinging::start(&a.host, b.address(V6), Duration::from_secs(4))?;
    sleep(Duration::from_secs(1));
    via(&b, &second)?;

    let outage = pinging.outage()?;
    println!("outage {outage:?}");
    assert!(outage < OUTAGE, "{outage:?}\n{}", controllers[1].stderr());
    let status = b.tunnel_status("a")?;
    assert_eq!(
        (&status["interface"], &status["stale"]),
        (&"eth1".into(), &Value::Null)
    );
    Ok(())
}
