//! Whom a node trusts: the authorities of its network, and what they issued.

use super::{
    authority::AuthorityCertificate,
    error::{FormError, TrustError},
    form::{MAX_CERTIFICATE_SIZE, SUCCESSION, pem_blocks_beside},
    network::Network,
    node::{Common, NodeCertificate, RegistryCertificate},
    revocations::RevocationList,
};
use crate::time::Timestamp;

/// The authorities of one network: usually one, two while one takes over from the other. Those that have expired stay: they
/// vouch for nobody any more, and a clock that is wrong once costs nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authorities {
    network: Network,
    /// At least one.
    certificates: Vec<AuthorityCertificate>,
}

impl Authorities {
    /// Authorities of a network, at most.
    pub const MAX: usize = 4;
    /// Octets of `ca.crt`, at most.
    pub(super) const MAX_SIZE: usize = Self::MAX * MAX_CERTIFICATE_SIZE * 4;

    /// One authority.
    pub fn new(certificate: AuthorityCertificate) -> Self {
        Self {
            network: certificate.network(),
            certificates: vec![certificate],
        }
    }

    /// From PEM (`ca.crt`): one certificate after the other, all for the same network. Statements about successors, which a
    /// registry keeps among them, are passed over.
    pub fn from_pem(text: &str) -> Result<Self, FormError> {
        let refuse = |reason| FormError::Role {
            role: "an authority",
            reason,
        };
        let blocks = pem_blocks_beside(text, "CERTIFICATE", SUCCESSION, Self::MAX_SIZE)?;
        if blocks.len() > Self::MAX {
            return Err(refuse("there are more than four"));
        }
        let mut authorities: Option<Self> = None;
        for der in blocks {
            let certificate = AuthorityCertificate::from_der(&der)?;
            match &mut authorities {
                None => authorities = Some(Self::new(certificate)),
                Some(known) if known.network != certificate.network() => {
                    return Err(refuse("it is for another network than the first"));
                }
                Some(known) => known.insert(certificate),
            }
        }
        authorities.ok_or(FormError::Pem("CERTIFICATE"))
    }

    /// All certificates in PEM.
    pub fn to_pem(&self) -> String {
        let texts = self.certificates.iter().map(AuthorityCertificate::to_pem);
        texts.collect()
    }

    /// The network they are for.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// All certificates.
    pub fn iter(&self) -> impl Iterator<Item = &AuthorityCertificate> {
        self.certificates.iter()
    }

    /// Adds one of the same network, unless it is there.
    pub(super) fn insert(&mut self, certificate: AuthorityCertificate) {
        if !self.certificates.contains(&certificate) {
            self.certificates.push(certificate);
        }
    }

    /// The generation of the last one.
    pub(super) fn newest(&self) -> u32 {
        let generations = self.iter().map(AuthorityCertificate::generation);
        generations.max().unwrap_or_default()
    }

    /// Drops the first of those that have expired, if there is no room for another one. False if there is still none.
    pub(super) fn make_room(&mut self, now: Timestamp) -> bool {
        let newest = self.newest();
        while self.certificates.len() >= Self::MAX {
            let certificates = self.certificates.iter().enumerate();
            let oldest = certificates
                .filter(|(_, authority)| {
                    authority.not_after() < now && authority.generation() < newest
                })
                .min_by_key(|(_, authority)| authority.generation());
            let Some((index, _)) = oldest else {
                return false;
            };
            self.certificates.remove(index);
        }
        true
    }

    /// Whether a node's certificate is good now, or has been until `grace` seconds ago: then it may still be renewed, also
    /// if its authority has expired meanwhile. Says which authority issued it.
    pub fn verify_node(
        &self,
        certificate: &NodeCertificate,
        revoked: &RevocationList,
        now: Timestamp,
        grace: u64,
    ) -> Result<&AuthorityCertificate, TrustError> {
        let issuer = self.verify(&certificate.common, revoked, now, grace)?;
        let address = certificate
            .prefix()
            .address(&self.network)
            .ok_or(TrustError::OutsideNetwork)?;
        match certificate.address {
            Some(told) if told != address.addr() => Err(TrustError::Address),
            _ => Ok(issuer),
        }
    }

    /// Whether one of them has signed a certificate, at whatever time.
    pub fn have_issued(&self, certificate: &NodeCertificate) -> bool {
        self.issuer(&certificate.common).is_ok()
    }

    /// Whether the certificate of the registry's server is good now. Says which authority issued it.
    pub fn verify_registry(
        &self,
        certificate: &RegistryCertificate,
        revoked: &RevocationList,
        now: Timestamp,
    ) -> Result<&AuthorityCertificate, TrustError> {
        self.verify(&certificate.common, revoked, now, 0)
    }

    fn verify(
        &self,
        certificate: &Common,
        revoked: &RevocationList,
        now: Timestamp,
        grace: u64,
    ) -> Result<&AuthorityCertificate, TrustError> {
        let issuer = self.issuer(certificate)?;
        if now < issuer.not_before() || now > issuer.not_after().plus(grace) {
            return Err(TrustError::Authority);
        }
        if now < certificate.not_before {
            return Err(TrustError::NotYetValid);
        }
        if now > certificate.not_after.plus(grace) {
            return Err(TrustError::Expired);
        }
        if revoked.contains(&issuer.key_id(), certificate.serial) {
            return Err(TrustError::Revoked);
        }
        Ok(issuer)
    }

    /// The authority with the issuer's name whose signature is under the certificate.
    fn issuer(&self, certificate: &Common) -> Result<&AuthorityCertificate, TrustError> {
        let mut error = TrustError::UnknownAuthority;
        for authority in &self.certificates {
            let same_key = match (&certificate.authority_key, &authority.subject_key) {
                (Some(told), Some(own)) => told == own,
                _ => true,
            };
            if authority.name == certificate.issuer && same_key {
                if certificate.signed.is_signed_by(authority.public_key()) {
                    return Ok(authority);
                }
                error = TrustError::Signature;
            }
        }
        Err(error)
    }
}
