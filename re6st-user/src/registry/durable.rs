//! Rules and store together: what is told is durable, and what the disk refused has not happened.

use std::path::Path;

use thiserror::Error;

use super::{
    rules::{
        Caller, Command, Issuer, Notice, Randomness, Refusal, Reply, RestoreError, Rules, Settings,
        change::Outcome,
    },
    store::{AuditLine, Store, StoreError},
};
use crate::certificate::{node_prefix::NodePrefix, timestamp::Timestamp};

/// Why there is no registry.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in it contradicts itself or the settings.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// Something somebody asks.
#[derive(Debug)]
pub struct Request {
    /// Who.
    pub from: Caller,
    /// What.
    pub command: Command,
}

/// What became of requests.
#[derive(Debug)]
pub struct Handled {
    /// An answer to each, in their order.
    pub replies: Vec<Result<Reply, Refusal>>,
    /// What else is to be done.
    pub notices: Vec<Notice>,
}

/// The registry as it is on disk and in memory.
pub struct Registry {
    rules: Rules,
    store: Store,
    unreadable: Vec<(NodePrefix, String)>,
}

impl Registry {
    /// Opens the database and does what time has brought since it was closed.
    ///
    /// # Errors
    ///
    /// The database cannot be used.
    pub fn open(
        path: &Path,
        settings: Settings,
        issuer: Box<dyn Issuer>,
    ) -> Result<Self, RegistryError> {
        let store = Store::open(path)?;
        let loaded = store.load()?;
        Ok(Self {
            rules: Rules::restore(settings, issuer, loaded.stored)?,
            store,
            unreadable: loaded.unreadable,
        })
    }

    /// From its two halves.
    #[cfg(test)]
    pub(super) const fn new(rules: Rules, store: Store) -> Self {
        Self {
            rules,
            store,
            unreadable: Vec::new(),
        }
    }

    /// Certificates of the database that cannot be read, with the reason. Their prefixes stay taken.
    pub fn unreadable(&self) -> &[(NodePrefix, String)] {
        &self.unreadable
    }

    /// Decides on many requests, and makes what they change durable together: one flush of the disk for all.
    ///
    /// If the disk refuses, nothing of it has happened, and all are refused: an answer of one may come of what another
    /// one changed.
    pub fn handle(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        requests: Vec<Request>,
    ) -> Handled {
        let outcomes: Vec<Outcome> = requests
            .into_iter()
            .map(|Request { from, command }| self.rules.handle(now, random, &from, command))
            .collect();
        let changes = || outcomes.iter().flat_map(|outcome| &outcome.changes);
        let committed = match changes().next() {
            Some(_) => self.store.commit(changes()),
            None => Ok(()),
        };
        let Err(error) = committed else {
            let mut handled = Handled {
                replies: Vec::with_capacity(outcomes.len()),
                notices: Vec::new(),
            };
            for outcome in outcomes {
                handled.replies.push(outcome.reply);
                handled.notices.extend(outcome.notices);
            }
            return handled;
        };
        for outcome in outcomes.iter().rev() {
            self.rules.undo(&outcome.changes);
        }
        let refusal = Refusal::Unavailable(error.to_string());
        Handled {
            replies: outcomes.iter().map(|_| Err(refusal.clone())).collect(),
            notices: vec![Notice::Warning(error.to_string())],
        }
    }

    /// When [`Command::Time`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.rules.next_deadline()
    }

    /// The text of a node's present certificate.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn pem(&self, prefix: NodePrefix) -> Result<Option<String>, StoreError> {
        self.store.pem(prefix)
    }

    /// Lines of the audit log behind a number, in order.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub fn audit(&self, after: i64, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        self.store.audit(after, limit)
    }

    /// Leaves one file behind.
    ///
    /// # Errors
    ///
    /// It could not; what was committed is safe all the same.
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close()
    }
}
