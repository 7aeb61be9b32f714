//! The file of authorities.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyUsagePurpose};

use super::*;
use crate::certificate::{
    authority::{AuthorityCertificate, date},
    error::FormError,
    network::NetworkError,
    succession,
};

/// What somebody else may write into the certificate of an authority.
fn foreign(key: &PrivateKey, change: impl Fn(&mut CertificateParams)) -> Result<(), FormError> {
    let mut parameters = CertificateParams::default();
    parameters.serial_number = Some(0x1_2001_0db8_0042_u64.into());
    parameters.not_before = date(NOW).unwrap();
    parameters.not_after = date(NOW.plus(DAY)).unwrap();
    parameters
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut parameters);
    let certificate = parameters.self_signed(key).unwrap();
    AuthorityCertificate::from_der(certificate.der()).map(drop)
}

#[test]
fn an_authority_may_sign_certificates() {
    let (ecdsa, rsa) = (new_key(), rsa_key(0));
    for key in [&ecdsa, &rsa] {
        assert_eq!(foreign(key, |_| ()), Ok(()));
        for refused in [
            foreign(key, |it| it.is_ca = IsCa::NoCa),
            foreign(key, |it| it.is_ca = IsCa::ExplicitNoCa),
            foreign(key, |it| it.key_usages = vec![KeyUsagePurpose::CrlSign]),
        ] {
            assert!(
                matches!(refused, Err(FormError::Role { .. })),
                "{refused:?}"
            );
        }
    }
    // openssl writes no key usage into the RSA authorities of re6stnet
    assert_eq!(foreign(&rsa, |it| it.key_usages.clear()), Ok(()));
    let refused = foreign(&ecdsa, |it| it.key_usages.clear());
    assert!(matches!(refused, Err(FormError::Role { .. })));
}

#[test]
fn an_authoritys_serial_number_is_a_network() {
    let refused = foreign(&new_key(), |it| {
        it.serial_number = Some(vec![0x7f; 20].into())
    });

    assert_eq!(refused, Err(FormError::Network(NetworkError::Serial)));
}

#[test]
fn several_authorities_are_kept_in_one_file() {
    let first = new_authority();
    let second = first.succeed(new_key(), NOW, NOW.plus(DAY)).unwrap();
    let text = first.certificate().to_pem() + &second.certificate().to_pem();

    let authorities = Authorities::from_pem(&text).unwrap();

    assert_eq!(authorities.to_pem(), text);
    assert_eq!(authorities.network().to_string(), NETWORK);
    let read: Vec<_> = authorities.iter().collect();
    assert_eq!(read, [first.certificate(), second.certificate()]);
}

#[test]
fn an_authority_twice_is_there_once() {
    let pem = new_authority().certificate().to_pem();

    let authorities = Authorities::from_pem(&pem.repeat(2)).unwrap();

    assert_eq!(authorities.to_pem(), pem);
}

#[test]
fn other_files_are_refused() {
    let authority = new_authority();
    let pem = authority.certificate().to_pem();
    let foreign = authority_of("2001:db8:43::/48", new_key());
    for text in [
        String::new(),
        "text".to_owned(),
        new_node(&authority).to_pem(),
        pem.clone() + &new_node(&authority).to_pem(),
        pem.clone() + &foreign.certificate().to_pem(),
        pem.clone() + &authority.key().to_pem(),
        pem.repeat(5),
    ] {
        assert!(Authorities::from_pem(&text).is_err(), "{text}");
    }
    let large = Authorities::from_pem(&pem.repeat(1000));
    assert!(matches!(large, Err(FormError::TooLarge { .. })));
}

#[test]
fn what_a_registry_keeps_among_the_certificates_is_passed_over() {
    let first = new_authority();
    let second = first.succeed(new_key(), NOW, NOW.plus(5000 * DAY)).unwrap();
    let said = first.state_successor(&second).unwrap();
    let certificates = [&first, &second]
        .map(|it| it.certificate().to_pem())
        .concat();
    let text = certificates.clone() + &succession::to_pem(said.envelope());

    assert_eq!(Authorities::from_pem(&text).unwrap().to_pem(), certificates);
    assert_eq!(
        succession::statements(&text),
        Ok(vec![said.envelope().to_vec()])
    );
    assert_eq!(succession::statements(&certificates), Ok(Vec::new()));
    let alone = succession::to_pem(said.envelope());
    assert!(Authorities::from_pem(&alone).is_err());
}
