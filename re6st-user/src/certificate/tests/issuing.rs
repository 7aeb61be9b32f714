//! What is issued is what was asked for.

use super::*;
use crate::certificate::{
    error::{FormError, IssueError},
    node::RegistryCertificate,
    subject::SubjectError,
};

#[test]
fn an_authority_tells_its_network() {
    for authority in both_authorities() {
        let certificate = authority.certificate();

        assert_eq!(certificate.network().to_string(), NETWORK);
        assert_eq!(certificate.generation(), 1);
        assert_eq!(certificate.email(), Some("ca@example.com"));
        assert_eq!(certificate.not_before(), NOW);
        assert_eq!(certificate.not_after(), NOW.plus(3650 * DAY));
    }
}

#[test]
fn an_authority_is_kept_in_two_files() {
    for authority in both_authorities() {
        let (certificate, key) = (authority.certificate().to_pem(), authority.key().to_pem());

        let read = Authority::from_pem(&certificate, &key).unwrap();

        assert_eq!(read.certificate(), authority.certificate());
        let node = new_node(&read);
        let trusted = trust(&authority);
        trusted
            .verify_node(&node, &Default::default(), NOW, 0)
            .unwrap();
    }
}

#[test]
fn an_authority_with_another_ones_key_is_refused() {
    let certificate = new_authority().certificate().to_pem();

    let mixed = Authority::from_pem(&certificate, &new_key().to_pem());

    assert_eq!(mixed.unwrap_err(), IssueError::KeyMismatch);
}

#[test]
fn a_nodes_certificate_has_what_was_asked_for_and_given() {
    for authority in both_authorities() {
        for key in [new_key(), rsa_key(1)] {
            let static_key = StaticKey::generate().unwrap().public_key();
            let fields = subject(&[
                ("C", "FR"),
                ("O", "Café"),
                ("emailAddress", "a@example.com"),
            ]);
            let request = CertificateRequest::make(&key, Some(static_key), &fields).unwrap();
            let sent = CertificateRequest::from_pem(&request.to_pem()).unwrap();

            let certificate = authority.issue_node((&sent).into(), &terms()).unwrap();

            let read = NodeCertificate::from_pem(&certificate.to_pem()).unwrap();
            assert_eq!(read, certificate);
            assert_eq!(read.serial(), serial(7));
            assert_eq!(read.prefix().common_name(), "5/16");
            assert_eq!(read.subject_serial(), SubjectSerial(3));
            assert_eq!(read.subject(), &fields);
            assert_eq!(
                (read.not_before(), read.not_after()),
                (NOW, NOW.plus(365 * DAY))
            );
            assert_eq!(read.public_key(), key.public_key());
            assert_eq!(read.static_key(), Some(static_key));
        }
    }
}

#[test]
fn a_renewal_keeps_who_the_node_is() {
    let authority = new_authority();
    let old = new_node(&authority);
    let later = NodeTerms {
        serial: serial(8),
        not_before: NOW.plus(340 * DAY),
        not_after: NOW.plus(705 * DAY),
        ..terms()
    };

    let new = authority.issue_node((&old).into(), &later).unwrap();

    assert_eq!(new.serial(), serial(8));
    assert_eq!(new.not_after(), NOW.plus(705 * DAY));
    assert_eq!(
        (
            new.subject(),
            new.public_key(),
            new.static_key(),
            new.prefix()
        ),
        (
            old.subject(),
            old.public_key(),
            old.static_key(),
            old.prefix()
        )
    );
}

#[test]
fn a_validity_ends_with_the_authoritys() {
    let authority = new_authority();
    let late = NodeTerms {
        not_before: NOW.minus(DAY),
        not_after: NOW.plus(36_500 * DAY),
        ..terms()
    };

    let certificate = issue(&authority, &late);

    let own = authority.certificate();
    assert_eq!(
        (certificate.not_before(), certificate.not_after()),
        (own.not_before(), own.not_after())
    );
}

