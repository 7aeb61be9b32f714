//! The largest packet that reaches a peer (RFC 8899), without believing anybody but the peer: ICMP may be filtered or forged.
//!
//! A probe is a pair of packets, a small one and one of the size that is asked for. Only where the small one is answered and
//! the large one is not, several times, is the size too large; where neither is, the way itself is gone and nothing is learned.
//! The search begins at the size of our own link, which most ways carry, then halves what is left, along sizes that links have.
//! What was found is asked for again now and then: when it does not pass any more, a black hole, the search begins anew
//! from what every way carries. A way that is too narrow for a tunnel is asked every few seconds whether it still is.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::time::Time;

/// Octets of an IP packet that every way carries (RFC 8200, section 5).
pub const BASE: u16 = 1_280;
/// Closer than so many octets is near enough.
const GRAIN: u16 = 8;
/// A size is too large after so many of its packets were lost, each beside a small one that was not: with 5 % of loss both
/// ways one size in ten thousand errs.
const LOST: u8 = 4;
/// The same of a size that used to pass: one in a hundred million.
const LOST_AFTER_SUCCESS: u8 = 8;
/// Between two probes of what was found.
const CONFIRMATION: Duration = Duration::from_secs(15);
/// Before larger sizes are tried again (RFC 8899, section 5.1.1: `PMTU_RAISE_TIMER`).
const RAISE: Duration = Duration::from_secs(600);
/// Between two probes of a way that is too narrow for a tunnel.
const NARROW: Duration = Duration::from_secs(5);
/// Between two probes while nothing is answered.
const DEAD: Duration = Duration::from_secs(1);
/// What the smallest packets that IPv6 needs have in our tunnels, over IPv4 and IPv6: an octet less, and there is no tunnel.
const LEAST: [u16; 2] = [1_316, 1_336];
/// What links carry: Ethernet and its large frames, PPPoE, tunnels of several kinds, FDDI, ATM. And [`LEAST`].
const COMMON: [u16; 18] = [
    1_316, 1_320, 1_336, 1_350, 1_380, 1_400, 1_420, 1_440, 1_450, 1_460, 1_472, 1_480, 1_492,
    1_500, 2_000, 4_352, 8_950, 9_000,
];

/// A probe to be sent: the packet `small` of any small size, and the packet `large` of `size` octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbe {
    /// Number of the small packet.
    pub small: u32,
    /// Number of the large packet.
    pub large: u32,
    /// Octets of the large IP packet.
    pub size: u16,
}

/// A probe on its way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    probe: PathProbe,
    small_came: bool,
    large_came: bool,
}

/// What is known of the way to one peer.
#[derive(Clone, Debug)]
pub struct PathMtu {
    /// The largest size that is tried.
    upper: u16,
    /// The largest that passes.
    confirmed: u16,
    /// The smallest that does not, or one more than is tried.
    failed: u16,
    asked: Option<Asked>,
    /// Large ones lost of the size that is asked for now.
    lost: u8,
    at: Time,
    /// When larger sizes are tried again, once the search is over.
    raise_at: Option<Time>,
    /// A search of this way has come to its end.
    known: bool,
    black_hole: Option<u16>,
}

impl PathMtu {
    /// Nothing is known but what is true of all ways. The search begins at once; sizes above `upper` are not tried.
    pub fn new(now: Time, upper: u16) -> Self {
        let upper = upper.max(BASE);
        Self {
            upper,
            confirmed: BASE,
            failed: upper.saturating_add(1),
            asked: None,
            lost: 0,
            at: now,
            raise_at: None,
            known: false,
            black_hole: None,
        }
    }

    /// Octets of the largest IP packet that is known to pass.
    pub const fn size(&self) -> u16 {
        self.confirmed
    }

    /// A search has ended: more did not pass then.
    pub const fn is_known(&self) -> bool {
        self.known
    }

    /// No search is under way.
    const fn is_settled(&self) -> bool {
        self.raise_at.is_some()
    }

    /// When [`Self::time_out`] is to be called.
    pub const fn deadline(&self) -> Time {
        self.at
    }

    /// Our own link carries another size now.
    pub fn set_upper(&mut self, now: Time, upper: u16) {
        let upper = upper.max(BASE);
        if upper == self.upper {
            return;
        }
        self.upper = upper;
        self.confirmed = self.confirmed.min(upper);
        self.search(now);
    }

    /// The way is another one: what was found is no longer known.
    pub fn forget_way(&mut self, now: Time) {
        self.confirmed = BASE;
        self.known = false;
        self.search(now);
    }

    /// The way may be another one: whether what was found still passes is asked at once.
    pub fn suspect(&mut self, now: Time) {
        self.at = self.at.min(now);
    }

