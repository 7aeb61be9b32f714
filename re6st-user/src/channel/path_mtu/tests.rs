use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{BASE, PathMtu, PathProbe};
use crate::time::Time;

const SECOND: Duration = Duration::from_secs(1);
const ROUND_TRIP: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(100);

/// A way that drops what is too large without a word.
struct Way {
    mtu: u16,
    /// In percent, of packets and answers together.
    loss: u64,
    dice: u64,
    path: PathMtu,
    now: Time,
    answers: Vec<(Time, u32)>,
    probes: u64,
    sizes: Vec<u16>,
}

impl Way {
    fn new(mtu: u16, upper: u16) -> Self {
        Self {
            mtu,
            loss: 0,
            dice: 1,
            path: PathMtu::new(Time(0), upper),
            now: Time(0),
            answers: Vec::new(),
            probes: 0,
            sizes: Vec::new(),
        }
    }

    fn passes(&mut self, size: u16) -> bool {
        self.dice = self
            .dice
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        size <= self.mtu && (self.dice >> 33) % 100 >= self.loss
    }

    fn send(&mut self, probe: PathProbe) {
        self.probes += 1;
        self.sizes.push(probe.size);
        for (number, size) in [(probe.small, 100), (probe.large, probe.size)] {
            if self.passes(size) {
                self.answers.push((self.now + ROUND_TRIP, number));
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let answer = self.answers.first().map(|(at, _)| *at);
            let due = self.path.deadline();
            let next = answer.map_or(due, |answer| answer.min(due)).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if answer.is_some_and(|answer| answer <= next) {
                let (_, number) = self.answers.remove(0);
                self.path.replied(next, number);
            } else if let Some(probe) = self.path.time_out(next, PATIENCE, &mut fill) {
                self.send(probe);
            }
        }
    }

    fn assert_found(&self) {
        let (found, true_size) = (self.path.size(), self.mtu.min(self.path.upper));
        assert!(
            found <= true_size,
            "{found} does not pass a way of {true_size}"
        );
        assert!(true_size - found < 8, "{found} of {true_size}");
        assert!(self.path.is_settled());
    }
}

/// No two numbers are the same.
fn fill(octets: &mut [u8]) {
    static NEXT: AtomicU32 = AtomicU32::new(1_000);
    octets.copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
}

#[test]
fn an_answer_that_was_guessed_proves_nothing() {
    let mut path = PathMtu::new(Time(0), 9000);
    let mut random = |octets: &mut [u8]| octets.fill(7);
    let probe = path.time_out(Time(1), PATIENCE, &mut random);
    let numbers = probe.map(|probe| (probe.small, probe.large));
    assert_eq!(numbers, Some((0x0707_0707, 0x0707_0708)));
    for number in 0..100 {
        assert!(!path.replied(Time(2), number));
    }
    assert!(path.replied(Time(3), 0x0707_0708));
}

#[test]
fn every_size_is_found_within_seconds_although_nobody_says_that_packets_are_too_large() {
    for mtu in (1280..=9000)
        .step_by(37)
        .chain([1281, 1492, 1500, 8999, 9000])
    {
        let mut way = Way::new(mtu, 9000);
        way.run(SECOND * 8);
        way.assert_found();
    }
}

/// 1,280 octets and the headers around them, over IPv4 and IPv6: an octet less, and there is no tunnel.
#[test]
fn whether_a_way_carries_the_smallest_packets_that_ipv6_needs_in_a_tunnel_is_known_exactly() {
    for least in [1280 + 36, 1280 + 56] {
        for mtu in least..least + 8 {
            let mut way = Way::new(mtu, 1500);
            way.run(SECOND * 8);
            way.assert_found();
            assert!(way.path.size() >= least, "{} of {mtu}", way.path.size());
        }
    }
}

#[test]
fn a_way_as_wide_as_our_link_costs_one_probe() {
    let mut way = Way::new(9000, 1500);
    way.run(SECOND);
    way.assert_found();
    assert_eq!((way.path.size(), way.probes), (1500, 1));
}

#[test]
fn no_probe_is_larger_than_our_link_and_none_than_the_base_on_the_narrowest() {
    let mut way = Way::new(9000, 1400);
    way.run(SECOND * 1000);
    assert!(way.sizes.iter().all(|size| *size <= 1400));
    let mut way = Way::new(9000, 1280);
    way.run(SECOND * 1000);
    assert_eq!((way.probes, way.path.size()), (0, BASE));
}

#[test]
fn loss_does_not_narrow_a_way() {
    for seed in 0..200 {
        let mut way = Way::new(1500, 1500);
        (way.loss, way.dice) = (5, seed);
        way.run(SECOND * 300);
        assert_eq!(way.path.size(), 1500, "seed {seed}");
    }
}

#[test]
fn a_way_that_becomes_narrow_is_a_black_hole_for_less_than_twenty_seconds() {
    for mtu in [1280, 1300, 1420, 1492] {
        let mut way = Way::new(1500, 1500);
        way.run(SECOND * 40);
        assert_eq!(way.path.take_black_hole(), None);
        way.mtu = mtu;
        way.run(SECOND * 20);
        way.assert_found();
        assert_eq!(way.path.take_black_hole(), Some(1500));
        assert_eq!(way.path.take_black_hole(), None, "said once");
    }
}

#[test]
fn a_way_that_becomes_wider_is_noticed_in_ten_minutes() {
    let mut way = Way::new(1400, 1500);
    way.run(SECOND * 100);
    way.assert_found();
    way.mtu = 1500;
    way.run(SECOND * 610);
    way.assert_found();
}

#[test]
fn a_way_too_narrow_for_a_tunnel_is_asked_every_few_seconds_and_at_little_cost() {
    for narrow in [1280, 1300, 1330] {
        let mut way = Way::new(1500, 1500);
        way.run(SECOND * 40);
        way.mtu = narrow;
        way.run(SECOND * 100);
        way.assert_found();
        way.probes = 0;
        way.run(SECOND * 300);
        assert!(way.probes <= 120, "{} probes", way.probes);
        way.mtu = 1500;
        way.run(SECOND * 10);
        way.assert_found();
    }
}

#[test]
fn a_way_that_some_tunnels_fit_through_is_still_confirmed() {
    let mut way = Way::new(1330, 1500);
    way.run(SECOND * 40);
    way.assert_found();
    way.mtu = 1280;
    way.run(SECOND * 20);
    assert!(way.path.take_black_hole().is_some());
}

#[test]
fn where_nothing_is_answered_nothing_is_learned_and_little_is_sent() {
    let mut way = Way::new(1500, 1500);
    way.run(SECOND * 10);
    way.mtu = 0;
    way.probes = 0;
    way.run(SECOND * 300);
    assert_eq!((way.path.size(), way.path.take_black_hole()), (1500, None));
    assert!(way.probes <= 21, "{}", way.probes);
    way.mtu = 1500;
    way.run(SECOND * 20);
    way.assert_found();
}

#[test]
fn a_search_on_a_dead_way_is_slow_and_goes_on_when_it_lives() {
    let mut way = Way::new(0, 1500);
    way.run(SECOND * 60);
    assert!(way.probes <= 61, "{}", way.probes);
    assert!(!way.path.is_settled());
    way.mtu = 1480;
    way.run(SECOND * 8);
    way.assert_found();
}

#[test]
fn another_link_or_another_way_is_searched_again() {
    let mut way = Way::new(9000, 1500);
    way.run(SECOND);
    way.path.set_upper(way.now, 9000);
    way.run(SECOND);
    assert_eq!(way.path.size(), 9000);
    way.path.set_upper(way.now, 1400);
    assert_eq!(way.path.size(), 1400, "at once");
    way.path.set_upper(way.now, 9000);
    way.run(SECOND);
    way.mtu = 1450;
    way.path.forget_way(way.now);
    assert_eq!(way.path.size(), BASE, "at once");
    way.run(SECOND * 8);
    way.assert_found();
}

#[test]
fn answers_to_nothing_change_nothing() {
    let mut path = PathMtu::new(Time(0), 9000);
    assert!(!path.replied(Time(1), 2));
    let probe = path.time_out(Time(1), PATIENCE, &mut fill);
    assert!(!path.replied(Time(2), 77));
    assert!(probe.is_some_and(|probe| path.replied(Time(3), probe.large)));
    assert_eq!(path.size(), 9000);
    assert!(
        !probe.is_some_and(|probe| path.replied(Time(4), probe.large)),
        "twice"
    );
}
