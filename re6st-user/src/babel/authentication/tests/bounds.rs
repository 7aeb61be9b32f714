//! Whoever has recorded packets of many speakers can send them again; what that costs is bounded.

use std::net::Ipv6Addr;

use super::{BOB, GROUP, Rejected, Speaker, introduce, keys, later};
use crate::babel::authentication::peer::{MAX_EXCHANGES, MAX_PEERS};

fn speaker(number: u16) -> Speaker {
    let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
    Speaker::new(address, keys(&["one"], &["one"]))
}

#[test]
fn half_known_peers_are_few_and_do_not_shut_others_out_for_long() {
    let mut bob = Speaker::new(BOB, keys(&["one"], &["one"]));
    let mut challenged = |number, now| {
        let mut speaker = speaker(number);
        let packet = speaker.send(GROUP);
        let verdict = bob.receive(now, &packet, speaker.address, GROUP);
        assert_eq!(verdict.accepted, Err(Rejected::Unknown));
        let (_, exchanges) = bob.authentication.peers.len();
        (verdict.answer.is_some(), exchanges)
    };
    let most = MAX_EXCHANGES as u16;
    for number in 0..most {
        assert!(challenged(number, later(0)).0);
    }

    assert_eq!(challenged(most, later(999)), (false, MAX_EXCHANGES));
    assert_eq!(challenged(most, later(1000)), (true, MAX_EXCHANGES));
}

#[test]
fn the_peer_not_heard_for_longest_makes_room() {
    let mut bob = Speaker::new(BOB, keys(&["one"], &["one"]));
    let mut speakers: Vec<Speaker> = (0..=MAX_PEERS as u16).map(speaker).collect();
    for (number, speaker) in speakers.iter_mut().enumerate() {
        introduce(speaker, &mut bob, later(10_000 * number as u64));
    }

    let (peers, exchanges) = bob.authentication.peers.len();

    assert_eq!(peers, MAX_PEERS);
    assert!(exchanges <= MAX_EXCHANGES);
    let mut takes = |number: usize| {
        let packet = speakers[number].send(GROUP);
        bob.takes(&packet, &speakers[number], GROUP)
    };
    assert_eq!(takes(0), Err(Rejected::Unknown));
    assert_eq!(takes(1), Ok(()));
    assert_eq!(takes(MAX_PEERS), Ok(()));
}
