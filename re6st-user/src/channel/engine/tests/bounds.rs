//! What one peer can cause with packets that its keys make, but no node of ours sends.

use super::world::{MILLISECOND, Payload, SECOND, World, address, name};
use crate::channel::{
    Held, Input,
    event::Event,
    wire::{
        Message,
        message::{DocumentKind, Encapsulation, TunnelTerms},
    },
};

/// What node 1 may say of the tunnel.
fn terms(key: u32, complete: bool) -> Message<'static> {
    Message::Tunnel(TunnelTerms {
        key,
        largest: 1420,
        encapsulation: Encapsulation::Fou,
        has_yours: true,
        behind_nat: false,
        open: false,
        complete,
    })
}

fn document(number: u64, size: usize) -> Held {
    Held {
        parameters: Some((number, vec![5; size])),
        ..Held::default()
    }
}

const WANT: Message<'_> = Message::Want {
    kind: DocumentKind::Parameters,
    number: 3,
    offset: 0,
};

fn connected(nodes: u64) -> World {
    let mut world = World::new(nodes, 1);
    for number in 2..=nodes {
        world.call(1, number);
    }
    world.run(SECOND * 5);
    world
}

#[test]
fn what_is_said_of_the_tunnel_many_times_in_a_packet_changes_it_once_and_is_answered_once() {
    let mut world = connected(2);
    let changes = world.node(2).tunnel_changes;
    let sent = world.node(2).counters().datagrams_sent;
    let many: Vec<_> = (1..=130).map(|at| terms(1 + at % 2, false)).collect();
    world.forge_from(address(1, 1), 1, 2, &many);
    assert_eq!(world.node(2).tunnel_changes - changes, 1);
    assert_eq!(world.node(2).tunnels[&name(1)].send, 1);
    // a probe may be due
    let answers = world.node(2).counters().datagrams_sent - sent;
    assert!((1..=2).contains(&answers), "{answers}");
}

#[test]
fn changes_of_the_tunnel_that_the_peer_makes_are_told_now_and_then_and_the_last_one_counts() {
    let mut world = connected(2);
    let changes = world.node(2).tunnel_changes;
    for key in 1..=3_000 {
        world.forge_from(address(1, 1), 1, 2, &[terms(key, true)]);
        world.run(MILLISECOND);
    }
    let changes = world.node(2).tunnel_changes - changes;
    assert!((4..=8).contains(&changes), "{changes} in 3 s");
    world.run(SECOND * 2);
    assert_eq!(world.node(2).tunnels[&name(1)].send, 3_000);
}

#[test]
fn a_peer_that_moves_all_the_time_changes_the_tunnel_now_and_then() {
    let mut world = connected(2);
    let changes = world.node(2).tunnel_changes;
    for at in 0..1_000_u32 {
        let from = address(1, 20 + (at % 2) as u8);
        world.forge_from(from, 1, 2, &[Message::Padding(10)]);
        world.run(MILLISECOND);
    }
    let changes = world.node(2).tunnel_changes - changes;
    assert!(changes <= 10, "{changes} in a second");
    world.run(SECOND * 3);
    world.assert_connected(1, 2);
}

#[test]
fn a_peer_that_is_at_two_places_in_turn_is_told_of_once_and_shown_while_it_is() {
    let mut world = connected(2);
    let told = |world: &mut World| {
        let told = |event: &&Event| matches!(event, Event::TwoPlaces { .. });
        world.node(2).events.iter().filter(told).count()
    };
    let shown = |world: &mut World| world.report(2, 1).unwrap().why.unwrap_or_default();
    for at in 0..6 {
        world.forge_from(address(1, 20 + at % 2), 1, 2, &[Message::Padding(10)]);
        world.run(MILLISECOND);
        assert_eq!(shown(&mut world), "", "so far {at}");
    }
    for at in 6..12 {
        world.forge_from(address(1, 20 + at % 2), 1, 2, &[Message::Padding(10)]);
        world.run(MILLISECOND);
        assert!(shown(&mut world).contains("two hosts have its key"));
    }
    assert_eq!(told(&mut world), 1);
    world.run(SECOND * 61);
    assert_eq!(shown(&mut world), "", "it has settled");
}

