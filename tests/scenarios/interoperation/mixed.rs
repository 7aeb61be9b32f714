//! All three kinds in one ring: our node - babeld - BIRD - our node.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use testbed::{
    daemon::{Babeld, Bird, Daemon, Features, Re6st, Role},
    host::{Host, Testbed},
    internet::IpVersion::{self, *},
    link::{LinkOptions, add_addresses, link},
    process::Process,
    traffic::{Ping, ping, traceroute},
};

use super::pair::{INTERVALS, PATIENCE, address};

/// Numbers 1 to 4, each linked to the next, the last to the first.
const RING: [&dyn Daemon; 4] = [&Re6st, &Babeld, &Bird, &Re6st];
/// Interfaces of every host: towards the one before and the one after.
const LEFT: &str = "left";
/// See [`LEFT`].
const RIGHT: &str = "right";

/// Routers in a ring. Processes end before their hosts do.
struct Ring {
    processes: Vec<Process>,
    hosts: Vec<Host>,
}

impl Ring {
    fn new(testbed: &Testbed) -> Result<Self> {
        let hosts: Vec<Host> = (1..)
            .zip(RING)
            .map(|(number, daemon)| testbed.host(&format!("{}-{number}", daemon.name())))
            .collect::<Result<_>>()?;
        for (index, host) in hosts.iter().enumerate() {
            let next = &hosts[(index + 1) % hosts.len()];
            link((host, RIGHT), (next, LEFT), LinkOptions::default())?;
            // BIRD 2.0 cannot do without
            add_addresses(host, RIGHT, &[&format!("192.168.{index}.1/24")])?;
            add_addresses(next, LEFT, &[&format!("192.168.{index}.2/24")])?;
        }
        Ok(Self {
            processes: Vec::new(),
            hosts,
        })
    }

    fn start(&mut self) -> Result<()> {
        for ((number, daemon), host) in (1..).zip(RING).zip(&self.hosts) {
            let role = Role {
                number,
                interfaces: &[LEFT, RIGHT],
                intervals: INTERVALS,
                features: Features {
                    ipv4: true,
                    ..Features::default()
                },
            };
            self.processes.push(daemon.start(host, role)?);
        }
        Ok(())
    }

    fn host(&self, number: u8) -> &Host {
        &self.hosts[usize::from(number) - 1]
    }

    /// Sets the link between a router and the next `up` or `down`.
    fn set_link(&self, after: u8, state: &str) -> Result<()> {
        self.host(after)
            .ip(&["link", "set", RIGHT, state])
            .map(drop)
    }

    fn ping(&self, from: u8, to: u8, version: IpVersion, count: u32) -> Result<Ping> {
        let source = address(from, version).to_string();
        ping(
            self.host(from),
            address(to, version),
            count,
            &["-I", &source, "-W", "0.3"],
        )
    }

    /// How long it takes until packets arrive.
    fn wait_for(&self, from: u8, to: u8, version: IpVersion) -> Result<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let answers = self.ping(from, to, version, 1);
            if answers.is_ok_and(|answers| answers.received == 1) {
                return Ok(begin.elapsed());
            }
        }
        bail!("no way from {from} to {to}:\n{}", self.explain())
    }

    /// How long it takes until the way has so many hops.
    fn wait_for_hops(&self, from: u8, to: u8, hops: usize) -> Result<Duration> {
        let begin = Instant::now();
        while self.hops(from, to)? != hops {
            if begin.elapsed() > PATIENCE {
                bail!("not {hops} from {from} to {to}:\n{}", self.explain());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(begin.elapsed())
    }

    /// What all know, to explain a failure.
    fn explain(&self) -> String {
        let tables = RING.iter().zip(&self.hosts).map(|(daemon, host)| {
            let tables = daemon.tables(host);
            format!("--- {}\n{}", host.name(), tables.unwrap_or_default())
        });
        tables.collect::<Vec<_>>().join("\n")
    }

    /// How many routers are on the way, the last one counted.
    fn hops(&self, from: u8, to: u8) -> Result<usize> {
        Ok(traceroute(self.host(from), address(to, V6))?.len())
    }
}

#[test]
fn a_chain_of_all_three_kinds_carries_packets_and_a_ring_heals() -> Result<()> {
    let testbed = Testbed::new()?;
    let mut ring = Ring::new(&testbed)?;
    ring.set_link(4, "down")?;
    ring.start()?;

    // a chain: through babeld and BIRD, end to end
    for version in [V6, V4] {
        let time = ring.wait_for(1, 4, version)?;
        println!("a chain, {version:?}: end to end after {time:?}");
        for (from, to) in [(1, 4), (4, 1), (1, 3), (3, 1), (2, 4), (4, 2)] {
            ring.wait_for(from, to, version)?;
            let answers = ring.ping(from, to, version, 5)?;
            assert!(answers.is_perfect(), "{}", answers.text);
        }
    }
    assert_eq!(ring.hops(1, 4)?, 3);

    // a ring: our two nodes are neighbours
    ring.set_link(4, "up")?;
    let time = ring.wait_for_hops(1, 4, 1)?;
    println!("the shorter way is used after {time:?}");
    // also by babeld, which has its own idea of when another way is better
    thread::sleep(Duration::from_secs(4));

    // the way back through the other two is not feasible without a new sequence number, which they must ask for
    ring.set_link(4, "down")?;
    for version in [V6, V4] {
        let outage = ring.wait_for(1, 4, version)?;
        println!("{version:?} heals after {outage:?}");
        assert!(outage < Duration::from_secs(10), "{outage:?}");
        ring.wait_for(4, 1, version)?;
    }
    assert_eq!(ring.hops(1, 4)?, 3);
    assert!(ring.ping(1, 4, V6, 10)?.is_perfect());

    // and the other two find their way through ours
    ring.set_link(4, "up")?;
    ring.wait_for_hops(1, 4, 1)?;
    ring.set_link(2, "down")?;
    for version in [V6, V4] {
        let outage = ring.wait_for(2, 3, version)?;
        println!("babeld and BIRD, {version:?}: heals after {outage:?}");
        assert!(outage < Duration::from_secs(10), "{outage:?}");
        ring.wait_for(3, 2, version)?;
    }
    assert_eq!(ring.hops(2, 3)?, 3);
    assert!(ring.ping(2, 3, V6, 10)?.is_perfect());
    Ok(())
}
