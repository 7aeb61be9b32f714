//! What tunnels run over: each row of the table in docs/operating.md that this host's kernel can make. The others are in
//! `tests/machines/underlays.rs`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    cleanup::wait_until,
    emulator::{Emulator, Wire},
    foreign::Foreign,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, INSTANCE, Keys, Node, Tunnel, tunnel},
    traffic::{ping, transfer},
};

use crate::{
    babel_nodes::{Pinging, start, wait_for},
    meshes::{Chain, lan, nodes, row},
};

/// What is sent each way over a TCP connection, in bytes.
const CONTENT: u64 = 1 << 20;

/// One end of a wire, and what stands on it.
#[derive(Clone, Copy)]
struct End {
    /// `ip` commands, after `wire0` is there.
    commands: &'static str,
    /// The interface tunnels go through.
    interface: &'static str,
    /// Their outer address there.
    address: &'static str,
    /// `interfaces` of the configuration.
    attached: &'static [&'static str],
}

/// What comes of it.
enum Outcome {
    /// It works, with XDP in this mode.
    Works(&'static str),
    /// `load` refuses, with these words.
    Refused(&'static str),
}
use Outcome::{Refused, Works};

struct Row {
    name: &'static str,
    /// The node that is looked at.
    near: End,
    /// Its peer.
    far: End,
    outcome: Outcome,
}

const fn end(
    commands: &'static str,
    interface: &'static str,
    attached: &'static [&'static str],
) -> End {
    End {
        commands,
        interface,
        address: "198.51.100.1/30",
        attached,
    }
}

const PLAIN: End = End {
    address: "198.51.100.2/30",
    ..end("", "wire0", &["wire0"])
};
const BRIDGE: &str = "
    link add br0 type bridge
    link set wire0 master br0
    link set br0 up";
const MACVLAN: &str = "
    link add link wire0 name macvlan0 type macvlan mode bridge
    link set macvlan0 up";
const TUN: &str = "
    tuntap add mode tun name tun0
    link set tun0 up";
const VXLAN: [&str; 2] = [
    "address add 192.0.2.1/30 dev wire0
    link add vxlan0 type vxlan id 5 local 192.0.2.1 remote 192.0.2.2 dstport 4789
    link set vxlan0 up",
    "address add 192.0.2.2/30 dev wire0
    link add vxlan0 type vxlan id 5 local 192.0.2.2 remote 192.0.2.1 dstport 4789
    link set vxlan0 up",
];

fn rows() -> Vec<Row> {
    let row = |name, near, outcome| Row {
        name,
        near,
        far: PLAIN,
        outcome,
    };
    vec![
        row("veth", end("", "wire0", &["wire0"]), Works("driver")),
        row("tap", end("", "wire0", &["wire0"]), Works("driver")),
        row("bridge", end(BRIDGE, "br0", &["br0"]), Works("generic")),
        row(
            "bridge port alone",
            end(BRIDGE, "br0", &["wire0"]),
            Refused("wire0 is a member of br0"),
        ),
        row(
            "bridge and its port",
            end(BRIDGE, "br0", &["br0", "wire0"]),
            Refused("leave wire0 out of `interfaces`"),
        ),
        row(
            "macvlan",
            end(MACVLAN, "macvlan0", &["macvlan0"]),
            Works("generic"),
        ),
        row(
            "macvlan parent",
            end(MACVLAN, "wire0", &["wire0"]),
            Works("driver"),
        ),
        row(
            "macvlan and its parent",
            end(MACVLAN, "macvlan0", &["wire0", "macvlan0"]),
            Refused("leave wire0 out of `interfaces`"),
        ),
        row(
            "tun",
            end(TUN, "tun0", &["tun0"]),
            Refused("no Ethernet interface"),
        ),
        Row {
            name: "VXLAN",
            near: end(VXLAN[0], "vxlan0", &["vxlan0"]),
            far: End {
                address: "198.51.100.2/30",
                ..end(VXLAN[1], "vxlan0", &["vxlan0"])
            },
            outcome: Works("generic"),
        },
    ]
}

/// A node `far` with one tunnel to `near`, which has another one to `c` over the Internet.
struct Scene {
    _internet: Internet,
    _wire: Option<Emulator>,
    near: Node,
    far: Node,
    c: Node,
}

impl Scene {
    fn new(row: &Row) -> Result<Self> {
        let (internet, [mut near, mut far, mut c]) = nodes(["near", "far", "c"])?;
        let ends = [(&near.host, "wire0"), (&far.host, "wire0")];
        let wire = if row.name == "tap" {
            Some(Emulator::link(ends[0], ends[1], Wire::default())?)
        } else {
            link(ends[0], ends[1], LinkOptions::default())?;
            None
        };
        prepare(&mut near, row.near, row.far, 0)?;
        prepare(&mut far, row.far, row.near, 1)?;
        near.configuration.interfaces.push("eth0".into());
        tunnel(&mut near, &mut c, (Fou, V4))?;
        near.route_number(2, "wire");
        near.route(&c, &c);
        far.route_number(1, "wire");
        far.route_number(3, "wire");
        c.route(&near, &near);
        c.route(&far, &near);
        Ok(Self {
            _internet: internet,
            _wire: wire,
            near,
            far,
            c,
        })
    }
}

fn prepare(node: &mut Node, own: End, peer: End, side: u32) -> Result<()> {
    node.host.ip_batch(own.commands)?;
    add_addresses(&node.host, own.interface, &[own.address])?;
    let remote = peer.address.split('/').next().unwrap_or_default();
    node.configuration.interfaces = own.attached.iter().map(ToString::to_string).collect();
    node.configuration.tunnels.push(Tunnel {
        name: "wire".into(),
        remote: remote.parse()?,
        local: None,
        encap: Fou,
        port: Some(4754),
        mtu: Some(1380),
        key: Keys {
            local: 0x5ec1_0000 + side,
            remote: 0x5ec1_0001 - side,
        },
    });
    Ok(())
}

fn try_row(row: &Row) -> Result<()> {
    let Scene { near, far, c, .. } = &Scene::new(row)?;
    let expected = match row.outcome {
        Refused(words) => {
            let said = near.try_load(&[])?.failure()?;
            assert!(said.contains(words), "{}: {said}", row.name);
            assert!(near.pins()?.is_empty(), "{}: something is loaded", row.name);
            return Ok(());
        }
        Works(mode) => mode,
    };
    for node in [near, far, c] {
        node.load()?;
    }

    assert_eq!(near.mode(row.near.interface)?, expected, "{}", row.name);
    let before = near.host.forwarded_by_kernel()?;
    for version in [V6, V4] {
        for (from, to) in [(near, far), (far, near), (far, c)] {
            transfer(&from.host, &to.host, to.address(version), CONTENT)
                .with_context(|| format!("{:#?}", near.reasons()))?;
        }
    }
    assert_eq!(near.host.forwarded_by_kernel()?, before, "{}", row.name);
    assert_eq!(near.warnings()?, [""; 0], "{}", row.name);
    Ok(())
}

#[test]
fn each_kind_of_underlay_works_or_is_refused_with_words() -> Result<()> {
    for row in rows() {
        try_row(&row).with_context(|| row.name)?;
    }
    Ok(())
}

#[test]
fn an_interface_that_becomes_a_member_of_another_is_told_of() -> Result<()> {
    let row = &rows()[0];
    let Scene { near, far, .. } = &Scene::new(row)?;
    near.load()?;
    far.load()?;
    assert!(ping(&far.host, near.address(V6), 3, &[])?.is_perfect());

    near.host.ip_batch(BRIDGE)?;
    near.host.ip_batch(
        "address del 198.51.100.1/30 dev wire0
        address add 198.51.100.1/30 dev br0",
    )?;

    let status = near.status()?;
    assert!(
        status.to_string().contains("leads through br0 now"),
        "{status:#}"
    );
    let said = near.try_load(&[])?.failure()?;
    assert!(said.contains("wire0 is a member of br0"), "{said}");
    Ok(())
}

/// The first of the programs at a node's hook is ours: somebody else's final verdict comes too late.
#[test]
fn programs_of_others_do_not_take_packets_away() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Fou, V6))?;
    let (a, b) = (&chain.a, &chain.b);
    let before = Foreign::take_all(&b.host, "eth0")?;
    chain.load()?;
    let reached =
        |version| -> Result<bool> { Ok(ping(&a.host, b.address(version), 5, &[])?.is_perfect()) };

    assert!(reached(V6)? && reached(V4)?, "one that was there");
    assert_eq!(b.warnings()?, [""; 0]);
    let after = Foreign::take_all(&b.host, "eth0")?;

    let told = b.warning("re6st_handover")?.context("it is told of")?;
    assert!(told.contains("load again"), "{told}");
    assert!(
        !reached(V6)?,
        "the program takes nothing: the test shows nothing"
    );
    b.load()?;

    assert!(reached(V6)? && reached(V4)?, "one that came later");
    assert_eq!(b.warnings()?, [""; 0]);
    b.unload()?;
    drop((before, after));
    Ok(())
}

