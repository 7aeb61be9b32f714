//! The mesh of this node: whom it wants tunnels to is told to the channels, and what becomes of them to it.
//!
//! ```text
//! registry ─► records ─┐                       ┌─► channels ─► tunnels ─► routes
//! other nodes ─────────┼─► Mesh::handle ─► here ┤
//! routes, tunnels ─────┘                       └─► questions over the mesh, the registry, the log
//! ```

mod cache;
mod calling;
mod keys;
mod mapped;
mod questions;
mod routes;
mod settings;
mod standing;
mod whereabouts;

use std::{collections::BTreeMap, io, net::SocketAddr, os::fd::AsFd as _};

use anyhow::Context as _;

pub use self::mapped::MappedPort;
use self::{
    cache::Cache,
    keys::Keys,
    questions::Questions,
    routes::{Reachable, View},
    whereabouts::Places,
};
use super::{control::MeshReport, controller::Controller, outside::QUESTIONS};
use crate::{
    certificate::{
        network::Network, node_prefix::NodePrefix, record::NodeRecord, static_key::StaticPublicKey,
    },
    channel,
    io::random,
    membership::shell::Request,
    mesh::{
        self, Address, Input, Known, Loss, Mesh, OpenFailure, OpenedBy, Output, Protocol, Settings,
    },
    time::Time,
};

/// Nodes that the registry is asked for at a time.
const NEWCOMERS: u8 = 8;

/// The mesh of this node.
pub(super) struct NodeMesh {
    mesh: Mesh,
    /// What it was told last.
    told: Settings,
    own: NodePrefix,
    network: Network,
    /// Whom the mesh wants tunnels to, and where they may be.
    wanted: BTreeMap<NodePrefix, Vec<SocketAddr>>,
    /// Out of records.
    keys: Keys,
    reachable: Reachable,
    questions: Questions,
    places: Places,
    /// None if it cannot be had.
    cache: Option<Cache>,
    standing: standing::Heard,
}

impl NodeMesh {
    /// The mesh of a node that has no tunnels yet.
    pub fn new(settings: Settings, own: NodePrefix, network: Network) -> Self {
        Self {
            mesh: Mesh::new(own, settings.clone()),
            told: settings,
            own,
            network,
            wanted: BTreeMap::new(),
            keys: Keys::default(),
            reachable: Reachable::default(),
            questions: Questions::default(),
            places: Places::default(),
            cache: None,
            standing: standing::Heard::default(),
        }
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let cache = self.cache.as_ref().and_then(Cache::next_deadline);
        let own = [
            self.mesh.next_deadline(),
            self.places.next_deadline(),
            cache,
        ];
        own.into_iter().flatten().min()
    }

    /// Whom the channels are to call besides those of the file.
    pub fn peers(&self) -> impl Iterator<Item = channel::Peer> {
        self.wanted.iter().map(|(node, addresses)| channel::Peer {
            node: *node,
            addresses: addresses.clone(),
            key: None,
        })
    }

    /// What people are shown.
    pub fn report(&self, now: Time) -> MeshReport {
        let (client_count, max_clients) = match self.told.client_mode {
            true => (self.told.client_count.min(1), 0),
            false => (self.told.client_count, self.told.max_clients),
        };
        MeshReport {
            reachable: self.reachable.count(),
            client_count,
            max_clients,
            seen: self.mesh.report(now),
            addresses: self.places.addresses().to_vec(),
            mapped_port: self.places.mapped,
            counters: *self.mesh.counters(),
        }
    }

    /// Takes what a node says of itself, unless it has said something else since. Whether it was taken.
    fn learn(&mut self, record: &NodeRecord) -> bool {
        let is_newest = self.keys.learn(record);
        if is_newest {
            self.standing.has_record(record.node());
        }
        is_newest
    }
}

/// What the peer hears of why we close its tunnel.
const fn closing(why: mesh::Closing) -> channel::Closing {
    match why {
        mesh::Closing::Full => channel::Closing::Full,
        mesh::Closing::Expelled => channel::Closing::Revoked,
        mesh::Closing::ShutDown => channel::Closing::ShutDown,
        mesh::Closing::Replaced
        | mesh::Closing::NotNeeded
        | mesh::Closing::Idle
        | mesh::Closing::OtherCountry
        | mesh::Closing::Disabled
        | mesh::Closing::Late
        | mesh::Closing::BrokenPromise => channel::Closing::NotNeeded,
    }
}

/// What a record says of its node.
fn known(record: &NodeRecord) -> Known {
    let whereabouts = record.whereabouts();
    let addresses = whereabouts.addresses.iter().map(|socket| Address {
        socket: *socket,
        protocol: Protocol::Udp,
        country: whereabouts.country,
        is_open: whereabouts.open,
    });
    Known {
        node: record.node(),
        addresses: addresses.collect(),
        owner: None,
        made_at: Some(record.made_at()),
    }
}

