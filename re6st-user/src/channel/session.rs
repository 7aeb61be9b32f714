//! A session: what seals and opens transport packets.
//!
//! Each direction has a chain of keys, one for each epoch ([`keys`](super::keys)), and a counter that never begins again. The
//! sender goes to the next epoch after some time or some packets; the receiver follows when a packet of it opens, and keeps
//! the keys of before for a while. Epoch 0 is what the handshake gives, epoch 1 the first that carries data:
//!
//! | | with ML-KEM | without |
//! |---|---|---|
//! | initiator sends in epoch 1 | after [`Session::mix`] | at once |
//! | responder sends in epoch 1 | after the initiator's first packet of epoch 1 | the same |

use std::{fmt, time::Duration};

use thiserror::Error;

pub use super::epochs::{Epoch, MAX_AHEAD, MAX_PAST};
use super::{
    epochs::{NotOpened, Receiver, Sender},
    keys::Secret,
    noise::Split,
    post_quantum::SharedSecret,
    window::Refusal,
    wire::{
        PacketError, SessionIndex,
        message::Receipt,
        packet::{MAX_TRANSPORT, TAG, TRANSPORT_HEADER, Transport},
    },
};
use crate::time::Time;

/// Longest plaintext, in octets.
pub const MAX_PLAINTEXT: usize = MAX_TRANSPORT - TRANSPORT_HEADER - TAG;
/// A session's limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    /// After so long in one epoch the sender goes to the next.
    pub ratchet_after: Duration,
    /// After so many packets in one epoch too.
    pub ratchet_packets: u64,
    /// The keys of an epoch are kept so long after a packet of a later one has come.
    pub keep_previous: Duration,
    /// After so long a session is dead.
    pub reject_after: Duration,
    /// After so many packets of one direction too.
    pub reject_packets: u64,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            ratchet_after: Duration::from_secs(120),
            ratchet_packets: 1 << 20,
            keep_previous: Duration::from_secs(5),
            reject_after: Duration::from_secs(7_200),
            reject_packets: 1 << 60,
        }
    }
}

/// Which side of the handshake this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It has sent the initiation.
    Initiator,
    /// It has answered.
    Responder,
}

/// Why a packet is not sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum SealError {
    /// All counters are used up.
    #[error("the session has sent all packets it may")]
    Exhausted,
    /// The session is too old.
    #[error("the session is too old")]
    Expired,
    /// The plaintext is longer than [`MAX_PLAINTEXT`].
    #[error("too long for a packet")]
    TooLong,
    /// The cryptographic library has failed.
    #[error("the cryptographic library has failed")]
    Library,
}

impl SealError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "session_exhausted",
            Self::Expired => "session_expired",
            Self::TooLong => "plaintext_too_long",
            Self::Library => "library_failed",
        }
    }
}

/// Why a packet is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum OpenError {
    /// Its form is wrong.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It is for another session.
    #[error("the packet is for another session")]
    WrongIndex,
    /// The session is too old.
    #[error("the session is too old")]
    Expired,
    /// Its counter is beyond what a session may use.
    #[error("the counter is beyond what a session may use")]
    Exhausted,
    /// It has come already.
    #[error("the packet has come already")]
    Replayed,
    /// It is so old that nobody knows whether it has come already.
    #[error("the packet is too old")]
    TooOld,
    /// Its epoch is one that there are no keys for, no longer or not yet.
    #[error("there are no keys of the packet's epoch")]
    UnknownEpoch,
    /// It was not made with the session's keys, or was changed.
    #[error("the packet is forged or changed")]
    Forged,
    /// The cryptographic library has failed.
    #[error("the cryptographic library has failed")]
    Library,
}

impl OpenError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet(error) => error.name(),
            Self::WrongIndex => "wrong_index",
            Self::Expired => "session_expired",
            Self::Exhausted => "counter_beyond_limit",
            Self::Replayed => "replayed",
            Self::TooOld => "too_old",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Forged => "forged",
            Self::Library => "library_failed",
        }
    }
}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Replayed => Self::Replayed,
            Refusal::TooOld => Self::TooOld,
        }
    }
}

