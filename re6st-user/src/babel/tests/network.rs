//! A simulated network: speakers, links between them, and a clock that jumps from event to event.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    net::Ipv6Addr,
    time::Duration,
};

use crate::{
    babel::{
        input::{Distance, Input, InstalledRoute, InterfaceId, Restored},
        message::NextHop,
        output::{GROUP, Output},
        quantities::{Metric, RouterId, SequenceNumber},
        random::Random,
        settings::{InterfaceKind, InterfaceSettings, Settings},
        speaker::Speaker,
    },
    route::RouteKey,
    time::Time,
};

/// A node's number.
pub type Node = usize;

/// A link of two nodes or more, all ways alike.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub ends: (Node, Node),
    /// Whoever else is there: then it is a LAN.
    pub others: &'static [Node],
    pub delay: Duration,
    /// Added at random to each packet's delay: packets overtake each other.
    pub jitter: Duration,
    /// Of a thousand packets.
    pub loss: u64,
    /// Of a thousand packets.
    pub duplication: u64,
    /// Octets of the largest Babel packet that passes; larger ones are lost without a word.
    pub most: usize,
    /// What each end says receiving costs.
    pub cost: u16,
    pub up: bool,
    /// An end that gets nothing.
    pub deaf: Option<Node>,
}

impl Link {
    pub fn new(one: Node, other: Node, cost: u16) -> Self {
        Self {
            ends: (one, other),
            others: &[],
            delay: Duration::from_millis(2),
            jitter: Duration::ZERO,
            loss: 0,
            duplication: 0,
            most: usize::MAX,
            cost,
            up: true,
            deaf: None,
        }
    }
}

impl Link {
    /// All nodes there.
    pub fn members(&self) -> impl Iterator<Item = Node> + use<> {
        let others = self.others.iter().copied();
        [self.ends.0, self.ends.1].into_iter().chain(others)
    }

    fn has(&self, node: Node) -> bool {
        self.members().any(|member| member == node)
    }
}

/// What the simulation waits for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Occurrence {
    Wake(Node),
    Packet {
        to: Node,
        link: usize,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: Vec<u8>,
    },
}

/// What a node that starts again knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    Nothing,
    /// What its data plane has.
    Routes,
    /// And the distances that were written down.
    Distances,
}

/// What a node's data plane has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Installed {
    Via(Node),
    Unreachable,
}

pub struct Network {
    pub now: Time,
    pub links: Vec<Link>,
    pub speakers: Vec<Option<Speaker>>,
    pub routes: Vec<HashMap<RouteKey, Installed>>,
    /// As the data plane would give them back.
    pub installed: Vec<BTreeMap<RouteKey, InstalledRoute>>,
    pub saved: Vec<Option<SequenceNumber>>,
    /// The distances a node has written down, once it knows them all.
    journals: Vec<Option<BTreeMap<(RouteKey, RouterId), Distance>>>,
    /// Not written down yet.
    unwritten: Vec<Vec<Distance>>,
    /// What each node did to its data plane, since somebody last looked.
    pub removals: Vec<Vec<RouteKey>>,
    /// Of several origins: their packets may go round in circles for a moment (RFC 8966 section 2.7).
    pub shared: HashSet<RouteKey>,
    /// Whose routes changed, since loops were last looked for.
    changed: Vec<RouteKey>,
    pub packets: u64,
    pub octets: u64,
    own: Vec<BTreeMap<RouteKey, Metric>>,
    adjust: fn(&mut InterfaceSettings),
    settings: fn(&mut Settings),
    queue: BinaryHeap<Reverse<(Time, u64, Occurrence)>>,
    woken_at: Vec<Option<Time>>,
    order: u64,
    random: Random,
    seed: u64,
}

/// Node `n`'s own prefix.
pub fn prefix(n: usize) -> RouteKey {
    let address = Ipv6Addr::new(0x2001, 0xdb8, (n >> 16) as u16, n as u16, 0, 0, 0, 0);
    let to = ipnet::IpNet::new(address.into(), 64).expect("64 is a length");
    RouteKey::new(to, None).expect("one family")
}

