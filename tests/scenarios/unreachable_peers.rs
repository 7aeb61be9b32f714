//! What is not there yet does not stop the rest: it is said, and used when it comes.

use anyhow::Result;
use testbed::{internet::IpVersion::*, link::LinkOptions, node::Encapsulation::*, traffic::ping};

use crate::{
    babel_nodes::{assert_reaches, start, wait_for, wait_for_both, wait_until},
    meshes::{Chain, speaking},
};

/// Without its default route, `b` reaches `a` by IPv4 and not `c` by IPv6.
fn cut_off(chain: &Chain) -> Result<()> {
    let b = &chain.b.host;
    b.ip(&["-6", "route", "del", "default"]).map(drop)
}

fn put_back(chain: &Chain) -> Result<()> {
    let router = chain.b.uplink.router(V6).to_string();
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
        assert_reaches(&chain.a.host, chain.b.address(version), 3);
    }
    let told = chain.b.warning("tunnel c: ")?.expect("the status says it");
    assert!(
        told.contains("unreachable") && told.contains("load again"),
        "{told}"
    );
    // who asks for the way is told that there is none
    let refused = ping(&chain.b.host, chain.c.address(V6), 1, &[]);
    assert!(refused.is_err() || refused.is_ok_and(|answers| answers.received == 0));

    put_back(&chain)?;
    chain.b.load()?;

    assert_eq!(chain.b.warning("tunnel c")?, None);
    for version in [V6, V4] {
        assert_reaches(&chain.a.host, chain.c.address(version), 3);
    }
    Ok(())
}

#[test]
fn a_node_starts_without_an_unreachable_peer_and_takes_it_up_when_it_can_be_reached() -> Result<()>
{
    takes_up_what_comes(&Chain::speaking((Fou, V4), (Gre, V6))?)
}

#[test]
fn so_does_a_node_whose_static_routes_lead_through_that_tunnel() -> Result<()> {
    takes_up_what_comes(&Chain::new((Fou, V4), (Gre, V6))?)
}

fn takes_up_what_comes(chain: &Chain) -> Result<()> {
    cut_off(chain)?;
    let controllers = start(&chain.nodes())?;
    wait_for(&chain.a, &chain.b, V6, &controllers)?;
    assert!(chain.b.warning("tunnel c: ")?.is_some());
    let log = controllers[1].stderr();
    assert_eq!(log.matches("tunnel c: ").count(), 1, "said once: {log}");

    put_back(chain)?;

    let time = wait_until("the tunnel is used", || {
        Ok(chain.b.warning("tunnel c")?.is_none())
    })?;
    println!("taken up after {time:?}");
    wait_for_both(&chain.a, &chain.c, &controllers)?;
    let log = controllers[1].stderr();
    assert!(log.contains("tunnel c can be used"), "{log}");
    Ok(())
}

#[test]
fn a_node_starts_without_an_interface_and_takes_it_up_when_it_comes() -> Result<()> {
    let (internet, [a, b]) = speaking(["a", "b"], &[(Fou, V4)])?;
    // its only way to anybody
    b.host.ip(&["link", "delete", "eth0"])?;
    let controllers = start(&[&a, &b])?;
    wait_until("it has started without", || {
        Ok(controllers[1].stderr().contains("is up and speaks Babel"))
    })?;
    assert!(b.warning("eth0")?.is_some());

    internet.plug_in(&b.host, &b.uplink, LinkOptions::default())?;

    for version in [V6, V4] {
        let time = wait_for(&a, &b, version, &controllers)?;
        println!("{version:?}: after {time:?}");
    }
    assert_eq!(b.warning("eth0")?, None);
    Ok(())
}
