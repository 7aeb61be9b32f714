//! How good a tunnel is whose channel measures it: round-trip time and loss, smoothed, and what the loss costs.
//!
//! Loss is counted, and of few packets: an idle channel sends some a second, so at 5 % a quarter of a minute may as well show
//! none as 10 %. A cost that followed would make routes move for nothing, so what counts is an average over minutes, which
//! moves only by a good part of itself. A tunnel that becomes bad is told apart from bad luck by an average over half a minute.

use std::time::Duration;

use super::rtt::SmoothedRoundTrip;
use crate::{babel::settings::RoundTrip, time::Time};

/// Over so long the loss that counts is averaged.
const SLOW: Duration = Duration::from_secs(240);
/// Over so long the loss is averaged that shows whether the tunnel has become bad.
const FAST: Duration = Duration::from_secs(30);
/// It has if that is twice the other and this much more, in 65,536ths: 2 %.
const WORSE: u16 = 1311;
/// What the first report stands for.
const FIRST: Duration = Duration::from_secs(1);
/// It is looked at with each Hello; if the whole process slept, a report says nothing of that time.
const LONGEST: Duration = Duration::from_secs(60);
/// The loss that counts moves by a half (and this much, in 65,536ths: 0.5 %) at least.
const BAND: u32 = 328;
/// 5 of 16: a percent of loss costs 204, as much as 20 ms (RFC 9616's penalty by re6st's profile is 10.2 a ms).
const PENALTY: (u32, u32) = (5, 16);
/// Loss costs this at most, reached at 40 %: half of what a tunnel costs that does not answer.
const MOST: u32 = 8192;

/// What the channel of a tunnel says; it holds until it says something else.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// `None` if it was not measured.
    pub round_trip: Option<Duration>,
    /// Of what we send, in 65,536ths.
    pub loss_out: u16,
    /// Of what the other end sends.
    pub loss_in: u16,
    /// Whether the other end answers.
    pub responsive: bool,
}

/// What all reports so far come to.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// The last report, and until when it is counted.
    held: Option<(Report, Time)>,
    pub round_trip: SmoothedRoundTrip,
    loss: SmoothedLoss,
    pub responsive: bool,
}

impl Default for Quality {
    /// Of a tunnel of which nothing is known, and so nothing bad.
    fn default() -> Self {
        Self {
            held: None,
            round_trip: SmoothedRoundTrip::default(),
            loss: SmoothedLoss::default(),
            responsive: true,
        }
    }
}

impl Quality {
    /// Takes in a report. `profile`, `interval`: as [`Self::hold`].
    pub fn add(
        &mut self,
        now: Time,
        report: &Report,
        profile: Option<&RoundTrip>,
        interval: Duration,
    ) {
        self.hold(now, profile, interval);
        let first = self.held.replace((*report, now)).is_none();
        self.responsive = report.responsive;
        if let (None, Some(round_trip)) = (self.round_trip.microseconds(), report.round_trip) {
            self.round_trip.approach(round_trip, 1, 1);
        }
        if first {
            self.count(report, FIRST, profile, interval);
        }
    }

    /// The last report has held until now. `profile`: its weight is of round-trip times one Hello `interval` apart.
    pub fn hold(&mut self, now: Time, profile: Option<&RoundTrip>, interval: Duration) {
        if let Some((report, until)) = &mut self.held {
            let (report, since) = (*report, now.since(*until).min(LONGEST));
            *until = now;
            self.count(&report, since, profile, interval);
        }
    }

    fn count(
        &mut self,
        report: &Report,
        since: Duration,
        profile: Option<&RoundTrip>,
        interval: Duration,
    ) {
        let decay = u64::from(profile.map_or(u8::MAX, |profile| profile.decay));
        let part = decay * since.as_micros() as u64;
        let whole = part + (256 - decay) * interval.as_micros() as u64;
        if let Some(round_trip) = report.round_trip {
            self.round_trip.approach(round_trip, part, whole);
        }
        self.loss
            .add(either(report.loss_out, report.loss_in), since);
    }

    /// The loss that counts, in 65,536ths: of packets that get there or whose answer does not get back.
    pub const fn loss(&self) -> u16 {
        self.loss.used
    }
}

