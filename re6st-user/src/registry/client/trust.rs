//! Whom a client takes for the registry.
//!
//! A registry shows a certificate for [`REGISTRY_NAME`], issued by the network's authority, and the authority's own
//! certificate behind it. Its host name and its address do not matter: names can be taken over, the authority's key cannot.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::certificate::{digest::Fingerprint, node::REGISTRY_NAME, verify::Authorities};

/// The most certificates looked at behind the server's own: two authorities during a change.
const MAXIMUM_AUTHORITIES: usize = 4;

/// Whose registry it has to be.
#[derive(Clone, Debug)]
pub enum Trust {
    /// That of the network with these authorities.
    Authorities(Authorities),
    /// That of the authority with this fingerprint.
    Fingerprint(Fingerprint),
    /// That of any authority: whoever is on the way can be the registry. For a person who compares the fingerprint.
    FirstSeen,
}

/// Checks what the server shows.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<CertificateDer<'static>>>,
}

impl Verifier {
    /// That trusts so far.
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self {
            trust,
            algorithms: provider.signature_verification_algorithms,
            provider,
            seen: Mutex::default(),
        }
    }

    /// The authority of the last server that was accepted.
    pub fn seen(&self) -> Option<CertificateDer<'static>> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Those of the authorities shown that are acceptable.
    fn candidates(&self, shown: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
        let shown = || {
            let shown = shown.iter().take(MAXIMUM_AUTHORITIES);
            shown.map(|authority| authority.clone().into_owned())
        };
        match &self.trust {
            Trust::Authorities(known) => known
                .iter()
                .map(|authority| CertificateDer::from(authority.der().to_vec()))
                .collect(),
            Trust::Fingerprint(wanted) => shown()
                .filter(|authority| Fingerprint::of(authority) == *wanted)
                .collect(),
            Trust::FirstSeen => shown().collect(),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = ServerName::try_from(REGISTRY_NAME)
            .map_err(|_| Error::General("the registry's name".into()))?;
        let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for authority in self.candidates(intermediates) {
            let mut roots = RootCertStore::empty();
            if let Err(error) = roots.add(authority.clone()) {
                refused = error;
                continue;
            }
            let provider = Arc::clone(&self.provider);
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
            match verifier.verify_server_cert(end_entity, &[], &name, &[], now) {
                Ok(verified) => {
                    *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
                    return Ok(verified);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
