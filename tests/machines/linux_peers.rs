//! A node of ours among hosts that have nothing but Linux's own tunnel devices: gre and ip6gre, plain and in UDP (fou).
//!
//! Each peer is on a cable of its own, so the node is in the middle of a star and relays between all of them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::{self, Scene, on_each_kernel};

const INSTANCE: &str = "star0";
/// What is sent over one TCP connection.
const KILOBYTES: u32 = 128;

/// A host with a tunnel device of Linux.
struct Peer {
    /// Its mesh addresses are `2001:db8:42:N::1` and `10.42.N.1`; the node's number is 1.
    number: u8,
    /// The device's type for `ip link`.
    device: &'static str,
    /// The device's options besides addresses and keys.
    options: &'static str,
    /// What the node's configuration says.
    encap: &'static str,
    underlay: Underlay,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Underlay {
    Ipv4,
    Ipv6,
}

use Underlay::{Ipv4, Ipv6};

#[rustfmt::skip]
const PEERS: &[Peer] = &[
    Peer { number: 2, underlay: Ipv4, encap: "gre", device: "gre", options: "ttl 64" },
    Peer { number: 3, underlay: Ipv6, encap: "gre", device: "ip6gre", options: "encaplimit none" },
    Peer { number: 4, underlay: Ipv4, encap: "fou", device: "gre",
           options: "ttl 64 encap fou encap-sport auto encap-dport 4754" },
    Peer { number: 5, underlay: Ipv6, encap: "fou", device: "ip6gre",
           options: "encaplimit none encap fou encap-sport auto encap-dport 4754 noencap-udp6-csum" },
    // with UDP checksums and a fixed source port
    Peer { number: 6, underlay: Ipv4, encap: "fou", device: "gre",
           options: "ttl inherit encap fou encap-sport 4754 encap-dport 4754 encap-csum" },
    Peer { number: 7, underlay: Ipv6, encap: "fou", device: "ip6gre",
           options: "encaplimit none encap fou encap-sport 4754 encap-dport 4754 encap-udp6-csum" },
    // as the devices are unless told: with the tunnel encapsulation limit of RFC 2473
    Peer { number: 8, underlay: Ipv6, encap: "gre", device: "ip6gre", options: "" },
    Peer { number: 9, underlay: Ipv6, encap: "fou", device: "ip6gre",
           options: "encap fou encap-sport auto encap-dport 4754 encap-udp6-csum" },
];

impl Peer {
    fn host(&self) -> String {
        format!("peer{}", self.number)
    }

    /// Outer address on the peer's cable: of the node (1) or the peer (2).
    fn outer(&self, end: u8) -> String {
        match self.underlay {
            Ipv4 => format!("192.0.2.{}", self.number * 16 + end),
            Ipv6 => format!("2001:db8:ffff:{}::{end}", self.number),
        }
    }

    fn script(&self) -> String {
        let number = self.number;
        let host = self.host();
        let (ours, theirs) = (self.outer(1), self.outer(2));
        let length = match self.underlay {
            Ipv4 => 28,
            Ipv6 => 64,
        };
        let (device, options) = (self.device, self.options);
        format!(
            "hosts {host}
            cable node eth{number} {host} eth0
            addresses node eth{number} {ours}/{length}
            addresses {host} eth0 {theirs}/{length}
            on {host} ip link add mesh type {device} local {theirs} remote {ours} ikey 10{number} okey {number} {options}
            on {host} ip link set mesh mtu 1420 up
            addresses {host} mesh {} {}
            on {host} ip route add 2001:db8:42::/48 dev mesh src {}
            on {host} ip route add 10.42.0.0/16 dev mesh src {}
            on {host} ip fou add port 4754 ipproto 47
            on {host} ip -6 fou add port 4754 ipproto 47
            ",
            inner(number, Ipv6),
            inner(number, Ipv4),
            inner(number, Ipv6),
            inner(number, Ipv4),
        )
    }

