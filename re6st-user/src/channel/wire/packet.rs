//! The four packets.

use std::{fmt, num::NonZeroU32};

use re6st_common::handshake::{
    COOKIE_REPLY, COOKIE_REPLY_SIZE, FORMAT_VERSION, HEAD_SIZE, Head, INITIATION, RESPONSE,
    TAG_SIZE, TRANSPORT,
};
use thiserror::Error;

use crate::octets::Reader;

/// Octets before Noise's first message.
pub const INITIATION_HEADER: usize = 24;
/// Octets before Noise's second message.
pub const RESPONSE_HEADER: usize = 8;
/// Octets before the ciphertext of a transport packet; all of them are authenticated.
pub const TRANSPORT_HEADER: usize = 16;
/// Octets of the authentication tag at the end of a ciphertext.
pub const TAG: usize = 16;
/// Octets of an initiation or a response at most: certificates of 1 kB are usual, of 4 kB possible.
pub const MAX_HANDSHAKE: usize = 8_192;
/// Octets of a transport packet at most: what a UDP datagram over IPv4 can carry (RFC 768).
pub const MAX_TRANSPORT: usize = 65_507;
/// What Noise's first message is at least: ephemeral key, encrypted static key, and an empty encrypted payload.
const MIN_INITIATION: usize = INITIATION_HEADER + 32 + 48 + 16;
const MIN_RESPONSE: usize = RESPONSE_HEADER + 32 + 16;

/// Which session of the receiver's a packet belongs to: a number that the receiver has chosen. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionIndex(NonZeroU32);

impl SessionIndex {
    /// Any number but 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// As on the wire.
    pub const fn octets(self) -> [u8; 4] {
        self.get().to_be_bytes()
    }
}

impl fmt::Debug for SessionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.get())
    }
}

impl fmt::Display for SessionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.get())
    }
}

/// What a packet is, by its first octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketKind {
    /// Noise's first message: [`Initiation`].
    Initiation,
    /// Noise's second message: [`Response`].
    Response,
    /// The same again, with this cookie: [`CookieReply`].
    CookieReply,
    /// Messages under a session's keys: [`Transport`].
    Transport,
}

impl PacketKind {
    /// Of these octets; none if they are no packet of the channel (GRE begins with 0x20 or 0x00).
    pub fn of(packet: &[u8]) -> Option<Self> {
        match *packet.first()? {
            INITIATION => Some(Self::Initiation),
            RESPONSE => Some(Self::Response),
            COOKIE_REPLY => Some(Self::CookieReply),
            TRANSPORT => Some(Self::Transport),
            _ => None,
        }
    }
}

/// Why some octets are no packet of the kind that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum PacketError {
    /// The first octet is another kind's.
    #[error("another kind of packet")]
    WrongKind,
    /// A version of the format that is not ours.
    #[error("an unknown version of the format")]
    UnknownVersion,
    /// Shorter than such a packet can be.
    #[error("shorter than such a packet can be")]
    Truncated,
    /// Longer than such a packet may be.
    #[error("longer than such a packet may be")]
    Oversized,
    /// Something stands where zeros belong.
    #[error("something stands where zeros belong")]
    NotZero,
    /// A session index of 0.
    #[error("session index 0")]
    ZeroIndex,
}

impl PacketError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongKind => "wrong_kind",
            Self::UnknownVersion => "unknown_format_version",
            Self::Truncated => "truncated",
            Self::Oversized => "oversized",
            Self::NotZero => "reserved_not_zero",
            Self::ZeroIndex => "zero_index",
        }
    }
}

/// Type, the octet after it, and the index, of a packet with so many octets at least and at most.
fn header(
    packet: &[u8],
    kind: u8,
    least: usize,
    most: usize,
) -> Result<(u8, SessionIndex), PacketError> {
    let mut reader = Reader::new(packet);
    if reader.u8().is_some_and(|found| found != kind) {
        return Err(PacketError::WrongKind);
    }
    if packet.len() < least {
        return Err(PacketError::Truncated);
    }
    if packet.len() > most {
        return Err(PacketError::Oversized);
    }
    let second = reader.u8().ok_or(PacketError::Truncated)?;
    if kind != TRANSPORT && second != FORMAT_VERSION {
        return Err(PacketError::UnknownVersion);
    }
    if reader.u16() != Some(0) {
        return Err(PacketError::NotZero);
    }
    let index = reader.u32().ok_or(PacketError::Truncated)?;
    let index = SessionIndex::new(index).ok_or(PacketError::ZeroIndex)?;
    Ok((second, index))
}

