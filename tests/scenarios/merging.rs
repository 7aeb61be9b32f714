//! Segments that the kernel merges (GRO) at the ports of a bridge, before XDP on the bridge sees them: in GRE, and plain ones.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    cleanup::wait_until,
    host::{Host, Testbed},
    internet::IpVersion::*,
    link::LinkOptions,
    node::{Encapsulation::*, INSTANCE, Node, TUNNEL_KINDS, TunnelKind},
    traffic::transfer,
};

use crate::meshes::Chain;

/// What is sent each way over a TCP connection, in bytes.
const CONTENT: u64 = 256 << 10;
/// Wide enough for a few segments in one packet.
const WIDE: u32 = 9000;
/// What the mesh device and LANs carry: smaller than the tunnels, so that merged segments fit those.
const NARROW: &str = "1400";

const GRE: TunnelKind = (Gre, V4);

/// Three nodes in a row whose relay is on the Internet through a bridge.
fn chain(first: TunnelKind, second: TunnelKind) -> Result<Chain> {
    let options = LinkOptions {
        mtu: WIDE,
        ..LinkOptions::default()
    };
    let mut chain = Chain::with_links(first, second, options)?;
    let Chain { a, b, c, .. } = &mut chain;
    for node in [a, &mut *b, c] {
        for tunnel in &mut node.configuration.tunnels {
            tunnel.mtu = Some(8900);
        }
    }
    let (host, uplink) = (&b.host, &b.uplink);
    bridge(host, "br0", "eth0")?;
    for (version, length) in [(V4, 30), (V6, 64)] {
        let address = format!("{}/{length}", uplink.address(version));
        let router = uplink.router(version).to_string();
        host.ip(&["address", "delete", &address, "dev", "eth0"])?;
        host.ip(&["address", "add", &address, "dev", "br0"])?;
        host.ip(&["route", "replace", "default", "via", &router])?;
    }
    b.configuration.interfaces = vec!["br0".into()];
    Ok(chain)
}

fn bridge(host: &Host, name: &str, port: &str) -> Result<()> {
    host.ip(&["link", "add", name, "mtu", "9000", "type", "bridge"])?;
    host.ip(&["link", "set", port, "master", name])?;
    host.ip(&["link", "set", name, "up"])?;
    Ok(())
}

/// Segments that are smaller than what tunnels carry, and few of them at a time: so some fit a tunnel when merged.
fn send_little_at_a_time(host: &Host, device: &str) -> Result<()> {
    host.set_sysctl("net.ipv4.tcp_rmem", "4096 10000 10000")?;
    host.ip(&["link", "set", device, "mtu", NARROW])?;
    Ok(())
}

/// What the relay has sent has arrived, and it has refused nothing. Merged packets count once, but their segments have more
/// headers.
fn nothing_is_lost(relay: &Node, peers: [&Node; 2]) -> Result<()> {
    for peer in peers {
        let name = peer.host.name();
        let lost = || -> Result<u64> {
            let received = peer.tunnel("b")?.received_bytes;
            Ok(relay.tunnel(name)?.sent_bytes.saturating_sub(received))
        };
        let arrived = wait_until(Duration::from_secs(2), || {
            lost().is_ok_and(|lost| lost == 0)
        });
        assert!(arrived, "{} bytes to {name}", lost()?);
    }
    let reasons = relay.reasons()?;
    for reason in reasons.keys() {
        let fine = ["local", "site", "merged", "ordinary", "send_link_scoped"];
        assert!(fine.contains(&reason.as_str()), "{reasons:?}");
    }
    Ok(())
}

#[test]
fn merged_packets_in_gre_are_carried_on() -> Result<()> {
    for second in TUNNEL_KINDS {
        let chain = chain(GRE, second)?;
        chain.load()?;
        let Chain { a, b, c, .. } = &chain;
        for node in chain.nodes() {
            send_little_at_a_time(&node.host, INSTANCE)?;
        }
        assert_eq!(b.mode("br0")?, "generic");

        for version in [V6, V4] {
            for (from, to) in [(a, b), (b, a), (a, c), (c, a)] {
                transfer(&from.host, &to.host, to.address(version), CONTENT)
                    .with_context(|| format!("{second:?} {version:?}: {:?}", b.reasons()))?;
            }
        }

        nothing_is_lost(b, [a, c]).with_context(|| format!("{second:?}"))?;
        assert!(b.reason("merged")? > 0, "{:?}", b.reasons()?);
    }
    Ok(())
}

/// A LAN behind the relay, with a bridge in between as in a router with switch ports.
#[test]
fn merged_packets_of_a_lan_are_carried_on() -> Result<()> {
    let mut chain = chain((Fou, V4), (Fou, V6))?;
    let options = LinkOptions {
        mtu: WIDE,
        ..LinkOptions::default()
    };
    let lan = chain.b.lan_host(&Testbed::new()?, "lan", "lan0", options)?;
    let host = &chain.b.host;
    bridge(host, "br1", "lan0")?;
    for (address, length) in chain.b.addresses().into_iter().zip([64, 24]) {
        let address = format!("{address}/{length}");
        host.ip(&["address", "delete", &address, "dev", "lan0"])?;
        host.ip(&["address", "add", &address, "dev", "br1"])?;
    }
    chain.b.configuration.interfaces = vec!["br0".into(), "br1".into()];
    chain.load()?;
    let Chain { a, b, c, .. } = &chain;
    send_little_at_a_time(&lan.host, "eth0")?;
    for node in [a, c] {
        send_little_at_a_time(&node.host, INSTANCE)?;
    }
    assert_eq!(b.mode("br1")?, "generic");

    for version in [V6, V4] {
        for to in [a, c] {
            transfer(&lan.host, &to.host, to.address(version), CONTENT)
                .with_context(|| format!("{version:?}: {:?}", b.reasons()))?;
        }
    }

    nothing_is_lost(b, [a, c])
}
