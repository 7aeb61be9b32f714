//! Who this node is, and whom it is told to have channels with.

use std::time::Duration;

use super::Channels;
use crate::{
    certificate::node_prefix::NodePrefix,
    channel::{
        event::Event,
        input::ChannelCredentials,
        output::{Closing, Output},
        own::Own,
        peer::Peer,
        schedule::Schedule,
    },
    time::{Now, Time},
};

/// A new certificate of ours is shown to all within so long.
const RENEWAL: Duration = Duration::from_secs(30);

impl Channels {
    pub(super) fn credentials(
        &mut self,
        now: Now,
        credentials: ChannelCredentials,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let new = Own::new(credentials);
        let before = self
            .own
            .as_ref()
            .map(|own| (own.node, own.shows_the_same_as(&new)));
        if before.is_some_and(|(node, _)| node != new.node) {
            self.each(now, random, outputs, |peer, context| {
                peer.close(context, Closing::ShutDown);
            });
            self.peers.clear();
            self.schedule = Schedule::default();
        }
        self.forget_unconfirmed();
        if let Some((parts, mut context)) = self.parts(now, random, outputs) {
            parts.probes.give_up(&mut context);
        }
        self.told.clear();
        self.own = Some(new);
        let shown = before.is_none_or(|(_, same)| same);
        self.each(now, random, outputs, |peer, context| {
            peer.check(context);
            if !shown {
                peer.renew(context, RENEWAL);
            }
        });
        self.configure(now, random, outputs);
        self.restore(now, random, outputs);
    }

    /// What the configuration says of peers.
    pub(super) fn configure(
        &mut self,
        now: Now,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Some(own) = self.own.as_ref().map(|own| own.node) else {
            return;
        };
        if self.configured.remove(&own).is_some() {
            outputs.push(Output::Event(Event::OwnName));
        }
        let configured = std::mem::take(&mut self.configured);
        for node in configured.keys() {
            self.know(now.elapsed, *node);
        }
        let unnamed = self
            .peers
            .values()
            .filter(|peer| peer.sessions() > 0 && !configured.contains_key(&peer.node));
        let room = unnamed.count() <= self.settings.served;
        self.each(now, random, outputs, |peer, context| {
            peer.configure(context, configured.get(&peer.node), room);
        });
        self.configured = configured;
    }

    pub(super) fn restore(
        &mut self,
        now: Now,
        random: &mut dyn FnMut(&mut [u8]),
        outputs: &mut Vec<Output>,
    ) {
        let Some(own) = self.own.as_ref().map(|own| own.node) else {
            return;
        };
        for (node, address, key) in std::mem::take(&mut self.restored) {
            let known = self.peers.contains_key(&node);
            if node == own || !known && self.unnamed() >= self.settings.served {
                continue;
            }
            self.know(now.elapsed, node);
            self.one(now, node, random, outputs, |peer, context| {
                peer.restore(context, address, key);
            });
        }
    }

    /// From now on a node is a peer.
    pub(super) fn know(&mut self, now: Time, node: NodePrefix) {
        let mtu = self.settings.link_mtu;
        if let Some(own) = &self.own {
            let new = || Peer::new(now, node, own.node, mtu);
            self.peers.entry(node).or_insert_with(new);
        }
    }

    /// Peers that nobody has named.
    pub(super) fn unnamed(&self) -> usize {
        let peers = self.peers.values();
        peers.filter(|peer| peer.configured.is_none()).count()
    }
}
