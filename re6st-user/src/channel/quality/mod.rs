//! How good the way to a peer is, and whether there still is one.
//!
//! Two that are silent for 400 ms ask each other for a sign of life: one of the two begins, so that half of the packets do;
//! the other does only when nothing came. Who leaves eight questions unanswered and is silent for 700 ms does not respond,
//! and is asked once a second until it does. That is when packets are led another way; 5 % of loss does not get so far, nor
//! does a process that stalls for half a second.
//!
//! Round trips are measured by questions that are answered, loss by receipts: how many of the packets of a session came. They
//! go along with questions and answers, each now and then, so that a way that is not used carries little.

mod loss;
#[cfg(test)]
mod tests;

use std::time::Duration;

use loss::Loss;

use super::output::Quality;
use crate::time::Time;

/// When a silent peer is asked for a sign of life, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Silence before the first probe.
    pub interval: Duration,
    /// Between a probe and the next if nothing comes.
    pub repeat: Duration,
    /// Least silence before a peer counts as unresponsive; `interval` and 3 round trips are granted too.
    pub timeout: Duration,
    /// Least number of probes without an answer before it does, 16 at most.
    pub unanswered: u32,
    /// Between probes to one that does not respond.
    pub revival: Duration,
    /// Between two measurements of the round trip, at most.
    pub sample: Duration,
    /// Between two receipts, at least.
    pub receipt: Duration,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(400),
            repeat: Duration::from_millis(40),
            timeout: Duration::from_millis(700),
            unanswered: 8,
            revival: Duration::from_secs(1),
            sample: Duration::from_secs(4),
            receipt: Duration::from_secs(2),
        }
    }
}

/// How many of the packets of a session came: message 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The session.
    pub session: u32,
    /// The highest counter that came.
    pub highest: u64,
    /// How many packets came.
    pub received: u64,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Due {
    /// A probe leaves.
    pub probe: bool,
    /// The peer does not respond from now on.
    pub fell_silent: bool,
}

/// Round trips are not longer than this.
const LONGEST: Duration = Duration::from_secs(60);
/// As long as nothing was measured, an answer may take this long.
const UNKNOWN_ROUND_TRIP: Duration = Duration::from_millis(250);
/// Between two reports of something other than that a peer does or does not respond.
const REPORTS: Duration = Duration::from_secs(1);
/// Smaller differences of round trips are noise.
const NOISE: Duration = Duration::from_micros(500);

/// Measures the way to one peer.
#[derive(Clone, Debug)]
pub struct Meter {
    probing: Probing,
    /// Of the two, this node begins.
    asks_first: bool,
    round_trip: Option<Duration>,
    jitter: Duration,
    loss_out: Loss,
    loss_in: Loss,
    heard_at: Time,
    /// When the last probes were sent, each none once it is answered.
    sent: [Option<Time>; Self::REMEMBERED],
    /// Where in `sent` the next goes.
    next: usize,
    /// Probes since something came.
    unanswered: u32,
    unresponsive_since: Option<Time>,
    probe_at: Time,
    /// When the last probe was sent.
    probed_at: Time,
    sampled_at: Time,
    receipt_at: Time,
    reported: Option<(Time, Quality)>,
}

impl Meter {
    const REMEMBERED: usize = 32;

    /// Nothing is known but that the peer was heard just now.
    pub fn new(now: Time, asks_first: bool, probing: Probing) -> Self {
        Self {
            probing,
            asks_first,
            round_trip: None,
            jitter: Duration::ZERO,
            loss_out: Loss::default(),
            loss_in: Loss::default(),
            heard_at: now,
            sent: [None; Self::REMEMBERED],
            next: 0,
            unanswered: 0,
            unresponsive_since: None,
            probe_at: now + probing.interval,
            probed_at: Time(0),
            sampled_at: now,
            receipt_at: now,
            reported: None,
        }
    }

    /// Something came that only the peer can have made. Gives whether it was unresponsive.
    pub fn heard(&mut self, now: Time) -> bool {
        self.heard_at = now;
        self.unanswered = 0;
        let quiet = match self.asks_first {
            true => self.probing.interval,
            false => self.probing.interval + self.probing.repeat,
        };
        self.probe_at = (now + quiet).min(self.sample_by());
        self.unresponsive_since.take().is_some()
    }

    /// When a probe is due unless something comes.
    pub const fn deadline(&self) -> Time {
        self.probe_at
    }

    /// When the peer stopped responding.
    pub const fn unresponsive_since(&self) -> Option<Time> {
        self.unresponsive_since
    }

    /// When something last came.
    pub const fn heard_at(&self) -> Time {
        self.heard_at
    }

    /// The way may be another one: the peer is asked at once.
    pub fn suspect(&mut self, now: Time) {
        self.probe_at = self.probe_at.min(now);
    }

    /// What is due now.
    pub fn time_out(&mut self, now: Time) -> Due {
        if now < self.probe_at {
            return Due::default();
        }
        let fell_silent = self.unresponsive_since.is_none() && self.is_silent(now);
        if fell_silent {
            self.unresponsive_since = Some(now);
        }
        Due {
            probe: true,
            fell_silent,
        }
    }

    /// Whether a measurement is due that can go along with an answer.
    pub fn wants_sample(&self, now: Time) -> bool {
        let due = self.round_trip.is_none() || now.since(self.sampled_at) >= self.probing.sample;
        due && now >= self.sample_again_at()
    }

    /// Whether a receipt may go along; then it does.
    pub fn takes_receipt(&mut self, now: Time) -> bool {
        let takes = now.since(self.receipt_at) >= self.probing.receipt;
        if takes {
            self.receipt_at = now;
        }
        takes
    }

