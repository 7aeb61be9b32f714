//! The watch over the clock, and over what expires or is revoked: pure. Each thing is said once.

use std::time::Duration;

use super::messages::Action;
use crate::{
    certificate::expiry::ExpiryWarning,
    time::{Now, Time, Timestamp},
};

/// The clock is looked at so often.
const LOOK: Duration = Duration::from_secs(60);
/// The wall clock was set if it moved so many seconds further than time passed.
const CLOCK_JUMP: u64 = 120;

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// The last second of this node's certificate.
    pub certificate: Timestamp,
    /// The last second of the last authority.
    pub authority: Timestamp,
    /// Whether the registry has taken our certificate back.
    pub is_revoked: bool,
}

impl Watched {
    /// What of it expires, and the last second of each.
    pub const fn ends(&self) -> [(&'static str, Timestamp); 2] {
        [
            ("this node's certificate", self.certificate),
            ("the network's authority", self.authority),
        ]
    }
}

/// What has become urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// The wall clock was set: what failed may have failed because of it.
    pub clock_set: bool,
    /// Without another certificate the registry tells us nothing else.
    pub must_renew: bool,
}

/// What was seen when it was looked at last.
#[derive(Debug, Default)]
pub struct Watch {
    last: Option<Now>,
    warnings: [Option<ExpiryWarning>; 2],
    was_revoked: bool,
}

impl Watch {
    /// When it is to be looked again.
    pub fn next_deadline(&self) -> Time {
        self.last.map_or(Time(0), |last| last.elapsed + LOOK)
    }

    /// Looks at the clock, and says what was not said before.
    pub fn handle(&mut self, now: Now, watched: &Watched, actions: &mut Vec<Action>) -> Noticed {
        let mut noticed = Noticed::default();
        if let Some(before) = self.last.replace(now) {
            let passed = now.elapsed.since(before.elapsed).as_secs();
            let expected = before.wall.plus(passed);
            if now.wall.since(expected).max(expected.since(now.wall)) > CLOCK_JUMP {
                noticed.clock_set = true;
                actions.push(Action::Say("the clock of this host was set".to_owned()));
            }
        }
        for (said, (subject, not_after)) in self.warnings.iter_mut().zip(watched.ends()) {
            let warning = ExpiryWarning::at(now.wall, not_after);
            let before = std::mem::replace(said, warning);
            if let Some(warning) = warning.filter(|_| warning > before) {
                let words = warning.words();
                actions.push(Action::Say(format!("WARNING: {subject} {words}")));
                noticed.must_renew |= warning == ExpiryWarning::Expired;
            }
        }
        if watched.is_revoked && !self.was_revoked {
            noticed.must_renew = true;
            actions.push(Action::Say(
                "WARNING: THIS NODE'S CERTIFICATE IS REVOKED: the registry tells this node nothing new any more; it forwards on, and is heard on LANs until the keys of Babel's MAC change. To go on, ask the operator for a token, for this node's prefix if it was not ended as well, move the key away, and run `re6st-user conf` with the token".to_owned(),
            ));
        }
        self.was_revoked = watched.is_revoked;
        noticed
    }
}
