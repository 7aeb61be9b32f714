//! Hosts that the kernel masquerades behind a node's own address, and hosts that pretend to be the node.

use anyhow::Result;
use testbed::{
    host::{Host, Testbed},
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, INSTANCE, Node},
    traffic::{ping, transfer},
};

use crate::{babel_nodes::assert_reaches, meshes::row};

/// Two nodes, and behind the first a host that is not of the mesh, on a link that `re6st-user` knows nothing of.
struct Scene {
    _internet: Internet,
    a: Node,
    b: Node,
    guest: Host,
}

impl Scene {
    fn new(ipv6_masquerade: bool) -> Result<Self> {
        let (internet, [mut a, b]) = row(["a", "b"], &[(Fou, V4)])?;
        a.configuration.ipv6_masquerade = ipv6_masquerade;
        let guest = Testbed::new()?.host("guest")?;
        let options = LinkOptions::default();
        link((&a.host, "guest0"), (&guest, "eth0"), options)?;
        add_addresses(&a.host, "guest0", &["192.168.7.1/24", "fd00:7::1/64"])?;
        add_addresses(&guest, "eth0", &["192.168.7.2/24", "fd00:7::2/64"])?;
        for router in ["192.168.7.1", "fd00:7::1"] {
            guest.ip(&["route", "add", "default", "via", router])?;
        }
        a.load()?;
        b.load()?;
        for name in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            a.host.set_sysctl(name, "1")?;
        }
        Ok(Self {
            _internet: internet,
            a,
            b,
            guest,
        })
    }

    fn masquerade(&self) -> Result<()> {
        let script = format!(
            "add table inet test;
            add chain inet test out {{ type nat hook postrouting priority srcnat; }};
            add rule inet test out oifname {INSTANCE} masquerade;"
        );
        self.a.host.run("nft", &[&script]).map(drop)
    }
}

#[test]
fn masqueraded_hosts_enter_the_mesh_as_the_node() -> Result<()> {
    let scene = Scene::new(true)?;
    scene.masquerade()?;
    for version in [V6, V4] {
        let address = scene.b.address(version);
        assert_reaches(&scene.guest, address, 3);
        transfer(&scene.guest, &scene.b.host, address, 1 << 18)?;
    }
    Ok(())
}

/// Who looks like the node and has not been translated for sure is refused: in IPv4 by the kernel, which takes no packet from
/// outside with an address of its own; in IPv6 by the guard, unless the operator says that the kernel masquerades there.
#[test]
fn without_the_setting_nobody_pretends_to_be_the_node() -> Result<()> {
    let scene = Scene::new(false)?;
    let Scene { a, b, guest, .. } = &scene;
    for version in [V6, V4] {
        let own = a.address(version).to_string();
        add_addresses(guest, "eth0", &[&own])?;
        let before = b.tunnel("a")?.received_packets;

        let answers = ping(guest, b.address(version), 3, &["-I", &own])?;

        assert_eq!(answers.received, 0, "{}", answers.text);
        assert_eq!(b.tunnel("a")?.received_packets, before, "{version:?}");
    }
    assert_eq!(a.reason("spoofed_source")?, 3);

    for own in a.addresses() {
        guest.ip(&["address", "delete", &own.to_string(), "dev", "eth0"])?;
    }
    scene.masquerade()?;
    // the first ones may come before the guest knows the node's Ethernet address again
    ping(guest, b.address(V4), 3, &[])?;
    assert_reaches(guest, b.address(V4), 3);
    assert_eq!(ping(guest, b.address(V6), 3, &[])?.received, 0);
    assert_eq!(a.reason("spoofed_source")?, 6, "and it is told");
    Ok(())
}
