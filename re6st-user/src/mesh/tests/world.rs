//! One mesh, and a world that does what it says.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        Address, Closing, Input, Known, Mesh, Metric, OpenFailure, OpenedBy, Output, Routes,
        Settings, Source, Why,
    },
    time::Time,
};

pub const SECOND: Duration = Duration::from_secs(1);

/// The node with this number.
pub fn node(number: u32) -> NodePrefix {
    NodePrefix::new(number.into(), 16).expect("16 bits")
}

/// The number of this node.
pub fn number(node: NodePrefix) -> u32 {
    u32::try_from(node.number()).expect("16 bits")
}

/// Where it is: each in a block of its own.
pub fn address(number: u32) -> Address {
    let number = u8::try_from(number % 200).expect("small");
    address_of([11 + number, 7, number, 1])
}

pub fn address_of(ip: [u8; 4]) -> Address {
    Address::udp(SocketAddr::from((ip, 4754)))
}

pub fn known(number: u32) -> Known {
    Known {
        node: node(number),
        addresses: vec![address(number)],
        owner: None,
        made_at: None,
    }
}

/// Ways to others: by name, best metric and those by neighbours.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    pub all: BTreeMap<NodePrefix, Metric>,
    /// All neighbours offer ways but where this says otherwise.
    pub by: BTreeMap<(NodePrefix, NodePrefix), Metric>,
}

impl Ways {
    pub fn to(numbers: impl IntoIterator<Item = u32>) -> Self {
        let all = numbers.into_iter();
        Self {
            all: all.map(|number| (node(number), Metric(1_000))).collect(),
            by: BTreeMap::new(),
        }
    }
}

impl Routes for Ways {
    fn count(&self) -> usize {
        self.all.len()
    }

    fn node(&self, index: usize) -> Option<NodePrefix> {
        self.all.keys().nth(index).copied()
    }

    fn metric(&self, node: NodePrefix) -> Option<Metric> {
        self.all.get(&node).copied()
    }

    fn metric_by(&self, node: NodePrefix, neighbour: NodePrefix) -> Option<Metric> {
        let by = self.by.get(&(node, neighbour));
        by.or_else(|| self.all.get(&node)).copied()
    }

    /// Ten a millisecond.
    fn cost(&self, round_trip: Duration) -> Metric {
        Metric(u16::try_from(round_trip.as_micros() / 100).unwrap_or(u16::MAX))
    }
}

