//! What is not there yet does not stop the rest: it is said, and used when it comes.

use anyhow::Result;
use testbed::{
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::LinkOptions,
    node::{Encapsulation::*, Node, tunnel},
    traffic::ping,
};

use crate::{
    babel_nodes::{start, wait_for, wait_until},
    meshes::Chain,
};

/// All warnings of the status.
pub fn warnings(node: &Node) -> Result<Vec<String>> {
    let status = node.status()?;
    let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
    Ok(warnings
        .iter()
        .filter_map(|warning| warning.as_str().map(Into::into))
        .collect())
}

fn about<'a>(warnings: &'a [String], what: &str) -> Option<&'a String> {
    warnings.iter().find(|warning| warning.contains(what))
}

/// Without its default route, `b` reaches `a` by IPv4 and not `c` by IPv6.
fn cut_off(chain: &Chain) -> Result<()> {
    let b = &chain.b.host;
    b.ip(&["-6", "route", "del", "default"]).map(drop)
}

fn put_back(chain: &Chain) -> Result<()> {
    let router = std::net::Ipv6Addr::from(u128::from(chain.b.uplink.ipv6) - 1).to_string();
    let b = &chain.b.host;
    b.ip(&["-6", "route", "add", "default", "via", &router])
        .map(drop)
}

#[test]
fn a_static_load_leaves_an_unreachable_peer_out_until_it_is_loaded_again() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    cut_off(&chain)?;
    chain.a.load()?;
    chain.c.load()?;

    let said = chain.b.load()?;

    assert!(said.contains("WARNING: tunnel c: "), "{said}");
    for version in [V6, V4] {
        assert!(ping(&chain.a.host, chain.b.address(version), 3, &[])?.is_perfect());
    }
    let now = warnings(&chain.b)?;
    let told = about(&now, "tunnel c: ").expect("the status says it");
    assert!(
        told.contains("unreachable") && told.contains("load again"),
        "{told}"
    );
    // who asks for the way is told that there is none
    let refused = ping(&chain.b.host, chain.c.address(V6), 1, &[]);
    assert!(refused.is_err() || refused.is_ok_and(|answers| answers.received == 0));

    put_back(&chain)?;
    chain.b.load()?;

    assert_eq!(about(&warnings(&chain.b)?, "tunnel c"), None);
    for version in [V6, V4] {
        assert!(ping(&chain.a.host, chain.c.address(version), 3, &[])?.is_perfect());
    }
    Ok(())
}

#[test]
fn a_node_starts_without_an_unreachable_peer_and_takes_it_up_when_it_can_be_reached() -> Result<()>
{
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    for node in [&mut chain.a, &mut chain.b, &mut chain.c] {
        node.configuration.routes.clear();
        node.speak_babel(&[]);
    }
    cut_off(&chain)?;
    let controllers = start(&chain.nodes())?;
    wait_for(&chain.a, &chain.b, V6, &controllers)?;
    let now = warnings(&chain.b)?;
    assert!(about(&now, "tunnel c: ").is_some(), "{now:?}");
    let log = controllers[1].stderr();
    assert_eq!(log.matches("tunnel c: ").count(), 1, "said once: {log}");

    put_back(&chain)?;

    let time = wait_until("the tunnel is used", || {
        Ok(about(&warnings(&chain.b)?, "tunnel c").is_none())
    })?;
    println!("taken up after {time:?}");
    for version in [V6, V4] {
        wait_for(&chain.a, &chain.c, version, &controllers)?;
    }
    let log = controllers[1].stderr();
    assert!(log.contains("tunnel c can be used"), "{log}");
    Ok(())
}

#[test]
fn a_node_starts_without_an_interface_and_takes_it_up_when_it_comes() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut b) = (node("a", 1)?, node("b", 2)?);
    tunnel(&mut a, &mut b, (Fou, V4))?;
    for node in [&mut a, &mut b] {
        node.speak_babel(&[]);
    }
    // its only way to anybody
    b.host.ip(&["link", "delete", "eth0"])?;
    let controllers = start(&[&a, &b])?;
    wait_until("it has started without", || {
        Ok(controllers[1].stderr().contains("is up and speaks Babel"))
    })?;
    let now = warnings(&b)?;
    assert!(about(&now, "eth0").is_some(), "{now:?}");

    internet.plug_in(&b.host, &b.uplink, LinkOptions::default())?;

    for version in [V6, V4] {
        let time = wait_for(&a, &b, version, &controllers)?;
        println!("{version:?}: after {time:?}");
    }
    assert_eq!(about(&warnings(&b)?, "eth0"), None);
    Ok(())
}
