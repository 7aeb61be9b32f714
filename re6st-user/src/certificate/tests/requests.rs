//! From the octets of a request to a certificate, whatever somebody writes into it: it is refused with words, or a
//! certificate says the same. Nothing on the way panics.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::certificate::{error::FormError, issue::Identity};

/// Tag, length, content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = vec![tag];
    match length {
        0..=127 => octets.push(length as u8),
        128..=255 => octets.extend([0x81, length as u8]),
        _ => octets.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    octets.extend(content);
    octets
}

/// A field: the octets of an object identifier, the tag of a value, the value.
type Field = (Vec<u8>, u8, Vec<u8>);

/// A request with these fields, really signed by the key inside.
fn request(key: &PrivateKey, fields: &[Field]) -> Vec<u8> {
    let names = fields.iter().flat_map(|(attribute, tag, value)| {
        let pair = [der(6, attribute), der(*tag, value)].concat();
        der(0x31, &der(0x30, &pair))
    });
    let names: Vec<u8> = names.collect();
    let parts = [
        der(2, &[0]),
        der(0x30, &names),
        key.public_key().der().to_vec(),
        der(0xa0, &[]),
    ];
    let information = der(0x30, &parts.concat());
    // ecdsa-with-SHA256
    let algorithm = der(0x30, &der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
    let signature = [&[0][..], &key.sign(&information).unwrap()].concat();
    der(0x30, &[information, algorithm, der(3, &signature)].concat())
}

/// An object identifier as DER has it.
fn identifier(arcs: &[u128]) -> Vec<u8> {
    let [first, second, rest @ ..] = arcs else {
        panic!("two arcs at least")
    };
    let joined = first * 40 + second;
    let numbers = std::iter::once(&joined).chain(rest);
    let base128 = |number: &u128| {
        let digits = (128 - number.leading_zeros()).div_ceil(7).max(1);
        let digit = |place: u32| {
            let more = if place > 0 { 0x80 } else { 0 };
            (number >> (7 * place)) as u8 & 0x7f | more
        };
        (0..digits).rev().map(digit).collect::<Vec<u8>>()
    };
    numbers.flat_map(base128).collect()
}

const COUNTRY: &[u8] = &[0x55, 4, 6];
const DN_QUALIFIER: &[u8] = &[0x55, 4, 46];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
const DOMAIN_COMPONENT: &[u8] = &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;

/// The whole path: octets, request, certificate, and the certificate renewed by what it says itself.
fn certify(authority: &Authority, octets: &[u8]) -> Result<NodeCertificate, FormError> {
    let request = CertificateRequest::from_der(octets)?;
    let certificate = authority.issue_node((&request).into(), &terms()).unwrap();
    assert_eq!(certificate.subject(), request.subject());
    let renewed = authority.issue_node(Identity::from(&certificate), &terms());
    assert_eq!(renewed.unwrap().subject(), request.subject());
    Ok(certificate)
}

#[test]
fn every_character_in_every_kind_of_field_is_refused_or_written() {
    let (authority, key) = (new_authority(), new_key());
    let mut accepted = 0;
    for character in 0..=0xff_u8 {
        for (attribute, value) in [
            (COUNTRY, vec![b'A', character]),
            (COUNTRY, vec![character, b'Z']),
            (DN_QUALIFIER, vec![b'a', character, b'b']),
            (ORGANIZATION, vec![character]),
            (EMAIL_ADDRESS, vec![b'a', character, b'@', b'b']),
            (DOMAIN_COMPONENT, vec![character]),
        ] {
            for tag in [UTF8, PRINTABLE, IA5] {
                let field = (attribute.to_vec(), tag, value.clone());
                accepted += usize::from(certify(&authority, &request(&key, &[field])).is_ok());
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn what_ended_the_registry_is_refused_with_the_fields_name() {
    let (authority, key) = (new_authority(), new_key());
    for (attribute, value, name) in [(COUNTRY, "??", "C"), (DN_QUALIFIER, "a?b", "dnQualifier")] {
        let field = (attribute.to_vec(), PRINTABLE, value.as_bytes().to_vec());
        let error = certify(&authority, &request(&key, &[field])).unwrap_err();
        assert!(
            error.to_string().contains(&format!("the field {name} ")),
            "{error}"
        );
    }
    assert!(
        Subject::default().push("C", "??").is_err(),
        "nor can it be asked for"
    );
}

#[test]
fn object_identifiers_at_their_bounds_are_refused_or_written() {
    let (authority, key) = (new_authority(), new_key());
    let huge = u128::from(u64::MAX);
    for arcs in [
        vec![0, 39, 1],
        vec![1, 39, huge],
        vec![2, 0],
        vec![2, 47],
        vec![2, 48],
        vec![2, 999, 3],
        vec![2, huge - 81, 1],
        vec![2, huge - 80, 1],
        vec![2, huge - 79],
        vec![2, huge],
        vec![2, 5, huge + 1],
        vec![2, 5, u128::MAX],
        [vec![1, 3], vec![1; 18]].concat(),
        [vec![1, 3], vec![1; 19]].concat(),
    ] {
        let field = (identifier(&arcs), UTF8, b"value".to_vec());
        // refused or not, it comes to an end
        let _ = certify(&authority, &request(&key, &[field]));
    }
    let field = (identifier(&[1, 3, 6, 1]), UTF8, b"value".to_vec());
    certify(&authority, &request(&key, &[field])).unwrap();
}

fn field() -> impl Strategy<Value = Field> {
    let attribute = prop_oneof![
        3 => prop::sample::select(vec![COUNTRY, DN_QUALIFIER, ORGANIZATION, EMAIL_ADDRESS, DOMAIN_COMPONENT])
            .prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..12),
    ];
    let tag = prop_oneof![
        6 => prop::sample::select(vec![UTF8, PRINTABLE, IA5, 0x12, 0x14, 0x1a, 0x1c, 0x1e]),
        1 => any::<u8>(),
    ];
    let value = prop_oneof![
        3 => "[ -~]{0,3}".prop_map(String::into_bytes),
        1 => ".{0,80}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..300),
    ];
    (attribute, tag, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_fields_are(fields in vec(field(), 0..4)) {
        let (authority, key) = shared();
        let _ = certify(authority, &request(key, &fields));
    }

    /// One octet after the other is changed in what is signed; the signature is good all the same.
    #[test]
    fn whatever_the_octets_are(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (authority, key) = shared();
        let fields = [
            (COUNTRY.to_vec(), PRINTABLE, b"FR".to_vec()),
            (ORGANIZATION.to_vec(), UTF8, "Société".into()),
        ];
        let sound = request(key, &fields);
        let (information, rest) = split(&sound);
        let mut information = information.to_vec();
        for (index, octet) in changes {
            let index = index.index(information.len());
            information[index] = octet;
        }
        let signature = [&[0][..], &key.sign(&information).unwrap()].concat();
        let octets = der(0x30, &[&information[..], &rest[..12], &der(3, &signature)].concat());
        let _ = certify(authority, &octets);
    }
}

/// What is signed of a request, and the algorithm and the signature behind it.
fn split(request: &[u8]) -> (&[u8], &[u8]) {
    let body = &request[4 - usize::from(request[1] == 0x81)..];
    let length = match body[1] {
        0x81 => 3 + usize::from(body[2]),
        0x82 => 4 + (usize::from(body[2]) << 8) + usize::from(body[3]),
        short => 2 + usize::from(short),
    };
    body.split_at(length)
}

fn shared() -> (&'static Authority, &'static PrivateKey) {
    static SHARED: LazyLock<(Authority, PrivateKey)> =
        LazyLock::new(|| (new_authority(), new_key()));
    (&SHARED.0, &SHARED.1)
}
