//! How one authority takes over from another: a statement signed by the old one, which nodes accept from anybody.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    authority::{Authority, AuthorityCertificate},
    document::{Content, DocumentError, Signed},
    error::{FormError, IssueError},
    timestamp::Timestamp,
    verify::Authorities,
};

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

impl Authorities {
    /// Trusts a successor as well, if an authority we trust says so. True if it was not known before.
    pub fn follow(&mut self, statement: &[u8], now: Timestamp) -> Result<bool, SuccessionError> {
        let statement = Signed::<Succession>::verify(statement, self, now, None)?;
        let successor = AuthorityCertificate::from_pem(&statement.content().certificate)?;
        if self.iter().any(|known| *known == successor) {
            return Ok(false);
        }
        let follows = self.iter().any(|known| {
            statement.signers().contains(&known.key_id())
                && known.generation() < successor.generation()
                && known.key_id() != successor.key_id()
        });
        let right = successor.network() == self.network()
            && statement.number() == u64::from(successor.generation())
            && successor.not_after() >= now;
        if !follows || !right {
            return Err(SuccessionError::NotASuccessor);
        }
        self.prune(now);
        if self.len() >= Self::MAX {
            return Err(SuccessionError::TooMany);
        }
        self.insert(successor);
        Ok(true)
    }
}
