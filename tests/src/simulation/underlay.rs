//! Where the nodes are, and how far they are from each other.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use re6st_user::mesh::Address;

use super::generator::Generator;

/// Round trips between 213 cities, in milliseconds; averages of WonderProxy's public pings of 19 and 20 July 2020.
const CITIES: &str = include_str!("../../data/internet-rtt-213.csv");

/// Tenths of a millisecond: what ways cost.
pub type Cost = u32;

/// All nodes, and the Internet between them.
#[derive(Debug)]
pub struct Underlay {
    /// Between cities, symmetric.
    cities: Vec<Vec<Cost>>,
    nodes: Vec<Place>,
}

/// Where a node is.
#[derive(Clone, Copy, Debug)]
struct Place {
    city: usize,
    /// From the city to the node and back.
    access: Cost,
    address: Address,
}

/// What passing on a packet costs.
pub const RELAY: Cost = 2;

impl Underlay {
    /// So many nodes: with not more than there are cities one a city and no way from the city to the node, else each in any city,
    /// with an exponentially distributed way of 1.5 ms on average. `hostile` nodes, which come last, share ten blocks of addresses.
    pub fn new(nodes: usize, hostile: usize, random: &mut Generator) -> Result<Self> {
        let cities = cities()?;
        let one_each = nodes <= cities.len();
        let place = |number: usize| {
            let (city, access) = match one_each {
                true => (number, 0),
                false => {
                    let milliseconds = -1.5 * (1.0 - random.fraction()).ln();
                    (random.below(cities.len()), (milliseconds * 10.0) as Cost)
                }
            };
            let block = match number + hostile >= nodes {
                true => 0x0b00 + random.below(10),
                false => 0x1000 + random.below(0x6e00),
            };
            let ip = (block as u32) << 16 | number as u32 & 0xffff;
            Place {
                city,
                access,
                address: Address::udp(SocketAddr::new(std::net::Ipv4Addr::from(ip).into(), 4754)),
            }
        };
        let nodes = (0..nodes).map(place).collect();
        Ok(Self { cities, nodes })
    }

    /// How many nodes.
    pub const fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Round trip on the direct way.
    pub fn cost(&self, one: usize, other: usize) -> Cost {
        let (one, other) = (&self.nodes[one], &self.nodes[other]);
        (self.cities[one.city][other.city] + one.access + other.access).max(1)
    }

    /// The same as a duration.
    pub fn round_trip(&self, one: usize, other: usize) -> Duration {
        Duration::from_micros(u64::from(self.cost(one, other)) * 100)
    }

    /// Where a node can be reached.
    pub fn address(&self, node: usize) -> Address {
        self.nodes[node].address
    }

    /// All nodes, the nearest to one of them first.
    pub fn by_distance(&self, from: usize) -> Vec<usize> {
        let mut nodes: Vec<usize> = (0..self.nodes()).collect();
        nodes.sort_by_key(|node| self.cost(from, *node));
        nodes
    }
}

/// Round trips between them: the means of both directions.
pub fn cities() -> Result<Vec<Vec<Cost>>> {
    let mut rows = Vec::new();
    for line in CITIES.lines() {
        let row: Result<Vec<f64>, _> = line.split(',').map(str::parse).collect();
        rows.push(row.context("a round trip of tests/data/internet-rtt-213.csv")?);
    }
    ensure!(
        rows.iter().all(|row| row.len() == rows.len()),
        "tests/data/internet-rtt-213.csv has as many rows as columns"
    );
    let mean = |one: usize, other: usize| {
        let both: f64 = rows[one][other] + rows[other][one];
        (both * 5.0).round() as Cost
    };
    let all = 0..rows.len();
    Ok(all
        .clone()
        .map(|one| all.clone().map(|other| mean(one, other)).collect())
        .collect())
}
