//! Hosts in a ring or in a row, on links that can be cut.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::kernel;
use crate::{
    daemon::{Daemon, Features, Intervals, Role},
    host::{Host, Testbed},
    link::{LinkOptions, link},
    node::mesh_ipv6,
    process::Process,
};

/// Interfaces of every host: towards the one before and the one after.
pub const LEFT: &str = "left";
/// See [`LEFT`].
pub const RIGHT: &str = "right";

/// How a link fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Packets vanish, both ends see nothing.
    Silent,
    /// Both ends lose their carrier.
    Carrier,
}

/// A host and the daemon on it.
#[derive(Debug)]
pub struct Router {
    /// Ends before the host does.
    pub process: Process,
    /// Where it runs.
    pub host: Host,
}

/// A ring whose links lead through bridges.
#[derive(Debug)]
pub struct Ring {
    /// Number `i` is linked to number `i + 1` by link `i`.
    pub routers: Vec<Router>,
    bridges: Host,
}

impl Ring {
    /// Routers 1 to `size`, all started.
    pub fn start(
        testbed: &Testbed,
        name: &str,
        size: u8,
        daemon: &dyn Daemon,
        intervals: Intervals,
    ) -> Result<Self> {
        let bridges = testbed.host(&format!("{name}-bridges"))?;
        let hosts = (0..size)
            .map(|index| testbed.host(&format!("{name}-{index}")))
            .collect::<Result<Vec<_>>>()?;
        for (index, host) in hosts.iter().enumerate() {
            let next = &hosts[(index + 1) % hosts.len()];
            let bridge = bridge(index);
            bridges.ip_batch(&format!(
                "link add {bridge} type bridge mcast_snooping 0\nlink set {bridge} up"
            ))?;
            for (end, port) in [(host, RIGHT), (next, LEFT)].iter().zip(ports(index)) {
                link(*end, (&bridges, &port), LinkOptions::default())?;
                bridges.ip(&["link", "set", &port, "master", &bridge])?;
            }
        }
        let routers = start(hosts, daemon, &[LEFT, RIGHT], intervals)?;
        Ok(Self { routers, bridges })
    }

    /// Waits until everybody knows everybody.
    pub fn converge(&self, limit: Duration) -> Result<()> {
        converge(&self.routers, self.routers.len() - 1, limit)
    }

    /// The last link of the way from the first router to the one opposite: not the sender's own, so that somebody has to
    /// tell it.
    pub fn used_link(&self, to: u8) -> Result<usize> {
        let first = self.routers.first().context("an empty ring")?;
        let to = mesh_ipv6(to).to_string();
        let shown = first.host.ip_json(&["-6", "route", "get", &to])?;
        match shown[0]["dev"].as_str() {
            Some(RIGHT) => Ok(self.routers.len() / 2 - 1),
            Some(LEFT) => Ok(self.routers.len() / 2),
            other => bail!("the way to {to} goes by {other:?}"),
        }
    }

    /// Packets that a link has carried, both ways.
    pub fn carried(&self, index: usize) -> Result<u64> {
        let [port, _] = ports(index);
        let counters = self.bridges.interface_counters(&port)?;
        Ok(counters.received_packets + counters.sent_packets)
    }

    /// Cuts a link.
    pub fn cut(&self, index: usize, how: Cut) -> Result<()> {
        // one call of `ip`, so that both ends lose it together
        let [one, other] = ports(index);
        let what = match how {
            Cut::Silent => "nomaster",
            Cut::Carrier => "down",
        };
        let script = format!("ip link set {one} {what}; ip link set {other} {what}");
        self.bridges.run("sh", &["-c", &script]).map(drop)
    }
}

fn bridge(index: usize) -> String {
    format!("b{index}")
}

fn ports(index: usize) -> [String; 2] {
    [format!("p{index}a"), format!("p{index}b")]
}

/// Hosts in a row, the first of them without a daemon.
#[derive(Debug)]
pub struct Row {
    /// Behind the first host, in order: numbers 1 to `size`.
    pub routers: Vec<Router>,
    /// Ends the last.
    pub first: Host,
}

impl Row {
    /// The hosts and their links; no daemon runs.
    pub fn hosts(testbed: &Testbed, name: &str, size: u8) -> Result<(Host, Vec<Host>)> {
        let first = testbed.host(&format!("{name}-injector"))?;
        let mut hosts: Vec<Host> = Vec::new();
        for index in 0..size {
            let host = testbed.host(&format!("{name}-{index}"))?;
            let before = hosts.last().unwrap_or(&first);
            link((before, RIGHT), (&host, LEFT), LinkOptions::default())?;
            hosts.push(host);
        }
        Ok((first, hosts))
    }

    /// The same with daemons.
    pub fn start(
        testbed: &Testbed,
        name: &str,
        size: u8,
        daemon: &dyn Daemon,
        intervals: Intervals,
    ) -> Result<Self> {
        let (first, mut hosts) = Self::hosts(testbed, name, size)?;
        let last = hosts.pop().context("an empty row")?;
        let mut routers = start(hosts, daemon, &[LEFT, RIGHT], intervals)?;
        routers.push(start_one(last, size, daemon, &[LEFT], intervals)?);
        Ok(Self { routers, first })
    }

    /// The far end.
    pub fn last(&self) -> Result<&Router> {
        self.routers.last().context("an empty row")
    }
}

fn start(
    hosts: Vec<Host>,
    daemon: &dyn Daemon,
    interfaces: &[&str],
    intervals: Intervals,
) -> Result<Vec<Router>> {
    (1..)
        .zip(hosts)
        .map(|(number, host)| start_one(host, number, daemon, interfaces, intervals))
        .collect()
}

/// A daemon as router `number`.
pub fn start_one(
    host: Host,
    number: u8,
    daemon: &dyn Daemon,
    interfaces: &[&str],
    intervals: Intervals,
) -> Result<Router> {
    let role = Role {
        number,
        interfaces,
        intervals,
        features: Features::default(),
    };
    let process = daemon
        .start(&host, role)
        .with_context(|| format!("starting {} on {}", daemon.name(), host.name()))?;
    Ok(Router { process, host })
}

/// Waits until all have learned this many routes.
pub fn converge(routers: &[Router], count: usize, limit: Duration) -> Result<()> {
    let begin = Instant::now();
    for router in routers {
        if let Err(seen) = kernel::wait_learned(&router.host, count, begin, limit)? {
            let said = router.process.stderr();
            let said: Vec<_> = said.lines().rev().take(10).collect();
            bail!(
                "after {limit:?} host {} has {seen} of {count} routes; its daemon said last: {said:?}",
                router.host.name()
            );
        }
    }
    Ok(())
}
