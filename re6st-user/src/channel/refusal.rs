//! Why a handshake, or a channel that was good before, is refused.

use serde::Serialize;
use thiserror::Error;

use crate::certificate::error::TrustError;

/// Why somebody gets no channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// What came is no node's certificate.
    #[error("its certificate cannot be read")]
    Malformed,
    /// The certificate has no X25519 key.
    #[error("its certificate has no X25519 key: it is one of re6stnet's")]
    NoKey,
    /// Somebody else's certificate.
    #[error("its certificate is for another key than the one it has")]
    OtherKey,
    /// A certificate, but of somebody else than we called.
    #[error("its certificate has another name")]
    OtherName,
    /// Our own name.
    #[error("its certificate has the name of this node: is this one a copy of it?")]
    OwnName,
    /// The configuration wants another key.
    #[error("the configuration says that it has another key")]
    Pinned,
    /// Another network's, or self-made.
    #[error("its certificate is not of an authority of this network")]
    UnknownAuthority,
    /// The name of an authority, but not its signature.
    #[error("its certificate is forged: the signature is not the authority's")]
    Signature,
    /// The authority itself is not valid now.
    #[error("the authority of its certificate is not valid at this time")]
    Authority,
    /// Too early, or a wrong clock.
    #[error("its certificate is not valid yet; is the clock right?")]
    NotYetValid,
    /// Too late, or a wrong clock.
    #[error("its certificate has expired")]
    Expired,
    /// Taken back.
    #[error("its certificate is revoked")]
    Revoked,
    /// Prefix or address do not fit the network.
    #[error("its certificate's prefix or address is not of this network")]
    OutsideNetwork,
    /// One of the two requires ML-KEM, the other does not do it.
    #[error("post-quantum keys are required by one of the two, and the other has none")]
    PostQuantum,
    /// Enough others have a channel.
    #[error("enough nodes have a channel to this one that its configuration does not name")]
    Full,
}

impl From<TrustError> for Refusal {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::UnknownAuthority => Self::UnknownAuthority,
            TrustError::Signature => Self::Signature,
            TrustError::Authority => Self::Authority,
            TrustError::NotYetValid => Self::NotYetValid,
            TrustError::Expired => Self::Expired,
            TrustError::Revoked => Self::Revoked,
            TrustError::OutsideNetwork | TrustError::Address => Self::OutsideNetwork,
        }
    }
}
