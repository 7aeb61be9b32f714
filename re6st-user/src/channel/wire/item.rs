//! The payloads of both handshake messages: items of a type (u16), a length (u16) and a value. Unknown ones are skipped, so
//! that a later release can add some; those with the type's highest bit set must be understood or the handshake ends.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{super::PostQuantum, packet::SessionIndex};
use crate::octets::{Reader, put_socket_address};

const CERTIFICATE: u16 = 1;
const VERSION: u16 = 2;
const INDEX: u16 = 3;
const SEEN_AT: u16 = 4;
const POST_QUANTUM: u16 = 5;
const MANDATORY: u16 = 0x8000;

/// The version of what is said inside the channel.
pub const VERSION_SPOKEN: u8 = 1;

/// What a node can do: a set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub u32);

impl Features {
    /// ML-KEM-768 inside the channel (bit 0).
    pub const ML_KEM_768: Self = Self(1);
    /// Clear tunnels by FOU (bit 1).
    pub const CLEAR_FOU: Self = Self(1 << 1);
    /// All that this release can do.
    pub const OURS: Self = Self(Self::ML_KEM_768.0 | Self::CLEAR_FOU.0);

    /// Whether all these are among them.
    pub const fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }

    /// Those that both have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What one side says of itself in the handshake, beside its certificate and its session index. All of it is authenticated,
/// so nobody on the path can talk the two down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The highest version of what is said inside the channel that it speaks; at least 1.
    pub version: u8,
    /// What it can do.
    pub features: Features,
    /// Its policy.
    pub post_quantum: PostQuantum,
    /// In a response: where it has seen the initiation come from.
    pub seen_at: Option<SocketAddr>,
}

impl Offer {
    /// Of this release, with this policy.
    pub const fn ours(post_quantum: PostQuantum) -> Self {
        Self {
            version: VERSION_SPOKEN,
            features: Features::OURS,
            post_quantum,
            seen_at: None,
        }
    }

    /// The version that both speak.
    pub fn common_version(&self, other: &Self) -> u8 {
        self.version.min(other.version)
    }

    /// Whether ML-KEM is agreed on: both can, and nobody has switched it off. None if one side requires it and the other does
    /// not do it.
    pub fn agree_on_post_quantum(&self, other: &Self) -> Option<bool> {
        let does = |offer: &Self| {
            offer.features.has(Features::ML_KEM_768) && offer.post_quantum != PostQuantum::Off
        };
        let agreed = does(self) && does(other);
        let required = self.post_quantum.max(other.post_quantum) == PostQuantum::Required;
        (agreed || !required).then_some(agreed)
    }
}

/// Why a payload is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum ItemError {
    /// An item is longer than what is left, or its value is not what its type wants.
    #[error("item {0} is malformed")]
    Malformed(u16),
    /// An item comes twice.
    #[error("item {0} comes twice")]
    Repeated(u16),
    /// An item must be understood, and is not.
    #[error("item {0} is unknown and must be understood")]
    Mandatory(u16),
    /// An item is missing.
    #[error("item {0} is missing")]
    Missing(u16),
}

impl ItemError {
    /// Its counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_item",
            Self::Repeated(_) => "repeated_item",
            Self::Mandatory(_) => "unknown_mandatory_item",
            Self::Missing(_) => "missing_item",
        }
    }
}

/// A payload's items, as far as we know them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Items<'a> {
    /// The certificate in DER.
    pub certificate: &'a [u8],
    /// What else is said.
    pub offer: Offer,
    /// In a response: the responder's index.
    pub index: Option<SessionIndex>,
}

impl<'a> Items<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// An item is malformed, comes twice, is missing, or must be understood and is not.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ItemError> {
        let mut certificate = None;
        let mut version = None;
        let mut index = None;
        let mut seen_at = None;
        let mut post_quantum = None;
        let mut reader = Reader::new(payload);
        while !reader.is_empty() {
            let kind = reader.u16().ok_or(ItemError::Malformed(0))?;
            let malformed = ItemError::Malformed(kind);
            let length = reader.u16().ok_or(malformed)?;
            let value = reader.octets(length.into()).ok_or(malformed)?;
            let mut fields = Reader::new(value);
            let repeated = match kind {
                CERTIFICATE => certificate.replace(value).is_some(),
                VERSION => {
                    let spoken = fields
                        .u8()
                        .filter(|version| *version > 0)
                        .ok_or(malformed)?;
                    let features = Features(fields.u32().ok_or(malformed)?);
                    version.replace((spoken, features)).is_some()
                }
                INDEX => {
                    let number = fields.u32().ok_or(malformed)?;
                    let number = SessionIndex::new(number).ok_or(malformed)?;
                    index.replace(number).is_some()
                }
                SEEN_AT => {
                    let address = fields.socket_address().ok_or(malformed)?;
                    seen_at.replace(address).is_some()
                }
                POST_QUANTUM => {
                    let policy = fields.u8().and_then(PostQuantum::from_number);
                    post_quantum.replace(policy.ok_or(malformed)?).is_some()
                }
                _ if kind & MANDATORY != 0 => return Err(ItemError::Mandatory(kind)),
                _ => false,
            };
            if repeated {
                return Err(ItemError::Repeated(kind));
            }
        }
        let (version, features) = version.ok_or(ItemError::Missing(VERSION))?;
        Ok(Self {
            certificate: certificate.ok_or(ItemError::Missing(CERTIFICATE))?,
            offer: Offer {
                version,
                features,
                post_quantum: post_quantum.ok_or(ItemError::Missing(POST_QUANTUM))?,
                seen_at,
            },
            index,
        })
    }

    /// The payload with these items. A certificate that is longer than a handshake may be is cut by nobody: such a payload is
    /// refused when the packet is made.
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.certificate.len() + 64);
        let mut put = |kind: u16, value: &[u8]| {
            payload.extend(kind.to_be_bytes());
            payload.extend((value.len() as u16).to_be_bytes());
            payload.extend(value);
        };
        put(CERTIFICATE, self.certificate);
        let [a, b, c, d] = self.offer.features.0.to_be_bytes();
        put(VERSION, &[self.offer.version, a, b, c, d]);
        if let Some(index) = self.index {
            put(INDEX, &index.octets());
        }
        if let Some(address) = self.offer.seen_at {
            let mut value = Vec::with_capacity(19);
            put_socket_address(&mut value, address);
            put(SEEN_AT, &value);
        }
        put(POST_QUANTUM, &[self.offer.post_quantum.number()]);
        payload
    }
}
