//! Noise IK, one packet each way, with certificates inside the encrypted payloads. Who initiates knows the responder's static
//! key; who does not know it gets no answer.
//!
//! What is verified here: that the other side has the private half of the static key that is handed out, and that nobody has
//! changed what it says. Whether its certificate is good, and binds that static key, is for the caller to decide.

use std::fmt;

use blake2::{Blake2s256, Digest as _};
use re6st_common::handshake::{self as head, HEAD_SIZE, INITIATION, RESPONSE, SipKey, TAG_SIZE};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    Random,
    identity::Identity,
    noise::Noise,
    session::{Session, SessionSettings, Side},
    wire::{
        Offer, PacketError, SessionIndex,
        item::{ItemError, Items},
        packet::{
            CookieReply, INITIATION_HEADER, Initiation, MAX_HANDSHAKE, RESPONSE_HEADER, Response,
            first_octets,
        },
    },
};
use crate::{certificate::static_key::StaticPublicKey, time::Time};

const PROLOGUE: &[u8] = b"re6st-ebpf channel 1";

/// What initiations to the node with this static key are authenticated with at first.
pub fn mac_key(responder: &StaticPublicKey) -> SipKey {
    let mut hash = Blake2s256::new();
    hash.update(b"re6st-ebpf handshake mac");
    hash.update(responder.octets());
    let hash: [u8; 32] = hash.finalize().into();
    SipKey::new(std::array::from_fn(|at| hash[at]))
}

/// Why a handshake goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum HandshakeError {
    /// The packet's form is wrong.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The initiation's MAC: its sender does not know our static key.
    #[error("the sender does not know this node's static key")]
    WrongMac,
    /// The response is for another session.
    #[error("the response is for another session")]
    WrongIndex,
    /// The packet was not made by who has the keys, or for this handshake, or was changed.
    #[error("the packet is forged, changed, or of another handshake")]
    Forged,
    /// The payload.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The other side has our own static key.
    #[error("the other side shows this node's own key")]
    OwnKey,
    /// One side requires ML-KEM, and the other does not do it.
    #[error("one side requires post-quantum keys, the other makes none")]
    PostQuantum,
    /// Our certificate makes the packet too long.
    #[error("the certificate is too long for a handshake")]
    TooLong,
    /// The handshake has ended already.
    #[error("the handshake has ended already")]
    Finished,
    /// The cryptographic library has failed, or the other side's static key is one that no key can be agreed with.
    #[error("no key can be agreed")]
    Agreement,
}

impl HandshakeError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet(error) => error.name(),
            Self::WrongMac => "wrong_mac",
            Self::WrongIndex => "wrong_index",
            Self::Forged => "forged_handshake",
            Self::Item(error) => error.name(),
            Self::OwnKey => "own_key",
            Self::PostQuantum => "post_quantum_mismatch",
            Self::TooLong => "certificate_too_long",
            Self::Finished => "handshake_finished",
            Self::Agreement => "no_key_agreement",
        }
    }
}

/// Why an initiation is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RespondError<R> {
    /// The handshake itself.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The caller does not want this peer.
    #[error("refused")]
    Refused(R),
}

/// What the other side has said and proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Its certificate in DER: not verified.
    pub certificate: Vec<u8>,
    /// Its static key: proven. The certificate must bind the same.
    pub static_key: StaticPublicKey,
    /// What else it says.
    pub offer: Offer,
    /// The key it has made for this handshake. An initiation with one that has been seen already is a replay.
    pub ephemeral: [u8; 32],
}

fn prologue(first: [u8; 8]) -> Vec<u8> {
    [PROLOGUE, &first].concat()
}

fn ephemeral(random: Random<'_>) -> Zeroizing<[u8; 32]> {
    let mut octets = Zeroizing::new([0; 32]);
    random(&mut *octets);
    octets
}