impl From<NotOpened> for OpenError {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::UnknownEpoch => Self::UnknownEpoch,
            NotOpened::Forged => Self::Forged,
            NotOpened::Library => Self::Library,
        }
    }
}

/// Why a shared secret of ML-KEM is not mixed in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum MixError {
    /// ML-KEM was not agreed on.
    #[error("post-quantum keys were not agreed on")]
    NotAgreed,
    /// One was mixed in already.
    #[error("post-quantum keys are there already")]
    Already,
    /// The cryptographic library has failed.
    #[error("the cryptographic library has failed")]
    Library,
}

impl MixError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAgreed => "post_quantum_not_agreed",
            Self::Already => "post_quantum_repeated",
            Self::Library => "library_failed",
        }
    }
}

/// Keys with one peer, from one handshake. Erased when dropped; not shown.
pub struct Session {
    side: Side,
    index: SessionIndex,
    remote_index: SessionIndex,
    post_quantum: bool,
    created: Time,
    confirmed: bool,
    settings: SessionSettings,
    sender: Sender,
    receiver: Receiver,
}

impl Session {
    /// `indexes` are ours and the peer's.
    pub(super) fn new(
        side: Side,
        indexes: (SessionIndex, SessionIndex),
        split: Split,
        post_quantum: bool,
        now: Time,
        settings: SessionSettings,
    ) -> Option<Self> {
        let (send, receive) = match side {
            Side::Initiator => (split.from_initiator, split.from_responder),
            Side::Responder => (split.from_responder, split.from_initiator),
        };
        let first = |secret: &Secret| (!post_quantum).then(|| secret.ratchet());
        let mut session = Self {
            side,
            index: indexes.0,
            remote_index: indexes.1,
            post_quantum,
            created: now,
            confirmed: side == Side::Initiator,
            settings,
            sender: Sender::new(send.clone(), first(&send), now)?,
            receiver: Receiver::new(receive.clone(), first(&receive))?,
        };
        if side == Side::Initiator && !post_quantum {
            session.sender.advance(now)?;
        }
        Some(session)
    }

    /// Our index: packets to us carry it.
    pub const fn index(&self) -> SessionIndex {
        self.index
    }

    /// The peer's index.
    pub const fn remote_index(&self) -> SessionIndex {
        self.remote_index
    }

    /// Which side of the handshake we were.
    pub const fn side(&self) -> Side {
        self.side
    }

    /// When the handshake ended.
    pub const fn created(&self) -> Time {
        self.created
    }

    /// Whether ML-KEM is agreed on; its secret may not be mixed in yet.
    pub const fn is_post_quantum(&self) -> bool {
        self.post_quantum
    }

    /// Whether the handshake was no replay: the initiator knows that from the response, the responder from the first transport
    /// packet that opens.
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether all messages may be sent: we send in epoch 1 or a later one.
    pub const fn is_ready(&self) -> bool {
        self.sender.keys.epoch.0 > 0
    }

    /// The epoch we send in, and the highest one the peer has been heard in.
    pub const fn epochs(&self) -> (Epoch, Epoch) {
        (self.sender.keys.epoch, self.receiver.keys.epoch)
    }

    /// How many packets we have sealed.
    pub const fn sealed(&self) -> u64 {
        self.sender.counter
    }

    /// What has come so far.
    pub fn receipt(&self) -> Receipt {
        Receipt {
            highest: self.receiver.window.highest().unwrap_or_default(),
            received: self.receiver.window.received(),
        }
    }

    /// Whether the session is dead: too old, or all its counters are used.
    pub fn is_dead(&self, now: Time) -> bool {
        self.is_expired(now) || self.sender.counter >= self.settings.reject_packets
    }

    fn is_expired(&self, now: Time) -> bool {
        now.since(self.created) >= self.settings.reject_after
    }

    /// When keys of epochs that are over are to be erased by [`Self::erase`].
    pub fn next_deadline(&self) -> Option<Time> {
        self.receiver.next_deadline()
    }

    /// Erases the keys of epochs that have been over for long enough.
    pub fn erase(&mut self, now: Time) {
        self.receiver.erase(now);
    }