/// Prefixes of node `n` of the other kinds: IPv4, and both families by source (RFC 9079).
pub fn other_prefixes(n: usize) -> [RouteKey; 3] {
    let key = |to: String, from: Option<&str>| {
        let from = from.map(|from| from.parse().expect("a prefix"));
        RouteKey::new(to.parse().expect("a prefix"), from).expect("one family")
    };
    let (high, low) = (n >> 8, n & 0xff);
    [
        key(format!("10.{high}.{low}.0/24"), None),
        key(format!("2001:db8:{n:x}::/64"), Some("2001:db8:ffff::/48")),
        key(format!("10.{high}.{low}.0/24"), Some("192.0.2.0/24")),
    ]
}

pub fn router_id(n: usize) -> RouterId {
    RouterId::new((n as u64 + 1).to_be_bytes()).expect("neither reserved one")
}

fn link_local(n: Node) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, (n >> 16) as u16, n as u16 + 1)
}

impl Network {
    pub fn new(nodes: usize, links: Vec<Link>, seed: u64) -> Self {
        Self::with(nodes, links, seed, |_| {}, |_| {})
    }

    /// With other settings than usual.
    pub fn with(
        nodes: usize,
        links: Vec<Link>,
        seed: u64,
        adjust: fn(&mut InterfaceSettings),
        settings: fn(&mut Settings),
    ) -> Self {
        let mut network = Self {
            now: Time(1_000_000),
            links,
            speakers: (0..nodes).map(|_| None).collect(),
            routes: vec![HashMap::new(); nodes],
            installed: vec![BTreeMap::new(); nodes],
            saved: vec![None; nodes],
            journals: vec![None; nodes],
            unwritten: vec![Vec::new(); nodes],
            removals: vec![Vec::new(); nodes],
            shared: HashSet::new(),
            changed: Vec::new(),
            packets: 0,
            octets: 0,
            own: (0..nodes)
                .map(|node| BTreeMap::from([(prefix(node), Metric(0))]))
                .collect(),
            adjust,
            settings,
            queue: BinaryHeap::new(),
            woken_at: vec![None; nodes],
            order: 0,
            random: Random::new(seed),
            seed,
        };
        for node in 0..nodes {
            network.start(node, &Restored::default());
        }
        network
    }

    /// Starts a node, or starts it again.
    pub fn start(&mut self, node: Node, restored: &Restored) {
        let mut settings = Settings::new(router_id(node));
        (self.settings)(&mut settings);
        let seed = self.random.next();
        let speaker = Speaker::new(self.now, settings, restored, seed);
        self.speakers[node] = Some(speaker);
        self.journals[node] = None;
        self.unwritten[node].clear();
        if restored.routes.is_empty() {
            self.routes[node].clear();
            self.installed[node].clear();
        }
        for (route, metric) in self.own[node].clone() {
            self.tell(node, Input::Announce { route, metric });
        }
        for number in 0..self.links.len() {
            if self.links[number].has(node) {
                self.tell(node, self.interface(number, node));
            }
        }
    }

    /// Kills a node and starts it anew.
    pub fn restart(&mut self, node: Node, kept: Kept) {
        let routes = self.installed[node].values().copied().collect();
        let distances = self.journals[node].as_ref();
        let distances = distances.map(|journal| journal.values().copied().collect());
        let restored = Restored {
            sequence_number: self.saved[node],
            routes: if kept == Kept::Nothing {
                Vec::new()
            } else {
                routes
            },
            distances: distances.filter(|_| kept == Kept::Distances),
        };
        self.start(node, &restored);
    }

    /// Writes down what has to be before anything else is done.
    fn write_journal(&mut self, node: Node) {
        let unwritten = std::mem::take(&mut self.unwritten[node]);
        if let Some(journal) = &mut self.journals[node] {
            let entries = unwritten.into_iter();
            journal.extend(entries.map(|entry| ((entry.route, entry.router_id), entry)));
        }
    }

    fn interface(&self, number: usize, node: Node) -> Input {
        let kind = match self.links[number].others {
            [] => InterfaceKind::Tunnel,
            _ => InterfaceKind::Lan,
        };
        let mut settings = InterfaceSettings::new(kind, link_local(node));
        settings.round_trip = None;
        settings.cost = crate::babel::settings::Cost::TwoOutOfThree {
            nominal: self.links[number].cost,
        };
        (self.adjust)(&mut settings);
        Input::Interface {
            interface: InterfaceId(number as u32),
            settings: Box::new(settings),
        }
    }

    pub fn announce(&mut self, node: Node, route: RouteKey, metric: Metric) {
        self.own[node].insert(route, metric);
        self.tell(node, Input::Announce { route, metric });
    }

