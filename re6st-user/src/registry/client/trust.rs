//! Whom a client takes for the registry.
//!
//! A registry shows a certificate for [`REGISTRY_NAME`], issued by the network's authority, and the authority's own
//! certificate behind it. Its host name and its address do not matter: names can be taken over, the authority's key cannot.
//! While one authority takes over from another it shows certificates of both, for the same key.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    certificate::{
        authority::AuthorityCertificate, digest::Fingerprint, node::REGISTRY_NAME,
        verify::Authorities,
    },
    registry::tls::{HandshakeSignatures, public_key},
    time::Timestamp,
};

/// The most certificates looked at behind the server's first: two authorities during a change, and the server's second.
const MAXIMUM: usize = 4;

/// Whose registry it has to be.
#[derive(Clone, Debug)]
pub enum Trust {
    /// That of the network with these authorities.
    Authorities(Authorities),
    /// That of the authority with this fingerprint.
    Fingerprint(Fingerprint),
    /// That of any authority: whoever is on the way can be the registry. For a person who compares the fingerprint, and for
    /// what is signed by itself.
    FirstSeen,
}

/// Checks what the server shows.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    signatures: HandshakeSignatures,
    seen: Mutex<Option<AuthorityCertificate>>,
}

impl Verifier {
    /// That trusts so far.
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self {
            trust,
            signatures: HandshakeSignatures::new(&provider),
            provider,
            seen: Mutex::default(),
        }
    }

    /// The authority of the last server that was accepted.
    pub fn seen(&self) -> Option<AuthorityCertificate> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The authorities that would do: of those known or shown, those that are valid. webpki does not look at the time of those
    /// it trusts.
    fn candidates(
        &self,
        shown: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Vec<AuthorityCertificate>, Error> {
        let mut candidates = self.trusted(shown);
        if let Some(first) = candidates.first() {
            let error = match now < first.not_before() {
                true => CertificateError::NotValidYet,
                false => CertificateError::Expired,
            };
            candidates.retain(|authority| authority.is_valid_at(now));
            if candidates.is_empty() {
                return Err(error.into());
            }
        }
        Ok(candidates)
    }

    fn trusted(&self, shown: &[CertificateDer<'_>]) -> Vec<AuthorityCertificate> {
        let shown = || {
            let shown = shown.iter();
            shown.filter_map(|der| AuthorityCertificate::from_der(der).ok())
        };
        match &self.trust {
            Trust::Authorities(known) => known.iter().cloned().collect(),
            Trust::Fingerprint(wanted) => shown()
                .filter(|authority| authority.fingerprint() == *wanted)
                .collect(),
            Trust::FirstSeen => shown().collect(),
        }
    }

    /// Whether one authority certifies the server.
    fn certifies(
        &self,
        authority: &AuthorityCertificate,
        server: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.der().to_vec()))?;
        let provider = Arc::clone(&self.provider);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        let name = ServerName::try_from(REGISTRY_NAME)
            .map_err(|_| Error::General("the registry's name".into()))?;
        verifier.verify_server_cert(server, &[], &name, &[], now)
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
        let behind = intermediates.get(..MAXIMUM).unwrap_or(intermediates);
        // the handshake proves the key, whichever certificate says whose it is
        let key = public_key(end_entity)?;
        let others = behind
            .iter()
            .filter(|certificate| public_key(certificate).is_ok_and(|other| other == key));
        let servers: Vec<_> = std::iter::once(end_entity).chain(others).collect();
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut refused = unknown.clone();
        for authority in self.candidates(behind, Timestamp(now.as_secs()))? {
            for server in &servers {
                match self.certifies(&authority, server, now) {
                    Ok(verified) => {
                        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
                        return Ok(verified);
                    }
                    // what is wrong with a certificate of ours says more than that another one is not
                    Err(error) if refused == unknown => refused = error,
                    Err(_) => {}
                }
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
        self.signatures.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.schemes()
    }
}
