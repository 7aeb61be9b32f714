//! Tunnels over VLAN interfaces, with XDP on the cards below them: tags are read and written in XDP.
//!
//! `left` (a node) - virtio cable, VLAN 5 - `node` - e1000 cable, VLAN 7 - `right` (plain Linux tunnel)

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    cards::{self, mode_is},
    support::{MESH, Scene, configuration, on_each_kernel, tunnel},
};

/// Hosts and their instances, whose names are also those of the mesh devices.
const LEFT: (&str, &str) = ("left", "vlanL");
const NODE: (&str, &str) = ("node", "vlanN");
/// What is sent over one TCP connection.
const KILOBYTES: u32 = 128;

/// The tunnels' own networks are those of the VLANs; untagged, the hosts have no address at all.
const HOSTS: &str = "
on left ip link add eth0.5 link eth0 up type vlan id 5
on node ip link add virtio.5 link virtio up type vlan id 5
on node ip link add e1000.7 link e1000 up type vlan id 7
on right ip link add eth0.7 link eth0 up type vlan id 7
addresses left eth0.5 192.0.2.2/24
addresses node virtio.5 192.0.2.1/24
addresses node e1000.7 2001:db8:ffff::1/64
addresses right eth0.7 2001:db8:ffff::2/64
on right ip link add mesh type ip6gre local 2001:db8:ffff::2 remote 2001:db8:ffff::1 ikey 103 okey 3 encaplimit none
on right ip link set mesh mtu 1420 up
addresses right mesh 2001:db8:42:3::1 10.42.3.1
on right ip route add 2001:db8:42::/48 dev mesh
on right ip route add 10.42.0.0/16 dev mesh src 10.42.3.1
";

fn configuration_of_left() -> String {
    configuration(2, &["eth0"]) + &tunnel("node", "192.0.2.1", "fou", (102, 2), MESH)
}

fn configuration_of_node() -> String {
    let of_left = ["2001:db8:42:2::/64", "10.42.2.0/24"];
    let of_right = ["2001:db8:42:3::/64", "10.42.3.0/24"];
    configuration(1, &["virtio", "e1000"])
        + &tunnel("left", "192.0.2.2", "fou", (2, 102), &of_left)
        + &tunnel("right", "2001:db8:ffff::2", "gre", (3, 103), &of_right)
}

fn tags_are_read_and_written_in_xdp(scene: &Scene) -> Result<()> {
    cards::plug(scene, HOSTS)?;
    scene.load(LEFT.0, LEFT.1, &configuration_of_left(), "")?;
    mode_is(&scene.status(LEFT.0, LEFT.1)?, "eth0", "driver")?;

    tags_taken_out_by_a_card_are_warned_of(scene)?;
    let said = scene.load(NODE.0, NODE.1, &configuration_of_node(), "")?;
    ensure!(!said.contains("rxvlan"), "{said}");
    packets_pass(scene).context("virtio with driver XDP, e1000 with generic XDP")?;
    scene.load(NODE.0, NODE.1, &configuration_of_node(), "--mode generic")?;
    packets_pass(scene).context("both with generic XDP")?;

    for (host, instance) in [LEFT, NODE] {
        scene.unload(host, instance)?;
    }
    scene.nothing_loaded()
}

/// The Intel card takes tags out before XDP sees the frames: a tunnel's packets do not look like those of its VLAN.
fn tags_taken_out_by_a_card_are_warned_of(scene: &Scene) -> Result<()> {
    const ADVICE: &str = "ethtool -K e1000 rxvlan off";
    scene.run("on node ethtool -K e1000 rxvlan on")?;
    let said = scene.load(NODE.0, NODE.1, &configuration_of_node(), "")?;
    ensure!(said.contains(ADVICE), "load does not warn:\n{said}");
    let status = scene.status(NODE.0, NODE.1)?;
    mode_is(&status, "virtio", "driver")?;
    mode_is(&status, "e1000", "generic")?;
    ensure!(warnings(&status).contains(ADVICE), "{status:#}");
    scene.fails("on right ping -c 1 -W 1 2001:db8:42:1::1")?;
    ensure!(scene.reason(NODE.0, NODE.1, "wrong_interface")? > 0);

    scene.run(&format!("on node {ADVICE}"))?;

    let status = scene.status(NODE.0, NODE.1)?;
    ensure!(!warnings(&status).contains(ADVICE), "{status:#}");
    Ok(())
}

fn warnings(status: &Value) -> String {
    status["warnings"].to_string()
}

fn packets_pass(scene: &Scene) -> Result<()> {
    for (left, node, right) in [
        ("2001:db8:42:2::1", "2001:db8:42:1::1", "2001:db8:42:3::1"),
        ("10.42.2.1", "10.42.1.1", "10.42.3.1"),
    ] {
        let packets = format!(
            "on left ping -c 1 -W 5 {node}
            on node ping -c 1 -W 5 {left}
            on node ping -c 1 -W 5 {right}
            on right ping -c 1 -W 5 {node}
            on left ping -c 1 -W 5 {right}
            on right ping -c 1 -W 5 {left}
            transfer left right {right} {KILOBYTES}
            transfer right left {left} {KILOBYTES}
            transfer left node {node} {KILOBYTES}
            transfer node left {left} {KILOBYTES}"
        );
        scene.relayed_by_xdp("node", || scene.run(&packets).map(drop))?;
    }
    Ok(())
}

on_each_kernel!(tags_are_read_and_written_in_xdp);