    /// The size that used to pass, if packets of that size have got lost since this was asked last.
    pub const fn take_black_hole(&mut self) -> Option<u16> {
        self.black_hole.take()
    }

    /// What is to be sent now, if anything. An answer takes at most as long as `patience`, nearly always.
    pub fn time_out(
        &mut self,
        now: Time,
        patience: Duration,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Option<PathProbe> {
        if now < self.at {
            return None;
        }
        let unanswered = self.asked.is_some();
        let dead = self.judge(now);
        if self.raise_at.is_some_and(|raise_at| raise_at <= now) {
            self.search(now);
        }
        let Some(size) = self.wanted() else {
            self.at = now + self.pause();
            if self.raise_at.is_none() {
                self.raise_at = Some(now + RAISE);
                self.known = true;
            } else if let Some(missing) = self.missing().filter(|_| !unanswered) {
                return Some(self.ask(now, missing, patience, random));
            } else if self.confirmed > BASE && !dead {
                return Some(self.ask(now, self.confirmed, patience, random));
            }
            return None;
        };
        let wait = match dead {
            true => patience.max(DEAD),
            false => patience,
        };
        Some(self.ask(now, size, wait, random))
    }

    /// A packet of a probe was answered. Gives whether something larger is known to pass now.
    pub fn replied(&mut self, now: Time, number: u32) -> bool {
        let Some(asked) = &mut self.asked else {
            return false;
        };
        asked.small_came |= number == asked.probe.small;
        if number != asked.probe.large {
            return false;
        }
        asked.large_came = true;
        let size = asked.probe.size.min(self.upper);
        self.asked = None;
        self.lost = 0;
        let larger = size > self.confirmed;
        self.confirmed = self.confirmed.max(size);
        self.failed = self.failed.max(self.confirmed.saturating_add(1));
        self.at = match self.raise_at {
            Some(_) => now + self.pause(),
            None => now,
        };
        if larger && self.is_settled() {
            // what made the way narrow is gone
            self.search(now);
        }
        larger
    }

    fn search(&mut self, now: Time) {
        self.failed = self.upper.saturating_add(1);
        self.raise_at = None;
        self.asked = None;
        self.lost = 0;
        self.at = now;
    }

    /// What the probe that was sent last says, as nothing more comes of it. Gives whether nothing came at all.
    fn judge(&mut self, now: Time) -> bool {
        match self.asked.take() {
            None => false,
            Some(asked) if !asked.small_came => true,
            // a way that was too narrow for a tunnel still is
            Some(asked) if self.is_settled() && asked.probe.size > self.confirmed => false,
            Some(asked) => {
                self.lost += 1;
                self.too_large(now, asked.probe.size);
                false
            }
        }
    }

    /// A large packet was lost and a small one was not.
    fn too_large(&mut self, now: Time, size: u16) {
        if size > self.confirmed {
            if self.lost >= LOST {
                self.failed = size;
                self.lost = 0;
            }
        } else if self.lost >= LOST_AFTER_SUCCESS {
            self.black_hole = Some(self.confirmed);
            self.forget_way(now);
            self.failed = size;
        }
    }

    /// Before the next probe once the search is over.
    fn pause(&self) -> Duration {
        self.missing().map_or(CONFIRMATION, |_| NARROW)
    }

    /// What has to pass for a tunnel, and does not.
    fn missing(&self) -> Option<u16> {
        let mut least = LEAST.into_iter();
        least.find(|size| *size > self.confirmed && *size <= self.upper)
    }

    /// The size to try next; none if the search is over and nothing is doubted.
    fn wanted(&self) -> Option<u16> {
        if self.is_settled() {
            return (self.lost > 0).then_some(self.confirmed);
        }
        let (low, high) = (self.confirmed, self.failed);
        if high > self.upper {
            return (low < self.upper).then_some(self.upper);
        }
        if high.saturating_sub(low) <= GRAIN {
            return None;
        }
        let between = COMMON.iter().filter(|size| (low + 1..high).contains(size));
        let middle = between.clone().count() / 2;
        let common = between.copied().nth(middle);
        Some(common.unwrap_or_else(|| low + (high - low) / 2))
    }

    /// At random, so that nobody answers what he has not received.
    fn ask(
        &mut self,
        now: Time,
        size: u16,
        wait: Duration,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> PathProbe {
        let mut number = || {
            let mut octets = [0; 4];
            random(&mut octets);
            u32::from_be_bytes(octets)
        };
        let (small, large) = (number(), number());
        let large = match large == small {
            true => small.wrapping_add(1),
            false => large,
        };
        let probe = PathProbe { small, large, size };
        self.asked = Some(Asked {
            probe,
            small_came: false,
            large_came: false,
        });
        self.at = now + wait;
        probe
    }
}
