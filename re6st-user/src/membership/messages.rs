//! What goes into a member and what comes out: questions to the registry and answers, and what is to be done.

use std::time::Duration;

use super::mac_keys::NetworkMacKeys;
use crate::certificate::{node_prefix::NodePrefix, record::Whereabouts};

/// What a question is about; in the order in which they are asked if several are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A new authority, and the old one's statement that it is one. Asked of anybody: it is signed.
    Successions,
    /// Our own certificate.
    Certificate,
    /// What is revoked.
    Revocations,
    /// What we have and the registry has not.
    HandBack,
    /// The keys of Babel's MAC.
    MacKeys,
    /// The X25519 keys of other nodes.
    NodeKeys,
    /// Where this node is, and which others are there.
    Presence,
    /// The network's parameters, of which all others but the own certificate and other nodes' keys are known to be due.
    Parameters,
}

impl Topic {
    /// All topics, the most urgent first.
    pub const ALL: [Self; 8] = [
        Self::Successions,
        Self::Certificate,
        Self::Revocations,
        Self::HandBack,
        Self::MacKeys,
        Self::NodeKeys,
        Self::Presence,
        Self::Parameters,
    ];
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The statements of authorities about their successors.
    Successions,
    /// The next certificate.
    Renewal,
    /// The revocation list, if it has a higher number.
    Revocations {
        /// The number of ours.
        after: Option<u64>,
    },
    /// Our documents are newer than the registry's: it is to take them.
    HandBack,
    /// The keys of Babel's MAC.
    MacKeys {
        /// The number of the parameters with which they became so.
        number: u64,
    },
    /// The certificate of another node, for the X25519 key in it.
    NodeKey {
        /// Its name.
        node: NodePrefix,
    },
    /// Takes our record, and tells of others.
    Presence {
        /// How many.
        count: u8,
    },
    /// The parameters, if they have a higher number.
    Parameters {
        /// The number of ours; none asks for whatever there is.
        after: Option<u64>,
        /// How long the registry may wait for a higher one.
        wait: Duration,
    },
}

impl Question {
    /// What it is about.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Successions => Topic::Successions,
            Self::Renewal => Topic::Certificate,
            Self::Revocations { .. } => Topic::Revocations,
            Self::HandBack => Topic::HandBack,
            Self::MacKeys { .. } => Topic::MacKeys,
            Self::NodeKey { .. } => Topic::NodeKeys,
            Self::Presence { .. } => Topic::Presence,
            Self::Parameters { .. } => Topic::Parameters,
        }
    }

    /// Whether the answer waits for news, so that another question may be asked in its place.
    pub const fn waits(&self) -> bool {
        matches!(self, Self::Parameters { wait, .. } if !wait.is_zero())
    }
}

/// What the registry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An envelope, if there is a newer one.
    Document(Option<Vec<u8>>),
    /// Envelopes.
    Successions(Vec<Vec<u8>>),
    /// The keys of Babel's MAC.
    MacKeys(NetworkMacKeys),
    /// PEM of a certificate.
    Certificate(String),
    /// PEM of another node's certificate; none: there is no such node.
    NodeCertificate(Option<String>),
    /// Our documents were taken.
    Taken,
    /// Records of other nodes, to be verified.
    Others(Vec<Vec<u8>>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub message: String,
    /// What to make of it.
    pub kind: FailureKind,
}

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The registry is away, or it does not make sense: no question is worth asking.
    Away,
    /// Somebody else is in its place, or another authority has taken over meanwhile: who succeeds ours is worth asking, of
    /// whoever is there.
    Untrusted,
    /// The registry is there, and asks for patience.
    Busy(Duration),
    /// The registry is there, and says no to this question.
    Refused,
}

/// What happens to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing but time has passed.
    Time,
    /// The registry's answer to what was asked last.
    Answered(Result<Answer, Failure>),
    /// A signed document, from anybody.
    Document(Vec<u8>),
    /// The X25519 key of another node is wanted, perhaps another one than is known.
    WantNodeKey(NodePrefix),
    /// Where this node is.
    Whereabouts(Whereabouts),
    /// Nobody is to be told any more where this node is.
    Hidden,
    /// So many other nodes are to be asked for.
    WantOthers(u8),
    /// Something could not be kept, and why.
    NotKept(Keep, String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The registry is to be asked; [`Input::Answered`] follows. What was asked before and is not answered yet is not to be
    /// answered any more.
    Ask(Question),
    /// Something has to survive a restart.
    Keep(Keep),
    /// People should know.
    Say(String),
}

/// What has to survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The envelope of the network's parameters.
    Parameters(Vec<u8>),
    /// The envelope of the revocation list.
    Revocations(Vec<u8>),
    /// Keys of Babel's MAC in JSON, for root alone.
    MacKeys(Vec<u8>),
    /// X25519 keys of other nodes in JSON.
    NodeKeys(Vec<u8>),
    /// The envelopes of authorities' statements about their successors, in JSON.
    Successions(Vec<u8>),
    /// PEM of our certificate.
    Certificate(String),
    /// PEM of the authorities' certificates.
    Authorities(String),
}
