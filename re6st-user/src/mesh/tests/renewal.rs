//! Random tunnels that give way to others.

use std::time::Duration;

use super::world::{SECOND, World, number};
use crate::mesh::{Output, Settings, Why};

#[test]
fn a_random_tunnel_is_renewed_every_fifth_round_without_a_gap() {
    let mut world = World::joined(Settings::default(), 100, 1);
    world.pass(SECOND * 30);
    let before = world.ours(Why::is_random);
    world.said.clear();
    world.pass(SECOND * 300 * 6);
    let after = world.ours(Why::is_random);
    let kept = before.iter().filter(|it| after.contains(it)).count();
    assert_eq!((after.len(), kept), (5, 4));

    let of = |said: &Output| match said {
        Output::Open { node, why, .. } if why.is_random() => Some(("open", number(*node))),
        Output::Drain(node) => Some(("drain", number(*node))),
        Output::Close { node, .. } => Some(("close", number(*node))),
        _ => None,
    };
    let story = world.said.iter();
    let story = Vec::from_iter(story.filter_map(|(at, said)| Some((*at, of(said)?))));
    let (old, new) = (
        before.iter().find(|it| !after.contains(it)).expect("one"),
        after.iter().find(|it| !before.contains(it)).expect("one"),
    );
    let when = |what: &str, whose: u32| {
        let found = story.iter().find(|(_, it)| *it == (what, whose));
        found.expect("it happened").0
    };
    let drained_after = when("drain", *old).since(when("open", *new));
    let closed_after = when("close", *old).since(when("drain", *old));
    assert!(
        drained_after >= Duration::from_secs(20),
        "{drained_after:?}"
    );
    assert_eq!(closed_after, Duration::from_secs(10));
}

#[test]
fn in_a_day_all_random_tunnels_are_others() {
    let mut world = World::joined(Settings::default(), 190, 2);
    world.pass(SECOND * 30);
    let before = world.ours(Why::is_random);
    world.pass(SECOND * 86_400);
    let after = world.ours(Why::is_random);
    let kept = after.iter().filter(|it| before.contains(it)).count();
    assert!(kept <= 2, "{before:?} {after:?}");
    assert_eq!(world.tunnels.len(), 10);
}
