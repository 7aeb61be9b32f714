//! Peers of a managed mesh: what their channels agree on becomes tunnels and links of the routing protocol, and what they say
//! goes to whom it concerns.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv6Addr,
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
};

/// How long tunnels of the life before are kept for their peers to be met again.
const INHERITED: Duration = Duration::from_secs(30);
/// How long keys of the life before are accepted beside those that a peer has agreed on since.
const OVERLAP: Duration = Duration::from_secs(10);
/// What every link of IPv6 must carry (RFC 8200 section 5), in bytes.
const IPV6_MINIMUM_MTU: u16 = 1280;
/// Handshakes without a cookie that a CPU lets through in a second: one takes a quarter of a millisecond.
const HANDSHAKES: u32 = 100;
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
        }
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.waiting.is_empty() {
            return Some(Time::default());
        }
        let inherited = self.inherited.values().map(|inherited| inherited.until);
        inherited.chain(self.channels.next_deadline()).min()
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
        source_port: match tunnel.fixed_source_port {
            true => SourcePort::Fixed,
            false => SourcePort::Flow,
        },
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
                output => peers.waiting.push_back(output),
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
    }

    fn do_for_channels(&mut self, wanted: Output) {
        match wanted {
            Output::Send { to, from, bytes } => {
                // counted
                let _ = self.transport.send_channel(to, from, &bytes);
            }
            Output::WantKey(node) => self.ask_membership(Request::NodeKey(node)),
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
        if !self.config.replace_tunnel(&tunnel) {
            bail!("tunnel {}: its key is another tunnel's", tunnel.name);
        }
        let stacking = Stacking::query(&mut self.host.netlink)?;
        let config = self.config.clone();
        let way = self.way(&config, &tunnel, &stacking)?;
        let peers = config.tunnels.iter().map(|tunnel| tunnel.remote);
        self.installer.set_peers(peers.collect());
        self.change_tunnel(interface, way)
            .with_context(|| format!("tunnel {}", tunnel.name))?;
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
        for (node, key) in news {
            self.channel(channel::Input::PeerKey { node, key });
        }
        if first {
            self.judge_handshakes();
            self.tell_peers();
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
