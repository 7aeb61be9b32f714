//! Several instances on one host do not know of each other.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::LinkOptions,
    node::{Encapsulation::*, Node, tunnel},
    traffic::{ping, transfer},
};

use crate::{
    babel_nodes::assert_reaches,
    meshes::{nodes, row},
};

/// The name, the port, and the mesh of the second instance.
const SECOND: (&str, u16) = ("other0", 4999);

/// Turns a node's configuration into one of another mesh, on another port.
fn in_another_mesh(node: &mut Node) {
    let renamed = |text: &str| {
        text.replace("2001:db8:42", "2001:db8:43")
            .replace("10.42.", "10.43.")
    };
    let configuration = &mut node.configuration;
    configuration.port = Some(SECOND.1);
    for text in configuration
        .addresses
        .iter_mut()
        .chain(&mut configuration.networks)
    {
        *text = renamed(text);
    }
    for route in &mut configuration.routes {
        route.to = renamed(&route.to);
    }
    for tunnel in &mut configuration.tunnels {
        tunnel.port = Some(SECOND.1);
    }
}

#[test]
fn two_instances_on_one_interface() -> Result<()> {
    let (_internet, [mut a, mut b, mut c]) = nodes(["a", "b", "c"])?;
    // b is a node of a's mesh ...
    tunnel(&mut a, &mut b, (Fou, V4))?;
    a.route(&b, &b);
    b.route(&a, &a);
    a.load()?;
    b.load()?;
    // ... and of c's
    b.configuration.tunnels.clear();
    b.configuration.routes.clear();
    tunnel(&mut b, &mut c, (Fou, V4))?;
    b.route(&c, &c);
    c.route(&b, &b);
    let twin = b.try_load(&["--instance", SECOND.0])?;
    assert!(
        twin.stderr.contains("instance re6st0 has the address"),
        "{}",
        twin.stderr
    );
    assert!(ping(&a.host, b.address(V6), 3, &[])?.is_perfect());
    in_another_mesh(&mut b);
    in_another_mesh(&mut c);
    c.load()?;
    b.load_with(&["--instance", SECOND.0])?;
    let speak = |from: &Node, to: &str, when: &str| {
        println!("{when}");
        assert_reaches(&from.host, to.parse().unwrap(), 3);
    };
    let (first, second) = ("2001:db8:42:2::1", "2001:db8:43:2::1");
    speak(&a, first, "both loaded");
    speak(&c, second, "both loaded");
    transfer(&c.host, &b.host, "10.43.2.1".parse()?, 1 << 20)?;

    // loading one again leaves the other alone
    b.load_with(&["--instance", SECOND.0])?;
    speak(&a, first, "second loaded again");
    speak(&c, second, "second loaded again");

    // the first goes, the second stays
    b.unload()?;
    speak(&c, second, "first unloaded");
    assert_eq!(ping(&a.host, first.parse()?, 1, &[])?.received, 0);
    b.re6st_user(&["unload", "--instance", SECOND.0])?
        .success()?;
    assert_eq!(b.pins()?, [""; 0]);
    Ok(())
}

#[test]
fn instances_on_different_interfaces() -> Result<()> {
    let (_first, [a, mut b]) = row(["a", "b"], &[(Fou, V4)])?;
    let testbed = Testbed::new()?;
    let second = Internet::new(&testbed)?;
    a.load()?;
    b.load()?;
    // the other Internet numbers its hosts alike: skip what b has in the first
    let spare = testbed.host("spare")?;
    for interface in ["eth0", "eth1"] {
        second.attach(&spare, interface, LinkOptions::default())?;
    }
    b.uplink = second.attach(&b.host, "eth1", LinkOptions::default())?;
    let mut c = Node::new(&testbed, &second, "c", 3)?;
    b.configuration.tunnels.clear();
    b.configuration.routes.clear();
    b.configuration.interfaces = vec!["eth1".into()];
    tunnel(&mut b, &mut c, (Gre, V4))?;
    b.route(&c, &c);
    c.route(&b, &b);
    in_another_mesh(&mut b);
    in_another_mesh(&mut c);
    for tunnel in b
        .configuration
        .tunnels
        .iter_mut()
        .chain(&mut c.configuration.tunnels)
    {
        tunnel.port = None;
    }
    let (to, router) = (c.uplink.address(V4), b.uplink.router(V4));
    let (to, router) = (format!("{to}/32"), router.to_string());
    let way = ["route", "add", &to, "via", &router, "dev", "eth1"];
    b.host.ip(&way)?;
    c.load()?;
    b.load_with(&["--instance", SECOND.0])?;

    assert_reaches(&a.host, b.address(V6), 3);
    assert_reaches(&c.host, "2001:db8:43:2::1".parse()?, 3);
    assert_reaches(&c.host, "10.43.2.1".parse()?, 3);
    Ok(())
}
