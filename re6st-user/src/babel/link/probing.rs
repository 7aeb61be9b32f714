//! Fast failure detection between speakers of our kind: whoever is silent is asked, again and again, and avoided when it
//! left enough questions unanswered.
//!
//! Silence does not tell a dead link from a dead controller whose data plane forwards on. So the link is made so costly
//! that everybody takes another way who has one, and whoever has none goes on: it is cut only when Hellos are missing,
//! which last longer than a controller takes to start again, or when the carrier is lost.

use std::time::Duration;

use crate::{babel::settings::Probing, time::Time};

/// What probing knows of a neighbour.
#[derive(Clone, Copy, Debug)]
pub struct ProbeState {
    /// It has sent a probe or answered one.
    pub peer: bool,
    /// It left probes unanswered, and has not been heard since.
    pub unresponsive: bool,
    /// When anything was last received from it.
    pub heard_at: Time,
    /// When each of the probes since then was sent, the last ones.
    sent: [Time; Self::REMEMBERED],
    unanswered: u32,
}

impl ProbeState {
    const REMEMBERED: usize = 32;

    pub const fn new(now: Time) -> Self {
        Self {
            peer: false,
            unresponsive: false,
            heard_at: now,
            sent: [Time(0); Self::REMEMBERED],
            unanswered: 0,
        }
    }

    /// Something came. Gives whether it was unresponsive.
    pub const fn heard(&mut self, now: Time) -> bool {
        self.heard_at = now;
        self.unanswered = 0;
        std::mem::replace(&mut self.unresponsive, false)
    }

    /// A probe leaves.
    pub const fn probed(&mut self, now: Time) {
        self.sent[self.unanswered as usize % Self::REMEMBERED] = now;
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Whether it counts as unresponsive: enough probes are unanswered for longer than an answer takes, and the silence is
    /// long enough.
    pub fn is_silent(&self, now: Time, settings: &Probing, round_trip: Duration) -> bool {
        let needed = settings.unanswered.clamp(1, Self::REMEMBERED as u32);
        if self.unanswered < needed {
            return false;
        }
        let patience = settings.repeat.max(round_trip * 3 / 2);
        let kept = self.unanswered.min(Self::REMEMBERED as u32) as usize;
        let overdue = self.sent[..kept]
            .iter()
            .filter(|sent| now.since(**sent) >= patience)
            .count();
        let least_silence = settings.timeout.max(settings.interval + round_trip * 3);
        overdue >= needed as usize && now.since(self.heard_at) >= least_silence
    }
}
