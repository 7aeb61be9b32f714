#![allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]

use std::{collections::BinaryHeap, time::Duration};

use super::{Meter, Probing, Receipt};
use crate::time::Time;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn at(milliseconds: u64) -> Time {
    Time(milliseconds * 1000)
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn hits(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Packet {
    Probe(u64),
    Reply(u64),
}

/// Two ends and the way between them.
struct Pair {
    ends: [Meter; 2],
    /// Of each end: packets sent, highest that came to the other, how many came.
    counts: [(u64, u64, u64); 2],
    on_the_way: BinaryHeap<std::cmp::Reverse<(Time, usize, u64, Packet)>>,
    delay: Duration,
    loss: u64,
    cut: bool,
    dice: Dice,
    now: Time,
    packets: u64,
    fell_silent: u64,
}

impl Pair {
    fn new(delay: Duration, loss: u64, seed: u64) -> Self {
        let meter = |first| Meter::new(Time(0), first, Probing::default());
        Self {
            ends: [meter(true), meter(false)],
            counts: [(0, 0, 0); 2],
            on_the_way: BinaryHeap::new(),
            delay,
            loss,
            cut: false,
            dice: Dice(seed),
            now: Time(0),
            packets: 0,
            fell_silent: 0,
        }
    }

    fn send(&mut self, from: usize, packet: Packet) {
        self.packets += 1;
        let counter = self.counts[from].0;
        self.counts[from].0 += 1;
        if !self.cut && !self.dice.hits(self.loss) {
            let arrival = (self.now + self.delay, 1 - from, counter, packet);
            self.on_the_way.push(std::cmp::Reverse(arrival));
        }
    }

    fn receive(&mut self, end: usize, counter: u64, packet: Packet) {
        let (_, highest, received) = &mut self.counts[1 - end];
        *highest = (*highest).max(counter);
        *received += 1;
        let receipt = Receipt {
            session: 1,
            highest: *highest,
            received: *received,
        };
        self.ends[end].heard(self.now);
        self.ends[end].we_received(receipt);
        self.ends[1 - end].peer_received(receipt);
        match packet {
            Packet::Probe(opaque) => {
                self.send(end, Packet::Reply(opaque));
                if self.ends[end].wants_sample(self.now) {
                    let opaque = self.ends[end].probed(self.now);
                    self.send(end, Packet::Probe(opaque));
                }
            }
            Packet::Reply(opaque) => self.ends[end].replied(self.now, opaque, 0),
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.on_the_way.peek().map(|arrival| arrival.0.0);
            let due = self.ends[0].deadline().min(self.ends[1].deadline());
            let next = arrival.map_or(due, |arrival| arrival.min(due));
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now);
            if arrival.is_some_and(|arrival| arrival <= self.now) {
                let (_, end, counter, packet) = self.on_the_way.pop().unwrap().0;
                self.receive(end, counter, packet);
                continue;
            }
            for end in 0..2 {
                let due = self.ends[end].time_out(self.now);
                self.fell_silent += u64::from(due.fell_silent);
                if due.probe {
                    let opaque = self.ends[end].probed(self.now);
                    self.send(end, Packet::Probe(opaque));
                }
            }
        }
    }

    fn responsive(&self) -> [bool; 2] {
        [0, 1].map(|end: usize| self.ends[end].quality().responsive)
    }
}

#[test]
fn a_cut_is_noticed_by_both_within_a_second_and_so_is_its_end() {
    for milliseconds in [1, 10, 50, 100, 350, 900] {
        let mut pair = Pair::new(MILLISECOND * milliseconds, 0, 1);
        pair.run(SECOND * 10);
        pair.cut = true;
        pair.run(Duration::from_millis(290));
        assert_eq!(pair.responsive(), [true; 2], "too early");
        pair.run(Duration::from_millis(910 + u64::from(milliseconds) * 7));
        assert_eq!(
            pair.responsive(),
            [false; 2],
            "one way takes {milliseconds} ms"
        );
        pair.cut = false;
        pair.run(SECOND + MILLISECOND * (2 * milliseconds + 1));
        assert_eq!(pair.responsive(), [true; 2], "again");
    }
}

#[test]
fn five_percent_of_loss_cuts_nothing_in_an_hour() {
    for seed in 1..20 {
        let mut pair = Pair::new(MILLISECOND * 20, 5, seed);
        pair.run(SECOND * 3600);
        assert_eq!(pair.fell_silent, 0, "seed {seed}");
    }
}

#[test]
fn a_long_way_is_not_taken_for_a_dead_one() {
    let mut pair = Pair::new(MILLISECOND * 350, 2, 3);
    pair.ends[0].sample(Time(0), MILLISECOND * 700);
    pair.ends[1].sample(Time(0), MILLISECOND * 700);
    pair.run(SECOND * 600);
    assert_eq!(pair.fell_silent, 0);
}

#[test]
fn a_stalled_process_raises_no_alarm() {
    let mut pair = Pair::new(MILLISECOND * 5, 0, 1);
    pair.run(SECOND * 10);
    // nothing is done for five seconds: then there is one question, and no eight
    pair.now = pair.now + SECOND * 5;
    pair.on_the_way.clear();
    pair.run(SECOND);
    assert_eq!((pair.fell_silent, pair.responsive()), (0, [true; 2]));
}

#[test]
fn two_ends_that_were_held_up_for_any_time_are_soon_as_quiet_as_before() {
    for seconds in [1, 5, 12, 15, 45, 200] {
        let mut pair = Pair::new(MILLISECOND * 15, 0, 1);
        pair.run(SECOND * 10);
        // all that is sent now comes at once, later
        let until = pair.now + SECOND * seconds;
        while pair.now < until {
            pair.delay = Duration::from_micros(until.0 - pair.now.0);
            pair.run(MILLISECOND * 10);
        }
        pair.delay = MILLISECOND * 15;
        pair.run(SECOND * 5);
        assert_eq!(pair.responsive(), [true; 2], "{seconds} s");
        let before = pair.packets;
        pair.run(SECOND * 10);
        let packets = pair.packets - before;
        assert!(packets < 60, "{packets} in ten seconds after {seconds} s");
    }
}

#[test]
fn a_way_that_is_not_used_carries_five_packets_a_second_and_both_ends_know_its_round_trip() {
    let mut pair = Pair::new(MILLISECOND * 15, 0, 1);
    pair.run(SECOND * 100);
    assert!((400..=530).contains(&pair.packets), "{}", pair.packets);
    for end in &pair.ends {
        assert_eq!(end.round_trip(), Some(MILLISECOND * 30));
        assert!(end.quality().jitter < MILLISECOND);
    }
}

#[test]
fn round_trips_are_measured_although_there_is_never_silence() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    let mut probes = 0;
    for step in 0..1000 {
        let now = at(step * 20);
        meter.heard(now);
        if meter.time_out(now).probe {
            probes += 1;
            let opaque = meter.probed(now);
            meter.replied(now + MILLISECOND * 10, opaque, 0);
        }
    }
    assert!((4..=6).contains(&probes), "{probes} in 20 s");
}

