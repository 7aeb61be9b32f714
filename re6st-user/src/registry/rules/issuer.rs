//! The network's certificate authority, as far as the rules need it.

use std::sync::Arc;

use crate::{
    certificate::{
        authority::Authority,
        error::IssueError,
        issue::{Identity, NodeTerms},
        node::NodeCertificate,
        verify::Authorities,
    },
    time::Timestamp,
};

/// Signs certificates and numbers. [`Authority`] does; tests of the rules alone have a cheaper one.
pub trait Issuer: Send {
    /// Signs a node's certificate.
    ///
    /// # Errors
    ///
    /// The key cannot sign, or a certificate cannot say this.
    fn issue(&self, identity: Identity<'_>, terms: &NodeTerms) -> Result<Issued, IssueError>;

    /// Whether it, or an authority before it that is still known, has issued this certificate at any time.
    fn has_issued(&self, certificate: &NodeCertificate) -> bool;

    /// Signs a message, as re6stnet's nodes verify it if the key is RSA.
    ///
    /// # Errors
    ///
    /// The key cannot sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError>;
}

/// A signed certificate.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate in PEM.
    pub pem: Arc<str>,
    /// From when on it is valid: not before the authority's own certificate.
    pub not_before: Timestamp,
    /// Until when it is valid: not longer than the authority's own certificate.
    pub not_after: Timestamp,
}

impl Issuer for Authority {
    fn issue(&self, identity: Identity<'_>, terms: &NodeTerms) -> Result<Issued, IssueError> {
        let certificate = self.issue_node(identity, terms)?;
        Ok(Issued {
            pem: certificate.to_pem().into(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        })
    }

    fn has_issued(&self, certificate: &NodeCertificate) -> bool {
        Authorities::new(self.certificate().clone()).have_issued(certificate)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(Self::sign(self, message)?)
    }
}
