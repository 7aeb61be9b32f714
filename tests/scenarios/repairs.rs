//! What somebody else changes of a host under a loaded instance: a node puts it right, and a static load says what is stale
//! until it is loaded again.

use std::{process::Command, thread::sleep, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use testbed::{
    internet::IpVersion::*,
    link::LinkOptions,
    node::{Encapsulation::*, Node, Route},
    process::Process,
    traffic::ping,
};

use crate::{
    babel_nodes::{PATIENCE, assert_relayed_by_xdp, start, wait_for, wait_for_both, wait_until},
    meshes::Chain,
};

/// What happens to node `b`, a word of what the status says of it, and how it is done.
const DISTURBANCES: &str = "
    the device goes down and up | address | ip link set re6st0 down && ip link set re6st0 up
    the device goes down | is down | ip link set re6st0 down
    its other end goes down | is down | ip link set re6st0-tc down
    its addresses are deleted | address | ip address flush dev re6st0
    its routes are flushed | gone | ip -6 route flush proto 69 && ip -4 route flush proto 69
    all IPv6 routes to it are flushed |  | ip -6 route flush dev re6st0
    its MTU is changed | MTU | ip link set re6st0 mtu 1300
    its Ethernet address is changed | Ethernet address | ip link set re6st0 address 02:00:00:00:00:42
    it gets another name | is called other0 | ip link set re6st0 name other0 || { ip link set re6st0 down; ip link set re6st0 name other0; }
    its other end gets another name | is called other1 | ip link set re6st0-tc name other1 || { ip link set re6st0-tc down; ip link set re6st0-tc name other1; }
    it is deleted | is gone | ip link delete re6st0
    forwarding is switched off | net.ipv4.ip_forward is 0 | sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
    forwarding is switched off on one interface | net.ipv6.conf.eth0.forwarding is 0 | sysctl -qw net.ipv6.conf.eth0.forwarding=0
    reverse path filtering becomes strict | rp_filter | sysctl -qw net.ipv4.conf.all.rp_filter=1
";

fn disturbances() -> impl Iterator<Item = [&'static str; 3]> {
    DISTURBANCES.trim().lines().map(|line| {
        let cells: Vec<&str> = line.splitn(3, " | ").map(str::trim).collect();
        cells.try_into().expect("three cells")
    })
}

fn disturb(node: &Node, commands: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    let process = node.host.spawn(shell.args(["-ec", commands]))?;
    process.wait(Duration::from_secs(20))?.success().map(drop)
}

/// The interface of `b` is made again, as a container's or a modem's is: the same name, another number.
fn replug(chain: &Chain) -> Result<()> {
    let Chain { internet, b, .. } = chain;
    b.host.ip(&["link", "delete", "eth0"])?;
    internet.plug_in(&b.host, &b.uplink, LinkOptions::default())
}

/// Everybody reaches everybody by both IP versions, the ends by way of XDP on `b`.
fn assert_whole(chain: &Chain, what: &str) -> Result<()> {
    let Chain { a, b, c, .. } = chain;
    for version in [V6, V4] {
        for (from, to) in [(a, c), (c, a), (b, a), (b, c), (a, b)] {
            let reply = ping(&from.host, to.address(version), 3, &["-i", "0.1"])
                .with_context(|| format!("{what}: {version:?}"))?;
            assert!(reply.is_perfect(), "{what}: {version:?}: {}", reply.text);
        }
    }
    Ok(())
}

fn static_load(options: &[&str]) -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    for node in chain.nodes() {
        node.load_with(options)?;
    }
    assert_whole(&chain, "at first")?;
    let at_first = chain.b.warnings()?;
    let repaired = |what: &str, word: &str| -> Result<()> {
        let now = chain.b.warnings()?;
        let told = |warning: &String| warning.contains(word) && warning.contains("load again");
        assert!(now.iter().any(told), "{what}: {now:?}");
        chain.b.load_with(options)?;
        assert_eq!(chain.b.warnings()?, at_first, "{what}");
        assert_whole(&chain, what)
    };
    for [what, word, commands] in disturbances() {
        disturb(&chain.b, commands)?;
        repaired(what, word)?;
    }
    replug(&chain)?;
    repaired("eth0 is made again", "eth0")?;
    for (commands, word) in [
        ("ip link set eth0 mtu 1400", "the way to a peer"),
        (
            "ip link set eth0 mtu 1500 address 02:00:00:00:02:98",
            "02:00:00:00:02:98",
        ),
    ] {
        disturb(&chain.b, commands)?;
        repaired(commands, word)?;
    }
    assert_relayed_by_xdp(&chain.a.host, chain.c.address(V6), &chain.b)
}

