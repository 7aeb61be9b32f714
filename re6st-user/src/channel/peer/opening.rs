//! Handshakes of ours: begun, repeated ever more seldom, and ended by a session that both can use.

use std::net::{IpAddr, SocketAddr};

use super::{
    Peer,
    carrier::{Shown, Stage},
};
use crate::{
    channel::{
        context::Context,
        event::Event,
        handshake::Initiator,
        output::Output,
        post_quantum::KeyPair,
        refusal::Refusal,
        session::Session,
        wire::{Offer, SessionIndex, packet::CookieReply},
    },
    time::Time,
};

/// Initiations whose response is still welcome.
const OUTSTANDING: usize = 3;
/// So many initiations without an answer are worth a word, and another question for the key.
const WORTH_A_WORD: u32 = 5;
/// Initiations to one that nobody has named.
const RESTORED_TRIES: u32 = 20;

/// An initiation on its way.
struct Outstanding {
    initiator: Initiator,
    sent_at: Time,
    to: SocketAddr,
    /// It was sent again with a cookie.
    cookie: bool,
}

/// What we do for a session.
#[derive(Default)]
pub(super) struct Opening {
    outstanding: Vec<Outstanding>,
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

    /// Where to call: where the peer was heard last, and where the configuration has it, in turn.
    fn call_address(&self) -> Option<SocketAddr> {
        let configured = self.configured.and_then(|peer| peer.address);
        match (self.address, configured) {
            (Some(heard), Some(configured)) => Some(match self.opening.tries % 2 {
                0 => heard,
                _ => configured,
            }),
            (heard, configured) => heard.or(configured),
        }
    }

    /// Begins a handshake if it is time.
    pub(super) fn open(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if now < self.opening.at || !self.wants_session(now) {
            return;
        }
        let retry =
            context.settings.timers.retry * 2_u32.saturating_pow(self.opening.tries.min(16));
        let wait = context.about(retry.min(context.settings.timers.retry_max));
        self.opening.at = now + wait;
        self.opening.tries = self.opening.tries.saturating_add(1);
        let unasked =
            self.published.is_none() && self.configured.is_some_and(|it| it.key.is_none());
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
        if self.opening.tries > WORTH_A_WORD && !self.opening.no_answer_said {
            self.opening.no_answer_said = true;
            let (peer, address) = (self.node, to);
            context.event(Event::NoAnswer { peer, address });
        }
        let index = context.indexes.take(self.node, context.random);
        let offer = Offer::ours(context.policy);
        let begun = Initiator::begin(
            &context.own.identity,
            &key,
            index,
            &offer,
            &mut *context.random,
        );
        let Ok((initiator, packet)) = begun else {
            context.indexes.give_back(index);
            context.counters.handshakes_failed += 1;
            return;
        };
        if self.opening.outstanding.len() >= OUTSTANDING {
            let oldest = self.opening.outstanding.remove(0);
            context.indexes.give_back(oldest.initiator.index());
        }
        self.opening.outstanding.push(Outstanding {
            initiator,
            sent_at: now,
            to,
            cookie: false,
        });
        context.counters.initiations_sent += 1;
        // whatever address of ours the peer knew, it may be gone
        let from = self.local.filter(|_| self.address == Some(to));
        self.transmit(context, to, from, packet);
    }

    /// Ends what is under way.
    pub(super) fn opened(&mut self, context: &mut Context<'_>) {
        for outstanding in self.opening.outstanding.drain(..) {
            context.indexes.give_back(outstanding.initiator.index());
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
        self.outstanding(index).is_some()
    }

    fn outstanding(&self, index: SessionIndex) -> Option<usize> {
        let mut all = self.opening.outstanding.iter();
        all.position(|it| it.initiator.index() == index)
    }

    /// A cookie came: the same initiation leaves again with it, once, and to where the first one went.
    pub(in crate::channel) fn cookie(&mut self, context: &mut Context<'_>, reply: &CookieReply) {
        let outstanding = self
            .outstanding(reply.receiver)
            .and_then(|at| self.opening.outstanding.get_mut(at));
        let packet = outstanding
            .as_ref()
            .and_then(|it| it.initiator.answer(reply));
        let (Some(outstanding), Some(packet)) = (outstanding, packet) else {
            context.counters.unknown_cookie += 1;
            return;
        };
        if std::mem::replace(&mut outstanding.cookie, true) {
            context.counters.repeated_cookie += 1;
            return;
        }
        let to = outstanding.to;
        let from = self.local.filter(|_| self.address == Some(to));
        self.transmit(context, to, from, packet);
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
        let Some(at) = self.outstanding(index) else {
            context.counters.unknown_response += 1;
            return;
        };
        let Some(outstanding) = self.opening.outstanding.get_mut(at) else {
            return;
        };
        let sent_at = outstanding.sent_at;
        let finished = outstanding
            .initiator
            .finish(now, &context.settings.session, bytes);
        let (received, session) = match finished {
            Ok(finished) => finished,
            Err(_) => {
                context.counters.bad_response += 1;
                return;
            }
        };
        self.opening.outstanding.remove(at);
        let admitted = context
            .own
            .admit(&received, context.wall())
            .and_then(|admitted| match admitted.0.prefix() == self.node {
                true => Ok(admitted),
                false => Err(Refusal::OtherName),
            });
        let (certificate, until) = match admitted {
            Ok(admitted) => admitted,
            Err(why) => {
                context.indexes.give_back(index);
                self.refused(context, from, why);
                return;
            }
        };
        self.received += super::octets(from, bytes);
        self.meter.sample(now, now.since(sent_at));
        if self.address.is_none() || self.current.is_none() {
            self.address = Some(from);
            self.local = Some(to);
            self.unproven = None;
        } else if self.meter.unresponsive_since().is_some() {
            // it is not where it was, but where it has answered
            self.is_at(context, from, to);
            self.unproven = None;
        }
        if let Some(seen) = received.offer.seen_at {
            self.is_seen_at(context, seen);
        }
        let wait = self.meter.patience() * 8;
        self.opening.wait_for(now + wait);
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
