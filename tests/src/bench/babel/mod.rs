//! Our Babel beside babeld and BIRD.
//!
//! Everything is looked at from outside, alike for all: routes in the kernel's table, packets that arrive, time and memory
//! of processes. Where little happens, contenders run side by side; where much happens, ours runs alone and the other two
//! together, a core each.

mod injector;
pub mod kernel;
mod new_route;
mod outage;
mod table;
mod topology;

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};

use self::{
    injector::Origins,
    table::{Crowd, Learned, Pair},
    topology::Cut,
};
use super::{
    parts::Effort,
    report::{Report, Unit},
};
use crate::{
    daemon::{self, Daemon, Intervals},
    host::Testbed,
};

/// The protocol's defaults (RFC 8966 appendix B).
const INTERVALS: Intervals = Intervals {
    hello: Duration::from_secs(4),
    update: Duration::from_secs(16),
};
/// Routes of a large table.
const LARGE: u16 = 10_000;
/// Routes of a huge one, from each of so many neighbours.
const HUGE: (u16, usize) = (50_000, 4);
/// Until everybody is calm after learning.
const CALM: Duration = Duration::from_secs(4);

/// A part of this benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A link of a ring fails.
    Outage,
    /// A new route crosses three hops.
    NewRoute,
    /// A fresh router learns a large table.
    Learning,
    /// A large table is kept.
    Steady,
    /// A huge table from several neighbours.
    Huge,
}

/// What a contender did: values by name, and what is to be said.
#[derive(Debug, Default)]
struct Findings {
    values: Vec<(String, Unit, f64)>,
    remarks: Vec<String>,
}

impl Findings {
    fn add(&mut self, name: String, unit: Unit, value: f64) {
        self.values.push((name, unit, value));
    }

    fn time(&mut self, name: String, time: Duration) {
        self.add(name, Unit::Nanoseconds, time.as_nanos() as f64);
    }

    /// A time that may have been longer than we waited.
    fn time_within(&mut self, name: String, time: Option<Duration>, limit: Duration) {
        if time.is_none() {
            let limit = limit.as_secs();
            self.remarks.push(format!(
                "{name}: not within {limit} s, which stands for it in the table."
            ));
        }
        self.time(name, time.unwrap_or(limit));
    }
}

impl Part {
    /// Measures it.
    pub fn run(self, testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
        let (daemons, missing) = daemon::available();
        for reason in missing {
            report.missing(&reason);
        }
        report.progress(&format!("babel: {self:?}"));
        match self {
            Self::Outage => together(&daemons, report, &|daemon| outage(testbed, daemon, effort)),
            Self::NewRoute => together(&daemons, report, &|daemon| {
                new_route(testbed, daemon, effort)
            }),
            Self::Steady => {
                together(&daemons, report, &|daemon| {
                    steady(testbed, (daemon, daemon), daemon.name(), effort)
                })?;
                let (ours, others): (Vec<_>, Vec<_>) =
                    daemons.into_iter().partition(|daemon| is_ours(*daemon));
                let Some(ours) = ours.first().copied() else {
                    return Ok(());
                };
                together(&others, report, &|other| {
                    mixed(testbed, ours, other, effort)
                })
            }
            Self::Learning => {
                for group in daemons.chunk_by(|one, other| is_ours(*one) == is_ours(*other)) {
                    together(group, report, &|daemon| learning(testbed, daemon, effort))?;
                }
                Ok(())
            }
            Self::Huge => {
                let ours: Vec<_> = daemons
                    .into_iter()
                    .filter(|daemon| is_ours(*daemon))
                    .collect();
                together(&ours, report, &|daemon| huge(testbed, daemon, effort))
            }
        }
    }
}

type Measure<'a> = &'a (dyn Fn(&dyn Daemon) -> Result<Findings> + Sync);

fn is_ours(daemon: &dyn Daemon) -> bool {
    daemon.name() == "re6st"
}

/// Measures several at the same time.
fn together(daemons: &[&dyn Daemon], report: &mut Report, measure: Measure<'_>) -> Result<()> {
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = daemons
            .iter()
            .map(|daemon| (daemon.name(), scope.spawn(|| measure(*daemon))))
            .collect();
        running
            .into_iter()
            .map(|(name, thread)| (name, thread.join()))
            .collect()
    });
    for (name, result) in results {
        let findings = result
            .unwrap_or_else(|_| Err(anyhow!("a panic")))
            .with_context(|| name.to_owned())?;
        for (name, unit, value) in findings.values {
            report.add(&name, unit, value, None);
        }
        for remark in findings.remarks {
            report.remark(&remark);
        }
    }
    Ok(())
}

fn outage(testbed: &Testbed, daemon: &dyn Daemon, effort: Effort) -> Result<Findings> {
    let limit = Duration::from_secs(if effort.quick { 25 } else { 60 });
    let measure = |cut| outage::measure(testbed, daemon, cut, INTERVALS, limit);
    let (silent, carrier) = thread::scope(|scope| {
        let silent = scope.spawn(|| measure(Cut::Silent));
        (silent.join(), measure(Cut::Carrier))
    });
    let silent = silent.unwrap_or_else(|_| Err(anyhow!("a panic")))?;
    let mut findings = Findings::default();
    let name = daemon.name();
    findings.time_within(format!("babel-silent-cut-{name}"), silent, limit);
    findings.time_within(format!("babel-carrier-loss-{name}"), carrier?, limit);
    Ok(findings)
}