    /// A probe leaves. Gives the value that its answer brings back.
    pub fn probed(&mut self, now: Time) -> u64 {
        self.sent[self.next] = Some(now);
        self.next = (self.next + 1) % Self::REMEMBERED;
        self.probed_at = now;
        self.unanswered = self.unanswered.saturating_add(1);
        self.probe_at = now
            + match self.unresponsive_since {
                Some(_) => self.probing.revival,
                // on a long way more seldom: so that those remembered reach back to some that should have been answered
                None => self.probing.repeat.max(self.overdue_after() / 16),
            };
        now.0
    }

    /// The answer to a probe, which waited so many microseconds before it was sent.
    pub fn replied(&mut self, now: Time, echo: u64, waited: u32) {
        let sent = self.sent.iter_mut().find(|sent| **sent == Some(Time(echo)));
        let Some(sent) = sent.and_then(Option::take) else {
            return;
        };
        // what was sent before is answered late, if at all
        for earlier in &mut self.sent {
            *earlier = earlier.filter(|earlier| *earlier > sent);
        }
        let waited = Duration::from_micros(waited.into());
        if let Some(sample) = now.since(sent).checked_sub(waited) {
            self.sample(now, sample);
        }
    }

    /// A round trip was measured (smoothed as RFC 6298, section 2, does).
    pub fn sample(&mut self, now: Time, sample: Duration) {
        let sample = sample.min(LONGEST);
        self.sampled_at = now;
        match self.round_trip {
            None => {
                self.jitter = sample / 2;
                self.round_trip = Some(sample);
            }
            Some(before) => {
                self.jitter = (self.jitter * 3 + before.abs_diff(sample)) / 4;
                self.round_trip = Some((before * 7 + sample) / 8);
            }
        }
    }

    /// The way is another one: what was measured says nothing of it.
    pub fn forget_way(&mut self, now: Time) {
        self.round_trip = None;
        self.jitter = Duration::ZERO;
        self.loss_out.forget_average();
        self.loss_in.forget_average();
        self.suspect(now);
    }

    /// The peer says what came of ours.
    pub fn peer_received(&mut self, receipt: Receipt) {
        self.loss_out.count(receipt);
    }

    /// What came of the peer's.
    pub fn we_received(&mut self, receipt: Receipt) {
        self.loss_in.count(receipt);
    }

    /// The round trip so far.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// How long an answer takes at most, nearly always.
    pub fn patience(&self) -> Duration {
        let round_trip = self.round_trip.unwrap_or(UNKNOWN_ROUND_TRIP);
        round_trip + self.jitter * 4 + self.probing.repeat
    }

    /// All that was measured.
    pub fn quality(&self) -> Quality {
        Quality {
            round_trip: self.round_trip,
            jitter: self.jitter,
            loss_out: self.loss_out.average(),
            loss_in: self.loss_in.average(),
            responsive: self.unresponsive_since.is_none(),
        }
    }

    /// The quality, if it is another one than was reported last.
    pub fn report(&mut self, now: Time) -> Option<Quality> {
        let quality = self.quality();
        if let Some((at, before)) = self.reported {
            let soon = now.since(at) < REPORTS;
            if before.responsive == quality.responsive && (soon || is_alike(&before, &quality)) {
                return None;
            }
        }
        self.reported = Some((now, quality));
        Some(quality)
    }

    /// A measurement is due then, whatever else comes; who does not begin lets the other one go first.
    fn sample_by(&self) -> Time {
        let grace = match self.asks_first {
            true => Duration::ZERO,
            false => self.probing.interval * 2,
        };
        (self.sampled_at + self.probing.sample + grace).max(self.sample_again_at())
    }

    /// A measurement is not tried again before, whatever comes: the more probes are on the way, the later. Otherwise two ends
    /// that have both been held up would answer each other's probes by probes for ever.
    fn sample_again_at(&self) -> Time {
        let on_the_way = self.sent.iter().flatten().count() as u32;
        self.probed_at + self.overdue_after() * on_the_way
    }

    /// An answer should have come by then.
    fn overdue_after(&self) -> Duration {
        let round_trip = self.round_trip.unwrap_or(UNKNOWN_ROUND_TRIP);
        self.probing.repeat.max(round_trip * 3 / 2)
    }

    fn is_silent(&self, now: Time) -> bool {
        let needed = self
            .probing
            .unanswered
            .clamp(1, Self::REMEMBERED as u32 / 2) as usize;
        let kept = (self.unanswered as usize).min(Self::REMEMBERED);
        let round_trip = self.round_trip.unwrap_or(UNKNOWN_ROUND_TRIP);
        let patience = self.overdue_after();
        let last = (1..=kept).map(|back| (self.next + Self::REMEMBERED - back) % Self::REMEMBERED);
        let overdue = last
            .filter_map(|index| self.sent[index])
            .filter(|sent| now.since(*sent) >= patience)
            .count();
        let least = self
            .probing
            .timeout
            .max(self.probing.interval + round_trip * 3);
        overdue >= needed && now.since(self.heard_at) >= least
    }
}

/// Whether nobody needs to know of the difference.
fn is_alike(one: &Quality, other: &Quality) -> bool {
    let round_trips = match (one.round_trip, other.round_trip) {
        (Some(one), Some(other)) => one.abs_diff(other) <= NOISE.max(one / 10),
        (one, other) => one == other,
    };
    // a percent, or a fifth of what it was; and whether there is any, a thousandth
    let losses = |one: u16, other: u16| {
        one.abs_diff(other) <= (one / 5).max(655) && (one < 66) == (other < 66)
    };
    round_trips
        && losses(one.loss_out, other.loss_out)
        && losses(one.loss_in, other.loss_in)
        && one.responsive == other.responsive
}