#[test]
fn a_static_load_says_what_is_stale_and_loading_again_repairs_it() -> Result<()> {
    static_load(&[])
}

#[test]
fn the_same_with_filters_in_place_of_links() -> Result<()> {
    static_load(&["--tc", "clsact"])
}

#[test]
fn a_static_load_says_that_packets_are_too_big_or_the_source_is_another() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let stale = |tunnel: &str| -> Result<Option<String>> {
        let stale = &chain.b.tunnel_status(tunnel)?["stale"];
        Ok(stale.as_str().map(Into::into))
    };
    for tunnel in ["a", "c"] {
        assert_eq!(stale(tunnel)?, None);
    }
    chain.b.host.ip(&["link", "set", "eth0", "mtu", "1400"])?;
    for (tunnel, fits) in [("a", "1364"), ("c", "1352")] {
        let told = stale(tunnel)?.context("the MTU has fallen")?;
        assert!(told.contains("1400") && told.contains(fits), "{told}");
    }
    // 1,360 bytes with the headers of IPv6 and ICMP: what a's tunnel still carries, and c's does not
    for (from, path) in [(&chain.a, "relayed"), (&chain.b, "sent")] {
        let before = chain.b.reason("link_mtu")?;
        let reply = ping(&from.host, chain.c.address(V6), 3, &["-s", "1312"])?;
        assert_eq!(reply.received, 0, "{path}: {}", reply.text);
        assert_eq!(chain.b.reason("link_mtu")?, before + 3, "{path}");
    }
    chain.b.host.ip(&["link", "set", "eth0", "mtu", "1500"])?;
    let other = "02:00:00:00:02:98";
    chain
        .b
        .host
        .ip(&["link", "set", "eth0", "address", other])?;
    for tunnel in ["a", "c"] {
        let told = stale(tunnel)?.context("another address")?;
        assert!(told.contains(other), "{told}");
    }
    Ok(())
}

#[test]
fn a_node_puts_right_what_somebody_else_changes() -> Result<()> {
    let mut chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    // one static route, to see that those come back too
    let routes = &mut chain.b.configuration.routes;
    routes.push(Route::new("2001:db8:42:9::/64", "c"));
    let controllers = start(&chain.nodes())?;
    let Chain { a, b, c, .. } = &chain;
    let all_is_well = |what: &str| -> Result<()> {
        let begin = std::time::Instant::now();
        for (from, to) in [(b, a), (b, c), (a, c), (c, a)] {
            wait_for_both(from, to, &controllers).with_context(|| what.to_owned())?;
        }
        println!("{what}: whole after {:?}", begin.elapsed());
        wait_until(what, || Ok(b.warnings()?.is_empty()))?;
        assert_whole(&chain, what)
    };
    let loads = || controllers[1].stderr().matches(": loaded again\n").count();
    all_is_well("at first")?;
    for [what, _, commands] in disturbances() {
        let before = loads();
        disturb(b, commands)?;
        let time = wait_until(what, || Ok(loads() > before))?;
        println!("{what}: loaded again after {time:?}");
        all_is_well(what)?;
    }
    replug(&chain)?;
    all_is_well("eth0 is made again")?;
    let log = controllers[1].stderr();
    assert!(log.contains("eth0 is there"), "{log}");
    assert_relayed_by_xdp(&a.host, c.address(V6), b)
}

#[test]
fn a_device_with_another_name_is_unloaded_all_the_same() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Gre, V6))?;
    let host = &chain.b.host;
    disturb(
        &chain.b,
        "ip link set re6st0 down && ip link set re6st0 name other0",
    )?;

    chain.b.unload()?;

    for name in ["re6st0", "re6st0-tc", "other0"] {
        let left = host.output("ip", &["link", "show", name])?;
        assert!(!left.status.success(), "{name}: {}", left.stdout);
    }
    Ok(())
}

