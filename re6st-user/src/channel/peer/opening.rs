//! Handshakes of ours: begun, repeated ever more seldom, and ended by a session that both can use.

use std::net::{IpAddr, SocketAddr};

use super::{
    Peer,
    carrier::{Shown, Stage},
};
use crate::{
    channel::{
        call::{Answered, Call},
        context::Context,
        event::Event,
        output::Output,
        post_quantum::KeyPair,
        refusal::Refusal,
        session::Session,
        wire::{SessionIndex, packet::CookieReply},
    },
    time::Time,
};

/// Initiations whose response is still welcome.
const OUTSTANDING: usize = 3;
/// So many initiations to each address without an answer are worth a word, and another question for the key.
const WORTH_A_WORD: u32 = 5;
/// Initiations to one that nobody has named.
const RESTORED_TRIES: u32 = 20;

/// What we do for a session.
#[derive(Default)]
pub(super) struct Opening {
    /// Oldest first.
    calls: Vec<Call>,
    pub tries: u32,
    /// Not before.
    pub at: Time,
    /// Although there is one that is good.
    pub forced: bool,
    no_answer_said: bool,
    no_key_said: bool,
}

impl Opening {
    /// From the beginning, at once.
    pub const fn again(&mut self, now: Time) {
        self.tries = 0;
        self.at = now;
    }

    /// Somebody has made a step: our own may wait.
    pub fn wait_for(&mut self, until: Time) {
        self.at = self.at.max(until);
    }

    /// How often it was tried before.
    pub const fn turn(&self) -> usize {
        self.tries.saturating_sub(1) as usize
    }

    pub const fn is_under_way(&self) -> bool {
        self.tries > 0
    }
}

impl Peer {
    /// Whether a session is wanted now.
    pub(super) fn wants_session(&self, now: Time) -> bool {
        match self.current {
            None if self.configured.is_some() => self.call_address().is_some(),
            None => self.restored && self.opening.tries < RESTORED_TRIES,
            Some(_) => {
                self.opening.forced
                    || now >= self.rekey_at
                    || self.meter.unresponsive_since().is_some()
            }
        }
    }

