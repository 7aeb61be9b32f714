//! Real drivers' XDP: virtio_net has it, e1000 has not, and a relay between the two works all the same.
//!
//! `left` (plain Linux tunnel) - virtio cable - `node` - e1000 cable - `right` (plain Linux tunnel)

use anyhow::{Context as _, Result, ensure};

use crate::{
    cards::{self, configuration_of_node, has_reason, mode_is},
    support::{Scene, on_each_kernel},
};

const INSTANCE: &str = "cards0";
/// What is sent over one TCP connection.
const KILOBYTES: u32 = 256;
/// Fits the tunnels below, but not a buffer of one page.
const JUMBO: u32 = 8000;

const HOSTS: &str = "
addresses left eth0 192.0.2.2/24
addresses node virtio 192.0.2.1/24
addresses node e1000 2001:db8:ffff::1/64
addresses right eth0 2001:db8:ffff::2/64
on left ip fou add port 4754 ipproto 47
on left ip link add mesh type gre local 192.0.2.2 remote 192.0.2.1 ikey 102 okey 2 ttl 64 encap fou encap-sport auto encap-dport 4754
on right ip link add mesh type ip6gre local 2001:db8:ffff::2 remote 2001:db8:ffff::1 ikey 103 okey 3 encaplimit none
for host in left right; do
    on $host ip link set mesh mtu 1420 up
done
addresses left mesh 2001:db8:42:2::1
addresses right mesh 2001:db8:42:3::1
on left ip route add 2001:db8:42::/48 dev mesh
on right ip route add 2001:db8:42::/48 dev mesh
";

fn driver_mode_where_the_driver_can_generic_where_it_refuses(scene: &Scene) -> Result<()> {
    cards::plug(scene, HOSTS)?;

    driver_mode_is_refused_with_the_reason(scene)?;
    scene.load("node", INSTANCE, &configuration_of_node(), "")?;
    let status = scene.status("node", INSTANCE)?;
    mode_is(&status, "virtio", "driver")?;
    mode_is(&status, "e1000", "generic")?;
    has_reason(&status, "e1000")?;
    packets_pass(scene).context("virtio with driver XDP, e1000 with generic XDP")?;
    scene.unload("node", INSTANCE)?;

    scene.load("node", INSTANCE, &configuration_of_node(), "--mode generic")?;
    let status = scene.status("node", INSTANCE)?;
    mode_is(&status, "virtio", "generic")?;
    packets_pass(scene).context("both with generic XDP")?;
    scene.unload("node", INSTANCE)?;

    jumbo_frames_pass(scene).context("MTU 9000")?;
    scene.nothing_loaded()
}

fn driver_mode_is_refused_with_the_reason(scene: &Scene) -> Result<()> {
    let error = scene.refuses("node", INSTANCE, &configuration_of_node(), "--mode driver")?;
    ensure!(
        error.contains("e1000"),
        "the error does not name the interface:\n{error}"
    );
    // neither did it leave half of it
    scene.nothing_loaded()
}

fn packets_pass(scene: &Scene) -> Result<()> {
    let packets = format!(
        "on left ping -c 1 -W 5 2001:db8:42:3::1
        on node ping -c 1 -W 5 2001:db8:42:2::1
        transfer left right 2001:db8:42:3::1 {KILOBYTES}
        transfer right left 2001:db8:42:2::1 {KILOBYTES}
        transfer node right 2001:db8:42:3::1 {KILOBYTES}
        transfer left node 2001:db8:42:1::1 {KILOBYTES}"
    );
    scene.relayed_by_xdp("node", || scene.run(&packets).map(drop))
}

/// With frames above one page virtio_net has XDP since Linux 6.3 (multi-buffer); before that it refuses.
fn jumbo_frames_pass(scene: &Scene) -> Result<()> {
    scene.run(
        "on left ip link set eth0 mtu 9000
        on node ip link set virtio mtu 9000
        on node ip link set e1000 mtu 9000
        on right ip link set eth0 mtu 9000
        on left ip link set mesh mtu 8900
        on right ip link set mesh mtu 8900",
    )?;
    let configuration = configuration_of_node().replace("key =", "mtu = 8900\nkey =");
    scene.load("node", INSTANCE, &configuration, "")?;
    let status = scene.status("node", INSTANCE)?;
    if scene.run("uname -r")?.starts_with("6.1.") {
        mode_is(&status, "virtio", "generic")?;
        has_reason(&status, "virtio")?;
    } else {
        mode_is(&status, "virtio", "driver")?;
    }
    scene.run(&format!(
        "on left ping -c 2 -i 0.1 -W 5 -M do -s {JUMBO} 2001:db8:42:3::1
        on right ping -c 2 -i 0.1 -W 5 -M do -s {JUMBO} 2001:db8:42:1::1"
    ))?;
    packets_pass(scene)?;
    scene.unload("node", INSTANCE)
}

on_each_kernel!(driver_mode_where_the_driver_can_generic_where_it_refuses);
