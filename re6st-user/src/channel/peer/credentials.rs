//! Who the peer is: the keys that it is called with, and whether what it has shown is still good.
//!
//! A certificate belongs to the session in whose handshake it was shown: two of the same name may have sessions, the node and
//! somebody who has stolen its former key. What is not good any more ends with its sessions, and no others.

use std::net::SocketAddr;

use super::Peer;
use crate::{
    certificate::{node::NodeCertificate, static_key::StaticPublicKey},
    channel::{
        context::Context,
        input,
        output::Closing,
        refusal::Refusal,
        wire::{Message, SessionIndex},
    },
    time::Timestamp,
};

impl Peer {
    /// What it has shown: in the session in use, else last.
    pub fn certificate(&self) -> Option<&NodeCertificate> {
        let shown = self.current().map(|it| &it.shown).or(self.shown.as_ref());
        shown.map(|shown| &shown.certificate)
    }

    /// The key to call it with: that of the configuration; else what the registry says and, where that is not answered, what
    /// the peer has shown, in turn, so many tries each that every address has its turn.
    pub(super) fn key_to_call(&self) -> Option<StaticPublicKey> {
        let each = self.call_addresses().count().max(2);
        let turn = self.opening.turn() / each % 2;
        self.pinned().or(match (self.published, self.shown_key) {
            (Some(_), Some(shown)) if turn == 1 => Some(shown),
            (published, shown) => published.or(shown),
        })
    }

    /// The key that the configuration wants.
    pub fn pinned(&self) -> Option<StaticPublicKey> {
        self.configured.as_ref().and_then(|peer| peer.key)
    }

    /// Whether the configuration says nothing against this key.
    pub(super) fn is_pinned(&self, key: Option<StaticPublicKey>) -> bool {
        self.pinned().is_none_or(|pinned| key == Some(pinned))
    }

    /// What the configuration says, or no longer says; `room` is whether it may be here although nobody names it.
    pub fn configure(
        &mut self,
        context: &mut Context<'_>,
        configured: Option<&input::Peer>,
        room: bool,
    ) {
        if self.configured.as_ref() == configured {
            return;
        }
        let before = std::mem::replace(&mut self.configured, configured.cloned());
        let Some(configured) = configured else {
            self.restored = false;
            if !room || self.current().is_none_or(super::Carrier::is_ours) {
                self.close(context, Closing::NotWanted);
            }
            return;
        };
        if before.and_then(|before| before.key) != configured.key {
            self.open_anew(context);
            let others = self
                .carriers
                .iter()
                .filter(|it| !self.is_pinned(it.static_key()));
            let others = others.map(|it| (it.session.index(), Refusal::Pinned));
            let others: Vec<_> = others.collect();
            self.drop_refused(context, &others);
        }
        self.opening.again(context.now());
    }

    /// The registry says what its key is.
    pub fn learn_key(&mut self, context: &mut Context<'_>, key: StaticPublicKey) {
        let before = self.key_to_call();
        self.published = Some(key);
        if self.key_to_call() != before {
            self.open_anew(context);
        }
    }

    /// A peer of the life before.
    pub fn restore(&mut self, context: &mut Context<'_>, at: SocketAddr, key: StaticPublicKey) {
        self.restored = true;
        self.address.get_or_insert(at);
        self.shown_key.get_or_insert(key);
        self.opening.again(context.now());
    }

    /// Whether each session's certificate is still good, by what is known now. The channel ends with the last of them.
    pub fn check(&mut self, context: &mut Context<'_>) {
        let (own, wall) = (context.own, context.wall());
        let mut refused = Vec::new();
        for carrier in &mut self.carriers {
            match own.good_until(&carrier.shown.certificate, wall) {
                Ok(until) => carrier.shown.until = until,
                Err(why) => refused.push((carrier.session.index(), why)),
            }
        }
        let last = self.shown.as_ref();
        let why = last.and_then(|last| own.good_until(&last.certificate, wall).err());
        if let Some(why) = why.filter(|_| self.carriers.is_empty()) {
            self.trouble = Some(why.to_string());
        }
        self.drop_refused(context, &refused);
        if why == Some(Refusal::Revoked) {
            // whoever has shown it is not called any more
            let good = self.carriers.last().map(|it| it.shown.clone());
            self.shown_key = good.as_ref().and_then(|it| it.certificate.static_key());
            self.shown = good.or_else(|| self.shown.take());
        }
    }

    /// Whether the time of a certificate has come.
    pub fn is_out_of_time(&self, now: Timestamp) -> bool {
        self.carriers.iter().any(|it| now > it.shown.until)
    }

    /// Ends these sessions, and tells the peer in each; the channel too if no other one is left.
    fn drop_refused(&mut self, context: &mut Context<'_>, refused: &[(SessionIndex, Refusal)]) {
        let connected = self.current.is_some();
        for (index, why) in refused {
            context.counters.refused(*why);
            if self.carriers.len() == 1 {
                return self.close(context, (*why).into());
            }
            self.tell_closing(context, *index, &(*why).into());
            let mut carriers = self.carriers.iter();
            if let Some(at) = carriers.position(|it| it.session.index() == *index) {
                self.drop_carrier(context, at);
            }
        }
        let Some((_, why)) = refused.last() else {
            return;
        };
        self.settle(context);
        if connected && self.current.is_none() && self.wanted_tunnel(context).is_none() {
            self.end(context, (*why).into());
        }
    }

    /// What the peer is told in a session that ends.
    pub(super) fn tell_closing(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        why: &Closing,
    ) {
        if let Some((reason, text)) = why.told() {
            let mut plaintext = Vec::new();
            Message::Close { reason, text }.encode(&mut plaintext);
            self.send(context, index, &plaintext);
        }
    }

    /// A peer has one static key at a time: a session of the next one ends those of the former. Nothing is said in them, for
    /// a node that has changed its key may still use them for a moment.
    pub(super) fn drop_former_keys(&mut self, context: &mut Context<'_>) {
        let complete = self.carriers.iter().filter(|it| it.complete_at.is_some());
        let newest = complete.max_by_key(|it| it.session.created());
        let Some((key, created)) = newest.map(|it| (it.static_key(), it.session.created())) else {
            return;
        };
        let former =
            |it: &super::Carrier| it.static_key() != key && it.session.created() <= created;
        while let Some(at) = self.carriers.iter().position(former) {
            self.drop_carrier(context, at);
        }
    }
}
