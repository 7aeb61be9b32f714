//! Driver XDP, generic XDP where the driver refuses, and jumbo frames.

use anyhow::Result;
use testbed::{
    internet::IpVersion::*,
    link::LinkOptions,
    node::{Encapsulation::*, Node, TUNNEL_KINDS},
    traffic::{ping, transfer},
};

use crate::meshes::Chain;

fn carries_traffic(chain: &Chain) -> Result<()> {
    let before = chain.b.host.forwarded_by_kernel()?;
    for version in [V6, V4] {
        transfer(
            &chain.a.host,
            &chain.c.host,
            chain.c.address(version),
            2 << 20,
        )?;
    }
    assert_eq!(chain.b.host.forwarded_by_kernel()?, before);
    Ok(())
}

fn load_in_mode(chain: &Chain, mode: &str) -> Result<()> {
    for node in chain.nodes() {
        node.load_with(&["--mode", mode])?;
        assert_eq!(node.mode("eth0")?, mode);
    }
    Ok(())
}

#[test]
fn in_the_driver() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    load_in_mode(&chain, "driver")?;
    carries_traffic(&chain)
}

#[test]
fn in_generic_mode() -> Result<()> {
    for kind in TUNNEL_KINDS {
        let chain = Chain::new(kind, kind)?;
        load_in_mode(&chain, "generic")?;
        carries_traffic(&chain)?;
    }
    Ok(())
}

#[test]
fn a_driver_that_refuses_is_told_of_and_done_without() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Fou, V6))?;
    // a veth device takes no XDP program while its peer's packets do not fit into one page
    for (name, interface) in [("a", "a1"), ("b", "b2"), ("c", "c3")] {
        chain
            .internet
            .router()
            .ip(&["link", "set", interface, "mtu", "9000"])?;
        assert!(interface.starts_with(name));
    }

    let refused = chain.a.try_load(&["--mode", "driver"])?.failure()?;
    assert!(refused.contains("eth0"), "{refused}");
    chain.load()?;

    for node in chain.nodes() {
        assert_eq!(node.mode("eth0")?, "generic");
        let reason = reason_for_generic(node)?;
        assert!(!reason.is_empty());
    }
    carries_traffic(&chain)
}

fn reason_for_generic(node: &Node) -> Result<String> {
    let status = node.status()?;
    Ok(status["interfaces"][0]["reason"]
        .as_str()
        .unwrap_or_default()
        .into())
}

#[test]
fn jumbo_frames_in_the_driver() -> Result<()> {
    carries_jumbo_frames("driver")
}

#[test]
fn jumbo_frames_in_generic_mode() -> Result<()> {
    carries_jumbo_frames("generic")
}

fn carries_jumbo_frames(mode: &str) -> Result<()> {
    let jumbo = LinkOptions {
        mtu: 9000,
        ..LinkOptions::default()
    };
    let mut chain = Chain::with_links((Fou, V4), (Gre, V6), jumbo)?;
    for node in [&mut chain.a, &mut chain.b, &mut chain.c] {
        for tunnel in &mut node.configuration.tunnels {
            tunnel.mtu = Some(8900);
        }
    }
    load_in_mode(&chain, mode)?;

    for (version, biggest) in [(V6, "8852"), (V4, "8872")] {
        let options = ["-M", "do", "-s", biggest];
        let answers = ping(&chain.a.host, chain.c.address(version), 5, &options)?;
        assert!(answers.is_perfect(), "{version:?}: {}", answers.text);
    }
    carries_traffic(&chain)
}

#[test]
fn from_one_mode_to_the_other() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    for mode in ["generic", "driver", "generic"] {
        load_in_mode(&chain, mode)?;
        carries_traffic(&chain)?;
    }
    Ok(())
}
