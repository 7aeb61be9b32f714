//! Packets of others, and ours as others send them again.

use std::net::SocketAddr;

use super::world::{
    MILLISECOND, Packet, Payload, SECOND, World, address, cookie_reply, name, with_seeds,
};
use crate::channel::{Counters, Input};

/// A connected pair, and all packets of its channel.
fn recorded() -> (World, Vec<Packet>) {
    let mut world = World::new(2, 1);
    world.recorded = Some(Vec::new());
    world.call(1, 2);
    world.run(SECOND * 2);
    let packets = world.recorded.take().unwrap();
    (world, packets)
}

fn bytes(packet: &Packet) -> &[u8] {
    match &packet.payload {
        Payload::Channel(bytes) => bytes,
        Payload::Data(_) => &[],
    }
}

fn inject(world: &mut World, node: u64, from: SocketAddr, bytes: &[u8]) {
    let to = world.node(node).address.ip();
    world.input(node, Input::Datagram { from, to, bytes });
}

fn counters(world: &mut World, node: u64) -> Counters {
    *world.node(node).counters()
}

/// The first of this kind to a node.
fn first(packets: &[Packet], kind: u8, to: u64) -> &Packet {
    let mut packets = packets.iter();
    packets
        .find(|it| bytes(it)[0] == kind && it.to == address(to, 1))
        .unwrap()
}

#[test]
fn packets_that_come_again_do_nothing_wherever_they_come_from() {
    let (mut world, packets) = recorded();
    let before = counters(&mut world, 2);
    let elsewhere = address(7, 7);
    let to_two = || packets.iter().filter(|it| it.to == address(2, 1));
    for packet in to_two() {
        inject(&mut world, 2, elsewhere, bytes(packet));
    }
    let after = counters(&mut world, 2);
    let transports = to_two().filter(|it| bytes(it)[0] == 4).count() as u64;
    assert_eq!(after.replayed_handshake - before.replayed_handshake, 1);
    assert_eq!(after.replayed_packet - before.replayed_packet, transports);
    assert_eq!(after.moves, 0);
    assert_eq!(world.report(2, 1).unwrap().address, Some(address(1, 1)));
    world.assert_connected(1, 2);
}

#[test]
fn an_initiation_that_is_too_old_to_be_remembered_replaces_nothing() {
    let (mut world, packets) = recorded();
    world.node(2).settings.limits.remembered_initiations = 1;
    world.boot(2);
    world.run(SECOND * 5);
    let initiation = first(&packets, 1, 2);
    for _ in 0..20 {
        inject(&mut world, 2, address(7, 7), bytes(initiation));
        world.run(SECOND * 20);
    }
    assert_eq!(world.report(2, 1).unwrap().address, Some(address(1, 1)));
    assert!(world.node(2).closed.is_empty());
    world.assert_connected(1, 2);
}

#[test]
fn reflected_packets_are_refused() {
    let (mut world, packets) = recorded();
    let before = counters(&mut world, 1);
    for packet in packets.iter().filter(|it| it.from == address(1, 1)) {
        inject(&mut world, 1, address(2, 1), bytes(packet));
    }
    let after = counters(&mut world, 1);
    assert_eq!(after.wrong_mac - before.wrong_mac, 1);
    assert!(after.unknown_session > before.unknown_session);
    world.assert_connected(1, 2);
}

#[test]
fn strangers_get_no_answer() {
    let (_, packets) = recorded();
    let initiation = first(&packets, 1, 2);
    let mut world = World::new(3, 2);
    inject(&mut world, 3, address(1, 1), bytes(initiation));
    assert_eq!(counters(&mut world, 3).wrong_mac, 1);
    assert_eq!(counters(&mut world, 3).datagrams_sent, 0);
}

#[test]
fn packets_with_any_bit_changed_or_cut_short_anywhere_are_refused_and_counted() {
    let (mut world, packets) = recorded();
    for kind in [1, 2, 4] {
        let packet = bytes(first(&packets, kind, if kind == 2 { 1 } else { 2 }));
        let node = if kind == 2 { 1 } else { 2 };
        let before = counters(&mut world, node);
        let mut injected = 0;
        for bit in (8..packet.len() * 8).step_by(5) {
            let mut changed = packet.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            inject(&mut world, node, address(7, 7), &changed);
            injected += 1;
        }
        for length in (0..packet.len()).step_by(7) {
            inject(&mut world, node, address(7, 7), &packet[..length]);
            injected += 1;
        }
        let refused = |it: &Counters| {
            it.malformed_packets
                + it.wrong_mac
                + it.replayed_handshake
                + it.too_many_initiations_of_source
                + it.bad_initiation
                + it.unknown_response
                + it.bad_response
                + it.unknown_session
                + it.bad_packet
                + it.bad_epoch
                + it.replayed_packet
                + it.dead_session
        };
        let after = counters(&mut world, node);
        assert_eq!(refused(&after) - refused(&before), injected, "kind {kind}");
        assert_eq!(after.moves, 0);
    }
    world.assert_connected(1, 2);
}

