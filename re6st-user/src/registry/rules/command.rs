//! What can be asked, and what is answered.

use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    community::Location,
    mac_keys::MacKeys,
    publication::{ParametersDocument, RevocationsDocument},
    token::{Email, Token, TokenDigest},
};
use crate::{
    certificate::{
        network::SubjectSerial, node_prefix::NodePrefix, request::CertificateRequest,
        revocations::RevocationList, serial::Serial,
    },
    time::Timestamp,
};

/// What is asked of the registry.
#[derive(Clone, Debug)]
pub enum Command {
    /// Anybody: a token by mail.
    RequestToken {
        /// Where the token goes.
        email: Email,
    },
    /// Anybody: a certificate and a prefix.
    Enrol {
        /// The right to a certificate; none asks for an anonymous one.
        token: Option<Token>,
        /// Subject fields and public key, whose own signature has been checked.
        request: Box<CertificateRequest>,
        /// Where the newcomer is, if the server knows; it decides the community.
        location: Option<Location>,
    },
    /// A node: a certificate for another year, if its present one is due or revoked.
    Renew {
        /// A new key and new subject fields; none keeps those of the certificate the node showed.
        request: Option<Box<CertificateRequest>>,
    },
    /// A node: here it is. The server says so for each connection.
    Introduce,
    /// A node: what it holds is newer than what is published.
    HandBack {
        /// What it holds.
        newer: Box<Newer>,
    },
    /// The registry: the database is older than this.
    GoOnFrom {
        /// What has been given away.
        mark: Mark,
    },
    /// A node: its present certificate.
    FetchOwnCertificate,
    /// A node: the present certificate of another one, whose key it needs for a channel.
    FetchNodeCertificate {
        /// The name of the other one.
        node: NodePrefix,
    },
    /// A node: the network's parameters.
    FetchParameters,
    /// A node: what is revoked.
    FetchRevocations,
    /// Operator: a new token.
    AddToken {
        /// Who gets it.
        email: Email,
        /// The operator's own; none makes one.
        token: Option<Token>,
        /// What it gives.
        right: TokenRight,
    },
    /// Operator: all tokens.
    ListTokens,
    /// Operator: takes a token back.
    DeleteToken {
        /// Names the token.
        token: TokenDigest,
    },
    /// Operator: certificates in order of their prefix.
    ListCertificates {
        /// Starts behind this prefix.
        after: Option<NodePrefix>,
        /// At most so many.
        limit: usize,
    },
    /// Operator: one certificate.
    ShowCertificate {
        /// Names the certificate.
        which: CertificateName,
    },
    /// Operator: revokes a certificate, and its key for ever. [`CertificateName::Serial`]: the node keeps its prefix, and
    /// gets another certificate by a token ([`TokenRight::Node`]); [`CertificateName::Prefix`]: the node ends.
    Revoke {
        /// Names the certificate.
        which: CertificateName,
    },
    /// Operator: the network's parameters.
    GetParameters,
    /// Operator: sets parameters.
    SetParameters {
        /// Names and values; `None` returns to the default.
        changes: Vec<(String, Option<Value>)>,
    },
    /// Operator: the text of the communities.
    GetCommunities,
    /// Operator: replaces the communities.
    SetCommunities {
        /// As [`super::community::Communities::parse`] reads it.
        text: String,
    },
    /// Operator: the next step to another key of Babel's MAC ([`super::mac_keys`]), or another key at once.
    RotateMacKeys {
        /// Whoever has not heard of it is cut off.
        at_once: bool,
    },
    /// Operator: what the clock says, and whether it is believed.
    GetClock,
    /// Operator: the clock is right, whatever the database has seen last.
    ConfirmClock,
    /// Whatever time brings: expiry, and what a new database needs. Whoever holds the rules gives this at the start and at
    /// each [`super::Rules::next_deadline`].
    Time,
}

/// What a token gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenRight {
    /// A prefix, and a certificate for it.
    Newcomer {
        /// Bits of the prefix; none takes the setting.
        prefix_length: Option<u8>,
    },
    /// The next certificate of a node, for another key than it has.
    Node(NodePrefix),
}

/// How an operator names a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CertificateName {
    /// By the certificate's serial number.
    Serial(Serial),
    /// By the node's prefix.
    Prefix(NodePrefix),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is so now.
    Done,
    /// A certificate was issued.
    Issued {
        /// About it.
        certificate: Box<CertificateSummary>,
        /// The certificate in PEM.
        pem: Arc<str>,
    },
    /// The certificate in the store is the answer: [`crate::registry::store::Store::pem`] has its text.
    Present(Box<CertificateSummary>),
    /// A page of certificates.
    Certificates(Vec<CertificateSummary>),
    /// The token that was added.
    Token(Token),
    /// All tokens, in order of their age.
    Tokens(Vec<TokenSummary>),
    /// What the CA is to sign, and the keys that are for members alone.
    Parameters {
        /// The document.
        document: Arc<ParametersDocument>,
        /// Keys of Babel's MAC.
        mac_keys: MacKeys,
    },
    /// What the CA is to sign.
    Revocations(Arc<RevocationsDocument>),
    /// A text of communities.
    Communities(Arc<str>),
    /// What the clock says.
    Clock(ClockSummary),
}

/// What the clock says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClockSummary {
    /// What the clock says now.
    pub now: Timestamp,
    /// What it was last, as far as it is believed.
    pub seen: Option<Timestamp>,
    /// Whether it is doubted.
    pub doubted: bool,
}

/// What an operator and the holder want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CertificateSummary {
    /// The certificate's serial number.
    pub serial: Serial,
    /// The node's prefix as certificates write it: `1/16`.
    pub common_name: String,
    /// The bits: `0000000000000001`.
    pub prefix: String,
    /// The node's subnet.
    pub subnet: Option<Ipv6Net>,
    /// The node's IPv4 address with the length of its subnet, if the network has IPv4 and enough of it.
    pub ipv4: Option<Ipv4Net>,
    /// The node's number among all nodes.
    pub subject_serial: SubjectSerial,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
    /// Who enrolled; none if anonymously.
    pub email: Option<String>,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Whether it is that of the registry's own node.
    pub registry: bool,
}

/// What an operator wants to know of a token; not the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenSummary {
    /// Names it in lists and logs: the digest of the token.
    pub id: TokenDigest,
    /// Who gets it.
    pub email: String,
    /// Bits of the prefix it gives.
    pub prefix_length: u8,
    /// The node whose next certificate it gives, as certificates write it: `1/16`.
    pub node: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// What a node holds that is newer than what the registry has published, with the authority's signature.
#[derive(Clone, Debug)]
pub struct Newer {
    /// The number of the parameters.
    pub number: u64,
    /// Their values.
    pub parameters: Map<String, Value>,
    /// What is revoked.
    pub revocations: RevocationList,
}

/// What was given away before the database became what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// The last serial number.
    pub serial: u64,
    /// The number of the last publication.
    pub number: u64,
}
