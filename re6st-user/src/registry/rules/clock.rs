//! The clock, which may be wrong: what cannot be undone is judged by a time that the database has seen coming.

use super::{
    Caller, Change, ClockSummary, Notice, Randomness, Refusal, Reply, Rules, audit::Action,
};
use crate::time::{DAY, Timestamp};

/// How far the clock may be ahead of what the database has seen last.
const LONGEST_STEP: u64 = DAY;
/// How often it is noted down.
const NOTE: u64 = 3_600;

impl Rules {
    /// The time by which nodes, tokens and revocations end, and numbers of documents grow. A clock that is ahead by more than
    /// a day of what the database has seen last was off for long, or is wrong: until the operator confirms it, nothing
    /// ends by it. What can be undone (certificates, refusals) goes by the clock itself.
    pub(super) fn settled(&self, now: Timestamp) -> Timestamp {
        match self.state.clock {
            Some(seen) if seen.plus(LONGEST_STEP) < now => seen,
            _ => now,
        }
    }

    pub(super) fn clock(&self, now: Timestamp) -> ClockSummary {
        ClockSummary {
            now,
            seen: self.state.clock,
            doubted: self.settled(now) < now || self.is_behind(now),
        }
    }

    /// Whether the clock says that what was seen is still to come. Nothing ends by it then, but nodes whose clocks are right do
    /// not believe a registry that is far behind.
    fn is_behind(&self, now: Timestamp) -> bool {
        let seen = self.state.clock;
        seen.is_some_and(|seen| now.plus(LONGEST_STEP) < seen)
    }

    /// When the clock is noted down next; it is looked at more often.
    pub(super) fn next_note(&self) -> Option<Timestamp> {
        self.state.clock.map(|seen| seen.plus(NOTE))
    }

    /// Notes the clock down, or says that it is doubted.
    pub(super) fn look_at_clock(&mut self, now: Timestamp) {
        let ClockSummary { seen, doubted, .. } = self.clock(now);
        let before = std::mem::replace(&mut self.doubted, doubted);
        match seen {
            Some(seen) if doubted && !before => {
                let behind = self.is_behind(now);
                let days = (now.since(seen) + seen.since(now)) / DAY;
                let where_it_is = if behind { "before" } else { "after" };
                let subject = format!("{days} days {where_it_is} what the database has seen last");
                self.audit(now, &Caller::Registry, Action::ClockDoubted, subject);
                self.notices.push(Notice::Warning(if behind {
                    format!(
                        "the clock is {days} days behind what the database has seen last: nodes whose clocks are right may \
                         take this registry's certificate for expired, and what it issues ends too early. Set it; if it is \
                         right and was wrong before, run `re6st-user registry clock confirm`"
                    )
                } else {
                    format!(
                        "the clock is {days} days ahead of what the database has seen last: no node, token or revocation \
                         ends by it. If it is right (the registry was off for so long, or a backup was restored), run \
                         `re6st-user registry clock confirm`; else set it"
                    )
                }));
            }
            Some(_) if doubted => {}
            Some(seen) if now < seen.plus(NOTE) => {}
            _ => self.note_clock(now),
        }
    }

    pub(super) fn confirm_clock(
        &mut self,
        now: Timestamp,
        random: &mut dyn Randomness,
        from: &Caller,
    ) -> Result<Reply, Refusal> {
        let seen = self.state.clock.unwrap_or(now);
        let subject = format!("{now}, {seen} was seen last");
        self.audit(now, from, Action::ClockConfirmed, subject);
        self.note_clock(now);
        self.pass_time(now, random)?;
        Ok(Reply::Clock(self.clock(now)))
    }

    fn note_clock(&mut self, now: Timestamp) {
        self.change(Change::Clock {
            before: self.state.clock,
            after: Some(now),
        });
    }
}
