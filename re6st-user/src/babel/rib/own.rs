//! Our own sequence number (RFC 8966 section 3.2.1).

use std::time::Duration;

use crate::{
    babel::{context::Context, limits::TokenBucket, quantities::SequenceNumber},
    time::Time,
};

/// It may grow this often.
const PER_SECOND: u32 = 2;
/// The same at once.
const AT_ONCE: u32 = 10;
/// No speaker remembers a sequence number of ours for longer: BIRD for five minutes after the last announcement, which lasts
/// another.
const REMEMBERED: Duration = Duration::from_secs(400);

/// How new our own routes are.
#[derive(Debug)]
pub struct OwnNumber {
    /// The number.
    pub value: SequenceNumber,
    /// Whether it goes on from the life before.
    restored: bool,
    /// Until then others may remember a number of a life before.
    remembered_until: Time,
    pace: TokenBucket,
}

impl OwnNumber {
    /// At a start, which was saved as this in the life before.
    pub fn new(context: &mut Context, saved: Option<SequenceNumber>) -> Self {
        let first = SequenceNumber(context.random.next() as u16);
        Self {
            value: saved.map_or(first, SequenceNumber::next),
            restored: saved.is_some(),
            remembered_until: context.now + REMEMBERED,
            pace: TokenBucket::new(PER_SECOND, AT_ONCE),
        }
    }

    /// Somebody asks for a newer one. It grows by one, never more at a time (sections 3.7.2 and 3.8.1.2); but if we do not know
    /// which we had in a life before, somebody who remembers tells us once. Gives whether it changed.
    pub fn advance(&mut self, now: Time, asked: SequenceNumber) -> bool {
        if !asked.is_newer_than(self.value) || !self.pace.take(now) {
            return false;
        }
        let next = self.value.next();
        let remembered = now < self.remembered_until && !self.restored;
        self.restored |= remembered && asked != next;
        self.value = if remembered { asked } else { next };
        true
    }

    /// A route of ours comes back with a newer number: what we announced in a life whose number was not kept, or somebody else
    /// has our router-id. Either way only newer ones are believed. Gives whether it changed.
    pub fn overtake(&mut self, now: Time, heard: SequenceNumber) -> bool {
        let behind = heard.is_newer_than(self.value) && !self.restored && self.pace.take(now);
        if behind {
            self.value = heard.next();
        }
        behind
    }
}
