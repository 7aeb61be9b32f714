//! How soon something expires, in the steps people are warned in.

use crate::time::{DAY, Timestamp};

/// How urgent a renewal is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExpiryWarning {
    /// 90 days or less are left.
    Within90Days,
    /// 30 days or less are left.
    Within30Days,
    /// 7 days or less are left.
    Within7Days,
    /// It is not valid any more.
    Expired,
}

impl ExpiryWarning {
    /// What to warn of at a moment. `not_after` is the last second something is valid. None if there is time.
    pub const fn at(now: Timestamp, not_after: Timestamp) -> Option<Self> {
        if now.0 > not_after.0 {
            return Some(Self::Expired);
        }
        let left = not_after.since(now);
        if left <= 7 * DAY {
            Some(Self::Within7Days)
        } else if left <= 30 * DAY {
            Some(Self::Within30Days)
        } else if left <= 90 * DAY {
            Some(Self::Within90Days)
        } else {
            None
        }
    }

    /// For people, after the subject.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Within90Days => "expires in less than 90 days",
            Self::Within30Days => "expires in less than 30 days",
            Self::Within7Days => "expires in less than 7 days",
            Self::Expired => "has expired",
        }
    }
}
