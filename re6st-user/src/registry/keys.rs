//! The authority's key, and while another one takes over, both.
//!
//! ```text
//!            ca.crt      ca.key   ca.key.next
//!            old         old      -             `registry ca succeed`, a year before the old one expires
//!   ─►       old, new    old      new           both sign what is published and certify the server; nodes learn of the new one
//!                                               by the old one's word; nodes' certificates that the old one would cut short
//!                                               are the new one's
//!   expiry   old, new    old      new           the new one alone signs, from that second on
//!   ─►       old, new    new      -             `registry ca succeed` once more: the old key is gone
//! ```
//!
//! The old one's certificate stays in `ca.crt`, for nodes that renew theirs after it has expired; and so does its word about
//! the new one, for nodes that were away all the time.

use std::{
    io,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    config::RegistryConfig,
    rules::{Issuer, issuer::Issued},
};
use crate::{
    certificate::{
        authority::Authority,
        document::{Content, Signed},
        error::{FormError, IssueError, KeyError},
        issue::{Identity, NodeTerms},
        key::PrivateKey,
        node::NodeCertificate,
        succession::{self, SuccessionError},
        verify::Authorities,
    },
    io::{clock::wall, file, panics::contain},
    time::Timestamp,
};

/// All authorities of the network, and what is needed to issue.
#[derive(Debug)]
pub struct Keys {
    all: Authorities,
    /// That of `ca.key`.
    first: Authority,
    next: Option<Authority>,
    /// What was said of successors; in the order in which they took over.
    statements: Vec<Vec<u8>>,
}

/// Why the keys of the authority, or of the server, are of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The authority's certificates or its key.
    #[error("{}: {source}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: FormError,
    },
    /// The key belongs to none of the certificates.
    #[error(
        "the key {} belongs to no certificate in {}: put the authority's certificate there",
        key.display(),
        certificates.display()
    )]
    Mismatch {
        /// The key.
        key: PathBuf,
        /// The certificates.
        certificates: PathBuf,
    },
    /// Without it nothing can be signed.
    #[error(
        "{}: there is no such file. It is the key of the network's authority: put it back from where you keep it safe \
         (`registry init` makes another network's)",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The authority cannot issue.
    #[error("the network's authority: {0}")]
    Authority(#[from] IssueError),
    /// The server has no key.
    #[error("the server's key: {0}")]
    Key(#[from] KeyError),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl KeysError {
    fn file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    fn form(path: &Path) -> impl Fn(FormError) -> Self + '_ {
        |source| Self::Form {
            path: path.to_owned(),
            source,
        }
    }
}

/// Where the next authority's key is.
pub fn next_key(config: &RegistryConfig) -> PathBuf {
    let mut name = config.ca_key.clone().into_os_string();
    name.push(".next");
    name.into()
}

impl Keys {
    /// Reads the files.
    pub fn open(config: &RegistryConfig) -> Result<Self, KeysError> {
        let text = file::read_text(&config.ca).map_err(KeysError::file(&config.ca))?;
        let form = KeysError::form(&config.ca);
        let all = Authorities::from_pem(&text).map_err(&form)?;
        let mut statements = succession::statements(&text).map_err(&form)?;
        let first = authority(&all, &config.ca_key, &config.ca)?
            .ok_or_else(|| KeysError::NoKey(config.ca_key.clone()))?;
        let next = authority(&all, &next_key(config), &config.ca)?;
        if let Some(next) = &next
            && statements.is_empty()
        {
            // made by a version that did not keep it
            statements.push(first.state_successor(next)?.envelope().to_vec());
        }
        Ok(Self {
            all,
            first,
            next,
            statements,
        })
    }

    /// What `ca.crt` has: the certificates of all authorities, and what they said of their successors.
    pub fn to_pem(&self) -> String {
        let statements = self.statements.iter();
        let statements: String = statements.map(|it| succession::to_pem(it)).collect();
        self.all.to_pem() + &statements
    }

    /// All authorities of the network, also those that have expired.
    pub const fn all(&self) -> &Authorities {
        &self.all
    }

