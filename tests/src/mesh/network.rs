//! The hosts, the Internet between them, the registry and the nodes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::sys::signal::Signal;

use super::Node;
use crate::{
    emulator::{Emulator, Wire},
    host::{Host, Testbed},
    link::{End, add_addresses},
    member::Registry,
    simulation::underlay,
};

/// The cities of [`underlay::cities`], one a line: number, name, country, latitude, longitude.
const SITES: &str = include_str!("../../data/internet-rtt-213-sites.csv");
/// Of so many wires one loses packets, so many of 1,000.
const LOSSY: (usize, u16) = (6, 10);

/// A city, by its English name.
pub type City = &'static str;

/// Twelve of them around the world, the first four in the Americas.
pub const CITIES: [City; 12] = [
    "Toronto",
    "Seattle",
    "Miami",
    "Sao Paulo",
    "Paris",
    "Stockholm",
    "Johannesburg",
    "Dubai",
    "Pune",
    "Bangkok",
    "Tokyo",
    "Auckland",
];

/// A registry, nodes, and a stranger who has no certificate.
pub struct Network {
    /// In the order of their cities.
    pub nodes: Vec<Node>,
    /// None once it was killed.
    pub registry: Option<Registry>,
    /// The registry's.
    pub registry_host: Host,
    /// The stranger's.
    pub stranger: Host,
    emulator: Emulator,
    /// As they are when nothing is cut, by the places of hosts: the nodes, the registry, the stranger.
    wires: Vec<Vec<Wire>>,
    cut: Vec<Vec<bool>>,
}

impl Network {
    /// The registry is in Amsterdam, the stranger in Frankfurt, a node in each of these cities. They have enrolled, and do not run yet.
    /// `settings`: lines of their section `[mesh]`.
    pub fn new(testbed: &Testbed, cities: &[City], settings: &str) -> Result<Self> {
        let places = [cities, &["Amsterdam", "Frankfurt"]].concat();
        let wires = wires(&places)?;
        let hosts = cities.iter().map(|city| testbed.host(&host_name(city)));
        let hosts: Vec<Host> = hosts.collect::<Result<_>>()?;
        let registry_host = testbed.host("registry")?;
        let stranger = testbed.host("stranger")?;
        let all = || hosts.iter().chain([&registry_host, &stranger]);
        let ends: Vec<End<'_>> = all().map(|host| (host, "eth0")).collect();
        let emulator = Emulator::switch(&ends, |one, other| wires[one][other])?;
        for (place, host) in all().enumerate() {
            let addresses = [format!("{}/15", ipv4(place)), format!("{}/64", ipv6(place))];
            add_addresses(host, "eth0", &addresses.each_ref().map(String::as_str))?;
        }
        let registry = Registry::start(&registry_host, ipv4(hosts.len()))?;
        let enrol = |host| Node::enrol(host, &registry, settings);
        Ok(Self {
            nodes: at_once(hosts, enrol)?,
            registry: Some(registry),
            registry_host,
            stranger,
            emulator,
            cut: vec![vec![false; places.len()]; places.len()],
            wires,
        })
    }

    /// Starts all nodes.
    pub fn start(&mut self) -> Result<()> {
        at_once(self.nodes.iter_mut(), Node::start).map(drop)
    }

    /// An address of a node on the Internet.
    pub fn outer(&self, node: usize) -> IpAddr {
        ipv4(node).into()
    }

    /// The round trip of two nodes on the direct way.
    pub fn direct(&self, one: usize, other: usize) -> Duration {
        2 * self.wires[one][other].delay
    }

    /// Cuts the Internet between two hosts, or mends it. Nobody is told.
    pub fn cut(&mut self, one: usize, other: usize, cut: bool) {
        let wire = if cut {
            Wire::CUT
        } else {
            self.wires[one][other]
        };
        self.emulator.rewire(one, other, wire);
        self.cut[one][other] = cut;
        self.cut[other][one] = cut;
    }

