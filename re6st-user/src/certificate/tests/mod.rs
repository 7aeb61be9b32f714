#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it wants by stopping"
)]

mod authorities;
mod documents;
mod forged;
mod forms;
mod issuing;
mod keys;
mod prefixes;
mod re6stnet;
mod records;
mod requests;
mod revocations;
mod succession;
mod trust;

use std::sync::LazyLock;

use super::{
    authority::{Authority, AuthorityTerms},
    issue::NodeTerms,
    key::{KeyAlgorithm, PrivateKey},
    network::SubjectSerial,
    node::NodeCertificate,
    node_prefix::NodePrefix,
    request::CertificateRequest,
    serial::Serial,
    static_key::StaticKey,
    subject::Subject,
    verify::Authorities,
};
use crate::time::{DAY, Timestamp};

/// The moment of all tests: 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600);
const NETWORK: &str = "2001:db8:42::/48";

/// An RSA key takes a second to make: the tests share two.
static RSA: LazyLock<[String; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let key = PrivateKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        key.to_pem().to_string()
    })
});

fn rsa_key(index: usize) -> PrivateKey {
    PrivateKey::from_pem(&RSA[index]).unwrap()
}

fn new_key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

/// An authority for ten years from now on.
fn authority_of(network: &str, key: PrivateKey) -> Authority {
    let terms = AuthorityTerms {
        network: network.parse().unwrap(),
        common_name: "test network",
        subject: &subject(&[("O", "Test"), ("emailAddress", "ca@example.com")]),
        not_before: NOW,
        not_after: NOW.plus(3650 * DAY),
    };
    Authority::create(key, &terms).unwrap()
}

fn new_authority() -> Authority {
    authority_of(NETWORK, new_key())
}

/// One of either kind.
fn both_authorities() -> [Authority; 2] {
    [new_authority(), authority_of(NETWORK, rsa_key(0))]
}

fn trust(authority: &Authority) -> Authorities {
    Authorities::new(authority.certificate().clone())
}

fn subject(fields: &[(&str, &str)]) -> Subject {
    let mut subject = Subject::default();
    for (name, value) in fields {
        subject.push(name, value).unwrap();
    }
    subject
}

fn serial(number: u64) -> Serial {
    Serial::new(number).unwrap()
}

/// Node number 5 of 16 bits, for a year from now on.
fn terms() -> NodeTerms {
    NodeTerms {
        serial: serial(7),
        prefix: NodePrefix::new(5, 16).unwrap(),
        subject_serial: SubjectSerial(3),
        not_before: NOW,
        not_after: NOW.plus(365 * DAY),
    }
}

fn new_request() -> CertificateRequest {
    let static_key = StaticKey::generate().unwrap().public_key();
    CertificateRequest::make(&new_key(), Some(static_key), &subject(&[("O", "Node")])).unwrap()
}

fn new_node(authority: &Authority) -> NodeCertificate {
    issue(authority, &terms())
}

fn issue(authority: &Authority, terms: &NodeTerms) -> NodeCertificate {
    authority
        .issue_node((&new_request()).into(), terms)
        .unwrap()
}
