//! Packets of a peer that come in elsewhere than the kernel's route to it leads: the data plane does not take them, so
//! neither does Babel, or the tunnel would be a way on which everything is lost.

use std::time::Duration;

use anyhow::Result;
use testbed::{
    cleanup::wait_until,
    internet::{Internet, IpVersion},
    link::{LinkOptions, link},
    node::{Node, TUNNEL_KINDS, TunnelKind},
};

use crate::{babel_nodes::start, meshes::speaking};

const PATIENCE: Duration = Duration::from_secs(60);

/// `a` sends by a link of its own, and hears by the Internet, which is not among its interfaces; for `b` it is the other way.
fn crossed(kind: TunnelKind) -> Result<(Internet, [Node; 2])> {
    let (internet, mut nodes) = speaking(["a", "b"], &[kind])?;
    let [a, b] = &mut nodes;
    link(
        (&a.host, "back0"),
        (&b.host, "back0"),
        LinkOptions::default(),
    )?;
    for version in [IpVersion::V4, IpVersion::V6] {
        let [to, from] = [&*b, &*a].map(|node| node.uplink.address(version).to_string());
        a.host
            .ip(&["route", "add", &to, "dev", "back0", "src", &from])?;
    }
    a.configuration.interfaces = vec!["back0".into()];
    Ok((internet, nodes))
}

/// `b` does not answer for its address on that link. The kernel may forget such a neighbour while an interface is new.
fn introduce(a: &Node, b: &Node) -> Result<()> {
    let known = b.host.ethernet_address("back0")?;
    let (ipv4, ipv6) = (b.uplink.ipv4, b.uplink.ipv6);
    a.host.ip_batch(&format!(
        "neighbour replace {ipv4} dev back0 lladdr {known} nud permanent
        neighbour replace {ipv6} dev back0 lladdr {known} nud permanent"
    ))
}

#[test]
fn a_tunnel_whose_packets_come_in_elsewhere_has_no_neighbour() -> Result<()> {
    for kind in TUNNEL_KINDS {
        let (_internet, [a, b]) = crossed(kind)?;

        let _controllers = start(&[&a, &b])?;

        for node in [&a, &b] {
            let refused = || {
                if introduce(&a, &b).is_err() {
                    return false;
                }
                let status = node.status().unwrap_or_default();
                status["controller"]["refused"]["wrong interface"].as_u64() > Some(0)
            };
            assert!(
                wait_until(PATIENCE, refused),
                "{kind:?}: {}: {:?}",
                node.host.name(),
                node.status()
            );
            let neighbours = node.list(&["neighbours"])?;
            assert!(neighbours.is_empty(), "{kind:?}: {neighbours:?}");
        }
    }
    Ok(())
}
