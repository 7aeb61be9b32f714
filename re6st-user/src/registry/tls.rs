//! What both sides of a TLS connection with a registry check alike.
//!
//! By the bare key of a certificate: what else there is to a certificate is decided elsewhere, by our own code, and re6stnet's
//! are X.509 v1, which webpki does not read.

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::io::panics::contain;

/// The biggest certificate looked at, in bytes.
const MAXIMUM_CERTIFICATE: usize = 16 << 10;

/// The signatures that prove that a peer holds the key of the certificate it shows.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeSignatures(WebPkiSupportedAlgorithms);

impl HandshakeSignatures {
    /// By the algorithms of a provider.
    pub const fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }

    /// In TLS 1.2.
    pub fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    /// In TLS 1.3.
    pub fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(public_key(certificate)?);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.0)
    }

    /// What a peer may choose from.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The DER of a certificate's subjectPublicKeyInfo.
pub fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], Error> {
    let bad = || Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
    if certificate.len() > MAXIMUM_CERTIFICATE {
        return Err(bad());
    }
    // whoever makes the parser panic gets an error, and nobody else anything
    match contain(|| X509Certificate::from_der(certificate)) {
        Ok(Ok(([], parsed))) => Ok(parsed.tbs_certificate.subject_pki.raw),
        _ => Err(bad()),
    }
}