#[test]
fn an_empty_validity_is_refused() {
    let authority = new_authority();
    for (not_before, not_after) in [
        (NOW.plus(DAY), NOW.plus(DAY)),
        (NOW.plus(DAY), NOW),
        (NOW.plus(4000 * DAY), NOW.plus(4001 * DAY)),
        (NOW.minus(DAY), NOW),
    ] {
        let empty = NodeTerms {
            not_before,
            not_after,
            ..terms()
        };

        let refused = authority.issue_node((&new_request()).into(), &empty);

        assert_eq!(refused.unwrap_err(), IssueError::Validity);
    }
}

#[test]
fn a_prefix_outside_the_network_is_refused() {
    let authority = new_authority();
    for prefix in [NodePrefix::ROOT, NodePrefix::new(1, 81).unwrap()] {
        let outside = NodeTerms { prefix, ..terms() };

        let refused = authority.issue_node((&new_request()).into(), &outside);

        assert!(matches!(refused, Err(IssueError::Prefix { .. })));
    }
}

#[test]
fn certificates_live_until_the_year_9999() {
    let last = Timestamp(253_402_300_799);
    let fields = subject(&[]);
    let create = |not_after| {
        let terms = AuthorityTerms {
            network: NETWORK.parse().unwrap(),
            common_name: "test network",
            subject: &fields,
            not_before: NOW,
            not_after,
        };
        Authority::create(new_key(), &terms)
    };

    assert_eq!(create(last).unwrap().certificate().not_after(), last);
    assert_eq!(create(last.plus(1)).unwrap_err(), IssueError::Validity);
    assert_eq!(create(NOW).unwrap_err(), IssueError::Validity);
}

#[test]
fn an_authority_has_a_name() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        let fields = subject(&[]);
        let terms = AuthorityTerms {
            network: NETWORK.parse().unwrap(),
            common_name: name,
            subject: &fields,
            not_before: NOW,
            not_after: NOW.plus(DAY),
        };

        assert!(Authority::create(new_key(), &terms).is_err(), "{name:?}");
    }
}

#[test]
fn the_registrys_certificate_is_its_own_kind() {
    let authority = new_authority();
    let key = new_key();

    let certificate = authority
        .issue_registry(key.public_key(), serial(9), NOW, NOW.plus(90 * DAY))
        .unwrap();

    let read = RegistryCertificate::from_pem(&certificate.to_pem()).unwrap();
    assert_eq!(read, certificate);
    assert_eq!(read.serial(), serial(9));
    assert_eq!(read.public_key(), key.public_key());
    assert_eq!(
        (read.not_before(), read.not_after()),
        (NOW, NOW.plus(90 * DAY))
    );
}

#[test]
fn the_registrys_fields_are_not_the_users() {
    for name in [
        "CN",
        "cn",
        "commonName",
        "serial",
        "serialNumber",
        "SERIALNUMBER",
    ] {
        let refused = Subject::default().push(name, "1/16");

        assert!(matches!(refused, Err(SubjectError::Reserved(_))), "{name}");
    }
}

#[test]
fn a_users_fields_are_checked() {
    for (name, value) in [
        ("X", "unknown"),
        ("C", "France"),
        ("C", "F*"),
        ("O", ""),
        ("O", "a\0b"),
        ("O", &"x".repeat(256)),
        ("emailAddress", "é@example.com"),
    ] {
        assert!(
            Subject::default().push(name, value).is_err(),
            "{name}={value}"
        );
    }
    let mut twice = subject(&[("O", "one")]);
    assert_eq!(
        twice.push("organizationName", "two"),
        Err(SubjectError::Duplicate("O".to_owned()))
    );
}

#[test]
fn a_users_fields_are_shown_in_order() {
    let subject = subject(&[("organizationName", "Org"), ("c", "FR")]);

    let shown: Vec<_> = subject.fields().collect();

    assert_eq!(shown, [("O".to_owned(), "Org"), ("C".to_owned(), "FR")]);
}

#[test]
fn a_request_needs_its_own_signature() {
    let mut der = new_request().der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;

    assert!(matches!(
        CertificateRequest::from_der(&der),
        Err(FormError::SelfSignature)
    ));
}
