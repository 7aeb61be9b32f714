//! Nodes on a simulated network whose time moves only when a test says so, and a data plane that does what the engine says.

mod identities;
mod network;
mod seeds;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::SocketAddr,
    time::Duration,
};

pub use self::{
    identities::{
        AUTHORITY, certificate_of, credentials, credentials_with, key_of, name, public_key_of,
    },
    network::{FIRST_ADDRESS, Packet, Payload, Way, address, cookie_reply},
    seeds::with_seeds,
};
use crate::{
    babel::random::Random,
    certificate::{node_prefix::NodePrefix, testing::START},
    channel::{
        Channels, Closing, Counters, Event, Input, Output, Peer, PeerReport, PeerState, Quality,
        Settings, Tunnel, wire::Message,
    },
    time::{Now, Time, Timestamp},
};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// A node, which may be switched off.
pub struct Node {
    pub number: u64,
    pub channels: Option<Channels>,
    pub settings: Settings,
    pub address: SocketAddr,
    /// How it is seen from outside, if it is behind a NAT.
    pub nat: Option<SocketAddr>,
    /// Seconds that its wall clock is ahead, or behind.
    pub clock: i64,
    pub peers: Vec<Peer>,
    pub knows: bool,
    pub tunnels: BTreeMap<NodePrefix, Tunnel>,
    pub quality: BTreeMap<NodePrefix, Quality>,
    pub closed: Vec<(NodePrefix, Closing)>,
    pub events: Vec<Event>,
    pub babel: Vec<(NodePrefix, bool, Vec<u8>)>,
    pub documents: Vec<Vec<u8>>,
    pub wanted_keys: u64,
    pub probed: Vec<(NodePrefix, Option<Duration>)>,
    pub reached_by: Vec<NodePrefix>,
    /// How often a tunnel was opened or changed.
    pub tunnel_changes: u64,
    pub data_received: u64,
    pub data_refused: u64,
    random: Random,
    /// Until then it stands still.
    pub stalled_until: Time,
}

impl Node {
    pub fn wall(&self, now: Time) -> Timestamp {
        let seconds = START.0 + now.0 / 1_000_000;
        Timestamp(seconds.saturating_add_signed(self.clock))
    }

    pub fn counters(&self) -> &Counters {
        self.channels.as_ref().unwrap().counters()
    }
}

/// The whole network.
pub struct World {
    pub now: Time,
    pub nodes: Vec<Node>,
    pub way: Way,
    pub cut: bool,
    /// All are behind NATs that let in what comes from where their node has sent to, and nothing else.
    pub answers_only: bool,
    /// From where to where something was sent.
    holes: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Where no host has a way to.
    pub no_way: Vec<SocketAddr>,
    pub queue: BinaryHeap<Reverse<Packet>>,
    pub dice: Random,
    pub packets: u64,
    /// All datagrams of channels that were sent.
    pub recorded: Option<Vec<Packet>>,
}

impl World {
    /// So many nodes that are switched on and know each other's keys, and have nobody to call.
    pub fn new(nodes: u64, seed: u64) -> Self {
        let mut world = Self {
            now: Time(1_000_000),
            nodes: Vec::new(),
            way: Way::default(),
            cut: false,
            answers_only: false,
            holes: BTreeSet::new(),
            no_way: Vec::new(),
            queue: BinaryHeap::new(),
            dice: Random::new(seed),
            packets: 0,
            recorded: None,
        };
        for number in 1..=nodes {
            world.nodes.push(Node {
                number,
                channels: None,
                settings: Settings::default(),
                address: address(number, 1),
                nat: None,
                clock: 0,
                peers: Vec::new(),
                knows: true,
                tunnels: BTreeMap::new(),
                quality: BTreeMap::new(),
                closed: Vec::new(),
                events: Vec::new(),
                babel: Vec::new(),
                documents: Vec::new(),
                wanted_keys: 0,
                probed: Vec::new(),
                reached_by: Vec::new(),
                tunnel_changes: 0,
                data_received: 0,
                data_refused: 0,
                random: Random::new(seed ^ number << 32),
                stalled_until: Time(0),
            });
            world.boot(number);
        }
        world
    }

    /// Two nodes, of which the first calls the second.
    pub fn pair(seed: u64) -> Self {
        let mut world = Self::new(2, seed);
        world.call(1, 2);
        world
    }

    pub fn node(&mut self, number: u64) -> &mut Node {
        &mut self.nodes[number as usize - 1]
    }

