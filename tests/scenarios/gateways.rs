//! An Internet gateway: nodes and hosts behind them reach the world through it, and the world's answers come back.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, Node, Route, tunnel},
    traffic::{ping, transfer},
};

#[test]
fn the_world_is_reached_through_a_gateway() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut gateway = Node::new(&testbed, &internet, "gateway", 2)?;
    tunnel(&mut a, &mut gateway, (Fou, V4))?;
    a.route(&gateway, &gateway);
    gateway.route(&a, &a);
    // a website that knows that the mesh is behind the gateway
    let world = testbed.host("world")?;
    link(
        (&gateway.host, "wan0"),
        (&world, "eth0"),
        LinkOptions::default(),
    )?;
    add_addresses(
        &gateway.host,
        "wan0",
        &["198.51.100.1/24", "2001:db8:77::1/64"],
    )?;
    add_addresses(&world, "eth0", &["198.51.100.2/24", "2001:db8:77::2/64"])?;
    world.ip(&["route", "add", "10.42.0.0/16", "via", "198.51.100.1"])?;
    world.ip(&[
        "-6",
        "route",
        "add",
        "2001:db8:42::/48",
        "via",
        "2001:db8:77::1",
    ])?;
    gateway.configuration.interfaces.push("wan0".into());
    gateway.configuration.gateway_interfaces.push("wan0".into());
    for to in ["198.51.100.0/24", "2001:db8:77::/64"] {
        a.configuration.routes.push(Route {
            to: to.into(),
            from: None,
            via: "gateway".into(),
        });
    }
    let laptop = a.lan_host(&testbed, "laptop", "lan0", LinkOptions::default())?;
    a.load()?;
    gateway.load()?;

    for address in ["198.51.100.2", "2001:db8:77::2"] {
        let address = address.parse()?;
        for host in [&a.host, &laptop.host] {
            let answers = ping(host, address, 5, &[])?;
            assert!(answers.is_perfect(), "{}", answers.text);
            transfer(host, &world, address, 1 << 20)?;
        }
    }
    Ok(())
}

#[test]
fn a_source_specific_route_is_for_its_sources_only() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut gateway = Node::new(&testbed, &internet, "gateway", 2)?;
    tunnel(&mut a, &mut gateway, (Fou, V4))?;
    a.route(&gateway, &gateway);
    gateway.route(&a, &a);
    let world = testbed.host("world")?;
    link(
        (&gateway.host, "wan0"),
        (&world, "eth0"),
        LinkOptions::default(),
    )?;
    add_addresses(&gateway.host, "wan0", &["2001:db8:77::1/64"])?;
    add_addresses(&world, "eth0", &["2001:db8:77::2/64"])?;
    world.ip(&["-6", "route", "add", "default", "via", "2001:db8:77::1"])?;
    gateway.configuration.interfaces.push("wan0".into());
    gateway.configuration.gateway_interfaces.push("wan0".into());
    let from = Some("2001:db8:42::/48".into());
    a.configuration.routes.push(Route {
        to: "::/0".into(),
        from,
        via: "gateway".into(),
    });
    let laptop = a.lan_host(&testbed, "laptop", "lan0", LinkOptions::default())?;
    a.load()?;
    gateway.load()?;
    let world_address = "2001:db8:77::2".parse()?;

    let from_laptop = ping(&laptop.host, world_address, 5, &[])?;
    let from_node = ping(
        &a.host,
        world_address,
        5,
        &["-I", &a.address(V6).to_string()],
    )?;
    let from_underlay = ping(
        &a.host,
        world_address,
        2,
        &["-I", &a.uplink.ipv6.to_string()],
    )?;

    assert!(from_laptop.is_perfect(), "{}", from_laptop.text);
    assert!(from_node.is_perfect(), "{}", from_node.text);
    // the Internet itself knows no way there
    assert_eq!(from_underlay.received, 0, "{}", from_underlay.text);
    assert!(gateway.tunnel("a")?.received_packets >= 10);
    Ok(())
}

#[test]
fn a_gateway_takes_no_sources_of_the_mesh_from_outside() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut gateway = Node::new(&testbed, &internet, "gateway", 2)?;
    tunnel(&mut a, &mut gateway, (Fou, V4))?;
    a.route(&gateway, &gateway);
    gateway.route(&a, &a);
    let world = testbed.host("world")?;
    link(
        (&gateway.host, "wan0"),
        (&world, "eth0"),
        LinkOptions::default(),
    )?;
    add_addresses(&gateway.host, "wan0", &["2001:db8:77::1/64"])?;
    add_addresses(
        &world,
        "eth0",
        &["2001:db8:77::2/64", "2001:db8:42:5::5/128"],
    )?;
    world.ip(&[
        "-6",
        "route",
        "add",
        "2001:db8:42:1::/64",
        "via",
        "2001:db8:77::1",
    ])?;
    gateway.configuration.interfaces.push("wan0".into());
    gateway.configuration.gateway_interfaces.push("wan0".into());
    a.load()?;
    gateway.load()?;

    let answers = ping(&world, a.address(V6), 3, &["-I", "2001:db8:42:5::5"])?;

    assert_eq!(answers.received, 0, "{}", answers.text);
    assert_eq!(gateway.reason("spoofed_source")?, 3);
    Ok(())
}