    /// Mixes ML-KEM's shared secret into the keys of both directions: they are those of epoch 1. The initiator sends in it
    /// from now on; the responder when the initiator has.
    ///
    /// # Errors
    ///
    /// ML-KEM was not agreed on, or this was done before: nothing has changed.
    pub fn mix(&mut self, now: Time, secret: &SharedSecret) -> Result<(), MixError> {
        if !self.post_quantum {
            return Err(MixError::NotAgreed);
        }
        let begun = self.sender.keys.epoch > Epoch(0) || self.receiver.keys.epoch > Epoch(0);
        if begun || self.sender.first.is_some() {
            return Err(MixError::Already);
        }
        let secret = secret.octets();
        self.sender.first = Some(self.sender.keys.secret.mix(secret));
        self.receiver.first = Some(self.receiver.keys.secret.mix(secret));
        if self.side == Side::Initiator {
            self.sender.advance(now).ok_or(MixError::Library)?;
        }
        Ok(())
    }

    /// The secret of the epoch that we send in.
    #[cfg(test)]
    pub(super) fn sending_secret(&self) -> &[u8; 32] {
        self.sender.keys.secret.octets()
    }

    /// The AEAD key that we send with.
    #[cfg(test)]
    pub(super) fn sending_key(&self) -> zeroize::Zeroizing<[u8; 32]> {
        self.sender.keys.secret.key_octets()
    }

    /// The sender's secret of epoch 1, before or while it sends in it.
    #[cfg(test)]
    pub(super) fn first_secret(&self) -> &Secret {
        let keys = &self.sender.keys;
        self.sender.first.as_ref().unwrap_or(&keys.secret)
    }

    /// A transport packet with this plaintext.
    ///
    /// # Errors
    ///
    /// The session is dead, or the plaintext too long.
    pub fn seal(&mut self, now: Time, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLong);
        }
        if self.is_expired(now) {
            return Err(SealError::Expired);
        }
        let counter = self.sender.counter;
        if counter >= self.settings.reject_packets {
            return Err(SealError::Exhausted);
        }
        let old = now.since(self.sender.since) >= self.settings.ratchet_after
            || self.sender.packets >= self.settings.ratchet_packets;
        if old && self.sender.keys.epoch > Epoch(0) {
            self.sender.advance(now).ok_or(SealError::Library)?;
        }
        // whatever becomes of the packet, its counter is used
        self.sender.counter += 1;
        self.sender.packets += 1;
        let keys = &self.sender.keys;
        let header = Transport::header(keys.epoch.label(), self.remote_index, counter);
        let packet = keys.key.packet(counter, &header, plaintext);
        packet.ok_or(SealError::Library)
    }

    /// The plaintext of a transport packet, and the epoch it was sealed in. In epoch 0 of a session with ML-KEM only some
    /// messages are allowed: [`Message::may_precede_post_quantum`](super::wire::Message::may_precede_post_quantum).
    ///
    /// # Errors
    ///
    /// The packet is refused, and nothing has changed.
    pub fn open(&mut self, now: Time, packet: &[u8]) -> Result<(Epoch, Vec<u8>), OpenError> {
        let packet = Transport::parse(packet)?;
        if packet.receiver != self.index {
            return Err(OpenError::WrongIndex);
        }
        if self.is_expired(now) {
            return Err(OpenError::Expired);
        }
        if packet.counter >= self.settings.reject_packets {
            return Err(OpenError::Exhausted);
        }
        self.receiver.window.check(packet.counter)?;
        self.erase(now);
        let (epoch, plaintext) = self
            .receiver
            .open(&packet, now + self.settings.keep_previous)?;
        self.receiver.window.note(packet.counter);
        self.confirmed = true;
        if epoch > Epoch(0) && self.sender.keys.epoch == Epoch(0) {
            self.sender.advance(now).ok_or(OpenError::Library)?;
        }
        Ok((epoch, plaintext))
    }
}

impl fmt::Debug for Session {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("side", &self.side)
            .field("index", &self.index)
            .field("remote_index", &self.remote_index)
            .field("epochs", &self.epochs())
            .field("counter", &self.sender.counter)
            .finish_non_exhaustive()
    }
}
