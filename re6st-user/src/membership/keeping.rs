//! What could not be kept for the next start, and when it is tried again: pure.

use std::{mem::discriminant, time::Duration};

use super::messages::{Action, Keep};
use crate::time::{Now, Time};

/// What could not be kept is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// What waits to be kept.
#[derive(Debug, Default)]
pub struct Keeping {
    /// One of each kind, at most.
    waiting: Vec<Keep>,
    again: Time,
    problem: Option<String>,
}

impl Keeping {
    /// Why something could not be kept, until it is tried again.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// When it is tried again, if something waits.
    pub fn next_deadline(&self) -> Option<Time> {
        (!self.waiting.is_empty()).then_some(self.again)
    }

    /// Time has passed, or something could not be kept. `actions` has what is to be kept from now on.
    pub fn handle(&mut self, now: Now, failed: Option<(Keep, String)>, actions: &mut Vec<Action>) {
        if let Some((keep, message)) = failed {
            self.waiting
                .retain(|older| discriminant(older) != discriminant(&keep));
            self.waiting.push(keep);
            self.problem = Some(message);
            self.again = now.elapsed + AGAIN;
        }
        // what is newer is kept instead of what could not be
        self.waiting.retain(|older| {
            !actions
                .iter()
                .any(|action| matches!(action, Action::Keep(keep) if discriminant(keep) == discriminant(older)))
        });
        if !self.waiting.is_empty() && self.again <= now.elapsed {
            self.problem = None;
            actions.extend(self.waiting.drain(..).map(Action::Keep));
        }
    }
}
