//! Numbered documents signed by a network's authority: what nodes pass on among themselves, and nobody can forge or roll back.
//!
//! The envelope is DSSE (Dead Simple Signing Envelope, version 1.0.2): JSON with the payload in base64 and signatures over
//! type and payload, so a document of one type never passes for another. It is kept and passed on as it was received.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    authority::{Authority, AuthorityCertificate},
    digest::KeyId,
    error::{FormError, IssueError},
    form::check_size,
    network::Network,
    revocations::RevocationList,
    verify::Authorities,
};
use crate::time::Timestamp;

/// Octets of an envelope, at most: 50,000 revoked certificates fit.
pub const MAX_DOCUMENT_SIZE: usize = 4 << 20;
/// Signatures of an envelope, at most.
const MAX_SIGNATURES: usize = 4;

/// What a document may be about.
pub trait Content: Serialize + DeserializeOwned {
    /// The type of the payload, signed with it.
    const TYPE: &'static str;
}

impl Content for RevocationList {
    const TYPE: &'static str = "application/vnd.re6st.revocations+json";
}

/// Why a document is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DocumentError {
    /// Too large.
    #[error("{0}")]
    Form(#[from] FormError),
    /// Not an envelope.
    #[error("not a signed document")]
    Envelope,
    /// A document about something else.
    #[error("a document of type {found:?} where {expected} is expected")]
    Type {
        /// The type wanted.
        expected: &'static str,
        /// The type that came, cut short.
        found: String,
    },
    /// No signature that is good, of an authority that is.
    #[error("not signed by an authority of this network that is valid now")]
    Signature,
    /// The payload is not what its type says.
    #[error("the signed content cannot be read: {0}")]
    Content(String),
    /// A document of another network.
    #[error("the document is of the network {0}")]
    Network(Network),
    /// No newer than the one we have.
    #[error("document number {offered} is not newer than number {held}")]
    NotNewer {
        /// Number of the one we have.
        held: u64,
        /// Number of the one that came.
        offered: u64,
    },
}

/// A document whose signature was made or verified here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed<T> {
    number: u64,
    content: T,
    signers: Vec<KeyId>,
    envelope: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<T> {
    network: Network,
    number: u64,
    content: T,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: KeyId,
    sig: String,
}

impl<T: Content> Signed<T> {
    /// Signs a document; with two authorities, while one takes over from the other.
    pub fn sign(
        number: u64,
        content: T,
        authority: &Authority,
        other: Option<&Authority>,
    ) -> Result<Self, IssueError> {
        let payload = Payload {
            network: authority.certificate().network(),
            number,
            content,
        };
        let octets = serde_json::to_vec(&payload).map_err(|error| json(&error))?;
        let message = pre_authentication_encoding(T::TYPE, &octets);
        let mut signatures = Vec::new();
        for authority in [Some(authority), other].into_iter().flatten() {
            signatures.push(Signature {
                keyid: authority.certificate().key_id(),
                sig: BASE64.encode(&authority.sign(&message)?),
            });
        }
        let signers = signatures.iter().map(|signature| signature.keyid).collect();
        let envelope = Envelope {
            payload_type: T::TYPE.to_owned(),
            payload: BASE64.encode(&octets),
            signatures,
        };
        let envelope = serde_json::to_vec(&envelope).map_err(|error| json(&error))?;
        check_size("a document", envelope.len(), MAX_DOCUMENT_SIZE)?;
        Ok(Self {
            number,
            content: payload.content,
            signers,
            envelope,
        })
    }

    /// Verifies a document that came from anybody. `held` is the number of the document we have: only newer ones pass.
    pub fn verify(
        envelope: &[u8],
        authorities: &Authorities,
        now: Timestamp,
        held: Option<u64>,
    ) -> Result<Self, DocumentError> {
        let counts = |authority: &AuthorityCertificate| authority.is_valid_at(now);
        Self::verify_by(envelope, authorities, counts, held)
    }

    /// As [`Self::verify`], whatever the time is: by the signatures of those authorities that `counts` says yes to.
    pub fn verify_by(
        envelope: &[u8],
        authorities: &Authorities,
        counts: impl Fn(&AuthorityCertificate) -> bool,
        held: Option<u64>,
    ) -> Result<Self, DocumentError> {
        check_size("a document", envelope.len(), MAX_DOCUMENT_SIZE)?;
        let parsed: Envelope =
            serde_json::from_slice(envelope).map_err(|_| DocumentError::Envelope)?;
        if parsed.payload_type != T::TYPE {
            return Err(DocumentError::Type {
                expected: T::TYPE,
                found: parsed.payload_type.chars().take(64).collect(),
            });
        }
        let payload = BASE64
            .decode(parsed.payload.as_bytes())
            .map_err(|_| DocumentError::Envelope)?;
        let signers = signers::<T>(&parsed.signatures, &payload, authorities, counts)?;
        // only now is the content looked at
        let payload: Payload<T> = serde_json::from_slice(&payload)
            .map_err(|error| DocumentError::Content(error.to_string()))?;
        if payload.network != authorities.network() {
            return Err(DocumentError::Network(payload.network));
        }
        if let Some(held) = held.filter(|held| payload.number <= *held) {
            let offered = payload.number;
            return Err(DocumentError::NotNewer { held, offered });
        }
        Ok(Self {
            number: payload.number,
            content: payload.content,
            signers,
            envelope: envelope.to_vec(),
        })
    }

    /// Its number: one document of a type follows another by it.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The content that was signed.
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// What it says, alone.
    pub fn into_content(self) -> T {
        self.content
    }

    /// The keys of the authorities that signed it, as far as we know them.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// The signed octets, to be kept and passed on as they are.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// The authorities whose signatures are good: at least one.
fn signers<T: Content>(
    signatures: &[Signature],
    payload: &[u8],
    authorities: &Authorities,
    counts: impl Fn(&AuthorityCertificate) -> bool,
) -> Result<Vec<KeyId>, DocumentError> {
    if signatures.len() > MAX_SIGNATURES {
        return Err(DocumentError::Envelope);
    }
    let message = pre_authentication_encoding(T::TYPE, payload);
    let good = |signature: &&Signature| {
        let Ok(octets) = BASE64.decode(signature.sig.as_bytes()) else {
            return false;
        };
        authorities
            .iter()
            .filter(|authority| authority.key_id() == signature.keyid)
            .any(|authority| counts(authority) && authority.public_key().verify(&message, &octets))
    };
    let signers: Vec<KeyId> = signatures
        .iter()
        .filter(good)
        .map(|signature| signature.keyid)
        .collect();
    if signers.is_empty() {
        return Err(DocumentError::Signature);
    }
    Ok(signers)
}

/// What is signed (DSSE's PAE): version, and type and payload with their lengths.
fn pre_authentication_encoding(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

fn json(error: &serde_json::Error) -> IssueError {
    IssueError::Library(error.to_string())
}