    /// A new life; what it knew is gone.
    pub fn boot(&mut self, number: u64) {
        let node = self.node(number);
        node.channels = Some(Channels::new(node.settings.clone()));
        node.tunnels.clear();
        let peers = node.peers.clone();
        let credentials = Box::new(credentials(number, &[]));
        self.input(number, Input::Credentials(credentials));
        self.input(number, Input::Peers(peers));
    }

    /// One calls the other from now on.
    pub fn call(&mut self, from: u64, to: u64) {
        let target = self.node(to);
        let address = target.nat.unwrap_or(target.address);
        let mut peers = self.node(from).peers.clone();
        peers.push(Peer {
            node: name(to),
            addresses: vec![address],
            key: None,
        });
        self.configure_peers(from, peers);
    }

    /// A node's configuration names these peers, and no others.
    pub fn configure_peers(&mut self, number: u64, peers: Vec<Peer>) {
        self.node(number).peers.clone_from(&peers);
        self.input(number, Input::Peers(peers));
    }

    pub fn input(&mut self, number: u64, input: Input<'_>) {
        let now = self.now;
        let node = self.node(number);
        let wall = node.wall(now);
        let Some(channels) = &mut node.channels else {
            return;
        };
        let mut outputs = Vec::new();
        let random = &mut node.random;
        let mut fill = |octets: &mut [u8]| {
            for octet in octets {
                *octet = random.next() as u8;
            }
        };
        channels.handle(Now { elapsed: now, wall }, input, &mut fill, &mut outputs);
        self.outputs(number, outputs);
    }

    fn outputs(&mut self, number: u64, outputs: Vec<Output>) {
        for output in outputs {
            if let Output::Send { to, .. } = &output
                && self.no_way.contains(to)
            {
                self.input(number, Input::Unsendable(*to));
                continue;
            }
            let node = self.node(number);
            match output {
                Output::Send { to, bytes, .. } => {
                    let from = node.nat.unwrap_or(node.address);
                    self.send(from, to, Payload::Channel(bytes));
                }
                Output::WantKey(peer) => {
                    node.wanted_keys += 1;
                    if node.knows {
                        let key = public_key_of(peer.number() as u64);
                        self.input(number, Input::PeerKey { node: peer, key });
                    }
                }
                Output::Tunnel { peer, tunnel } => {
                    let mask = node.settings.tunnel_index_mask;
                    let indexes = |tunnel: &Tunnel| {
                        let accept = tunnel.accept.iter();
                        accept.map(|key| key & mask).collect::<Vec<_>>()
                    };
                    let ours = indexes(&tunnel);
                    let others = node.tunnels.iter().filter(|(it, _)| **it != peer);
                    for (_, other) in others {
                        let shared = indexes(other).iter().any(|index| ours.contains(index));
                        assert!(!shared, "two tunnels share an index");
                    }
                    node.tunnel_changes += 1;
                    node.tunnels.insert(peer, tunnel);
                }
                Output::Closed { peer, why } => {
                    let was_open = node.tunnels.remove(&peer).is_some();
                    let refused = matches!(why, Closing::Told { .. });
                    assert!(was_open || refused, "closed, not open");
                    node.closed.push((peer, why));
                }
                Output::Babel {
                    peer,
                    to_group,
                    packet,
                } => node.babel.push((peer, to_group, packet)),
                Output::Quality { peer, quality } => {
                    node.quality.insert(peer, quality);
                }
                Output::Probed {
                    node: peer,
                    round_trip,
                } => node.probed.push((peer, round_trip)),
                Output::Reached(by) => node.reached_by.push(by),
                Output::Document(document) => node.documents.push(document),
                Output::Event(event) => node.events.push(event),
            }
        }
    }

