//! What tunnels run over: the rows of the table in docs/operating.md that need modules of Debian's kernels.
//!
//! One node with an underlay of each kind; each peer has nothing but Linux's own tunnel devices.

use anyhow::{Context as _, Result, ensure};
use testbed::machine::Series;

use crate::{
    cards::mode_is,
    support::{Scene, configuration, tunnel},
};

const INSTANCE: &str = "under0";
/// What is sent over one TCP connection.
const KILOBYTES: u32 = 64;

/// An underlay of `node`, and of its peer, whose number is `N` in the commands.
struct Row {
    /// As the table has it.
    name: &'static str,
    /// The peer's number.
    number: u8,
    /// Makes the interfaces of both ends.
    commands: &'static str,
    /// Where the node's tunnel goes through; XDP is generic there.
    interface: &'static str,
    /// Where the peer's does.
    of_peer: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "bond",
        number: 2,
        commands: "
            cable node member0 peer2 member0
            cable node member1 peer2 member1
            for host in node peer2; do
                on $host ip link add bond0 type bond mode balance-rr miimon 50
                for member in member0 member1; do
                    on $host ip link set $member down
                    on $host ip link set $member master bond0
                done
                on $host ip link set bond0 up
            done",
        interface: "bond0",
        of_peer: "bond0",
    },
    Row {
        name: "team",
        number: 7,
        commands: "
            cable node port0 peer7 port0
            cable node port1 peer7 port1
            for host in node peer7; do
                on $host ip link add team0 type team
                on $host teamnl team0 setoption mode roundrobin
                for port in port0 port1; do
                    on $host ip link set $port down
                    on $host ip link set $port master team0
                done
                on $host ip link set team0 up
            done",
        interface: "team0",
        of_peer: "team0",
    },
    Row {
        name: "VLAN on a bond",
        number: 3,
        commands: "
            cable node member2 peer3 eth0
            on node ip link add bond1 type bond mode balance-xor
            on node ip link set member2 down
            on node ip link set member2 master bond1
            on node ip link set bond1 up
            on node ip link add link bond1 name bond1.5 up type vlan id 5
            on peer3 ip link add link eth0 name eth0.5 up type vlan id 5",
        interface: "bond1.5",
        of_peer: "eth0.5",
    },
    Row {
        name: "VLAN device itself",
        number: 4,
        commands: "
            cable node card4 peer4 eth0
            on node ip link add link card4 name card4.5 up type vlan id 5
            on peer4 ip link add link eth0 name eth0.5 up type vlan id 5",
        interface: "card4.5",
        of_peer: "eth0.5",
    },
    Row {
        name: "802.1ad, and a VLAN of it",
        number: 5,
        commands: "
            cable node card5 peer5 eth0
            for end in 'node card5' 'peer5 eth0'; do
                set -- $end
                on $1 ip link add link $2 name provider up type vlan proto 802.1ad id 5
                on $1 ip link add link provider name customer up type vlan id 6
            done",
        interface: "customer",
        of_peer: "customer",
    },
    Row {
        name: "802.1ad",
        number: 6,
        commands: "
            cable node card6 peer6 eth0
            on node ip link add link card6 name provider6 up type vlan proto 802.1ad id 5
            on peer6 ip link add link eth0 name provider6 up type vlan proto 802.1ad id 5",
        interface: "provider6",
        of_peer: "provider6",
    },
    Row {
        name: "ipvlan",
        number: 8,
        commands: "
            cable node card8 peer8 eth0
            on node ip link add link card8 name ipvlan0 type ipvlan mode l2
            on node ip link set ipvlan0 up",
        interface: "ipvlan0",
        of_peer: "eth0",
    },
    Row {
        name: "GENEVE",
        number: 9,
        commands: "
            cable node card9 peer9 eth0
            addresses node card9 198.51.100.1/30
            addresses peer9 eth0 198.51.100.2/30
            on node ip link add geneve0 type geneve id 5 remote 198.51.100.2
            on peer9 ip link add geneve0 type geneve id 5 remote 198.51.100.1
            for host in node peer9; do
                on $host ip link set geneve0 up
            done",
        interface: "geneve0",
        of_peer: "geneve0",
    },
    Row {
        name: "gretap",
        number: 10,
        commands: "
            cable node card10 peer10 eth0
            addresses node card10 198.51.100.5/30
            addresses peer10 eth0 198.51.100.6/30
            on node ip link add tap0 type gretap local 198.51.100.5 remote 198.51.100.6
            on peer10 ip link add tap0 type gretap local 198.51.100.6 remote 198.51.100.5
            for host in node peer10; do
                on $host ip link set tap0 up
            done",
        interface: "tap0",
        of_peer: "tap0",
    },
];

