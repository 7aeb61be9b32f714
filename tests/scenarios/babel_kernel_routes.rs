//! Routes in the kernel's table: what others take away is put back, what cannot be there is not announced, and the
//! host's own default route always wins.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::{
    configuration::Announcement,
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, Node, tunnel},
    process::Process,
};

use crate::babel_nodes::{start, wait_for, wait_until};

/// `a` has a tunnel to the relay `b`, and `b` has a plain link to `c`.
struct Row {
    _internet: Internet,
    a: Node,
    b: Node,
    c: Node,
    controllers: Vec<Process>,
}

impl Row {
    fn new(prepare: impl FnOnce([&mut Node; 3]) -> Result<()>) -> Result<Self> {
        let testbed = Testbed::new()?;
        let internet = Internet::new(&testbed)?;
        let node = |name, number| Node::new(&testbed, &internet, name, number);
        let (mut a, mut b, mut c) = (node("a", 1)?, node("b", 2)?, node("c", 3)?);
        tunnel(&mut a, &mut b, (Fou, V4))?;
        link((&b.host, "lan0"), (&c.host, "lan0"), LinkOptions::default())?;
        a.speak_babel(&[]);
        b.speak_babel(&["lan0"]);
        c.speak_babel(&["lan0"]);
        prepare([&mut a, &mut b, &mut c])?;
        let controllers = start(&[&a, &b, &c])?;
        let row = Self {
            _internet: internet,
            a,
            b,
            c,
            controllers,
        };
        for version in [V6, V4] {
            wait_for(&row.a, &row.c, version, &row.controllers)?;
        }
        Ok(row)
    }

    /// The routes of `b` by Babel, as the kernel has them.
    fn routes(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for family in ["-4", "-6"] {
            let text = self
                .b
                .host
                .ip(&[family, "route", "show", "proto", "babel"])?;
            lines.extend(text.lines().map(|line| line.trim().to_owned()));
        }
        lines.sort();
        Ok(lines)
    }

    /// The prefixes that `a` has a way to by Babel.
    fn known_to_a(&self) -> Result<String> {
        let (v4, v6) = ("-4", "-6");
        let show = |family| self.a.host.ip(&[family, "route", "show", "proto", "babel"]);
        Ok(show(v4)? + &show(v6)?)
    }

    fn says(&self, text: &str) -> Result<()> {
        wait_until(text, || {
            Ok(self
                .b
                .re6st_user(&["status"])?
                .success()?
                .stdout
                .contains(text))
        })
        .with_context(|| self.controllers[1].stderr())?;
        let said = self.controllers[1].stderr();
        assert!(said.contains(text), "not in the log: {text}\n{said}");
        Ok(())
    }
}

#[test]
fn routes_that_somebody_takes_away_are_put_back() -> Result<()> {
    let row = Row::new(|_| Ok(()))?;
    let all = row.routes()?;
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
        row.b.host.ip(&words)?;
        let time = wait_until(command, || Ok(row.routes()? == all)).with_context(|| {
            format!(
                "{all:?}\n{:?}\n{}",
                row.routes(),
                row.controllers[1].stderr()
            )
        })?;
        println!("{command}: back after {time:?}");
    }
    let repaired = || -> Result<Option<u64>> {
        Ok(row.b.status()?["controller"]["installing"]["repaired"].as_u64())
    };
    let before = repaired()?;
    assert!(before >= Some(4), "{before:?}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(repaired()?, before, "what we write ourselves is no news");
    Ok(())
}

#[test]
fn routes_outlive_a_mesh_device_that_goes_down() -> Result<()> {
    let row = Row::new(|_| Ok(()))?;
    let all = row.routes()?;
    // without a pause
    let batch = row.b.host.directory().join("flap");
    std::fs::write(&batch, "link set re6st0 down\nlink set re6st0 up\n")?;
    row.b
        .host
        .ip(&["-batch", batch.to_str().context("the path is not UTF-8")?])?;
    wait_until("after a flap", || Ok(row.routes()? == all)).with_context(|| {
        format!(
            "{all:?}\n{:?}\n{}",
            row.routes(),
            row.controllers[1].stderr()
        )
    })?;
    for version in [V6, V4] {
        wait_for(&row.a, &row.c, version, &row.controllers)?;
    }

    // the node sets it up again, and all its routes are there again
    let loads = || {
        row.controllers[1]
            .stderr()
            .matches(": loaded again")
            .count()
    };
    let before = loads();
    row.b.host.ip(&["link", "set", "re6st0", "down"])?;
    wait_until("the node loads again", || Ok(loads() > before))?;
    wait_until("after it went down", || Ok(row.routes()? == all))
        .with_context(|| row.controllers[1].stderr())?;
    for version in [V6, V4] {
        wait_for(&row.c, &row.a, version, &row.controllers)?;
    }
    Ok(())
}

