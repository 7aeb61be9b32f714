//! Keys, and the MACs they make.

use std::{fmt, net::Ipv6Addr};

use blake2::{Blake2sMac, digest::consts::U16};
use hmac::{Hmac, KeyInit as _, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Source and destination port of all packets (RFC 8966 section 4.2).
const PORT: u16 = 6696;
/// Addresses and ports in front of what a MAC covers, in octets (RFC 8967 section 4.1).
const PSEUDO_HEADER: usize = 36;
/// The longest key for HMAC, in octets: one block. Longer ones would be hashed first, and other speakers refuse them.
const MAX_HMAC_SHA256_KEY: usize = 64;
/// The longest key for BLAKE2s, in octets.
const MAX_BLAKE2S_KEY: usize = 32;

/// How MACs are made (RFC 8967 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// HMAC with SHA-256: 32 octets.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// Keyed BLAKE2s: 16 octets.
    Blake2s128,
}

impl Algorithm {
    /// The longest key, in octets.
    const fn max_key(self) -> usize {
        match self {
            Self::HmacSha256 => MAX_HMAC_SHA256_KEY,
            Self::Blake2s128 => MAX_BLAKE2S_KEY,
        }
    }

    /// The length of its MACs, in octets.
    pub const fn mac_length(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::Blake2s128 => 16,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Blake2s128 => "blake2s128",
        })
    }
}

/// Why octets are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key of {length} octets: {algorithm} takes 1 to {}", algorithm.max_key())]
pub struct KeyError {
    algorithm: Algorithm,
    length: usize,
}

/// A key. It is never shown, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Key(State);

/// What is left of the key once it is taken in. Both types wipe themselves.
#[derive(Clone)]
enum State {
    HmacSha256(Box<Hmac<Sha256>>),
    Blake2s128(Box<Blake2sMac<U16>>),
}

impl Key {
    /// Takes a key in.
    ///
    /// # Errors
    /// [`KeyError`] if it is empty or too long.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        let error = KeyError {
            algorithm,
            length: key.len(),
        };
        if key.is_empty() || key.len() > algorithm.max_key() {
            return Err(error);
        }
        Ok(Self(match algorithm {
            Algorithm::HmacSha256 => {
                State::HmacSha256(Box::new(Hmac::new_from_slice(key).map_err(|_| error)?))
            }
            Algorithm::Blake2s128 => State::Blake2s128(Box::new(
                Blake2sMac::new_from_slice(key).map_err(|_| error)?,
            )),
        }))
    }

    /// What it is for.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::HmacSha256(_) => Algorithm::HmacSha256,
            State::Blake2s128(_) => Algorithm::Blake2s128,
        }
    }

    /// The MAC of a packet's header and body on its way from `source` to `destination` (RFC 8967 section 4.1).
    pub fn mac(&self, signed: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> PacketMac {
        let pseudo_header = pseudo_header(source, destination);
        let mut octets = [0; 32];
        let length = match &self.0 {
            State::HmacSha256(state) => digest(state.as_ref(), &pseudo_header, signed, &mut octets),
            State::Blake2s128(state) => digest(state.as_ref(), &pseudo_header, signed, &mut octets),
        };
        PacketMac { octets, length }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.algorithm())
    }
}

fn digest<M: Mac + Clone>(
    state: &M,
    pseudo_header: &[u8],
    signed: &[u8],
    octets: &mut [u8; 32],
) -> usize {
    let mut state = state.clone();
    state.update(pseudo_header);
    state.update(signed);
    let digest = state.finalize().into_bytes();
    if let Some(front) = octets.get_mut(..digest.len()) {
        front.copy_from_slice(&digest);
    }
    digest.len()
}

fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr) -> [u8; PSEUDO_HEADER] {
    let mut octets = [0; PSEUDO_HEADER];
    let parts = [
        &source.octets()[..],
        &PORT.to_be_bytes(),
        &destination.octets(),
        &PORT.to_be_bytes(),
    ];
    for (place, octet) in octets.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *octet;
    }
    octets
}

/// The MAC of one packet.
#[derive(Clone, Copy)]
pub struct PacketMac {
    octets: [u8; 32],
    length: usize,
}

impl PacketMac {
    /// As in a MAC TLV: 16 or 32 octets.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// Whether it is the same, in a time that does not tell how much of it is.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.octets().ct_eq(other).into()
    }
}