impl Row {
    fn address(&self, end: u8) -> String {
        format!("192.0.2.{}", self.number * 16 + end)
    }

    fn script(&self) -> String {
        let (number, interface, of_peer) = (self.number, self.interface, self.of_peer);
        let (ours, theirs) = (self.address(1), self.address(2));
        let key = 100 + number;
        format!(
            "hosts peer{number}
            ({}
            ) >/dev/null
            addresses node {interface} {ours}/28
            addresses peer{number} {of_peer} {theirs}/28
            on peer{number} ip fou add port 4754 ipproto 47
            on peer{number} ip link add mesh type gre local {theirs} remote {ours} ikey {key} okey {number} ttl 64 \
                encap fou encap-sport auto encap-dport 4754
            on peer{number} ip link set mesh mtu 1380 up
            addresses peer{number} mesh 2001:db8:42:{number}::1
            on peer{number} ip route add 2001:db8:42::/48 dev mesh src 2001:db8:42:{number}::1
            ",
            self.commands
        )
    }
}

fn underlays_work(scene: &Scene, rows: &[Row]) -> Result<()> {
    scene.run("hosts node")?;
    let mut text = String::new();
    for row in rows {
        scene.run(&row.script()).context(row.name)?;
        let number = u32::from(row.number);
        let to = format!("2001:db8:42:{number}::/64");
        let keys = (number, 100 + number);
        text += &tunnel(&format!("t{number}"), &row.address(2), "fou", keys, &[&to]);
    }
    let attached: Vec<&str> = rows.iter().map(|row| row.interface).collect();
    let configuration = configuration(1, &attached) + &text.replace("key =", "mtu = 1380\nkey =");
    scene.load("node", INSTANCE, &configuration, "")?;

    let status = scene.status("node", INSTANCE)?;
    for (row, next) in rows.iter().zip(rows.iter().cycle().skip(1)) {
        mode_is(&status, row.interface, "generic").context(row.name)?;
        packets_pass(scene, row, next).context(row.name)?;
    }
    let warnings = status["warnings"].to_string();
    ensure!(warnings == "[]", "{warnings}");
    scene.unload("node", INSTANCE)?;
    scene.nothing_loaded()
}

/// To the peer, and relayed from it to the next one.
fn packets_pass(scene: &Scene, row: &Row, next: &Row) -> Result<()> {
    let (own, other) = (row.number, next.number);
    scene.run(&format!(
        "on node ping -c 1 -W 5 2001:db8:42:{own}::1
        transfer node peer{own} 2001:db8:42:{own}::1 {KILOBYTES}
        transfer peer{own} peer{other} 2001:db8:42:{other}::1 {KILOBYTES}"
    ))?;
    Ok(())
}

/// What the driver would see as somebody else's, and what has no Ethernet frames or a routing table of its own.
const REFUSED: [(&str, &str, &str); 4] = [
    ("bond0", "add bond0 up type bond", "members bond0 will have"),
    ("wg0", "add wg0 up type wireguard", "no Ethernet interface"),
    ("blue", "add blue up type vrf table 10", "blue is a VRF"),
    (
        "member",
        "add member up master blue type dummy",
        "in the VRF blue",
    ),
];

fn what_cannot_work_is_refused(scene: &Scene) -> Result<()> {
    scene.run("hosts node")?;
    for (interface, command, words) in REFUSED {
        scene.run(&format!("on node ip link {command}"))?;
        // what a bond's driver can do depends on its members
        let mode = match interface {
            "bond0" => "--mode driver",
            _ => "",
        };
        let configuration = configuration(1, &[interface]);
        let said = scene.refuses("node", INSTANCE, &configuration, mode)?;
        ensure!(said.contains(words), "{interface}: {said}");
    }
    scene.nothing_loaded()
}

#[test]
fn each_kind_on_linux_6_12() -> Result<()> {
    underlays_work(&Scene::on(Series::LINUX_6_12)?, ROWS)
}

/// Where the kernel does not tell whether a bond or a team takes frames from XDP, and TC programs are filters.
#[test]
fn bonds_and_teams_on_linux_6_1() -> Result<()> {
    underlays_work(&Scene::on(Series::LINUX_6_1)?, &ROWS[..2])
}

#[test]
fn refusals_on_linux_6_12() -> Result<()> {
    what_cannot_work_is_refused(&Scene::on(Series::LINUX_6_12)?)
}
