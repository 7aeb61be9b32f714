//! TLS between nodes and their registry: what each side shows, and what it takes from the other.
//!
//! A registry shows a certificate for [`REGISTRY_NAME`], issued by the network's authority, and the authority's own
//! certificate behind it. Its host name and its address do not matter: names can be taken over, the authority's key cannot.
//! While one authority takes over from another it shows certificates of both, for the same key.
//!
//! Of a client TLS only proves that it holds the key of the certificate it shows. Whose certificate it is, and whether it
//! may still be used, is decided for every request: it may be revoked while a connection is open.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer,
        UnixTime,
    },
    server::{
        ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    authority::AuthorityCertificate, digest::Fingerprint, form::MAX_CERTIFICATE_SIZE,
    key::PrivateKey, node::REGISTRY_NAME, verify::Authorities,
};
use crate::{io::panics::contain, time::Timestamp};

/// The only protocol spoken inside (ALPN, RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";
/// The most certificates looked at behind the server's first: two authorities during a change, and the server's second.
const MAXIMUM_BEHIND: usize = 4;

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

/// A key with its certificates, as TLS shows them.
///
/// # Errors
/// The library does not take the key.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKey,
) -> Result<CertifiedKey, Error> {
    let der = PrivatePkcs8KeyDer::from(key.to_pkcs8_der().to_vec());
    let key = provider()
        .key_provider
        .load_private_key(PrivateKeyDer::Pkcs8(der))?;
    Ok(CertifiedKey::new(chain, key))
}

/// A client of registries: TLS 1.3. `identity` is what it shows, if anything. With it goes what tells whom it met.
///
/// # Errors
/// The library does not support that.
pub fn client(
    trust: Trust,
    identity: Option<CertifiedKey>,
) -> Result<(ClientConfig, Arc<RegistryVerifier>), Error> {
    let provider = provider();
    let verifier = Arc::new(RegistryVerifier {
        trust,
        provider: Arc::clone(&provider),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<RegistryVerifier>::clone(&verifier));
    let mut config = match identity {
        None => config.with_no_client_auth(),
        // not checked by rustls, which does not read the X.509 v1 certificates of re6stnet
        Some(key) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
    };
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok((config, verifier))
}

/// A registry's server: TLS 1.2 and 1.3, no renegotiation, a client certificate if the peer has one.
///
/// # Errors
/// The library does not support that.
pub fn server(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(ProofOfPossession(Arc::clone(&provider)));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.require_ems = true;
    Ok(config)
}

/// The cryptographic library of both sides.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes the registry that is trusted.
#[derive(Debug)]
pub struct RegistryVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<AuthorityCertificate>>,
}

impl RegistryVerifier {
    /// The authority of the last server that was accepted.
    pub fn seen(&self) -> Option<AuthorityCertificate> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// The authorities that would do: of those known or shown, those that are valid. webpki does not look at the time of those
    /// it trusts.
    fn candidates(
        &self,
        shown: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Vec<AuthorityCertificate>, Error> {
        let shown = shown
            .iter()
            .filter_map(|der| AuthorityCertificate::from_der(der).ok());
        let mut candidates: Vec<_> = match &self.trust {
            Trust::Authorities(known) => known.iter().cloned().collect(),
            Trust::Fingerprint(wanted) => shown
                .filter(|authority| authority.fingerprint() == *wanted)
                .collect(),
            Trust::FirstSeen => shown.collect(),
        };
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

impl ServerCertVerifier for RegistryVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let behind = intermediates.get(..MAXIMUM_BEHIND).unwrap_or(intermediates);
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
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(&self.provider, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Takes any certificate whose key the peer holds.
#[derive(Debug)]
struct ProofOfPossession(Arc<CryptoProvider>);

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
        let algorithms = self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(&self.0, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// By the bare key of a certificate: what else there is to it is decided elsewhere, by our own code, and re6stnet's are
/// X.509 v1, which webpki does not read.
fn verify_tls13_signature(
    provider: &CryptoProvider,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(public_key(certificate)?);
    let algorithms = provider.signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
}

/// The DER of a certificate's subjectPublicKeyInfo.
fn public_key<'a>(certificate: &'a CertificateDer<'_>) -> Result<&'a [u8], Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
    if certificate.len() > MAX_CERTIFICATE_SIZE {
        return Err(bad());
    }
    // whoever makes the parser panic gets an error, and nobody else anything
    match contain(|| X509Certificate::from_der(certificate)) {
        Ok(Ok(([], parsed))) => Ok(parsed.tbs_certificate.subject_pki.raw),
        _ => Err(bad()),
    }
}
