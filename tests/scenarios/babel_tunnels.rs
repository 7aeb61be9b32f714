//! `re6st-user node`: Babel finds the routes over tunnels and LANs, and packets follow them.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::{internet::IpVersion::*, node::Encapsulation::*, traffic::ping};

use crate::{
    babel_nodes::{PATIENCE, assert_reaches, in_use, start, wait_for, wait_until},
    meshes::{Chain, lan, ring},
};

#[test]
fn a_chain_of_tunnels_finds_its_ways() -> Result<()> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let controllers = start(&chain.nodes())?;

    for version in [V6, V4] {
        let time = wait_for(&chain.a, &chain.c, version, &controllers)?;
        println!("{version:?}: end to end after {time:?}");
        assert_reaches(&chain.a.host, chain.c.address(version), 20);
    }

    // the relay's kernel has no part in it
    let before = chain.b.host.forwarded_by_kernel()?;
    assert_reaches(&chain.a.host, chain.c.address(V6), 20);
    let after = chain.b.host.forwarded_by_kernel()?;
    assert!(
        after.1 - before.1 < 20,
        "the relay forwards in XDP: {before:?} {after:?}"
    );

    let neighbours = chain.b.list(&["neighbours"])?;
    assert_eq!(neighbours.len(), 2, "{neighbours:?}");
    let text = chain.b.re6st_user(&["status"])?.success()?.stdout;
    assert!(
        text.contains("neighbours") && text.contains("in use"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_controller_that_is_killed_and_started_again_loses_no_packet() -> Result<()> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let mut controllers = chain.start()?;
    thread::sleep(Duration::from_secs(3));
    let address = chain.c.address(V6).to_string();
    let pinging = chain.a.host.spawn(
        Command::new("ping").args(["-n", "-q", "-i", "0.01", "-W", "1", "-c", "1200", &address]),
    )?;

    thread::sleep(Duration::from_secs(1));
    controllers.remove(1).stop(Signal::SIGKILL)?;
    thread::sleep(Duration::from_millis(300));
    controllers.insert(1, chain.b.start_node()?);

    let output = pinging.wait(Duration::from_secs(60))?;
    assert!(
        output.stdout.contains(" 0% packet loss"),
        "{}\n{}",
        output.stdout,
        controllers[1].stderr()
    );
    Ok(())
}

#[test]
fn a_controller_that_ends_leaves_the_data_plane_and_unload_leaves_nothing() -> Result<()> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let mut controllers = chain.start()?;

    let ended = controllers.remove(0).stop(Signal::SIGTERM)?;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(chain.a.host.ip(&["-6", "route"])?.contains("proto babel"));
    let routes = chain
        .a
        .list(&["routes", &chain.c.address(V6).to_string()])?;
    assert!(routes.iter().any(|route| route["via"] == "b"), "{routes:?}");
    let text = chain
        .a
        .re6st_user(&["status", "neighbours"])?
        .success()?
        .stdout;
    assert!(text.contains("no node runs"), "{text}");
    assert_reaches(&chain.b.host, chain.b.address(V6), 1);
    assert!(!chain.a.pins()?.is_empty());

    chain.a.unload()?;
    for version in ["-4", "-6"] {
        let routes = chain.a.host.ip(&[version, "route"])?;
        assert!(!routes.contains("babel"), "{routes}");
    }
    assert_eq!(chain.a.pins()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_ring_heals_when_a_link_dies_silently() -> Result<()> {
    let (internet, nodes) = ring()?;
    let [a, b, c, d] = &nodes;
    let controllers = start(&[a, b, c, d])?;
    wait_for(a, c, V6, &controllers)?;
    wait_for(b, d, V6, &controllers)?;
    thread::sleep(Duration::from_secs(4));
    let route = a
        .host
        .ip(&["-6", "route", "get", &c.address(V6).to_string()])?;
    assert!(route.contains("re6st0"), "{route}");
    let dead = in_use(a, c, [b, d])?;

    internet.lose(a.uplink.address(V4), dead.uplink.address(V4))?;
    let begin = Instant::now();
    let mut outage = None;
    while begin.elapsed() < PATIENCE {
        let reply = ping(&a.host, c.address(V6), 1, &["-W", "0.2"]);
        if reply.is_ok_and(|reply| reply.received == 1) {
            outage = Some(begin.elapsed());
            break;
        }
    }
    println!("silent cut: outage {outage:?}");
    assert!(
        outage.is_some_and(|outage| outage < Duration::from_secs(3)),
        "{outage:?}"
    );
    Ok(())
}

#[test]
fn nodes_on_one_lan_find_each_other() -> Result<()> {
    let (_internet, [a, b]) = lan()?;
    let controllers = start(&[&a, &b])?;

    for version in [V6, V4] {
        let time = wait_for(&a, &b, version, &controllers)?;
        println!("LAN, {version:?}: after {time:?}");
        assert_reaches(&a.host, b.address(version), 10);
    }
    let routes = a.list(&["routes", &b.address(V6).to_string()])?;
    assert!(
        routes.iter().any(|route| route["via"] == "lan0"),
        "{routes:?}"
    );

    // the cable is pulled, and put back
    b.host.ip(&["link", "set", "lan0", "down"])?;
    wait_until("the neighbour is gone", || {
        Ok(a.list(&["neighbours"])?.is_empty())
    })?;
    b.host.ip(&["link", "set", "lan0", "up"])?;
    wait_for(&a, &b, V6, &controllers)?;
    Ok(())
}

/// It would drop what came for others, while there is another way.
#[test]
fn a_node_that_does_not_relay_is_nobodys_way() -> Result<()> {
    let (_internet, mut nodes) = ring()?;
    nodes[1].configuration.forward = false;
    let [a, b, c, d] = &nodes;
    let controllers = start(&[a, b, c, d])?;

    wait_for(a, c, V6, &controllers)?;
    for (from, to) in [(a, b), (b, c), (a, c), (c, a), (b, d)] {
        wait_for(from, to, V6, &controllers)?;
    }

    assert_reaches(&a.host, c.address(V6), 10);
    assert_eq!(b.reason("forwarding_disabled")?, 0);
    let prefix = format!("2001:db8:42:{:x}::/64", c.number);
    let routes = a.list(&["routes"])?;
    let ways = routes.iter().find_map(|route| {
        let ways = route["candidates"].as_array().map(Vec::len);
        ways.filter(|_| route["to"] == prefix.as_str())
    });
    assert_eq!(ways, Some(1), "by the other neighbour alone: {routes:?}");
    Ok(())
}
