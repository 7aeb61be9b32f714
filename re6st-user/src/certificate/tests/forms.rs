//! Octets that are no certificate, or more than one.

use super::*;
use crate::certificate::{
    authority::AuthorityCertificate, error::FormError, expiry::ExpiryWarning,
    node::RegistryCertificate,
};

type Read = fn(&[u8]) -> Option<FormError>;

/// Every reader, with something it reads.
fn readers() -> [(Vec<u8>, Read); 4] {
    let authority = new_authority();
    let registry = authority
        .issue_registry(new_key().public_key(), serial(9), NOW, NOW.plus(DAY))
        .unwrap();
    [
        (new_node(&authority).der().to_vec(), |der| {
            NodeCertificate::from_der(der).err()
        }),
        (registry.der().to_vec(), |der| {
            RegistryCertificate::from_der(der).err()
        }),
        (authority.certificate().der().to_vec(), |der| {
            AuthorityCertificate::from_der(der).err()
        }),
        (new_request().der().to_vec(), |der| {
            CertificateRequest::from_der(der).err()
        }),
    ]
}

#[test]
fn nothing_may_follow() {
    for (good, read) in readers() {
        assert_eq!(read(&good), None);

        let refused = read(&[&good[..], &[0]].concat());

        assert!(
            matches!(refused, Some(FormError::TrailingOctets(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn nothing_may_be_missing() {
    for (good, read) in readers() {
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_some(), "{length}");
        }
    }
}

#[test]
fn too_much_is_not_looked_at() {
    for (good, read) in readers() {
        let refused = read(&[good, vec![0; 20_000]].concat());

        assert!(
            matches!(refused, Some(FormError::TooLarge { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn pem_is_one_block_of_the_right_kind() {
    let authority = new_authority();
    let pem = new_node(&authority).to_pem();
    let key = authority.key().to_pem();
    for text in [
        "",
        "x",
        &pem[1..],
        &pem[..pem.len() / 2],
        &pem.repeat(2),
        &key,
    ] {
        assert!(NodeCertificate::from_pem(text).is_err(), "{text}");
    }
    let large = format!("{pem}{}", " ".repeat(40_000));
    assert!(matches!(
        NodeCertificate::from_pem(&large),
        Err(FormError::TooLarge { .. })
    ));
    assert!(CertificateRequest::from_pem(&pem).is_err());
}

#[test]
fn people_are_warned_in_time() {
    use ExpiryWarning::{Expired, Within7Days, Within30Days, Within90Days};
    let end = NOW.plus(1000 * DAY);
    for (now, expected) in [
        (NOW, None),
        (end.minus(90 * DAY + 1), None),
        (end.minus(90 * DAY), Some(Within90Days)),
        (end.minus(30 * DAY + 1), Some(Within90Days)),
        (end.minus(30 * DAY), Some(Within30Days)),
        (end.minus(7 * DAY + 1), Some(Within30Days)),
        (end.minus(7 * DAY), Some(Within7Days)),
        (end, Some(Within7Days)),
        (end.plus(1), Some(Expired)),
        (Timestamp(u64::MAX), Some(Expired)),
    ] {
        assert_eq!(ExpiryWarning::at(now, end), expected, "{now}");
    }
    assert!(Within90Days < Within30Days && Within7Days < Expired);
}
