//! What a decision changes: rows, each with what it was and what it is from now on, so that it can be taken back.

use std::sync::Arc;

use super::{
    audit::Entry,
    certificate::{Certificate, Replaced},
    command::Reply,
    community::Communities,
    mac_keys::Slots,
    parameters::Parameters,
    publication::Publication,
    refusal::Refusal,
    token::{Email, Token, TokenDigest, TokenEntry},
    tree::Block,
};
use crate::{
    certificate::{
        digest::KeyId, node_prefix::NodePrefix, revocations::Revocation, serial::Serial,
    },
    time::Timestamp,
};

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer. Nobody may hear of it before the changes are durable.
    pub reply: Result<Reply, Refusal>,
    /// What the store has to write; the rules have done it in memory. Empty after a refusal, but for the audit log.
    pub changes: Vec<Change>,
    /// What else is to be done once the changes are durable.
    pub notices: Vec<Notice>,
}

/// Something to do after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Mail this token.
    Mail {
        /// To whom.
        email: Email,
        /// What.
        token: Token,
    },
    /// The parameters have this number now: whoever waits for them is to be told.
    Parameters(u64),
    /// The revocations have this number now.
    Revocations(u64),
    /// Something the operator should read.
    Warning(String),
}

/// A row that changed. `None` is a row that is not there.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Of the partition of the prefix space.
    Block {
        /// Which one.
        prefix: NodePrefix,
        /// What it was.
        before: Option<Block<Certificate>>,
        /// What it is.
        after: Option<Block<Certificate>>,
        /// The text of the certificate in `after`.
        pem: Option<Arc<str>>,
    },
    /// Of the tokens.
    Token {
        /// Which one.
        digest: TokenDigest,
        /// What it was.
        before: Option<TokenEntry>,
        /// What it is.
        after: Option<TokenEntry>,
    },
    /// Of the revoked serial numbers.
    Revocation {
        /// Which one.
        serial: Serial,
        /// What it was.
        before: Option<Revocation>,
        /// What it is.
        after: Option<Revocation>,
    },
    /// Of the keys that never get a certificate again.
    RevokedKey {
        /// Which one.
        key: KeyId,
        /// The serial number of a certificate that was revoked for it, before.
        before: Option<Serial>,
        /// And now.
        after: Option<Serial>,
    },
    /// Of the certificates that were replaced before they expired.
    Replaced {
        /// Which one.
        serial: Serial,
        /// What it was.
        before: Option<Replaced>,
        /// What it is.
        after: Option<Replaced>,
    },
    /// The last serial number that was used.
    Serial {
        /// What it was.
        before: u64,
        /// What it is.
        after: u64,
    },
    /// The prefix of the registry's own node.
    RegistryPrefix {
        /// What it was.
        before: Option<NodePrefix>,
        /// What it is.
        after: Option<NodePrefix>,
    },
    /// Keys of Babel's MAC.
    MacKeys {
        /// What they were.
        before: Slots,
        /// What they are.
        after: Slots,
    },
    /// What the registry tells all nodes.
    Publication {
        /// What it was.
        before: Option<Publication>,
        /// Its number: not that of `before` if re6stnet's registry has published in between.
        number_before: u64,
        /// What it is.
        after: Publication,
        /// The number as re6stnet's nodes take it: packed, and then the authority's signature over that.
        version: Vec<u8>,
    },
    /// The network's parameters.
    Parameters {
        /// What they were.
        before: Arc<Parameters>,
        /// What they are.
        after: Arc<Parameters>,
    },
    /// The communities.
    Communities {
        /// What they were.
        before: Arc<Communities>,
        /// What they are.
        after: Arc<Communities>,
    },
    /// What the clock was last, as far as it is believed.
    Clock {
        /// Before.
        before: Option<Timestamp>,
        /// And now.
        after: Option<Timestamp>,
    },
    /// One more line of the audit log.
    Audit(Entry),
}
