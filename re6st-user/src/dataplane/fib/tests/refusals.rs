//! Maps that refuse a write now and then: a change is taken whole or not at all, whatever was refused, and nothing is
//! forgotten.

use proptest::prelude::*;

use super::{
    property::{Model, answers, changes, map_answers},
    *,
};

/// What a map says.
struct Refused;

/// Refuses the writes whose bits are set, from the lowest on.
fn follows(
    network: Option<(Ipv6Net, u8)>,
    changes: Vec<(RouteKey, Option<u32>)>,
    refusals: &[u64],
) -> Result<(), TestCaseError> {
    let mut applied = Applied::from(Fib::new(network));
    let mut maps = maps(network);
    let mut model = Model::default();
    // what packets may still find of changes that could not be taken back
    let mut leftovers: Vec<Vec<u32>> = Vec::new();
    for ((key, next_hop), pattern) in changes.into_iter().zip(refusals.iter().cycle()) {
        let before = answers(|to, from| model.lookup(to, from));
        let former = applied.fib().get(key);
        model.set(key, next_hop);
        let after = answers(|to, from| model.lookup(to, from));
        let mut pattern = *pattern;
        let mut surprise = None;
        let outcome = applied.set(key, next_hop, |write| {
            let refused = pattern & 1 == 1;
            pattern >>= 1;
            if refused {
                return Err(Refused);
            }
            maps.write(write);
            let found = map_answers(&maps);
            let allowed = |packet: usize| {
                let mut all = leftovers.iter().chain([&before, &after]);
                all.any(|answers| answers[packet] == found[packet])
            };
            surprise = surprise.or_else(|| (0..found.len()).find(|packet| !allowed(*packet)));
            Ok(())
        });
        prop_assert_eq!(
            surprise,
            None,
            "a packet took a route that was never asked for"
        );
        if outcome.is_ok() {
            leftovers.clear();
            prop_assert_eq!(map_answers(&maps), after);
            prop_assert_eq!(applied.fib().get(key), next_hop);
        } else {
            model.set(key, former);
            prop_assert_eq!(
                applied.fib().get(key),
                former,
                "a refused change is no change"
            );
            leftovers.push(after);
        }
    }
    let settled = applied.settle(|write| {
        maps.write(write);
        Ok::<(), Refused>(())
    });
    prop_assert!(settled.is_ok(), "nothing refuses any more");
    let mut fresh = MemoryMaps::new(maps.settings);
    applied.fib().contents().for_each(|write| {
        fresh.write(write);
    });
    prop_assert!(
        fresh.same_routes(&maps),
        "the maps are not what the routes say"
    );
    prop_assert_eq!(
        map_answers(&maps),
        answers(|to, from| model.lookup(to, from))
    );
    prop_assert_eq!(applied.fib().trie_entries(), maps.trie_entries());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_refused_change_is_taken_back_and_nothing_is_forgotten(
        changes in changes(),
        refusals in prop::collection::vec(prop_oneof![Just(0), any::<u64>()], 1..20),
    ) {
        follows(array(4), changes, &refusals)?;
    }

    #[test]
    fn the_same_without_an_array(
        changes in changes(),
        refusals in prop::collection::vec(prop_oneof![Just(0), any::<u64>()], 1..20),
    ) {
        follows(None, changes, &refusals)?;
    }
}

#[test]
fn a_route_that_did_not_fit_is_written_when_there_is_room() {
    let mut applied = Applied::from(Fib::new(array(4)));
    let mut maps = maps(array(4));
    let route = route("2001:db8:43::/64", None, 3);
    let full = applied.set(route.key(), Some(3), |_| Err(Refused));
    assert!(full.is_err());
    assert_eq!(applied.fib().get(route.key()), None);
    let mut writes = 0;
    let again = applied.set(route.key(), Some(3), |write| {
        writes += 1;
        maps.write(write);
        Ok::<(), Refused>(())
    });
    assert!(again.is_ok());
    assert_eq!(writes, 1, "it was tried again");
    assert_eq!(lookup(&maps, "2001:db8:43::1", "::"), 3);
}
