//! What is sent through the mesh arrives whole, unchanged and once.

use std::time::Duration;

use anyhow::Result;
use testbed::{
    internet::IpVersion::*,
    node::{TUNNEL_KINDS, TunnelKind},
    traffic::{UdpStream, ping, transfer},
};

use crate::meshes::Chain;

fn arrives_whole(kind: TunnelKind) -> Result<()> {
    let chain = Chain::loaded(kind, kind)?;
    let (a, c) = (&chain.a, &chain.c);
    for version in [V6, V4] {
        let address = c.address(version);

        transfer(&a.host, &c.host, address, 8 << 20)?;

        let stream = UdpStream::run(
            &a.host,
            &c.host,
            address,
            1300,
            3000,
            Duration::from_millis(500),
        )?;
        assert!(stream.is_perfect(), "{kind:?} {version:?}: {stream:?}");
    }
    Ok(())
}

#[test]
fn through_fou_over_ipv4() -> Result<()> {
    arrives_whole(TUNNEL_KINDS[0])
}

#[test]
fn through_fou_over_ipv6() -> Result<()> {
    arrives_whole(TUNNEL_KINDS[1])
}

#[test]
fn through_gre_over_ipv4() -> Result<()> {
    arrives_whole(TUNNEL_KINDS[2])
}

#[test]
fn through_gre_over_ipv6() -> Result<()> {
    arrives_whole(TUNNEL_KINDS[3])
}

#[test]
fn with_strict_reverse_path_filtering() -> Result<()> {
    let chain = Chain::new(TUNNEL_KINDS[0], TUNNEL_KINDS[1])?;
    for node in chain.nodes() {
        for scope in ["all", "default", "eth0"] {
            node.host
                .set_sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "1")?;
        }
    }
    chain.load()?;

    for version in [V6, V4] {
        transfer(
            &chain.a.host,
            &chain.c.host,
            chain.c.address(version),
            1 << 20,
        )?;
    }
    Ok(())
}

#[test]
fn fragments_of_big_packets() -> Result<()> {
    let chain = Chain::loaded(TUNNEL_KINDS[0], TUNNEL_KINDS[3])?;
    for version in [V6, V4] {
        let answers = ping(&chain.a.host, chain.c.address(version), 5, &["-s", "4000"])?;

        assert!(answers.is_perfect(), "{version:?}: {}", answers.text);
    }
    Ok(())
}
