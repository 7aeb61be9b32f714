//! Routes in the kernel's table: what others take away is put back, what cannot be there is not announced, and the
//! host's own default route always wins.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{configuration::Announcement, link::add_addresses, node::Node};

use crate::{
    babel_nodes::{wait_for_both, wait_until},
    meshes::Mixed,
};

/// The routes of a node by Babel, as the kernel has them.
fn routes(node: &Node) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for family in ["-4", "-6"] {
        let text = node.host.ip(&[family, "route", "show", "proto", "babel"])?;
        lines.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    lines.sort();
    Ok(lines)
}

/// Whether one of them has these words.
fn has(node: &Node, words: &[&str]) -> Result<bool> {
    let fits = |line: &String| words.iter().all(|word| line.contains(word));
    Ok(routes(node)?.iter().any(fits))
}

/// Waits until `b` has all these routes again; how long that took.
fn wait_for_routes(what: &str, mixed: &Mixed, all: &[String]) -> Result<Duration> {
    wait_until(what, || Ok(routes(&mixed.b)? == all)).with_context(|| {
        let now = routes(&mixed.b);
        format!("{all:?}\n{now:?}\n{}", mixed.controllers[1].stderr())
    })
}

/// `b` says so, in its status and its log.
fn says(mixed: &Mixed, text: &str) -> Result<()> {
    let log = || mixed.controllers[1].stderr();
    wait_until(text, || {
        let status = mixed.b.re6st_user(&["status"])?.success()?;
        Ok(status.stdout.contains(text))
    })
    .with_context(log)?;
    assert!(log().contains(text), "not in the log: {text}\n{}", log());
    Ok(())
}

