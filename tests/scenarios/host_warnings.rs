//! What the host has that does not fit the mesh is told by `load` and by the status, until it is gone.

use anyhow::{Context as _, Result};
use testbed::{
    internet::IpVersion::{self, *},
    node::{Encapsulation::*, Node},
    traffic::ping,
};

use crate::meshes::Chain;

/// Policies by the packets they are for: those that arrive, leave and are forwarded.
const DIRECTIONS: [&str; 3] = ["in", "out", "fwd"];

fn policy(node: &Node, what: &str, direction: &str) -> Result<()> {
    let networks = ["src", "192.0.2.0/24", "dst", "198.51.100.0/24"];
    let mut arguments = vec!["xfrm", "policy", what];
    arguments.extend(networks);
    arguments.extend(["dir", direction]);
    node.host.ip(&arguments).map(drop)
}

#[test]
fn ipsec_policies_are_warned_of_whichever_way_they_are_for() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let (a, b) = (&chain.a, &chain.b);
    let told = |node: &Node| node.warning("IPsec");
    assert_eq!(told(b)?, None);

    for (number, direction) in (1..).zip(DIRECTIONS) {
        policy(b, "add", direction)?;

        let warning = told(b)?.context(direction)?;
        assert!(warning.contains(&format!("({number})")), "{warning}");
        let said = b.load()?;
        assert!(said.contains(&format!("WARNING: {warning}")), "{said}");
        assert_eq!(told(a)?, None, "another network namespace");
    }

    for direction in DIRECTIONS {
        assert!(told(b)?.is_some(), "{direction} is left");
        policy(b, "delete", direction)?;
    }
    assert_eq!(told(b)?, None);
    Ok(())
}

/// A router on the way to a node has a link of this MTU.
const NARROW: u16 = 1400;

/// The kernel of `b` is told by the router how much the path to a node carries.
fn meet_the_narrow_link(chain: &Chain, to: &Node, version: IpVersion) -> Result<()> {
    let link = &to.uplink.router_interface;
    let router = chain.internet.router();
    router.ip(&["link", "set", link, "mtu", &NARROW.to_string()])?;
    let address = to.uplink.address(version);
    let answers = ping(&chain.b.host, address, 1, &["-M", "do", "-s", "1440"])?;
    assert_eq!(answers.received, 0, "{}", answers.text);
    Ok(())
}

#[test]
fn a_path_that_carries_less_than_the_tunnel_sends_is_warned_of_with_what_helps() -> Result<()> {
    let mut chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let told = |node: &Node, tunnel: &str| node.warning(&format!("tunnel {tunnel}: the path to"));
    for tunnel in ["a", "c"] {
        assert_eq!(told(&chain.b, tunnel)?, None);
    }

    meet_the_narrow_link(&chain, &chain.a, V4)?;
    meet_the_narrow_link(&chain, &chain.c, V6)?;

    for (tunnel, fits) in [("a", 1364), ("c", 1352)] {
        let warning = told(&chain.b, tunnel)?.context("the kernel knows")?;
        assert!(warning.contains(" 1400 bytes"), "{warning}");
        assert!(warning.contains(&format!("`mtu = {fits}`")), "{warning}");
        let tunnels = &mut chain.b.configuration.tunnels;
        let mut tunnels = tunnels.iter_mut();
        let advised = tunnels.find(|found| found.name == tunnel);
        advised.context("no such tunnel")?.mtu = Some(fits);
    }
    chain.b.load()?;
    for tunnel in ["a", "c"] {
        assert_eq!(told(&chain.b, tunnel)?, None, "the advice was followed");
    }
    Ok(())
}