#[test]
fn the_time_an_answer_waited_is_not_part_of_the_way() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    let opaque = meter.probed(at(100));
    meter.replied(at(150), opaque, 20_000);
    assert_eq!(meter.round_trip(), Some(MILLISECOND * 30));
}

#[test]
fn answers_to_nothing_or_a_second_time_or_from_before_the_question_measure_nothing() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    meter.replied(at(150), 77, 0);
    assert_eq!(meter.round_trip(), None, "nothing was asked");
    let opaque = meter.probed(at(200));
    meter.replied(at(250), opaque, 60_000);
    assert_eq!(meter.round_trip(), None, "it waited longer than we did");
    let opaque = meter.probed(at(300));
    meter.replied(at(310), opaque, 0);
    meter.replied(at(900), opaque, 0);
    assert_eq!(meter.round_trip(), Some(MILLISECOND * 10));
}

#[test]
fn loss_is_measured_both_ways() {
    // loss in percent, what may be measured in percent
    for (loss, range) in [(0, 0..1), (5, 2..9), (20, 13..27), (50, 40..60)] {
        let mut pair = Pair::new(MILLISECOND * 10, loss, 7);
        pair.run(SECOND * 300);
        for end in &pair.ends {
            let quality = end.quality();
            for measured in [quality.loss_in, quality.loss_out] {
                let percent = u32::from(measured) * 100 / 65_536;
                assert!(range.contains(&percent), "{percent} % of {loss} %");
            }
        }
    }
}

#[test]
fn what_comes_late_is_not_lost() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    for round in 1..200 {
        // each receipt lacks two that come later
        meter.we_received(Receipt {
            session: 1,
            highest: round * 20 - 1,
            received: round * 20 - 2,
        });
    }
    let percent = f64::from(meter.quality().loss_in) / 655.36;
    assert!(percent < 0.1, "{percent}");
}

#[test]
fn a_new_session_counts_from_its_beginning_and_old_receipts_say_nothing() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    let receipt = |session, highest, received| Receipt {
        session,
        highest,
        received,
    };
    meter.peer_received(receipt(1, 99, 100));
    meter.peer_received(receipt(1, 59, 40));
    meter.peer_received(receipt(2, 49, 50));
    assert_eq!(meter.quality().loss_out, 0);
    meter.peer_received(receipt(2, u64::MAX, u64::MAX));
    meter.peer_received(receipt(2, 0, 0));
    assert_eq!(meter.quality().loss_out, 0);
}

#[test]
fn what_is_alike_is_reported_once_and_silence_at_once() {
    let mut meter = Meter::new(Time(0), true, Probing::default());
    meter.sample(at(1), MILLISECOND * 100);
    assert!(meter.report(at(1)).is_some());
    assert!(meter.report(at(5000)).is_none());
    meter.sample(at(6000), MILLISECOND * 120);
    assert!(meter.report(at(6000)).is_none(), "2.5 ms of 100");
    meter.sample(at(6500), MILLISECOND * 300);
    assert!(meter.report(at(6500)).is_some());
    meter.sample(at(6600), MILLISECOND * 900);
    assert!(
        meter.report(at(6600)).is_none(),
        "not twice within a second"
    );
    meter.unresponsive_since = Some(at(6700));
    assert!(meter.report(at(6700)).is_some_and(|it| !it.responsive));
}

#[test]
fn a_new_way_is_asked_at_once_and_measured_afresh() {
    let mut meter = Meter::new(Time(0), false, Probing::default());
    meter.sample(at(1), MILLISECOND * 100);
    meter.heard(at(50));
    meter.forget_way(at(60));
    assert_eq!((meter.deadline(), meter.round_trip()), (at(60), None));
}
