//! What lies between two members: translators of addresses, firewalls, links that carry less.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    host::Host,
    traffic::{UdpStream, transfer},
};

use super::{
    super::{
        members::Member,
        support::{RegistryHost, wait_for},
    },
    accepted_keys, add_peer, outer, peer, strangers,
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

/// Two members on links of this size; the way between the two carries only so much, and says nothing of it.
fn silent_path(links: u16, narrow: u16) -> Result<(RegistryHost, [Member; 2])> {
    let (registry, members) = strangers()?;
    let router = registry.router();
    let links = links.to_string();
    for (member, interface) in members.iter().zip(["a2", "b3"]) {
        member.host.ip(&["link", "set", "eth0", "mtu", &links])?;
        router.ip(&["link", "set", interface, "mtu", &links])?;
    }
    let [a, b] = &members;
    let between = format!("{{ {}, {} }}", outer(a)?, outer(b)?);
    let silent = format!(
        "add table inet test;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward ip saddr {between} ip daddr {between} ip length > {narrow} drop;"
    );
    router.run("nft", &[&silent])?;
    add_peer(a, b)?;
    Ok((registry, members))
}

/// Both have found what the path carries, and what fits in the tunnel; and TCP gets through, with full segments.
fn carries(links: u16, path: u16, found: u16, tunnel: u16) -> Result<()> {
    let (_registry, mut members) = silent_path(links, path)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;
    a.reach(b)?;

    for member in [a, b] {
        wait_for("the path's MTU", || {
            let peer = peer(member)?;
            Ok(peer["path-mtu"] == found && peer["tunnel-mtu"] == tunnel)
        })
        .with_context(|| format!("{:?}\n{}", peer(member), member.said()))?;
        let text = member.status(&["peers"])?;
        assert!(text.contains(&tunnel.to_string()), "{text}");
    }

    transfer(&a.host, &b.host, b.address()?.parse()?, 1 << 20)?;
    Ok(())
}

#[test]
fn a_path_that_carries_less_and_says_nothing_is_found_out() -> Result<()> {
    carries(1500, 1400, 1400, 1364)
}

/// What IPv6 needs in a tunnel, and the headers around it.
#[test]
fn the_narrowest_path_that_carries_ipv6_is_found_out() -> Result<()> {
    carries(1500, 1316, 1316, 1280)
}

/// The mesh's packets have 1,420 octets at most, so no more than an ordinary link carries is searched.
#[test]
fn a_path_of_large_frames_carries_full_tunnels() -> Result<()> {
    carries(9000, 9000, 1500, 1420)
}

#[test]
fn a_path_too_narrow_for_ipv6_in_a_tunnel_is_named_and_no_packet_is_lost_there() -> Result<()> {
    let (_registry, mut members) = silent_path(1500, 1280)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    let words = "leaves 1244 bytes for packets in it, and IPv6 needs 1280";
    for member in [a, b] {
        wait_for("the reason", || Ok(member.said().contains(words)))
            .with_context(|| format!("{:?}\n{}", peer(member), member.said()))?;
        let why = peer(member)?["why"].to_string();
        assert!(why.contains("no tunnel"), "{why}");
        assert!(accepted_keys(member)?.is_empty(), "{}", member.said());
    }
    Ok(())
}
