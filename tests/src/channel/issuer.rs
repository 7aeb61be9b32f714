//! Certificates for nodes that no registry has made.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use re6st_user::{
    certificate::{
        authority::{Authority, AuthorityTerms},
        issue::NodeTerms,
        key::{KeyAlgorithm, PrivateKey},
        network::SubjectSerial,
        node_prefix::NodePrefix,
        request::CertificateRequest,
        revocations::RevocationList,
        serial::Serial,
        static_key::StaticKey,
        subject::Subject,
        verify::Authorities,
    },
    channel::ChannelCredentials,
    time::{DAY, Timestamp},
};

/// An authority of a network, and what nodes sign with, which channels do not use.
pub struct Issuer {
    authority: Authority,
    key: PrivateKey,
}

impl Issuer {
    /// A new one for this network, with keys of the default kind (P-256).
    pub fn new(network: &str) -> Result<Self> {
        let terms = AuthorityTerms {
            network: network.parse()?,
            common_name: "testbed",
            subject: &Subject::default(),
            not_before: wall()?.minus(DAY),
            not_after: wall()?.plus(30 * DAY),
        };
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;
        Self::of(Authority::create(key, &terms)?)
    }

    /// The authority of a network that there is.
    pub fn of(authority: Authority) -> Result<Self> {
        Ok(Self {
            authority,
            key: PrivateKey::generate(KeyAlgorithm::EcdsaP256)?,
        })
    }

    /// Of the node with this number, whose prefix has 16 bits in the network's.
    pub fn credentials(&self, number: u16) -> Result<ChannelCredentials> {
        let now = wall()?;
        self.credentials_between(number, now.minus(DAY), now.plus(20 * DAY))
    }

    /// The same, valid between these.
    pub fn credentials_between(
        &self,
        number: u16,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<ChannelCredentials> {
        let key = StaticKey::generate()?;
        let request =
            CertificateRequest::make(&self.key, Some(key.public_key()), &Subject::default())?;
        let terms = NodeTerms {
            // the registry begins with small ones
            serial: Serial::new(1_000_000 + u64::from(number)).context("no serial number")?,
            prefix: name(number)?,
            subject_serial: SubjectSerial(1),
            not_before: from,
            not_after: until,
        };
        Ok(ChannelCredentials {
            key,
            certificate: self.authority.issue_node((&request).into(), &terms)?,
            authorities: Authorities::new(self.authority.certificate().clone()),
            revoked: RevocationList::default(),
        })
    }
}

/// The name of the node with this number.
pub fn name(number: u16) -> Result<NodePrefix> {
    Ok(NodePrefix::new(number.into(), 16)?)
}

/// The wall clock.
pub fn wall() -> Result<Timestamp> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Timestamp(now.as_secs()))
}