    fn tunnel(&self) -> String {
        let number = u32::from(self.number);
        let (ipv6, ipv4) = (
            format!("2001:db8:42:{number}::/64"),
            format!("10.42.{number}.0/24"),
        );
        let (keys, to) = ((number, 100 + number), [ipv6.as_str(), &ipv4]);
        support::tunnel(&self.host(), &self.outer(2), self.encap, keys, &to)
    }
}

/// The mesh address of a host.
fn inner(number: u8, payload: Underlay) -> String {
    match payload {
        Ipv4 => format!("10.42.{number}.1"),
        Ipv6 => format!("2001:db8:42:{number}::1"),
    }
}

fn configuration() -> String {
    let interfaces = PEERS.iter().map(|peer| format!("eth{}", peer.number));
    let interfaces: Vec<String> = interfaces.collect();
    let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    let tunnels: String = PEERS.iter().map(Peer::tunnel).collect();
    support::configuration(1, &interfaces) + &tunnels
}

fn node_and_every_kind_of_linux_tunnel_understand_each_other(scene: &Scene) -> Result<()> {
    scene.run("hosts node")?;
    for peer in PEERS {
        scene
            .run(&peer.script())
            .with_context(|| format!("peer {}", peer.number))?;
    }
    scene.load("node", INSTANCE, &configuration(), "")?;

    for peer in PEERS {
        node_and_peer_reach_each_other(scene, peer)
            .with_context(|| format!("{} {} `{}`", peer.host(), peer.device, peer.options))?;
    }
    scene.relayed_by_xdp("node", || {
        PEERS.iter().enumerate().try_for_each(|(index, from)| {
            let to = &PEERS[(index + 1) % PEERS.len()];
            peers_reach_each_other(scene, from, to)
                .with_context(|| format!("from {} to {}", from.host(), to.host()))
        })
    })?;
    the_path_shows_the_node(scene)?;

    let status = scene.status("node", INSTANCE)?;
    everything_counted_and_nothing_dropped(&status)?;
    scene.unload("node", INSTANCE)?;
    scene.nothing_loaded()
}

fn node_and_peer_reach_each_other(scene: &Scene, peer: &Peer) -> Result<()> {
    let host = peer.host();
    for payload in [Ipv6, Ipv4] {
        let (ours, theirs) = (inner(1, payload), inner(peer.number, payload));
        scene.run(&format!(
            "on {host} ping -c 1 -W 5 {ours}
            on node ping -c 1 -s 1372 -M do -W 5 {theirs}
            transfer {host} node {ours} {KILOBYTES}
            transfer node {host} {theirs} {KILOBYTES}"
        ))?;
    }
    Ok(())
}

fn peers_reach_each_other(scene: &Scene, from: &Peer, to: &Peer) -> Result<()> {
    let (sender, receiver) = (from.host(), to.host());
    for payload in [Ipv6, Ipv4] {
        let address = inner(to.number, payload);
        let answers = scene.run(&format!(
            "on {sender} ping -c 1 -W 5 {address}
            transfer {sender} {receiver} {address} {KILOBYTES}"
        ))?;
        ensure!(
            answers.contains("ttl=63"),
            "the hop limit has not gone down by one:\n{answers}"
        );
    }
    Ok(())
}

fn the_path_shows_the_node(scene: &Scene) -> Result<()> {
    for (payload, command) in [(Ipv6, "traceroute6"), (Ipv4, "traceroute")] {
        let path = scene.run(&format!(
            "on peer2 busybox {command} -n -q 1 -w 5 -m 4 {}",
            inner(5, payload)
        ))?;
        let node = path.find(&inner(1, payload));
        let end = path.rfind(&inner(5, payload));
        ensure!(
            node.is_some() && node < end,
            "the node is not between the ends:\n{path}"
        );
    }
    Ok(())
}

fn everything_counted_and_nothing_dropped(status: &Value) -> Result<()> {
    let tunnels = status["tunnels"].as_array().context("no tunnels")?;
    ensure!(tunnels.len() == PEERS.len(), "not all tunnels: {status:#}");
    for tunnel in tunnels {
        for direction in ["received_packets", "sent_packets"] {
            // transfers of a hundred packets, with the node and with another peer, over IPv6 and IPv4
            let packets = tunnel[direction].as_u64().unwrap_or(0);
            ensure!(packets > 300, "{direction} is {packets}: {tunnel:#}");
        }
    }
    let reasons = status["reasons"].as_array().context("no reasons")?;
    let dropped: Vec<&Value> = reasons
        .iter()
        .filter(|reason| reason["fate"] == "dropped" && reason["packets"] != 0)
        // the kernel's own multicast reports on the mesh device
        .filter(|reason| reason["name"] != "send_link_scoped")
        .collect();
    ensure!(dropped.is_empty(), "packets were dropped: {dropped:#?}");
    Ok(())
}

on_each_kernel!(node_and_every_kind_of_linux_tunnel_understand_each_other);
