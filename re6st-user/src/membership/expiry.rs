//! Warnings before something expires.

use crate::certificate::{expiry::ExpiryWarning, timestamp::Timestamp};

/// Warns once at each step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    said: Option<ExpiryWarning>,
}

impl Watch {
    /// What to say now, if it was not said before.
    pub fn look(&mut self, now: Timestamp, not_after: Timestamp) -> Option<ExpiryWarning> {
        let warning = ExpiryWarning::at(now, not_after);
        let worse = warning > self.said;
        self.said = warning;
        warning.filter(|_| worse)
    }
}

/// For people.
pub const fn words(warning: ExpiryWarning) -> &'static str {
    match warning {
        ExpiryWarning::Within90Days => "expires in less than 90 days",
        ExpiryWarning::Within30Days => "expires in less than 30 days",
        ExpiryWarning::Within7Days => "expires in less than 7 days",
        ExpiryWarning::Expired => "has expired",
    }
}
