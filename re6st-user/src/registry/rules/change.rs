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
        /// Who gets it.
        email: Email,
        /// The token, in clear.
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
        /// Which block of the partition.
        prefix: NodePrefix,
        /// The row before; none if there was none.
        before: Option<Block<Certificate>>,
        /// The row from now on; none if it is gone.
        after: Option<Block<Certificate>>,
        /// The text of the certificate in `after`.
        pem: Option<Arc<str>>,
    },
    /// Of the tokens.
    Token {
        /// What names the token.
        digest: TokenDigest,
        /// The row before; none if there was none.
        before: Option<TokenEntry>,
        /// The row from now on; none if it is gone.
        after: Option<TokenEntry>,
    },
    /// Of the revoked serial numbers.
    Revocation {
        /// The serial number of the certificate.
        serial: Serial,
        /// The row before; none if there was none.
        before: Option<Revocation>,
        /// The row from now on; none if it is gone.
        after: Option<Revocation>,
    },
    /// Of the keys that never get a certificate again.
    RevokedKey {
        /// What names the key.
        key: KeyId,
        /// The serial number of a certificate that was revoked for it, before.
        before: Option<Serial>,
        /// The row from now on; none if it is gone.
        after: Option<Serial>,
    },
    /// Of the certificates that were replaced before they expired.
    Replaced {
        /// The serial number of the certificate.
        serial: Serial,
        /// The row before; none if there was none.
        before: Option<Replaced>,
        /// The row from now on; none if it is gone.
        after: Option<Replaced>,
    },
    /// The last serial number that was used.
    Serial {
        /// The value before.
        before: u64,
        /// The value from now on.
        after: u64,
    },
    /// The prefix of the registry's own node.
    RegistryPrefix {
        /// The row before; none if there was none.
        before: Option<NodePrefix>,
        /// The row from now on; none if it is gone.
        after: Option<NodePrefix>,
    },
    /// Keys of Babel's MAC.
    MacKeys {
        /// The value before.
        before: Slots,
        /// The value from now on.
        after: Slots,
    },
    /// What the registry tells all nodes.
    Publication {
        /// The row before; none if there was none.
        before: Option<Publication>,
        /// Its number: not that of `before` if re6stnet's registry has published in between.
        number_before: u64,
        /// The value from now on.
        after: Publication,
        /// The number as re6stnet's nodes take it: packed, and then the authority's signature over that.
        version: Vec<u8>,
    },
    /// The network's parameters.
    Parameters {
        /// The value before.
        before: Arc<Parameters>,
        /// The value from now on.
        after: Arc<Parameters>,
    },
    /// The communities.
    Communities {
        /// The value before.
        before: Arc<Communities>,
        /// The value from now on.
        after: Arc<Communities>,
    },
    /// What the clock was last, as far as it is believed.
    Clock {
        /// The row before; none if there was none.
        before: Option<Timestamp>,
        /// The row from now on; none if it is gone.
        after: Option<Timestamp>,
    },
    /// One more line of the audit log.
    Audit(Entry),
}
