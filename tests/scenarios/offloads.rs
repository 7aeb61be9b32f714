//! The host works with big segments at both ends, the wire carries packets of its MTU.

use anyhow::{Context as _, Result};
use testbed::{
    internet::IpVersion::*,
    link::LinkOptions,
    node::{Encapsulation::*, INSTANCE, TUNNEL_KINDS, TunnelKind},
    traffic::{Capture, Direction, ping, transfer},
};

use crate::meshes::Chain;

/// The MTU of the mesh device, in bytes.
const MTU: usize = 1420;

#[test]
fn sent_segments_stay_whole_until_the_wire() -> Result<()> {
    for kind in TUNNEL_KINDS {
        for version in [V6, V4] {
            sends_segments(kind, version)?;
        }
    }
    Ok(())
}

fn sends_segments(kind: TunnelKind, version: testbed::internet::IpVersion) -> Result<()> {
    let chain = Chain::loaded(kind, kind)?;
    let (a, c) = (&chain.a, &chain.c);
    let capture = Capture::start(&a.host, INSTANCE, Direction::Out, "tcp")?;
    let before = a.host.interface_counters("eth0")?;

    transfer(&a.host, &c.host, c.address(version), 4 << 20)?;

    let lengths = capture.lengths()?;
    let after = a.host.interface_counters("eth0")?;
    let biggest = lengths.iter().copied().max().unwrap_or(0);
    assert!(
        biggest > 10 * MTU,
        "{kind:?} {version:?}: biggest segment on {INSTANCE}: {biggest} bytes"
    );
    let packets = after.sent_packets - before.sent_packets;
    let bytes = after.sent_bytes - before.sent_bytes;
    // 4 MB in packets of at most 1500 bytes, with their Ethernet headers
    assert!(
        bytes / packets <= 1514,
        "{kind:?} {version:?}: {bytes} bytes in {packets} packets on eth0"
    );
    assert!(
        packets > (4 << 20) / 1500,
        "{kind:?} {version:?}: {packets} packets on eth0"
    );
    Ok(())
}

#[test]
fn received_packets_are_merged() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V6))?;
    for version in [V6, V4] {
        let capture = Capture::start(&chain.c.host, INSTANCE, Direction::In, "tcp")?;

        transfer(
            &chain.a.host,
            &chain.c.host,
            chain.c.address(version),
            8 << 20,
        )?;

        let biggest = capture.lengths()?.into_iter().max().unwrap_or(0);
        assert!(
            biggest > 2 * MTU,
            "{version:?}: biggest packet on {INSTANCE}: {biggest} bytes"
        );
    }
    Ok(())
}

#[test]
fn tcpdump_on_the_mesh_device_sees_both_directions() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    for (version, filter) in [(V6, "icmp6"), (V4, "icmp")] {
        let (a, c) = (&chain.a, &chain.c);
        let sent = Capture::start(&a.host, INSTANCE, Direction::Out, filter)?;
        let received = Capture::start(&a.host, INSTANCE, Direction::In, filter)?;

        assert!(ping(&a.host, c.address(version), 5, &[])?.is_perfect());

        let (sent, received) = (sent.stop()?, received.stop()?);
        assert_eq!(
            sent.iter()
                .filter(|line| line.contains("echo request"))
                .count(),
            5,
            "{sent:?}"
        );
        assert_eq!(
            received
                .iter()
                .filter(|line| line.contains("echo reply"))
                .count(),
            5,
            "{received:?}"
        );
    }
    Ok(())
}

/// As between containers. Only FOU: a router that merges GRE packets leaves their checksums unfinished on such a link.
#[test]
fn nodes_on_links_that_leave_checksums_for_later_reach_each_other() -> Result<()> {
    let lazy = LinkOptions {
        send_offload: true,
        ..LinkOptions::default()
    };
    for kind in [(Fou, V4), (Fou, V6)] {
        let chain = Chain::with_links(kind, kind, lazy)?;
        chain.load()?;
        let before = chain.b.host.forwarded_by_kernel()?;
        for version in [V6, V4] {
            for to in [&chain.b, &chain.c] {
                transfer(&chain.a.host, &to.host, to.address(version), 2 << 20)
                    .with_context(|| format!("{kind:?} {version:?} to {}", to.host.name()))?;
            }
        }
        assert_eq!(chain.b.host.forwarded_by_kernel()?, before, "{kind:?}");
    }
    Ok(())
}