    /// Puts a packet on its way.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, payload: Payload) {
        self.packets += 1;
        self.holes.insert((from, to));
        let way = self.way;
        let size = match &payload {
            Payload::Channel(bytes) => bytes.len() + if to.is_ipv4() { 28 } else { 48 },
            Payload::Data(_) => 100,
        };
        let channel = matches!(payload, Payload::Channel(_));
        let packet = Packet {
            at: self.now,
            number: self.packets,
            from,
            to,
            payload,
        };
        if let Some(recorded) = self.recorded.as_mut().filter(|_| channel) {
            recorded.push(packet.clone());
        }
        let lost = channel && self.dice.below(100) < way.loss;
        if self.cut || lost || size > way.mtu {
            return;
        }
        let copies = 1 + u64::from(channel && self.dice.below(100) < way.duplication);
        for _ in 0..copies {
            let mut packet = packet.clone();
            packet.at = self.now + way.delay + self.dice.between(Duration::ZERO, way.jitter);
            self.queue.push(Reverse(packet));
        }
    }

    /// A packet of the data plane, with the key that is used now.
    pub fn send_data(&mut self, from: u64, to: u64) {
        let node = self.node(from);
        let Some(tunnel) = node.tunnels.get(&name(to)).cloned() else {
            return;
        };
        let source = node.nat.unwrap_or(node.address);
        self.send(source, tunnel.remote, Payload::Data(tunnel.send));
    }

    fn deliver(&mut self, packet: Packet) {
        let fits = |node: &Node| packet.to == node.nat.unwrap_or(node.address);
        let Some(node) = self.nodes.iter_mut().find(|node| fits(node)) else {
            return;
        };
        if self.answers_only && !self.holes.contains(&(packet.to, packet.from)) {
            return;
        }
        let (number, local) = (node.number, node.address.ip());
        match packet.payload {
            Payload::Channel(bytes) => {
                let from = packet.from;
                let to = local;
                self.input(
                    number,
                    Input::Datagram {
                        from,
                        to,
                        bytes: &bytes,
                    },
                );
            }
            Payload::Data(key) => {
                let accepts = |tunnel: &Tunnel| {
                    tunnel.remote.ip() == packet.from.ip() && tunnel.accept.contains(&key)
                };
                match node.tunnels.values().any(accepts) {
                    true => node.data_received += 1,
                    false => node.data_refused += 1,
                }
            }
        }
    }

    fn next(&self) -> Option<(Time, Option<u64>)> {
        let due = |node: &Node| {
            let at = node.channels.as_ref()?.next_deadline()?;
            Some((at.max(node.stalled_until), Some(node.number)))
        };
        let nodes = self.nodes.iter().filter_map(due).min();
        let packet = self.queue.peek().map(|packet| (packet.0.at, None));
        [packet, nodes].into_iter().flatten().min_by_key(|it| it.0)
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut turns = 0;
        while let Some((at, node)) = self.next().filter(|next| next.0 <= end) {
            turns = if at > self.now { 0 } else { turns + 1 };
            assert!(turns < 10_000, "time stands still");
            self.now = self.now.max(at);
            match node {
                Some(number) => self.input(number, Input::Time),
                None => {
                    if let Some(Reverse(packet)) = self.queue.pop() {
                        self.deliver(packet);
                    }
                }
            }
        }
        self.now = end;
    }

    /// A packet that no node of ours would send: any messages, in the session that is used.
    pub fn forge(&mut self, from: u64, to: u64, messages: &[Message<'_>]) -> Vec<u8> {
        let mut plaintext = Vec::new();
        for message in messages {
            message.encode(&mut plaintext);
        }
        let now = self.now;
        let channels = self.node(from).channels.as_mut().unwrap();
        let peer = channels.peers.get_mut(&name(to)).unwrap();
        peer.forge(now, &plaintext).unwrap()
    }

    /// The same, and it has come, from there.
    pub fn forge_from(&mut self, at: SocketAddr, from: u64, to: u64, messages: &[Message<'_>]) {
        let bytes = &self.forge(from, to, messages);
        let local = self.node(to).address.ip();
        let datagram = Input::Datagram {
            from: at,
            to: local,
            bytes,
        };
        self.input(to, datagram);
    }

    /// What people are shown of one's channel to the other.
    pub fn report(&mut self, of: u64, peer: u64) -> Option<PeerReport> {
        let now = self.now;
        let node = self.node(of);
        let wall = node.wall(now);
        let peers = node.channels.as_ref()?.peers(Now { elapsed: now, wall });
        let name = name(peer).common_name();
        peers.into_iter().find(|report| report.peer == name)
    }

    pub fn is_connected(&mut self, of: u64, peer: u64) -> bool {
        let report = self.report(of, peer);
        report.is_some_and(|report| report.state == PeerState::Connected)
    }

    /// Both have a channel to the other, and what each sends with its key is taken.
    pub fn assert_connected(&mut self, one: u64, other: u64) {
        for (of, peer) in [(one, other), (other, one)] {
            let report = self.report(of, peer);
            assert!(
                self.is_connected(of, peer),
                "{of} to {peer}: {report:#?}, {:#?}",
                self.node(of).events
            );
            let (from, to) = (self.node(of), name(peer));
            assert!(
                from.tunnels.contains_key(&to),
                "no tunnel from {of} to {peer}"
            );
            let before = self.node(peer).data_received;
            let way = std::mem::take(&mut self.way);
            self.send_data(of, peer);
            self.run(way.delay.max(MILLISECOND * 50));
            self.way = way;
            assert_eq!(
                self.node(peer).data_received,
                before + 1,
                "{peer} does not take what {of} sends"
            );
        }
    }
}