#[test]
fn programs_that_others_removed_are_told_of() -> Result<()> {
    for options in [&[][..], &["--tc", "clsact"]] {
        let chain = Chain::new((Fou, V4), (Fou, V6))?;
        let b = &chain.b;
        chain.a.load()?;
        b.load_with(options)?;
        assert_eq!(b.warnings()?, [""; 0], "{options:?}");

        for (program, interface) in [
            ("re6st_handover", "eth0"),
            ("re6st_send", "re6st0-tc"),
            ("re6st_guard", INSTANCE),
        ] {
            remove_programs(b, interface, options.is_empty())?;

            let expected = format!("{program} is not attached to {interface}");
            let told = b.warning(&expected)?;
            assert!(told.is_some(), "{options:?}: {:?}", b.warnings());
        }
        let status = b.status()?;
        assert_eq!(status["interfaces"][0]["tc"], Value::Null);
        b.load_with(options)?;

        assert_eq!(b.warnings()?, [""; 0], "{options:?}");
        assert!(ping(&chain.a.host, b.address(V6), 3, &[])?.is_perfect());
    }
    Ok(())
}

/// As a foreign tool may.
fn remove_programs(node: &Node, interface: &str, tcx: bool) -> Result<()> {
    if !tcx {
        let host = &node.host;
        return host
            .run("tc", &["qdisc", "del", "dev", interface, "clsact"])
            .map(drop);
    }
    let name = match interface {
        INSTANCE => "guard",
        "re6st0-tc" => "send",
        _ => "handover",
    };
    let links = node.host.bpffs().join(INSTANCE).join("links");
    let link = std::fs::read_dir(&links)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains(name))
        .context("no such link")?;
    let link = link.to_str().context("a path")?;
    node.host
        .run("bpftool", &["link", "detach", "pinned", link])
        .map(drop)
}

