//! An Internet gateway: nodes and hosts behind them reach the world through it, and the world's answers come back.

use anyhow::Result;
use testbed::{
    configuration::Announcement,
    host::{Host, Testbed},
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, LanHost, Node, Route, tunnel},
    traffic::{ping, transfer},
};

use crate::{
    babel_nodes::{assert_reaches, start, wait_until},
    meshes::row,
};

/// The world's addresses.
const WORLD: [&str; 2] = ["198.51.100.2", "2001:db8:77::2"];

/// A node with a host behind it, a gateway, and a website on the other side of the gateway, which knows that the mesh is
/// there. Not loaded.
struct Scene {
    internet: Internet,
    a: Node,
    laptop: LanHost,
    gateway: Node,
    world: Host,
}

impl Scene {
    fn new() -> Result<Self> {
        let testbed = Testbed::new()?;
        let (internet, [mut a, mut gateway]) = row(["a", "gateway"], &[(Fou, V4)])?;
        let laptop = a.lan_host(&testbed, "laptop", "lan0", LinkOptions::default())?;
        let world = testbed.host("world")?;
        let uplink = "wan0";
        link(
            (&gateway.host, uplink),
            (&world, "eth0"),
            LinkOptions::default(),
        )?;
        let (ours, theirs) = (["198.51.100.1", "2001:db8:77::1"], WORLD);
        for ((router, host), length) in ours.into_iter().zip(theirs).zip([24, 64]) {
            add_addresses(&gateway.host, uplink, &[&format!("{router}/{length}")])?;
            add_addresses(&world, "eth0", &[&format!("{host}/{length}")])?;
            world.ip(&["route", "add", "default", "via", router])?;
        }
        gateway.configuration.interfaces.push(uplink.into());
        gateway.configuration.gateway_interfaces.push(uplink.into());
        Ok(Self {
            internet,
            a,
            laptop,
            gateway,
            world,
        })
    }

    /// Node `a` sends to a prefix, from another or from anywhere, through the gateway.
    fn route(&mut self, to: &str, from: Option<&str>) {
        self.a.configuration.routes.push(Route {
            from: from.map(Into::into),
            ..Route::new(to, "gateway")
        });
    }

    fn load(&self) -> Result<()> {
        self.a.load()?;
        self.gateway.load()?;
        Ok(())
    }

    /// The host behind the node and the world exchange packets, and the node's kernel forwards none. (The gateway's does,
    /// to the world: what is out there is its business.)
    fn laptop_is_carried_in_xdp(&self, address: &str) -> Result<()> {
        let exchange = || -> Result<()> {
            assert_reaches(&self.laptop.host, address.parse()?, 5);
            transfer(&self.laptop.host, &self.world, address.parse()?, 1 << 20)?;
            Ok(())
        };
        // the kernels learn their neighbours, the hosts the path's MTU
        exchange()?;
        let before = self.a.host.forwarded_by_kernel()?;

        exchange()?;

        let after = self.a.host.forwarded_by_kernel()?;
        assert_eq!(after, before, "{address}: {:?}", self.a.reasons()?);
        Ok(())
    }
}

#[test]
fn the_world_is_reached_through_a_gateway() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.route("198.51.100.0/24", None);
    scene.route("2001:db8:77::/64", None);
    scene.load()?;

    for text in WORLD {
        let address = text.parse()?;
        assert_reaches(&scene.a.host, address, 5);
        transfer(&scene.a.host, &scene.world, address, 1 << 20)?;
        scene.laptop_is_carried_in_xdp(text)?;
    }
    Ok(())
}

#[test]
fn a_default_route_leads_through_the_mesh() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.route("0.0.0.0/0", None);
    scene.route("::/0", None);
    // only the tunnel's own packets still go by the node's uplink
    let host = &scene.a.host;
    for version in ["-4", "-6"] {
        host.ip(&[version, "route", "delete", "default"])?;
    }
    let router = scene.a.uplink.router(V4).to_string();
    host.ip(&["route", "add", "203.0.113.0/24", "via", &router])?;
    scene.load()?;

    for text in WORLD {
        scene.laptop_is_carried_in_xdp(text)?;
        assert_reaches(&scene.a.host, text.parse()?, 5);
    }
    Ok(())
}

#[test]
fn a_source_specific_route_is_for_its_sources_only() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.route("::/0", Some("2001:db8:42::/48"));
    scene.load()?;
    let world = "2001:db8:77::2".parse()?;

    let from = |address: &str| ping(&scene.a.host, world, 5, &["-I", address]);
    let from_node = from(&scene.a.address(V6).to_string())?;
    let from_underlay = from(&scene.a.uplink.ipv6.to_string())?;

    assert!(from_node.is_perfect(), "{}", from_node.text);
    // the Internet itself knows no way there
    assert_eq!(from_underlay.received, 0, "{}", from_underlay.text);
    assert!(scene.gateway.tunnel("a")?.received_packets >= 5);
    scene.laptop_is_carried_in_xdp("2001:db8:77::2")
}

#[test]
fn a_gateway_takes_no_sources_of_the_mesh_from_outside() -> Result<()> {
    let scene = Scene::new()?;
    add_addresses(&scene.world, "eth0", &["2001:db8:42:5::5/128"])?;
    scene.load()?;

    let options = ["-I", "2001:db8:42:5::5"];
    let answers = ping(&scene.world, scene.a.address(V6), 3, &options)?;

    assert_eq!(answers.received, 0, "{}", answers.text);
    assert_eq!(scene.gateway.reason("spoofed_source")?, 3);
    Ok(())
}

#[test]
fn babel_tells_everybody_of_the_gateway() -> Result<()> {
    let mut scene = Scene::new()?;
    // one node more, for which `a` relays
    let mut far = Node::new(&Testbed::new()?, &scene.internet, "far", 3)?;
    tunnel(&mut far, &mut scene.a, (Gre, V6))?;
    for node in [&mut far, &mut scene.a, &mut scene.gateway] {
        node.configuration.routes.clear();
        node.speak_babel(&[]);
    }
    scene.gateway.babel().announce.push(Announcement {
        from: Some("2001:db8:42::/48".into()),
        ..Announcement::new("::/0")
    });
    let _controllers = start(&[&far, &scene.a, &scene.gateway])?;
    let world = WORLD[1].parse()?;
    let from = |source: String, count| ping(&far.host, world, count, &["-I", &source]);

    let (own, underlay) = (far.address(V6).to_string(), far.uplink.ipv6.to_string());
    wait_until("there is a way to the world", || {
        Ok(from(own.clone(), 1).is_ok_and(|answers| answers.is_perfect()))
    })?;

    let before = scene.a.host.forwarded_by_kernel()?;
    let answers = from(own, 10)?;
    let after = scene.a.host.forwarded_by_kernel()?;
    assert!(answers.is_perfect(), "{}", answers.text);
    assert_eq!(after, before, "{:?}", scene.a.reasons()?);
    assert_eq!(
        from(underlay, 3)?.received,
        0,
        "the route is for the mesh's own sources"
    );
    scene.laptop_is_carried_in_xdp(WORLD[1])
}
