//! Where this node is, told to the registry, and which others are there, asked of it. Pure.

use std::{sync::Arc, time::Duration};

use super::credentials::Credentials;
use crate::{
    certificate::{
        record::{NodeRecord, RecordError, Whereabouts},
        revocations::RevocationList,
    },
    time::{Now, Time, Timestamp},
};

/// How often a node says that it is there.
const AGAIN: Duration = Duration::from_secs(300);
/// How old, in seconds, the record may become that it says so with.
const RENEWAL: u64 = 12 * 3_600;

/// What is said and known of whereabouts. Two are equal if their generations are.
#[derive(Clone, Debug, Default)]
pub struct PresenceStanding {
    /// Another one, and a higher one, whenever any of the following is another.
    pub generation: u64,
    /// This node's record; none before it was told where it is.
    pub own: Option<Arc<NodeRecord>>,
    /// What the registry said last of others.
    pub others: Arc<Vec<NodeRecord>>,
}

impl PartialEq for PresenceStanding {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Presence {
    whereabouts: Option<Whereabouts>,
    standing: PresenceStanding,
    /// When the registry took our record last.
    said: Option<Time>,
    /// So many others are to be asked for.
    wanted: u8,
    /// Records of others that were of no use.
    refused: u64,
}

impl Presence {
    /// What others are told of it.
    pub const fn standing(&self) -> &PresenceStanding {
        &self.standing
    }

    /// Where this node is, perhaps somewhere else than before.
    pub fn is_at(&mut self, whereabouts: Whereabouts) {
        if self.whereabouts.as_ref() != Some(&whereabouts) {
            self.whereabouts = Some(whereabouts);
            self.standing.own = None;
        }
    }

    /// Nobody is told any more where this node is.
    pub fn hide(&mut self) {
        (self.whereabouts, self.standing.own) = (None, None);
        self.wanted = 0;
        self.standing.generation += 1;
    }

    /// Others are wanted.
    pub const fn want(&mut self, count: u8) {
        self.wanted = count;
    }

    /// How many others are wanted.
    pub const fn wanted(&self) -> u8 {
        self.wanted
    }

    /// The registry may have forgotten.
    pub const fn unsay(&mut self) {
        self.said = None;
    }

    /// When the registry is to be told, or asked.
    pub fn due(&self) -> Option<Time> {
        self.standing.own.as_ref()?;
        match (self.wanted, self.said) {
            (0, Some(said)) => Some(said + AGAIN),
            _ => Some(Time(0)),
        }
    }

    /// Makes the record, if there is none of these whereabouts, of this certificate and of this day.
    pub fn sign(&mut self, now: Timestamp, credentials: &Credentials) -> Result<(), RecordError> {
        let certificate = &credentials.certificate;
        let is_good = |own: &Arc<NodeRecord>| {
            own.certificate() == certificate
                && now.since(own.made_at()) < RENEWAL
                && own.made_at() <= now
        };
        let Some(whereabouts) = &self.whereabouts else {
            return Ok(());
        };
        if self.standing.own.as_ref().is_some_and(is_good) {
            return Ok(());
        }
        let network = credentials.authorities.network();
        let whereabouts = whereabouts.clone();
        let signed = NodeRecord::sign(whereabouts, certificate, &credentials.key, &network, now);
        self.said = None;
        self.standing.generation += 1;
        match signed {
            Ok(own) => {
                self.standing.own = Some(Arc::new(own));
                Ok(())
            }
            Err(error) => {
                // not tried again before anything is another
                (self.standing.own, self.whereabouts) = (None, None);
                Err(error)
            }
        }
    }

    /// The registry has taken our record, and told of others.
    ///
    /// # Errors
    /// None of the records is of any use: why the last one is not.
    pub fn answered(
        &mut self,
        now: Now,
        records: &[Vec<u8>],
        credentials: &Credentials,
        revoked: &RevocationList,
    ) -> Result<(), RecordError> {
        self.said = Some(now.elapsed);
        let asked = std::mem::take(&mut self.wanted) > 0;
        let own = credentials.certificate.prefix();
        let (mut others, mut unfit) = (Vec::new(), None);
        for octets in records {
            match NodeRecord::verify(octets, &credentials.authorities, revoked, now.wall) {
                Ok(record) if record.node() != own => others.push(record),
                Ok(_) => {}
                Err(error) => {
                    self.refused += 1;
                    unfit = Some(error);
                }
            }
        }
        let none = others.is_empty();
        if asked {
            self.standing.others = Arc::new(others);
            self.standing.generation += 1;
        }
        match unfit.filter(|_| none) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