#[test]
fn packets_of_another_session_are_refused() {
    let (_, packets) = recorded();
    let (mut world, own) = {
        let mut world = World::new(2, 99);
        world.recorded = Some(Vec::new());
        world.call(1, 2);
        world.run(SECOND * 2);
        let packets = world.recorded.take().unwrap();
        (world, packets)
    };
    let index: [u8; 4] = bytes(first(&own, 4, 2))[4..8].try_into().unwrap();
    let before = counters(&mut world, 2);
    let mut mixed = 0;
    for packet in packets.iter().filter(|it| bytes(it)[0] == 4) {
        let mut bytes = bytes(packet).to_vec();
        bytes[4..8].copy_from_slice(&index);
        // a counter that has not come
        bytes[8..16].copy_from_slice(&(5_000_u64 + mixed).to_be_bytes());
        inject(&mut world, 2, address(1, 1), &bytes);
        mixed += 1;
    }
    let after = counters(&mut world, 2);
    let refused = after.bad_packet + after.bad_epoch - before.bad_packet - before.bad_epoch;
    assert_eq!(refused, mixed);
    world.assert_connected(1, 2);
}

#[test]
fn a_cookie_makes_the_initiation_leave_again_once_and_moves_nobody() {
    let mut world = World::new(2, 1);
    world.cut = true;
    world.recorded = Some(Vec::new());
    world.call(1, 2);
    world.run(MILLISECOND);
    let initiation = bytes(&world.recorded.take().unwrap()[0]).to_vec();
    let reply = cookie_reply(&initiation, b"biscuits");
    // a MAC that was guessed
    let mut guessed = reply.clone();
    guessed[20] ^= 1;
    inject(&mut world, 1, address(7, 7), &guessed);
    assert_eq!(counters(&mut world, 1).unknown_cookie, 1);
    world.recorded = Some(Vec::new());
    inject(&mut world, 1, address(7, 7), &reply);
    inject(&mut world, 1, address(7, 7), &reply);
    let sent = world.recorded.take().unwrap();
    assert_eq!(sent.len(), 1, "once");
    assert_eq!(counters(&mut world, 1).repeated_cookie, 1);
    assert_eq!(sent[0].to, address(2, 1), "to where it was sent before");
    let mut expected = initiation;
    expected[8..16].copy_from_slice(b"biscuits");
    assert_eq!(bytes(&sent[0]), expected);
}

#[test]
fn what_is_computed_for_one_source_and_for_all_is_bounded() {
    let mut world = World::new(2, 1);
    world.way.loss = 100;
    world.recorded = Some(Vec::new());
    world.node(1).settings.timers.retry = MILLISECOND * 100;
    world.node(1).settings.timers.retry_max = MILLISECOND * 100;
    world.boot(1);
    world.call(1, 2);
    world.run(SECOND * 60);
    let initiations = world.recorded.take().unwrap();
    assert!(initiations.len() > 400, "{}", initiations.len());
    // all at once from one address
    for packet in &initiations[..200] {
        inject(&mut world, 2, address(1, 1), bytes(packet));
    }
    let counted = counters(&mut world, 2);
    assert_eq!(counted.initiations_answered, 20);
    assert_eq!(counted.too_many_initiations_of_source, 180);
    // and from many
    world.node(2).settings.limits.initiations.count = 50;
    world.boot(2);
    for (at, packet) in initiations.iter().enumerate() {
        inject(&mut world, 2, address(at as u64 % 250, 3), bytes(packet));
    }
    let counted = counters(&mut world, 2);
    assert!(counted.initiations_answered <= 51);
    assert!(counted.too_many_initiations > 300);
    assert!(
        world.node(2).channels.as_ref().unwrap().sizes().unconfirmed <= 4,
        "of one node"
    );
}

#[test]
fn garbage_is_counted() {
    with_seeds(20, |seed| {
        let mut world = World::pair(seed);
        world.run(SECOND);
        for _ in 0..500 {
            let length = world.dice.below(1500);
            let mut bytes: Vec<u8> = (0..length).map(|_| world.dice.next() as u8).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 1 + *first % 4;
            }
            inject(&mut world, 2, address(1, 1), &bytes);
        }
        world.assert_connected(1, 2);
        assert!(world.node(2).tunnels.contains_key(&name(1)));
    });
}
