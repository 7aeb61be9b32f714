//! Peers of a managed mesh: what their channels agree on becomes tunnels and links of the routing protocol, and what they say
//! goes to whom it concerns.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;

use super::{
    controller::Controller,
    instance::peer_link_local,
    transport::{ChannelDatagram, tunnel_id},
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        origins,
        output::{GROUP, OutgoingPacket},
    },
    certificate::{node::NodeCertificate, node_prefix::NodePrefix, static_key::StaticPublicKey},
    channel::{self, ChannelCredentials, Channels, Closing, Output, Policy, Settings},
    config::{Config, Encapsulation, Keys, SourcePort, Tunnel},
    dataplane::bpf::{
        handshakes::{self, HandshakeKeys},
        maps::Maps,
        stacking::Stacking,
    },
    io::random,
    membership::{
        channel::ChannelStanding,
        shell::{Request, Requests},
    },
    registry::documents::PostQuantum,
    time::Time,
    tunnel::{TunnelDriver as _, TunnelError},
};

/// How long tunnels of the life before are kept for their peers to be met again.
const INHERITED: Duration = Duration::from_secs(30);
/// How long keys of the life before are accepted beside those that a peer has agreed on since.
const OVERLAP: Duration = Duration::from_secs(10);
/// What every link of IPv6 must carry (RFC 8200 section 5), in bytes.
const IPV6_MINIMUM_MTU: u16 = 1280;
/// Handshakes without a cookie that a CPU lets through in a second: one takes a quarter of a millisecond.
const HANDSHAKES: u32 = 100;
/// Packets of Babel from one peer that wait.
const WAITING_BABEL: usize = 64;
/// Until another look whether routes have left tunnels that are to be closed.
const LEAVING: Duration = Duration::from_millis(100);
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

    /// The keys that a tunnel accepts besides those agreed on now.
    fn also_accepted(&mut self, peer: NodePrefix, now: Time, keys: &mut Keys) {
        let Some(inherited) = self.inherited.get_mut(&peer) else {
            return;
        };
        if !std::mem::replace(&mut inherited.met, true) {
            inherited.until = now + OVERLAP;
        }
        let known: Vec<u32> = keys.accepted().collect();
        let former = inherited.keys.iter().filter(|key| !known.contains(key));
        keys.former.extend(former);
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

/// A peer's tunnel as the data plane knows tunnels.
fn as_configured(peer: NodePrefix, tunnel: &channel::Tunnel, port: u16) -> Option<Tunnel> {
    let (local, former) = tunnel.accept.split_first()?;
    let mut keys = Keys::new(*local, tunnel.send);
    keys.former = former.to_vec();
    Some(Tunnel {
        name: peer.common_name(),
        remote: tunnel.remote.ip(),
        local: Some(tunnel.local),
        encapsulation: Encapsulation::Fou,
        keys,
        mtu: Some(tunnel.mtu),
        // a firewall on the way may let through nothing but what belongs to the channel's own flow, and nobody says so
        source_port: SourcePort::Fixed,
        remote_port: Some(tunnel.remote.port()).filter(|remote| *remote != port),
        of_peer: true,
    })
}

impl Controller {
    /// Whose channel a link's packets go through.
    pub(super) fn peer_of(&self, interface: InterfaceId) -> Option<NodePrefix> {
        let tunnel = &self.transport.tunnels.get(&interface)?.resolved.tunnel;
        tunnel.of_peer.then(|| node(&tunnel.name)).flatten()
    }

    /// The link through a peer's tunnel.
    fn link_to(&self, peer: NodePrefix) -> Option<InterfaceId> {
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
        let mut failed = None;
        for output in outputs {
            match output {
                Output::Send { to, from, bytes } => {
                    let sent = self.transport.send_channel(to, from, &bytes);
                    failed = sent.err().map(|error| (to, error)).or(failed);
                }
                output => {
                    if !peers.queue(output) {
                        self.transport.count("babel of a peer that says too much");
                    }
                }
            }
        }
        if let Some((to, error)) = failed {
            self.say(&format!("channel: nothing can be sent to {to}: {error}"));
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

    /// Closes tunnels that were cut off and that no route leads through any more.
    fn close_what_was_left(&mut self) {
        let now = self.now();
        let Some(peers) = &mut self.peers else {
            return;
        };
        if peers.closing.is_empty() || peers.close_at > now {
            return;
        }
        peers.close_at = now + LEAVING;
        let closing = std::mem::take(&mut peers.closing);
        let mut left = Vec::new();
        for number in closing {
            match self.installer.tunnels().close(number) {
                Ok(()) => {}
                Err(TunnelError::InUse { .. }) => left.push(number),
                Err(error) => {
                    self.say(&format!("WARNING: tunnel number {number}: {error}"));
                    left.push(number);
                }
            }
        }
        if let Some(peers) = &mut self.peers {
            peers.closing.extend(left);
        }
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
            Output::Event(event) => self.say(&event.to_string()),
            Output::Tunnel { peer, tunnel } => self.tunnel_to_peer(peer, &tunnel),
            Output::Closed { peer, why } => self.no_tunnel_to_peer(peer, &why),
            Output::Babel {
                peer,
                to_group,
                packet,
            } => self.hear_peer(peer, to_group, packet),
            Output::Quality { peer, quality } => {
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

    fn ask_membership(&mut self, request: Request) {
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

    /// Opens a peer's tunnel, or changes it.
    fn tunnel_to_peer(&mut self, peer: NodePrefix, tunnel: &channel::Tunnel) {
        let Some(mut tunnel) = as_configured(peer, tunnel, self.config.port) else {
            return;
        };
        let now = self.now();
        if let Some(peers) = &mut self.peers {
            peers.also_accepted(peer, now, &mut tunnel.keys);
        }
        let outcome = match self.link_to(peer) {
            _ if self.is_too_narrow(&tunnel) => self.close_peer_tunnel(&tunnel.name).and_then(|()| {
                bail!(
                    "tunnel {}: the path to {} leaves {} bytes for packets in it, and IPv6 needs {IPV6_MINIMUM_MTU}",
                    tunnel.name,
                    tunnel.remote,
                    tunnel.mtu.unwrap_or_default()
                )
            }),
            Some(interface) => self.change_peer_tunnel(interface, tunnel),
            None => self.open_peer_tunnel(peer, tunnel),
        };
        if outcome.is_ok()
            && let Some(interface) = self.link_to(peer)
        {
            self.entitle(peer, interface);
        }
        let why = outcome.as_ref().err().map(|error| format!("{error:#}"));
        self.tell(&format!("peer {}", peer.common_name()), outcome);
        if let Some(why) = why {
            self.channel(channel::Input::NoTunnel { peer, why });
        }
    }

    /// Whether the mesh's packets do not fit, whatever senders are told.
    fn is_too_narrow(&self, tunnel: &Tunnel) -> bool {
        let mut addresses = self.config.addresses.iter();
        tunnel.mtu.is_some_and(|mtu| mtu < IPV6_MINIMUM_MTU)
            && addresses.any(|address| address.addr().is_ipv6())
    }

    fn open_peer_tunnel(&mut self, peer: NodePrefix, tunnel: Tunnel) -> Result<Option<String>> {
        let name = tunnel.name.clone();
        let others = self.config.tunnels.iter();
        let others = others.filter(|other| other.name != name).cloned();
        let Some(then) = self.config.with_tunnels(others.chain([tunnel]).collect()) else {
            bail!("tunnel {name}: its key is another tunnel's");
        };
        let told = match self.steps(&then)? {
            Some(steps) => self.take(then, steps)?,
            None => self.load(then)?,
        };
        told.iter().for_each(|told| self.say(told));
        match self.link_to(peer) {
            Some(_) => Ok(None),
            None => {
                let missing = &self.instance.manifest.missing;
                let why = missing
                    .iter()
                    .find(|(what, _)| what.ends_with(&format!(" {name}")));
                bail!(why.map_or_else(
                    || format!("tunnel {name} is not open"),
                    |(_, why)| why.clone()
                ))
            }
        }
    }

    fn change_peer_tunnel(
        &mut self,
        interface: InterfaceId,
        tunnel: Tunnel,
    ) -> Result<Option<String>> {
        let mut config = self.config.clone();
        if !config.replace_tunnel(&tunnel) {
            bail!("tunnel {}: its key is another tunnel's", tunnel.name);
        }
        let stacking = Stacking::query(&mut self.host.netlink)?;
        let way = self.way(&config, &tunnel, &stacking)?;
        self.change_tunnel(interface, way)
            .with_context(|| format!("tunnel {}", tunnel.name))?;
        self.config = config;
        let peers = self.config.tunnels.iter().map(|tunnel| tunnel.remote);
        self.installer.set_peers(peers.collect());
        Ok(None)
    }

    /// What the peer may announce as its own.
    pub(super) fn entitle(&mut self, peer: NodePrefix, interface: InterfaceId) {
        let Some((peers, told)) = self
            .peers
            .as_ref()
            .and_then(|peers| Some((peers, peers.told.as_ref()?)))
        else {
            return;
        };
        let network = told.authorities.network();
        let ipv6 = peer.subnet(&network).map(IpNet::V6);
        let serial = peers.channels.certificate(peer);
        let serial = serial.map(NodeCertificate::subject_serial);
        let ipv4 = told
            .ipv4
            .zip(serial)
            .and_then(|(ipv4, serial)| ipv4.address(serial));
        let prefixes = ipv6.into_iter().chain(ipv4.map(IpNet::V4));
        let prefixes = prefixes.map(|prefix| prefix.trunc()).collect();
        // one whose prefix is too long has no such router-id: nobody believes what it announces
        let Some(router_id) = origins::router_id_of(&peer, 0) else {
            return;
        };
        self.handle(Input::Entitlement {
            interface,
            router_id_prefix: origins::name_of(router_id),
            prefixes,
            gateway: false,
        });
    }

    /// Takes a peer's tunnel away.
    fn no_tunnel_to_peer(&mut self, peer: NodePrefix, why: &Closing) {
        let name = peer.common_name();
        if let Some(peers) = &mut self.peers {
            peers.inherited.remove(&peer);
        }
        if self.config.tunnel(&name).is_none() {
            return;
        }
        let outcome = self.close_peer_tunnel(&name);
        let outcome = outcome.with_context(|| format!("tunnel {name}, whose peer left: {why}"));
        let outcome = outcome.map(|()| None);
        self.tell(&format!("peer {name}"), outcome);
    }

    fn close_peer_tunnel(&mut self, name: &str) -> Result<()> {
        let others = self.config.tunnels.iter();
        let others = others.filter(|other| other.name != name).cloned();
        let Some(then) = self.config.with_tunnels(others.collect()) else {
            bail!("the keys of the other tunnels are not told apart");
        };
        let told = match self.steps(&then)? {
            Some(steps) => self.take(then, steps)?,
            None => self.load(then)?,
        };
        told.iter().for_each(|told| self.say(told));
        Ok(())
    }

    /// Keys of the life before end, and tunnels whose peers were not met again.
    fn forget_inherited(&mut self) {
        let now = self.now();
        let Some(peers) = &mut self.peers else {
            return;
        };
        let ended = peers
            .inherited
            .extract_if(.., |_, inherited| inherited.until <= now);
        for (peer, inherited) in ended.collect::<Vec<_>>() {
            let name = peer.common_name();
            let Some(mut tunnel) = self.config.tunnel(&name).cloned() else {
                continue;
            };
            let outcome = match (inherited.met, self.link_to(peer)) {
                (true, Some(interface)) => {
                    tunnel
                        .keys
                        .former
                        .retain(|key| !inherited.keys.contains(key));
                    self.change_peer_tunnel(interface, tunnel)
                }
                (true, None) => Ok(None),
                (false, _) => {
                    self.say(&format!(
                        "peer {name}: not met again since the restart; its tunnel is closed"
                    ));
                    self.close_peer_tunnel(&name).map(|()| None)
                }
            };
            self.tell(&format!("peer {name}"), outcome);
        }
    }

    /// Tells the channels what the membership says now, and the peers of the file.
    pub(super) fn tell_channels(&mut self) {
        let Some(standing) = &self.membership else {
            return;
        };
        let standing = standing.borrow().channel.clone();
        let (Some(now), Some(peers)) = (standing, &mut self.peers) else {
            return;
        };
        let before = peers.told.replace(now.clone());
        let before = before.as_ref();
        let first = before.is_none();
        let entitled_otherwise = before.is_some_and(|before| before.ipv4 != now.ipv4);
        let credentials = before.is_none_or(|before| {
            !Arc::ptr_eq(&before.certificate, &now.certificate)
                || !Arc::ptr_eq(&before.authorities, &now.authorities)
                || !Arc::ptr_eq(&before.revoked, &now.revoked)
        });
        let held = before.is_none_or(|before| !Arc::ptr_eq(&before.held, &now.held));
        let known = before.map(|before| before.keys.clone()).unwrap_or_default();
        let news: Vec<(NodePrefix, StaticPublicKey)> = now
            .keys
            .iter()
            .filter(|(node, key)| known.get(node) != Some(key))
            .map(|(node, key)| (*node, *key))
            .collect();
        if credentials {
            let credentials = ChannelCredentials {
                key: (*now.static_key).clone(),
                certificate: (*now.certificate).clone(),
                authorities: (*now.authorities).clone(),
                revoked: (*now.revoked).clone(),
            };
            self.channel(channel::Input::Credentials(Box::new(credentials)));
        }
        if held {
            self.channel(channel::Input::PostQuantum(policy(now.post_quantum)));
            self.channel(channel::Input::Held(channel::Held {
                parameters: now.held.parameters.clone(),
                revocations: now.held.revocations.clone(),
                successions: now.held.successions.clone(),
            }));
        }
        if first {
            self.judge_handshakes();
            self.tell_peers();
        }
        for (node, key) in news {
            self.channel(channel::Input::PeerKey { node, key });
            self.call_again(node, key);
        }
        if first {
            self.ask_for_inherited();
        }
        if entitled_otherwise {
            self.entitle_all();
        }
    }

    /// Whoever had a tunnel in the life before is called, though nobody has named it: it may not know where this node is now.
    fn call_again(&mut self, node: NodePrefix, key: StaticPublicKey) {
        let peers = self.peers.as_ref();
        let inherited = peers.and_then(|peers| peers.inherited.get(&node));
        if inherited.is_none_or(|inherited| inherited.met) {
            return;
        }
        if let Some(tunnel) = self.config.tunnel(&node.common_name()) {
            let port = tunnel.remote_port.unwrap_or(self.config.port);
            let address = SocketAddr::new(tunnel.remote, port);
            self.channel(channel::Input::Restored(vec![(node, address, key)]));
        }
    }

    /// For that its key has to be known.
    fn ask_for_inherited(&mut self) {
        let Some(peers) = &self.peers else {
            return;
        };
        let known = peers.told.as_ref().map(|told| Arc::clone(&told.keys));
        let known = known.unwrap_or_default();
        let nodes = peers.inherited.keys().copied();
        let unknown: Vec<NodePrefix> = nodes.filter(|node| !known.contains_key(node)).collect();
        for node in unknown {
            self.ask_membership(Request::NodeKey(node));
        }
    }

    fn entitle_all(&mut self) {
        let links = self.transport.tunnels.keys().copied();
        let links: Vec<InterfaceId> = links.collect();
        for link in links {
            if let Some(peer) = self.peer_of(link) {
                self.entitle(peer, link);
            }
        }
    }

    /// Has XDP judge handshakes with this node, also after another load.
    pub(super) fn judge_handshakes(&mut self) {
        let told = self.peers.as_ref().and_then(|peers| peers.told.as_ref());
        let keys = told.map(|told| HandshakeKeys {
            mac_key: channel::handshake::mac_key(&told.static_key.public_key()),
            rate: HANDSHAKES,
            burst: HANDSHAKES,
        });
        let maps = Maps::new(self.instance.pins.folder());
        let outcome = handshakes::set(&maps, keys.as_ref()).context("handshakes");
        self.tell("handshakes", outcome.map(|()| None));
    }

    /// Tells the channels whom the file names.
    pub(super) fn tell_peers(&mut self) {
        let peers = self.config.peers.iter().map(|peer| channel::Peer {
            node: peer.node,
            address: peer.address,
            key: peer.key,
        });
        let peers = peers.collect();
        self.channel(channel::Input::Peers(peers));
    }

    /// A configuration with the tunnels that peers have agreed on besides its own.
    pub(super) fn with_peers(&self, config: &Config) -> Result<Config> {
        let own = config.tunnels.iter().filter(|tunnel| !tunnel.of_peer);
        let of_peers = self.config.tunnels.iter().filter(|tunnel| tunnel.of_peer);
        let tunnels = own.chain(of_peers).cloned().collect();
        config.with_tunnels(tunnels).context(
            "a tunnel's key is like that of a tunnel to a peer, which was chosen at random: try again, or give it another",
        )
    }
}

const fn policy(post_quantum: PostQuantum) -> Policy {
    match post_quantum {
        PostQuantum::Off => Policy::Off,
        PostQuantum::Preferred => Policy::Preferred,
        PostQuantum::Required => Policy::Required,
    }
}

/// How channels are set up beside what is loaded: `mask` and `tunnels` are the data plane's.
pub(super) fn settings(config: &Config, mask: u32) -> Settings {
    let own = config.tunnels.iter().filter(|tunnel| !tunnel.of_peer);
    Settings {
        port: config.port,
        tunnel_index_mask: mask,
        reserved_indexes: own.map(|tunnel| tunnel.keys.local & mask).collect(),
        ..Settings::default()
    }
}
