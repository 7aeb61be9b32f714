//! Who is trusted, and when.

use super::*;
use crate::certificate::{
    authority::AuthorityCertificate,
    error::{FormError, TrustError},
    node::RegistryCertificate,
    revocations::{Revocation, RevocationList},
};

fn verify(
    authorities: &Authorities,
    node: &NodeCertificate,
    now: Timestamp,
    grace: u64,
) -> Result<(), TrustError> {
    let revoked = RevocationList::default();
    authorities
        .verify_node(node, &revoked, now, grace)
        .map(drop)
}

#[test]
fn a_node_is_trusted_from_its_first_to_its_last_second() {
    for authority in both_authorities() {
        let node = issue(
            &authority,
            &NodeTerms {
                not_before: NOW.plus(DAY),
                ..terms()
            },
        );
        let (first, last) = (node.not_before(), node.not_after());
        let trusted = trust(&authority);

        for (now, grace, expected) in [
            (first.minus(1), 0, Err(TrustError::NotYetValid)),
            (first.minus(1), 100, Err(TrustError::NotYetValid)),
            (first, 0, Ok(())),
            (last, 0, Ok(())),
            (last.plus(1), 0, Err(TrustError::Expired)),
            (last.plus(100), 100, Ok(())),
            (last.plus(101), 100, Err(TrustError::Expired)),
        ] {
            assert_eq!(
                verify(&trusted, &node, now, grace),
                expected,
                "{now} {grace}"
            );
        }
    }
}

#[test]
fn another_authority_of_the_same_name_is_not_trusted() {
    let (ours, theirs) = (new_authority(), new_authority());
    let node = new_node(&theirs);

    // the key identifier tells them apart already
    assert_eq!(
        verify(&trust(&ours), &node, NOW, 0),
        Err(TrustError::UnknownAuthority)
    );
}

#[test]
fn another_authority_of_another_name_is_not_trusted() {
    let ours = new_authority();
    let theirs = ours.succeed(new_key(), NOW, NOW.plus(1000 * DAY)).unwrap();

    let node = new_node(&theirs);

    assert_eq!(
        verify(&trust(&ours), &node, NOW, 0),
        Err(TrustError::UnknownAuthority)
    );
}

#[test]
fn an_expired_authority_vouches_for_nobody() {
    let authority = new_authority();
    let node = new_node(&authority);
    let late = authority.certificate().not_after().plus(1);

    for (grace, expected) in [
        (0, Err(TrustError::Authority)),
        // but its nodes may still renew what it issued
        (3650 * DAY, Ok(())),
    ] {
        assert_eq!(verify(&trust(&authority), &node, late, grace), expected);
    }
    let much_later = late.plus(3651 * DAY);
    let refused = verify(&trust(&authority), &node, much_later, 3650 * DAY);
    assert_eq!(refused, Err(TrustError::Authority));
}

#[test]
fn a_changed_certificate_is_not_trusted() {
    let authority = new_authority();
    let node = new_node(&authority);
    let trusted = trust(&authority);
    let der = node.der().to_vec();

    let mut accepted = Vec::new();
    for index in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[index] ^= 1 << bit;
            let read = NodeCertificate::from_der(&changed);
            if read.is_ok_and(|it| verify(&trusted, &it, NOW, 0).is_ok()) {
                accepted.push((index, bit));
            }
        }
    }

    assert_eq!(accepted, []);
}

#[test]
fn a_revoked_node_is_not_trusted_whatever_its_octets() {
    let authority = new_authority();
    // the same serial number twice, with other signatures
    let (first, second) = (new_node(&authority), new_node(&authority));
    let other_serial = issue(
        &authority,
        &NodeTerms {
            serial: serial(8),
            ..terms()
        },
    );
    let mut revoked = RevocationList::default();
    let revocation = Revocation {
        at: NOW,
        not_after: first.not_after(),
    };
    revoked.insert(authority.certificate().key_id(), first.serial(), revocation);
    let trusted = trust(&authority);
    let verify = |node| trusted.verify_node(node, &revoked, NOW, 0).map(drop);

    assert_ne!(first, second);
    assert_eq!(verify(&first), Err(TrustError::Revoked));
    assert_eq!(verify(&second), Err(TrustError::Revoked));
    assert_eq!(verify(&other_serial), Ok(()));
}

#[test]
fn a_revocation_is_of_one_issuer() {
    let (ours, theirs) = (new_authority(), new_authority());
    let node = new_node(&ours);
    let mut revoked = RevocationList::default();
    let revocation = Revocation {
        at: NOW,
        not_after: node.not_after(),
    };
    revoked.insert(theirs.certificate().key_id(), node.serial(), revocation);

    assert!(trust(&ours).verify_node(&node, &revoked, NOW, 0).is_ok());
}

#[test]
fn nobody_passes_for_somebody_else() {
    for authority in both_authorities() {
        let node = new_node(&authority);
        let registry = authority
            .issue_registry(new_key().public_key(), serial(9), NOW, NOW.plus(DAY))
            .unwrap();
        let own = authority.certificate();

        let as_node = [registry.der(), own.der()].map(NodeCertificate::from_der);
        let as_registry = [node.der(), own.der()].map(RegistryCertificate::from_der);
        let as_authority = [node.der(), registry.der()].map(AuthorityCertificate::from_der);

        for refused in as_node {
            assert!(
                matches!(refused, Err(FormError::Role { .. })),
                "{refused:?}"
            );
        }
        for refused in as_registry {
            assert!(
                matches!(refused, Err(FormError::Role { .. })),
                "{refused:?}"
            );
        }
        for refused in as_authority {
            assert!(
                matches!(refused, Err(FormError::Role { .. })),
                "{refused:?}"
            );
        }
    }
}

#[test]
fn the_registry_is_trusted_while_its_certificate_is_valid() {
    let authority = new_authority();
    let until = NOW.plus(90 * DAY);
    let certificate = authority
        .issue_registry(new_key().public_key(), serial(9), NOW, until)
        .unwrap();
    let revoked = RevocationList::default();
    let verify = |authority: &Authority, now| {
        trust(authority)
            .verify_registry(&certificate, &revoked, now)
            .map(drop)
    };

    assert_eq!(verify(&authority, NOW), Ok(()));
    assert_eq!(verify(&authority, until), Ok(()));
    assert_eq!(verify(&authority, until.plus(1)), Err(TrustError::Expired));
    assert_eq!(
        verify(&new_authority(), NOW),
        Err(TrustError::UnknownAuthority)
    );
}
