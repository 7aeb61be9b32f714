//! Who calls: whom it is answered to, and which calls prove to be no replays.

use std::net::{IpAddr, SocketAddr};

use re6st_common::handshake::mac;
use subtle::ConstantTimeEq as _;

use super::Channels;
use crate::{
    certificate::node_prefix::NodePrefix,
    channel::{
        event::Event,
        handshake::{HandshakeError, Received, RespondError, respond},
        output::Output,
        peer::Confirmed,
        refusal::Refusal,
        wire::{Offer, SessionIndex, packet::Initiation},
    },
    time::{Now, Time},
};

/// Refusals that were told to people are remembered, so many.
const TOLD: usize = 256;

/// A session that somebody has opened, and not confirmed yet: perhaps an old initiation that somebody has sent again.
pub(super) struct Unconfirmed {
    confirmed: Confirmed,
    node: NodePrefix,
}

impl Channels {
    /// Somebody calls.
    pub(super) fn initiation(
        &mut self,
        now: Now,
        (from, to): (SocketAddr, IpAddr),
        bytes: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Some(own) = &self.own else {
            return;
        };
        let parsed = Initiation::parse(bytes);
        let (Ok(initiation), limits) = (parsed, self.settings.limits) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let shown = initiation.head.get(16..24).unwrap_or_default();
        if !bool::from(mac(own.identity.mac_key(), initiation.head).ct_eq(shown)) {
            self.counters.wrong_mac += 1;
            return;
        }
        let replay = initiation.noise.first_chunk();
        if replay.is_some_and(|ephemeral| self.sources.is_replay(ephemeral)) {
            self.counters.replayed_handshake += 1;
            return;
        }
        if !self
            .sources
            .take(now.elapsed, from, &limits, &mut self.counters)
        {
            return;
        }
        let index = self.indexes.take(own.node, &mut *random);
        let mut admitted = None;
        let mut caller = None;
        let decide = |received: &Received| {
            let (certificate, until) = own.admit(received, now.wall)?;
            let node = certificate.prefix();
            caller = Some(node);
            self.may_come(node, received)?;
            admitted = Some((certificate, until));
            let mut offer = Offer::ours(self.policy);
            if offer.agree_on_post_quantum(&received.offer).is_none() {
                return Err(Refusal::PostQuantum);
            }
            offer.seen_at = Some(from);
            Ok(offer)
        };
        let session = &self.settings.session;
        let answered = respond(
            &own.identity,
            bytes,
            index,
            now.elapsed,
            session,
            random,
            decide,
        );
        let (received, response, session) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.indexes.give_back(index);
                self.not_answered(caller, from, &error, outputs);
                return;
            }
        };
        let Some((certificate, until)) = admitted else {
            self.indexes.give_back(index);
            return;
        };
        self.sources
            .remember(now.elapsed, received.ephemeral, &limits);
        let node = certificate.prefix();
        let unasked = self.is_unasked(now.elapsed, from.ip());
        let confirmed = Confirmed {
            session,
            certificate,
            until,
            answered_to: from,
            answered_at: now.elapsed,
            unasked,
        };
        self.make_room(node);
        self.unconfirmed
            .insert(index, Unconfirmed { confirmed, node });
        self.unconfirmed_order.push_back(index);
        self.counters.initiations_answered += 1;
        self.counters.datagrams_sent += 1;
        outputs.push(Output::Send {
            to: from,
            from: Some(to),
            bytes: response,
        });
        if unasked {
            outputs.push(Output::Reached(node));
        }
    }

    /// Whether what comes from there is let in by whatever is before us although we sent nothing there.
    fn is_unasked(&self, now: Time, from: IpAddr) -> bool {
        let mut peers = self.peers.values();
        !self.called.lately(now, from) && !peers.any(|peer| peer.is_at_ip(from))
    }

    /// Whether a node that is certified may have a channel.
    fn may_come(&self, node: NodePrefix, received: &Received) -> Result<(), Refusal> {
        match self.peers.get(&node) {
            Some(peer) => {
                let pinned = peer.pinned();
                match pinned.is_some_and(|pinned| pinned != received.static_key) {
                    true => Err(Refusal::Pinned),
                    false => Ok(()),
                }
            }
            None if self.unnamed() >= self.settings.served => Err(Refusal::Full),
            None => Ok(()),
        }
    }

    fn not_answered(
        &mut self,
        caller: Option<NodePrefix>,
        from: SocketAddr,
        error: &RespondError<Refusal>,
        outputs: &mut Vec<Output>,
    ) {
        let why = match error {
            RespondError::Refused(why) => *why,
            RespondError::Handshake(HandshakeError::PostQuantum) => Refusal::PostQuantum,
            RespondError::Handshake(HandshakeError::WrongMac) => {
                self.counters.wrong_mac += 1;
                return;
            }
            RespondError::Handshake(HandshakeError::OwnKey) => {
                self.counters.own_key += 1;
                return;
            }
            RespondError::Handshake(_) => {
                self.counters.bad_initiation += 1;
                return;
            }
        };
        self.counters.refused(why);
        if self.told.len() < TOLD && self.told.insert((caller, from.ip(), why)) {
            outputs.push(Output::Event(Event::Refused {
                peer: caller,
                address: from,
                why,
            }));
        }
    }

    /// Room for one more session that is not confirmed yet, of this node.
    fn make_room(&mut self, node: NodePrefix) {
        let limits = self.settings.limits;
        loop {
            let of_node = self.unconfirmed.values().filter(|it| it.node == node);
            let excess = of_node.count() >= limits.unconfirmed_of_node.max(1);
            let full = self.unconfirmed.len() >= limits.unconfirmed.max(1);
            let unconfirmed = &self.unconfirmed;
            let old = |index: &SessionIndex| match unconfirmed.get(index) {
                None => true,
                Some(it) => full || excess && it.node == node,
            };
            let Some(at) = self.unconfirmed_order.iter().position(old) else {
                return;
            };
            if let Some(index) = self.unconfirmed_order.remove(at)
                && self.unconfirmed.remove(&index).is_some()
            {
                self.indexes.give_back(index);
                self.counters.unconfirmed_sessions += 1;
            }
        }
    }

    /// Sessions that were not confirmed in time: of whoever has only probed us nothing is left.
    pub(super) fn forget_late(&mut self, now: Time) {
        while self.late_at().is_some_and(|late| late <= now) {
            if let Some(index) = self.unconfirmed_order.pop_front()
                && self.unconfirmed.remove(&index).is_some()
            {
                self.indexes.give_back(index);
                self.counters.unconfirmed_sessions += 1;
            }
        }
    }

    /// When the oldest session that is not confirmed is forgotten.
    pub(super) fn late_at(&self) -> Option<Time> {
        let oldest = self.unconfirmed.get(self.unconfirmed_order.front()?)?;
        Some(oldest.confirmed.answered_at + self.settings.timers.completion)
    }

    pub(super) fn forget_unconfirmed(&mut self) {
        for (index, _) in self.unconfirmed.drain() {
            self.indexes.give_back(index);
        }
        self.unconfirmed_order.clear();
    }

    /// The first packet of a session that somebody has opened: it is no replay, so it counts.
    pub(super) fn confirm(
        &mut self,
        now: Now,
        index: SessionIndex,
        (from, to): (SocketAddr, IpAddr),
        bytes: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Some(unconfirmed) = self.unconfirmed.get_mut(&index) else {
            return;
        };
        let opened = unconfirmed.confirmed.session.open(now.elapsed, bytes);
        let (epoch, plaintext) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.counters.not_opened(error);
                return;
            }
        };
        let Some(unconfirmed) = self.unconfirmed.remove(&index) else {
            return;
        };
        self.unconfirmed_order.retain(|it| *it != index);
        let node = unconfirmed.node;
        let full = !self.peers.contains_key(&node) && self.unnamed() >= self.settings.served;
        if full {
            self.indexes.give_back(index);
            self.counters.refused(Refusal::Full);
            return;
        }
        self.know(now.elapsed, node);
        self.indexes.give(index, node);
        self.one(now, node, random, outputs, |peer, context| {
            peer.confirmed(context, unconfirmed.confirmed, from, to);
            let plaintext = (epoch.0 == 0, &plaintext[..]);
            peer.first_packet(context, index, (from, to), bytes, plaintext);
        });
    }
}
