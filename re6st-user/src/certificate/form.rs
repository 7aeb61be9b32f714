//! Reading DER and PEM: bounded, exact, and before anything is believed.

use std::{collections::HashSet, net::Ipv6Addr};

use x509_parser::{
    certificate::X509Certificate,
    extensions::{ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension, X509Extension},
    oid_registry::{Oid, asn1_rs::oid},
    prelude::FromDer as _,
    time::ASN1Time,
};

use super::{error::FormError, public_key::SignedOctets, static_key::StaticPublicKey};
use crate::time::Timestamp;

/// Octets of a certificate's DER, at most: an RSA key of 4096 bits with all fields of a subject fits.
pub const MAX_CERTIFICATE_SIZE: usize = 16_384;

/// What the PEM of a statement about a successor is called.
pub(super) const SUCCESSION: &str = "RE6ST SUCCESSION";

/// The extension that carries the node's X25519 key: `subjectAltPublicKeyInfo` (ITU-T X.509 (10/2019), section 9.8.2).
pub(super) const ALTERNATIVE_KEY: &[u64] = &[2, 5, 29, 72];
const ALTERNATIVE_KEY_OID: Oid<'static> = oid!(2.5.29.72);

/// The one PEM block of a text.
pub(super) fn pem_block(text: &str, tag: &'static str) -> Result<Vec<u8>, FormError> {
    let mut blocks = pem_blocks(text, tag, MAX_CERTIFICATE_SIZE * 2)?.into_iter();
    match (blocks.next(), blocks.next()) {
        (Some(block), None) => Ok(block),
        _ => Err(FormError::Pem(tag)),
    }
}

/// All PEM blocks of a text, of one kind.
pub(super) fn pem_blocks(
    text: &str,
    tag: &'static str,
    limit: usize,
) -> Result<Vec<Vec<u8>>, FormError> {
    pem_blocks_beside(text, tag, tag, limit)
}

/// The PEM blocks of one kind, of a text that has blocks of this kind and of another one. There may be none.
pub(super) fn pem_blocks_beside(
    text: &str,
    tag: &'static str,
    other: &str,
    limit: usize,
) -> Result<Vec<Vec<u8>>, FormError> {
    check_size("PEM", text.len(), limit)?;
    let mut blocks = pem::parse_many(text).map_err(|_| FormError::Pem(tag))?;
    let known = |block: &pem::Pem| block.tag() == tag || block.tag() == other;
    if blocks.is_empty() || !blocks.iter().all(known) {
        return Err(FormError::Pem(tag));
    }
    blocks.retain(|block| block.tag() == tag);
    Ok(blocks.into_iter().map(pem::Pem::into_contents).collect())
}

/// DER in PEM, with Unix line ends.
pub(super) fn to_pem(tag: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config)
}

pub(super) fn check_size(what: &'static str, size: usize, limit: usize) -> Result<(), FormError> {
    if size > limit {
        return Err(FormError::TooLarge { what, size, limit });
    }
    Ok(())
}

/// A certificate of bounded size, with nothing behind it.
pub(super) fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, FormError> {
    check_size("a certificate", der.len(), MAX_CERTIFICATE_SIZE)?;
    let (rest, parsed) =
        X509Certificate::from_der(der).map_err(|_| FormError::Der("a certificate"))?;
    if !rest.is_empty() {
        return Err(FormError::TrailingOctets("a certificate"));
    }
    // RFC 5280, section 4.1.1.2
    if parsed.signature_algorithm != parsed.tbs_certificate.signature {
        return Err(FormError::SignatureAlgorithm);
    }
    Ok(parsed)
}

/// What of a certificate is signed, and how.
pub(super) fn signed_octets(parsed: &X509Certificate<'_>) -> Result<SignedOctets, FormError> {
    SignedOctets::new(
        "a certificate",
        parsed.as_raw(),
        parsed.tbs_certificate.as_ref(),
        &parsed.signature_algorithm,
        parsed.signature_value.as_ref(),
    )
}

/// Moments before 1970 count as 1970.
pub(super) fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp(u64::try_from(time.timestamp()).unwrap_or(0))
}

