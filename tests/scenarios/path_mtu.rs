//! A tunnel with a smaller MTU in the middle of the path: senders are told, and adapt.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    internet::{Internet, IpVersion, IpVersion::*},
    node::{Encapsulation::*, Node},
    traffic::{UdpStream, ping, transfer},
};

use crate::meshes::row;

/// What the second tunnel of three carries, in bytes.
const NARROW: u16 = 1300;

/// Four nodes in a row; the tunnel in the middle is narrow. Only the second node can know that.
fn narrow_in_the_middle() -> Result<(Internet, [Node; 4])> {
    let kinds = [(Fou, V4), (Gre, V6), (Fou, V6)];
    let (internet, mut nodes) = row(["a", "b", "c", "d"], &kinds)?;
    let [_, b, c, _] = &mut nodes;
    for (node, peer) in [(b, "c"), (c, "b")] {
        let mut tunnels = node.configuration.tunnels.iter_mut();
        let narrow = tunnels.find(|tunnel| tunnel.name == peer);
        narrow.context("no such tunnel")?.mtu = Some(NARROW);
    }
    for node in &nodes {
        node.load()?;
    }
    Ok((internet, nodes))
}

fn bytes_of_icmp_payload(version: IpVersion, packet: u16) -> String {
    let headers = match version {
        V4 => 20 + 8,
        V6 => 40 + 8,
    };
    (packet - headers).to_string()
}

#[test]
fn a_packet_too_big_is_answered_with_the_mtu_that_fits() -> Result<()> {
    let (_internet, [a, _b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        let address = d.address(version);
        let fits = bytes_of_icmp_payload(version, NARROW);
        let too_big = bytes_of_icmp_payload(version, NARROW + 1);

        let first = ping(&a.host, address, 2, &["-M", "do", "-s", &too_big])?;
        let second = ping(&a.host, address, 2, &["-M", "do", "-s", &fits])?;

        assert_eq!(first.received, 0, "{version:?}: {}", first.text);
        assert!(
            first.text.contains(&format!("mtu={NARROW}"))
                || first.text.contains(&format!("mtu = {NARROW}"))
                || first.text.contains(&format!("mtu: {NARROW}")),
            "{version:?}: {}",
            first.text
        );
        assert!(second.is_perfect(), "{version:?}: {}", second.text);
    }
    Ok(())
}

#[test]
fn tcp_finds_the_path_mtu() -> Result<()> {
    let (_internet, [a, b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        transfer(&a.host, &d.host, d.address(version), 4 << 20)?;
    }
    // the narrow tunnel was met, not avoided
    assert!(b.reason("too_big")? > 0);
    Ok(())
}

#[test]
fn udp_finds_the_path_mtu() -> Result<()> {
    let (_internet, [a, _b, _c, d]) = narrow_in_the_middle()?;
    for version in [V6, V4] {
        let run = || {
            UdpStream::run(
                &a.host,
                &d.host,
                d.address(version),
                1350,
                500,
                Duration::from_millis(300),
            )
        };
        // the first datagrams are what finds it
        run()?;

        let stream = run()?;

        assert!(stream.is_perfect(), "{version:?}: {stream:?}");
    }
    Ok(())
}