/// A name that an interface has besides, and one it is given while it is in use.
#[test]
fn alternative_and_new_names_are_as_good_as_the_first() -> Result<()> {
    let (_internet, [mut gateway, b]) = row(["a", "b"], &[(Fou, V4)])?;
    let host = &gateway.host;
    host.ip_batch("link property add dev eth0 altname uplink")?;
    gateway.configuration.interfaces = vec!["uplink".into()];
    gateway.configuration.gateway_interfaces = vec!["uplink".into()];
    gateway.load()?;
    b.load()?;

    let status = gateway.status()?;
    assert_eq!(status["interfaces"][0]["name"], "eth0");
    assert_eq!(status["interfaces"][0]["gateway"], true, "{status:#}");
    assert_eq!(gateway.warnings()?, [""; 0]);
    let traced = gateway.re6st_user(&["trace", "on uplink: 192.0.2.9 > 10.42.2.1 udp 1 > 2"])?;
    traced.success()?;

    let host = &gateway.host;
    let router = gateway.uplink.router(V4);
    host.ip_batch(&format!(
        "link property del dev eth0 altname uplink
        link set eth0 down
        link set eth0 name wan0
        link set wan0 up
        route replace default via {router}"
    ))?;

    let status = gateway.status()?;
    assert_eq!(status["interfaces"][0]["name"], "wan0", "{status:#}");
    let told = gateway.warning("called wan0 now")?;
    assert!(told.is_some(), "{status:#}");
    let traced = gateway.re6st_user(&["trace", "on wan0: 192.0.2.9 > 10.42.2.1 udp 1 > 2"])?;
    traced.success()?;
    let reached = wait_until(Duration::from_secs(5), || {
        ping(&b.host, gateway.address(V6), 2, &[]).is_ok_and(|answers| answers.is_perfect())
    });
    assert!(reached, "{:#?}", gateway.reasons()?);
    Ok(())
}

