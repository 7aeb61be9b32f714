//! Who this node is, and whom it lets in.

use super::{
    handshake::Received, identity::Identity, input::ChannelCredentials, output::Closing,
    refusal::Refusal,
};
use crate::{
    certificate::{
        node::NodeCertificate, node_prefix::NodePrefix, revocations::RevocationList,
        verify::Authorities,
    },
    time::Timestamp,
};

/// The credentials as handshakes need them.
#[derive(Debug)]
pub(super) struct Own {
    pub identity: Identity,
    pub node: NodePrefix,
    authorities: Authorities,
    revoked: RevocationList,
}

impl Own {
    pub fn new(credentials: ChannelCredentials) -> Self {
        let certificate = credentials.certificate;
        Self {
            node: certificate.prefix(),
            identity: Identity::new(&credentials.key, certificate.der().to_vec()),
            authorities: credentials.authorities,
            revoked: credentials.revoked,
        }
    }

    /// Whether peers see the same of both.
    pub fn shows_the_same_as(&self, other: &Self) -> bool {
        self.identity.certificate() == other.identity.certificate()
            && self.identity.public_key() == other.identity.public_key()
    }

    /// The certificate of somebody who has proven that it has a static key, if the network vouches for it now. Gives also
    /// the last second that it does.
    pub fn admit(
        &self,
        received: &Received,
        now: Timestamp,
    ) -> Result<(NodeCertificate, Timestamp), Refusal> {
        let certificate =
            NodeCertificate::from_der(&received.certificate).map_err(|_| Refusal::Malformed)?;
        let until = self.good_until(&certificate, now)?;
        match certificate.static_key() {
            None => Err(Refusal::NoKey),
            Some(key) if key != received.static_key => Err(Refusal::OtherKey),
            Some(_) => Ok((certificate, until)),
        }
    }

    /// The last second that the network vouches for a certificate.
    pub fn good_until(
        &self,
        certificate: &NodeCertificate,
        now: Timestamp,
    ) -> Result<Timestamp, Refusal> {
        let issuer = self
            .authorities
            .verify_node(certificate, &self.revoked, now, 0)?;
        if certificate.prefix() == self.node {
            return Err(Refusal::OwnName);
        }
        Ok(certificate.not_after().min(issuer.not_after()))
    }
}

impl From<Refusal> for Closing {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::Expired | Refusal::Authority | Refusal::NotYetValid => Self::Expired,
            Refusal::Revoked => Self::Revoked,
            Refusal::OwnName => Self::OwnName,
            Refusal::Pinned | Refusal::OtherKey | Refusal::NoKey => Self::OtherKey,
            Refusal::PostQuantum => Self::PostQuantum,
            _ => Self::NotTrusted,
        }
    }
}
