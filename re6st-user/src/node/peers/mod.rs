//! Peers of a managed mesh: what their channels agree on becomes tunnels and links of the routing protocol, and what they say
//! goes to whom it concerns.

mod told;
mod tunnels;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

pub(super) use told::settings;

use super::{
    controller::Controller,
    instance::peer_link_local,
    transport::{ChannelDatagram, tunnel_id},
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        output::{GROUP, OutgoingPacket},
    },
    certificate::node_prefix::NodePrefix,
    channel::{self, Channels, Output, Settings},
    config::Config,
    io::random,
    membership::{
        channel::ChannelStanding,
        shell::{Request, Requests},
    },
    mesh,
    time::Time,
};

/// How long tunnels of the life before are kept for their peers to be met again.
const INHERITED: Duration = Duration::from_secs(30);
/// Packets of Babel from one peer that wait.
const WAITING_BABEL: usize = 64;
/// What channels want that is done in one turn.
const BATCH: usize = 256;

/// The channels of this node.
pub(super) struct Peers {
    pub channels: Channels,
    /// How the membership is asked.
    requests: Requests,
    /// What the channels were told last of what the membership says.
    told: Option<ChannelStanding>,
    /// What channels want, but for packets, which are sent at once.
    waiting: VecDeque<Output>,
    /// Keys of the life before that are accepted until then.
    inherited: BTreeMap<NodePrefix, Inherited>,
    /// Numbers of tunnels that are cut off, and are closed when no route leads there any more.
    closing: Vec<u32>,
    /// When that is tried next.
    close_at: Time,
}

/// What is left of a peer's tunnel of the life before.
struct Inherited {
    keys: Vec<u32>,
    until: Time,
    /// Whether the peer was met again.
    met: bool,
}

impl Peers {
    /// No channels yet. `config` has the tunnels of the life before.
    pub fn new(requests: Requests, settings: Settings, config: &Config, now: Time) -> Self {
        let of_peers = config.tunnels.iter().filter(|tunnel| tunnel.of_peer);
        let inherited = of_peers.filter_map(|tunnel| {
            let inherited = Inherited {
                keys: tunnel.keys.accepted().collect(),
                until: now + INHERITED,
                met: false,
            };
            Some((node(&tunnel.name)?, inherited))
        });
        Self {
            channels: Channels::new(settings),
            requests,
            told: None,
            waiting: VecDeque::new(),
            inherited: inherited.collect(),
            closing: Vec::new(),
            close_at: now,
        }
    }

    /// Whose tunnels of the life before have not ended yet.
    pub fn inherited(&self) -> impl Iterator<Item = NodePrefix> {
        self.inherited.keys().copied()
    }

    /// What the membership said last.
    pub const fn told(&self) -> Option<&ChannelStanding> {
        self.told.as_ref()
    }

    /// A tunnel is to be closed when no route leads there any more.
    pub fn close_when_left(&mut self, number: u32) {
        self.closing.push(number);
        self.close_at = Time::default();
    }

    /// All is loaded anew.
    pub fn nothing_to_close(&mut self) {
        self.closing.clear();
    }

    /// Puts something in the queue. Of a peer's tunnel the last word counts, its end before all else, and what it says of
    /// routes has little room: no peer keeps others waiting. Whether there was room.
    fn queue(&mut self, output: Output) -> bool {
        match &output {
            Output::Closed { peer, .. } => {
                let peer = *peer;
                self.waiting.retain(|waiting| of(waiting) != Some(peer));
                self.waiting.push_front(output);
                return true;
            }
            Output::Tunnel { peer, .. } => {
                let former = |waiting: &&mut Output| matches!(waiting, Output::Tunnel { peer: former, .. } if former == peer);
                if let Some(former) = self.waiting.iter_mut().find(former) {
                    *former = output;
                    return true;
                }
            }
            Output::Babel { peer, .. } => {
                let of_it = self.waiting.iter().filter(
                    |waiting| matches!(waiting, Output::Babel { peer: of_it, .. } if of_it == peer),
                );
                if of_it.count() >= WAITING_BABEL {
                    return false;
                }
            }
            _ => {}
        }
        self.waiting.push_back(output);
        true
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.waiting.is_empty() {
            return Some(Time::default());
        }
        let inherited = self.inherited.values().map(|inherited| inherited.until);
        let closing = (!self.closing.is_empty()).then_some(self.close_at);
        let others = inherited.chain(closing);
        others.chain(self.channels.next_deadline()).min()
    }
}

/// Whom something is about.
const fn of(output: &Output) -> Option<NodePrefix> {
    match output {
        Output::Tunnel { peer, .. }
        | Output::Closed { peer, .. }
        | Output::Babel { peer, .. }
        | Output::Quality { peer, .. } => Some(*peer),
        _ => None,
    }
}

/// The node at the other end of a tunnel with this name, if it is a peer's.
pub(super) fn node(name: &str) -> Option<NodePrefix> {
    NodePrefix::from_common_name(name).ok()
}

impl Controller {
    /// Whose channel a link's packets go through.
    pub(super) fn peer_of(&self, interface: InterfaceId) -> Option<NodePrefix> {
        let tunnel = &self.transport.tunnels.get(&interface)?.resolved.tunnel;
        tunnel.of_peer.then(|| node(&tunnel.name)).flatten()
    }

    /// The link through a peer's tunnel.
    pub(super) fn link_to(&self, peer: NodePrefix) -> Option<InterfaceId> {
        let name = peer.common_name();
        let number = self.instance.manifest.tunnels.get(&name)?;
        let interface = tunnel_id(*number);
        self.transport
            .tunnels
            .contains_key(&interface)
            .then_some(interface)
    }

