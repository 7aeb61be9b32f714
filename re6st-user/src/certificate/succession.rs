//! How one authority takes over from another: a statement signed by the old one, which nodes accept from anybody.
//!
//! An authority that has expired vouches for nothing any more, but for one thing: who succeeds it, to those who know no
//! successor yet. So a node that was away while one took over from the other finds its way back, and whoever finds an old key
//! can do nothing with it where the successor is known.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    authority::{Authority, AuthorityCertificate},
    document::{Content, DocumentError, Signed},
    error::{FormError, IssueError},
    form,
    verify::Authorities,
};
use crate::time::Timestamp;

/// The statement that an authority is to be trusted from now on, beside those that are. Its number is the generation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// The new authority's certificate in PEM.
    certificate: String,
}

impl Content for Succession {
    const TYPE: &'static str = "application/vnd.re6st.succession+json";
}

/// Why a statement is not followed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SuccessionError {
    /// The statement is not good.
    #[error("{0}")]
    Document(#[from] DocumentError),
    /// The certificate in it is not.
    #[error("the new authority: {0}")]
    Certificate(#[from] FormError),
    /// The certificate is not that of a successor of who signed.
    #[error(
        "the new authority is not for this network, or not of a generation after the one that signed for it"
    )]
    NotASuccessor,
    /// Too many.
    #[error("more than {max} authorities at a time", max = Authorities::MAX)]
    TooMany,
}

impl Authority {
    /// States that another one takes over.
    pub fn state_successor(&self, successor: &Self) -> Result<Signed<Succession>, IssueError> {
        let certificate = successor.certificate();
        let content = Succession {
            certificate: certificate.to_pem(),
        };
        Signed::sign(u64::from(certificate.generation()), content, self, None)
    }
}

/// Statements as a registry keeps them in `ca.crt`, among the certificates: envelopes.
pub fn statements(text: &str) -> Result<Vec<Vec<u8>>, FormError> {
    form::pem_blocks_beside(text, form::SUCCESSION, "CERTIFICATE", Authorities::MAX_SIZE)
}

/// The envelope of a statement in PEM.
pub fn to_pem(statement: &[u8]) -> String {
    form::to_pem(form::SUCCESSION, statement)
}

impl Authorities {
    /// Trusts a successor as well, if an authority says so that we trust, or did until it expired without a successor that we
    /// know. True if it was not known before.
    pub fn follow(&mut self, statement: &[u8], now: Timestamp) -> Result<bool, SuccessionError> {
        let newest = self.newest();
        let counts = |authority: &AuthorityCertificate| {
            authority.is_valid_at(now) || authority.generation() == newest
        };
        let statement = Signed::<Succession>::verify_by(statement, self, counts, None)?;
        let successor = AuthorityCertificate::from_pem(&statement.content().certificate)?;
        if self.iter().any(|known| *known == successor) {
            return Ok(false);
        }
        let follows = self.iter().any(|known| {
            statement.signers().contains(&known.key_id())
                && known.generation() < successor.generation()
                && known.key_id() != successor.key_id()
        });
        if !follows || statement.number() != u64::from(successor.generation()) {
            return Err(SuccessionError::NotASuccessor);
        }
        self.admit(successor, now)?;
        Ok(true)
    }

    /// Trusts another authority of the same network as well, on whatever grounds. If there are too many, the first of those
    /// that have expired goes.
    pub fn admit(
        &mut self,
        authority: AuthorityCertificate,
        now: Timestamp,
    ) -> Result<(), SuccessionError> {
        if authority.network() != self.network() {
            return Err(SuccessionError::NotASuccessor);
        }
        if !self.make_room(now) {
            return Err(SuccessionError::TooMany);
        }
        self.insert(authority);
        Ok(())
    }
}
