//! Round-trip time of a link, without common clocks (RFC 9616).

use std::time::Duration;

use crate::babel::settings::RoundTrip;

/// Longer ones are errors (RFC 9616 section 3.3).
const LONGEST: u32 = 600_000_000;

/// The four times of one exchange, in microseconds of clocks that wrap: ours and the neighbour's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Ours, when our Hello left.
    pub hello_sent: u32,
    /// The neighbour's, when it got it.
    pub hello_received: u32,
    /// The neighbour's, when its answer left.
    pub answer_sent: u32,
    /// Ours, when we got that.
    pub answer_received: u32,
}

impl Exchange {
    /// The time on the way: between our two times, less what lies between the neighbour's (RFC 9616 section 3.3). `None`
    /// if a part is negative or too long.
    pub fn round_trip(self) -> Option<Duration> {
        let ours = self.answer_received.wrapping_sub(self.hello_sent);
        let theirs = self.answer_sent.wrapping_sub(self.hello_received);
        if ours > LONGEST || theirs > LONGEST {
            return None;
        }
        ours.checked_sub(theirs)
            .map(|microseconds| Duration::from_micros(microseconds.into()))
    }
}

/// The round-trip time so far, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmoothedRoundTrip(Option<u32>);

impl SmoothedRoundTrip {
    /// Counts a sample in: an exponential average (RFC 9616 section 4).
    pub fn add(&mut self, sample: Duration, profile: &RoundTrip) {
        self.approach(sample, u64::from(profile.decay), 256);
    }

    /// Goes `part` of `whole` of the way to a sample; all of it to the first.
    pub fn approach(&mut self, sample: Duration, part: u64, whole: u64) {
        let sample = sample.as_micros().min(u128::from(LONGEST));
        let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
        let rest = whole.saturating_sub(part);
        self.0 = Some(match self.0 {
            None => sample as u32,
            Some(old) => ((part * sample + rest * u128::from(old)) / whole) as u32,
        });
    }

    pub const fn microseconds(self) -> Option<u32> {
        self.0
    }

    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0.unwrap_or(0).into())
    }

    /// What it adds to the cost of the link.
    pub fn penalty(self, profile: &RoundTrip) -> u16 {
        profile.penalty(self.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_the_clocks_readings_of_the_other_side_does_not_count() {
        let cases = [
            ((1_000, 50_000, 90_000, 61_000), Some(20_000)),
            // both clocks wrap (RFC 9616 section 3)
            ((u32::MAX - 999, u32::MAX - 9, 990, 2_000), Some(2_000)),
            // the neighbour claims to have kept it longer than we waited
            ((0, 0, 5_000, 4_000), None),
            // the neighbour's clock went backwards
            ((0, 5_000, 4_000, 9_000), None),
            // longer than ten minutes
            ((0, 0, 0, 600_000_001), None),
        ];
        for ((hello_sent, hello_received, answer_sent, answer_received), expected) in cases {
            let exchange = Exchange {
                hello_sent,
                hello_received,
                answer_sent,
                answer_received,
            };
            assert_eq!(
                exchange.round_trip(),
                expected.map(Duration::from_micros),
                "{exchange:?}"
            );
        }
    }

    #[test]
    fn the_penalty_of_re6st_is_ten_for_a_millisecond() {
        let profile = RoundTrip::default();
        for (milliseconds, expected) in [
            (5, 0),
            (10, 0),
            (50, 408),
            (100, 918),
            (200, 1938),
            (500, 5000),
            (900, 5000),
        ] {
            let mut smoothed = SmoothedRoundTrip::default();
            smoothed.add(Duration::from_millis(milliseconds), &profile);
            assert_eq!(smoothed.penalty(&profile), expected, "{milliseconds} ms");
        }
    }

    #[test]
    fn a_new_sample_counts_by_its_weight() {
        let profile = RoundTrip {
            decay: 42,
            ..RoundTrip::default()
        };
        let mut smoothed = SmoothedRoundTrip::default();
        smoothed.add(Duration::from_micros(256), &profile);
        smoothed.add(Duration::from_micros(512), &profile);
        assert_eq!(smoothed.microseconds(), Some(256 + 42));
    }
}
