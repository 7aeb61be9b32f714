//! The authority's key, and while another one takes over, both.
//!
//! ```text
//!            ca.crt      ca.key   ca.key.next
//!            old         old      -             `registry ca succeed`, a year before the old one expires
//!   ─►       old, new    old      new           both sign what is published; nodes learn of the new one by the old one's word
//!                                               nodes' certificates that the old one would cut short are the new one's
//!   expiry   old, new    old      new           the new one alone issues
//!   ─►       new         new      -             `registry ca succeed` once more
//! ```
//!
//! The server's own certificate is the old one's as long as that is valid, for nodes that were away.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    config::RegistryConfig,
    rules::{Issuer, issuer::Issued},
    server::ServeError,
};
use crate::certificate::{
    authority::Authority,
    document::{Content, Signed},
    error::IssueError,
    issue::{Identity, NodeTerms},
    key::PrivateKey,
    timestamp::Timestamp,
    verify::Authorities,
};

/// All authorities of the network, and what is needed to issue.
#[derive(Debug)]
pub struct Keys {
    all: Authorities,
    present: Authority,
    next: Option<Authority>,
}

/// Where the next authority's key is.
pub fn next_key(config: &RegistryConfig) -> PathBuf {
    let mut name = config.ca_key.clone().into_os_string();
    name.push(".next");
    name.into()
}

impl Keys {
    /// Reads the files.
    pub fn open(config: &RegistryConfig, now: Timestamp) -> Result<Self, ServeError> {
        let text = fs::read_to_string(&config.ca).map_err(ServeError::file(&config.ca))?;
        let all = Authorities::from_pem(&text).map_err(ServeError::form(&config.ca))?;
        let present = authority(&all, &config.ca_key, &config.ca)?
            .ok_or_else(|| ServeError::file(&config.ca_key)(io::ErrorKind::NotFound.into()))?;
        let next = authority(&all, &next_key(config), &config.ca)?;
        let (present, next) = match next {
            Some(next) if !present.certificate().is_valid_at(now) => (next, None),
            next => (present, next),
        };
        // the one that issues comes first
        let first = present.certificate().to_pem();
        let all = Authorities::from_pem(&(first + &all.to_pem()))
            .map_err(ServeError::form(&config.ca))?;
        Ok(Self { all, present, next })
    }

    /// All authorities of the network, the present one first.
    pub const fn all(&self) -> &Authorities {
        &self.all
    }

    /// The authority of today: its word counts with every node.
    pub const fn present(&self) -> &Authority {
        &self.present
    }

    /// The one that takes over, if there is one.
    pub const fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }

    /// Signs a document, with both keys if there are two.
    pub fn sign_document<T: Content>(
        &self,
        number: u64,
        content: T,
    ) -> Result<Signed<T>, IssueError> {
        Signed::sign(number, content, &self.present, self.next.as_ref())
    }

    /// What makes nodes trust the next authority.
    pub fn successions(&self) -> Result<Vec<String>, IssueError> {
        let mut statements = Vec::new();
        if let Some(next) = &self.next {
            let statement = self.present.state_successor(next)?;
            statements.push(String::from_utf8_lossy(statement.envelope()).into_owned());
        }
        Ok(statements)
    }

    /// Who issues a certificate for a node.
    fn issuing(&self, terms: &NodeTerms) -> &Authority {
        let is_cut = self.present.certificate().not_after() < terms.not_after;
        let next = self
            .next
            .as_ref()
            .filter(|next| is_cut && next.certificate().is_valid_at(terms.not_before));
        next.unwrap_or(&self.present)
    }
}

/// The authority of a key, if there is that file.
fn authority(
    all: &Authorities,
    key: &Path,
    certificates: &Path,
) -> Result<Option<Authority>, ServeError> {
    let text = match fs::read_to_string(key) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ServeError::file(key)(error)),
    };
    let private = PrivateKey::from_pem(&text).map_err(ServeError::form(key))?;
    let certificate = all
        .iter()
        .find(|authority| authority.public_key() == private.public_key());
    let certificate = certificate.cloned().ok_or_else(|| ServeError::Mismatch {
        key: key.to_owned(),
        certificates: certificates.to_owned(),
    })?;
    Ok(Some(Authority::new(certificate, private)?))
}

impl Issuer for Arc<Keys> {
    fn issue(&self, identity: Identity<'_>, terms: &NodeTerms) -> Result<Issued, IssueError> {
        Issuer::issue(self.issuing(terms), identity, terms)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Issuer::sign(&self.present, message)
    }
}
