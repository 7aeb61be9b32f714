//! The list of revoked certificates.

use super::*;
use crate::certificate::{
    digest::KeyId,
    document::Signed,
    revocations::{Revocation, RevocationList},
};
use x509_parser::{prelude::FromDer as _, revocation_list::CertificateRevocationList};

fn until(days: u64) -> Revocation {
    Revocation {
        at: NOW,
        not_after: NOW.plus(days * DAY),
    }
}

#[test]
fn a_revocation_stays_until_the_certificate_expires() {
    let issuer = KeyId::of(b"issuer");
    let mut list = RevocationList::default();
    list.insert(issuer, serial(1), until(10));
    list.insert(issuer, serial(2), until(20));

    list.prune(NOW.plus(10 * DAY));
    assert_eq!(list.len(), 2);
    list.prune(NOW.plus(10 * DAY + 1));
    assert!(!list.contains(&issuer, serial(1)));
    assert!(list.contains(&issuer, serial(2)));
    list.prune(NOW.plus(21 * DAY));
    assert!(list.is_empty());
    assert_eq!(list, RevocationList::default());
}

#[test]
fn the_first_revocation_counts() {
    let issuer = KeyId::of(b"issuer");
    let mut list = RevocationList::default();
    list.insert(issuer, serial(1), until(10));
    list.insert(issuer, serial(1), until(1));

    let entries: Vec<_> = list.of(&issuer).collect();

    assert_eq!(entries, [(serial(1), until(10))]);
}

#[test]
fn the_list_is_a_document_of_the_authority() {
    for authority in both_authorities() {
        let issuer = authority.certificate().key_id();
        let mut list = RevocationList::default();
        list.insert(issuer, serial(1), until(10));
        list.insert(issuer, serial(Serial::MAX), until(20));

        let signed = Signed::sign(1, list.clone(), &authority, None).unwrap();
        let read: Signed<RevocationList> =
            Signed::verify(signed.envelope(), &trust(&authority), NOW, None).unwrap();

        assert_eq!(read.content(), &list);
    }
}

#[test]
fn the_list_is_plain_json() {
    let issuer = KeyId::of(b"");
    let mut list = RevocationList::default();
    list.insert(issuer, serial(5), until(1));

    let json = serde_json::to_string(&list).unwrap();

    let expected = format!(r#"{{"{issuer}":{{"5":[1767225600,1767312000]}}}}"#);
    assert_eq!(json, expected);
    for bad in [
        r#"{"x":{"5":[1,2]}}"#.to_owned(),
        format!(r#"{{"{issuer}":{{"0":[1,2]}}}}"#),
        format!(r#"{{"{issuer}":{{"-1":[1,2]}}}}"#),
        format!(r#"{{"{issuer}":{{"5":[1]}}}}"#),
    ] {
        assert!(
            serde_json::from_str::<RevocationList>(&bad).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn fifty_thousand_revocations_fit_a_document() {
    let authority = new_authority();
    let issuer = authority.certificate().key_id();
    let mut list = RevocationList::default();
    for number in 1..=50_000 {
        list.insert(issuer, serial(number), until(365));
    }

    let signed = Signed::sign(1, list, &authority, None).unwrap();

    assert!(
        signed.envelope().len() < 3_000_000,
        "{}",
        signed.envelope().len()
    );
}

#[test]
fn the_crl_is_of_one_authority_and_signed_by_it() {
    for authority in both_authorities() {
        let mut list = RevocationList::default();
        list.insert(authority.certificate().key_id(), serial(300), until(10));
        list.insert(KeyId::of(b"another"), serial(5), until(10));

        let der = list.to_crl(&authority, 7, NOW, NOW.plus(DAY)).unwrap();

        let (rest, crl) = CertificateRevocationList::from_der(&der).unwrap();
        assert!(rest.is_empty());
        let revoked: Vec<_> = crl.iter_revoked_certificates().collect();
        assert_eq!(revoked.len(), 1);
        assert_eq!(revoked[0].user_certificate, 300_u32.into());
        assert_eq!(crl.crl_number(), Some(&7_u32.into()));
        assert_eq!(crl.issuer().as_raw(), authority.certificate().name);
        let key = authority.certificate().public_key();
        assert!(key.verify(crl.tbs_cert_list.as_ref(), crl.signature_value.as_ref()));
    }
}
