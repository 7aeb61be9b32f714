//! Certificates that were taken back before they expired: by issuer and serial number, whatever their octets.

use std::collections::BTreeMap;

use rcgen::{CertificateRevocationListParams, Issuer, RevokedCertParams};
use serde::{Deserialize, Serialize};

use super::{
    authority::{Authority, date, library},
    digest::KeyId,
    error::IssueError,
    serial::Serial,
};
use crate::time::Timestamp;

/// When a certificate was revoked, and the last second it would have been valid. Written as a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(Timestamp, Timestamp)", into = "(Timestamp, Timestamp)")]
pub struct Revocation {
    /// When it was revoked.
    pub at: Timestamp,
    /// The last second it would have been valid.
    pub not_after: Timestamp,
}

impl From<(Timestamp, Timestamp)> for Revocation {
    fn from((at, not_after): (Timestamp, Timestamp)) -> Self {
        Self { at, not_after }
    }
}

impl From<Revocation> for (Timestamp, Timestamp) {
    fn from(revocation: Revocation) -> Self {
        (revocation.at, revocation.not_after)
    }
}

/// All revoked certificates of a network that would still be valid. As JSON an object by issuer's key and serial number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevocationList {
    revoked: BTreeMap<KeyId, BTreeMap<Serial, Revocation>>,
}

impl RevocationList {
    /// Revokes. What was revoked already stays as it was.
    pub fn insert(&mut self, issuer: KeyId, serial: Serial, revocation: Revocation) {
        let of_issuer = self.revoked.entry(issuer).or_default();
        of_issuer.entry(serial).or_insert(revocation);
    }

    /// Whether a certificate is revoked.
    pub fn contains(&self, issuer: &KeyId, serial: Serial) -> bool {
        self.revoked
            .get(issuer)
            .is_some_and(|of_issuer| of_issuer.contains_key(&serial))
    }

    /// Drops what has expired.
    pub fn prune(&mut self, now: Timestamp) {
        for of_issuer in self.revoked.values_mut() {
            of_issuer.retain(|_, revocation| revocation.not_after >= now);
        }
        self.revoked.retain(|_, of_issuer| !of_issuer.is_empty());
    }

    /// How many certificates are revoked.
    pub fn len(&self) -> usize {
        self.revoked.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// All, of whatever issuer: the numbers are of all authorities of a network together.
    pub fn all(&self) -> impl Iterator<Item = (Serial, Revocation)> {
        let all = self.revoked.values().flatten();
        all.map(|(serial, revocation)| (*serial, *revocation))
    }

    /// Those of one issuer.
    pub fn of(&self, issuer: &KeyId) -> impl Iterator<Item = (Serial, Revocation)> {
        let of_issuer = self.revoked.get(issuer).into_iter().flatten();
        of_issuer.map(|(serial, revocation)| (*serial, *revocation))
    }

    /// The X.509 revocation list of one authority (RFC 5280, section 5), in DER, for those who do not know our documents.
    pub fn to_crl(
        &self,
        authority: &Authority,
        number: u64,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<Vec<u8>, IssueError> {
        let mut revoked_certs = Vec::new();
        for (serial, revocation) in self.of(&authority.certificate().key_id()) {
            revoked_certs.push(RevokedCertParams {
                serial_number: serial.number().into(),
                revocation_time: date(revocation.at)?,
                reason_code: None,
                invalidity_date: None,
            });
        }
        let parameters = CertificateRevocationListParams {
            this_update: date(now)?,
            next_update: date(next_update)?,
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: authority.issuer.key_identifier_method.clone(),
        };
        let issuer = Issuer::from_params(&authority.issuer, authority.key());
        let list = parameters.signed_by(&issuer).map_err(library)?;
        Ok(list.der().to_vec())
    }
}