    /// Ends nodes as a power cut does: nothing more comes from them, and all they had in the kernel is gone.
    pub fn power_off(&mut self, nodes: &[usize]) -> Result<()> {
        nodes.iter().for_each(|node| self.cut_off(*node, true));
        at_once(self.some(nodes), |node| node.end(Signal::SIGKILL)).map(drop)
    }

    /// Starts them again, with all their links.
    pub fn power_on(&mut self, nodes: &[usize]) -> Result<()> {
        nodes.iter().for_each(|node| self.cut_off(*node, false));
        at_once(self.some(nodes), Node::start).map(drop)
    }

    fn some(&mut self, nodes: &[usize]) -> impl Iterator<Item = &mut Node> {
        let all = self.nodes.iter_mut().enumerate();
        let some = all.filter(|(place, _)| nodes.contains(place));
        some.map(|(_, node)| node)
    }

    fn cut_off(&mut self, node: usize, cut: bool) {
        for other in (0..self.wires.len()).filter(|other| *other != node) {
            self.cut(node, other, cut);
        }
    }

    /// Pairs of running nodes between which the Internet, or other nodes, can carry packets.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let running = |node: &usize| self.nodes[*node].is_running();
        let running: Vec<usize> = (0..self.nodes.len()).filter(running).collect();
        let mut pairs = Vec::new();
        for one in &running {
            let mut near = vec![*one];
            let mut next = 0;
            while let Some(from) = near.get(next).copied() {
                let more = running.iter().filter(|to| !self.cut[from][**to]);
                let more = more.filter(|to| !near.contains(to)).copied();
                let more: Vec<usize> = more.collect();
                near.extend(more);
                next += 1;
            }
            pairs.extend(near.into_iter().filter(|to| to > one).map(|to| (*one, to)));
        }
        pairs
    }

    /// The tunnels of running nodes through which packets flow, as pairs of places.
    pub fn tunnels(&self) -> Vec<(usize, usize)> {
        let place = |name: &str| self.nodes.iter().position(|node| node.name == name);
        let mut pairs = Vec::new();
        for (one, node) in self.nodes.iter().enumerate() {
            // one that is just starting or ending has none
            for tunnel in node.tunnels().unwrap_or_default() {
                if let Some(other) = tunnel["node"].as_str().and_then(place) {
                    pairs.push((one.min(other), one.max(other)));
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// Does something with all at the same time.
fn at_once<T: Send, R: Send>(
    all: impl IntoIterator<Item = T>,
    act: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    thread::scope(|scope| {
        let running = all.into_iter().map(|one| scope.spawn(|| act(one)));
        let running: Vec<_> = running.collect();
        let results = running.into_iter().map(|thread| thread.join());
        results
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a panic"))))
            .collect()
    })
}

/// `Sao Paulo` is `saopaulo`.
fn host_name(city: &str) -> String {
    let letters = city.chars().filter(char::is_ascii_alphabetic);
    letters.collect::<String>().to_lowercase()
}

/// In the network for benchmarks (RFC 2544).
fn ipv4(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, 10 + place as u8)
}

fn ipv6(place: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 10 + place as u16)
}

/// Between cities.
fn wires(cities: &[City]) -> Result<Vec<Vec<Wire>>> {
    let costs = underlay::cities()?;
    let number = |city: &City| {
        let mut titles = SITES.lines().skip(1).map(|line| line.split(',').nth(1));
        let found = titles.position(|title| title == Some(city));
        found.with_context(|| format!("no city {city} in tests/data"))
    };
    let numbers = cities.iter().map(number).collect::<Result<Vec<_>>>()?;
    let wire = |(one, from): (usize, &usize), (other, to): (usize, &usize)| Wire {
        // a tenth of a millisecond is the unit; half of the round trip each way
        delay: Duration::from_micros(u64::from(costs[*from][*to]) * 50),
        lost_of_1000: match (one + other) % LOSSY.0 {
            0 => LOSSY.1,
            _ => 0,
        },
    };
    let all = || numbers.iter().enumerate();
    Ok(all()
        .map(|one| all().map(|other| wire(one, other)).collect())
        .collect())
}
