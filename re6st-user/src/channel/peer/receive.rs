//! Packets of a peer's sessions.

use std::net::{IpAddr, SocketAddr};

use super::{
    Peer, Unproven,
    carrier::{Repeat, Shown, Stage},
    message::Answer,
};
use crate::{
    certificate::node::NodeCertificate,
    channel::{
        context::Context,
        counters::Counters,
        event::Event,
        output::Closing,
        quality::Receipt,
        refusal::Refusal,
        session::{OpenError, Session},
        wire::{Message, Messages, SessionIndex},
    },
    time::{Time, Timestamp},
};

impl Counters {
    /// A transport packet is not opened.
    pub(in crate::channel) const fn not_opened(&mut self, error: OpenError) {
        let counter = match error {
            OpenError::Packet(_) => &mut self.malformed_packets,
            OpenError::WrongIndex => &mut self.unknown_session,
            OpenError::Expired | OpenError::Exhausted => &mut self.dead_session,
            OpenError::Replayed | OpenError::TooOld => &mut self.replayed_packet,
            OpenError::UnknownEpoch => &mut self.bad_epoch,
            OpenError::Forged => &mut self.bad_packet,
            OpenError::Library => &mut self.handshakes_failed,
        };
        *counter += 1;
    }
}

/// A session that somebody has opened, and confirmed with its first packet.
pub(in crate::channel) struct Confirmed {
    pub session: Session,
    pub certificate: NodeCertificate,
    pub until: Timestamp,
    /// Where the answer went.
    pub answered_to: SocketAddr,
    /// When it was answered.
    pub answered_at: Time,
    /// It came from where we had not called lately.
    pub unasked: bool,
}

impl Peer {
    /// The session of somebody who has called us.
    pub(in crate::channel) fn confirmed(
        &mut self,
        context: &mut Context<'_>,
        confirmed: Confirmed,
        from: SocketAddr,
        to: IpAddr,
    ) {
        let now = context.now();
        let shown = Shown {
            certificate: confirmed.certificate,
            until: confirmed.until,
        };
        // the configuration may have changed since it was answered
        if !self.is_pinned(shown.certificate.static_key()) {
            context.indexes.give_back(confirmed.session.index());
            context.counters.refused(Refusal::Pinned);
            return;
        }
        if self.current.is_none() {
            self.came_unasked |= confirmed.unasked && self.address.is_none();
            (self.address, self.local) = (Some(from), Some(to));
            let proven = confirmed.answered_to == from;
            self.unproven = (!proven).then(|| Unproven::new(context));
        }
        if self.meter.round_trip().is_none() {
            self.meter.sample(now, now.since(confirmed.answered_at));
        }
        // ours can wait for what has begun
        let wait = self.meter.patience() * 8;
        self.opening.wait_for(now + wait);
        self.add(context, confirmed.session, shown, Stage::AwaitsKey);
    }

    /// A transport packet.
    pub(in crate::channel) fn packet(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        way: (SocketAddr, IpAddr),
        bytes: &[u8],
    ) {
        let now = context.now();
        let Some(carrier) = self.carrier(index) else {
            context.counters.unknown_session += 1;
            return;
        };
        let before = carrier.session.receipt();
        match carrier.session.open(now, bytes) {
            Ok((epoch, plaintext)) => {
                let highest = carrier.session.receipt().highest;
                let fresh = before.received == 0 || highest > before.highest;
                self.opened_packet(context, index, way, bytes, fresh);
                self.messages(context, index, epoch.0 == 0, &plaintext);
            }
            Err(error) => context.counters.not_opened(error),
        }
    }

    /// The first packet of a session, which was opened before the session was ours.
    pub(in crate::channel) fn first_packet(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        way: (SocketAddr, IpAddr),
        bytes: &[u8],
        (handshake_keys, plaintext): (bool, &[u8]),
    ) {
        self.opened_packet(context, index, way, bytes, true);
        self.messages(context, index, handshake_keys, plaintext);
    }

