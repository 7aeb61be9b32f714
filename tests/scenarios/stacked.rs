//! Packets that have been encapsulated before: tunnels of the kernel's own through the mesh, and what a neighbour on the
//! same kernel sent. The kernel remembers one encapsulation a packet.

use anyhow::{Context as _, Result};
use testbed::{
    internet::IpVersion::{self, *},
    link::add_addresses,
    node::{Encapsulation::*, Node},
    traffic::{ping, transfer},
};

use crate::meshes::Chain;

/// What the tunnel on top carries.
const OVERLAY: [(&str, &str); 2] = [
    ("2001:db8:99::1", "2001:db8:99::3"),
    ("10.99.0.1", "10.99.0.3"),
];

/// A VXLAN device between mesh addresses.
fn vxlan(node: &Node, peer: &Node, version: IpVersion, addresses: [&str; 2]) -> Result<()> {
    let (local, remote) = (node.address(version), peer.address(version));
    let (local, remote) = (local.to_string(), remote.to_string());
    let device = "over0";
    // 1420 less IPv6, UDP, VXLAN and Ethernet
    node.host.ip(&[
        "link", "add", device, "mtu", "1350", "type", "vxlan", "id", "7", "local", &local,
        "remote", &remote, "dstport", "4789",
    ])?;
    node.host.ip(&["link", "set", device, "up"])?;
    add_addresses(&node.host, device, &addresses)
}

#[test]
fn tcp_is_carried_by_vxlan_over_the_mesh() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let (a, c) = (&chain.a, &chain.c);
    for version in [V6, V4] {
        vxlan(a, c, version, ["2001:db8:99::1/64", "10.99.0.1/24"])?;
        vxlan(c, a, version, ["2001:db8:99::3/64", "10.99.0.3/24"])?;
        for (_, to) in OVERLAY {
            transfer(&a.host, &c.host, to.parse()?, 1 << 20)
                .with_context(|| format!("to {to} in VXLAN over {version:?}"))?;
        }
        for node in [a, c] {
            assert_eq!(node.reason("no_headroom")?, 0, "{version:?}");
            node.host.ip(&["link", "delete", "over0"])?;
        }
    }
    Ok(())
}

/// Packets that the relay's kernel has to look at, since they carry options.
#[test]
fn a_relay_sends_on_what_its_kernel_got_from_a_neighbour() -> Result<()> {
    for (first, second) in [((Fou, V4), (Gre, V6)), ((Gre, V6), (Fou, V4))] {
        let chain = Chain::loaded(first, second)?;

        let answers = ping(&chain.a.host, chain.c.address(V4), 5, &["-R"])?;

        assert!(
            answers.is_perfect(),
            "{first:?}, {second:?}: {}",
            answers.text
        );
        assert!(chain.b.reason("options")? >= 10);
        assert_eq!(chain.b.reason("no_headroom")?, 0);
    }
    Ok(())
}
