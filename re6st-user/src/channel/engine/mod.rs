//! All channels of a node: who a packet belongs to, and who is let in.

mod callers;
mod datagrams;
mod standing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use self::callers::Unconfirmed;
use super::{
    PostQuantum, Random,
    called::Called,
    context::{Context, Indexes},
    counters::Counters,
    documents::{Documents, Step},
    gre_keys::GreKeys,
    input::{self, Input},
    output::{Closing, Output},
    own::Own,
    peer::Peer,
    probes::{For, Probes},
    refusal::Refusal,
    report::{OpenedBy, PeerReport},
    schedule::Schedule,
    settings::Settings,
    sources::Sources,
    wire::SessionIndex,
};
use crate::{
    certificate::{node::NodeCertificate, node_prefix::NodePrefix, static_key::StaticPublicKey},
    time::{Now, Time, Timestamp},
};

/// All channels of a node.
pub struct Channels {
    settings: Settings,
    counters: Counters,
    own: Option<Own>,
    policy: PostQuantum,
    peers: BTreeMap<NodePrefix, Peer>,
    configured: BTreeMap<NodePrefix, input::Peer>,
    /// Peers to be tried once we know who we are.
    restored: Vec<(NodePrefix, SocketAddr, StaticPublicKey)>,
    unconfirmed: HashMap<SessionIndex, Unconfirmed>,
    /// Oldest first.
    unconfirmed_order: VecDeque<SessionIndex>,
    indexes: Indexes,
    keys: GreKeys,
    probes: Probes,
    called: Called,
    sources: Sources,
    documents: Documents,
    schedule: Schedule,
    told: HashSet<(Option<NodePrefix>, IpAddr, Refusal)>,
    /// The wall clock when certificates were last looked at.
    checked_at: Timestamp,
    shut_down: bool,
}

/// Whom we have to do with.
struct Parts<'a> {
    peers: &'a mut BTreeMap<NodePrefix, Peer>,
    probes: &'a mut Probes,
    schedule: &'a mut Schedule,
}

impl Channels {
    /// No channels, and nobody to have one with.
    pub fn new(settings: Settings) -> Self {
        Self {
            keys: GreKeys::new(settings.tunnel_index_mask, &settings.reserved_indexes),
            settings,
            counters: Counters::default(),
            own: None,
            policy: PostQuantum::default(),
            peers: BTreeMap::new(),
            configured: BTreeMap::new(),
            restored: Vec::new(),
            unconfirmed: HashMap::new(),
            unconfirmed_order: VecDeque::new(),
            indexes: Indexes::default(),
            probes: Probes::default(),
            called: Called::default(),
            sources: Sources::default(),
            documents: Documents::default(),
            schedule: Schedule::default(),
            told: HashSet::new(),
            checked_at: Timestamp(0),
            shut_down: false,
        }
    }

    /// Takes what happens, and says what is to be done. What is due by now is done too.
    pub fn handle(
        &mut self,
        now: Now,
        input: Input<'_>,
        random: Random<'_>,
        outputs: &mut Vec<Output>,
    ) {
        self.take(now, input, &mut *random, outputs);
        self.check_time(now, &mut *random, outputs);
        self.time_out(now, &mut *random, outputs);
    }

