//! Plain interfaces that change under a running controller, in whatever way: Babel follows, and what cannot work is said.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use testbed::{host::Host, internet::Internet, node::Node, process::Process};

use crate::{
    babel_nodes::{start, wait_for_both, wait_until},
    meshes::lan,
};

/// Two nodes that know each other by a plain link alone, `lan0`.
struct Pair {
    _internet: Internet,
    a: Node,
    b: Node,
    controllers: Vec<Process>,
}

impl Pair {
    fn new() -> Result<Self> {
        Self::with(|_, _| Ok(()))
    }

    /// `prepare` has the link before Babel is spoken there.
    fn with(prepare: impl FnOnce(&Host, &Host) -> Result<()>) -> Result<Self> {
        let (internet, [a, b]) = lan()?;
        prepare(&a.host, &b.host)?;
        let controllers = start(&[&a, &b])?;
        Ok(Self {
            _internet: internet,
            a,
            b,
            controllers,
        })
    }

    /// Both families arrive, both ways.
    fn works(&self, after: &str) -> Result<()> {
        let begin = Instant::now();
        wait_for_both(&self.a, &self.b, &self.controllers).context(after.to_owned())?;
        println!("{after}: works after {:?}", begin.elapsed());
        Ok(())
    }

    /// One after the other, without a pause.
    fn change(&self, commands: &str) -> Result<()> {
        self.b.host.ip_batch(&commands.replace("; ", "\n"))
    }

    /// `b` says so, in its status and its log, and then not again and again.
    fn warns(&self, text: &str) -> Result<()> {
        // it may be starting
        let warned =
            || warnings(&self.b).is_ok_and(|all| all.iter().any(|line| line.contains(text)));
        wait_until(text, || Ok(warned())).with_context(|| self.controllers[1].stderr())?;
        let said = self.controllers[1].stderr();
        ensure!(said.contains(text), "not in the log: {text}\n{said}");
        ensure!(
            self.b
                .re6st_user(&["status"])?
                .success()?
                .stdout
                .contains(text)
        );
        Ok(())
    }

    fn is_content(&self) -> Result<()> {
        wait_until("nothing is amiss", || Ok(warnings(&self.b)?.is_empty()))
            .with_context(|| format!("{:?}", warnings(&self.b)))?;
        Ok(())
    }
}

fn warnings(node: &Node) -> Result<Vec<String>> {
    let status = node.status()?;
    let lines = status["controller"]["warnings"]
        .as_array()
        .context("no controller")?;
    let text = |line: &serde_json::Value| line.as_str().unwrap_or_default().to_owned();
    Ok(lines.iter().map(text).collect())
}

