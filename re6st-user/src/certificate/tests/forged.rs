//! Certificates and requests that an authority of ours would not write, but somebody might.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType,
};

use super::*;
use crate::certificate::{
    authority::{AuthorityCertificate, date},
    error::{FormError, TrustError},
    node::{REGISTRY_NAME, RegistryCertificate},
    node_prefix::NodePrefixError,
    subject::{SubjectError, printable},
};

/// What our authority writes into a node's certificate.
fn proper() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(7_u64.into());
    parameters.not_before = date(NOW).unwrap();
    parameters.not_after = date(NOW.plus(DAY)).unwrap();
    parameters.distinguished_name = name(&[("serialNumber", "3"), ("CN", "5/16")]);
    parameters.subject_alt_names = vec![address("2001:db8:42:5::1")];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    parameters
}

fn name(fields: &[(&str, &str)]) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    for (kind, value) in fields {
        match *kind {
            "CN" => name.push(DnType::CommonName, *value),
            "serialNumber" => name.push(
                DnType::from_oid(&[2, 5, 4, 5]),
                printable(value).unwrap_or_else(|| rcgen::DnValue::Utf8String((*value).to_owned())),
            ),
            _ => name.push(DnType::OrganizationName, *value),
        }
    }
    name
}

fn address(text: &str) -> SanType {
    SanType::IpAddress(text.parse::<IpAddr>().unwrap())
}

fn host(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A certificate of any content, really signed by the authority.
fn forge(authority: &Authority, parameters: &CertificateParams) -> Vec<u8> {
    let issuer = Issuer::from_params(&authority.issuer, authority.key());
    let certificate = parameters.signed_by(&new_key(), &issuer).unwrap();
    certificate.der().to_vec()
}

fn forged(change: impl Fn(&mut CertificateParams)) -> Result<NodeCertificate, FormError> {
    let mut parameters = proper();
    change(&mut parameters);
    NodeCertificate::from_der(&forge(&new_authority(), &parameters))
}

#[test]
fn what_is_proper_is_accepted() {
    let authority = new_authority();
    let certificate = NodeCertificate::from_der(&forge(&authority, &proper())).unwrap();

    let trusted = trust(&authority);
    assert!(
        trusted
            .verify_node(&certificate, &Default::default(), NOW, 0)
            .is_ok()
    );
    assert_eq!(certificate.static_key(), None);
}

#[test]
fn usage_and_names_have_to_be_a_nodes() {
    type Change = fn(&mut CertificateParams);
    let changes: [(&str, Change); 11] = [
        ("no key usage", |it| it.key_usages.clear()),
        ("another key usage", |it| {
            it.key_usages = vec![KeyUsagePurpose::KeyEncipherment]
        }),
        ("an authority's usage", |it| {
            it.key_usages.push(KeyUsagePurpose::KeyCertSign)
        }),
        ("an authority", |it| {
            it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
        }),
        ("no extended usage", |it| it.extended_key_usages.clear()),
        ("a server only", |it| {
            it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        ("any extended usage", |it| {
            it.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]
        }),
        ("no name", |it| it.subject_alt_names.clear()),
        ("two addresses", |it| {
            it.subject_alt_names.push(address("2001:db8:42:6::1"))
        }),
        ("an IPv4 address", |it| {
            it.subject_alt_names = vec![address("10.42.5.1")]
        }),
        ("the registry's name", |it| {
            it.subject_alt_names.push(host(REGISTRY_NAME))
        }),
    ];
    for (what, change) in changes {
        let refused = forged(change);

        assert!(
            matches!(refused, Err(FormError::Role { .. })),
            "{what}: {refused:?}"
        );
    }
}

#[test]
fn subjects_have_to_be_a_nodes() {
    use NodePrefixError::{CommonName, Overflow, TooLong};
    for (serial, common_name, error) in [
        (Some("3"), None, SubjectError::NoCommonName),
        (Some("3"), Some("05/16"), CommonName.into()),
        (Some("3"), Some("5/016"), CommonName.into()),
        (Some("3"), Some("node"), CommonName.into()),
        (Some("3"), Some("70000/16"), Overflow.into()),
        (Some("3"), Some("5/129"), TooLong.into()),
        (None, Some("5/16"), SubjectError::SubjectSerial),
        (Some("03"), Some("5/16"), SubjectError::SubjectSerial),
        (Some("+3"), Some("5/16"), SubjectError::SubjectSerial),
        (Some("x"), Some("5/16"), SubjectError::SubjectSerial),
        (
            Some("4294967296"),
            Some("5/16"),
            SubjectError::SubjectSerial,
        ),
    ] {
        let fields: Vec<_> = [("serialNumber", serial), ("CN", common_name)]
            .into_iter()
            .filter_map(|(kind, value)| Some((kind, value?)))
            .collect();

        let refused = forged(|it| it.distinguished_name = name(&fields));

        assert_eq!(
            refused.unwrap_err(),
            FormError::Subject(error),
            "{serial:?} {common_name:?}"
        );
    }
}

#[test]
fn serial_numbers_have_63_bits() {
    for octets in [&[0][..], &[0x80, 0, 0, 0, 0, 0, 0, 0], &[1; 9], &[1; 20]] {
        let refused = forged(|it| it.serial_number = Some(octets.to_vec().into()));

        assert_eq!(refused.unwrap_err(), FormError::Serial, "{octets:?}");
    }
    let largest = forged(|it| it.serial_number = Some(Serial::MAX.into())).unwrap();
    assert_eq!(largest.serial(), serial(Serial::MAX));
}

#[test]
fn an_extension_occurs_once() {
    let key = StaticKey::generate().unwrap().public_key();
    let extension = crate::certificate::request::alternative_key(&key);

    let refused = forged(|it| it.custom_extensions = vec![extension.clone(), extension.clone()]);

    assert_eq!(refused.unwrap_err(), FormError::DuplicateExtension);
}

#[test]
fn critical_extensions_have_to_be_known() {
    let unknown = |critical| {
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5, 0]);
        extension.set_criticality(critical);
        extension
    };

    let refused = forged(|it| it.custom_extensions = vec![unknown(true)]);

    let name = "1.3.6.1.4.1.32473.1".to_owned();
    assert_eq!(
        refused.unwrap_err(),
        FormError::UnknownCriticalExtension(name)
    );
    assert!(forged(|it| it.custom_extensions = vec![unknown(false)]).is_ok());
}

