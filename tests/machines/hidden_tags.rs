//! VLAN tags that a card has taken out of frames: they come beside the packet, where XDP does not see them, but TC and the
//! kernel do.
//!
//! `left` (plain Linux tunnel) - virtio cable - `node` - e1000 cable, whose card at `node` takes tags out - `right` (plain
//! Linux tunnel)

use anyhow::{Context as _, Result, ensure};

use crate::{
    cards::{self, configuration_of_node, mode_is},
    support::{Scene, on_each_kernel},
};

const INSTANCE: &str = "tags0";

/// Nothing comes in by the VLANs of `node`: their devices are down. Those of `right` send what is routed to them by number 7,
/// or with a priority alone; `eth0.0` of `left` counts what arrives with a tag.
const HOSTS: &str = "
on node ethtool -K e1000 rxvlan on
on node ip link add e1000.7 link e1000 type vlan id 7
on left ip link add eth0.0 link eth0 up type vlan id 0
on right ip link add eth0.7 link eth0 up type vlan id 7
on right ip link add eth0.0 link eth0 up type vlan id 0 egress-qos-map 0:5
addresses left eth0 192.0.2.2/24
addresses node virtio 192.0.2.1/24
addresses node e1000 2001:db8:ffff::1/64
addresses right eth0 2001:db8:ffff::2/64 2001:db8:42:1::99/128
on left ip fou add port 4754 ipproto 47
on left ip link add mesh type gre local 192.0.2.2 remote 192.0.2.1 ikey 102 okey 2 ttl 64 encap fou encap-sport auto encap-dport 4754
on right ip link add mesh type ip6gre local 2001:db8:ffff::2 remote 2001:db8:ffff::1 ikey 103 okey 3 encaplimit none
for host in left right; do
    on $host ip link set mesh mtu 1380 up
    on $host ip route add 2001:db8:42::/48 dev mesh
done
addresses left mesh 2001:db8:42:2::1/128
addresses right mesh 2001:db8:42:3::1/128
on node ip route add 2001:db8:42:1::99 via 2001:db8:ffff::2
for device in eth0 eth0.7 eth0.0; do
    for address in 2001:db8:ffff::1 2001:db8:42:2::1; do
        on right ip neighbour replace $address dev $device lladdr 52:54:00:00:00:20 nud permanent
    done
done
";

/// What `right` sends that `left` answers.
struct Sent {
    what: &'static str,
    /// Where it is sent on `right`'s cable.
    to: &'static str,
    source: &'static str,
    /// How many of two packets with a VLAN's tag are refused by the programs. Others are the kernel's, who has rules for them.
    refused: u64,
}

const SENT: [Sent; 2] = [
    Sent {
        what: "in a tunnel",
        to: "2001:db8:ffff::1",
        source: "2001:db8:42:3::1",
        refused: 2,
    },
    Sent {
        what: "on a LAN",
        to: "2001:db8:42:2::1",
        source: "2001:db8:42:1::99",
        refused: 0,
    },
];

fn tags_beside_packets_are_heeded(scene: &Scene) -> Result<()> {
    cards::plug(scene, HOSTS)?;
    let configuration = configuration_of_node();
    for options in ["", "--mode generic"] {
        scene.load("node", INSTANCE, &configuration, options)?;
        mode_is(&scene.status("node", INSTANCE)?, "e1000", "generic")?;
        for sent in SENT {
            tags_of_a_vlan_keep_out(scene, &sent).context(sent.what)?;
        }
        tags_with_a_priority_are_taken_away(scene)?;
    }
    scene.unload("node", INSTANCE)?;
    scene.nothing_loaded()
}

/// Two packets by an interface of `right`'s, which wait for an answer of `left`'s.
fn ping(device: &str, sent: &Sent) -> String {
    let Sent { to, source, .. } = sent;
    format!(
        "on right ip route replace {to} dev {device}
        on right ip route replace 2001:db8:42:2::/64 dev mesh
        on right ping -c 2 -i 0.2 -W 2 -I {source} 2001:db8:42:2::1"
    )
}

fn tags_of_a_vlan_keep_out(scene: &Scene, sent: &Sent) -> Result<()> {
    let refused = || scene.reason("node", INSTANCE, "wrong_interface");
    scene.run(&ping("eth0", sent)).context("without a tag")?;
    let before = refused()?;
    scene.fails(&ping("eth0.7", sent)).context("of a VLAN")?;
    ensure!(
        refused()? - before == sent.refused,
        "{before}, {}",
        refused()?
    );
    scene.run(&format!("on right ip route del {} dev eth0.7", sent.to))?;
    Ok(())
}

fn tags_with_a_priority_are_taken_away(scene: &Scene) -> Result<()> {
    let sent = &SENT[0];
    scene.run(&ping("eth0.0", sent))?;
    scene.run(&format!("on right ip route del {} dev eth0.0", sent.to))?;
    let tagged = scene.number(r#"on left awk '$1 == "eth0.0:" { print $3 }' /proc/net/dev"#)?;
    ensure!(tagged == 0, "{tagged} packets left with a tag");
    Ok(())
}

on_each_kernel!(tags_beside_packets_are_heeded);
