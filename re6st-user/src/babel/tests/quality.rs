//! Tunnels whose channels measure them: which of them is used, how steadily, and how much is said of noise.

use std::{collections::BTreeMap, time::Duration};

use super::{
    bench::{Bench, LAN, OTHER, heard, hello, update, updates},
    network::{Link, Network, Node, prefix},
};
use crate::babel::{
    input::{Input, InterfaceId},
    message::Message,
    output::NeighbourSnapshot,
    quantities::Metric,
    random::Random,
    settings::{InterfaceKind, InterfaceSettings, RoundTrip, Settings},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u32 = 3600;

fn measured(settings: &mut InterfaceSettings) {
    settings.round_trip = Some(RoundTrip::default());
    settings.measured = true;
}

/// A tunnel of so many milliseconds there and back that loses so many of a thousand packets each way.
fn tunnel(one: Node, other: Node, milliseconds: u64, loss: u64) -> Link {
    Link {
        delay: Duration::from_millis(milliseconds) / 2,
        loss,
        ..Link::new(one, other, 96)
    }
}

/// What channels see of links.
struct Channels {
    random: Random,
    /// Packets each way from one look to the next.
    packets: u64,
    /// Of each end of each link: loss out and in on the average, in 65,536ths, and the same as last reported.
    losses: BTreeMap<(usize, Node), ([f64; 2], [u16; 2])>,
    /// Of round-trip times, in thousandths: two thirds of all samples are less than so far from the truth.
    noise: u64,
}

impl Channels {
    /// Idle ones: a probe and a receipt now and then.
    fn idle(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            packets: 3,
            losses: BTreeMap::new(),
            noise: 50,
        }
    }

    fn lost(&mut self, loss: u64) -> f64 {
        let lost = (0..self.packets).filter(|_| self.random.below(1000) < loss);
        lost.count() as f64 * 65_535.0 / self.packets as f64
    }

    /// An average over about two hundred packets, which is told when it is off by a percent, or a fifth.
    fn losses(&mut self, end: (usize, Node), now: [f64; 2]) -> [u16; 2] {
        let (averages, said) = self.losses.entry(end).or_default();
        for ((average, said), now) in averages.iter_mut().zip(said).zip(now) {
            *average += (now - *average) * self.packets as f64 / 200.0;
            let rounded = *average as u16;
            if rounded.abs_diff(*said) > (*said / 5).max(655) {
                *said = rounded;
            }
        }
        self.losses[&end].1
    }

    /// A round-trip time as it is measured: the sum of twelve even numbers is nearly normal.
    fn sample(&mut self, truth: Duration) -> Duration {
        let sum: u64 = (0..12).map(|_| self.random.below(1001)).sum();
        let micros = truth.as_micros() as i64;
        let error = micros * (sum as i64 - 6000) / 1000 * self.noise as i64 / 1000;
        Duration::from_micros((micros + error).max(0) as u64)
    }

    /// Both ends of each link say how it is.
    fn report(&mut self, network: &mut Network) {
        for number in 0..network.links.len() {
            let link = network.links[number];
            let there = self.lost(link.loss);
            let back = self.lost(link.loss);
            for (node, out, back) in [(link.ends.0, there, back), (link.ends.1, back, there)] {
                let [loss_out, loss_in] = self.losses((number, node), [out, back]);
                let quality = Input::Quality {
                    interface: InterfaceId(number as u32),
                    round_trip: Some(self.sample(link.delay * 2)),
                    loss_out,
                    loss_in,
                    responsive: true,
                };
                network.tell(node, quality);
            }
        }
    }
}

/// Which link node 0 sends to node 1 on, after each second of so many.
fn used(network: &mut Network, channels: &mut Channels, seconds: u32) -> Vec<Option<u32>> {
    let mut second = |_| {
        network.run(SECOND);
        channels.report(network);
        let route = network.installed[0].get(&prefix(1));
        route.map(|route| route.interface.0)
    };
    (0..seconds).map(&mut second).collect()
}

fn changes(used: &[Option<u32>]) -> usize {
    used.windows(2).filter(|two| two[0] != two[1]).count()
}

fn two_tunnels(one: (u64, u64), other: (u64, u64), seed: u64) -> Network {
    let links = vec![tunnel(0, 1, one.0, one.1), tunnel(0, 1, other.0, other.1)];
    Network::with(2, links, seed, measured, |_| {})
}

#[test]
fn the_nearer_of_two_tunnels_without_loss_is_used() {
    for seed in 1..=10 {
        let mut network = two_tunnels((20, 0), (60, 0), seed);
        let used = used(&mut network, &mut Channels::idle(seed), 600);
        assert_eq!(changes(&used[60..]), 0, "seed {seed}");
        assert_eq!(used.last(), Some(&Some(0)), "seed {seed}");
    }
}

