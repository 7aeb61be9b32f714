//! Keys that change while packets flow.

use std::time::Duration;

use super::world::{MILLISECOND, SECOND, Way, World, name, with_seeds};

/// A packet each way every 5 ms.
fn run_with_traffic(world: &mut World, duration: Duration) {
    let end = world.now + duration;
    while world.now < end {
        world.send_data(1, 2);
        world.send_data(2, 1);
        world.run(MILLISECOND * 5);
    }
}

#[test]
fn keys_change_every_second_and_no_packet_is_lost() {
    with_seeds(20, |seed| {
        let mut world = World::new(2, seed);
        for number in [1, 2] {
            world.node(number).settings.timers.rekey = SECOND;
            world.node(number).settings.timers.rekey_other = SECOND;
            world.boot(number);
        }
        world.call(1 + seed % 2, 2 - seed % 2);
        world.way = Way {
            jitter: MILLISECOND * (seed as u32 % 40),
            loss: seed % 10,
            duplication: seed % 5,
            ..Way::default()
        };
        world.run(SECOND * 4);
        world.assert_connected(1, 2);
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..30 {
            run_with_traffic(&mut world, SECOND);
            keys.insert(world.node(1).tunnels[&name(2)].send);
        }
        world.run(SECOND);
        assert!(keys.len() >= 10, "{} keys in 30 s", keys.len());
        for number in [1, 2] {
            let node = world.node(number);
            assert_eq!(node.data_refused, 0, "node {number}");
            assert!(node.data_received >= 5_900, "{}", node.data_received);
            assert!(node.tunnels.values().all(|it| it.accept.len() <= 16));
        }
    });
}

#[test]
fn an_old_key_is_not_taken_any_more_soon_after_it_was_replaced() {
    let mut world = World::pair(1);
    world.run(SECOND);
    let old = world.node(2).tunnels[&name(1)].accept.clone();
    world.input(1, crate::channel::Input::Reconnect(name(2)));
    world.run(SECOND * 5);
    assert!(world.node(2).tunnels[&name(1)].accept.contains(&old[0]));
    world.run(SECOND * 8);
    assert!(!world.node(2).tunnels[&name(1)].accept.contains(&old[0]));
    world.assert_connected(1, 2);
}

#[test]
fn who_opened_a_session_makes_the_next_after_an_hour_and_the_other_one_a_minute_later() {
    let mut world = World::pair(1);
    world.run(SECOND * 3590);
    let before = world.node(1).counters().sessions_completed;
    world.run(SECOND * 20);
    assert_eq!(world.node(1).counters().sessions_completed, before + 1);
    assert_eq!(world.node(2).counters().initiations_sent, 0);
    world.assert_connected(1, 2);
}

#[test]
fn no_two_tunnels_share_an_entry_and_those_of_the_configuration_are_left_alone() {
    let mut world = World::new(5, 1);
    let settings = &mut world.node(1).settings;
    settings.tunnel_index_mask = 0xf;
    settings.reserved_indexes = (0..9).collect();
    world.boot(1);
    for number in 2..=5 {
        world.call(number, 1);
    }
    world.run(SECOND * 30);
    for number in 2..=5 {
        world.assert_connected(1, number);
        let accept = &world.node(1).tunnels[&name(number)].accept;
        assert!(accept.iter().all(|key| key & 0xf >= 9), "{accept:?}");
    }
}

#[test]
fn where_no_key_is_free_there_is_no_channel_and_people_are_told() {
    let mut world = World::new(2, 1);
    let settings = &mut world.node(1).settings;
    settings.tunnel_index_mask = 0xf;
    settings.reserved_indexes = (0..16).collect();
    world.boot(1);
    world.call(2, 1);
    world.run(SECOND * 10);
    assert!(world.node(1).tunnels.is_empty());
    assert!(world.node(1).counters().no_tunnel_index > 0);
}

#[test]
fn a_trouble_is_shown_until_another_session_is_used_and_no_longer() {
    let mut world = World::pair(1);
    world.run(SECOND);
    let why = |world: &mut World| world.report(1, 2).and_then(|report| report.why);
    assert_eq!(why(&mut world), None);
    let before = world.node(1).counters().sessions_completed;
    let refused = crate::channel::Input::NoTunnel {
        peer: name(2),
        why: "a test".to_owned(),
    };
    world.input(1, refused);
    world.run(SECOND);
    assert_eq!(why(&mut world).as_deref(), Some("no tunnel: a test"));
    world.run(SECOND * 300);
    assert!(world.node(1).counters().sessions_completed > before);
    assert_eq!(why(&mut world), None, "there is another tunnel");
    world.assert_connected(1, 2);
}