#[test]
fn a_static_key_has_its_form() {
    let good = StaticKey::generate().unwrap().public_key().to_der();
    for bad in [
        vec![],
        vec![5, 0],
        good[..43].to_vec(),
        new_key().public_key().der().to_vec(),
    ] {
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 72], bad);

        let refused = forged(|it| it.custom_extensions = vec![extension.clone()]);

        assert!(
            matches!(refused, Err(FormError::Extension(_))),
            "{refused:?}"
        );
    }
}

/// Made by openssl: `req -new -subj "/O=Node/CN=1\/16"`.
#[test]
fn weak_and_other_keys_get_no_certificate() {
    for request in [
        include_str!("fixtures/rsa1024.csr"),
        include_str!("fixtures/p384.csr"),
        include_str!("fixtures/ed25519.csr"),
    ] {
        let refused = CertificateRequest::from_pem(request);

        assert!(matches!(refused, Err(FormError::Key(_))), "{refused:?}");
    }
    let good = CertificateRequest::from_pem(include_str!("fixtures/pkcs1.csr")).unwrap();
    assert_eq!(good.subject(), &subject(&[("O", "Node")]));
    assert_eq!(good.static_key(), None);
}

#[test]
fn a_requests_common_name_and_serial_number_are_left_out() {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name(&[("CN", "1/16"), ("O", "Node"), ("serialNumber", "99")]);
    let sent = parameters.serialize_request(&new_key()).unwrap();

    let request = CertificateRequest::from_der(sent.der()).unwrap();

    assert_eq!(request.subject(), &subject(&[("O", "Node")]));
    let issued = new_authority()
        .issue_node((&request).into(), &terms())
        .unwrap();
    assert_eq!(issued.prefix().common_name(), "5/16");
    assert_eq!(issued.subject_serial(), SubjectSerial(3));
}

#[test]
fn a_request_gets_nothing_it_asks_for_but_its_static_key() {
    let key = StaticKey::generate().unwrap().public_key();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name(&[]);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.subject_alt_names = vec![host(REGISTRY_NAME)];
    parameters.custom_extensions = vec![crate::certificate::request::alternative_key(&key)];
    let sent = parameters.serialize_request(&new_key()).unwrap();
    let authority = new_authority();

    let request = CertificateRequest::from_der(sent.der()).unwrap();
    let issued = authority.issue_node((&request).into(), &terms()).unwrap();

    assert_eq!(issued.static_key(), Some(key));
    assert!(
        trust(&authority)
            .verify_node(&issued, &Default::default(), NOW, 0)
            .is_ok()
    );
    assert!(RegistryCertificate::from_der(issued.der()).is_err());
    assert!(AuthorityCertificate::from_der(issued.der()).is_err());
}

#[test]
fn a_request_with_a_static_key_of_small_order_is_refused() {
    let zero = crate::certificate::static_key::StaticPublicKey::new([0; 32]);

    let refused = CertificateRequest::make(&new_key(), Some(zero), &subject(&[]));

    assert!(refused.is_err());
}

#[test]
fn an_address_has_to_be_the_common_names() {
    let authority = new_authority();
    for (change, error) in [
        (("5/16", "2001:db8:42:6::1"), TrustError::Address),
        (("5/16", "2001:db8:43:5::1"), TrustError::Address),
        (("5/90", "2001:db8:42:5::1"), TrustError::OutsideNetwork),
    ] {
        let mut parameters = proper();
        parameters.distinguished_name = name(&[("serialNumber", "3"), ("CN", change.0)]);
        parameters.subject_alt_names = vec![address(change.1)];
        let certificate = NodeCertificate::from_der(&forge(&authority, &parameters)).unwrap();

        let refused = trust(&authority)
            .verify_node(&certificate, &Default::default(), NOW, 0)
            .map(drop);

        assert_eq!(refused, Err(error), "{change:?}");
    }
}