/// The part of packets that are lost on one of the two ways: one that is lost either way has to be sent again. So both ends
/// come to the same.
fn either(out: u16, back: u16) -> u16 {
    let (out, back) = (u32::from(out), u32::from(back));
    (out + back - ((out * back) >> 16)).min(u32::from(u16::MAX)) as u16
}

/// What loss adds to the cost of a link.
pub fn loss_penalty(loss: u16) -> u16 {
    (u32::from(loss) * PENALTY.0 / PENALTY.1).min(MOST) as u16
}

/// Averages of loss, in 65,536ths of 65,536ths.
#[derive(Clone, Copy, Debug)]
struct SmoothedLoss {
    fast: u32,
    slow: u32,
    /// How long the slow one has been an average of all that came.
    span: Duration,
    /// What counts, in 65,536ths.
    used: u16,
}

impl Default for SmoothedLoss {
    /// As if there had been none for half a minute, so that one packet lost at the start is no catastrophe.
    fn default() -> Self {
        Self {
            fast: 0,
            slow: 0,
            span: FAST,
            used: 0,
        }
    }
}

impl SmoothedLoss {
    fn add(&mut self, sample: u16, since: Duration) {
        let sample = u32::from(sample) << 16;
        self.fast = toward(self.fast, sample, since, FAST);
        self.slow = toward(self.slow, sample, since, self.span);
        self.span = (self.span + since).min(SLOW);
        let threshold = u64::from(self.slow) * 2 + (u64::from(WORSE) << 16);
        if u64::from(self.fast) > threshold {
            // not bad luck: what was before does not count any more
            (self.slow, self.span) = (self.fast, FAST);
        }
        let average = (self.slow >> 16) + BAND;
        let used = u32::from(self.used) + BAND;
        if average * 2 > used * 3 || average * 3 < used * 2 {
            self.used = (self.slow >> 16) as u16;
        }
    }
}

