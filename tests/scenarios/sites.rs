//! Plain hosts behind nodes speak with each other and with nodes through the mesh, and the nodes' kernels forward
//! nothing.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::LinkOptions,
    node::{Encapsulation::*, LanHost, Node, tunnel},
    traffic::{ping, traceroute, transfer},
};

struct Sites {
    _internet: Internet,
    nodes: [Node; 3],
    /// Behind the first node.
    near: LanHost,
    /// Behind the last.
    far: LanHost,
}

/// Three nodes in a row, a host on a LAN behind the first and one behind the last.
fn sites(lan: LinkOptions) -> Result<Sites> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut b, mut c) = (node("a", 1)?, node("b", 2)?, node("c", 3)?);
    tunnel(&mut a, &mut b, (Fou, V4))?;
    tunnel(&mut b, &mut c, (Gre, V6))?;
    a.route(&b, &b);
    a.route(&c, &b);
    b.route(&a, &a);
    b.route(&c, &c);
    c.route(&b, &b);
    c.route(&a, &b);
    let near = a.lan_host(&testbed, "near", "lan0", lan)?;
    let far = c.lan_host(&testbed, "far", "lan0", lan)?;
    for node in [&a, &b, &c] {
        node.load()?;
    }
    Ok(Sites {
        _internet: internet,
        nodes: [a, b, c],
        near,
        far,
    })
}

fn hosts_speak(sites: &Sites) -> Result<()> {
    let Sites {
        near, far, nodes, ..
    } = sites;
    for version in [V6, V4] {
        for (from, to) in [
            (near, far.address(version)),
            (far, near.address(version)),
            (near, nodes[2].address(version)),
        ] {
            let answers = ping(&from.host, to, 5, &[])?;
            assert!(answers.is_perfect(), "{}", answers.text);
        }
        transfer(&near.host, &far.host, far.address(version), 4 << 20)?;
    }
    Ok(())
}

#[test]
fn hosts_behind_nodes_speak_through_the_mesh_without_the_kernels() -> Result<()> {
    let sites = sites(LinkOptions::default())?;
    // the nodes' kernels learn their neighbours on the LANs, the hosts the path's MTU
    hosts_speak(&sites)?;
    let forwarded = || -> Result<Vec<_>> {
        sites
            .nodes
            .iter()
            .map(|node| node.host.forwarded_by_kernel())
            .collect()
    };
    let before = forwarded()?;

    hosts_speak(&sites)?;

    let reasons: Vec<_> = sites
        .nodes
        .iter()
        .map(Node::reasons)
        .collect::<Result<_>>()?;
    assert_eq!(forwarded()?, before, "{reasons:#?}");
    Ok(())
}

#[test]
fn hosts_whose_links_take_no_xdp_frames_are_reached_as_well() -> Result<()> {
    let plain = LinkOptions {
        receive_offload: false,
        ..LinkOptions::default()
    };

    hosts_speak(&sites(plain)?)
}

#[test]
fn traceroute_from_a_host_behind_a_node_shows_every_node_by_its_mesh_address() -> Result<()> {
    let sites = sites(LinkOptions::default())?;
    for version in [V6, V4] {
        let path = traceroute(&sites.near.host, sites.far.address(version))?;

        let nodes = sites.nodes.iter().map(|node| Some(node.address(version)));
        let expected: Vec<_> = nodes.chain([Some(sites.far.address(version))]).collect();
        assert_eq!(path, expected, "{version:?}");
    }
    Ok(())
}
