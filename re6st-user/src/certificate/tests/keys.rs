//! Keys: their files, their sizes, and that they are kept to themselves.

use super::*;
use crate::certificate::{
    digest::{Fingerprint, KeyId},
    error::{FormError, KeyError},
    public_key::KeyKind,
    static_key::StaticPublicKey,
};

/// Made by openssl: `ecparam -name prime256v1 -genkey`, `genrsa -traditional 2048`, `genrsa 1024`,
/// `ecparam -name secp384r1 -genkey`, `genpkey -algorithm ed25519`, `genpkey -algorithm x25519`.
const SEC1: &str = include_str!("fixtures/sec1.key");
const PKCS1: &str = include_str!("fixtures/pkcs1.key");
const RSA_1024: &str = include_str!("fixtures/rsa1024.key");
const P384: &str = include_str!("fixtures/p384.key");
const ED25519: &str = include_str!("fixtures/ed25519.key");
const X25519: &str = include_str!("fixtures/x25519.key");
const X25519_PUBLIC: &str = include_str!("fixtures/x25519.pub");

#[test]
fn keys_of_openssl_are_read_and_written_as_pkcs8() {
    for (text, kind) in [
        (SEC1, KeyKind::EcdsaP256),
        (PKCS1, KeyKind::Rsa { bits: 2048 }),
    ] {
        let key = PrivateKey::from_pem(text).unwrap();

        assert_eq!(key.public_key().kind(), kind);
        let written = key.to_pem();
        assert!(written.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let again = PrivateKey::from_pem(&written).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }
}

#[test]
fn weak_and_other_keys_are_refused() {
    for text in [RSA_1024, P384, ED25519, X25519] {
        let refused = PrivateKey::from_pem(text).unwrap_err();

        assert!(matches!(refused, FormError::Key(_)), "{refused:?}");
    }
    for text in [
        "",
        "no key",
        X25519_PUBLIC,
        &new_authority().certificate().to_pem(),
    ] {
        assert!(matches!(PrivateKey::from_pem(text), Err(FormError::Pem(_))));
    }
    let long = "x".repeat(20_000);
    assert!(matches!(
        PrivateKey::from_pem(&long),
        Err(FormError::TooLarge { .. })
    ));
    assert!(matches!(
        StaticKey::from_pem(&long),
        Err(FormError::TooLarge { .. })
    ));
}

#[test]
fn a_signature_is_of_one_key_and_one_message() {
    for (key, other) in [(new_key(), new_key()), (rsa_key(0), rsa_key(1))] {
        let signature = key.sign(b"message").unwrap();

        assert!(key.public_key().verify(b"message", &signature));
        assert!(!key.public_key().verify(b"Message", &signature));
        assert!(!other.public_key().verify(b"message", &signature));
        assert!(!key.public_key().verify(b"message", &signature[1..]));
        assert!(!key.public_key().verify(b"message", b""));
    }
}

#[test]
fn debug_output_has_no_secret() {
    let (key, static_key) = (new_key(), StaticKey::generate().unwrap());
    let authority = authority_of(NETWORK, PrivateKey::from_pem(&key.to_pem()).unwrap());
    // the private scalar follows the octets 04 20 in PKCS#8
    let der = key.to_pkcs8_der();
    let start = der.windows(2).position(|pair| pair == [4, 32]).unwrap() + 2;
    let secrets = [&der[start..start + 32], &static_key.to_octets()[..]];

    let shown = format!("{key:?} {key:#?} {static_key:?} {authority:?}");

    for secret in secrets {
        let hexadecimal = data_encoding::HEXLOWER.encode(&secret[..8]);
        let decimals = format!("{:?}", &secret[..8]);
        assert!(!shown.contains(&hexadecimal));
        assert!(!shown.contains(decimals.trim_matches(['[', ']'])));
    }
    assert!(!shown.contains("PRIVATE KEY"));
}

#[test]
fn a_static_key_is_kept_as_openssl_has_it() {
    let key = StaticKey::from_pem(X25519).unwrap();

    assert_eq!(*key.to_pem(), *X25519);
    let public = pem::parse(X25519_PUBLIC).unwrap();
    assert_eq!(key.public_key().to_der(), public.contents());
    assert_eq!(
        StaticPublicKey::from_der(public.contents()),
        Some(key.public_key())
    );
}

#[test]
fn other_keys_are_not_static_keys() {
    for text in [ED25519, SEC1, PKCS1, X25519_PUBLIC, ""] {
        assert!(StaticKey::from_pem(text).is_err());
    }
    let good = StaticKey::generate().unwrap().public_key().to_der();
    let mut of_ed25519 = good.clone();
    of_ed25519[8] = 0x70;
    let mut with_unused_bits = good.clone();
    with_unused_bits[11] = 1;
    for bad in [
        &good[..43],
        &[&good[..], &[0]].concat(),
        &of_ed25519,
        &with_unused_bits,
        new_key().public_key().der(),
        &[],
    ] {
        assert_eq!(StaticPublicKey::from_der(bad), None);
    }
}

#[test]
fn points_of_small_order_are_told() {
    assert!(
        StaticKey::generate()
            .unwrap()
            .public_key()
            .is_contributory()
    );
    let mut one = [0; 32];
    one[0] = 1;
    for octets in [[0; 32], one] {
        assert!(!StaticPublicKey::new(octets).is_contributory());
    }
}

#[test]
fn a_public_key_is_exactly_one() {
    let der = new_key().public_key().der().to_vec();
    let mut compressed = der.clone();
    compressed[26] = 2;
    for bad in [
        &der[..der.len() - 1],
        &[&der[..], &[0]].concat(),
        &compressed,
        &[],
    ] {
        let read = crate::certificate::public_key::PublicKey::from_der(bad);
        assert_eq!(read.unwrap_err(), KeyError::Malformed);
    }
}

#[test]
fn fingerprints_and_key_names_are_hexadecimal() {
    let fingerprint = Fingerprint::of(b"");
    let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    assert_eq!(fingerprint.to_string(), text);
    assert_eq!(text.parse(), Ok(fingerprint));
    assert_eq!(
        text.to_uppercase().replace("SHA", "sha").parse(),
        Ok(fingerprint)
    );
    assert_eq!(text[7..].parse(), Ok(KeyId::of(b"")));
    for bad in [
        "",
        "sha256:",
        &text[..70],
        &format!("{text}0"),
        &text[7..],
        "sha1:00",
    ] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}
