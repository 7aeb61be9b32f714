//! `load` and `unload`: replacing loses nothing, killing breaks nothing, unloading leaves nothing.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use testbed::{
    cleanup::wait_until,
    internet::IpVersion::*,
    node::{Encapsulation::*, Node, Route},
    traffic::{UdpStream, ping},
};

use crate::meshes::Chain;

#[test]
fn loading_again_under_load_loses_and_repeats_no_packet() -> Result<()> {
    let mut chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    for version in [V6, V4] {
        let stream = UdpStream::start(
            &chain.a.host,
            &chain.c.host,
            chain.c.address(version),
            200,
            20_000,
        )?;
        for round in 0..6 {
            thread::sleep(Duration::from_millis(200));
            if round % 2 == 1 {
                let to = format!("2001:db8:42:{:x}::/64", 0x100 + round);
                chain.b.configuration.routes.push(Route::new(to, "a"));
            }
            chain.b.load()?;
        }
        thread::sleep(Duration::from_millis(200));

        let result = stream.finish()?;

        assert!(result.is_perfect(), "{version:?}: {result:?}");
        assert!(result.sent > 20_000, "{version:?}: {result:?}");
        let routes = &mut chain.b.configuration.routes;
        routes.retain(|route| !route.to.contains(":10"));
    }
    Ok(())
}

#[test]
fn loading_again_at_the_ends_loses_and_repeats_no_packet() -> Result<()> {
    let chain = Chain::loaded((Fou, V6), (Gre, V4))?;
    let stream = UdpStream::start(
        &chain.a.host,
        &chain.c.host,
        chain.c.address(V6),
        200,
        5_000,
    )?;
    for node in [&chain.a, &chain.c, &chain.a, &chain.c] {
        thread::sleep(Duration::from_millis(100));
        node.load()?;
    }

    let result = stream.finish()?;

    assert!(result.is_perfect(), "{result:?}");
    Ok(())
}

#[test]
fn a_removed_route_and_tunnel_are_gone_after_loading_again() -> Result<()> {
    let mut chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    chain.b.remove_tunnel("c");
    let routes = &mut chain.b.configuration.routes;
    routes.retain(|route| route.via != "c");

    chain.b.load()?;

    assert_eq!(
        ping(&chain.a.host, chain.c.address(V6), 2, &[])?.received,
        0
    );
    assert!(ping(&chain.a.host, chain.b.address(V6), 2, &[])?.is_perfect());
    assert!(chain.b.tunnel("c").is_err());
    Ok(())
}

#[test]
fn a_wrong_configuration_leaves_what_runs_as_it_is() -> Result<()> {
    let mut chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    chain.b.configuration.interfaces.push("nowhere0".into());

    let error = chain.b.try_load(&[])?.failure()?;

    assert!(error.contains("nowhere0"), "{error}");
    assert!(ping(&chain.a.host, chain.c.address(V4), 3, &[])?.is_perfect());
    Ok(())
}

#[test]
fn a_load_that_was_killed_is_followed_by_one_that_works() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    for delay in kill_delays(&chain.b)? {
        let load = chain.b.start_load(&[])?;
        thread::sleep(delay);
        load.stop(Signal::SIGKILL)?;

        chain
            .b
            .load()
            .with_context(|| format!("after a kill after {delay:?}"))?;

        let answers = ping(&chain.a.host, chain.c.address(V6), 2, &[])?;
        assert!(answers.is_perfect(), "{delay:?}: {}", answers.text);
    }
    Ok(())
}

#[test]
fn a_load_that_was_killed_is_unloaded_without_a_trace() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    let before = traces(&chain.b)?;
    for delay in kill_delays(&chain.b)? {
        let load = chain.b.start_load(&[])?;
        thread::sleep(delay);
        load.stop(Signal::SIGKILL)?;

        chain
            .b
            .unload()
            .with_context(|| format!("after a kill after {delay:?}"))?;

        assert_eq!(traces(&chain.b)?, before, "after a kill after {delay:?}");
    }
    Ok(())
}

/// Moments all over the time a load takes.
fn kill_delays(node: &Node) -> Result<Vec<Duration>> {
    node.load()?;
    let start = Instant::now();
    node.load()?;
    let whole = start.elapsed();
    node.unload()?;
    node.load()?;
    node.unload()?;
    Ok((1..=12).map(|part| whole * part / 12).collect())
}

