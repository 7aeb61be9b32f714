//! Authorities, certificates and revocation lists for the tests of all that verify them.

#![allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]

use std::sync::LazyLock;

use super::{
    authority::{Authority, AuthorityTerms},
    issue::NodeTerms,
    key::{KeyAlgorithm, PrivateKey},
    network::SubjectSerial,
    node::NodeCertificate,
    node_prefix::NodePrefix,
    request::CertificateRequest,
    revocations::{Revocation, RevocationList},
    serial::Serial,
    static_key::{StaticKey, StaticPublicKey},
    subject::Subject,
};
use crate::time::{DAY, Timestamp};

/// The moment most tests begin: 2026-01-01.
pub const START: Timestamp = Timestamp(1_767_225_600);
/// The network of most tests.
pub const NETWORK: &str = "2001:db8:42::/48";

/// What nodes sign with whose own signatures are of no interest.
static KEY: LazyLock<PrivateKey> = LazyLock::new(new_key);

/// A new key of the default kind.
pub fn new_key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

/// A new authority of [`NETWORK`].
pub fn authority() -> Authority {
    authority_of(NETWORK)
}

/// A new authority of this network, from a month before the tests begin, for ten years.
pub fn authority_of(network: &str) -> Authority {
    authority_between(network, START.minus(30 * DAY), START.plus(3_650 * DAY))
}

/// A new authority of this network, with this validity.
pub fn authority_between(network: &str, from: Timestamp, until: Timestamp) -> Authority {
    let terms = AuthorityTerms {
        network: network.parse().unwrap(),
        common_name: "test network",
        subject: &Subject::default(),
        not_before: from,
        not_after: until,
    };
    Authority::create(new_key(), &terms).unwrap()
}

/// What a node's certificate says.
#[derive(Clone, Copy)]
pub struct CertificateOf<'a> {
    /// Who issues it.
    pub authority: &'a Authority,
    /// The name in it.
    pub node: NodePrefix,
    /// Its serial number.
    pub serial: u64,
    /// The first second it is valid.
    pub from: Timestamp,
    /// The last second it is valid.
    pub until: Timestamp,
}

impl<'a> CertificateOf<'a> {
    /// From a day before the tests begin, for a year; the serial number is the node's number.
    pub fn node(authority: &'a Authority, node: NodePrefix) -> Self {
        Self {
            authority,
            node,
            serial: u64::try_from(node.number()).unwrap(),
            from: START.minus(DAY),
            until: START.plus(365 * DAY),
        }
    }

    /// For a node whose own signatures are of no interest.
    pub fn issue(&self, fixed: &StaticKey) -> NodeCertificate {
        self.issue_for(&KEY, Some(fixed.public_key()))
    }

    /// For a node that signs with this key; without an X25519 key it is one for re6stnet's nodes.
    pub fn issue_for(&self, key: &PrivateKey, fixed: Option<StaticPublicKey>) -> NodeCertificate {
        let request = CertificateRequest::make(key, fixed, &Subject::default()).unwrap();
        let terms = NodeTerms {
            serial: Serial::new(self.serial).unwrap(),
            prefix: self.node,
            subject_serial: SubjectSerial(1),
            not_before: self.from,
            not_after: self.until,
        };
        let issued = self.authority.issue_node((&request).into(), &terms);
        issued.unwrap()
    }
}

/// A list on which these serial numbers of an authority's certificates are revoked.
pub fn revocation_list(authority: &Authority, serials: &[u64]) -> RevocationList {
    let mut list = RevocationList::default();
    for serial in serials {
        let revocation = Revocation {
            at: START,
            not_after: START.plus(365 * DAY),
        };
        let issuer = authority.certificate().key_id();
        list.insert(issuer, Serial::new(*serial).unwrap(), revocation);
    }
    list
}
