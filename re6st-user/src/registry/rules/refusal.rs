//! Why something is not done.

use thiserror::Error;

use super::tree::PartitionError;
use crate::certificate::serial::Serial;

/// Why the registry does not do what was asked, for people; [`Refusal::code`] is for programs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The operator does not offer this.
    #[error("{0} is not offered by this registry; ask its operator")]
    Disabled(&'static str),
    /// The token is not known: wrong, expired or used.
    #[error(
        "the token is wrong, expired or already used; ask for another one. Nothing was consumed"
    )]
    BadToken,
    /// Too many requests.
    #[error("too many requests; try again in {retry_after} seconds")]
    TooMany {
        /// Seconds until one may succeed.
        retry_after: u64,
    },
    /// Only for holders of a node's certificate.
    #[error("this is for nodes: show the node's certificate in the TLS handshake")]
    NotIdentified,
    /// The key was revoked.
    #[error(
        "this key was revoked with certificate {serial}, and gets no certificate again: move cert.key away, so that another \
         one is made, and use a token (the operator makes one for a node that keeps its prefix). Nothing was consumed"
    )]
    RevokedKey {
        /// The serial number of its certificate.
        serial: Serial,
    },
    /// The certificate shown is not a present node's.
    #[error("certificate {serial} is {why}")]
    NotCurrent {
        /// Its serial number.
        serial: Serial,
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// Only for the operator.
    #[error("this is for the registry's operator: use the administration socket")]
    Forbidden,
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// There is no node of this name, or its certificate is good for nothing.
    #[error("there is no node {0}")]
    NoSuchNode(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// No prefix is left.
    #[error(
        "no prefix of {length} bits is free{community}; revoke nodes, or give a shorter --prefix-length"
    )]
    Full {
        /// Bits asked for, the community's included.
        length: u8,
        /// Words about the community, or nothing.
        community: String,
    },
    /// The store or the key does not work at the moment.
    #[error("the registry cannot do this at the moment: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// A stable name for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Disabled(_) => "disabled",
            Self::BadToken => "bad-token",
            Self::TooMany { .. } => "too-many-requests",
            Self::NotIdentified => "not-identified",
            Self::NotCurrent { .. } => "not-current",
            Self::RevokedKey { .. } => "revoked-key",
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not-found",
            Self::NoSuchNode(_) => "no-such-node",
            Self::Conflict(_) => "conflict",
            Self::Invalid(_) => "invalid",
            Self::Full { .. } => "full",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Why there are no rules for what the store has.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The certificates' prefixes are no partition.
    #[error(
        "the table cert of the database is damaged: {0}; restore the last backup, or mend the table by hand"
    )]
    Partition(#[from] PartitionError),
    /// It is another network's.
    #[error(
        "the database is of the network {found}, the authority of {expected}: files of two registries are mixed up; put \
         the right database, or the right authority's certificate and key, in their place"
    )]
    OtherNetwork {
        /// What the database says.
        found: String,
        /// What the authority's certificate says.
        expected: String,
    },
    /// It is another authority's.
    #[error(
        "the certificates in the database were not issued by this authority: files of two registries are mixed up; put \
         the right database, or the right authority's certificate and key, in their place"
    )]
    OtherAuthority,
    /// The settings make no sense together.
    #[error("{0}")]
    Settings(String),
}
