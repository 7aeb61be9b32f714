//! An initiation of ours on its way, until its response comes.

use std::{net::SocketAddr, time::Duration};

use super::{
    context::Context,
    handshake::Initiator,
    refusal::Refusal,
    session::Session,
    wire::{Offer, SessionIndex, packet::CookieReply},
};
use crate::{
    certificate::{node::NodeCertificate, node_prefix::NodePrefix, static_key::StaticPublicKey},
    time::{Time, Timestamp},
};

/// An initiation on its way.
pub(super) struct Call {
    initiator: Initiator,
    node: NodePrefix,
    to: SocketAddr,
    sent_at: Time,
    /// It was sent again with a cookie.
    has_cookie: bool,
}

/// What a response proves.
pub(super) struct Answered {
    /// With our index, which is to be given back if nothing becomes of it.
    pub session: Session,
    pub certificate: NodeCertificate,
    /// The last second that the network vouches for it.
    pub until: Timestamp,
    /// Where the other one sees us.
    pub seen_at: Option<SocketAddr>,
    pub round_trip: Duration,
}

impl Call {
    /// Calls a node; gives the initiation to send there. None if that cannot be made here, which is counted.
    pub fn begin(
        context: &mut Context<'_>,
        node: NodePrefix,
        key: &StaticPublicKey,
        to: SocketAddr,
    ) -> Option<(Self, Vec<u8>)> {
        let index = context.indexes.take(node, context.random);
        let begun = Initiator::begin(
            &context.own.identity,
            key,
            index,
            &Offer::ours(context.policy),
            &mut *context.random,
        );
        let Ok((initiator, packet)) = begun else {
            context.indexes.give_back(index);
            context.counters.handshakes_failed += 1;
            return None;
        };
        let sent_at = context.now();
        context.called.note(sent_at, to.ip());
        context.counters.initiations_sent += 1;
        let call = Self {
            initiator,
            node,
            to,
            sent_at,
            has_cookie: false,
        };
        Some((call, packet))
    }

    /// Our index of the session.
    pub const fn index(&self) -> SessionIndex {
        self.initiator.index()
    }

    /// Where it was sent.
    pub const fn to(&self) -> SocketAddr {
        self.to
    }

    /// Its response is not welcome any more.
    pub fn end(self, context: &mut Context<'_>) {
        context.indexes.give_back(self.index());
    }

    /// A cookie came: the same initiation leaves again with it, once, and to where the first one went.
    pub fn cookie(
        &mut self,
        context: &mut Context<'_>,
        reply: &CookieReply,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let Some(packet) = self.initiator.answer(reply) else {
            context.counters.unknown_cookie += 1;
            return None;
        };
        if std::mem::replace(&mut self.has_cookie, true) {
            context.counters.repeated_cookie += 1;
            return None;
        }
        self.sent_at = context.now();
        Some((self.to, packet))
    }

    /// Takes a response. None if it is none, which is counted: the true one can still come. Otherwise the call is over.
    pub fn response(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Result<Answered, Refusal>> {
        let now = context.now();
        let finished = self.initiator.finish(now, &context.settings.session, bytes);
        let Ok((received, session)) = finished else {
            context.counters.bad_response += 1;
            return None;
        };
        let admitted = context.own.admit(&received, context.wall());
        Some(admitted.and_then(|(certificate, until)| {
            if certificate.prefix() != self.node {
                return Err(Refusal::OtherName);
            }
            Ok(Answered {
                session,
                certificate,
                until,
                seen_at: received.offer.seen_at,
                round_trip: now.since(self.sent_at),
            })
        }))
    }
}