/// A node on `b` between `a` and `c`.
fn with_a_node() -> Result<(Chain, Vec<Process>)> {
    let chain = Chain::speaking((Fou, V4), (Gre, V6))?;
    let controllers = chain.start()?;
    Ok((chain, controllers))
}

/// Whoever started it (systemd) starts it again, until it can.
#[test]
fn a_node_whose_device_cannot_be_made_again_says_why_and_ends() -> Result<()> {
    let (chain, mut controllers) = with_a_node()?;
    let node = controllers.remove(1);
    // it sees all of it at once
    kill(node.id(), Signal::SIGSTOP)?;
    disturb(
        &chain.b,
        "ip link delete re6st0 && ip link add re6st0 type bridge",
    )?;
    kill(node.id(), Signal::SIGCONT)?;

    let said = node.wait(PATIENCE)?.failure()?;

    for words in ["cannot be made again", "an interface re6st0 exists"] {
        assert!(said.contains(words), "{said}");
    }
    let again = chain.b.start_node()?.wait(PATIENCE)?.failure()?;
    assert!(again.contains("an interface re6st0 exists"), "{again}");
    disturb(&chain.b, "ip link delete re6st0")?;
    controllers.push(chain.b.start_node()?);
    wait_for(&chain.a, &chain.c, V6, &controllers)?;
    Ok(())
}

/// Somebody sets the device down again and again, until the node leaves it so for some seconds.
#[test]
fn while_the_device_is_down_no_route_is_written_again_and_again() -> Result<()> {
    let (chain, controllers) = with_a_node()?;
    let log = || controllers[1].stderr();
    let installing = |what: &str| -> Result<u64> {
        let installing = chain.b.status()?["controller"]["installing"][what].as_u64();
        installing.with_context(|| format!("no {what}"))
    };
    let set_down = || chain.b.host.ip(&["link", "set", "re6st0", "down"]);
    wait_until("the node leaves it so", || {
        set_down()?;
        Ok(log().contains("this happens too often"))
    })?;
    let is_up = || -> Result<bool> {
        let shown = chain.b.host.ip_json(&["link", "show", "re6st0"])?;
        let flags = shown[0]["flags"].as_array().context("no flags")?;
        Ok(flags.iter().any(|flag| flag == "UP"))
    };

    wait_until("some seconds without a load", || {
        set_down()?;
        // what is under way comes to an end
        sleep(Duration::from_secs(1));
        let before = installing("kernel-writes")?;
        sleep(Duration::from_millis(2500));
        let now = installing("kernel-writes")?;
        // a load sets it up
        let left_so = !is_up()?;
        assert!(now == before || !left_so, "{before}, {now}: {}", log());
        Ok(left_so)
    })?;

    assert!(installing("kernel-refusals")? > 0, "there was a reason");
    chain.b.host.ip(&["link", "set", "re6st0", "up"])?;
    wait_for(&chain.a, &chain.c, V6, &controllers)?;
    wait_for(&chain.b, &chain.a, V6, &controllers)?;
    Ok(())
}

/// With our metric it takes the place of ours; without one it is another, which the kernel prefers (IPv4).
#[test]
fn a_static_route_that_somebody_replaced_is_told_of() -> Result<()> {
    let chain = Chain::loaded((Fou, V4), (Fou, V4))?;
    let (a, b) = (&chain.a, &chain.b);
    let to = "10.42.2.0/24";
    let replace = ["route", "replace", to, "dev", "eth0"];

    a.host.ip(&[&replace[..], &["metric", "1024"]].concat())?;
    let gone = a.warning("1 static routes to re6st0 are gone: load again")?;
    assert!(gone.is_some());
    a.load()?;
    assert_eq!(a.warnings()?, [""; 0]);
    assert!(ping(&a.host, b.address(V4), 3, &[])?.is_perfect());

    a.host.ip(&replace)?;
    let preferred = "prefers a route of somebody else's to 10.42.2.0/24, and";
    assert!(a.warning(preferred)?.is_some());
    a.host.ip(&["route", "delete", to, "dev", "eth0"])?;
    assert_eq!(a.warnings()?, [""; 0]);
    Ok(())
}