#[test]
fn next_hops_need_not_be_on_a_common_subnet() -> Result<()> {
    let row = Row::new(|[_, b, c]| {
        add_addresses(&b.host, "lan0", &["192.0.2.1/28"])?;
        add_addresses(&c.host, "lan0", &["198.51.100.129/28"])
    })?;
    let routes = row.routes()?.join("\n");
    assert!(routes.contains("via 198.51.100.129"), "{routes}");
    let refusals = row.b.status()?["controller"]["installing"]["kernel-refusals"].as_u64();
    assert_eq!(refusals, Some(0));
    Ok(())
}

#[test]
fn what_would_swallow_a_tunnel_is_neither_installed_nor_announced() -> Result<()> {
    let row = Row::new(|[_, _, c]| {
        let babel = c.configuration.babel.as_mut().context("it speaks")?;
        let announce = |to: &str| Announcement {
            to: to.into(),
            from: None,
            metric: None,
        };
        babel.announce = vec![announce("203.0.113.0/24"), announce("198.51.100.0/24")];
        Ok(())
    })?;
    row.says("203.0.113.")?;
    row.says("not installed, and so not announced: 203.0.113.0/24")?;
    // long enough to hear of both
    wait_until("what is harmless is announced", || {
        Ok(row.known_to_a()?.contains("198.51.100.0/24"))
    })?;
    std::thread::sleep(Duration::from_secs(2));
    assert!(!row.known_to_a()?.contains("203.0.113.0/24"));
    assert!(!row.routes()?.join("\n").contains("203.0.113.0/24"));
    // nor are packets refused that go there, when it is lost
    let Row {
        b, mut controllers, ..
    } = row;
    controllers
        .remove(2)
        .stop(nix::sys::signal::Signal::SIGINT)?;
    wait_until("it is lost", || {
        Ok(b.host
            .ip(&["route", "show", "198.51.100.0/24"])?
            .contains("unreachable"))
    })?;
    let text = b.host.ip(&["route", "show", "proto", "babel"])?;
    assert!(!text.contains("203.0.113.0/24"), "{text}");
    Ok(())
}

#[test]
fn the_default_route_of_the_host_wins_whatever_its_metric() -> Result<()> {
    let mut row = Row::new(|[_, b, c]| {
        let babel = c.configuration.babel.as_mut().context("it speaks")?;
        babel.announce = ["0.0.0.0/0", "::/0"]
            .map(|to| Announcement {
                to: to.into(),
                from: None,
                metric: None,
            })
            .into();
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
        let v4 = b.host.ip(&["route", "show", "proto", "babel"])?;
        let v6 = b.host.ip(&["-6", "route", "show", "proto", "babel"])?;
        Ok([v4, v6].iter().all(|text| {
            text.lines()
                .any(|line| line.contains("default") && line.contains(what))
        }))
    };
    wait_until("the mesh has a default route", || with_ours(&row.b, "lan0"))?;
    assert!(by_uplink(&row.b)?);
    row.controllers
        .remove(2)
        .stop(nix::sys::signal::Signal::SIGINT)?;
    wait_until("it is lost", || with_ours(&row.b, "unreachable"))?;
    assert!(by_uplink(&row.b)?);
    Ok(())
}

#[test]
fn reverse_paths_are_loose_where_the_device_is_ours_and_doubted_elsewhere() -> Result<()> {
    let row = Row::new(|[_, b, _]| {
        for name in ["all", "default", "lan0"] {
            b.host
                .set_sysctl(&format!("net.ipv4.conf.{name}.rp_filter"), "1")?;
        }
        Ok(())
    })?;
    assert_eq!(row.b.host.sysctl("net.ipv4.conf.re6st0.rp_filter")?, "2");
    row.says("lan0: `rp_filter` is 1 there")?;
    row.b.host.set_sysctl("net.ipv4.conf.lan0.rp_filter", "2")?;
    wait_until("it is mended", || {
        let text = row.b.re6st_user(&["status"])?.success()?.stdout;
        Ok(!text.contains("rp_filter"))
    })?;
    Ok(())
}