impl Controller {
    /// Opens what the mesh asks by.
    pub(super) fn begin_mesh(&mut self) {
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        let outcome = match mesh.own.address(&mesh.network) {
            Some(address) => mesh.questions.open(address.addr()),
            None => Ok(()),
        };
        let outcome = outcome.and_then(|()| match &mesh.questions.socket {
            Some(socket) => self.readiness.add(socket.as_fd(), QUESTIONS),
            None => Ok(()),
        });
        let outcome = outcome.context("mesh: other nodes cannot be asked where they are");
        self.tell("mesh", outcome.map(|()| None));
        let remembered = self.remembered();
        self.mesh(remembered);
        let inherited = self.peers.iter().flat_map(|peers| peers.inherited());
        for node in Vec::from_iter(inherited) {
            // whose it was is not known any more: it stays as long as the peer wants it
            self.tell_mesh_of(node, OpenedBy::Peer);
        }
    }

    /// What was known in the life before.
    fn remembered(&mut self) -> Input {
        let (mut peers, mut anchors) = (Vec::new(), Vec::new());
        if let Some(mesh) = &mut self.mesh {
            let path = self.state.directory().join("mesh.db");
            let outcome = Cache::open(&path).and_then(|cache| {
                let known = cache.nodes().map_err(io::Error::other)?;
                anchors = cache.anchors().map_err(io::Error::other)?;
                mesh.cache = Some(cache);
                for (node, key) in known {
                    if let Some(key) = key {
                        mesh.keys.remember(&node, key);
                    }
                    peers.push(node);
                }
                Ok(())
            });
            let outcome = outcome.with_context(|| path.display().to_string());
            self.tell("mesh cache", outcome.map(|()| None));
        }
        Input::Remembered { peers, anchors }
    }

    /// Does something with the cache.
    fn with_cache(&mut self, act: impl FnOnce(&mut Cache, &Keys)) {
        if let Some(mesh) = &mut self.mesh
            && let Some(cache) = &mut mesh.cache
        {
            act(cache, &mesh.keys);
        }
    }

    /// Writes what waits to be remembered. The cache is a help alone: what fails is counted.
    pub(super) fn write_mesh_cache(&mut self) {
        let now = self.now();
        let mut outcome = Ok(());
        self.with_cache(|cache, _| outcome = cache.write(now));
        if outcome.is_err() {
            self.transport.count("mesh: the cache could not be written");
        }
    }

    /// Something happened to the mesh: what it wants is done.
    pub(super) fn mesh(&mut self, input: Input) {
        let now = self.now();
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        let routing = &*self.routing;
        mesh.reachable.look(now, routing, &mesh.network, mesh.own);
        let view = View {
            reachable: &mesh.reachable,
            routing,
            network: mesh.network,
            now,
        };
        let mut outputs = Vec::new();
        mesh.mesh
            .handle(now, input, &view, &mut random::fill, &mut outputs);
        for output in outputs {
            self.do_for_mesh(output);
        }
    }

    fn do_for_mesh(&mut self, wanted: Output) {
        let now = self.now();
        match wanted {
            Output::Open {
                node, addresses, ..
            } => self.want_tunnel(node, &addresses),
            Output::Drain(node) => self.drain(&node.common_name()),
            Output::Undrain(node) => self.undrain(&node.common_name()),
            Output::Close { node, why } => self.want_no_tunnel(node, why),
            Output::Ask {
                node,
                id,
                destinations,
                reach_us,
            } => self.ask_node(node, id, (&destinations, reach_us)),
            // where we are says our record
            Output::Answer {
                node,
                id,
                has_room,
                metrics,
                addresses: _,
            } => self.answer_node(node, id, (has_room, metrics)),
            Output::Probe { node, addresses } => self.probe_for_mesh(node, &addresses),
            Output::Reach { node, addresses } => self.reach_for_mesh(node, &addresses),
            Output::AskRegistry => self.ask_membership(Request::Others(NEWCOMERS)),
            Output::Remember(known) => self.with_cache(|cache, keys| {
                let key = keys.get(known.node);
                cache.remember(now, known, key);
            }),
            Output::Forget(node) => self.with_cache(|cache, _| cache.forget(now, node)),
            Output::Anchors(nodes) => self.with_cache(|cache, _| cache.set_anchors(now, nodes)),
            Output::Event(event) => self.say(&event.to_string()),
        }
    }

    /// The round trip to a node is to be measured.
    fn probe_for_mesh(&mut self, node: NodePrefix, addresses: &[Address]) {
        let addresses = self.where_to_call(addresses);
        match self.key_of(node) {
            Some(key) => self.channel(channel::Input::Probe {
                node,
                key,
                addresses,
            }),
            None => {
                self.transport
                    .count("mesh: the key of a node to probe is not known");
                let round_trip = None;
                self.mesh(Input::Probed { node, round_trip });
            }
        }
    }

