//! Many routes and many nodes. The largest ones run only if RE6ST_SCALE is set.

use std::time::{Duration, Instant};

use super::network::{Link, Network, prefix};
use crate::{
    babel::{
        input::{Input, InterfaceId, Restored},
        message::{Message, NextHop, Update},
        output::{GROUP, Output},
        quantities::{Interval, Metric, SequenceNumber},
        random::Random,
        settings::{InterfaceKind, InterfaceSettings, Settings},
        speaker::Speaker,
        wire::PacketWriter,
    },
    time::Time,
};

const SECOND: Duration = Duration::from_secs(1);

fn is_large_wanted() -> bool {
    std::env::var_os("RE6ST_SCALE").is_some()
}

/// A ring with as many random links more.
fn ring_and_chords(nodes: usize) -> Vec<Link> {
    let mut random = Random::new(nodes as u64);
    let mut links: Vec<Link> = (0..nodes)
        .map(|node| Link::new(node, (node + 1) % nodes, 96))
        .collect();
    for node in 0..nodes {
        let other = random.below(nodes as u64) as usize;
        let near = other.abs_diff(node) <= 1 || other.abs_diff(node) == nodes - 1;
        let known = links
            .iter()
            .any(|link| [(node, other), (other, node)].contains(&link.ends));
        if !near && !known {
            links.push(Link::new(node, other, 96));
        }
    }
    links
}

#[test]
fn many_nodes_find_the_shortest_ways() {
    let nodes = if is_large_wanted() { 1_000 } else { 100 };
    let begin = Instant::now();
    let mut network = Network::new(nodes, ring_and_chords(nodes), 1);
    network.run(SECOND * 30);
    let every = (0..nodes).step_by(nodes / 20).map(prefix);
    network.assert_shortest(&every.collect::<Vec<_>>());
    println!(
        "{nodes} nodes: 30 s in {:?}, {} packets",
        begin.elapsed(),
        network.packets
    );
}

/// Four neighbours announce the same routes, each of its own origin, to one speaker on links of their own.
#[test]
fn four_full_tables_are_learned() {
    let routes: usize = if is_large_wanted() { 50_000 } else { 2_000 };
    let ours = "fe80::1".parse().expect("an address");
    let mut now = Time(1_000_000);
    let settings = Settings::new(super::network::router_id(999_999));
    let mut speaker = Speaker::new(now, settings, &Restored::default(), 1);
    let mut outputs = Vec::new();
    let begin = Instant::now();
    for interface in 0..4u16 {
        let mut settings = InterfaceSettings::new(InterfaceKind::Tunnel, ours);
        settings.round_trip = None;
        let settings = Box::new(settings);
        let interface = InterfaceId(interface.into());
        speaker.handle(
            now,
            Input::Interface {
                interface,
                settings,
            },
            &mut outputs,
        );
    }
    let mut installed = 0;
    for interface in 0..4u16 {
        let source = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2 + interface);
        let greeting = (1..4u16).flat_map(|number| {
            [
                Message::Hello {
                    unicast: false,
                    sequence_number: SequenceNumber(number),
                    interval: Interval(60_000),
                    timestamp: None,
                },
                Message::IHeardYou {
                    address: None,
                    reception_cost: Metric(96),
                    interval: Interval(60_000),
                    timestamps: None,
                },
            ]
        });
        let updates = (0..routes).map(|n| {
            Message::Update(Update {
                route: prefix(n),
                router_id: Some(super::network::router_id(n)),
                sequence_number: SequenceNumber(1),
                // the last one is the best
                metric: Metric(1_000 - 100 * interface),
                interval: Interval(60_000),
                next_hop: Some(NextHop::Ipv6(source)),
            })
        });
        let mut packet = PacketWriter::new(1_400, source);
        let mut packets = Vec::new();
        for message in greeting.chain(updates) {
            if packet.push(&message).is_err() {
                let full = std::mem::replace(&mut packet, PacketWriter::new(1_400, source));
                packets.push(full.finish());
                packet.push(&message).expect("there is room");
            }
        }
        packets.push(packet.finish());
        for bytes in packets {
            now = now + Duration::from_millis(1);
            let input = Input::Received {
                interface: InterfaceId(interface.into()),
                source,
                destination: GROUP,
                bytes,
                received_at: now,
            };
            speaker.handle(now, input, &mut outputs);
            installed += take_installs(&mut outputs);
        }
    }
    for _ in 0..1_000 {
        now = now + Duration::from_millis(10);
        speaker.handle(now, Input::Time, &mut outputs);
        installed += take_installs(&mut outputs);
    }
    let learned = begin.elapsed();
    println!("4 x {routes} routes in {learned:?} of work, {installed} installations");
    assert_eq!(speaker.installed().len(), routes);
    assert!(learned < SECOND * 20, "{learned:?}");
    let begin = Instant::now();
    let before = speaker.counters().selections;
    for _ in 0..1_000 {
        now = now + Duration::from_millis(10);
        speaker.handle(now, Input::Time, &mut outputs);
        outputs.clear();
    }
    println!("ten seconds after that: {:?} of work", begin.elapsed());
    assert_eq!(speaker.counters().selections, before, "nothing changes");
}

fn take_installs(outputs: &mut Vec<Output>) -> usize {
    let installs = std::mem::take(outputs)
        .into_iter()
        .filter(|output| matches!(output, Output::Install(_)));
    installs.count()
}