/// SplitMix64, which is enough for tests.
pub fn generator(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut state = seed;
    move |octets| {
        for chunk in octets.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Something the mesh said, and when.
pub type Said = (Time, Output);

type Generator = Box<dyn FnMut(&mut [u8])>;

/// The mesh of node 1000, and the others as the test wants them.
pub struct World {
    pub mesh: Mesh,
    pub now: Time,
    pub ways: Ways,
    random: Generator,
    /// All it has said.
    pub said: Vec<Said>,
    /// The tunnels there are: who opened them, and why.
    pub tunnels: BTreeMap<u32, (OpenedBy, Why)>,
    /// What becomes of a tunnel that is to be opened to a node.
    pub opens: fn(u32) -> Result<(), OpenFailure>,
    /// Whether a node answers questions.
    pub answers: fn(u32) -> bool,
    /// Where nodes are.
    pub address: fn(u32) -> Address,
    /// Whether a node says that it has no room.
    pub refuses: fn(u32) -> bool,
    /// What a node says all its ways cost.
    pub metric: fn(u32) -> Metric,
    /// So many more metrics come than were asked for.
    pub metrics_more: usize,
    /// What probing a node gives.
    pub round_trip: fn(u32) -> Option<Duration>,
    /// What happens before all else.
    first: Option<Input>,
}

pub const OWN: u32 = 1_000;

impl World {
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            mesh: Mesh::new(node(OWN), settings),
            now: Time(0),
            ways: Ways::default(),
            random: Box::new(generator(seed)),
            said: Vec::new(),
            tunnels: BTreeMap::new(),
            opens: |_| Ok(()),
            answers: |_| true,
            address,
            refuses: |_| false,
            metric: |_| Metric(1_000),
            metrics_more: 0,
            round_trip: |_| None,
            first: None,
        }
    }

    /// A node that can be reached, with ways to nodes 1 to `nodes`.
    pub fn joined(settings: Settings, nodes: u32, seed: u64) -> Self {
        let mut world = Self::new(settings, seed);
        world.ways = Ways::to(1..=nodes);
        world.first = Some(Input::Reachable(Some(true)));
        world
    }

    /// Something happens; what the mesh says is done, but for what takes time.
    pub fn put(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        if let Some(first) = self.first.take() {
            self.put(first);
        }
        self.mesh
            .handle(self.now, input, &self.ways, &mut self.random, &mut outputs);
        for output in &outputs {
            self.said.push((self.now, output.clone()));
        }
        let mut next = Vec::new();
        for output in outputs.clone() {
            next.extend(self.obey(output));
        }
        let mut all = outputs;
        for input in next {
            all.extend(self.put(input));
        }
        all
    }

    fn obey(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Open {
                node,
                addresses,
                why,
            } => {
                let to = number(node);
                match (self.opens)(to) {
                    Ok(()) => {
                        self.tunnels.insert(to, (OpenedBy::Us, why));
                        Some(Input::Up {
                            node,
                            opened_by: OpenedBy::Us,
                            address: addresses[0],
                        })
                    }
                    Err(why) => Some(Input::OpenFailed { node, why }),
                }
            }
            Output::Close { node, .. } => {
                self.tunnels.remove(&number(node));
                None
            }
            Output::Ask {
                node,
                id,
                destinations,
                ..
            } if (self.answers)(number(node)) => Some(Input::Answered {
                by: Known {
                    addresses: vec![(self.address)(number(node))],
                    ..known(number(node))
                },
                id,
                has_room: !(self.refuses)(number(node)),
                metrics: {
                    let metric = (self.metric)(number(node));
                    vec![metric; destinations.len() + self.metrics_more]
                },
            }),
            Output::Probe { node, .. } => Some(Input::Probed {
                node,
                round_trip: (self.round_trip)(number(node)),
            }),
            _ => None,
        }
    }

    /// Time passes, and whatever is due happens.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.put(Input::Time);
        while let Some(next) = self.mesh.next_deadline().filter(|next| *next <= end) {
            self.now = next.max(self.now + Duration::from_micros(1));
            self.put(Input::Time);
        }
        self.now = self.now.max(end);
    }

    /// Another node opens a tunnel.
    pub fn called_by(&mut self, number: u32) -> Vec<Output> {
        self.tunnels.insert(number, (OpenedBy::Peer, Why::Served));
        self.put(Input::Up {
            node: node(number),
            opened_by: OpenedBy::Peer,
            address: (self.address)(number),
        })
    }

    pub fn learned(&mut self, source: Source, numbers: impl IntoIterator<Item = u32>) {
        let peers = numbers.into_iter().map(known).collect();
        self.put(Input::Learned { source, peers });
    }

    /// To whom tunnels were to be opened, in order.
    pub fn openings(&self) -> Vec<u32> {
        let said = self.said.iter();
        let nodes = said.filter_map(|(_, output)| match output {
            Output::Open { node, .. } => Some(number(*node)),
            _ => None,
        });
        nodes.collect()
    }

    /// When a matching output came first.
    pub fn when(&self, matches: impl Fn(&Output) -> bool) -> Option<Time> {
        let mut said = self.said.iter();
        Some(said.find(|(_, output)| matches(output))?.0)
    }

    /// Which tunnels are ours, for a reason.
    pub fn ours(&self, of: impl Fn(Why) -> bool) -> Vec<u32> {
        let tunnels = self.tunnels.iter();
        let ours = tunnels.filter(|(_, (by, why))| *by == OpenedBy::Us && of(*why));
        ours.map(|(number, _)| *number).collect()
    }

    /// Whether the lot gives this node to another one.
    pub fn gives_us_to(&self, number: u32) -> bool {
        crate::mesh::lot::gives(node(number), node(OWN), 30, self.ways.all.len())
    }

    /// Whose tunnels are up that others opened.
    pub fn served(&self) -> Vec<u32> {
        let report = self.mesh.report(self.now);
        let up = report
            .tunnels
            .iter()
            .filter(|tunnel| tunnel.is_up && tunnel.owner == OpenedBy::Peer);
        up.map(|tunnel| number(tunnel.node)).collect()
    }

    /// Whom the mesh closed, and why, since the beginning.
    pub fn closed(&self) -> Vec<(u32, Closing)> {
        let said = self.said.iter();
        let closed = said.filter_map(|(_, output)| match output {
            Output::Close { node, why } => Some((number(*node), *why)),
            _ => None,
        });
        closed.collect()
    }
}
