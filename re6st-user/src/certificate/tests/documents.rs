//! Signed documents: forged, changed, rolled back, passed on.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::certificate::{
    document::{Content, DocumentError, MAX_DOCUMENT_SIZE, Signed},
    error::FormError,
};

/// A document as a registry may publish it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Settings {
    interval: u32,
}

impl Content for Settings {
    const TYPE: &'static str = "application/vnd.re6st.test+json";
}

/// One with the same content, but about something else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct OtherSettings {
    interval: u32,
}

impl Content for OtherSettings {
    const TYPE: &'static str = "application/vnd.re6st.other+json";
}

fn sign(authority: &Authority, number: u64) -> Signed<Settings> {
    Signed::sign(number, Settings { interval: 4 }, authority, None).unwrap()
}

fn verify(
    envelope: &[u8],
    authorities: &Authorities,
    held: Option<u64>,
) -> Result<Signed<Settings>, DocumentError> {
    Signed::verify(envelope, authorities, NOW, held)
}

fn changed(envelope: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(envelope).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn a_document_is_passed_on_as_it_was_signed() {
    for authority in both_authorities() {
        let signed = sign(&authority, 5);
        let trusted = trust(&authority);

        let first = verify(signed.envelope(), &trusted, None).unwrap();
        let second = verify(first.envelope(), &trusted, Some(4)).unwrap();

        assert_eq!(second, signed);
        assert_eq!(second.number(), 5);
        assert_eq!(second.content(), &Settings { interval: 4 });
        assert_eq!(second.signers(), [authority.certificate().key_id()]);
        assert_eq!(second.envelope(), signed.envelope());
    }
}

#[test]
fn space_in_the_envelope_is_kept() {
    let authority = new_authority();
    let envelope: Value = serde_json::from_slice(sign(&authority, 5).envelope()).unwrap();
    let pretty = serde_json::to_vec_pretty(&envelope).unwrap();

    let read = verify(&pretty, &trust(&authority), None).unwrap();

    assert_eq!(read.envelope(), pretty);
}

#[test]
fn only_newer_documents_are_taken() {
    let authority = new_authority();
    let trusted = trust(&authority);
    let signed = sign(&authority, 5);

    for held in [5, 6, u64::MAX] {
        let refused = verify(signed.envelope(), &trusted, Some(held));

        assert_eq!(refused, Err(DocumentError::NotNewer { held, offered: 5 }));
    }
}

#[test]
fn a_document_of_another_authority_is_refused() {
    let (ours, theirs) = (new_authority(), new_authority());
    let by_them = sign(&theirs, 5);
    let ours_id = ours.certificate().key_id().to_string();
    // they say it is ours
    let pretended = changed(by_them.envelope(), |it| {
        it["signatures"][0]["keyid"] = json!(ours_id);
    });

    for envelope in [by_them.envelope(), &pretended] {
        let refused = verify(envelope, &trust(&ours), None);

        assert_eq!(refused, Err(DocumentError::Signature));
    }
}

#[test]
fn a_document_of_an_expired_authority_is_refused() {
    let authority = new_authority();
    let signed = sign(&authority, 5);
    let own = authority.certificate();

    for now in [own.not_before().minus(1), own.not_after().plus(1)] {
        let refused = Signed::<Settings>::verify(signed.envelope(), &trust(&authority), now, None);

        assert_eq!(refused, Err(DocumentError::Signature));
    }
}

#[test]
fn a_changed_document_is_refused() {
    for authority in both_authorities() {
        let signed = sign(&authority, 5);
        let trusted = trust(&authority);
        let payload = |text: &str| BASE64.encode(text.as_bytes());
        let forged = [
            changed(signed.envelope(), |it| {
                let content =
                    r#"{"network":"2001:db8:42::/48","number":6,"content":{"interval":4}}"#;
                it["payload"] = json!(payload(content));
            }),
            changed(signed.envelope(), |it| it["payload"] = json!("")),
            changed(signed.envelope(), |it| it["signatures"] = json!([])),
            changed(signed.envelope(), |it| {
                it["signatures"][0]["sig"] = json!("")
            }),
        ];

        for envelope in &forged {
            assert_eq!(
                verify(envelope, &trusted, None),
                Err(DocumentError::Signature)
            );
        }
    }
}

#[test]
fn no_octet_of_a_document_may_change() {
    let authority = new_authority();
    let trusted = trust(&authority);
    let signed = sign(&authority, 5);
    let envelope = signed.envelope();

    for index in 0..envelope.len() {
        let mut damaged = envelope.to_vec();
        damaged[index] ^= 4;
        if let Ok(read) = verify(&damaged, &trusted, None) {
            panic!("octet {index}: {read:?}");
        }
        assert!(
            verify(&envelope[..index], &trusted, None).is_err(),
            "{index}"
        );
    }
}

#[test]
fn a_document_does_not_pass_for_one_of_another_type() {
    let authority = new_authority();
    let trusted = trust(&authority);
    let signed = sign(&authority, 5);
    let renamed = changed(signed.envelope(), |it| {
        it["payloadType"] = json!(OtherSettings::TYPE)
    });
    let read = |envelope| Signed::<OtherSettings>::verify(envelope, &trusted, NOW, None);

    assert!(matches!(
        read(signed.envelope()),
        Err(DocumentError::Type { .. })
    ));
    assert_eq!(read(&renamed), Err(DocumentError::Signature));
}

#[test]
fn a_document_is_of_one_network() {
    // the same key for two networks
    let key = new_key();
    let twin = PrivateKey::from_pem(&key.to_pem()).unwrap();
    let (ours, theirs) = (
        authority_of(NETWORK, key),
        authority_of("2001:db8:43::/48", twin),
    );

    let refused = verify(sign(&theirs, 5).envelope(), &trust(&ours), None);

    let network = theirs.certificate().network();
    assert_eq!(refused, Err(DocumentError::Network(network)));
}

#[test]
fn a_certificates_signature_is_not_a_documents() {
    let authority = new_authority();
    let signed = new_node(&authority).common.signed;
    let envelope = changed(sign(&authority, 5).envelope(), |it| {
        it["payload"] = json!(BASE64.encode(&signed.octets));
        it["signatures"][0]["sig"] = json!(BASE64.encode(&signed.signature));
    });

    assert_eq!(
        verify(&envelope, &trust(&authority), None),
        Err(DocumentError::Signature)
    );
}

#[test]
fn content_of_another_form_is_refused() {
    let authority = new_authority();
    let other: Signed<Text> = Signed::sign(5, Text("x".to_owned()), &authority, None).unwrap();

    let refused = verify(other.envelope(), &trust(&authority), None);

    assert!(
        matches!(refused, Err(DocumentError::Content(_))),
        "{refused:?}"
    );
}

/// Another content under the same type.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Text(String);

impl Content for Text {
    const TYPE: &'static str = Settings::TYPE;
}

#[test]
fn envelopes_are_bounded() {
    let authority = new_authority();
    let trusted = trust(&authority);
    let signed = sign(&authority, 5);

    let padded = [signed.envelope(), &vec![b' '; MAX_DOCUMENT_SIZE]].concat();
    let refused = verify(&padded, &trusted, None);
    assert!(matches!(
        refused,
        Err(DocumentError::Form(FormError::TooLarge { .. }))
    ));

    let crowded = changed(signed.envelope(), |it| {
        let signature = it["signatures"][0].clone();
        it["signatures"] = json!(vec![signature; 5]);
    });
    assert_eq!(
        verify(&crowded, &trusted, None),
        Err(DocumentError::Envelope)
    );

    let large = Text("x".repeat(MAX_DOCUMENT_SIZE));
    assert!(Signed::sign(5, large, &authority, None).is_err());
}

#[test]
fn other_things_are_no_envelopes() {
    let authority = new_authority();
    let signed = sign(&authority, 5);
    let unknown = changed(signed.envelope(), |it| it["more"] = json!(1));
    let text = String::from_utf8(signed.envelope().to_vec()).unwrap();
    let twice = text.replacen('{', r#"{"payload":"","#, 1);
    for envelope in [
        b"".as_slice(),
        b"{}",
        b"[]",
        b"null",
        &unknown,
        twice.as_bytes(),
    ] {
        let refused = verify(envelope, &trust(&authority), None);

        assert_eq!(refused, Err(DocumentError::Envelope), "{envelope:?}");
    }
}

#[test]
fn two_authorities_sign_while_one_takes_over() {
    let old = new_authority();
    let new = old.succeed(new_key(), NOW, NOW.plus(5000 * DAY)).unwrap();
    let signed = Signed::sign(5, Settings { interval: 4 }, &new, Some(&old)).unwrap();

    for authority in [&old, &new] {
        let read = verify(signed.envelope(), &trust(authority), None).unwrap();

        assert_eq!(read.signers(), [authority.certificate().key_id()]);
    }
}