    pub fn withdraw(&mut self, node: Node, route: RouteKey) {
        self.own[node].remove(&route);
        self.tell(node, Input::Withdraw { route });
    }

    pub fn set_cost(&mut self, number: usize, cost: u16) {
        self.links[number].cost = cost;
        for node in self.links[number].members() {
            self.tell(node, self.interface(number, node));
        }
    }

    /// One thing happens to one node.
    pub fn tell(&mut self, node: Node, input: Input) {
        let Some(speaker) = &mut self.speakers[node] else {
            return;
        };
        let mut outputs = Vec::new();
        speaker.handle(self.now, input, &mut outputs);
        let next = speaker.next_deadline();
        if self.journals[node].is_none() {
            let distances = speaker.distances().map(|all| {
                let entries = all.into_iter();
                entries.map(|entry| ((entry.route, entry.router_id), entry))
            });
            self.journals[node] = distances.map(Iterator::collect);
        }
        for output in outputs {
            self.carry_out(node, output);
        }
        if let Some(next) = next {
            let next = next.max(self.now);
            if self.woken_at[node].is_none_or(|set| set > next || set <= self.now) {
                self.woken_at[node] = Some(next);
                self.push(next, Occurrence::Wake(node));
            }
        }
    }

    fn push(&mut self, at: Time, occurrence: Occurrence) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, occurrence)));
    }

    fn carry_out(&mut self, node: Node, output: Output) {
        if let Output::SaveDistance(distance) = output {
            self.unwritten[node].push(distance);
            return;
        }
        self.write_journal(node);
        if let Output::Install(InstalledRoute { route, .. })
        | Output::Unreachable { route }
        | Output::Remove { route } = &output
        {
            self.changed.push(*route);
        }
        match output {
            Output::Send {
                interface,
                destination,
                packet,
            } => {
                self.packets += 1;
                self.octets += packet.bytes.len() as u64;
                let mut bytes = packet.bytes;
                if let Some(at) = packet.timestamp_at {
                    bytes[at..at + 4].copy_from_slice(&self.now.timestamp().to_be_bytes());
                }
                self.transmit(node, interface.0 as usize, destination, bytes);
            }
            Output::Install(route) => {
                let link = self.links[route.interface.0 as usize];
                let is_next = |member: &Node| match route.next_hop {
                    NextHop::Ipv6(address) => link_local(*member) == address,
                    // the tests of those know who it is
                    NextHop::Ipv4(_) => *member != node,
                };
                let other = link.members().find(is_next).expect("a member");
                self.routes[node].insert(route.route, Installed::Via(other));
                self.installed[node].insert(route.route, route);
            }
            Output::Unreachable { route } => {
                self.routes[node].insert(route, Installed::Unreachable);
                self.installed[node].remove(&route);
                self.removals[node].push(route);
            }
            Output::Remove { route } => {
                self.routes[node].remove(&route);
                self.installed[node].remove(&route);
                self.removals[node].push(route);
            }
            Output::SaveSequenceNumber(number) => self.saved[node] = Some(number),
            Output::SaveDistance(_) | Output::Event(_) => {}
        }
    }

    fn transmit(&mut self, from: Node, number: usize, destination: Ipv6Addr, bytes: Vec<u8>) {
        let link = self.links[number];
        let hears =
            |to: &Node| *to != from && (destination == GROUP || destination == link_local(*to));
        for to in link.members().filter(hears).filter(|_| link.up) {
            self.transmit_to(from, to, number, destination, &bytes);
        }
    }

    fn transmit_to(
        &mut self,
        from: Node,
        to: Node,
        number: usize,
        destination: Ipv6Addr,
        bytes: &[u8],
    ) {
        let link = self.links[number];
        let copies = 1 + u64::from(self.random.below(1000) < link.duplication);
        for _ in 0..copies {
            let lost = self.random.below(1000) < link.loss || link.deaf == Some(to);
            if lost || bytes.len() > link.most {
                continue;
            }
            let delay = link.delay + self.random.between(Duration::ZERO, link.jitter);
            let (source, bytes) = (link_local(from), bytes.to_vec());
            let packet = Occurrence::Packet {
                to,
                link: number,
                source,
                destination,
                bytes,
            };
            self.push(self.now + delay, packet);
        }
    }

    /// Lets one thing happen, if one is due by then.
    pub fn step(&mut self, until: Time) -> bool {
        if self
            .queue
            .peek()
            .is_none_or(|Reverse((at, ..))| *at > until)
        {
            self.now = until;
            return false;
        }
        let Some(Reverse((at, _, occurrence))) = self.queue.pop() else {
            return false;
        };
        self.now = at;
        match occurrence {
            Occurrence::Wake(node) => {
                if self.woken_at[node] == Some(at) {
                    self.woken_at[node] = None;
                    self.tell(node, Input::Time);
                }
            }
            Occurrence::Packet {
                to,
                link,
                source,
                destination,
                bytes,
            } => {
                let interface = InterfaceId(link as u32);
                let received_at = self.now;
                self.tell(
                    to,
                    Input::Received {
                        interface,
                        source,
                        destination,
                        bytes,
                        received_at,
                    },
                );
            }
        }
        true
    }

    pub fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    /// Runs, and looks for forwarding loops at every step.
    pub fn run_without_loops(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {
            for key in std::mem::take(&mut self.changed) {
                if !self.shared.contains(&key) {
                    self.assert_no_loop(&key);
                }
            }
        }
    }

    /// Whether all links of a node work.
    pub fn is_wholly_connected(&self, node: Node) -> bool {
        let mut links = self.links.iter();
        links.all(|link| link.up || !link.has(node))
    }

    /// Where a node's data plane sends packets; nowhere over a link that is cut, known or not.
    fn next(&self, node: Node, key: &RouteKey) -> Option<Node> {
        if self.own[node].contains_key(key) {
            return None;
        }
        let link = self.installed[node].get(key)?.interface.0 as usize;
        match self.routes[node].get(key)? {
            Installed::Via(next) if self.links[link].up => Some(*next),
            _ => None,
        }
    }

    pub fn assert_no_loop(&self, key: &RouteKey) {
        for start in 0..self.routes.len() {
            let mut at = Some(start);
            for _ in 0..=self.routes.len() {
                at = at.and_then(|at| self.next(at, key));
            }
            assert!(
                at.is_none(),
                "seed {}: loop for {key:?} from node {start} at {:?}",
                self.seed,
                self.now
            );
        }
    }

    /// What a packet's way costs; `None` if it does not arrive.
    pub fn way(&self, from: Node, key: &RouteKey) -> Option<u32> {
        let (mut at, mut cost) = (from, 0);
        for _ in 0..=self.routes.len() {
            if let Some(metric) = self.own[at].get(key) {
                return Some(cost + u32::from(metric.0));
            }
            let Some(Installed::Via(next)) = self.routes[at].get(key) else {
                return None;
            };
            let here = at;
            let joins = |link: &&Link| link.up && link.has(here) && link.has(*next);
            cost += self
                .links
                .iter()
                .filter(joins)
                .map(|link| u32::from(link.cost))
                .min()?;
            at = *next;
        }
        None
    }

    /// The least that any way costs from each node to those who originate a prefix.
    pub fn shortest(&self, key: &RouteKey) -> Vec<Option<u32>> {
        let own = |node: &Node| {
            self.own[*node]
                .get(key)
                .filter(|_| self.speakers[*node].is_some())
        };
        let mut best: Vec<Option<u32>> = (0..self.own.len())
            .map(|node| own(&node).map(|metric| u32::from(metric.0)))
            .collect();
        for _ in 0..best.len() {
            let mut changed = false;
            for link in self.links.iter().filter(|link| link.up) {
                let pairs = link
                    .members()
                    .flat_map(|one| link.members().map(move |other| (one, other)));
                for (one, other) in pairs {
                    if self.speakers[one].is_none() || self.speakers[other].is_none() {
                        continue;
                    }
                    let Some(by) = best[other].map(|rest| rest + u32::from(link.cost)) else {
                        continue;
                    };
                    // an origin uses its own route, whatever it costs
                    if own(&one).is_none() && best[one].is_none_or(|now| by < now) {
                        best[one] = Some(by);
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        best
    }

    /// Every node reaches every prefix by the shortest way, and nothing else.
    pub fn assert_shortest(&self, prefixes: &[RouteKey]) {
        for key in prefixes {
            for (node, expected) in self.shortest(key).into_iter().enumerate() {
                if self.speakers[node].is_some() {
                    let found = self.way(node, key);
                    assert_eq!(
                        found,
                        expected,
                        "seed {}: node {node} to {}",
                        self.seed,
                        key.to()
                    );
                }
            }
        }
    }
}
