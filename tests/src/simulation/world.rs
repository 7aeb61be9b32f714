//! The clock, the nodes and what is on the way between them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use anyhow::Result;
use re6st_user::{
    mesh::{
        Address, Closing, Input, Known, Loss, Mesh, OpenFailure, OpenedBy, Output, Settings,
        Source, Why,
    },
    time::Time,
};

use super::{
    due::{Call, Due, Event},
    generator::Generator,
    graph::{Components, Neighbours, distances},
    options::{HOSTILE_CLIENTS, LIE, Lies, Options},
    underlay::Underlay,
    view::{View, Ways, name, number},
};

/// What was sent, of all nodes together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Octets, with headers.
    pub octets: u64,
}

/// All of it.
pub struct World {
    /// Where nodes are.
    pub underlay: Underlay,
    /// By number.
    pub nodes: Vec<Mesh>,
    /// Whether each lives.
    pub alive: Vec<bool>,
    /// Now.
    pub now: Time,
    /// The registry answers.
    pub registry: bool,
    /// What was sent.
    pub sent: Sent,
    /// Tunnels: both ends, the one that opened it first, and how many ends drain it.
    tunnels: BTreeMap<(u32, u32), bool>,
    graph: Neighbours,
    ways: Ways,
    wakes: Vec<Option<Time>>,
    queue: BinaryHeap<Reverse<Due>>,
    order: u64,
    /// How it is made.
    pub options: Options,
    random: Generator,
}

impl World {
    /// All nodes know nobody, and start within ten seconds.
    pub fn new(options: Options, seed: u64) -> Result<Self> {
        let mut random = Generator::new(seed);
        let count = options.nodes;
        let underlay = Underlay::new(count, options.hostile, &mut random)?;
        // the registry's own node is the first one
        let settings = |node| {
            let mut settings = Settings {
                registry_node: Some(name(0)),
                is_registry: node == 0,
                ..options.settings.clone()
            };
            if options.is_hostile(node) {
                settings.client_count = HOSTILE_CLIENTS;
                settings.max_clients = count;
                settings.limits.openings = HOSTILE_CLIENTS;
                settings.limits.candidates = 0;
            }
            settings
        };
        let nodes = (0..count).map(|node| Mesh::new(name(node), settings(node)));
        let mut world = Self {
            underlay,
            nodes: nodes.collect(),
            alive: vec![true; count],
            now: Time(0),
            registry: true,
            sent: Sent::default(),
            tunnels: BTreeMap::new(),
            graph: vec![Vec::new(); count],
            ways: Ways {
                is_stale: true,
                are_distances_stale: true,
                ..Ways::default()
            },
            wakes: vec![None; count],
            queue: BinaryHeap::new(),
            order: 0,
            options,
            random,
        };
        for node in 0..count {
            let start = Duration::from_millis(world.random.below(10_000) as u64);
            let addresses = vec![world.underlay.address(node)];
            world.later(node, start, Event::Hear(Input::OwnAddresses(addresses)));
        }
        Ok(world)
    }

    /// Who has tunnels with whom now.
    pub const fn graph(&self) -> &Neighbours {
        &self.graph
    }

    /// The parts of the network that hang together now.
    pub fn components(&self) -> Components {
        Components::new(&self.graph, &self.alive)
    }