#[test]
fn every_change_of_a_plain_interface_is_followed() -> Result<()> {
    let pair = Pair::new()?;
    pair.works("start")?;
    let own = format!("{}/64", pair.b.host.link_local("lan0")?);
    for commands in [
        // another link-local address
        &format!("address del {own} dev lan0; address add fe80::b2/64 dev lan0"),
        // the same one again
        "address del fe80::b2/64 dev lan0; address add fe80::b2/64 dev lan0",
        // one more does not matter, until the first goes
        "address add fe80::b3/64 dev lan0",
        "address del fe80::b2/64 dev lan0",
        // another Ethernet address, and with it another of the kernel's making
        "link set lan0 down; link set lan0 address 02:00:00:00:02:77; link set lan0 up",
        // without IPv6 for a moment, which forgets the groups
        "link set lan0 mtu 1200; link set lan0 mtu 1500",
        "link set lan0 down; link set lan0 up",
        "link set lan0 down; link set lan0 name x0; link set x0 name lan0; link set lan0 up",
        "link add br0 type bridge; link set lan0 master br0; link set lan0 nomaster",
    ] {
        pair.change(commands).context(commands.to_owned())?;
        // what was known before is not taken for what works now
        std::thread::sleep(std::time::Duration::from_millis(300));
        pair.works(commands)?;
        pair.is_content().context(commands.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_plain_interface_that_cannot_work_is_named_and_taken_up_when_it_can() -> Result<()> {
    let pair = Pair::new()?;
    pair.works("start")?;
    pair.change("link add br0 type bridge")?;
    for (spoil, warning, mend) in [
        (
            "link set lan0 mtu 1200",
            "its MTU is 1200",
            "link set lan0 mtu 1500",
        ),
        ("link set lan0 down", "it is down", "link set lan0 up"),
        (
            "link set lan0 addrgenmode none; link set lan0 down; link set lan0 up",
            "it has no link-local IPv6 address",
            "link set lan0 addrgenmode eui64; link set lan0 down; link set lan0 up",
        ),
        (
            "link set lan0 multicast off",
            "multicast is switched off",
            "link set lan0 multicast on",
        ),
        (
            "link set lan0 master br0",
            "it is a port of br0",
            "link set lan0 nomaster",
        ),
    ] {
        pair.change(spoil).context(spoil)?;
        pair.warns(warning).context(spoil)?;
        pair.change(mend).context(mend)?;
        pair.works(mend)?;
        pair.is_content().context(mend)?;
    }
    let ipv6 = "net.ipv6.conf.lan0.disable_ipv6";
    pair.b.host.set_sysctl(ipv6, "1")?;
    pair.warns("IPv6 is switched off")?;
    pair.b.host.set_sysctl(ipv6, "0")?;
    pair.works(ipv6)?;
    pair.a.host.ip(&["link", "set", "lan0", "down"])?;
    pair.warns("it has no carrier")?;
    pair.a.host.ip(&["link", "set", "lan0", "up"])?;
    pair.works("the cable")?;
    pair.is_content()
}

#[test]
fn an_ipv4_address_that_is_replaced_is_followed() -> Result<()> {
    let pair = Pair::with(|a, b| {
        a.ip(&["address", "add", "192.0.2.1/24", "dev", "lan0"])?;
        b.ip(&["address", "add", "192.0.2.2/24", "dev", "lan0"])?;
        Ok(())
    })?;
    pair.works("start")?;
    for (commands, now) in [
        // as by DHCP
        (
            "address del 192.0.2.2/24 dev lan0; address add 192.0.2.77/24 dev lan0",
            "192.0.2.77",
        ),
        // the kernel forgets all routes there, and does not say so
        (
            "address del 192.0.2.77/24 dev lan0; address add 192.0.2.77/24 dev lan0",
            "192.0.2.77",
        ),
    ] {
        pair.change(commands)?;
        wait_until(commands, || {
            let there = pair.a.host.ip(&["route", "show", "10.42.2.0/24"])?;
            let back = pair.b.host.ip(&["route", "show", "10.42.1.0/24"])?;
            Ok(there.contains(now) && back.contains("192.0.2.1"))
        })
        .with_context(|| pair.controllers[1].stderr())?;
        pair.works(commands)?;
    }
    Ok(())
}

#[test]
fn an_address_that_another_host_has_is_not_used() -> Result<()> {
    let pair = Pair::with(|a, b| {
        // the kernel looks for others that have an address before it uses it
        b.set_sysctl("net.ipv6.conf.lan0.accept_dad", "1")?;
        a.ip(&["address", "add", "fe80::1/64", "dev", "lan0"])?;
        let own = format!("{}/64", b.link_local("lan0")?);
        b.ip(&["address", "del", &own, "dev", "lan0"])?;
        b.ip(&["address", "add", "fe80::1/64", "dev", "lan0"])?;
        wait_until("the duplicate is found", || {
            let shown = b.ip(&["-6", "address", "show", "dev", "lan0"])?;
            Ok(shown.contains("dadfailed"))
        })
        .map(drop)
    })?;
    pair.warns("another host on the link has its address fe80::1")?;
    pair.change("address del fe80::1/64 dev lan0; address add fe80::b2/64 dev lan0")?;
    pair.works("an address of its own")?;
    pair.is_content()
}

#[test]
fn routers_that_share_an_address_use_others_or_say_so() -> Result<()> {
    let pair = Pair::with(|a, b| {
        for host in [a, b] {
            let own = format!("{}/64", host.link_local("lan0")?);
            host.ip(&["address", "del", &own, "dev", "lan0"])?;
            // as on gateways that a LAN may use either of
            host.ip(&["address", "add", "fe80::1/64", "dev", "lan0", "nodad"])?;
        }
        Ok(())
    })?;
    let shared = "another router on the link has our address fe80::1 too";
    pair.warns(shared)?;
    wait_until("the other says so too", || {
        Ok(pair.controllers[0].stderr().contains(shared))
    })?;
    let more = ["address", "add", "fe80::a1/64", "dev", "lan0"];
    pair.a.host.ip(&more)?;
    pair.change("address add fe80::b2/64 dev lan0")?;
    pair.works("an address of its own")?;
    Ok(())
}

#[test]
fn what_repeats_fills_no_log_and_why_nothing_is_sent_is_told() -> Result<()> {
    let pair = Pair::new()?;
    pair.works("start")?;
    // b hears a, and a does not hear b
    let rules = "table inet one-way { chain output { type filter hook output priority 0; oif lan0 udp dport 6696 drop; }; }";
    pair.b.host.run("nft", &[rules])?;
    let not_sent = || -> Result<u64> {
        let status = pair.b.status()?;
        let counters = status["controller"]["refused"].as_object().cloned();
        let counters = counters.unwrap_or_default().into_iter();
        let counts =
            counters.filter(|(name, _)| name.starts_with("not sent: Operation not permitted"));
        Ok(counts.filter_map(|(_, count)| count.as_u64()).sum())
    };
    wait_until("packets are not sent", || Ok(not_sent()? > 20))?;
    std::thread::sleep(std::time::Duration::from_secs(5));
    for (controller, node) in pair.controllers.iter().zip([&pair.a, &pair.b]) {
        let said = controller.stderr();
        println!("{}: {} lines", node.host.name(), said.lines().count());
        assert!(said.lines().count() < 40, "{said}");
    }
    let said = pair.controllers[1].stderr();
    let told = said.matches("nothing can be sent on lan0: EPERM").count()
        + said
            .matches("nothing can be sent on lan0: Operation not permitted")
            .count();
    assert!((1..=4).contains(&told), "{told}: {said}");
    Ok(())
}
