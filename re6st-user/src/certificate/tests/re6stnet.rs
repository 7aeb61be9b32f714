//! What re6stnet 0.642 made: an authority of openssl's as its documentation says, two nodes enrolled with `re6st-conf` at
//! `re6st-registry`, and the request of the first.

use super::*;
use crate::certificate::{
    authority::AuthorityCertificate,
    error::{FormError, TrustError},
    public_key::KeyKind,
    revocations::{Revocation, RevocationList},
};

const AUTHORITY: &str = include_str!("fixtures/re6stnet-ca.crt");
const NODES: [&str; 2] = [
    include_str!("fixtures/re6stnet-0.crt"),
    include_str!("fixtures/re6stnet-1.crt"),
];
const REQUEST: &str = include_str!("fixtures/re6stnet.csr");

#[test]
fn its_authority_is_read() {
    let authority = AuthorityCertificate::from_pem(AUTHORITY).unwrap();

    assert_eq!(authority.network().to_string(), NETWORK);
    assert_eq!(authority.email(), Some("ca@example.com"));
    assert_eq!(authority.generation(), 1);
    assert_eq!(authority.public_key().kind(), KeyKind::Rsa { bits: 2048 });
}

#[test]
fn its_nodes_are_read_and_verified() {
    let authorities = Authorities::from_pem(AUTHORITY).unwrap();
    let fields = [subject(&[("O", "TestOrg")]), subject(&[])];
    for (number, (text, fields)) in (0..).zip(NODES.into_iter().zip(fields)) {
        let node = NodeCertificate::from_pem(text).unwrap();

        assert_eq!(node.serial(), serial(u64::from(number) + 1));
        assert_eq!(node.prefix().common_name(), format!("{number}/16"));
        assert_eq!(node.subject_serial(), SubjectSerial(number));
        assert_eq!(node.subject(), &fields);
        assert_eq!(node.static_key(), None);
        assert_eq!(node.not_after().since(node.not_before()), 365 * DAY);
        let mut revoked = RevocationList::default();
        let now = node.not_before();
        let issuer = authorities.verify_node(&node, &revoked, now, 0).unwrap();
        let revocation = Revocation {
            at: now,
            not_after: node.not_after(),
        };
        revoked.insert(issuer.key_id(), node.serial(), revocation);
        assert_eq!(
            authorities.verify_node(&node, &revoked, now, 0),
            Err(TrustError::Revoked)
        );
    }
}

#[test]
fn its_nodes_are_nobody_to_another_network() {
    let node = NodeCertificate::from_pem(NODES[0]).unwrap();
    let authorities = trust(&new_authority());

    let refused = authorities.verify_node(&node, &RevocationList::default(), NOW, 0);

    assert_eq!(refused, Err(TrustError::UnknownAuthority));
}

#[test]
fn no_bit_of_version_1_may_change() {
    let authorities = Authorities::from_pem(AUTHORITY).unwrap();
    let node = NodeCertificate::from_pem(NODES[1]).unwrap();
    for index in 0..node.der().len() {
        let mut changed = node.der().to_vec();
        changed[index] ^= 1;
        if let Ok(read) = NodeCertificate::from_der(&changed) {
            let revoked = RevocationList::default();
            let verified = authorities.verify_node(&read, &revoked, node.not_before(), 0);
            assert!(verified.is_err(), "{index}");
        }
    }
}

#[test]
fn its_request_is_read_and_gets_a_certificate_of_ours() {
    let request = CertificateRequest::from_pem(REQUEST).unwrap();
    assert_eq!(request.subject(), &subject(&[("O", "TestOrg")]));
    assert_eq!(request.static_key(), None);

    for authority in both_authorities() {
        let node = authority.issue_node((&request).into(), &terms()).unwrap();

        assert_eq!(node.public_key(), request.public_key());
        let trusted = trust(&authority);
        assert!(
            trusted
                .verify_node(&node, &RevocationList::default(), NOW, 0)
                .is_ok()
        );
    }
}

#[test]
fn one_of_its_nodes_is_renewed_by_us() {
    let old = NodeCertificate::from_pem(NODES[0]).unwrap();
    let renewed = NodeTerms {
        prefix: old.prefix(),
        subject_serial: old.subject_serial(),
        ..terms()
    };

    let new = new_authority().issue_node((&old).into(), &renewed).unwrap();

    assert_eq!(new.public_key(), old.public_key());
    assert_eq!(new.subject(), old.subject());
    assert_eq!(new.prefix(), old.prefix());
}

#[test]
fn version_1_is_for_rsa_only() {
    // its version number follows neither [0] nor its extensions
    let node = NodeCertificate::from_pem(include_str!("fixtures/version1-p256.crt"));

    assert_eq!(node.unwrap_err(), FormError::Version(1));
}
