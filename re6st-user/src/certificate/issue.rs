//! What an authority issues: certificates of nodes, and of the registry's server.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyUsagePurpose,
    SanType,
};

use super::{
    authority::{Authority, date, library},
    error::{FormError, IssueError},
    network::SubjectSerial,
    node::{NodeCertificate, REGISTRY_NAME, RegistryCertificate},
    node_prefix::NodePrefix,
    public_key::PublicKey,
    request::{CertificateRequest, alternative_key},
    serial::Serial,
    static_key::StaticPublicKey,
    subject::Subject,
};
use crate::time::Timestamp;

/// Who a certificate is for: what the node says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The user's fields.
    pub subject: &'a Subject,
    /// The key.
    pub public_key: &'a PublicKey,
    /// The X25519 key.
    pub static_key: Option<StaticPublicKey>,
}

impl<'a> From<&'a CertificateRequest> for Identity<'a> {
    fn from(request: &'a CertificateRequest) -> Self {
        Self {
            subject: request.subject(),
            public_key: request.public_key(),
            static_key: request.static_key(),
        }
    }
}

/// A renewal keeps who the node is.
impl<'a> From<&'a NodeCertificate> for Identity<'a> {
    fn from(certificate: &'a NodeCertificate) -> Self {
        Self {
            subject: certificate.subject(),
            public_key: certificate.public_key(),
            static_key: certificate.static_key(),
        }
    }
}

/// What the registry gives a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeTerms {
    /// Serial number of the certificate.
    pub serial: Serial,
    /// The node's part of the network.
    pub prefix: NodePrefix,
    /// The number that selects the IPv4 subnet.
    pub subject_serial: SubjectSerial,
    /// The first second it is valid.
    pub not_before: Timestamp,
    /// The last second it is valid.
    pub not_after: Timestamp,
}

impl Authority {
    /// Issues a node's certificate. A validity that is longer than the authority's is cut to it.
    pub fn issue_node(
        &self,
        identity: Identity<'_>,
        terms: &NodeTerms,
    ) -> Result<NodeCertificate, IssueError> {
        let network = self.certificate().network();
        let address = terms
            .prefix
            .address(&network)
            .filter(|_| terms.prefix != NodePrefix::ROOT)
            .ok_or_else(|| IssueError::Prefix {
                prefix: terms.prefix.common_name(),
                network: network.to_string(),
            })?;
        let mut parameters = self.parameters(terms.serial, terms.not_before, terms.not_after)?;
        parameters.distinguished_name = identity
            .subject
            .to_node_name(terms.subject_serial, &terms.prefix)
            .map_err(FormError::from)?;
        parameters.subject_alt_names = vec![SanType::IpAddress(IpAddr::V6(address.addr()))];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        parameters.custom_extensions = identity.static_key.iter().map(alternative_key).collect();
        Ok(NodeCertificate::from_der(
            &self.issue(&parameters, identity.public_key)?,
        )?)
    }

    /// Issues the certificate of the registry's server. A validity that is longer than the authority's is cut to it.
    pub fn issue_registry(
        &self,
        public_key: &PublicKey,
        serial: Serial,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<RegistryCertificate, IssueError> {
        let mut parameters = self.parameters(serial, not_before, not_after)?;
        parameters
            .distinguished_name
            .push(DnType::CommonName, REGISTRY_NAME);
        let name = REGISTRY_NAME.try_into().map_err(library)?;
        parameters.subject_alt_names = vec![SanType::DnsName(name)];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(RegistryCertificate::from_der(
            &self.issue(&parameters, public_key)?,
        )?)
    }

    /// What all certificates have in common.
    fn parameters(
        &self,
        serial: Serial,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<CertificateParams, IssueError> {
        let own = self.certificate();
        let not_before = not_before.max(own.not_before());
        let not_after = not_after.min(own.not_after());
        if not_before >= not_after {
            return Err(IssueError::Validity);
        }
        let mut parameters = CertificateParams::default();
        parameters.serial_number = Some(serial.number().into());
        parameters.not_before = date(not_before)?;
        parameters.not_after = date(not_after)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        Ok(parameters)
    }

    fn issue(
        &self,
        parameters: &CertificateParams,
        public_key: &PublicKey,
    ) -> Result<Vec<u8>, IssueError> {
        let issuer = Issuer::from_params(&self.issuer, self.key());
        let certificate = parameters.signed_by(public_key, &issuer).map_err(library)?;
        Ok(certificate.der().to_vec())
    }
}
