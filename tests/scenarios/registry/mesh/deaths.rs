//! Nodes, the registry and the Internet between them die, and come back.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};

use super::{all_reach_all, joined, reboot, start, wait_for_ways};

#[test]
fn the_mesh_goes_on_without_the_registry_and_without_some_of_its_nodes() -> Result<()> {
    let section = "client-count = 2\ntunnel-refresh = 5\n";
    let (mut registry, mut members) = joined(&["a", "b", "c", "d", "e", "f"], section)?;

    registry.stop(Signal::SIGKILL)?;
    for _ in 0..2 {
        reboot(members.last_mut().context("no node")?)?;
        members.pop();
        all_reach_all(&members)?;
    }
    members.iter_mut().try_for_each(reboot)?;
    start(&mut members)?;
    all_reach_all(&members)?;

    // its tunnels go on, and belong to the mesh again
    let member = members.first_mut().context("no node")?;
    member.kill()?;
    member.start()?;
    let known = member.controller()?["mesh"]["tunnels"].clone();
    assert!(
        known.as_array().is_some_and(|known| !known.is_empty()),
        "{known}"
    );
    all_reach_all(&members)
}

#[test]
fn a_network_that_fell_into_halves_grows_together_again() -> Result<()> {
    let names = ["a", "b", "c", "d", "e", "f"];
    let (registry, members) = joined(&names, "client-count = 2\n")?;
    let (some, others) = members.split_at(3);

    // the router's links to them
    let (here, there) = ("{ a2, b3, c4 }", "{ d5, e6, f7 }");
    let ocean = format!(
        "add table inet test;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward iifname {here} oifname {there} drop;
        add rule inet test forward iifname {there} oifname {here} drop;"
    );
    registry.router().run("nft", &[&ocean])?;
    for half in [some, others] {
        wait_for_ways(half, 2)?;
        all_reach_all(half)?;
    }

    registry.router().run("nft", &["delete table inet test"])?;
    wait_for_ways(&members, 5)?;
    all_reach_all(&members)
}

/// As in a host that is suspended, but that what is in its kernel goes on.
#[test]
fn a_node_that_stood_still_is_done_without_and_comes_back() -> Result<()> {
    let (_registry, members) = joined(&["a", "b", "c", "d", "e"], "client-count = 2\n")?;
    let (still, others) = members.split_last().context("no node")?;
    let begin = Instant::now();

    kill(still.id()?, Signal::SIGSTOP)?;
    wait_for_ways(others, 3)?;
    all_reach_all(others)?;
    // longer than channels wait for an answer, and keys are accepted
    thread::sleep(Duration::from_secs(30).saturating_sub(begin.elapsed()));
    kill(still.id()?, Signal::SIGCONT)?;

    wait_for_ways(&members, 4)?;
    all_reach_all(&members)
}
