//! Large tables: how fast they are learned, and what keeping them costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    injector::{Injector, Origins},
    kernel,
    topology::{LEFT, RIGHT, Router, Row, start_one},
};
use crate::{
    daemon::{Daemon, Intervals},
    host::{Host, Testbed},
    link::{LinkOptions, link},
};

/// A router that has a large table, and how it came to that.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    /// Routes it has.
    pub routes: usize,
    /// From its start until it had them, or until patience ended.
    pub time: Duration,
    /// Packets its socket lost.
    pub lost: u64,
}

/// Two routers of a kind, of which the first has a large table.
#[derive(Debug)]
pub struct Pair {
    // before the hosts are gone
    _injector: Injector,
    _injector_host: Host,
    hub: Router,
    /// What the hub has.
    pub at_hub: Learned,
    waiting: Option<Host>,
    fresh: Option<Router>,
}

/// The hub's number and the fresh router's.
const NUMBERS: [u8; 2] = [1, 2];

impl Pair {
    /// Starts the first router, and waits until it has the whole table, but not longer than `limit`.
    pub fn start(
        testbed: &Testbed,
        name: &str,
        daemon: &dyn Daemon,
        (count, origins): (u16, Origins),
        intervals: Intervals,
        limit: Duration,
    ) -> Result<Self> {
        let name = format!("{name}-{}", daemon.name());
        let (injector_host, mut hosts) = Row::hosts(testbed, &name, 2)?;
        let waiting = hosts.pop();
        let hub = hosts.pop().context("no hub")?;
        let injector = Injector::start(&injector_host, RIGHT, count, origins, intervals)?;
        let begin = Instant::now();
        let hub = start_one(hub, NUMBERS[0], daemon, &[LEFT, RIGHT], intervals)?;
        let at_hub = learn(&hub, usize::from(count), begin, limit)?;
        ensure!(
            at_hub.routes > 0,
            "{} learned nothing at all",
            daemon.name()
        );
        Ok(Self {
            _injector: injector,
            _injector_host: injector_host,
            hub,
            at_hub,
            waiting,
            fresh: None,
        })
    }

    /// Starts the second one, which knows nothing yet: what it learns of the first, which is one route more.
    pub fn learn(
        &mut self,
        daemon: &dyn Daemon,
        intervals: Intervals,
        limit: Duration,
    ) -> Result<Learned> {
        let host = self.waiting.take().context("it has been started")?;
        let begin = Instant::now();
        let fresh = start_one(host, NUMBERS[1], daemon, &[LEFT], intervals)?;
        let learned = learn(&fresh, self.at_hub.routes + 1, begin, limit);
        self.fresh = Some(fresh);
        learned
    }

    /// What keeping the table costs the two.
    pub fn steady(&self, time: Duration) -> Result<Steady> {
        let fresh = self.fresh.as_ref().context("there is no neighbour yet")?;
        let cost = |router: &Router| kernel::time(router.process.id());
        let bytes = || -> Result<u64> {
            let counters = fresh.host.interface_counters(LEFT)?;
            Ok(counters.received_bytes + counters.sent_bytes)
        };
        let begin = Instant::now();
        let before = (cost(&self.hub)?, cost(fresh)?, bytes()?);
        thread::sleep(time);
        let after = (cost(&self.hub)?, cost(fresh)?, bytes()?);
        let time = begin.elapsed().as_secs_f64();
        Ok(Steady {
            hub: (after.0 - before.0).as_secs_f64() / time,
            fresh: (after.1 - before.1).as_secs_f64() / time,
            bytes_per_second: (after.2 - before.2) as f64 / time,
        })
    }
}

/// Shares of a core, and traffic of the link between the two, both ways together.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    /// Of the router in the middle, which has two neighbours.
    pub hub: f64,
    /// Of the other one.
    pub fresh: f64,
    /// With Ethernet headers.
    pub bytes_per_second: f64,
}

fn learn(router: &Router, count: usize, begin: Instant, limit: Duration) -> Result<Learned> {
    let (routes, time) = match kernel::wait_learned(&router.host, count, begin, limit)? {
        Ok(time) => (count, time),
        Err(seen) => (seen, limit),
    };
    let lost = kernel::lost_at_socket(&router.host)?;
    Ok(Learned { routes, time, lost })
}

/// A router with several neighbours that all announce the same large table.
#[derive(Debug)]
pub struct Crowd {
    _injectors: Vec<Injector>,
    _neighbours: Vec<Host>,
    router: Router,
    /// How it learned the table.
    pub learned: Learned,
}

impl Crowd {
    /// Starts the neighbours, then the router.
    pub fn start(
        testbed: &Testbed,
        daemon: &dyn Daemon,
        neighbours: usize,
        count: u16,
        intervals: Intervals,
        limit: Duration,
    ) -> Result<Self> {
        let name = format!("crowd-{}", daemon.name());
        let host = testbed.host(&name)?;
        let interfaces: Vec<_> = (0..neighbours).map(|index| format!("lan{index}")).collect();
        let mut hosts = Vec::new();
        let mut injectors = Vec::new();
        for interface in &interfaces {
            let neighbour = testbed.host(&format!("{name}-{interface}"))?;
            link(
                (&neighbour, RIGHT),
                (&host, interface),
                LinkOptions::default(),
            )?;
            let injector = Injector::start(&neighbour, RIGHT, count, Origins::Each, intervals)?;
            hosts.push(neighbour);
            injectors.push(injector);
        }
        let interfaces: Vec<_> = interfaces.iter().map(String::as_str).collect();
        let begin = Instant::now();
        let router = start_one(host, NUMBERS[0], daemon, &interfaces, intervals)?;
        let learned = learn(&router, usize::from(count), begin, limit)?;
        Ok(Self {
            _injectors: injectors,
            _neighbours: hosts,
            router,
            learned,
        })
    }

    /// The share of a core the router takes once all is calm, and the bytes of memory it has in use.
    pub fn steady(&self, time: Duration) -> Result<(f64, u64)> {
        let process = self.router.process.id();
        let (begin, before) = (Instant::now(), kernel::time(process)?);
        thread::sleep(time);
        let ran = (kernel::time(process)? - before).as_secs_f64();
        Ok((
            ran / begin.elapsed().as_secs_f64(),
            kernel::memory(process)?,
        ))
    }

    /// Fails if the routes of any neighbour are not all known; says nothing of a daemon that is not asked.
    pub fn check(&self, daemon: &dyn Daemon, neighbours: usize, count: u16) -> Result<()> {
        let seen = daemon.routes_of_neighbours(&self.router.host)?;
        let all = vec![u64::from(count); neighbours];
        ensure!(
            seen.is_none() || seen.as_ref() == Some(&all),
            "routes known of each neighbour: {seen:?} instead of {all:?}"
        );
        Ok(())
    }
}
