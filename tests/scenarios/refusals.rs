//! What must not enter the mesh is dropped, and counted under its own name.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result};
use testbed::{
    cleanup::wait_until,
    host::{Host, Testbed},
    internet::IpVersion::*,
    link::{LinkOptions, add_addresses},
    node::{Encapsulation::*, Node, mesh_ipv6},
    traffic::ping,
};

use crate::meshes::Chain;

/// Packets of each kind.
const PACKETS: u64 = 5;
/// GRE's protocol number of IPv6.
const IPV6: u16 = 0x86dd;
/// GRE's protocol number of IPv4.
const IPV4: u16 = 0x0800;

/// A GRE header with a key (RFC 2890) and what follows it.
fn gre(protocol: u16, key: u32, inner: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x20, 0];
    packet.extend(protocol.to_be_bytes());
    packet.extend(key.to_be_bytes());
    packet.extend(inner);
    packet
}

/// An IPv6 packet (RFC 8200) without a next header.
fn ipv6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet
}

/// Sends a few times from a host to UDP 4754 of an address; from `source` if one is given.
fn send(host: &Host, source: Option<IpAddr>, to: IpAddr, packet: &[u8]) -> Result<()> {
    let source = source.unwrap_or_else(|| {
        if to.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        }
    });
    let socket = host.enter(|| UdpSocket::bind(SocketAddr::new(source, 0)))??;
    for _ in 0..PACKETS {
        socket.send_to(packet, (to, 4754))?;
    }
    Ok(())
}

/// That a node counts exactly the packets sent meanwhile under a reason.
fn counts(node: &Node, reason: &str, what: &str, send: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = node.reason(reason)?;
    send().with_context(|| what.to_owned())?;
    let reached = wait_until(Duration::from_secs(2), || {
        node.reason(reason).is_ok_and(|now| now >= before + PACKETS)
    });
    let now = node.reason(reason)?;
    assert!(
        reached && now == before + PACKETS,
        "{what}: {reason} went from {before} to {now}"
    );
    Ok(())
}

#[test]
fn hostile_tunnel_packets_are_dropped_each_under_its_name() -> Result<()> {
    let testbed = Testbed::new()?;
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    let lan = chain
        .b
        .lan_host(&testbed, "lan", "lan0", LinkOptions::default())?;
    let stranger = testbed.host("stranger")?;
    chain
        .internet
        .attach(&stranger, "eth0", LinkOptions::default())?;
    chain.load()?;
    let Chain { a, b, .. } = &chain;
    let to = b.uplink.address(V4);
    let key = a.configuration.tunnels[0].key.remote;
    let elsewhere: Ipv6Addr = "2001:db8:42:9::9".parse()?;
    let (of_a, of_b, of_c) = (mesh_ipv6(1), mesh_ipv6(2), mesh_ipv6(3));
    let behind_b: Ipv6Addr = "2001:db8:42:2::77".parse()?;
    let good = ipv6(of_a, of_c);

    let tunnelled = |inner: &[u8]| gre(IPV6, key, inner);
    let other_key = gre(IPV6, key ^ 0x1000_0000, &good);
    let no_key = [&[0, 0][..], &IPV6.to_be_bytes(), &good].concat();
    let half_gre = tunnelled(&[])[..6].to_vec();
    let mut too_long = good.clone();
    too_long[5] = 200;
    let (ethernet, as_ipv4) = (gre(0x6558, key, &good), gre(IPV4, key, &good));
    let malformed = [
        ("a key nobody has", "unknown_key", other_key),
        ("no key", "unknown_key", no_key),
        ("half a GRE header", "truncated", half_gre),
        ("half an IPv6 header", "truncated", tunnelled(&good[..20])),
        (
            "an inner length too big",
            "bad_length",
            tunnelled(&too_long),
        ),
        ("Ethernet inside", "unknown_protocol", ethernet),
        ("IPv6 announced as IPv4", "inner_mismatch", as_ipv4),
    ];
    let (loopback, multicast) = (Ipv6Addr::LOCALHOST, "ff0e::1".parse()?);
    let forged = [
        ("a source of ::1", "forbidden_address", loopback, of_c),
        ("a multicast source", "forbidden_address", multicast, of_c),
        ("a source that is the node", "spoofed_source", of_b, of_c),
        ("a source behind the node", "spoofed_source", behind_b, of_c),
        ("a route back", "routing_loop", elsewhere, of_a),
    ]
    .map(|(what, reason, from, to)| (what, reason, tunnelled(&ipv6(from, to))));
    for (what, reason, packet) in malformed.into_iter().chain(forged) {
        counts(b, reason, what, || send(&a.host, None, to, &packet))?;
    }
    counts(b, "wrong_peer", "a stranger with the right key", || {
        send(&stranger, None, to, &gre(IPV6, key, &good))
    })?;
    // a host on the LAN pretends to be the peer
    let peer = a.uplink.address(V4);
    lan.host
        .ip(&["address", "add", &format!("{peer}/32"), "dev", "lo"])?;
    counts(
        b,
        "wrong_interface",
        "the peer's address on the LAN",
        || send(&lan.host, Some(peer), to, &gre(IPV6, key, &good)),
    )?;

    // and nothing of it has harmed the rest
    assert!(ping(&a.host, of_c.into(), 3, &[])?.is_perfect());
    Ok(())
}

#[test]
fn a_node_that_does_not_relay_drops_what_is_not_for_it() -> Result<()> {
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    chain.b.configuration.forward = false;
    chain.load()?;
    let Chain { a, b, c, .. } = &chain;

    for (version, total) in [(V6, 3), (V4, 6)] {
        assert_eq!(ping(&a.host, c.address(version), 3, &[])?.received, 0);
        assert_eq!(b.reason("forwarding_disabled")?, total);
        assert!(ping(&a.host, b.address(version), 3, &[])?.is_perfect());
    }
    Ok(())
}

/// A LAN host that uses addresses that are not its site's.
fn foreign_sources(known_to_node: bool) -> Result<()> {
    let testbed = Testbed::new()?;
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    let lan = chain
        .a
        .lan_host(&testbed, "lan", "lan0", LinkOptions::default())?;
    if !known_to_node {
        // then its kernel forwards what comes from the LAN
        let interfaces = &mut chain.a.configuration.interfaces;
        interfaces.retain(|name| name != "lan0");
    }
    chain.load()?;
    let Chain { a, c, .. } = &chain;
    let foreign = ["2001:db8:7::7", "198.51.100.7"];
    add_addresses(&lan.host, "eth0", &foreign)?;
    for version in [V6, V4] {
        assert!(
            ping(&lan.host, c.address(version), 3, &[])?.is_perfect(),
            "{version:?}: honest"
        );
    }
    for (version, source, total) in [(V6, foreign[0], 3), (V4, foreign[1], 6)] {
        let answers = ping(&lan.host, c.address(version), 3, &["-I", source])?;

        assert_eq!(answers.received, 0, "{version:?}: {}", answers.text);
        assert_eq!(a.reason("foreign_source")?, total, "{version:?}");
    }
    Ok(())
}

#[test]
fn foreign_sources_from_a_lan_do_not_enter_the_mesh_by_xdp() -> Result<()> {
    foreign_sources(true)
}

#[test]
fn foreign_sources_from_a_lan_do_not_enter_the_mesh_by_the_kernel() -> Result<()> {
    foreign_sources(false)
}