#[test]
fn routes_that_somebody_takes_away_are_put_back() -> Result<()> {
    let mixed = Mixed::new(|_| Ok(()))?;
    let all = routes(&mixed.b)?;
    assert!(all.len() >= 4, "{all:?}");
    for command in [
        "-6 route del 2001:db8:42:3::/64 dev lan0",
        "-4 route del 10.42.1.0/24 dev re6st0",
        // without a word of the route that was there
        "-6 route replace unreachable 2001:db8:42:3::/64 metric 2048",
        "-4 route replace 10.42.1.0/24 dev lan0 metric 2048",
        "-6 route flush proto babel",
        "-4 route flush proto babel",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        mixed.b.host.ip(&words)?;
        let time = wait_for_routes(command, &mixed, &all)?;
        println!("{command}: back after {time:?}");
    }
    let repaired = || -> Result<Option<u64>> {
        Ok(mixed.b.status()?["controller"]["installing"]["repaired"].as_u64())
    };
    let before = repaired()?;
    assert!(before >= Some(4), "{before:?}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(repaired()?, before, "what we write ourselves is no news");
    Ok(())
}

#[test]
fn routes_outlive_a_mesh_device_that_goes_down() -> Result<()> {
    let mixed = Mixed::new(|_| Ok(()))?;
    let all = routes(&mixed.b)?;
    let b = &mixed.b.host;
    b.ip_batch("link set re6st0 down\nlink set re6st0 up\n")?;
    wait_for_routes("after a flap", &mixed, &all)?;
    wait_for_both(&mixed.a, &mixed.c, &mixed.controllers)?;

    // the node sets it up again, and all its routes are there again
    let log = || mixed.controllers[1].stderr();
    let loads = || log().matches(": loaded again").count();
    let before = loads();
    b.ip(&["link", "set", "re6st0", "down"])?;
    wait_until("the node loads again", || Ok(loads() > before))?;
    wait_for_routes("after it went down", &mixed, &all)?;
    wait_for_both(&mixed.c, &mixed.a, &mixed.controllers)
}

#[test]
fn next_hops_need_not_be_on_a_common_subnet() -> Result<()> {
    let mixed = Mixed::new(|[_, b, c]| {
        add_addresses(&b.host, "lan0", &["192.0.2.1/28"])?;
        add_addresses(&c.host, "lan0", &["198.51.100.129/28"])
    })?;
    assert!(has(&mixed.b, &["via 198.51.100.129"])?);
    let refusals = mixed.b.status()?["controller"]["installing"]["kernel-refusals"].as_u64();
    assert_eq!(refusals, Some(0));
    Ok(())
}

#[test]
fn what_would_swallow_a_tunnel_is_neither_installed_nor_announced() -> Result<()> {
    let mut mixed = Mixed::new(|[_, _, c]| {
        let to = ["203.0.113.0/24", "198.51.100.0/24"];
        c.babel().announce = to.map(Announcement::new).into();
        Ok(())
    })?;
    says(&mixed, "203.0.113.")?;
    says(
        &mixed,
        "not installed, and so not announced: 203.0.113.0/24",
    )?;
    // long enough to hear of both
    wait_until("what is harmless is announced", || {
        has(&mixed.a, &["198.51.100.0/24"])
    })?;
    std::thread::sleep(Duration::from_secs(2));
    assert!(!has(&mixed.a, &["203.0.113.0/24"])?);
    assert!(!has(&mixed.b, &["203.0.113.0/24"])?);
    // nor are packets refused that go there, when it is lost
    mixed.controllers.remove(2).stop(Signal::SIGINT)?;
    wait_until("it is lost", || {
        has(&mixed.b, &["198.51.100.0/24", "unreachable"])
    })?;
    assert!(!has(&mixed.b, &["203.0.113.0/24"])?);
    Ok(())
}

#[test]
fn the_default_route_of_the_host_wins_whatever_its_metric() -> Result<()> {
    let mut mixed = Mixed::new(|[_, b, c]| {
        c.babel().announce = ["0.0.0.0/0", "::/0"].map(Announcement::new).into();
        for family in ["-4", "-6"] {
            let text = b.host.ip(&[family, "route", "show", "default"])?;
            let route: Vec<&str> = text.split_whitespace().collect();
            b.host
                .ip(&[&[family, "route", "del"], route.as_slice()].concat())?;
            let bare: Vec<&str> = route.iter().copied().take(5).collect();
            let worst = [
                &[family, "route", "add"],
                bare.as_slice(),
                &["metric", "100000"],
            ];
            b.host.ip(&worst.concat())?;
        }
        Ok(())
    })?;
    let by_uplink = |b: &Node| -> Result<bool> {
        let v4 = b.host.ip(&["route", "get", "198.51.100.200"])?;
        let v6 = b.host.ip(&["-6", "route", "get", "2001:db8:9999::1"])?;
        Ok(v4.contains("dev eth0") && v6.contains("dev eth0"))
    };
    let with_ours = |b: &Node, what: &str| -> Result<bool> {
        let show = |family| {
            let default = [family, "route", "show", "default", "proto", "babel"];
            b.host.ip(&default)
        };
        Ok(show("-4")?.contains(what) && show("-6")?.contains(what))
    };
    wait_until("the mesh has a default route", || {
        with_ours(&mixed.b, "lan0")
    })?;
    assert!(by_uplink(&mixed.b)?);
    mixed.controllers.remove(2).stop(Signal::SIGINT)?;
    wait_until("it is lost", || with_ours(&mixed.b, "unreachable"))?;
    assert!(by_uplink(&mixed.b)?);
    Ok(())
}

#[test]
fn reverse_paths_are_loose_where_the_device_is_ours_and_doubted_elsewhere() -> Result<()> {
    let mixed = Mixed::new(|[_, b, _]| {
        for name in ["all", "default", "lan0"] {
            b.host
                .set_sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), "1")?;
        }
        Ok(())
    })?;
    let b = &mixed.b.host;
    assert_eq!(b.sysctl("net.ipv4.conf.re6st0.rp_filter")?, "2");
    says(&mixed, "lan0: `rp_filter` is 1 there")?;
    b.set_sysctl("net.ipv4.conf.lan0.rp_filter", "2")?;
    wait_until("it is mended", || {
        let text = mixed.b.re6st_user(&["status"])?.success()?.stdout;
        Ok(!text.contains("rp_filter"))
    })?;
    Ok(())
}