    /// A node is to be reached, so that it knows that it can be.
    fn reach_for_mesh(&mut self, node: NodePrefix, addresses: &[Address]) {
        let addresses = self.where_to_call(addresses);
        match self.key_of(node) {
            Some(key) => self.channel(channel::Input::Reach {
                node,
                key,
                addresses,
            }),
            None => self
                .transport
                .count("mesh: the key of a node to reach is not known"),
        }
    }

    /// A node's X25519 key, as it or the registry has said.
    fn key_of(&self, node: NodePrefix) -> Option<StaticPublicKey> {
        let told = self.peers.as_ref().and_then(|peers| peers.told());
        let of_registry = || told.and_then(|told| told.keys.get(&node)).copied();
        let said = self.mesh.as_ref().and_then(|mesh| mesh.keys.get(node));
        said.or_else(of_registry)
    }

    /// The channels are to call a node.
    fn want_tunnel(&mut self, node: NodePrefix, addresses: &[Address]) {
        let addresses = self.where_to_call(addresses);
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        mesh.wanted.insert(node, addresses);
        let key = mesh.keys.get(node);
        self.tell_peers();
        if let Some(key) = key {
            self.channel(channel::Input::PeerKey { node, key });
        }
        // it may have opened one meanwhile
        if self.link_to(node).is_some() {
            self.mesh_tunnel_is_up(node);
        }
    }

    fn want_no_tunnel(&mut self, node: NodePrefix, why: mesh::Closing) {
        if let Some(mesh) = &mut self.mesh {
            mesh.wanted.remove(&node);
        }
        let named = self.config.peers.iter().any(|peer| peer.node == node);
        if named {
            self.undrain(&node.common_name());
        } else {
            let why = closing(why);
            self.channel(channel::Input::Close { node, why });
        }
        self.tell_peers();
    }

    /// A tunnel to a peer is open.
    pub(super) fn mesh_tunnel_is_up(&mut self, node: NodePrefix) {
        let peers = self.peers.as_ref();
        let opened_by = peers.and_then(|peers| peers.channels.opened_by(node));
        self.tell_mesh_of(
            node,
            match opened_by {
                Some(channel::OpenedBy::Us) | None => OpenedBy::Us,
                Some(channel::OpenedBy::Peer) => OpenedBy::Peer,
            },
        );
    }

    fn tell_mesh_of(&mut self, node: NodePrefix, opened_by: OpenedBy) {
        let tunnel = self.config.tunnel(&node.common_name());
        let Some(tunnel) = tunnel.filter(|_| self.mesh.is_some()) else {
            return;
        };
        let port = tunnel.remote_port.unwrap_or(self.config.port);
        let address = Address::udp(SocketAddr::new(tunnel.remote, port));
        self.mesh(Input::Up {
            node,
            opened_by,
            address,
        });
    }

    /// A peer's channel is closed.
    pub(super) fn mesh_tunnel_is_closed(&mut self, node: NodePrefix, why: &channel::Closing) {
        use channel::{Closing, wire::message::CloseReason};
        let why = match why {
            Closing::Silent => Loss::Silent,
            Closing::Told { reason, .. } => match reason {
                CloseReason::Full => Loss::Full,
                _ => Loss::ByPeer,
            },
            Closing::NotWanted | Closing::NotNeeded | Closing::Full | Closing::ShutDown => {
                Loss::Local
            }
            Closing::Revoked
            | Closing::Expired
            | Closing::NotTrusted
            | Closing::PostQuantum
            | Closing::OwnName
            | Closing::OtherKey => Loss::NotTrusted,
        };
        self.undrain(&node.common_name());
        if let Some(mesh) = &mut self.mesh {
            mesh.wanted.remove(&node);
            self.tell_peers();
            self.mesh(Input::Closed { node, why });
        }
    }

    /// A peer did not answer, wherever it was called.
    pub(super) fn mesh_has_no_answer(&mut self, node: NodePrefix) {
        let wanted = self.mesh.as_mut().map(|mesh| &mut mesh.wanted);
        if wanted.and_then(|wanted| wanted.remove(&node)).is_none() {
            return;
        }
        self.tell_peers();
        let why = OpenFailure::Unreachable;
        self.mesh(Input::OpenFailed { node, why });
    }

    /// Takes what the membership says of other nodes, and does what is due.
    pub(super) fn go_on_with_mesh(&mut self) {
        self.hear_membership();
        self.take_questions();
        self.look_where_we_are();
        let now = self.now();
        let due = |mesh: &NodeMesh| {
            let deadline = mesh.mesh.next_deadline();
            deadline.is_some_and(|deadline| deadline <= now)
        };
        if self.mesh.as_ref().is_some_and(due) {
            self.mesh(Input::Time);
        }
        let cache = self.mesh.as_ref().and_then(|mesh| mesh.cache.as_ref());
        if cache
            .and_then(Cache::next_deadline)
            .is_some_and(|at| at <= now)
        {
            self.write_mesh_cache();
        }
    }
}
