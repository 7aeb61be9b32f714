//! The certification authority of a network: its certificate, and with its key the one who issues.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, DnValue,
    GeneralSubtree, IsCa, KeyIdMethod, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;

use super::{
    digest::{Fingerprint, KeyId},
    error::{FormError, IssueError, KeyError},
    form::{self, Extensions},
    key::PrivateKey,
    network::Network,
    node::REGISTRY_DOMAIN,
    public_key::{KeyKind, PublicKey},
    subject::{DN_QUALIFIER, EMAIL_ADDRESS, Subject, SubjectError, exact_name, printable, single},
};
use crate::time::Timestamp;

/// Characters of an authority's CommonName, at most (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;

/// The certificate of an authority: signed by itself, for the network that its serial number tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityCertificate {
    der: Vec<u8>,
    network: Network,
    /// Raw subject: what it issues has this as its issuer.
    pub(super) name: Vec<u8>,
    pub(super) subject_key: Option<Vec<u8>>,
    generation: u32,
    email: Option<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    key_id: KeyId,
}

impl AuthorityCertificate {
    /// From DER. Ours are of version 3 with all that RFC 5280 asks for; those that openssl made for re6stnet (RSA) may lack
    /// key usage, or be of version 1.
    pub fn from_der(der: &[u8]) -> Result<Self, FormError> {
        let parsed = form::certificate(der)?;
        let extensions = Extensions::read(parsed.extensions())?;
        let public_key = PublicKey::from_parsed(parsed.public_key())?;
        check_authority(&parsed, &extensions, public_key.kind())?;
        if parsed.issuer().as_raw() != parsed.subject().as_raw()
            || !form::signed_octets(&parsed)?.is_signed_by(&public_key)
        {
            return Err(FormError::SelfSignature);
        }
        Ok(Self {
            der: der.to_vec(),
            network: Network::from_serial(parsed.raw_serial())?,
            name: parsed.subject().as_raw().to_vec(),
            subject_key: extensions.subject_key,
            generation: generation(&parsed)?,
            email: single(parsed.subject(), EMAIL_ADDRESS)?,
            not_before: form::timestamp(parsed.validity().not_before),
            not_after: form::timestamp(parsed.validity().not_after),
            key_id: public_key.id(),
            public_key,
        })
    }

    /// From PEM: one block.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        Self::from_der(&form::pem_block(text, "CERTIFICATE")?)
    }

    /// The certificate in DER, as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM.
    pub fn to_pem(&self) -> String {
        form::to_pem("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER: what newcomers compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// The network it is for.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// 1 for the first authority of a network, one more for each that succeeded it.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The address in its subject, if any: where re6stnet's registry sends mails from.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The first second it is valid.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second it is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is valid at a moment.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// The key that verifies what it signs.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The name of its key, in documents and in the revocation list.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }
}

fn check_authority(
    parsed: &X509Certificate<'_>,
    extensions: &Extensions,
    kind: KeyKind,
) -> Result<(), FormError> {
    let refuse = |reason| FormError::Role {
        role: "an authority",
        reason,
    };
    let made_for_re6stnet = matches!(kind, KeyKind::Rsa { .. });
    match parsed.version().0 {
        0 if made_for_re6stnet && !extensions.any => return Ok(()),
        2 => {}
        version => return Err(FormError::Version(version.saturating_add(1))),
    }
    if extensions.is_authority != Some(true) {
        return Err(refuse("its basic constraints do not say so"));
    }
    match &extensions.key_usage {
        Some(usage) if usage.key_cert_sign() => Ok(()),
        None if made_for_re6stnet => Ok(()),
        _ => Err(refuse("its key usage is not that of an authority")),
    }
}

/// Authorities of one network have the same serial number, so their names must differ (a certificate is named by issuer and
/// serial number, RFC 5280, section 4.1.2.2): from the second on they have a dnQualifier, which X.520 has for that.
fn generation(parsed: &X509Certificate<'_>) -> Result<u32, FormError> {
    match single(parsed.subject(), DN_QUALIFIER)? {
        None => Ok(1),
        // a dnQualifier of another kind, in an authority that was not made here
        Some(text) => Ok(text.parse().unwrap_or(1)),
    }
}

/// What a new authority is for.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityTerms<'a> {
    /// The network it is for; its serial number tells it.
    pub network: Network,
    /// CommonName of the authority: 1 to 64 characters.
    pub common_name: &'a str,
    /// Other fields of its subject.
    pub subject: &'a Subject,
    /// The first second it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
}

