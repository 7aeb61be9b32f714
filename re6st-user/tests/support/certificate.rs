//! What holds of certificates, requests and documents, whoever sent them.

use std::sync::LazyLock;

use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityTerms},
        document::Signed,
        issue::NodeTerms,
        key::{KeyAlgorithm, PrivateKey},
        network::SubjectSerial,
        node::NodeCertificate,
        node_prefix::NodePrefix,
        request::CertificateRequest,
        revocations::RevocationList,
        serial::Serial,
        subject::Subject,
        succession::Succession,
        verify::Authorities,
    },
    time::{DAY, Timestamp},
};

/// The authority that signed the documents of the corpus, and a moment in its life.
static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(|| {
    Authorities::from_pem(include_str!("authority.crt")).expect("our own certificate")
});
pub(super) const NOW: Timestamp = Timestamp(1_767_225_600);

/// An authority that issues.
pub(super) static ISSUER: LazyLock<Authority> = LazyLock::new(|| {
    let terms = AuthorityTerms {
        network: "2001:db8:42::/48".parse().expect("a network"),
        common_name: "test",
        subject: &Subject::default(),
        not_before: NOW,
        not_after: NOW.plus(365 * DAY),
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    Authority::create(key, &terms).expect("an authority")
});
pub(super) static TERMS: LazyLock<NodeTerms> = LazyLock::new(|| NodeTerms {
    serial: Serial::new(7).expect("a serial number"),
    prefix: NodePrefix::new(5, 16).expect("a prefix"),
    subject_serial: SubjectSerial(3),
    not_before: NOW,
    not_after: NOW.plus(DAY),
});

/// A certificate that is read is read again as the same, has one name, and is verified or refused with words.
pub fn node_certificate(der: &[u8]) {
    let certificate = match NodeCertificate::from_der(der) {
        Ok(certificate) => certificate,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(certificate.der(), der);
    let again = NodeCertificate::from_pem(&certificate.to_pem());
    assert_eq!(again.as_ref(), Ok(&certificate));
    let prefix = certificate.prefix();
    let name = prefix.common_name();
    assert_eq!(NodePrefix::from_common_name(&name), Ok(prefix));
    fields(certificate.subject());
    if let Err(error) = AUTHORITIES.verify_node(&certificate, &RevocationList::default(), NOW, 0) {
        assert!(!error.to_string().is_empty());
    }
}

/// A request that is read is read again as the same, and an authority can issue a certificate that says the same.
pub fn certificate_request(der: &[u8]) {
    match CertificateRequest::from_der(der) {
        Ok(request) => {
            let again = CertificateRequest::from_pem(&request.to_pem());
            assert_eq!(again.as_ref(), Ok(&request));
            assert_eq!(request.der(), der);
            fields(request.subject());
            let certificate = ISSUER.issue_node((&request).into(), &TERMS);
            let certificate = certificate.expect("whatever is accepted can be certified");
            assert_eq!(certificate.subject(), request.subject());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Fields are shown with a name, and none is the registry's.
fn fields(subject: &Subject) {
    for (name, value) in subject.fields() {
        assert!(!name.is_empty() && !value.is_empty());
        assert!(name != "CN" && name != "serialNumber");
    }
}

/// A document that is accepted is accepted again as it was passed on, and not once it is held.
pub fn signed_document(envelope: &[u8]) {
    let verify =
        |octets: &[u8], held| Signed::<RevocationList>::verify(octets, &AUTHORITIES, NOW, held);
    match verify(envelope, None) {
        Ok(signed) => {
            assert!(!signed.signers().is_empty());
            assert_eq!(verify(signed.envelope(), None).as_ref(), Ok(&signed));
            assert!(verify(envelope, Some(signed.number())).is_err());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let succession = Signed::<Succession>::verify(envelope, &AUTHORITIES, NOW, None);
    let followed = AUTHORITIES.clone().follow(envelope, NOW);
    assert!(followed.is_err() || succession.is_ok());
}
