//! Our registry beside re6stnet's.

mod ours;
mod python;
mod slow;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use self::{ours::Ours, python::Python, slow::Crowd};
use super::{
    parts::Effort,
    report::{Report, Unit},
};
use crate::host::{Host, Testbed};

/// Certificates in a small database.
const FEW: usize = 10;
/// Certificates in a large one.
const MANY: usize = 50_000;
/// Clients of ours at a time, each on a connection of its own.
const OUR_CLIENTS: usize = 16;
/// Clients of Python's at a time: more make it slower.
const THEIR_CLIENTS: usize = 2;
/// Connections that are slow or idle.
const SLOW: usize = 1000;

/// How many a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

/// A part of this benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Newcomers get certificates, with few certificates in the database and with many; and the memory with many.
    Enrolment,
    /// A node fetches the parameters.
    Parameters,
    /// The same among slow and idle connections.
    Slow,
}

impl Part {
    /// Measures it.
    pub fn run(self, testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
        let python = match python::available() {
            Ok(()) => true,
            Err(error) => {
                report.missing(&format!("re6stnet: {error}"));
                false
            }
        };
        let host = testbed.host("registry")?;
        match self {
            Self::Enrolment => enrolment(&host, python, effort, report),
            Self::Parameters => parameters(&host, python, effort, report),
            Self::Slow => slow(&host, effort, report),
        }
    }
}

fn enrolment(host: &Host, python: bool, effort: Effort, report: &mut Report) -> Result<()> {
    let (many, measured) = if effort.quick {
        (5_000, 1_000)
    } else {
        (MANY, 4_000)
    };
    for round in 0..effort.rounds {
        report.progress(&format!(
            "enrol-10, round {} of {}",
            round + 1,
            effort.rounds
        ));
        if python {
            let registry = Python::start(host)?;
            registry.enrol(FEW, THEIR_CLIENTS)?;
            // few enough for the database to stay small
            let rate = registry.enrol(100, THEIR_CLIENTS)?;
            report.add("registry-enrol-10-python", Unit::PerSecond, rate.0, None);
        }
        let registry = Ours::start(host)?;
        registry.enrol(FEW, OUR_CLIENTS)?;
        let rate = registry.enrol(measured, OUR_CLIENTS)?;
        report.add("registry-enrol-10-re6st", Unit::PerSecond, rate.0, None);
    }
    let registry = Ours::start(host)?;
    report.progress(&format!("{many} certificates"));
    registry.enrol(many, OUR_CLIENTS)?;
    for round in 0..effort.rounds {
        report.progress(&format!(
            "enrol-{many}, round {} of {}",
            round + 1,
            effort.rounds
        ));
        let rate = registry.enrol(measured / 4, OUR_CLIENTS)?;
        report.add(
            &format!("registry-enrol-{many}-re6st"),
            Unit::PerSecond,
            rate.0,
            None,
        );
    }
    let memory = registry.memory()?;
    let name = format!("registry-memory-{many}-re6st");
    report.add(&name, Unit::Bytes, memory as f64, None);
    Ok(())
}

fn parameters(host: &Host, python: bool, effort: Effort, report: &mut Report) -> Result<()> {
    let theirs = python.then(|| Python::start(host)).transpose()?;
    let ours = Ours::start(host)?;
    for round in 0..effort.rounds {
        report.progress(&format!(
            "parameters, round {} of {}",
            round + 1,
            effort.rounds
        ));
        if let Some(python) = &theirs {
            let rate = python.fetch(effort.window)?;
            report.add("registry-parameters-python", Unit::PerSecond, rate.0, None);
        }
        let rate = ours.fetch(effort.window)?;
        report.add("registry-parameters-re6st", Unit::PerSecond, rate.0, None);
    }
    Ok(())
}

fn slow(host: &Host, effort: Effort, report: &mut Report) -> Result<()> {
    let registry = Ours::start(host)?;
    for round in 0..effort.rounds {
        report.progress(&format!("slow, round {} of {}", round + 1, effort.rounds));
        let alone = registry.median_latency(effort.window)?;
        let crowd = Crowd::gather(host, ours::PORT, SLOW)?;
        // until the last of them is in
        thread::sleep(Duration::from_millis(500));
        let begin = Instant::now();
        let among = registry.median_latency(effort.window)?;
        crowd.disperse(begin.elapsed())?;
        for (name, latency) in [
            ("registry-latency-alone-re6st", alone),
            ("registry-latency-among-slow-re6st", among),
        ] {
            report.add(name, Unit::Nanoseconds, latency.as_nanos() as f64, None);
        }
    }
    Ok(())
}