    /// Something happened to the channels. Packets are sent at once, all else is done later in the turn.
    pub(super) fn channel(&mut self, input: channel::Input<'_>) {
        let Some(peers) = &mut self.peers else {
            return;
        };
        let now = self.clock.now();
        let mut outputs = Vec::new();
        peers
            .channels
            .handle(now, input, &mut random::fill, &mut outputs);
        let mut failed = Vec::new();
        for output in outputs {
            match output {
                Output::Send { to, from, bytes } => {
                    let sent = self.transport.send_channel(to, from, &bytes);
                    failed.extend(sent.err().map(|error| (to, error)));
                }
                output => {
                    if !peers.queue(output) {
                        self.transport.count("babel of a peer that says too much");
                    }
                }
            }
        }
        for (to, error) in failed {
            let text = format!("channel: nothing can be sent to {to}: {error}");
            self.log
                .say_of(now.elapsed, "channel: nothing can be sent", &text);
            // each address of a peer once at most, so this comes to an end
            self.channel(channel::Input::Unsendable(to));
        }
    }

    /// A packet of the routing protocol for a peer.
    pub(super) fn send_to_peer(
        &mut self,
        peer: NodePrefix,
        destination: Ipv6Addr,
        packet: OutgoingPacket,
    ) {
        let packet = packet.stamped(self.now());
        self.channel(channel::Input::Babel {
            peer,
            unicast: destination != GROUP,
            packet: &packet,
        });
    }

    /// Does what has arrived, what is due, and what the channels want.
    pub(super) fn go_on_with_channels(&mut self) {
        for datagram in std::mem::take(&mut self.transport.arrived) {
            let ChannelDatagram { from, to, bytes } = datagram;
            if !self.is_outer(from.ip()) {
                self.transport
                    .count("channel packet from an address of the mesh, or of nobody");
                continue;
            }
            let bytes = &bytes;
            self.channel(channel::Input::Datagram { from, to, bytes });
        }
        let now = self.now();
        let due = |peers: &Peers| {
            let deadline = peers.channels.next_deadline();
            deadline.is_some_and(|deadline| deadline <= now)
        };
        if self.peers.as_ref().is_some_and(due) {
            self.channel(channel::Input::Time);
        }
        for _ in 0..BATCH {
            let Some(wanted) = self
                .peers
                .as_mut()
                .and_then(|peers| peers.waiting.pop_front())
            else {
                break;
            };
            self.do_for_channels(wanted);
        }
        self.forget_inherited();
        self.close_what_was_left();
    }

    /// Whether it may be a peer's outer address: a tunnel to one that is in the mesh would take that from its holder.
    fn is_outer(&self, address: IpAddr) -> bool {
        let mut networks = self.config.networks.iter();
        let special = address.is_multicast() || address.is_unspecified() || address.is_loopback();
        !special && !networks.any(|network| network.contains(&address))
    }

    fn do_for_channels(&mut self, wanted: Output) {
        match wanted {
            Output::Send { to, from, bytes } => {
                // counted
                let _ = self.transport.send_channel(to, from, &bytes);
            }
            Output::WantKey(node) => {
                let told = self.peers.as_ref().and_then(|peers| peers.told.as_ref());
                let known = told.and_then(|told| told.keys.get(&node)).copied();
                // also if it is known: it may be another by now
                self.ask_membership(Request::NodeKey(node));
                if let Some(key) = known {
                    self.channel(channel::Input::PeerKey { node, key });
                }
            }
            Output::Document(envelope) => self.ask_membership(Request::Document(envelope)),
            Output::Event(event) => {
                if let channel::Event::NoAnswer { peer, .. } = event {
                    self.mesh_has_no_answer(peer);
                }
                let now = self.now();
                self.log.say_of(now, &event.subject(), &event.to_string());
            }
            Output::Tunnel { peer, tunnel } => self.tunnel_to_peer(peer, &tunnel),
            Output::Closed { peer, why } => self.no_tunnel_to_peer(peer, &why),
            Output::Babel {
                peer,
                to_group,
                packet,
            } => self.hear_peer(peer, to_group, packet),
            Output::Probed { node, round_trip } => {
                self.mesh(mesh::Input::Probed { node, round_trip });
            }
            Output::Reached(_) => self.mesh(mesh::Input::Reached),
            Output::Quality { peer, quality } => {
                self.mesh(mesh::Input::Quality {
                    node: peer,
                    round_trip: quality.round_trip,
                    loss: quality.loss_out.max(quality.loss_in),
                });
                if let Some(interface) = self.link_to(peer) {
                    self.handle(Input::Quality {
                        interface,
                        round_trip: quality.round_trip,
                        loss_out: quality.loss_out,
                        loss_in: quality.loss_in,
                        responsive: quality.responsive,
                    });
                }
            }
        }
    }

    pub(super) fn ask_membership(&mut self, request: Request) {
        let taken = self
            .peers
            .as_ref()
            .is_some_and(|peers| peers.requests.send(request));
        if !taken {
            self.transport.count("too many questions to the membership");
        }
    }

    fn hear_peer(&mut self, peer: NodePrefix, to_group: bool, bytes: Vec<u8>) {
        let Some((interface, link)) = self
            .link_to(peer)
            .and_then(|id| Some((id, self.transport.tunnels.get(&id)?)))
        else {
            self.transport
                .count("babel of a peer whose tunnel is not open");
            return;
        };
        let destination = match to_group {
            true => GROUP,
            false => link.link_local,
        };
        let received_at = self.now();
        self.handle(Input::Received {
            interface,
            source: peer_link_local(peer),
            destination,
            bytes,
            received_at,
        });
    }
}
