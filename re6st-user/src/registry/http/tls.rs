//! TLS as the registry speaks it: 1.2 and 1.3, no renegotiation, a client certificate if the peer has one.
//!
//! TLS only proves that the peer holds the key of the certificate it shows. Whose certificate it is, and whether it
//! may still be used, is decided for every request: it may be revoked while a connection is open.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use crate::registry::tls::{HandshakeSignatures, public_key};

/// The server's own certificate, which can be replaced while it runs.
#[derive(Debug)]
pub struct ServerCertificate {
    // held only to copy a pointer
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// With a first one.
    pub fn new(certificate: CertifiedKey) -> Self {
        Self {
            current: RwLock::new(Arc::new(certificate)),
        }
    }

    /// New connections get this one.
    pub fn replace(&self, certificate: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }
}

impl ResolvesServerCert for ServerCertificate {
    /// The same for every name: clients know the registry by the network's CA, not by its host.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

/// The settings of all connections.
pub fn server_config(certificate: Arc<ServerCertificate>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let signatures = HandshakeSignatures::new(&provider);
    let verifier = Arc::new(ProofOfPossession(signatures));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.require_ems = true;
    Ok(config)
}

/// The crypto provider of both sides.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes any certificate whose key the peer holds.
#[derive(Debug)]
struct ProofOfPossession(HandshakeSignatures);

impl ClientCertVerifier for ProofOfPossession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        public_key(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes()
    }
}
