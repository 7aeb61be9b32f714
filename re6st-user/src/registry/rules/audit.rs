//! The audit log: who did what, when, on what.

use serde::Serialize;

use crate::time::Timestamp;

/// One line. No secret is in it: tokens are named by their digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// By the clock of the registry, believed or not.
    pub time: Timestamp,
    /// Who: [`super::Caller`] as text.
    pub who: String,
    /// What was done.
    pub action: Action,
    /// On what, and with what result.
    pub subject: String,
}

/// What somebody did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    TokenRequested,
    TokenAdded,
    TokenDeleted,
    TokenExpired,
    TokenRefused,
    Enrolled,
    Renewed,
    Reissued,
    Revoked,
    NodeEnded,
    NodeExpired,
    ParametersSet,
    CommunitiesSet,
    MacKeysRotated,
    ClockDoubted,
    ClockConfirmed,
    Restored,
    Adopted,
}

impl Action {
    /// The name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenRequested => "token-requested",
            Self::TokenAdded => "token-added",
            Self::TokenDeleted => "token-deleted",
            Self::TokenExpired => "token-expired",
            Self::TokenRefused => "token-refused",
            Self::Enrolled => "enrolled",
            Self::Renewed => "renewed",
            Self::Reissued => "reissued",
            Self::Revoked => "revoked",
            Self::NodeEnded => "node-ended",
            Self::NodeExpired => "node-expired",
            Self::ParametersSet => "parameters-set",
            Self::CommunitiesSet => "communities-set",
            Self::MacKeysRotated => "mac-keys-rotated",
            Self::ClockDoubted => "clock-doubted",
            Self::ClockConfirmed => "clock-confirmed",
            Self::Restored => "restored",
            Self::Adopted => "adopted",
        }
    }
}
