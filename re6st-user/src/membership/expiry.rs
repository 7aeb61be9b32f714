//! Warnings before something expires.

use crate::{certificate::expiry::ExpiryWarning, time::Timestamp};

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