    /// The authority that issues unless it would cut a certificate short: the old one as long as it is valid.
    pub fn present(&self, now: Timestamp) -> &Authority {
        match &self.next {
            Some(next) if self.first.certificate().not_after() < now => next,
            _ => &self.first,
        }
    }

    /// Those whose word counts, the present one first.
    pub fn signing(&self, now: Timestamp) -> Vec<&Authority> {
        let present = self.present(now);
        let next = self.next.iter().filter(|next| {
            next.certificate() != present.certificate() && next.certificate().is_valid_at(now)
        });
        std::iter::once(present).chain(next).collect()
    }

    /// The fingerprints of those, which the network's parameters name.
    pub fn named(&self, now: Timestamp) -> Vec<String> {
        let signing = self.signing(now).into_iter();
        let fingerprints = signing.map(|authority| authority.certificate().fingerprint());
        fingerprints.map(|it| it.to_string()).collect()
    }

    /// The one that takes over, if there is one.
    pub const fn next(&self) -> Option<&Authority> {
        self.next.as_ref()
    }

    /// The one that is valid longest: whose fingerprint newcomers are told.
    pub fn newest(&self) -> &Authority {
        self.next.as_ref().unwrap_or(&self.first)
    }

    /// Another one takes over from the present one: known from now on, though its key is not written anywhere yet.
    pub fn succeed(&mut self, next: Authority, now: Timestamp) -> Result<(), SucceedError> {
        self.all.admit(next.certificate().clone(), now)?;
        let statement = self.first.state_successor(&next)?;
        self.statements.push(statement.envelope().to_vec());
        self.next = Some(next);
        Ok(())
    }

    /// Signs a document, with both keys if there are two.
    pub fn sign_document<T: Content>(
        &self,
        number: u64,
        content: T,
    ) -> Result<Signed<T>, IssueError> {
        Signed::sign(number, content, &self.first, self.next.as_ref())
    }

    /// What makes nodes trust authorities that took over.
    pub fn successions(&self) -> Vec<String> {
        let text = |statement: &Vec<u8>| String::from_utf8_lossy(statement).into_owned();
        self.statements.iter().map(text).collect()
    }

    /// Who issues a certificate for a node.
    fn issuing(&self, terms: &NodeTerms) -> &Authority {
        let present = self.present(terms.not_before);
        let is_cut = present.certificate().not_after() < terms.not_after;
        let next = self
            .next
            .as_ref()
            .filter(|next| is_cut && next.certificate().is_valid_at(terms.not_before));
        next.unwrap_or(present)
    }
}

/// Why no authority takes over.
#[derive(Debug, thiserror::Error)]
pub enum SucceedError {
    /// It cannot be made known.
    #[error("{0}")]
    Succession(#[from] SuccessionError),
    /// It cannot be signed for.
    #[error("{0}")]
    Issue(#[from] IssueError),
}

/// The authority of a key, if there is that file.
fn authority(
    all: &Authorities,
    key: &Path,
    certificates: &Path,
) -> Result<Option<Authority>, KeysError> {
    let text = match file::read_text(key) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeysError::file(key)(error)),
    };
    let private = PrivateKey::from_pem(&text).map_err(KeysError::form(key))?;
    let certificate = all
        .iter()
        .find(|authority| authority.public_key() == private.public_key());
    let certificate = certificate.cloned().ok_or_else(|| KeysError::Mismatch {
        key: key.to_owned(),
        certificates: certificates.to_owned(),
    })?;
    Ok(Some(Authority::new(certificate, private)?))
}

impl Issuer for Arc<Keys> {
    fn issue(&self, identity: Identity<'_>, terms: &NodeTerms) -> Result<Issued, IssueError> {
        // the library that writes certificates asserts; what it is given has been checked
        let issue = AssertUnwindSafe(|| Issuer::issue(self.issuing(terms), identity, terms));
        contain(issue).unwrap_or_else(|_| Err(IssueError::Library("it panicked".to_owned())))
    }

    fn has_issued(&self, certificate: &NodeCertificate) -> bool {
        self.all.have_issued(certificate)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Issuer::sign(self.present(wall()), message)
    }
}