/// One side's handshake that waits for the response.
pub struct Initiator {
    /// None after the response has come.
    noise: Option<Noise>,
    index: SessionIndex,
    offer: Offer,
    peer_key: StaticPublicKey,
    own_key: StaticPublicKey,
    packet: Vec<u8>,
}

impl Initiator {
    /// Begins a handshake with the node that has this static key; gives the initiation to send. Our session index is to be one
    /// that no other session of ours has.
    ///
    /// # Errors
    ///
    /// `TooLong`, `Agreement`.
    pub fn begin(
        own: &Identity,
        peer_key: &StaticPublicKey,
        index: SessionIndex,
        offer: &Offer,
        random: Random<'_>,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let first = first_octets(INITIATION, index);
        let payload = Items {
            certificate: own.certificate(),
            offer: *offer,
            index: None,
        }
        .encode();
        let mut packet = Vec::with_capacity(payload.len() + 128);
        packet.extend(first);
        packet.resize(INITIATION_HEADER, 0);
        let mut noise = Noise::initiator(
            own.private(),
            peer_key.octets(),
            &prologue(first),
            ephemeral(random),
        )
        .map_err(|_| HandshakeError::Agreement)?;
        noise
            .write(&payload, &mut packet)
            .map_err(|_| HandshakeError::Agreement)?;
        if packet.len() > MAX_HANDSHAKE {
            return Err(HandshakeError::TooLong);
        }
        let mac = packet
            .first_chunk::<HEAD_SIZE>()
            .map(|head| head::mac(mac_key(peer_key), head));
        if let (Some(mac), Some(place)) = (mac, packet.get_mut(16..INITIATION_HEADER)) {
            place.copy_from_slice(&mac);
        }
        let initiator = Self {
            noise: Some(noise),
            index,
            offer: *offer,
            peer_key: *peer_key,
            own_key: *own.public_key(),
            packet: packet.clone(),
        };
        Ok((initiator, packet))
    }

    /// Our index of the session.
    pub const fn index(&self) -> SessionIndex {
        self.index
    }

    /// The static key it is for.
    pub const fn peer_key(&self) -> &StaticPublicKey {
        &self.peer_key
    }

    /// The initiation, to be sent again. (The same octets: the responder takes them as a replay if it has had them.)
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// The initiation with this cookie.
    pub fn with_cookie(&self, cookie: [u8; TAG_SIZE]) -> Vec<u8> {
        let mut packet = self.packet.clone();
        if let Some(place) = packet.get_mut(8..16) {
            place.copy_from_slice(&cookie);
        }
        packet
    }

    /// The initiation as a cookie reply wants it; none if that does not answer this initiation.
    pub fn answer(&self, reply: &CookieReply) -> Option<Vec<u8>> {
        let mac = self.packet.get(16..INITIATION_HEADER)?;
        let fits = reply.receiver == self.index && bool::from(mac.ct_eq(&reply.mac));
        fits.then(|| self.with_cookie(reply.cookie))
    }

    /// Takes a response. After an error other than `Item`, `OwnKey` and `PostQuantum` the true response can still come: a
    /// forged one does no harm.
    ///
    /// # Errors
    ///
    /// The packet is no response to this, or not from who has the static key, or says what we cannot agree to.
    pub fn finish(
        &mut self,
        now: Time,
        settings: &SessionSettings,
        response: &[u8],
    ) -> Result<(Received, Session), HandshakeError> {
        let response = Response::parse(response)?;
        if response.receiver != self.index {
            return Err(HandshakeError::WrongIndex);
        }
        let noise = self.noise.as_mut().ok_or(HandshakeError::Finished)?;
        let payload = noise
            .read(response.noise)
            .map_err(|_| HandshakeError::Forged)?;
        let split = self.noise.take().and_then(Noise::split);
        let split = split.ok_or(HandshakeError::Agreement)?;
        let items = Items::parse(&payload)?;
        let remote = items.index.ok_or(ItemError::Missing(3))?;
        if self.peer_key == self.own_key {
            return Err(HandshakeError::OwnKey);
        }
        let post_quantum = self
            .offer
            .agree_on_post_quantum(&items.offer)
            .ok_or(HandshakeError::PostQuantum)?;
        let side = Side::Initiator;
        let indexes = (self.index, remote);
        let session = Session::new(side, indexes, split, post_quantum, now, *settings)
            .ok_or(HandshakeError::Agreement)?;
        let received = Received {
            certificate: items.certificate.to_vec(),
            static_key: self.peer_key,
            offer: items.offer,
            ephemeral: response
                .noise
                .first_chunk()
                .copied()
                .ok_or(HandshakeError::Forged)?,
        };
        Ok((received, session))
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("index", &self.index)
            .field("peer_key", &self.peer_key)
            .finish_non_exhaustive()
    }
}

