//! Rules and store together: what is told is durable, and what the disk refused has not happened.

use std::path::Path;

use thiserror::Error;

use super::{
    high_water::HighWater,
    rules::{
        Caller, Command, Issuer, Mark, Notice, Randomness, Refusal, Reply, RestoreError, Rules,
        Settings,
        change::{Change, Outcome},
    },
    store::{AuditLine, Store, StoreError},
};
use crate::{certificate::node_prefix::NodePrefix, time::Timestamp};

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
    /// Who asks.
    pub from: Caller,
    /// What is asked.
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
    /// Why the last changes were not written.
    refused: Option<String>,
    /// None in tests of the two halves.
    high_water: Option<HighWater>,
}

impl Registry {
    /// Opens the database.
    ///
    /// # Errors
    ///
    /// The database cannot be used, or is another network's.
    pub fn open(
        path: &Path,
        settings: Settings,
        issuer: Box<dyn Issuer>,
    ) -> Result<Self, RegistryError> {
        let store = Store::open(path)?;
        let loaded = store.load()?;
        if let Some(sample) = &loaded.sample
            && !issuer.has_issued(sample)
        {
            return Err(RestoreError::OtherAuthority.into());
        }
        let mark = path.with_extension("mark");
        let high_water = HighWater::open(&mark, path)
            .map_err(|source| StoreError::File { path: mark, source })?;
        Ok(Self {
            rules: Rules::restore(settings, issuer, loaded.stored)?,
            store,
            unreadable: loaded.unreadable,
            refused: None,
            high_water: Some(high_water),
        })
    }

    /// From its two halves.
    #[cfg(test)]
    pub(super) const fn new(rules: Rules, store: Store) -> Self {
        Self {
            rules,
            store,
            unreadable: Vec::new(),
            refused: None,
            high_water: None,
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
            Some(_) => self.commit(changes()),
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

    fn commit<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<(), StoreError> {
        let committed = self.store.commit(changes);
        self.refused = committed.as_ref().err().map(ToString::to_string);
        if let (Ok(()), Some(high_water)) = (&committed, &mut self.high_water) {
            // the database has it; the mark has it with the next change
            let _ = high_water.raise(self.rules.mark());
        }
        committed
    }

    /// What has been given away before the database became what it is, if that is more than it knows.
    pub fn lost(&self) -> Option<Mark> {
        let (mark, known) = (self.high_water.as_ref()?.mark(), self.rules.mark());
        let lost = known.serial < mark.serial || known.number < mark.number;
        lost.then_some(mark)
    }

    /// Whether the disk takes what it is given.
    ///
    /// # Errors
    ///
    /// Why it takes nothing: the disk's answer to the last change, or to a try now.
    pub fn health(&mut self) -> Result<(), Refusal> {
        if self.refused.is_some() {
            self.refused = self.store.probe().err().map(|error| error.to_string());
        }
        self.refused
            .clone()
            .map_or(Ok(()), |why| Err(Refusal::Unavailable(why)))
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
