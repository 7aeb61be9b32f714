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

    /// How long an answer may take.
    fn patience(settings: &Probing, round_trip: Duration) -> Duration {
        settings.repeat.max(round_trip * 3 / 2)
    }

    /// From a probe to the next. On a long way more seldom: so that those remembered reach back to some that should have been
    /// answered.
    pub fn repeat(settings: &Probing, round_trip: Duration) -> Duration {
        let patience = Self::patience(settings, round_trip);
        settings.repeat.max(patience / 16)
    }

    /// Whether it counts as unresponsive: enough probes are unanswered for longer than an answer takes, and the silence is
    /// long enough.
    pub fn is_silent(&self, now: Time, settings: &Probing, round_trip: Duration) -> bool {
        let needed = settings.unanswered.clamp(1, Self::REMEMBERED as u32);
        if self.unanswered < needed {
            return false;
        }
        let patience = Self::patience(settings, round_trip);
        let kept = self.unanswered.min(Self::REMEMBERED as u32) as usize;
        let overdue = self.sent[..kept]
            .iter()
            .filter(|sent| now.since(**sent) >= patience)
            .count();
        let least_silence = settings.timeout.max(settings.interval + round_trip * 3);
        overdue >= needed as usize && now.since(self.heard_at) >= least_silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_answers_is_found_silent_however_long_the_way_is() {
        let settings = Probing::default();
        for milliseconds in [0, 20, 300, 640, 1_000, 3_000, 10_000] {
            let round_trip = Duration::from_millis(milliseconds);
            let mut probes = ProbeState::new(Time(0));
            let mut now = Time(0) + settings.interval;
            let limit = now + settings.timeout + round_trip * 8;
            while !probes.is_silent(now, &settings, round_trip) {
                assert!(now < limit, "{round_trip:?}");
                probes.probed(now);
                now = now + ProbeState::repeat(&settings, round_trip);
            }
        }
    }
}