/// An average over `span` with a sample more, which stands for `since`.
fn toward(average: u32, sample: u32, since: Duration, span: Duration) -> u32 {
    let (part, before) = (since.as_micros() as u64, span.as_micros() as u64);
    let whole = (part + before).max(1);
    ((u64::from(average) * before + u64::from(sample) * part) / whole) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::babel::random::Random;

    const PERCENT: u16 = 655;
    const SECOND: Duration = Duration::from_secs(1);

    fn report(loss_out: u16, loss_in: u16) -> Report {
        Report {
            round_trip: Some(Duration::from_millis(20)),
            loss_out,
            loss_in,
            responsive: true,
        }
    }

    /// What counts after each of so many reports, one a second, that each count `packets` with so much loss of a thousand.
    fn counted(random: &mut Random, loss: u64, packets: u64, seconds: usize) -> Vec<u16> {
        let mut quality = Quality::default();
        let mut second = |at: usize| {
            let lost = (0..packets).filter(|_| random.below(1000) < loss).count() as u64;
            let lost = (lost * 65_535 / packets) as u16;
            let now = Time(at as u64 * 1_000_000);
            quality.add(now, &report(lost, 0), None, SECOND * 4);
            quality.loss()
        };
        (0..seconds).map(&mut second).collect()
    }

    #[test]
    fn loss_of_either_way_counts_once() {
        let cases = [
            ((0, 0), 0),
            ((6_554, 0), 6_554),
            ((0, 6_554), 6_554),
            ((32_768, 32_768), 49_152),
            ((u16::MAX, u16::MAX), u16::MAX),
        ];
        for ((out, back), expected) in cases {
            assert_eq!(either(out, back), expected, "{out} and {back}");
        }
    }

    #[test]
    fn a_percent_of_loss_costs_as_much_as_twenty_milliseconds() {
        let profile = RoundTrip::default();
        let penalty = |milliseconds| {
            let mut smoothed = SmoothedRoundTrip::default();
            smoothed.add(Duration::from_millis(milliseconds), &profile);
            smoothed.penalty(&profile)
        };
        let twenty = penalty(60) - penalty(40);
        assert!(loss_penalty(PERCENT).abs_diff(twenty) <= 1);
        assert_eq!(loss_penalty(0), 0);
        assert_eq!(loss_penalty(u16::MAX), 8192, "and no more than that");
    }

    #[test]
    fn constant_loss_is_found_within_two_minutes_and_then_moves_seldom() {
        for seed in 1..=20 {
            let mut random = Random::new(seed);
            // three packets a second, as of an idle channel
            let counts = counted(&mut random, 50, 3, 3600);
            let settled = &counts[120..];
            let range = (2 * PERCENT)..(11 * PERCENT);
            let outside = settled.iter().filter(|loss| !range.contains(loss)).count();
            assert!(outside <= 60, "seed {seed}: {outside} s");
            let moves = settled.windows(2).filter(|two| two[0] != two[1]).count();
            assert!(moves <= 6, "seed {seed}: {moves} moves in an hour");
        }
    }

    #[test]
    fn a_packet_lost_now_and_then_costs_next_to_nothing() {
        for seed in 1..=20 {
            let mut random = Random::new(seed);
            let counts = counted(&mut random, 1, 3, 3600);
            let costs = counts.into_iter().map(loss_penalty);
            let (most, sum) = costs.fold((0, 0), |(most, sum), cost| {
                (cost.max(most), sum + u64::from(cost))
            });
            assert!(
                most <= 600 && sum / 3600 <= 100,
                "seed {seed}: {most}, {sum}"
            );
        }
    }

    #[test]
    fn a_tunnel_that_becomes_bad_is_told_within_a_minute_and_one_that_was_long_bad_stays_so_for_a_while()
     {
        let mut quality = Quality::default();
        let mut now = Time(0);
        let mut run = |quality: &mut Quality, loss: u16, seconds: u32| {
            for _ in 0..seconds {
                now = now + SECOND;
                quality.add(now, &report(loss, 0), None, SECOND * 4);
            }
            quality.loss()
        };
        assert_eq!(run(&mut quality, 0, 600), 0);
        assert!(run(&mut quality, 5 * PERCENT, 40) >= 3 * PERCENT);
        assert!(run(&mut quality, 5 * PERCENT, 600) >= 3 * PERCENT);
        assert!(run(&mut quality, 0, 60) >= 3 * PERCENT);
        assert!(run(&mut quality, 0, 900) <= PERCENT / 3);
    }

    #[test]
    fn a_report_holds_until_the_next() {
        let mut quality = Quality::default();
        quality.add(Time(0), &report(5 * PERCENT, 0), None, SECOND * 4);
        for look in 1..=100 {
            quality.hold(Time(4_000_000 * look), None, SECOND * 4);
        }
        assert!(quality.loss() >= 4 * PERCENT, "{}", quality.loss());
    }

    #[test]
    fn a_short_bad_time_is_soon_forgotten() {
        let mut quality = Quality::default();
        let mut now = Time(0);
        for (loss, seconds) in [(0, 600), (u16::MAX / 2, 5), (0, 120)] {
            for _ in 0..seconds {
                now = now + SECOND;
                quality.add(now, &report(loss, 0), None, SECOND * 4);
            }
        }
        assert!(quality.loss() <= 4 * PERCENT, "{}", quality.loss());
    }

    #[test]
    fn reports_weigh_by_the_time_they_held() {
        let profile = RoundTrip::default();
        let after = |looks: u32| {
            let mut quality = Quality::default();
            let mut sample = report(0, 0);
            quality.add(Time(0), &sample, Some(&profile), SECOND * 4);
            sample.round_trip = Some(Duration::from_millis(120));
            quality.add(Time(0), &sample, Some(&profile), SECOND * 4);
            for number in 1..=looks {
                let at = Time(4_000_000 * u64::from(number) / u64::from(looks));
                quality.hold(at, Some(&profile), SECOND * 4);
            }
            quality.round_trip.duration()
        };
        // 125 of 256 of the difference after one Hello interval, as a sample of Babel's own
        assert_eq!(
            after(1),
            Duration::from_micros(20_000 + 100_000 * 125 / 256)
        );
        let often = after(40);
        assert!(
            often > Duration::from_millis(70) && often < Duration::from_millis(85),
            "{often:?}"
        );
    }
}
