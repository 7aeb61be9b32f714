//! Who the nodes are.

use std::sync::LazyLock;

use crate::{
    certificate::{
        authority::Authority,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        static_key::{StaticKey, StaticPublicKey},
        testing::{CertificateOf, authority, revocation_list},
        verify::Authorities,
    },
    channel::ChannelCredentials,
};

pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(authority);
/// The static keys and certificates of nodes 1 to 8, for a year.
static NODES: LazyLock<Vec<(String, NodeCertificate)>> = LazyLock::new(|| {
    let node = |number: u64| {
        let key = StaticKey::generate().unwrap();
        let certificate = certificate_of(number).issue(&key);
        (key.to_pem().to_string(), certificate)
    };
    (1..=8).map(node).collect()
});

pub fn name(number: u64) -> NodePrefix {
    NodePrefix::new(number.into(), 16).unwrap()
}

/// What this node's certificate says, for a year.
pub fn certificate_of(number: u64) -> CertificateOf<'static> {
    CertificateOf::node(&AUTHORITY, name(number))
}

pub fn key_of(number: u64) -> StaticKey {
    StaticKey::from_pem(&NODES[number as usize - 1].0).unwrap()
}

pub fn public_key_of(number: u64) -> StaticPublicKey {
    key_of(number).public_key()
}

/// The credentials of a node, when these serials are revoked.
pub fn credentials(number: u64, revoked: &[u64]) -> ChannelCredentials {
    let certificate = NODES[number as usize - 1].1.clone();
    credentials_with(key_of(number), certificate, revoked)
}

pub fn credentials_with(
    key: StaticKey,
    certificate: NodeCertificate,
    revoked: &[u64],
) -> ChannelCredentials {
    ChannelCredentials {
        key,
        certificate,
        authorities: Authorities::new(AUTHORITY.certificate().clone()),
        revoked: revocation_list(&AUTHORITY, revoked),
    }
}
