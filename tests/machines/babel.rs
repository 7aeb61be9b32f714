//! Babel over Linux's own tunnel devices: babeld and BIRD at the other ends of tunnels of our node.
//!
//! Each daemon has a cable to the node of its own, so the node relays between the two.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use testbed::daemon::{Babeld, Bird, Features, Intervals, Role};

use crate::support::{self, Scene, on_each_kernel};

const INSTANCE: &str = "babel0";
/// Routes take a few Hellos; a machine without hardware support takes its time for everything.
const SECONDS: u32 = 40;

/// A Linux host with a tunnel device and a daemon.
struct Peer {
    /// Its mesh addresses are `2001:db8:42:N::1` and `10.42.N.1`.
    number: u8,
    name: &'static str,
    /// The device's type for `ip link`, and its options besides addresses and keys.
    device: &'static str,
    options: &'static str,
    /// Outer addresses: ours and the peer's, and the length of their prefix.
    outer: [&'static str; 2],
    length: u8,
    /// Writes its configuration to a file, and starts it.
    configuration: fn(&Role<'_>) -> String,
    start: &'static str,
}

const PEERS: [Peer; 2] = [
    Peer {
        number: 2,
        name: "babeld",
        device: "gre",
        options: "ttl 64 encap fou encap-sport auto encap-dport 4754",
        outer: ["192.0.2.1", "192.0.2.2"],
        length: 30,
        configuration: |role| Babeld::configuration(role, "/tmp/babeld.sock"),
        start: "babeld -I '' -S /tmp/babeld.state -c /tmp/babeld.conf mesh",
    },
    Peer {
        number: 3,
        name: "bird",
        device: "ip6gre",
        options: "encaplimit none encap fou encap-sport auto encap-dport 4754 encap-udp6-csum",
        outer: ["2001:db8:ffff::1", "2001:db8:ffff::2"],
        length: 64,
        configuration: Bird::configuration,
        start: "bird -f -c /tmp/bird.conf -s /tmp/bird.ctl",
    },
];

impl Peer {
    fn script(&self) -> String {
        let Self {
            number,
            name,
            device,
            options,
            outer: [ours, theirs],
            length,
            start,
            ..
        } = self;
        let role = Role {
            number: *number,
            interfaces: &["mesh"],
            intervals: Intervals {
                hello: Duration::from_secs(1),
                update: Duration::from_secs(4),
            },
            features: Features {
                ipv4: true,
                round_trip: true,
                ..Features::default()
            },
        };
        let configuration = (self.configuration)(&role);
        let (ipv6, ipv4) = (address(*number, true), address(*number, false));
        // Babel needs a link-local address and multicast on the device
        format!(
            "hosts {name}
            cable node {name} {name} eth0
            addresses node {name} {ours}/{length}
            addresses {name} eth0 {theirs}/{length}
            on {name} sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
            on {name} ip fou add port 4754 ipproto 47
            on {name} ip -6 fou add port 4754 ipproto 47
            on {name} ip link add mesh type {device} local {theirs} remote {ours} ikey 10{number} okey {number} {options}
            on {name} ip link set mesh mtu 1420 multicast on up
            addresses {name} mesh {ipv6}/128 {ipv4}/32
            cat >/tmp/{name}.conf <<'CONFIGURATION'\n{configuration}\nCONFIGURATION
            on {name} {start} >/tmp/{name}.log 2>&1 &
            "
        )
    }

    fn tunnel(&self) -> String {
        let number = u32::from(self.number);
        support::tunnel(self.name, self.outer[1], "fou", (number, 100 + number), &[])
    }
}

/// The mesh address of a host.
fn address(number: u8, ipv6: bool) -> String {
    match ipv6 {
        true => format!("2001:db8:42:{number}::1"),
        false => format!("10.42.{number}.1"),
    }
}

fn configuration() -> String {
    let names: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
    let tunnels: String = PEERS.iter().map(Peer::tunnel).collect();
    let babel = "[babel]\nhello-interval = 1\nstate-directory = \"/tmp/state\"\n";
    support::configuration(1, &names) + babel + &tunnels
}

fn babeld_and_bird_on_linux_tunnels_are_routers_of_the_mesh(scene: &Scene) -> Result<()> {
    scene.run("hosts node; rm -rf /tmp/state")?;
    for peer in &PEERS {
        scene
            .run(&peer.script())
            .with_context(|| peer.name.to_owned())?;
    }
    let file = scene.configure(INSTANCE, &configuration())?;
    scene.run(&format!(
        "on node re6st-user node --config {file} --instance {INSTANCE} >/tmp/node.log 2>&1 &"
    ))?;

    // both ways, end to end
    for ipv6 in [true, false] {
        for (host, from, to) in [
            ("node", 1, 2),
            ("babeld", 2, 1),
            ("node", 1, 3),
            ("bird", 3, 1),
            ("babeld", 2, 3),
            ("bird", 3, 2),
        ] {
            reaches(scene, host, &address(from, ipv6), &address(to, ipv6))?;
        }
    }

    for (ipv6, size) in [(true, 1372), (false, 1392)] {
        let (from, to) = (address(2, ipv6), address(3, ipv6));
        let packets = format!("on babeld ping -c 5 -i 0.2 -W 5 -M do -s {size} -I {from} {to}");
        scene.relayed_by_xdp("node", || scene.run(&packets).map(drop))?;
    }

    round_trip_is_measured_with_babeld(&scene.neighbours("node", INSTANCE)?)?;
    // nothing but the controller runs there
    scene.run(
        "kill $(ip netns pids node)\nwhile [ -n \"$(ip netns pids node)\" ]; do usleep 100000; done",
    )?;
    scene.unload("node", INSTANCE)?;
    scene.nothing_loaded()
}

/// Pings until an answer comes.
fn reaches(scene: &Scene, host: &str, from: &str, to: &str) -> Result<()> {
    let asked = scene.run(&format!(
        "for attempt in $(seq {SECONDS}); do
            on {host} ping -c 1 -W 1 -I {from} {to} >/dev/null 2>&1 && exit 0
            usleep 300000
        done
        exit 1"
    ));
    asked.map(drop).or_else(|_| {
        let known = scene.run(
            "cat /tmp/*.log; on node re6st-user status routes; on babeld ip -6 route; on babeld ip route; on babeld ip addr
            on bird ip -6 route; on bird ip route; on bird ip addr; on bird birdc -s /tmp/bird.ctl show babel neighbors
            on bird birdc -s /tmp/bird.ctl show babel entries",
        )?;
        anyhow::bail!("no way from {from} to {to}:\n{known}")
    })
}

/// BIRD 2.0 does not.
fn round_trip_is_measured_with_babeld(neighbours: &[Value]) -> Result<()> {
    let with = |name: &str| {
        neighbours
            .iter()
            .find(|neighbour| neighbour["interface_name"] == name)
            .map(|neighbour| neighbour["round_trip_microseconds"].clone())
    };
    ensure!(
        with("babeld").is_some_and(|time| time.as_u64() > Some(0)),
        "{neighbours:?}"
    );
    ensure!(with("bird") == Some(Value::Null), "{neighbours:?}");
    Ok(())
}

on_each_kernel!(babeld_and_bird_on_linux_tunnels_are_routers_of_the_mesh);