/// The extensions we know.
#[derive(Default, Debug)]
pub(super) struct Extensions {
    /// Whether there was any.
    pub(super) any: bool,
    /// Basic constraints: whether it may issue certificates. None if the extension is missing.
    pub(super) is_authority: Option<bool>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) is_client: bool,
    pub(super) is_server: bool,
    pub(super) alternative_names: AlternativeNames,
    pub(super) authority_key: Option<Vec<u8>>,
    pub(super) subject_key: Option<Vec<u8>>,
    pub(super) static_key: Option<StaticPublicKey>,
}

/// Names in the extension subjectAltName.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct AlternativeNames {
    pub(super) addresses: Vec<Ipv6Addr>,
    pub(super) hosts: Vec<String>,
    /// Names of any other kind.
    pub(super) others: usize,
}

impl Extensions {
    /// Each extension once, each readable, no critical one unknown.
    pub(super) fn read(extensions: &[X509Extension<'_>]) -> Result<Self, FormError> {
        let mut known = Self::default();
        let mut seen = HashSet::new();
        for extension in extensions {
            known.any = true;
            if !seen.insert(extension.oid.clone()) {
                return Err(FormError::DuplicateExtension);
            }
            let understood = known.take(extension)?;
            if extension.critical && !understood {
                let name = extension.oid.to_id_string();
                return Err(FormError::UnknownCriticalExtension(name));
            }
        }
        Ok(known)
    }

    /// Notes one extension. False if it means nothing to us.
    fn take(&mut self, extension: &X509Extension<'_>) -> Result<bool, FormError> {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_authority = Some(constraints.ca);
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some(*usage),
            ParsedExtension::ExtendedKeyUsage(usage) => self.take_extended_usage(usage),
            ParsedExtension::SubjectAlternativeName(names) => {
                self.alternative_names = AlternativeNames::read(&names.general_names)?;
            }
            ParsedExtension::AuthorityKeyIdentifier(key) => {
                self.authority_key = key.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
            ParsedExtension::SubjectKeyIdentifier(key) => self.subject_key = Some(key.0.to_vec()),
            // of the authority's certificate: what it issues is checked against the network itself
            ParsedExtension::NameConstraints(_) => {}
            ParsedExtension::ParseError { .. } => return Err(FormError::Extension("of RFC 5280")),
            _ if extension.oid == ALTERNATIVE_KEY_OID => {
                let key = StaticPublicKey::from_der(extension.value);
                self.static_key = Some(key.ok_or(FormError::Extension("subjectAltPublicKeyInfo"))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_extended_usage(&mut self, usage: &ExtendedKeyUsage<'_>) {
        self.is_client = usage.client_auth;
        self.is_server = usage.server_auth;
    }

    pub(super) fn signs(&self) -> bool {
        self.key_usage
            .as_ref()
            .is_some_and(|usage| usage.digital_signature() && !usage.key_cert_sign())
    }
}

impl AlternativeNames {
    fn read(names: &[GeneralName<'_>]) -> Result<Self, FormError> {
        let mut known = Self::default();
        for name in names {
            match name {
                GeneralName::IPAddress(octets) => match <[u8; 16]>::try_from(*octets) {
                    Ok(octets) => known.addresses.push(octets.into()),
                    Err(_) => known.others += 1,
                },
                GeneralName::DNSName(host) => known.hosts.push((*host).to_owned()),
                GeneralName::Invalid(..) => return Err(FormError::Extension("subjectAltName")),
                _ => known.others += 1,
            }
        }
        Ok(known)
    }

    /// Nothing but this host.
    pub(super) fn is_host(&self, host: &str) -> bool {
        self.addresses.is_empty() && self.others == 0 && self.hosts == [host]
    }

    /// The address, if there is nothing else.
    pub(super) fn only_address(&self) -> Option<Ipv6Addr> {
        match self.addresses.as_slice() {
            [address] if self.hosts.is_empty() && self.others == 0 => Some(*address),
            _ => None,
        }
    }
}
