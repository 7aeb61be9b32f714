//! A mesh of twelve nodes around the world: how fast it is there, what it notices of a death, what it costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{
    babel::kernel,
    parts::Effort,
    report::{Report, Unit},
};
use crate::{
    cleanup::wait_until,
    host::Testbed,
    mesh::{CITIES, Network, Prober},
};

/// How long it may take until all pairs have a way.
const PATIENCE: Duration = Duration::from_secs(120);
/// For so long all must have answered before the next death.
const CALM: Duration = Duration::from_secs(3);
/// Lines of `[mesh]` for few tunnels, so that many ways lead over other nodes.
const FEW_TUNNELS: &str = "client-count = 3\nmax-clients = 4\n";

/// Waits until all pairs that have a path answer probes sent after this.
fn wait_for_ways(network: &Network, prober: &Prober, since: Instant) -> Result<()> {
    let pairs = network.pairs();
    let all = || {
        let answered = |(one, other): &(usize, usize)| prober.answered_since(*one, *other, since);
        pairs.iter().all(answered)
    };
    ensure!(
        wait_until(PATIENCE, all),
        "not all nodes reach each other within {} s",
        PATIENCE.as_secs()
    );
    Ok(())
}

fn started(testbed: &Testbed, settings: &str) -> Result<(Network, Prober, Duration)> {
    let mut network = Network::new(testbed, &CITIES, settings)?;
    let begin = Instant::now();
    network.start()?;
    let prober = Prober::start(&network.nodes)?;
    wait_for_ways(&network, &prober, begin)?;
    let time = begin.elapsed();
    Ok((network, prober, time))
}

/// From the start of all nodes, which know nothing but the registry, until each reaches each.
pub fn start(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    report.missing("re6stnet's nodes: their programs want OpenVPN tunnels and a babeld of their own, which is not set up here");
    for round in 0..effort.rounds {
        report.progress(&format!(
            "mesh-start, round {} of {}",
            round + 1,
            effort.rounds
        ));
        let (_network, _prober, time) = started(testbed, "")?;
        report.add(
            "mesh-start-12",
            Unit::Nanoseconds,
            time.as_nanos() as f64,
            None,
        );
    }
    Ok(())
}

/// Nodes die one after the other, without a word, and come back.
pub fn outage(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let deaths = if effort.quick { 10 } else { 50 };
    let (mut network, prober, _) = started(testbed, FEW_TUNNELS)?;
    wait_for_ways(&network, &prober, Instant::now() + CALM)?;
    for death in 0..deaths {
        report.progress(&format!("mesh-outage, death {} of {deaths}", death + 1));
        let victim = death * 5 % CITIES.len();
        let since = Instant::now();
        network.power_off(&[victim])?;
        wait_for_ways(&network, &prober, Instant::now() + CALM)
            .with_context(|| format!("after the death of {}", CITIES[victim]))?;
        let pairs = network.pairs().into_iter();
        let outages = pairs.map(|(one, other)| prober.outage_since(one, other, since));
        for outage in outages.filter(|outage| !outage.is_zero()) {
            report.add(
                "mesh-outage",
                Unit::Nanoseconds,
                outage.as_nanos() as f64,
                None,
            );
        }
        network.power_on(&[victim])?;
        wait_for_ways(&network, &prober, Instant::now() + CALM)?;
    }
    Ok(())
}

/// What nodes that carry nothing send, and what their controllers take.
pub fn idle(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let time = Duration::from_secs(if effort.quick { 30 } else { 300 });
    let (network, prober, _) = started(testbed, "")?;
    drop(prober);
    // first keys, documents and draws are behind them
    std::thread::sleep(Duration::from_secs(10));
    let look = || -> Result<Vec<(u64, Duration)>> {
        let nodes = network.nodes.iter().map(|node| {
            let sent = node.host.interface_counters("eth0")?.sent_bytes;
            Ok((sent, kernel::time(node.process()?.id())?))
        });
        nodes.collect()
    };
    let (before, begin) = (look()?, Instant::now());
    std::thread::sleep(time);
    let (after, seconds) = (look()?, begin.elapsed().as_secs_f64());
    for ((sent, ran), (sent_before, ran_before)) in after.into_iter().zip(before) {
        let sent = (sent - sent_before) as f64 / seconds;
        report.add("mesh-idle-traffic-12", Unit::BytesPerSecond, sent, None);
        let share = (ran - ran_before).as_secs_f64() / seconds;
        report.add("mesh-idle-cpu-12", Unit::Share, share, None);
    }
    for node in &network.nodes {
        let memory = kernel::memory(node.process()?.id())?;
        report.add("mesh-idle-memory-12", Unit::Bytes, memory as f64, None);
    }
    Ok(())
}