    /// When [`Self::handle`] is to be called at the latest, with [`Input::Time`] if nothing else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.shut_down {
            return None;
        }
        let all = [
            self.documents.deadline(),
            self.probes.deadline(),
            self.schedule.next(),
            self.late_at(),
        ];
        all.into_iter().flatten().min()
    }

    /// The certificate that a peer has shown and that was good; none before there is a channel.
    pub fn certificate(&self, peer: NodePrefix) -> Option<&NodeCertificate> {
        self.peers.get(&peer)?.certificate()
    }

    /// Who has opened the session that a peer's tunnel is of.
    pub fn opened_by(&self, peer: NodePrefix) -> Option<OpenedBy> {
        self.peers.get(&peer)?.opened_by()
    }

    /// Where the peers that have a session see this node.
    pub fn seen_at(&self) -> impl Iterator<Item = (NodePrefix, SocketAddr)> {
        let peers = self.peers.values();
        peers.filter_map(|peer| Some((peer.node, peer.seen_at()?)))
    }

    /// A line for each peer, by name.
    pub fn peers(&self, now: Now) -> Vec<PeerReport> {
        let peers = self.peers.values();
        peers.map(|peer| peer.report(now.elapsed)).collect()
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How much is kept.
    #[cfg(test)]
    fn sizes(&self) -> Sizes {
        Sizes {
            sessions: self.peers.values().map(Peer::sessions).sum(),
            unconfirmed: self.unconfirmed.len(),
            indexes: self.indexes.len(),
            keys: self.keys.len(),
        }
    }

    fn take(
        &mut self,
        now: Now,
        input: Input<'_>,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        match input {
            Input::Time => {}
            Input::Datagram { from, to, bytes } => {
                let way = (
                    SocketAddr::new(from.ip().to_canonical(), from.port()),
                    to.to_canonical(),
                );
                self.datagram(now, way, bytes, random, outputs);
            }
            Input::Credentials(credentials) => {
                self.credentials(now, *credentials, random, outputs);
            }
            Input::PostQuantum(policy) => {
                self.policy = policy;
                if policy == PostQuantum::Required {
                    self.each(now, random, outputs, |peer, context| {
                        if peer.lacks_post_quantum() {
                            peer.close(context, Closing::PostQuantum);
                        }
                    });
                }
            }
            Input::Peers(peers) => {
                self.configured = peers.into_iter().map(|peer| (peer.node, peer)).collect();
                self.configure(now, random, outputs);
            }
            Input::PeerKey { node, key } => {
                self.one(now, node, random, outputs, |peer, context| {
                    peer.learn_key(context, key);
                })
            }
            Input::Babel {
                peer,
                unicast,
                packet,
            } => {
                if !self.peers.contains_key(&peer) {
                    self.counters.babel_without_channel += 1;
                }
                self.one(now, peer, random, outputs, |peer, context| {
                    peer.babel(context, unicast, packet);
                });
            }
            Input::Held(held) => {
                if self.documents.hold(held) {
                    self.each(now, random, outputs, |peer, context| {
                        peer.exchange.forgive();
                        peer.tell_have(context.now());
                    });
                }
            }
            Input::NoTunnel { peer, why } => {
                self.one(now, peer, random, outputs, |peer, context| {
                    peer.no_tunnel(context, &why);
                })
            }
            Input::Unsendable(to) => {
                if let Some((parts, mut context)) = self.parts(now, random, outputs) {
                    parts.probes.unsendable(now.elapsed, to);
                    for (node, peer) in parts.peers {
                        if peer.unsendable(&mut context, to) {
                            parts.schedule.set(*node, Some(now.elapsed));
                        }
                    }
                }
            }
            Input::LinkMtu(mtu) => {
                self.settings.link_mtu = mtu;
                self.each(now, random, outputs, |peer, context| {
                    peer.set_link_mtu(context.now(), mtu);
                });
            }
            Input::Moved => self.each(now, random, outputs, Peer::moved),
            Input::Probe {
                node,
                key,
                addresses,
            } => match self.parts(now, random, outputs) {
                Some((parts, mut context)) => {
                    parts
                        .probes
                        .begin(&mut context, For::Us, node, key, addresses);
                }
                None => outputs.push(Output::Probed {
                    node,
                    round_trip: None,
                }),
            },
            Input::Reach {
                node,
                key,
                addresses,
            } => {
                if let Some((parts, mut context)) = self.parts(now, random, outputs) {
                    parts
                        .probes
                        .begin(&mut context, For::Itself, node, key, addresses);
                }
            }
            Input::Restored(peers) => {
                self.restored = peers;
                self.restore(now, random, outputs);
            }
            Input::Close { node, why } => {
                self.configured.remove(&node);
                self.one(now, node, random, outputs, |peer, context| {
                    (peer.configured, peer.restored) = (None, false);
                    peer.close(context, why);
                });
            }
            Input::Reconnect(node) => self.one(now, node, random, outputs, Peer::reconnect),
            Input::ShutDown => {
                self.shut_down = true;
                self.each(now, random, outputs, |peer, context| {
                    peer.close(context, Closing::ShutDown);
                });
            }
        }
    }

    /// Whom we have to do with, and all they share.
    fn parts<'a>(
        &'a mut self,
        now: Now,
        random: &'a mut dyn FnMut(&mut [u8]),
        outputs: &'a mut Vec<Output>,
    ) -> Option<(Parts<'a>, Context<'a>)> {
        let context = Context {
            time: now,
            random,
            outputs,
            counters: &mut self.counters,
            settings: &self.settings,
            own: self.own.as_ref()?,
            policy: self.policy,
            keys: &mut self.keys,
            indexes: &mut self.indexes,
            called: &mut self.called,
            documents: &mut self.documents,
        };
        let parts = Parts {
            peers: &mut self.peers,
            probes: &mut self.probes,
            schedule: &mut self.schedule,
        };
        Some((parts, context))
    }

    /// Does something with a peer, if there is one.
    fn one(
        &mut self,
        now: Now,
        node: NodePrefix,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Peer, &mut Context<'_>),
    ) {
        let Some((parts, mut context)) = self.parts(now, random, outputs) else {
            return;
        };
        if let Some(peer) = parts.peers.get_mut(&node) {
            act(peer, &mut context);
            // what follows from it is done with what is due
            parts.schedule.set(node, Some(now.elapsed));
        }
    }

    /// The same with all of them.
    fn each(
        &mut self,
        now: Now,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
        mut act: impl FnMut(&mut Peer, &mut Context<'_>),
    ) {
        let Some((parts, mut context)) = self.parts(now, random, outputs) else {
            return;
        };
        for (node, peer) in parts.peers {
            act(peer, &mut context);
            parts.schedule.set(*node, Some(now.elapsed));
        }
    }

    /// What is due.
    fn time_out(&mut self, now: Now, random: &mut dyn FnMut(&mut [u8]), outputs: &mut Vec<Output>) {
        if self.shut_down {
            return;
        }
        self.forget_late(now.elapsed);
        let Some((parts, mut context)) = self.parts(now, random, outputs) else {
            return;
        };
        let Parts {
            peers,
            probes,
            schedule,
        } = parts;
        probes.time_out(&mut context);
        while let Some(step) = context.documents.time_out(now.elapsed) {
            if let Step::Ask(node, ..) | Step::GiveUp(node) = step
                && let Some(peer) = peers.get_mut(&node)
            {
                peer.document_step(&mut context, step);
            }
        }
        // each once: what is due again at once is due when this is called next
        let mut due = Vec::new();
        while let Some(node) = schedule.due(now.elapsed) {
            schedule.set(node, None);
            due.push(node);
        }
        for node in due {
            let Some(peer) = peers.get_mut(&node) else {
                continue;
            };
            peer.time_out(&mut context);
            peer.fetch(&mut context);
            let timers = &context.settings.timers;
            match peer.may_be_forgotten() {
                true => {
                    peers.remove(&node);
                }
                false => schedule.set(node, peer.deadline(timers)),
            }
        }
    }

    /// Certificates whose time has come, once a second at most.
    fn check_time(
        &mut self,
        now: Now,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        if now.wall == self.checked_at {
            return;
        }
        self.checked_at = now.wall;
        if self
            .peers
            .values()
            .any(|peer| peer.is_out_of_time(now.wall))
        {
            self.each(now, random, outputs, |peer, context| {
                if peer.is_out_of_time(context.wall()) {
                    peer.check(context);
                }
            });
        }
    }
}

/// How much is kept.
#[cfg(test)]
#[derive(Debug)]
struct Sizes {
    sessions: usize,
    unconfirmed: usize,
    indexes: usize,
    keys: usize,
}

impl std::fmt::Debug for Channels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channels")
            .field("peers", &self.peers.len())
            .field("unconfirmed", &self.unconfirmed.len())
            .finish_non_exhaustive()
    }
}