    fn later(&mut self, node: usize, delay: Duration, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Due {
            at: self.now + delay,
            order: self.order,
            node,
            event,
        }));
    }

    /// Time passes.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(Reverse(due)) = self.queue.pop() {
            if due.at > end {
                self.queue.push(Reverse(due));
                break;
            }
            self.now = due.at;
            self.happen(due);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        let node = due.node;
        if !self.alive[node] {
            return;
        }
        match due.event {
            Event::Wake => {
                if self.wakes[node] == Some(due.at) {
                    self.wakes[node] = None;
                    self.give(node, Input::Time);
                }
            }
            Event::Hear(input) => {
                self.note(node, &input);
                self.give(node, input);
            }
            Event::Called(call) => self.called(call),
        }
    }

    /// What a node hears that is true only now.
    fn note(&mut self, node: usize, input: &Input) {
        if let Input::Up {
            node: other,
            opened_by: OpenedBy::Us,
            ..
        } = input
        {
            // the other end may have died meanwhile
            let other = number(*other);
            if !self.alive[other] {
                self.disconnect(node, other);
            }
        }
    }

    fn give(&mut self, node: usize, input: Input) -> Vec<Output> {
        self.converge();
        let mut outputs = Vec::new();
        let view = View {
            node,
            ways: &self.ways,
            underlay: &self.underlay,
            options: &self.options,
        };
        let random = &mut self.random;
        let mesh = &mut self.nodes[node];
        mesh.handle(
            self.now,
            input,
            &view,
            &mut |octets| random.fill(octets),
            &mut outputs,
        );
        let next = mesh.next_deadline();
        for output in &outputs {
            self.obey(node, output);
        }
        if let Some(next) = next {
            let next = next.max(self.now + Duration::from_millis(1));
            if self.wakes[node].is_none_or(|at| next < at) {
                self.wakes[node] = Some(next);
                self.later(node, next.since(self.now), Event::Wake);
            }
        }
        outputs
    }

    /// Routes follow the tunnels, a second later.
    fn converge(&mut self) {
        let second = Duration::from_secs(1);
        if self.ways.is_stale && self.now >= self.ways.components_at + second {
            self.ways.components = self.components();
            self.ways.components_at = self.now;
            self.ways.is_stale = false;
        }
        let due = self.ways.distances_at + self.options.converging;
        if self.ways.are_distances_stale && self.now >= due {
            self.measure();
            self.ways.distances_at = self.now;
            self.ways.are_distances_stale = false;
        }
    }

    fn measure(&mut self) {
        let landmarks = self.random.some(self.options.landmarks, self.nodes.len());
        let ways = &mut self.ways;
        ways.landmarks = landmarks.iter().map(|node| *node as u32).collect();
        ways.landmark_of = vec![None; self.nodes.len()];
        for (place, node) in landmarks.iter().enumerate() {
            ways.landmark_of[*node] = Some(place as u32);
        }
        ways.distances.resize_with(landmarks.len(), Vec::new);
        let graph = &self.graph;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = landmarks.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let shares = ways.distances.chunks_mut(share);
            for (found, from) in shares.zip(landmarks.chunks(share)) {
                scope.spawn(move || {
                    for (found, from) in found.iter_mut().zip(from) {
                        distances(graph, *from, found);
                    }
                });
            }
        });
    }

    fn send(&mut self, octets: usize) {
        self.sent.messages += 1;
        // IPv6, UDP and the channel's header and tag
        self.sent.octets += 80 + octets as u64;
    }

    /// One way.
    fn half(&self, one: usize, other: usize) -> Duration {
        self.underlay.round_trip(one, other) / 2
    }

    fn obey(&mut self, node: usize, output: &Output) {
        match output {
            Output::Open { node: to, .. } => self.open(node, number(*to)),
            Output::Close { node: to, why } => self.close(node, number(*to), *why),
            Output::Ask {
                node: to,
                id,
                destinations,
                reach_us,
            } => {
                let to = number(*to);
                self.send(8 + 2 * destinations.len());
                let input = Input::Asked {
                    by: known(node, vec![self.underlay.address(node)]),
                    id: *id,
                    destinations: destinations.to_vec(),
                    reach_us: *reach_us,
                };
                self.tell(node, to, input);
            }
            Output::Answer {
                node: to,
                id,
                addresses,
                has_room,
                metrics,
            } => {
                let to = number(*to);
                self.send(8 + 20 * addresses.len() + 2 * metrics.len());
                let mut metrics = metrics.clone();
                if self.options.is_hostile(node) && self.options.lies != Lies::None {
                    metrics.fill(LIE);
                }
                let input = Input::Answered {
                    by: known(node, addresses.clone()),
                    id: *id,
                    has_room: *has_room,
                    metrics,
                };
                self.tell(node, to, input);
            }
            Output::Probe { node: to, .. } => {
                let to = number(*to);
                self.send(64);
                let round_trip = self.underlay.round_trip(node, to);
                if self.alive[to] {
                    self.send(64);
                    let input = Input::Probed {
                        node: name(to),
                        round_trip: Some(round_trip),
                    };
                    self.later(node, round_trip, Event::Hear(input));
                    self.reach(node, to);
                }
            }
            Output::Reach { node: to, .. } => {
                self.send(64);
                self.reach(node, number(*to));
            }
            Output::AskRegistry => self.ask_registry(node),
            Output::Drain(other) | Output::Undrain(other) => {
                let is_up = matches!(output, Output::Undrain(_));
                self.route(node, number(*other), is_up);
            }
            Output::Remember(_) | Output::Forget(_) | Output::Anchors(_) | Output::Event(_) => {}
        }
    }

    /// A probe comes.
    fn reach(&mut self, from: usize, to: usize) {
        self.later(to, self.half(from, to), Event::Hear(Input::Reached));
    }

    /// Over the mesh.
    fn tell(&mut self, from: usize, to: usize, input: Input) {
        let components = &self.ways.components;
        if self.alive[to] && components.of.get(from) == components.of.get(to) {
            self.later(to, self.half(from, to), Event::Hear(input));
        }
    }

    fn ask_registry(&mut self, node: usize) {
        self.send(200);
        let input = if self.registry {
            let other = loop {
                let other = self.random.below(self.nodes.len());
                if self.alive[other] && (other != node || self.nodes.len() == 1) {
                    break other;
                }
            };
            let known = known(other, vec![self.underlay.address(other)]);
            Input::Learned {
                source: Source::Registry,
                peers: vec![known],
            }
        } else {
            Input::RegistrySilent
        };
        self.later(node, Duration::from_millis(100), Event::Hear(input));
    }

    fn open(&mut self, from: usize, to: usize) {
        self.send(1_200);
        if self.alive[to] {
            let call = Call { from, to };
            self.later(to, self.half(from, to), Event::Called(call));
        } else {
            let input = Input::OpenFailed {
                node: name(to),
                why: OpenFailure::Unreachable,
            };
            self.later(from, Duration::from_secs(8), Event::Hear(input));
        }
    }

    fn called(&mut self, call: Call) {
        let Call { from, to } = call;
        let outputs = self.give(
            to,
            Input::Up {
                node: name(from),
                opened_by: OpenedBy::Peer,
                address: self.underlay.address(from),
            },
        );
        self.send(1_200);
        let refused = outputs
            .iter()
            .any(|output| matches!(output, Output::Close { node, .. } if *node == name(from)));
        let input = if refused {
            Input::OpenFailed {
                node: name(to),
                why: OpenFailure::Full,
            }
        } else {
            self.connect(from, to);
            Input::Up {
                node: name(to),
                opened_by: OpenedBy::Us,
                address: self.underlay.address(to),
            }
        };
        self.later(from, self.half(from, to), Event::Hear(input));
    }

    const fn key(one: usize, other: usize) -> (u32, u32) {
        if one < other {
            (one as u32, other as u32)
        } else {
            (other as u32, one as u32)
        }
    }

    fn connect(&mut self, from: usize, to: usize) {
        let key = Self::key(from, to);
        self.tunnels.insert(key, from < to);
        self.route(from, to, true);
    }

    /// Whether routes use a tunnel.
    fn route(&mut self, one: usize, other: usize, is_used: bool) {
        let cost = self.underlay.cost(one, other);
        for (from, to) in [(one, other), (other, one)] {
            let neighbours = &mut self.graph[from];
            neighbours.retain(|(neighbour, _)| *neighbour as usize != to);
            if is_used {
                neighbours.push((to as u32, cost));
            }
        }
        self.ways.is_stale = true;
        self.ways.are_distances_stale = true;
    }

    fn disconnect(&mut self, one: usize, other: usize) -> bool {
        let was = self.tunnels.remove(&Self::key(one, other)).is_some();
        self.route(one, other, false);
        was
    }

    fn close(&mut self, node: usize, other: usize, why: Closing) {
        self.send(32);
        if self.disconnect(node, other) && self.alive[other] {
            let why = match why {
                Closing::Full => Loss::Full,
                _ => Loss::ByPeer,
            };
            let input = Input::Closed {
                node: name(node),
                why,
            };
            self.later(other, self.half(node, other), Event::Hear(input));
        }
    }

    /// Some die, at once and without a word. The others notice within a second.
    pub fn kill(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.alive[node] = false;
            let neighbours = std::mem::take(&mut self.graph[node]);
            for (other, _) in neighbours {
                let other = other as usize;
                self.disconnect(node, other);
                if self.alive[other] {
                    let input = Input::Closed {
                        node: name(node),
                        why: Loss::Silent,
                    };
                    let noticed = Duration::from_millis(700 + self.random.below(300) as u64);
                    self.later(other, noticed, Event::Hear(input));
                }
            }
        }
    }
}

impl World {
    /// The peers of a node's tunnels that are up, and of what kind these are: 0 random, 1 optimised, 2 served.
    pub fn kinds(&self, node: usize) -> Vec<(usize, usize)> {
        let report = self.nodes[node].report(self.now);
        let tunnels = report.tunnels.iter().filter(|tunnel| tunnel.is_up);
        let kinds = tunnels.map(|tunnel| {
            let kind = match tunnel.why {
                Why::Random | Why::Anchor => 0,
                Why::Served => 2,
                _ => 1,
            };
            (number(tunnel.node), kind)
        });
        kinds.collect()
    }
}

/// What a node says of itself.
fn known(node: usize, addresses: Vec<Address>) -> Known {
    Known {
        node: name(node),
        addresses,
        owner: None,
        made_at: None,
    }
}