    /// Where to call: where the configuration has the peer, then where it was heard last.
    pub(super) fn call_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let configured = self.configured.iter().flat_map(|peer| &peer.addresses);
        let heard = self.address.iter();
        let heard = heard.filter(|heard| {
            !self
                .configured
                .iter()
                .any(|it| it.addresses.contains(heard))
        });
        configured.chain(heard).copied()
    }

    /// Each of them in its turn.
    fn call_address(&self) -> Option<SocketAddr> {
        let turn = self
            .opening
            .turn()
            .checked_rem(self.call_addresses().count());
        self.call_addresses().nth(turn?)
    }

    /// Begins a handshake if it is time.
    pub(super) fn open(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if now < self.opening.at || !self.wants_session(now) {
            return;
        }
        let addresses = self.call_addresses().count().max(1);
        let round = self.opening.tries / addresses as u32;
        let retry = context.settings.timers.retry * 2_u32.saturating_pow(round.min(16));
        let wait = context.about(retry.min(context.settings.timers.retry_max));
        self.opening.at = now + wait;
        self.opening.tries = self.opening.tries.saturating_add(1);
        let unasked =
            self.published.is_none() && self.configured.is_some() && self.pinned().is_none();
        let first = self.opening.tries == 1 && unasked;
        if first || self.key_to_call().is_none() || self.opening.tries.is_multiple_of(WORTH_A_WORD)
        {
            context.outputs.push(Output::WantKey(self.node));
        }
        let (Some(key), Some(to)) = (self.key_to_call(), self.call_address()) else {
            if !self.opening.no_key_said && self.opening.tries >= WORTH_A_WORD {
                self.opening.no_key_said = true;
                context.event(Event::NoKey(self.node));
            }
            return;
        };
        let worth_a_word = WORTH_A_WORD * addresses as u32;
        if self.opening.tries > worth_a_word && !self.opening.no_answer_said {
            self.opening.no_answer_said = true;
            let (peer, address) = (self.node, to);
            context.event(Event::NoAnswer { peer, address });
        }
        let Some((call, packet)) = Call::begin(context, self.node, &key, to) else {
            return;
        };
        if self.opening.calls.len() >= OUTSTANDING {
            self.opening.calls.remove(0).end(context);
        }
        self.opening.calls.push(call);
        // whatever address of ours the peer knew, it may be gone
        let from = self.local.filter(|_| self.address == Some(to));
        self.transmit(context, to, from, packet);
    }

    /// Nothing can be sent to an address. If the peer was called there it is called at its next one at once, as long as there is
    /// one that has not had its turn. Gives whether it is.
    pub(in crate::channel) fn unsendable(
        &mut self,
        context: &mut Context<'_>,
        to: SocketAddr,
    ) -> bool {
        let is_last = self.opening.calls.last().is_some_and(|it| it.to() == to);
        let addresses = self.call_addresses().count() as u32;
        let next = is_last && !self.opening.tries.is_multiple_of(addresses);
        if next {
            self.opening.at = context.now();
        }
        next
    }

    /// Ends what is under way.
    pub(super) fn opened(&mut self, context: &mut Context<'_>) {
        for call in self.opening.calls.drain(..) {
            call.end(context);
        }
        self.opening = Opening::default();
        self.opening.at = context.now();
    }

    /// The credentials or the peer's key are others: what is under way is of no use.
    pub(super) fn open_anew(&mut self, context: &mut Context<'_>) {
        let forced = self.opening.forced;
        self.opened(context);
        self.opening.forced = forced;
    }

    /// Whether an index is that of a handshake under way.
    pub(in crate::channel) fn is_opening(&self, index: SessionIndex) -> bool {
        self.opening.calls.iter().any(|it| it.index() == index)
    }

    /// A cookie came.
    pub(in crate::channel) fn cookie(&mut self, context: &mut Context<'_>, reply: &CookieReply) {
        let mut calls = self.opening.calls.iter_mut();
        let call = calls.find(|it| it.index() == reply.receiver);
        if let Some((to, packet)) = call.and_then(|call| call.cookie(context, reply)) {
            let from = self.local.filter(|_| self.address == Some(to));
            self.transmit(context, to, from, packet);
        }
    }

    /// A response came.
    pub(in crate::channel) fn response(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        (from, to): (SocketAddr, IpAddr),
        bytes: &[u8],
    ) {
        let now = context.now();
        let mut calls = self.opening.calls.iter();
        let Some(at) = calls.position(|it| it.index() == index) else {
            context.counters.unknown_response += 1;
            return;
        };
        let call = self.opening.calls.get_mut(at);
        let Some(answered) = call.and_then(|call| call.response(context, bytes)) else {
            return;
        };
        let call = self.opening.calls.remove(at);
        let answered = match answered {
            Ok(answered) => answered,
            Err(why) => {
                call.end(context);
                self.refused(context, from, why);
                return;
            }
        };
        self.received += super::octets(from, bytes);
        self.meter.sample(now, answered.round_trip);
        if self.address.is_none() || self.current.is_none() {
            self.address = Some(from);
            self.local = Some(to);
            self.unproven = None;
        } else if self.meter.unresponsive_since().is_some() {
            // it is not where it was, but where it has answered
            self.is_at(context, from, to);
            self.unproven = None;
        }
        if let Some(seen) = answered.seen_at {
            self.is_seen_at(context, seen);
        }
        let wait = self.meter.patience() * 8;
        self.opening.wait_for(now + wait);
        let Answered {
            session,
            certificate,
            until,
            ..
        } = answered;
        self.add_initiated(context, session, Shown { certificate, until });
    }

    fn add_initiated(&mut self, context: &mut Context<'_>, session: Session, shown: Shown) {
        let stage = match session.is_post_quantum() {
            false => Stage::Ready,
            true => match KeyPair::generate() {
                Ok(pair) => Stage::AwaitsCiphertext(Box::new(pair)),
                Err(_) => {
                    context.indexes.give_back(session.index());
                    context.counters.handshakes_failed += 1;
                    return;
                }
            },
        };
        self.add(context, session, shown, stage);
        self.repeat(context);
    }

    /// Somebody is not who was called, or may not be.
    fn refused(&mut self, context: &mut Context<'_>, address: SocketAddr, why: Refusal) {
        context.counters.refused(why);
        let text = why.to_string();
        if self.trouble.as_ref() == Some(&text) {
            return;
        }
        self.trouble = Some(text);
        context.event(Event::Refused {
            peer: Some(self.node),
            address,
            why,
        });
    }
}