/// An authority that can issue: its certificate and its key.
#[derive(Debug)]
pub struct Authority {
    certificate: AuthorityCertificate,
    key: PrivateKey,
    /// What of the certificate goes into those it issues: its name and its key identifier.
    pub(super) issuer: CertificateParams,
}

impl Authority {
    /// The first authority of a network.
    pub fn create(key: PrivateKey, terms: &AuthorityTerms<'_>) -> Result<Self, IssueError> {
        let common_name = terms.common_name;
        if common_name.is_empty()
            || common_name.chars().count() > MAX_COMMON_NAME
            || common_name.chars().any(char::is_control)
        {
            let error = SubjectError::Value("CN".to_owned());
            return Err(FormError::Subject(error).into());
        }
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, common_name);
        let fields = terms.subject.to_name().map_err(FormError::from)?;
        for (kind, value) in fields.iter() {
            name.push(kind.clone(), value.clone());
        }
        Self::issue_to_itself(key, terms.network, name, terms.not_before, terms.not_after)
    }

    /// An authority that takes over from this one: same network, same subject but for the generation.
    pub fn succeed(
        &self,
        key: PrivateKey,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Self, IssueError> {
        if key.public_key() == self.certificate.public_key() {
            return Err(IssueError::SameKey);
        }
        let qualifier = DnType::from_oid(DN_QUALIFIER);
        let mut name = self.issuer.distinguished_name.clone();
        name.remove(qualifier.clone());
        let generation = self.certificate.generation.saturating_add(1).to_string();
        let generation: DnValue = printable(&generation).ok_or(IssueError::AuthoritySubject)?;
        name.push(qualifier, generation);
        Self::issue_to_itself(key, self.certificate.network, name, not_before, not_after)
    }

    fn issue_to_itself(
        key: PrivateKey,
        network: Network,
        name: DistinguishedName,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<Self, IssueError> {
        if not_before >= not_after {
            return Err(IssueError::Validity);
        }
        let prefix = network.prefix();
        let addresses =
            CidrSubnet::from_addr_prefix(IpAddr::V6(prefix.network()), prefix.prefix_len());
        let mut parameters = CertificateParams::default();
        parameters.serial_number = Some(network.serial().to_be_bytes().to_vec().into());
        parameters.not_before = date(not_before)?;
        parameters.not_after = date(not_after)?;
        parameters.distinguished_name = name;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![
                GeneralSubtree::IpAddress(addresses),
                GeneralSubtree::DnsName(REGISTRY_DOMAIN.to_owned()),
            ],
            excluded_subtrees: Vec::new(),
        });
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.self_signed(&key).map_err(library)?;
        Self::new(AuthorityCertificate::from_der(certificate.der())?, key)
    }

    /// An authority from its certificate and its key.
    pub fn new(certificate: AuthorityCertificate, key: PrivateKey) -> Result<Self, IssueError> {
        if certificate.public_key() != key.public_key() {
            return Err(IssueError::KeyMismatch);
        }
        let parsed = form::certificate(certificate.der())?;
        let name = exact_name(parsed.subject()).ok_or(IssueError::AuthoritySubject)?;
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = name;
        if let Some(key) = &certificate.subject_key {
            issuer.key_identifier_method = KeyIdMethod::PreSpecified(key.clone());
        }
        // what is issued must name the issuer octet for octet
        let sample = issuer.self_signed(&key).map_err(library)?;
        if form::certificate(sample.der())?.issuer().as_raw() != certificate.name {
            return Err(IssueError::AuthoritySubject);
        }
        Ok(Self {
            certificate,
            key,
            issuer,
        })
    }

    /// From the PEM of the certificate and of the key.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IssueError> {
        Self::new(
            AuthorityCertificate::from_pem(certificate)?,
            PrivateKey::from_pem(key)?,
        )
    }

    /// Its certificate.
    pub const fn certificate(&self) -> &AuthorityCertificate {
        &self.certificate
    }

    /// Its key, to be kept in a file.
    pub const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Signs with its key: ECDSA with SHA-256 (DER encoding), or RSA by PKCS#1 v1.5 with SHA-512 as re6stnet does. For
    /// documents, use [`super::document::Signed`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign(message)
    }
}

/// A moment as the library that writes certificates wants it: until the year 9999.
pub(super) fn date(moment: Timestamp) -> Result<OffsetDateTime, IssueError> {
    let seconds = i64::try_from(moment.0).map_err(|_| IssueError::Validity)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| IssueError::Validity)
}

pub(super) fn library(error: rcgen::Error) -> IssueError {
    IssueError::Library(error.to_string())
}