/// Takes an initiation. `decide` sees who it is and says what we offer in return, or refuses. Gives what the other side has
/// said, the response to send, and the session, which counts for nothing before its first transport packet has come
/// ([`Session::is_confirmed`]): until then this may be a replay. Our session index is to be one that no other session has.
///
/// # Errors
///
/// The packet is no initiation to us, or says what we cannot agree to, or is refused. Nothing is to be answered.
pub fn respond<R>(
    own: &Identity,
    initiation: &[u8],
    index: SessionIndex,
    now: Time,
    settings: &SessionSettings,
    random: Random<'_>,
    decide: impl FnOnce(&Received) -> Result<Offer, R>,
) -> Result<(Received, Vec<u8>, Session), RespondError<R>> {
    let initiation = Initiation::parse(initiation).map_err(HandshakeError::from)?;
    let (mut noise, received) = read_initiation(own, &initiation, random)?;
    let offer = decide(&received).map_err(RespondError::Refused)?;
    let post_quantum = offer
        .agree_on_post_quantum(&received.offer)
        .ok_or(HandshakeError::PostQuantum)?;
    let payload = Items {
        certificate: own.certificate(),
        offer,
        index: Some(index),
    }
    .encode();
    let mut packet = Vec::with_capacity(RESPONSE_HEADER + payload.len() + 128);
    packet.extend(first_octets(RESPONSE, initiation.index));
    noise
        .write(&payload, &mut packet)
        .map_err(|_| HandshakeError::Agreement)?;
    if packet.len() > MAX_HANDSHAKE {
        return Err(HandshakeError::TooLong.into());
    }
    let split = noise.split().ok_or(HandshakeError::Agreement)?;
    let indexes = (index, initiation.index);
    let session = Session::new(
        Side::Responder,
        indexes,
        split,
        post_quantum,
        now,
        *settings,
    )
    .ok_or(HandshakeError::Agreement)?;
    Ok((received, packet, session))
}

fn read_initiation(
    own: &Identity,
    initiation: &Initiation<'_>,
    random: Random<'_>,
) -> Result<(Noise, Received), HandshakeError> {
    let mac = head::mac(own.mac_key(), initiation.head);
    if !bool::from(mac.ct_eq(&head::shown_mac(initiation.head))) {
        return Err(HandshakeError::WrongMac);
    }
    let first = first_octets(INITIATION, initiation.index);
    let mut noise = Noise::responder(own.private(), &prologue(first), ephemeral(random))
        .map_err(|_| HandshakeError::Agreement)?;
    let payload = noise
        .read(initiation.noise)
        .map_err(|_| HandshakeError::Forged)?;
    let static_key = noise.remote_static().ok_or(HandshakeError::Forged)?;
    let static_key = StaticPublicKey::new(static_key);
    if static_key == *own.public_key() {
        return Err(HandshakeError::OwnKey);
    }
    let items = Items::parse(&payload)?;
    let received = Received {
        certificate: items.certificate.to_vec(),
        static_key,
        offer: items.offer,
        ephemeral: initiation
            .noise
            .first_chunk()
            .copied()
            .ok_or(HandshakeError::Forged)?,
    };
    Ok((noise, received))
}
