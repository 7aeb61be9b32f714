//! What is promised of the mesh, in networks small enough for every run of the tests. `cargo xtask sim` has the whole of it.
#![expect(clippy::expect_used, reason = "a test may end there")]

use std::time::Duration;

use super::{
    experiments::{Attacked, CITIES, cold_start, dead_regions, recovery, sudden_death},
    generator::Generator,
    graph::Neighbours,
    measure::{degrees, formula, full_mesh, ratios},
    options::{Lies, Options},
    underlay::Underlay,
    world::World,
};

/// Few exact distances, for speed.
fn quick(nodes: usize) -> Options {
    Options {
        landmarks: 64.min(nodes),
        ..Options::of(nodes)
    }
}

#[test]
fn a_thousand_nodes_become_one_network_at_once_and_again_after_half_of_them_and_the_registry_died()
{
    let mut world = World::new(quick(1_000), 1).expect("a world");
    let start = cold_start(&mut world);
    assert!(start.one_network <= Some(60) && start.one_network.is_some());
    assert!(start.all_tunnels <= Some(180) && start.all_tunnels.is_some());
    world.pass(Duration::from_secs(60));
    let (mean, most) = degrees(world.graph());
    assert!((19.0..21.0).contains(&mean) && most <= 31, "{mean} {most}");

    let mut random = Generator::new(1);
    let (whole, _) = sudden_death(world.graph(), 0.3, 20, &mut random);
    assert!(whole >= 0.95, "{whole} after 30 % died");
    let again = recovery(&mut world, 0.5, &mut random);
    assert!(again.is_some_and(|seconds| seconds <= 60), "{again:?}");
}

#[test]
fn ways_over_the_mesh_become_shorter_than_the_direct_ones_and_nothing_is_lost_of_its_resilience() {
    let mut world = World::new(quick(CITIES), 1).expect("a world");
    cold_start(&mut world);
    world.pass(Duration::from_secs(300 * 15));
    let sources: Vec<usize> = (0..CITIES).collect();
    let found = ratios(world.graph(), &world.underlay, &sources).expect("ways");
    assert!(found.mean < 1.0 && found.median < 1.0, "{found:?}");
    assert!(found.p90 < 1.115, "a worse tail than re6stnet's: {found:?}");
    let mut random = Generator::new(1);
    let (whole, _) = sudden_death(world.graph(), 0.5, 100, &mut random);
    assert!(whole >= 0.98, "{whole}");
    let region = dead_regions(world.graph(), &world.underlay, &sources);
    assert!(region >= 0.98, "{region}");
}

#[test]
fn an_attacker_with_a_tenth_of_the_nodes_has_about_a_tenth_of_the_random_tunnels_and_surrounds_nobody()
 {
    for lies in [Lies::Answers, Lies::AnswersAndRoutes] {
        let options = Options {
            hostile: 20,
            lies,
            ..quick(200)
        };
        let mut world = World::new(options, 1).expect("a world");
        cold_start(&mut world);
        world.pass(Duration::from_secs(300 * 3));
        let Attacked {
            kinds: [(random, hostile), ..],
            surrounded,
            fewest_honest,
            ..
        } = Attacked::of(&world);
        assert_eq!(surrounded, 0);
        assert!(fewest_honest >= 3, "{fewest_honest}");
        assert!(random > 180 * 4, "{random}");
        assert!(hostile * 5 < random, "{hostile} of {random} random tunnels");
    }
}

#[test]
fn the_formula_is_that_of_the_literature() {
    let (isolated, likely) = formula(20_000, 10, 0.5);
    assert!((isolated - 0.066).abs() < 0.001 && (likely - 0.936).abs() < 0.001);
}

#[test]
fn the_full_mesh_of_the_cities_is_as_short_as_measured_elsewhere() {
    let underlay = Underlay::new(CITIES, 0, &mut Generator::new(1)).expect("cities");
    let graph: Neighbours = full_mesh(&underlay);
    let sources: Vec<usize> = (0..CITIES).step_by(10).collect();
    let found = ratios(&graph, &underlay, &sources).expect("ways");
    assert!((found.mean - 0.900).abs() < 0.01, "{found:?}");
}