#[test]
fn a_tunnel_that_loses_packets_is_left_for_a_longer_one_and_not_taken_again() {
    for seed in 1..=10 {
        let mut network = two_tunnels((20, 50), (60, 0), seed);
        let used = used(&mut network, &mut Channels::idle(seed), HOUR);
        let left = used.iter().rposition(|link| *link != Some(1)).unwrap_or(0);
        assert!(left < 180, "seed {seed}: used until {left} s");
    }
}

#[test]
fn a_tunnel_that_begins_to_lose_packets_is_left_within_two_minutes() {
    for seed in 1..=10 {
        let mut network = two_tunnels((20, 0), (60, 0), seed);
        let mut channels = Channels::idle(seed);
        used(&mut network, &mut channels, 600);
        network.links[0].loss = 50;
        let used = used(&mut network, &mut channels, HOUR);
        let left = used.iter().rposition(|link| *link != Some(1)).unwrap_or(0);
        assert!(left < 180, "seed {seed}: used until {left} s");
    }
}

#[test]
fn two_tunnels_that_lose_as_much_are_not_used_in_turn() {
    for seed in 1..=10 {
        let mut network = two_tunnels((20, 50), (25, 50), seed);
        let used = used(&mut network, &mut Channels::idle(seed), HOUR);
        let changes = changes(&used[300..]);
        assert!(changes <= 4, "seed {seed}: {changes} changes in an hour");
    }
}

/// Updates that all nodes of a random network send in five minutes in which nothing happens but noise.
fn updates_of_noise(seed: u64, settings: fn(&mut Settings)) -> u64 {
    const NODES: usize = 12;
    let mut random = Random::new(seed);
    let mut links = Vec::new();
    for node in 1..NODES {
        links.push((random.below(node as u64) as usize, node));
    }
    while links.len() < 3 * NODES {
        let ends = [(); 2].map(|()| random.below(NODES as u64) as usize);
        if ends[0] != ends[1] {
            links.push((ends[0], ends[1]));
        }
    }
    let mut link = |(one, other)| tunnel(one, other, 10 + random.below(190), 0);
    let links = links.into_iter().map(&mut link).collect();
    let mut network = Network::with(NODES, links, seed, measured, settings);
    let mut channels = Channels::idle(seed);
    let mut run = |network: &mut Network, seconds: u32| {
        for _ in 0..seconds / 4 {
            channels.report(network);
            network.run(SECOND * 4);
        }
        let speakers = network.speakers.iter().flatten();
        speakers
            .map(|speaker| speaker.counters().updates_sent)
            .sum::<u64>()
    };
    let before = run(&mut network, 120);
    run(&mut network, 300) - before
}

#[test]
fn small_changes_cost_next_to_nothing() {
    let mut sums = (0, 0);
    for seed in 1..=3 {
        let all = updates_of_noise(seed, |settings| settings.small_change = 0);
        let large = updates_of_noise(seed, |_| {});
        sums = (sums.0 + all, sums.1 + large);
    }
    let (all, large) = sums;
    assert!(all >= 150 * large, "{all} against {large}");
}

#[test]
fn a_small_change_is_announced_with_everything_and_a_large_one_at_once() {
    // section 3.7.2
    let mut bench = Bench::new(|_, lan| lan.split_horizon = false);
    bench.meet(OTHER);
    let mut says = |metric: u16, wait: Duration| {
        bench.hear(OTHER, &[update(OTHER, 100, 5, 7, metric)]);
        bench.wait(wait);
        updates(&bench.said(), 100)
    };
    let moment = Duration::from_millis(200);
    assert_eq!(says(1_000, moment), [(7, 1_096)]);
    assert_eq!(says(1_100, moment), [], "9 % worse");
    assert_eq!(says(920, moment), [], "7 % better");
    assert!(says(920, SECOND * 20).contains(&(7, 1_016)));
    assert_eq!(says(1_030, moment), [(7, 1_126)], "11 % worse");
    assert_eq!(says(900, moment), [(7, 996)], "12 % better");
}

/// Beside a neighbour at the other end of a tunnel whose channel measures it, or not.
fn beside(is_measured: bool) -> Bench {
    let mut bench = Bench::with_announced(|_, tunnel| {
        tunnel.kind = InterfaceKind::Tunnel;
        measured(tunnel);
        tunnel.measured = is_measured;
    });
    bench.meet(OTHER);
    bench
}

fn reports(bench: &mut Bench, milliseconds: u64, loss: u16, responsive: bool) {
    bench.input(Input::Quality {
        interface: LAN,
        round_trip: Some(Duration::from_millis(milliseconds)),
        loss_out: loss,
        loss_in: 0,
        responsive,
    });
}

fn neighbour(bench: &Bench) -> NeighbourSnapshot {
    let mut neighbours = bench.speaker.neighbours().into_iter();
    neighbours.next().expect("it was met")
}

