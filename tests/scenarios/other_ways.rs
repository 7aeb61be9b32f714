//! Packets of a peer that come in elsewhere than the kernel's route to it leads: the data plane does not take them, so
//! neither does Babel, or the tunnel would be a way on which everything is lost.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    cleanup::wait_until,
    host::Testbed,
    internet::{Internet, IpVersion, IpVersion::*},
    link::{LinkOptions, link},
    node::{
        Encapsulation::{self, *},
        Node, tunnel,
    },
};

use crate::babel_nodes::start;

const PATIENCE: Duration = Duration::from_secs(60);

/// `a` sends by a link of its own, and hears by the Internet, which is not among its interfaces; for `b` it is the other way.
fn crossed(kind: (Encapsulation, IpVersion)) -> Result<(Internet, Node, Node)> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut b) = (node("a", 1)?, node("b", 2)?);
    link(
        (&a.host, "back0"),
        (&b.host, "back0"),
        LinkOptions::default(),
    )?;
    for (to, from) in [
        (b.uplink.ipv4.to_string(), a.uplink.ipv4.to_string()),
        (b.uplink.ipv6.to_string(), a.uplink.ipv6.to_string()),
    ] {
        a.host
            .ip(&["route", "add", &to, "dev", "back0", "src", &from])?;
    }
    tunnel(&mut a, &mut b, kind)?;
    a.configuration.interfaces = vec!["back0".into()];
    a.speak_babel(&[]);
    b.speak_babel(&[]);
    Ok((internet, a, b))
}

/// `b` does not answer for its address on that link. The kernel may forget such a neighbour while an interface is new.
fn introduce(a: &Node, b: &Node) -> Result<()> {
    let shown = b.host.ip_json(&["link", "show", "dev", "back0"])?;
    let ethernet = shown[0]["address"].as_str().context("no address")?;
    for to in [b.uplink.ipv4.to_string(), b.uplink.ipv6.to_string()] {
        let known = ["lladdr", ethernet, "nud", "permanent"];
        let neighbour = ["neighbour", "replace", &to, "dev", "back0"];
        a.host.ip(&[&neighbour[..], &known].concat())?;
    }
    Ok(())
}

#[test]
fn a_tunnel_whose_packets_come_in_elsewhere_has_no_neighbour() -> Result<()> {
    for kind in [(Fou, V4), (Fou, V6), (Gre, V4), (Gre, V6)] {
        let (_internet, a, b) = crossed(kind)?;

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
