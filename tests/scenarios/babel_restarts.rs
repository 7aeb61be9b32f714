//! A controller that is killed and started again: nothing is lost, and what it said of its routes it still knows.

use std::{fs, thread, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::{internet::IpVersion::*, node::Encapsulation::*};

use crate::{
    babel_nodes::{Pinging, in_use, start, wait_for},
    meshes::{Chain, ring},
};

fn chain() -> Result<Chain> {
    let mut chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    for node in [&mut chain.a, &mut chain.b, &mut chain.c] {
        // a start on a busy machine takes seconds, and missing Hellos cut a link
        node.babel().hello_interval = 4.0;
    }
    Ok(chain)
}

#[test]
fn a_relay_that_is_killed_again_and_again_loses_no_packet() -> Result<()> {
    const KILLS: u32 = 4;
    let chain = chain()?;
    let mut controllers = chain.start()?;
    thread::sleep(Duration::from_secs(2));
    let duration = Duration::from_secs(3) * KILLS + Duration::from_secs(3);
    let pinging = Pinging::start(&chain.a.host, chain.c.address(V6), duration)?;

    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(1500));
        controllers.remove(1).stop(Signal::SIGKILL)?;
        thread::sleep(Duration::from_millis(500));
        controllers.insert(1, chain.b.start_node()?);
        thread::sleep(Duration::from_millis(1000));
    }

    let outage = pinging.outage()?;
    assert_eq!(outage, Duration::ZERO, "{}", controllers[1].stderr());
    let kept = &chain.b.status()?["controller"]["distances"];
    assert!(kept["restored"].as_u64() >= Some(4), "{kept}");
    assert_eq!(kept["unusable"], false, "{kept}");
    Ok(())
}

#[test]
fn the_way_that_died_with_the_controller_is_replaced_soon_after_its_restart() -> Result<()> {
    let (internet, nodes) = ring()?;
    let [a, b, c, d] = &nodes;
    let mut controllers = start(&[a, b, c, d])?;
    wait_for(a, c, V6, &controllers)?;
    wait_for(b, d, V6, &controllers)?;
    thread::sleep(Duration::from_secs(4));
    let dead = in_use(a, c, [b, d])?;

    controllers.remove(0).stop(Signal::SIGKILL)?;
    internet.lose(a.uplink.address(V4), dead.uplink.address(V4))?;
    thread::sleep(Duration::from_secs(1));
    controllers.insert(0, a.start_node()?);

    let time = wait_for(a, c, V6, &controllers)?;
    println!("other way {time:?} after the restart");
    assert!(time < Duration::from_secs(8), "{time:?}");
    Ok(())
}

#[test]
fn damaged_distances_are_reported_and_not_used() -> Result<()> {
    let chain = chain()?;
    let mut controllers = chain.start()?;
    thread::sleep(Duration::from_secs(2));
    let pinging = Pinging::start(&chain.a.host, chain.c.address(V6), Duration::from_secs(5))?;

    controllers.remove(1).stop(Signal::SIGKILL)?;
    let path = chain.b.host.directory().join("state/distances");
    let mut octets = fs::read(&path)?;
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(&path, octets)?;
    controllers.insert(1, chain.b.start_node()?);

    assert_eq!(pinging.outage()?, Duration::ZERO);
    let said = controllers[1].stderr();
    assert!(said.contains("distances kept in"), "{said}");
    assert!(said.contains("it is damaged"), "{said}");
    let kept = &chain.b.status()?["controller"]["distances"];
    assert_eq!(kept["unusable"], true, "{kept}");
    assert_eq!(kept["restored"], 0, "{kept}");
    Ok(())
}