/// Whether Babel measures by itself: probes, times, large packets.
fn measures(said: &[Message]) -> [bool; 3] {
    let any = |is: fn(&Message) -> bool| said.iter().any(is);
    [
        any(|message| matches!(message, Message::Probe { .. })),
        any(|message| {
            matches!(
                message,
                Message::Hello {
                    timestamp: Some(_),
                    ..
                }
            )
        }),
        any(|message| matches!(message, Message::AcknowledgmentRequest { .. })),
    ]
}

#[test]
fn where_a_channel_measures_babel_asks_nothing_and_says_hello_all_the_same() {
    for (is_measured, expected) in [(false, [true; 3]), (true, [false; 3])] {
        let mut bench = beside(is_measured);
        // it is of our kind
        bench.hear(OTHER, &[Message::ProbeReply { token: 1 }]);
        bench.wait(SECOND * 20);
        let said = bench.said();
        assert_eq!(measures(&said), expected);
        let count = |is: fn(&&Message) -> bool| said.iter().filter(is).count();
        assert!(count(|message| matches!(message, Message::Hello { .. })) >= 5);
        assert!(count(|message| matches!(message, Message::IHeardYou { .. })) >= 5);
    }
}

#[test]
fn who_measures_may_change() {
    let mut bench = beside(false);
    for is_measured in [true, false] {
        let mut tunnel = InterfaceSettings::new(InterfaceKind::Tunnel, super::bench::OURS);
        tunnel.measured = is_measured;
        bench.input(Input::Interface {
            interface: LAN,
            settings: Box::new(tunnel),
        });
        reports(&mut bench, 100, 0, false);
        bench.wait(SECOND);
        bench.said();
        bench.wait(SECOND * 20);
        assert_eq!(measures(&bench.said())[1..], [!is_measured; 2]);
        assert_eq!(neighbour(&bench).unresponsive, is_measured);
    }
}

#[test]
fn round_trips_and_loss_of_the_channel_make_the_cost() {
    let mut bench = beside(true);
    for _ in 0..600 {
        reports(&mut bench, 60, 0, true);
        bench.wait_among(&[OTHER], 1);
    }
    assert_eq!(neighbour(&bench).cost, Metric(96 + 510));
    for _ in 0..600 {
        reports(&mut bench, 60, 6_554, true);
        bench.wait_among(&[OTHER], 1);
    }
    let found = neighbour(&bench);
    let loss = found.loss.expect("it is measured");
    assert!((4_000..=7_000).contains(&loss), "{loss}");
    assert_eq!(
        found.cost,
        Metric(96 + 510 + (u32::from(loss) * 5 / 16) as u16)
    );
    let mut bench = beside(false);
    let before = neighbour(&bench).cost;
    reports(&mut bench, 60, 6_554, false);
    assert_eq!(neighbour(&bench).cost, before, "nobody measures there");
}

#[test]
fn who_gives_its_channel_no_sign_of_life_is_avoided_and_told() {
    let mut bench = beside(true);
    reports(&mut bench, 5, 0, true);
    assert_eq!(neighbour(&bench).cost, Metric(96));
    bench.said();
    for (responsive, cost) in [(false, 96 + 16_384), (true, 96)] {
        reports(&mut bench, 5, 0, responsive);
        assert_eq!(neighbour(&bench).cost, Metric(cost));
        let told = bench.said().into_iter().find_map(|message| match message {
            Message::IHeardYou { reception_cost, .. } => Some(reception_cost),
            _ => None,
        });
        assert_eq!(told, Some(Metric(cost)), "at once");
        bench.hear(OTHER, &[heard()]);
        assert_eq!(
            neighbour(&bench).unresponsive,
            !responsive,
            "the channel has the word"
        );
    }
}

#[test]
fn lost_hellos_cost_nothing_where_a_channel_counts_loss_until_six_are_missing() {
    let mut bench = beside(true);
    reports(&mut bench, 5, 0, true);
    bench.hear(OTHER, &[hello(4), heard()]);
    // one in 100 s is promised; the first is missed after half as much more
    for (seconds, cost) in [(140, 96), (400, 96), (200, u16::MAX)] {
        bench.wait(SECOND * seconds);
        assert_eq!(neighbour(&bench).cost, Metric(cost));
    }
}

#[test]
fn settings_of_before_channels_are_read() {
    let without = |value: serde_json::Value, names: &[&str]| {
        let mut value = value;
        let object = value.as_object_mut().expect("an object");
        for name in names {
            assert!(object.remove(*name).is_some(), "{name}");
        }
        value
    };
    let tunnel = InterfaceSettings::new(InterfaceKind::Tunnel, OTHER);
    let old = without(
        serde_json::to_value(&tunnel).expect("it can"),
        &["measured"],
    );
    let read: InterfaceSettings = serde_json::from_value(old).expect("as before");
    assert_eq!(read, tunnel);
    let settings = Settings::new(super::network::router_id(0));
    let names = ["small_change", "origins"];
    let old = without(serde_json::to_value(&settings).expect("it can"), &names);
    let read: Settings = serde_json::from_value(old).expect("as before");
    assert_eq!(read, settings);
}