/// The controller is told when filters change.
#[test]
fn a_running_node_puts_programs_back_that_others_removed() -> Result<()> {
    let (_internet, [mut a, mut b]) = lan()?;
    tunnel(&mut a, &mut b, (Fou, V4))?;
    let said = [
        a.start_node_with(&["--tc", "clsact"])?,
        b.start_node_with(&[])?,
    ];
    wait_for(&a, &b, V6, &said)?;
    for interface in ["eth0", "lan0", INSTANCE] {
        remove_programs(&a, interface, false)?;
    }

    let mended = wait_until(Duration::from_secs(20), || {
        let told = said[0].stderr();
        told.contains("re6st_guard is not attached to re6st0 any more")
            && a.warnings().is_ok_and(|warnings| warnings.is_empty())
    });

    assert!(mended, "{:?}\n{}", a.warnings(), said[0].stderr());
    assert!(ping(&a.host, b.address(V6), 3, &[])?.is_perfect());
    Ok(())
}

#[test]
fn a_running_node_goes_on_with_an_interface_that_is_given_another_name() -> Result<()> {
    let (_internet, [mut a, b]) = lan()?;
    a.speak_babel(&["plain"]);
    let host = &a.host;
    host.ip(&["link", "property", "add", "dev", "lan0", "altname", "plain"])?;
    let said = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &said)?;
    assert_ne!(routes_by(&a, "plain")?, "");
    host.ip_batch("link property add dev lan0 altname office")?;
    for name in ["lan0", "office"] {
        assert_eq!(routes_by(&a, name)?, routes_by(&a, "plain")?, "{name}");
    }
    let pinging = Pinging::start(host, b.address(V6), Duration::from_secs(3))?;

    host.ip(&["link", "property", "del", "dev", "lan0", "altname", "plain"])?;
    host.ip(&["link", "set", "lan0", "name", "lan9"])?;
    let outage = pinging.outage()?;

    let log = said[0].stderr();
    assert!(outage < Duration::from_secs(1), "{outage:?}\n{log}");
    let told = log.matches("it is called lan9 now").count();
    assert_eq!(told, 1, "{log}");
    assert!(ping(&b.host, a.address(V6), 3, &[])?.is_perfect());
    assert_ne!(routes_by(&a, "lan9")?, "");
    assert_eq!(routes_by(&a, "lan8")?, "");
    Ok(())
}

/// Destinations of the routes that go by an interface, a line each.
fn routes_by(node: &Node, name: &str) -> Result<String> {
    let list = ["status", "routes", "--interface", name, "--json"];
    let lines = node.re6st_user(&list)?.success()?.stdout;
    let routes = lines.lines().map(|line| -> Result<String> {
        let route: Value = serde_json::from_str(line)?;
        Ok(format!("{}\n", route["to"]))
    });
    routes.collect()
}
