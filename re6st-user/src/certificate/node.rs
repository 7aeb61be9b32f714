//! Certificates of nodes, and of the registry's server.

use std::net::Ipv6Addr;

use x509_parser::certificate::X509Certificate;

use super::{
    digest::Fingerprint,
    error::FormError,
    form::{self, Extensions},
    network::SubjectSerial,
    node_prefix::NodePrefix,
    public_key::{KeyKind, PublicKey, SignedOctets},
    serial::Serial,
    static_key::StaticPublicKey,
    subject::{Subject, registry_fields},
};
use crate::time::Timestamp;

/// The name of every network's registry in its certificate; no node has it.
pub const REGISTRY_NAME: &str = "registry.re6st.internal";
/// The domain that authorities may issue names in.
pub const REGISTRY_DOMAIN: &str = "re6st.internal";

/// What every certificate has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Common {
    pub(super) der: Vec<u8>,
    pub(super) serial: Serial,
    /// Raw name of the issuer.
    pub(super) issuer: Vec<u8>,
    /// Key identifier of the issuer, if the certificate tells it.
    pub(super) authority_key: Option<Vec<u8>>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) public_key: PublicKey,
    pub(super) signed: SignedOctets,
}

impl Common {
    fn read(
        der: &[u8],
        parsed: &X509Certificate<'_>,
        extensions: &Extensions,
    ) -> Result<Self, FormError> {
        let validity = parsed.validity();
        Ok(Self {
            der: der.to_vec(),
            serial: Serial::from_octets(parsed.raw_serial()).ok_or(FormError::Serial)?,
            issuer: parsed.issuer().as_raw().to_vec(),
            authority_key: extensions.authority_key.clone(),
            not_before: form::timestamp(validity.not_before),
            not_after: form::timestamp(validity.not_after),
            public_key: PublicKey::from_parsed(parsed.public_key())?,
            signed: form::signed_octets(parsed)?,
        })
    }
}

/// A node's certificate: of version 3 as our registry issues them, or of version 1 as re6stnet's does (RSA only).
///
/// Its form is right; who signed it, and whether it is valid now, is [`super::verify::Authorities`]' to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeCertificate {
    pub(super) common: Common,
    prefix: NodePrefix,
    subject_serial: SubjectSerial,
    subject: Subject,
    /// None of version 1.
    pub(super) address: Option<Ipv6Addr>,
    static_key: Option<StaticPublicKey>,
}

impl NodeCertificate {
    /// Reads one certificate in DER, and nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<Self, FormError> {
        let parsed = form::certificate(der)?;
        let extensions = Extensions::read(parsed.extensions())?;
        let common = Common::read(der, &parsed, &extensions)?;
        let address = match (parsed.version().0, common.public_key.kind()) {
            (0, KeyKind::Rsa { .. }) if !extensions.any => None,
            (2, _) => Some(node_address(&extensions)?),
            (version, _) => return Err(FormError::Version(version.saturating_add(1))),
        };
        let (prefix, subject_serial) = registry_fields(parsed.subject())?;
        Ok(Self {
            common,
            prefix,
            subject_serial,
            subject: Subject::from_parsed(parsed.subject())?,
            address,
            static_key: extensions.static_key,
        })
    }

    /// From PEM: one block.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        Self::from_der(&form::pem_block(text, "CERTIFICATE")?)
    }

    /// The certificate in DER, as it was read.
    pub fn der(&self) -> &[u8] {
        &self.common.der
    }

    /// The certificate in PEM.
    pub fn to_pem(&self) -> String {
        form::to_pem("CERTIFICATE", &self.common.der)
    }

    /// SHA-256 of the DER.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.common.der)
    }

    /// The serial number.
    pub const fn serial(&self) -> Serial {
        self.common.serial
    }

    /// The node's part of the network.
    pub const fn prefix(&self) -> NodePrefix {
        self.prefix
    }

    /// The number that selects the IPv4 subnet.
    pub const fn subject_serial(&self) -> SubjectSerial {
        self.subject_serial
    }

    /// What the user said about the node.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The first second it is valid.
    pub const fn not_before(&self) -> Timestamp {
        self.common.not_before
    }

    /// The last second it is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.common.not_after
    }

    /// The key the certificate is about.
    pub const fn public_key(&self) -> &PublicKey {
        &self.common.public_key
    }

    /// The node's X25519 key; none in certificates of re6stnet.
    pub const fn static_key(&self) -> Option<StaticPublicKey> {
        self.static_key
    }
}

/// What a certificate of version 3 must have to be a node's; its address.
fn node_address(extensions: &Extensions) -> Result<Ipv6Addr, FormError> {
    let refuse = |reason| FormError::Role {
        role: "a node",
        reason,
    };
    if extensions.is_authority == Some(true) {
        return Err(refuse("an authority's"));
    }
    if !extensions.signs() {
        return Err(refuse("its key usage is not that of signatures"));
    }
    if !extensions.is_client || !extensions.is_server {
        return Err(refuse("its extended key usage is not client and server"));
    }
    extensions
        .alternative_names
        .only_address()
        .ok_or_else(|| refuse("its alternative name is not one IPv6 address"))
}

/// The certificate of the registry's server.
///
/// Its form is right; who signed it, and whether it is valid now, is [`super::verify::Authorities`]' to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryCertificate {
    pub(super) common: Common,
}

impl RegistryCertificate {
    /// Reads one certificate in DER, and nothing behind it.
    pub fn from_der(der: &[u8]) -> Result<Self, FormError> {
        let parsed = form::certificate(der)?;
        let extensions = Extensions::read(parsed.extensions())?;
        let refuse = |reason| FormError::Role {
            role: "a registry",
            reason,
        };
        if parsed.version().0 != 2 {
            return Err(FormError::Version(parsed.version().0.saturating_add(1)));
        }
        if extensions.is_authority == Some(true) {
            return Err(refuse("an authority's"));
        }
        if !extensions.signs() {
            return Err(refuse("its key usage is not that of signatures"));
        }
        if !extensions.is_server || extensions.is_client {
            return Err(refuse("its extended key usage is not server alone"));
        }
        if !extensions.alternative_names.is_host(REGISTRY_NAME) {
            return Err(refuse("its alternative name is not the registry's"));
        }
        Ok(Self {
            common: Common::read(der, &parsed, &extensions)?,
        })
    }

    /// From PEM: one block.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        Self::from_der(&form::pem_block(text, "CERTIFICATE")?)
    }

    /// The certificate in DER, as it was read.
    pub fn der(&self) -> &[u8] {
        &self.common.der
    }

    /// The certificate in PEM.
    pub fn to_pem(&self) -> String {
        form::to_pem("CERTIFICATE", &self.common.der)
    }

    /// The serial number.
    pub const fn serial(&self) -> Serial {
        self.common.serial
    }

    /// The first second it is valid.
    pub const fn not_before(&self) -> Timestamp {
        self.common.not_before
    }

    /// The last second it is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.common.not_after
    }

    /// The key the certificate is about.
    pub const fn public_key(&self) -> &PublicKey {
        &self.common.public_key
    }
}