#[test]
fn so_many_packets_of_babel_are_taken_out_of_one_packet() {
    let mut world = connected(2);
    let packet: &[u8] = &[42];
    let unicast = true;
    let many = [Message::Babel { unicast, packet }; 200];
    world.forge_from(address(1, 1), 1, 2, &many);
    assert_eq!(world.node(2).babel.len(), 32);
    assert_eq!(world.node(2).counters().excess_babel, 168);
    let packet: &[u8] = &[];
    world.forge_from(address(1, 1), 1, 2, &[Message::Babel { unicast, packet }]);
    assert_eq!(world.node(2).babel.len(), 32, "nothing is no packet");
}

/// Node 2 says that it has a document, and sends the octet that this gives every 400 ms; node 3 has it.
fn fetched_beside(times: u32, offset: impl Fn(u32) -> u32) -> World {
    let mut world = connected(3);
    let have = Message::Have {
        parameters: 9,
        revocations: 0,
    };
    world.forge_from(address(2, 1), 2, 1, &[have]);
    world.input(3, Input::Held(document(9, 3_000)));
    for at in 0..times {
        let piece = Message::Piece {
            kind: DocumentKind::Parameters,
            number: 9,
            offset: offset(at),
            total: 1_000,
            octets: &[5],
        };
        world.forge_from(address(2, 1), 2, 1, &[piece]);
        world.run(MILLISECOND * 400);
    }
    world
}

#[test]
fn a_peer_that_sends_a_document_octet_by_octet_is_given_up_and_another_one_asked() {
    let mut world = fetched_beside(35, |at| at);
    let sizes: Vec<_> = world.node(1).documents.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3_000]);
    assert_eq!(world.node(1).counters().slow_documents, 1);
}

#[test]
fn an_octet_that_comes_again_is_no_progress() {
    let mut world = fetched_beside(20, |_| 0);
    let sizes: Vec<_> = world.node(1).documents.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3_000]);
    assert_eq!(world.node(1).counters().slow_documents, 1);
}

#[test]
fn four_questions_of_one_packet_are_answered() {
    let mut world = connected(2);
    world.input(2, Input::Held(document(3, 1_000)));
    world.run(SECOND);
    let before = world.node(2).counters().excess_wants;
    world.recorded = Some(Vec::new());
    world.forge_from(address(1, 1), 1, 2, &[WANT; 20]);
    let sent = world.recorded.take().unwrap();
    let large = sent.iter().filter(|it| size(&it.payload) > 1_000);
    assert_eq!(large.count(), 4);
    assert_eq!(world.node(2).counters().excess_wants - before, 16);
}

fn size(payload: &Payload) -> usize {
    match payload {
        Payload::Channel(bytes) => bytes.len(),
        Payload::Data(_) => 0,
    }
}

#[test]
fn nothing_large_goes_where_nothing_has_shown_that_the_peer_is_there() {
    let mut world = connected(2);
    world.input(2, Input::Held(document(3, 100_000)));
    world.run(SECOND);
    world.recorded = Some(Vec::new());
    let victim = address(9, 9);
    let mut received = 0;
    for _ in 0..10 {
        world.forge_from(victim, 1, 2, &[WANT, Message::Padding(400)]);
        received += 400;
    }
    world.run(MILLISECOND * 15);
    let sent = world.recorded.take().unwrap();
    let to_victim = sent.iter().filter(|it| it.to == victim);
    let octets: usize = to_victim.clone().map(|it| size(&it.payload)).sum();
    assert!(octets > 0 && octets <= 3 * (received + 1_000), "{octets}");
    assert!(world.node(2).counters().unproven_addresses > 0);
    // no search for the path MTU either
    assert!(to_victim.clone().all(|it| size(&it.payload) < 1_200));
}

#[test]
fn whoever_has_really_moved_is_soon_served_as_before() {
    let mut world = connected(2);
    world.node(1).address = address(1, 9);
    world.input(1, Input::Moved);
    // its first packet from there has come
    world.run(MILLISECOND * 12);
    assert_eq!(world.node(2).counters().moves, 1);
    world.input(2, Input::Held(document(3, 200_000)));
    world.run(SECOND * 3);
    assert_eq!(world.node(1).documents.len(), 1);
    assert_eq!(world.report(2, 1).unwrap().path_mtu, Some(1500));
    world.assert_connected(1, 2);
}
