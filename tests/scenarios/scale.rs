//! A full mesh: 65,536 routes, and the memory of the maps; and a host that has many routes of others.

use std::{
    iter,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    configuration::Announcement,
    internet::IpVersion::*,
    node::{Encapsulation::*, INSTANCE, Route},
    process::Process,
    traffic::ping,
};

use crate::{
    babel_nodes::{start, wait_until},
    meshes::{Chain, speaking},
};

#[test]
fn traffic_follows_each_of_65536_routes() -> Result<()> {
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    // node c owns three prefixes far apart; all others have routes as well
    let owned = [
        "2001:db8:42:3::",
        "2001:db8:42:7fff::",
        "2001:db8:42:ffff::",
    ];
    chain
        .c
        .configuration
        .addresses
        .extend(owned[1..].iter().map(|prefix| format!("{prefix}1/64")));
    for (node, via) in [(&mut chain.a, "b"), (&mut chain.b, "c")] {
        let present = node.configuration.routes.clone();
        let own = format!("2001:db8:42:{:x}::/64", node.number);
        let all = iter::once("2001:db8:42::/64".to_owned())
            .chain((1..=0xffff).map(|number: u32| format!("2001:db8:42:{number:x}::/64")))
            .filter(|to| *to != own && present.iter().all(|route| route.to != *to))
            .map(|to| Route::new(to, via));
        node.configuration.routes.extend(all);
        assert!(node.configuration.routes.len() > 65_535);
    }
    chain.load()?;

    for prefix in owned {
        let answers = ping(&chain.a.host, format!("{prefix}1").parse()?, 3, &[])?;
        assert!(answers.is_perfect(), "{prefix}: {}", answers.text);
    }
    let count = chain.a.status()?["route_count"].as_u64();
    assert!(count.is_some_and(|count| count >= 65_536), "{count:?}");
    Ok(())
}

/// What the kernel says of the memory of a process, in bytes: the most it had.
fn peak_memory(process: &Process) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
}

#[test]
fn to_show_20000_routes_costs_the_node_nothing() -> Result<()> {
    const ROUTES: usize = 20_000;
    let (_internet, [a, mut b]) = speaking(["a", "b"], &[(Fou, V4)])?;
    b.babel().announce = (0..ROUTES)
        .map(|number| Announcement::new(format!("2001:db8:43:{number:x}::/64")))
        .collect();
    let controllers = start(&[&a, &b])?;
    // until it has loaded there is none
    wait_until("all are known", || {
        let known = a.status().unwrap_or_default()["controller"]["prefixes"].as_u64();
        Ok(known >= Some(ROUTES as u64))
    })?;
    wait_until("all are installed", || {
        // what is not in use yet is not waited for
        let controller = &a.status()?["controller"];
        let written = controller["installing"]["kernel-writes"].as_u64();
        Ok(written >= Some(ROUTES as u64) && controller["not-installed"] == 0)
    })?;
    let before = peak_memory(&controllers[0])?;

    let routes = a.list(&["routes"])?;

    let shown: usize = routes.iter().map(|route| route.to_string().len()).sum();
    let learned = routes.iter().filter(|route| {
        let to = route["to"].as_str().unwrap_or_default();
        to.starts_with("2001:db8:43:") && route["via"] == "b"
    });
    assert_eq!(learned.count(), ROUTES, "{:?}", &routes[9..11]);
    let one = a.list(&["routes", "2001:db8:43:4e1f::7"])?;
    assert_eq!(one.len(), 1, "{one:?}");
    let text = a.re6st_user(&["status"])?.success()?.stdout;
    assert!(text.lines().count() < 100, "a summary: {text}");
    // a page at a time, whatever the allocator and what else the node does meanwhile make of it
    let grown = peak_memory(&controllers[0])? - before;
    println!("{grown} bytes more to show {shown}");
    assert!(grown < shown as u64, "{grown} bytes more to show {shown}");
    assert!(!controllers[0].stderr().contains(" is down"));
    Ok(())
}

/// A router of the Internet may be a node as well: its hundreds of thousands of routes are none of ours.
#[test]
fn routes_of_others_on_the_host_are_not_read() -> Result<()> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let _controllers = chain.start()?;
    let quickest = || -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            chain.b.status()?;
            times.push(begin.elapsed());
        }
        times.into_iter().min().context("no times")
    };
    let before = quickest()?;
    let gateway = chain.b.uplink.router(V4);
    let route = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        format!(
            "route add {}.{b}.{c}.0/24 via {gateway} proto bgp\n",
            20 + a
        )
    };
    let routes: String = (0..100_000).map(route).collect();
    chain.b.host.ip_batch(&routes)?;

    let after = quickest()?;

    println!("status took {before:?}, and {after:?} with 100,000 routes of BGP");
    assert!(
        after < before * 3 + Duration::from_millis(150),
        "{before:?}, then {after:?}"
    );
    Ok(())
}

#[test]
fn all_maps_together_take_less_than_16_megabytes() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let stated = chain.b.status()?["memory"]
        .as_u64()
        .context("status states no memory")?;

    // what the kernel says of every map that is pinned
    let mut accounted = 0;
    let directory = chain.b.host.bpffs().join(INSTANCE);
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        let path = path.to_str().context("a path that is not UTF-8")?;
        let output = chain
            .b
            .host
            .output("bpftool", &["--json", "map", "show", "pinned", path])?;
        if output.status.success() {
            let map: Value = serde_json::from_str(&output.stdout)?;
            accounted += map["bytes_memlock"].as_u64().unwrap_or(0);
        }
    }

    assert!(accounted > 0);
    assert!(accounted < 16 << 20, "{accounted} bytes");
    assert!(
        stated >= accounted && stated < 16 << 20,
        "stated {stated}, accounted {accounted}"
    );
    Ok(())
}

#[test]
fn bpftool_shows_readable_names() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let map = chain.b.host.bpffs().join(INSTANCE).join("NEXT_HOPS");

    let text = chain.b.host.run(
        "bpftool",
        &["map", "dump", "pinned", map.to_str().context("path")?],
    )?;

    for name in ["encapsulation", "ethernet_length", "mtu", "interface"] {
        assert!(
            text.contains(name),
            "no {name} in {}",
            &text[..text.len().min(2000)]
        );
    }
    assert!(ping(&chain.a.host, chain.c.address(V6), 1, &[])?.is_perfect());
    Ok(())
}
