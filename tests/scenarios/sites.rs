//! Plain hosts behind nodes speak with each other and with nodes through the mesh, and the nodes' kernels forward
//! nothing.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::LinkOptions,
    node::{Encapsulation::*, LanHost, Node},
    traffic::{traceroute, transfer},
};

use crate::{babel_nodes::assert_reaches, meshes::row};

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
    let (internet, mut nodes) = row(["a", "b", "c"], &[(Fou, V4), (Gre, V6)])?;
    let near = nodes[0].lan_host(&testbed, "near", "lan0", lan)?;
    let far = nodes[2].lan_host(&testbed, "far", "lan0", lan)?;
    for node in &nodes {
        node.load()?;
    }
    Ok(Sites {
        _internet: internet,
        nodes,
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
            assert_reaches(&from.host, to, 5);
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

#[test]
fn hosts_are_reached_again_after_somebody_switched_forwarding_off() -> Result<()> {
    let sites = sites(LinkOptions::default())?;
    hosts_speak(&sites)?;
    let gate = &sites.nodes[2];
    for name in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        gate.host.set_sysctl(name, "0")?;
    }
    let told = gate.warning("ip_forward")?;
    assert!(told.is_some_and(|told| told.contains("load again")));

    gate.load()?;

    assert!(gate.warnings()?.is_empty());
    hosts_speak(&sites)
}

/// A network manager that listens to router advertisements itself, as systemd-networkd does, has the kernel ignore them.
#[test]
fn an_interface_that_listens_to_routers_no_more_is_left_so() -> Result<()> {
    let sites = sites(LinkOptions::default())?;
    let gate = &sites.nodes[2];
    let name = "net.ipv6.conf.eth0.accept_ra";
    assert_eq!(gate.host.sysctl(name)?, "2");
    gate.host.set_sysctl(name, "1")?;
    assert!(gate.warning(name)?.is_some(), "{:?}", gate.warnings());
    gate.load()?;
    assert_eq!(gate.host.sysctl(name)?, "2");

    gate.host.set_sysctl(name, "0")?;

    assert!(gate.warnings()?.is_empty());
    gate.load()?;
    assert_eq!(gate.host.sysctl(name)?, "0");
    gate.unload()?;
    assert_eq!(gate.host.sysctl(name)?, "0");
    Ok(())
}
