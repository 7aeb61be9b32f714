//! Certificate requests (PKCS#10, RFC 2986): a user's fields, the key, and the node's X25519 key.

use rcgen::{CertificateParams, CustomExtension};
use x509_parser::{
    certification_request::X509CertificationRequest, cri_attributes::ParsedCriAttribute,
    prelude::FromDer as _,
};

use super::{
    error::{FormError, IssueError},
    form::{self, ALTERNATIVE_KEY, Extensions},
    key::PrivateKey,
    public_key::{PublicKey, SignedOctets},
    static_key::StaticPublicKey,
    subject::Subject,
};

/// Octets of a request's DER, at most.
pub const MAX_REQUEST_SIZE: usize = 16_384;

/// A request whose signature was made with the key inside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRequest {
    der: Vec<u8>,
    subject: Subject,
    public_key: PublicKey,
    static_key: Option<StaticPublicKey>,
}

impl CertificateRequest {
    /// Makes a request for a key.
    pub fn make(
        key: &PrivateKey,
        static_key: Option<StaticPublicKey>,
        subject: &Subject,
    ) -> Result<Self, IssueError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject.to_name().map_err(FormError::from)?;
        parameters.custom_extensions = static_key.iter().map(alternative_key).collect();
        let request = parameters
            .serialize_request(key)
            .map_err(|error| IssueError::Library(error.to_string()))?;
        Ok(Self::from_der(request.der())?)
    }

    /// From DER. CommonName and serialNumber in the subject are left out: they are the registry's to set. Of the
    /// extensions asked for, only the X25519 key is taken.
    pub fn from_der(der: &[u8]) -> Result<Self, FormError> {
        form::check_size("a certificate request", der.len(), MAX_REQUEST_SIZE)?;
        let (rest, parsed) = X509CertificationRequest::from_der(der)
            .map_err(|_| FormError::Der("a certificate request"))?;
        if !rest.is_empty() {
            return Err(FormError::TrailingOctets("a certificate request"));
        }
        let information = &parsed.certification_request_info;
        let public_key = PublicKey::from_parsed(&information.subject_pki)?;
        let signed = SignedOctets::new(
            "a certificate request",
            der,
            information.raw,
            &parsed.signature_algorithm,
            parsed.signature_value.as_ref(),
        )?;
        let request = Self {
            der: der.to_vec(),
            subject: Subject::from_parsed(&information.subject)?,
            public_key,
            static_key: static_key(&parsed)?,
        };
        if !signed.is_signed_by(&request.public_key) {
            return Err(FormError::SelfSignature);
        }
        Ok(request)
    }

    /// From PEM: one block.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        Self::from_der(&form::pem_block(text, "CERTIFICATE REQUEST")?)
    }

    /// The request in DER, as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request in PEM.
    pub fn to_pem(&self) -> String {
        form::to_pem("CERTIFICATE REQUEST", &self.der)
    }

    /// What the user says about the node.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The key a certificate is asked for.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The node's X25519 key; none from re6stnet's nodes.
    pub const fn static_key(&self) -> Option<StaticPublicKey> {
        self.static_key
    }
}

/// The extension with the node's X25519 key. Not critical: who does not know it loses nothing.
pub(super) fn alternative_key(key: &StaticPublicKey) -> CustomExtension {
    CustomExtension::from_oid_content(ALTERNATIVE_KEY, key.to_der())
}

fn static_key(
    request: &X509CertificationRequest<'_>,
) -> Result<Option<StaticPublicKey>, FormError> {
    let mut asked = None;
    for attribute in request.certification_request_info.iter_attributes() {
        if let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() {
            let extensions = Extensions::read(&request.extensions)?;
            if asked.replace(extensions).is_some() {
                return Err(FormError::DuplicateExtension);
            }
        }
    }
    let key = asked.and_then(|extensions| extensions.static_key);
    if key.is_some_and(|key| !key.is_contributory()) {
        return Err(FormError::Extension("subjectAltPublicKeyInfo"));
    }
    Ok(key)
}