/// The first eight octets of a packet that is not a transport packet.
pub const fn first_octets(kind: u8, index: SessionIndex) -> [u8; 8] {
    let [a, b, c, d] = index.octets();
    [kind, FORMAT_VERSION, 0, 0, a, b, c, d]
}

/// Noise's first message, from who opens a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Initiation<'a> {
    /// All that can be judged without a private key: [`re6st_common::handshake::judge`].
    pub head: &'a Head,
    /// The initiator's index of the session.
    pub index: SessionIndex,
    /// Noise's message.
    pub noise: &'a [u8],
}

impl<'a> Initiation<'a> {
    /// Splits a packet. MAC and cookie are not looked at.
    ///
    /// # Errors
    ///
    /// The form is wrong.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let (_, index) = header(packet, INITIATION, MIN_INITIATION, MAX_HANDSHAKE)?;
        let head = packet
            .first_chunk::<HEAD_SIZE>()
            .ok_or(PacketError::Truncated)?;
        let noise = packet
            .get(INITIATION_HEADER..)
            .ok_or(PacketError::Truncated)?;
        Ok(Self { head, index, noise })
    }
}

/// Noise's second message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// The initiator's index.
    pub receiver: SessionIndex,
    /// Noise's message.
    pub noise: &'a [u8],
}

impl<'a> Response<'a> {
    /// Splits a packet.
    ///
    /// # Errors
    ///
    /// The form is wrong.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let (_, receiver) = header(packet, RESPONSE, MIN_RESPONSE, MAX_HANDSHAKE)?;
        let noise = packet
            .get(RESPONSE_HEADER..)
            .ok_or(PacketError::Truncated)?;
        Ok(Self { receiver, noise })
    }
}

/// The answer of a responder under load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CookieReply {
    /// The initiator's index.
    pub receiver: SessionIndex,
    /// What the same initiation is to carry.
    pub cookie: [u8; TAG_SIZE],
    /// The MAC of the initiation it answers. Whoever has not seen that cannot make a cookie reply.
    pub mac: [u8; TAG_SIZE],
}

impl CookieReply {
    /// Splits a packet.
    ///
    /// # Errors
    ///
    /// The form is wrong.
    pub fn parse(packet: &[u8]) -> Result<Self, PacketError> {
        let (_, receiver) = header(packet, COOKIE_REPLY, COOKIE_REPLY_SIZE, COOKIE_REPLY_SIZE)?;
        let mut reader = Reader::new(packet);
        reader.octets(8).ok_or(PacketError::Truncated)?;
        let cookie = *reader.array().ok_or(PacketError::Truncated)?;
        let mac = *reader.array().ok_or(PacketError::Truncated)?;
        Ok(Self {
            receiver,
            cookie,
            mac,
        })
    }
}

/// Messages under a session's keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transport<'a> {
    /// Which keys: the low part of the sender's epoch.
    pub label: u8,
    /// The receiver's index.
    pub receiver: SessionIndex,
    /// Never the same twice in one direction of a session.
    pub counter: u64,
    /// All before the ciphertext: authenticated with it.
    pub header: &'a [u8; TRANSPORT_HEADER],
    /// Ciphertext and tag.
    pub sealed: &'a [u8],
}

impl<'a> Transport<'a> {
    /// Splits a packet.
    ///
    /// # Errors
    ///
    /// The form is wrong.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        let (label, receiver) = header(packet, TRANSPORT, TRANSPORT_HEADER + TAG, MAX_TRANSPORT)?;
        let (header, sealed) = packet.split_first_chunk().ok_or(PacketError::Truncated)?;
        let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h] = *header;
        let counter = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Ok(Self {
            label,
            receiver,
            counter,
            header,
            sealed,
        })
    }

    /// The header of a packet.
    pub const fn header(label: u8, receiver: SessionIndex, counter: u64) -> [u8; TRANSPORT_HEADER] {
        let [a, b, c, d] = receiver.octets();
        let [e, f, g, h, i, j, k, l] = counter.to_be_bytes();
        [TRANSPORT, label, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]
    }
}