#[test]
fn unload_leaves_nothing() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    // one interface forwards, while the host as such does not
    let b = &chain.b.host;
    b.set_sysctl("net.ipv4.conf.eth0.forwarding", "1")?;
    let all = || -> Result<Vec<_>> { chain.nodes().into_iter().map(traces).collect() };
    let before = all()?;
    chain.load()?;
    assert!(ping(&chain.a.host, chain.c.address(V6), 3, &[])?.is_perfect());
    let programs = programs(&chain.b)?;
    assert!(!programs.is_empty());

    for node in chain.nodes() {
        node.unload()?;
    }

    assert_eq!(all()?, before);
    for program in programs {
        let shows = || {
            let shown = chain
                .b
                .host
                .output("bpftool", &["prog", "show", "id", &program.to_string()]);
            shown.is_ok_and(|output| output.status.success())
        };
        assert!(
            wait_until(Duration::from_secs(5), || !shows()),
            "program {program} is still there"
        );
    }
    let again = chain.b.re6st_user(&["unload"])?;
    assert!(again.status.success(), "unload again: {}", again.stderr);
    Ok(())
}

/// The identifiers of a node's programs.
fn programs(node: &Node) -> Result<Vec<u64>> {
    let status = node.status()?;
    let programs = status["programs"].as_array().context("no programs")?;
    Ok(programs
        .iter()
        .filter_map(|program| program["id"].as_u64())
        .collect())
}

/// Everything about a host that a load changes.
fn traces(node: &Node) -> Result<BTreeMap<&'static str, Value>> {
    let host = &node.host;
    let mut traces = BTreeMap::new();
    for (what, arguments) in [
        ("links", &["link", "show"][..]),
        ("addresses", &["address", "show"]),
        ("IPv4 routes", &["-4", "route", "show", "table", "all"]),
        ("IPv6 routes", &["-6", "route", "show", "table", "all"]),
        ("rules", &["-6", "rule", "show"]),
    ] {
        traces.insert(what, host.ip_json(arguments)?);
    }
    let mut qdiscs: Value = serde_json::from_str(&host.run("tc", &["-json", "qdisc", "show"])?)?;
    for qdisc in qdiscs.as_array_mut().into_iter().flatten() {
        // only tells how many devices refer to it
        if let Some(qdisc) = qdisc.as_object_mut() {
            qdisc.remove("refcnt");
        }
    }
    traces.insert("qdiscs", qdiscs);
    for name in [
        "net.ipv4.ip_forward",
        "net.ipv4.conf.all.forwarding",
        "net.ipv4.conf.default.forwarding",
        "net.ipv4.conf.eth0.forwarding",
        "net.ipv4.conf.eth0.rp_filter",
        "net.ipv6.conf.all.forwarding",
        "net.ipv6.conf.default.forwarding",
        "net.ipv6.conf.eth0.forwarding",
    ] {
        traces.insert(name, host.sysctl(name)?.into());
    }
    traces.insert("pins", node.pins()?.into());
    // lifetimes count down by themselves
    for value in traces.values_mut() {
        remove_ages(value);
    }
    Ok(traces)
}

fn remove_ages(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(remove_ages),
        Value::Object(fields) => {
            for age in ["expires", "used", "age"] {
                fields.remove(age);
            }
            fields.values_mut().for_each(remove_ages);
        }
        _ => {}
    }
}

#[test]
fn an_xdp_program_of_somebody_else_is_left_alone() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    // any program will do for somebody else's: one that only this test knows of, in another BPF file system
    chain.a.load()?;
    let program = chain.a.host.bpffs().join("re6st0/re6st_xdp");
    let program = program.to_str().context("path")?;
    let b = &chain.b.host;
    b.run(
        "bpftool",
        &["net", "attach", "xdp", "pinned", program, "dev", "eth0"],
    )?;

    let error = chain.b.try_load(&[])?.failure()?;

    assert!(error.contains("eth0") && error.contains("XDP"), "{error}");
    assert_eq!(chain.b.pins()?, [""; 0]);
    assert!(
        b.run("bpftool", &["net", "show", "dev", "eth0"])?
            .contains("xdp")
    );
    b.run("bpftool", &["net", "detach", "xdp", "dev", "eth0"])?;
    chain.b.load().map(drop)
}