    /// Something came that only the peer can have made.
    fn opened_packet(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        (from, to): (SocketAddr, IpAddr),
        bytes: &[u8],
        fresh: bool,
    ) {
        let now = context.now();
        self.received += super::octets(from, bytes);
        let current = self.current().map(|it| it.session.created());
        let Some(carrier) = self.carrier(index) else {
            return;
        };
        carrier.heard_at = now;
        if carrier.session.is_ready() && !carrier.is_ready() {
            carrier.stage = Stage::Ready;
            carrier.repeat = Repeat::new(now);
        }
        let received = carrier.session.receipt();
        // what an old session brings late says nothing of where the peer is
        let newest = current.is_none_or(|current| carrier.session.created() >= current);
        self.meter.we_received(Receipt {
            session: index.get(),
            highest: received.highest,
            received: received.received,
        });
        if self.current.is_some() && self.meter.heard(now) {
            context.event(Event::Responsive(self.node));
        }
        if fresh && newest {
            self.is_at(context, from, to);
        }
        if self.address == Some(from)
            && let Some(unproven) = &mut self.unproven
        {
            unproven.received += super::octets(from, bytes);
        }
    }

    /// A new packet came from there.
    pub(super) fn is_at(&mut self, context: &mut Context<'_>, from: SocketAddr, to: IpAddr) {
        self.local = Some(to);
        let Some(before) = self.address.filter(|before| *before != from) else {
            return;
        };
        let now = context.now();
        self.address = Some(from);
        self.unproven = Some(Unproven::new(context));
        self.owes_seen_at = true;
        context.counters.moves += 1;
        self.meter.forget_way(now);
        self.path.forget_way(now);
        if self.current.is_none() {
            return;
        }
        let peer = self.node;
        context.event(Event::Moved {
            peer,
            from: before,
            to: from,
        });
        if self.turns.moved(now, before, from) {
            let places = [before, from];
            context.event(Event::TwoPlaces { peer, places });
        }
    }

    fn messages(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        handshake_keys: bool,
        plaintext: &[u8],
    ) {
        let mut answer = Answer::default();
        for message in Messages::new(plaintext) {
            let message = match message {
                Ok(message) => message,
                Err(_) => {
                    context.counters.malformed_messages += 1;
                    break;
                }
            };
            if handshake_keys && !message.may_precede_post_quantum() {
                context.counters.unexpected_messages += 1;
                break;
            }
            if let Message::Close { reason, text } = message {
                let text = crate::printable::printable(text);
                self.closed(context, index, Closing::Told { reason, text });
                return;
            }
            if answer.terms && !answer.settled && !matches!(message, Message::Tunnel(_)) {
                // the tunnel is open before a ciphertext says that it may be used
                answer.settled = true;
                self.settle(context);
            }
            self.message(context, index, &message, &mut answer);
        }
        // the tunnel accepts before the peer hears that it does; however often it was told, once a packet
        self.settle(context);
        let setting_up = answer.terms;
        let mut answer = answer.messages;
        let mut carriers = self.carriers.iter();
        if let Some(carrier) = carriers.find(|it| setting_up && it.session.index() == index) {
            Message::Tunnel(self.own_terms(context, carrier)).encode(&mut answer);
        }
        if answer.is_empty() {
            return;
        }
        // what is said in answer to a session's setting up belongs there
        let by = match (setting_up, self.current) {
            (false, Some(current)) => current,
            _ => index,
        };
        self.send(context, by, &answer);
    }

    /// The peer has closed a session, and all before it.
    fn closed(&mut self, context: &mut Context<'_>, index: SessionIndex, why: Closing) {
        let now = context.now();
        context.counters.closings_received += 1;
        let Some(created) = self.carrier(index).map(|it| it.session.created()) else {
            return;
        };
        let old = |peer: &Self| {
            let mut carriers = peer.carriers.iter();
            carriers.position(|it| it.session.created() <= created)
        };
        let connected = self.current.is_some();
        while let Some(old) = old(self) {
            self.drop_carrier(context, old);
        }
        if self.carriers.is_empty() {
            self.end(context, why);
        } else {
            self.settle(context);
            if connected && self.current.is_none() {
                self.end(context, why);
            }
        }
        // whoever closes does not want to be called at once
        let retry = context.settings.timers.retry * 8;
        let wait = context.about(retry);
        self.opening.tries = self.opening.tries.max(3);
        self.opening.at = now + wait;
    }
}
