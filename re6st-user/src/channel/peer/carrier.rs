//! One session with a peer, and what has to be agreed in it before it carries anything.

use std::time::Duration;

use crate::{
    certificate::{node::NodeCertificate, static_key::StaticPublicKey},
    channel::{
        post_quantum::KeyPair,
        session::{Session, Side},
        wire::message::TunnelTerms,
    },
    time::{Time, Timestamp},
};

/// Before a question is repeated; doubled with each.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
const LAST_REPEAT: Duration = Duration::from_secs(2);

/// How far the keys of a session are.
pub(super) enum Stage {
    /// We have sent an encapsulation key.
    AwaitsCiphertext(Box<KeyPair>),
    /// The peer is to send its encapsulation key, or, without ML-KEM, its first packet.
    AwaitsKey,
    /// We have sent a ciphertext, in this packet, and wait for a sign that it has come.
    Answered(Vec<u8>),
    /// Everything may be sent.
    Ready,
}

/// When something is said again that was not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    pub at: Time,
    wait: Duration,
}

impl Repeat {
    pub const fn new(at: Time) -> Self {
        Self {
            at,
            wait: FIRST_REPEAT,
        }
    }

    pub fn said(&mut self, now: Time) {
        self.at = now + self.wait;
        self.wait = (self.wait * 2).min(LAST_REPEAT);
    }
}

/// The certificate that was shown in a session's handshake, and the last second that the network vouches for it.
#[derive(Clone)]
pub(super) struct Shown {
    pub certificate: NodeCertificate,
    pub until: Timestamp,
}

/// A session.
pub(super) struct Carrier {
    pub session: Session,
    pub shown: Shown,
    pub stage: Stage,
    /// The GRE key that we accept.
    pub key: u32,
    /// What the peer said of the tunnel.
    pub terms: Option<TunnelTerms>,
    /// The peer has our key.
    pub has_ours: bool,
    /// What we say of the tunnel has changed since the peer heard it.
    pub terms_changed: bool,
    pub repeat: Repeat,
    pub complete_at: Option<Time>,
    /// When something was last received.
    pub heard_at: Time,
    /// When the one of the two that leads first used it for what a session is for, and when last.
    pub used: Option<(Time, Time)>,
    /// When packets were last sent by it for what a session is for.
    pub current_until: Time,
}

impl Carrier {
    pub fn new(now: Time, session: Session, shown: Shown, key: u32, stage: Stage) -> Self {
        Self {
            session,
            shown,
            stage,
            key,
            terms: None,
            has_ours: false,
            terms_changed: false,
            repeat: Repeat::new(now),
            complete_at: None,
            heard_at: now,
            used: None,
            current_until: now,
        }
    }

    pub const fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Both have each other's GRE key.
    pub const fn is_complete(&self) -> bool {
        self.is_ready() && self.has_ours && self.terms.is_some()
    }

    /// Something is to be said until it is answered.
    pub const fn repeats(&self) -> bool {
        match self.stage {
            Stage::AwaitsCiphertext(_) => true,
            Stage::AwaitsKey | Stage::Answered(_) => false,
            Stage::Ready => !self.is_complete() || self.terms_changed,
        }
    }

    /// The key that the peer has proven to have.
    pub const fn static_key(&self) -> Option<StaticPublicKey> {
        self.shown.certificate.static_key()
    }

    pub fn is_ours(&self) -> bool {
        self.session.side() == Side::Initiator
    }

    /// Since when it serves nobody.
    pub fn idle_since(&self) -> Time {
        self.heard_at.max(self.current_until)
    }

    /// Whoever leads has used it.
    pub const fn uses(&mut self, now: Time) {
        let first = match self.used {
            Some((first, _)) => first,
            None => now,
        };
        self.used = Some((first, now));
    }
}
