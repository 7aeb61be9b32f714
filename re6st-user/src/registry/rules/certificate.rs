//! What the rules keep of a certificate in memory; its text is in the store.

use super::token::Email;
use crate::{
    certificate::{
        digest::KeyId, network::SubjectSerial, node_prefix::NodePrefix, serial::Serial,
        static_key::StaticPublicKey,
    },
    time::Timestamp,
};

/// A node's present certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Its serial number.
    pub serial: Serial,
    /// The node's number among all nodes.
    pub subject_serial: SubjectSerial,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
    /// Whose key it is for.
    pub key: KeyId,
    /// The node's X25519 key.
    pub static_key: Option<StaticPublicKey>,
    /// Who enrolled; none if anonymously.
    pub email: Option<Email>,
    /// The serial number of the node's first certificate: older ones for the same prefix are of a former owner.
    pub enrolled: Serial,
}

/// A certificate its node got another one for; it is good until it expires, unless it is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// The prefix of the node that had it.
    pub prefix: NodePrefix,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Whose key it is for; none of those that were replaced before this was noted down.
    pub key: Option<KeyId>,
}
