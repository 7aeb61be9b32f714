//! Nodes of ours on another kernel: the programs load, attach and carry packets there as they do here.
//!
//! `a` - `relay` - `b` - `lan`: GRE in UDP over IPv4, then plain GRE over IPv6, then a host without any mesh software.

use anyhow::{Context as _, Result, ensure};

use crate::support::{MESH, Scene, configuration, on_each_kernel, tunnel};

/// A node and its instance, whose name is also that of its mesh device.
const A: (&str, &str) = ("a", "meshA");
const RELAY: (&str, &str) = ("relay", "meshR");
const B: (&str, &str) = ("b", "meshB");
/// What is sent over one TCP connection.
const KILOBYTES: u32 = 256;

const HOSTS: &str = "
hosts a relay b lan
cable a eth0 relay eth0
cable relay eth1 b eth0
cable b lan0 lan eth0
addresses a eth0 192.0.2.1/24
addresses relay eth0 192.0.2.2/24
addresses relay eth1 2001:db8:ffff::1/64
addresses b eth0 2001:db8:ffff::2/64
addresses b lan0 2001:db8:42:3::1/64 10.42.3.1/24
addresses lan eth0 2001:db8:42:3::9/64 10.42.3.9/24
on lan ip route add default via 2001:db8:42:3::1
on lan ip route add default via 10.42.3.1
";

fn configuration_of_a() -> String {
    configuration(1, &["eth0"]) + &tunnel("relay", "192.0.2.2", "fou", (1, 2), MESH)
}

fn configuration_of_relay() -> String {
    let of_a = ["2001:db8:42:1::/64", "10.42.1.0/24"];
    let of_b = ["2001:db8:42:3::/64", "10.42.3.0/24"];
    configuration(2, &["eth0", "eth1"])
        + &tunnel("a", "192.0.2.1", "fou", (2, 1), &of_a)
        + &tunnel("b", "2001:db8:ffff::2", "gre", (3, 4), &of_b)
}

fn configuration_of_b() -> String {
    configuration(3, &["eth0", "lan0"]) + &tunnel("relay", "2001:db8:ffff::1", "gre", (4, 3), MESH)
}

fn nodes_relay_in_xdp_replace_and_unload(scene: &Scene) -> Result<()> {
    scene.run(HOSTS)?;
    let nodes = [
        (A, configuration_of_a()),
        (RELAY, configuration_of_relay()),
        (B, configuration_of_b()),
    ];
    for ((host, instance), configuration) in &nodes {
        scene
            .load(host, instance, configuration, "")
            .with_context(|| format!("node {host}"))?;
    }
    attached_as_this_kernel_can(scene)?;

    scene.relayed_by_xdp("relay", || everybody_reaches_everybody(scene))?;
    for device in DEVICES {
        tunnels_of_the_kernels_own_are_carried(scene, device)
            .with_context(|| format!("{device:?}"))?;
    }

    replaced_without_loss(scene)?;
    scene.load(
        RELAY.0,
        RELAY.1,
        &configuration_of_relay(),
        "--mode generic",
    )?;
    everybody_reaches_everybody(scene).context("with generic XDP on the relay")?;

    for ((host, instance), _) in nodes {
        scene.unload(host, instance)?;
    }
    scene.nothing_loaded()
}

/// In the driver of the veth, and with tcx only where there is tcx (Linux 6.6).
fn attached_as_this_kernel_can(scene: &Scene) -> Result<()> {
    let release = scene.run("uname -r")?;
    let tc = if release.starts_with("6.1.") {
        "clsact"
    } else {
        "tcx"
    };
    let status = scene.status(RELAY.0, RELAY.1)?;
    let interfaces = status["interfaces"].as_array().context("no interfaces")?;
    ensure!(interfaces.len() == 2, "{status:#}");
    for interface in interfaces {
        ensure!(interface["mode"] == "driver", "{interface:#}");
        ensure!(interface["tc"].to_string().contains(tc), "{interface:#}");
    }
    Ok(())
}

fn everybody_reaches_everybody(scene: &Scene) -> Result<()> {
    for (node, host) in [
        ("2001:db8:42:3::1", "2001:db8:42:3::9"),
        ("10.42.3.1", "10.42.3.9"),
    ] {
        let a = if node.contains(':') {
            "2001:db8:42:1::1"
        } else {
            "10.42.1.1"
        };
        scene.run(&format!(
            "on a ping -c 1 -W 5 {node}
            on a ping -c 1 -W 5 {host}
            on lan ping -c 1 -W 5 {a}
            transfer a b {node} {KILOBYTES}
            transfer b a {a} {KILOBYTES}
            transfer a lan {host} {KILOBYTES}
            transfer lan a {a} {KILOBYTES}"
        ))?;
    }
    Ok(())
}

/// Types of devices that encapsulate, by which version of IP, and their options. VXLAN is in `tests/scenarios/stacked.rs`.
const DEVICES: [(&str, u8, &str); 5] = [
    ("gre", 4, ""),
    ("gretap", 4, ""),
    ("ip6gre", 6, "encaplimit none"),
    ("ip6gretap", 6, "encaplimit none"),
    ("geneve", 4, "id 7"),
];

/// Packets that are encapsulated already when the mesh gets them: a tunnel of the kernel's between mesh addresses.
fn tunnels_of_the_kernels_own_are_carried(
    scene: &Scene,
    (device, version, options): (&str, u8, &str),
) -> Result<()> {
    let (a, b) = match version {
        4 => ("10.42.1.1", "10.42.3.1"),
        _ => ("2001:db8:42:1::1", "2001:db8:42:3::1"),
    };
    for (host, own, peer, address) in [
        ("a", a, b, "198.51.100.1/24"),
        ("b", b, a, "198.51.100.2/24"),
    ] {
        // a geneve device has no address of its own
        let local = match device {
            "geneve" => String::new(),
            _ => format!("local {own}"),
        };
        scene.run(&format!(
            "on {host} ip link add over0 mtu 1300 type {device} {local} remote {peer} {options}
            addresses {host} over0 {address}
            on {host} ip link set over0 up"
        ))?;
    }
    scene.run(&format!(
        "on a ping -c 1 -W 5 198.51.100.2
        transfer a b 198.51.100.2 {KILOBYTES}
        transfer b a 198.51.100.1 {KILOBYTES}
        on a ip link delete over0
        on b ip link delete over0"
    ))?;
    for (host, instance) in [A, RELAY, B] {
        let refused = scene.reason(host, instance, "no_headroom")?;
        ensure!(refused == 0, "{refused} packets of {host}");
    }
    Ok(())
}

/// The relay is loaded again while pings pass through it.
fn replaced_without_loss(scene: &Scene) -> Result<()> {
    scene.run(
        "on a ping -i 0.01 -c 500 2001:db8:42:3::1 >/tmp/pings 2>&1 & echo $! >/tmp/pinging",
    )?;
    for _ in 0..2 {
        scene.load(RELAY.0, RELAY.1, &configuration_of_relay(), "")?;
    }
    let pings = scene
        .run("while [ -d /proc/$(cat /tmp/pinging) ]; do usleep 100000; done; cat /tmp/pings")?;
    ensure!(
        pings.contains("500 packets transmitted, 500 received, 0% packet loss"),
        "replacing the programs lost packets:\n{pings}"
    );
    Ok(())
}

on_each_kernel!(nodes_relay_in_xdp_replace_and_unload);