fn new_route(testbed: &Testbed, daemon: &dyn Daemon, effort: Effort) -> Result<Findings> {
    let limit = Duration::from_secs(30);
    let times = new_route::measure(testbed, daemon, INTERVALS, effort.rounds, limit)?;
    let mut findings = Findings::default();
    for time in times {
        findings.time_within(format!("babel-new-route-{}", daemon.name()), time, limit);
    }
    Ok(findings)
}

fn learning(testbed: &Testbed, daemon: &dyn Daemon, effort: Effort) -> Result<Findings> {
    let limit = Duration::from_secs(if effort.quick { 30 } else { 60 });
    let table = (LARGE, Origins::Each);
    let mut pair = Pair::start(testbed, "learn", daemon, table, INTERVALS, limit)?;
    let mut findings = Findings::default();
    let name = daemon.name();
    tell(
        &mut findings,
        &format!("babel-learn-from-ours-{name}"),
        pair.at_hub,
        LARGE.into(),
        limit,
    );
    let learned = pair.learn(daemon, INTERVALS, limit)?;
    let whole = pair.at_hub.routes + 1;
    tell(
        &mut findings,
        &format!("babel-learn-{name}"),
        learned,
        whole,
        limit,
    );
    Ok(findings)
}

fn tell(findings: &mut Findings, name: &str, learned: Learned, whole: usize, limit: Duration) {
    let complete = learned.routes >= whole;
    if !complete {
        findings.remarks.push(format!(
            "{name}: {} of {whole} routes after {} s.",
            learned.routes,
            limit.as_secs()
        ));
    }
    findings.time(name.into(), learned.time);
    findings.add(format!("{name}-lost"), Unit::Packets, learned.lost as f64);
}

/// A large table is kept by a hub and its neighbour; `name` says who they are.
fn steady(
    testbed: &Testbed,
    (hub, fresh): (&dyn Daemon, &dyn Daemon),
    name: &str,
    effort: Effort,
) -> Result<Findings> {
    let limit = Duration::from_secs(60);
    let table = (LARGE, Origins::One);
    let mut pair = Pair::start(
        testbed,
        &format!("steady-{}", fresh.name()),
        hub,
        table,
        INTERVALS,
        limit,
    )?;
    let learned = pair.learn(fresh, INTERVALS, limit)?;
    let mut findings = Findings::default();
    let whole = usize::from(LARGE) + 1;
    if learned.routes < whole {
        findings.remarks.push(format!(
            "babel-steady-{name}: with {} of {whole} routes.",
            learned.routes
        ));
    }
    thread::sleep(CALM);
    // updates come at about these intervals: one more or less must not matter much
    let intervals = if effort.quick { 2 } else { 4 };
    let seen = pair.steady(intervals * INTERVALS.update)?;
    findings.add(format!("babel-steady-cpu-{name}"), Unit::Share, seen.fresh);
    findings.add(
        format!("babel-steady-cpu-hub-{name}"),
        Unit::Share,
        seen.hub,
    );
    let traffic = format!("babel-steady-traffic-{name}");
    findings.add(traffic, Unit::BytesPerSecond, seen.bytes_per_second);
    Ok(findings)
}

/// Ours with a neighbour of another kind, first as the one that learns the table, then as the one that announces it.
fn mixed(
    testbed: &Testbed,
    ours: &dyn Daemon,
    other: &dyn Daemon,
    effort: Effort,
) -> Result<Findings> {
    let run = |hub: &dyn Daemon, fresh: &dyn Daemon| {
        let name = format!("{}-of-{}", fresh.name(), hub.name());
        steady(testbed, (hub, fresh), &name, effort)
    };
    let (learning, announcing) = thread::scope(|scope| {
        let learning = scope.spawn(|| run(other, ours));
        (learning.join(), run(ours, other))
    });
    let mut findings = learning.unwrap_or_else(|_| Err(anyhow!("a panic")))?;
    let announcing = announcing?;
    findings.values.extend(announcing.values);
    findings.remarks.extend(announcing.remarks);
    Ok(findings)
}

fn huge(testbed: &Testbed, daemon: &dyn Daemon, effort: Effort) -> Result<Findings> {
    let limit = Duration::from_secs(60);
    let (count, neighbours) = HUGE;
    let crowd = Crowd::start(testbed, daemon, neighbours, count, INTERVALS, limit)?;
    let mut findings = Findings::default();
    let name = daemon.name();
    let whole = usize::from(count);
    tell(
        &mut findings,
        &format!("babel-huge-{name}"),
        crowd.learned,
        whole,
        limit,
    );
    thread::sleep(CALM);
    let intervals = if effort.quick { 1 } else { 2 };
    let (share, memory) = crowd.steady(intervals * INTERVALS.update)?;
    crowd.check(daemon, neighbours, count)?;
    findings.add(format!("babel-huge-cpu-{name}"), Unit::Share, share);
    findings.add(
        format!("babel-huge-memory-{name}"),
        Unit::Bytes,
        memory as f64,
    );
    Ok(findings)
}
