//! What lies between two members: translators of addresses, firewalls, links that carry less.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{host::Host, traffic::UdpStream};

use super::{
    super::{members::Member, support::wait_for},
    add_peer, peer, strangers,
};

/// Masquerades a host behind the router, and lets nothing in that has not been asked for.
fn put_behind_nat(router: &Host, interface: &str) -> Result<()> {
    let script = format!(
        "add table inet test;
        add chain inet test out {{ type nat hook postrouting priority srcnat; }};
        add rule inet test out iifname {interface} masquerade random;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward oifname {interface} ct state new drop;"
    );
    router.run("nft", &[&script]).map(drop)
}

#[test]
fn a_node_behind_a_nat_that_gives_each_peer_another_port_calls_and_is_reached() -> Result<()> {
    let (registry, mut members) = strangers()?;
    put_behind_nat(registry.router(), "a2")?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;

    let seen = peer(b)?;
    assert_eq!(seen["nat"], true, "{seen}");
    let address = seen["address"].as_str().context("no address")?;
    assert!(!address.ends_with(":4754"), "{seen}");
    let datagrams = UdpStream::run(
        &b.host,
        &a.host,
        a.address()?.parse()?,
        1_000,
        500,
        Duration::from_secs(2),
    )?;
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    Ok(())
}

/// Lets in what answers a flow from inside, and nothing else.
#[test]
fn a_firewall_that_lets_answers_in_alone_lets_the_tunnel_in() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let rules = "add table inet test;
        add chain inet test forward { type filter hook forward priority 0; };
        add rule inet test forward oifname a2 ct state established,related accept;
        add rule inet test forward oifname a2 drop;";
    registry.router().run("nft", &[rules])?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;
    Ok(())
}

#[test]
fn a_path_that_carries_less_and_says_nothing_is_found_out() -> Result<()> {
    let (registry, mut members) = strangers()?;
    let router = registry.router();
    let silent = "add table inet test;
        add chain inet test out { type filter hook output priority 0; };
        add rule inet test out icmp type destination-unreachable drop;
        add rule inet test out icmpv6 type packet-too-big drop;";
    router.run("nft", &[silent])?;
    router.ip(&["link", "set", "b3", "mtu", "1400"])?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;

    wait_for("the path's MTU", || Ok(peer(a)?["path-mtu"] == 1400))
        .with_context(|| format!("{:?}\n{}", peer(a), a.said()))?;

    assert_eq!(peer(a)?["tunnel-mtu"], 1364);
    // senders are told, and nothing is lost
    let size = ["-n", "-c", "3", "-W", "2", "-s", "1350", &b.address()?];
    wait_for("large packets", || {
        Ok(a.host.output("ping", &size)?.status.success())
    })?;
    Ok(())
}
