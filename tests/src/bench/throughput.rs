//! How many packets a second a relay takes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{Pid, gettid};
use serde::{Deserialize, Serialize};

use super::{
    contender::Contender,
    core::{self, CORE_OF_OTHERS, THIS_THREAD},
    kernel::Generator,
};
use crate::host::Host;

/// Packets from a generator to where they are counted.
pub trait Flow: Sync {
    /// Where they come from.
    fn host(&self) -> &Host;
    /// What makes them.
    fn generator(&self) -> &Generator;
    /// What takes time meanwhile.
    fn threads(&self) -> &[Pid];
    /// How many of those that count were made so far.
    fn sent(&self) -> Result<u64> {
        self.generator().sent()
    }
    /// How many of them have arrived so far.
    fn arrived(&self) -> Result<u64>;
}

impl Flow for Contender {
    fn host(&self) -> &Host {
        &self.chain.generator
    }

    fn generator(&self) -> &Generator {
        &self.generator
    }

    fn threads(&self) -> &[Pid] {
        &self.threads
    }

    fn arrived(&self) -> Result<u64> {
        Ok(self.sink.arrived()?.packets)
    }
}

/// What a relay took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// Packets a second sent to it.
    pub offered: f64,
    /// Packets a second that arrived behind it.
    pub delivered: f64,
    /// Share of the time that its threads were running: near 1 unless somebody else had the core as well.
    pub busy: f64,
    /// Packets for each second its threads were running.
    pub per_core: f64,
    /// Share of the packets that arrived in the best moment.
    pub kept: f64,
}

/// Where the first search begins, in packets a second.
const LOWEST: f64 = 25_000.0;
/// A generator that does not reach a lower rate than this was not given its core.
const FAST: f64 = 1e6;
/// What may be lost: a virtual machine does not always get its time.
const LOSS: f64 = 0.02;
/// How closely the search looks.
pub const PRECISION: f64 = 1.03;
/// A relay that is less busy than this was perhaps not what limited the rate.
pub const BUSY: f64 = 0.85;

impl Throughput {
    /// More is lost than the machine can be blamed for.
    pub fn has_loss(&self) -> bool {
        self.kept < 1.0 - LOSS
    }
}

/// Runs the generator while `work` measures.
pub fn with_generator<T>(flow: &impl Flow, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let host = flow.host();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            host.enter(|| {
                core::pin(THIS_THREAD, CORE_OF_OTHERS)?;
                core::favour(host, gettid())?;
                flow.generator().run(&stop)
            })
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        match sender.join() {
            Ok(ended) => ended?.context("the generator stopped")?,
            Err(_) => bail!("the generator panicked"),
        }
        result
    })
}

/// The highest rate at which (almost) all packets arrive. Neither idle nor flooded: the losses of a flood cost time on
/// both cores, and a relay of several processes spends it on packets it drops later. `hint` is what was found before.
pub fn measure(flow: &impl Flow, window: Duration, hint: Option<f64>) -> Result<Throughput> {
    /// Something else on the machine may have cut a search short.
    const ATTEMPTS: usize = 3;
    flow.generator().pace(hint.unwrap_or(LOWEST))?;
    with_generator(flow, || {
        let mut best = search(flow, window, hint)?;
        for _ in 1..ATTEMPTS {
            if best.busy >= BUSY {
                break;
            }
            let seen = search(flow, window, hint)?;
            if seen.busy > best.busy {
                best = seen;
            }
        }
        Ok(best)
    })
}

fn search(flow: &impl Flow, window: Duration, hint: Option<f64>) -> Result<Throughput> {
    let (mut rate, growth) = match hint {
        Some(rate) => (0.9 * rate, 1.1),
        None => (LOWEST, 2.0),
    };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    while low == 0.0 || high / low > PRECISION {
        let seen = observe(flow, rate, window / 8)?;
        if seen.has_loss() {
            high = rate;
        } else if rate > FAST && seen.offered < 0.9 * rate {
            // the generator's own limit
            break;
        } else {
            low = rate;
        }
        rate = match (low, high) {
            (low, f64::INFINITY) => low * growth,
            (0.0, high) if high < 100.0 => bail!("nothing arrives"),
            (0.0, high) => high / growth,
            (low, high) => (low * high).sqrt(),
        };
    }
    // the short looks of the search may have been lucky ones
    let lowest = 0.8 * rate;
    loop {
        let seen = observe(flow, rate, window)?;
        if !seen.has_loss() || rate < lowest {
            return Ok(seen);
        }
        rate /= PRECISION;
    }
}

/// What comes through at this rate, while the generator runs: the medians of many short looks, so that a moment in which
/// somebody else had the core does not count.
pub fn observe(flow: &impl Flow, rate: f64, window: Duration) -> Result<Throughput> {
    const LOOK: Duration = Duration::from_millis(30);
    const PATIENCE: Duration = Duration::from_secs(10);
    flow.generator().pace(rate)?;
    thread::sleep(Duration::from_millis(30));
    let mut looks = Vec::new();
    let begin = Instant::now();
    while looks.len() < 3 || begin.elapsed() < window {
        looks.extend(look(flow, LOOK)?);
        ensure!(
            begin.elapsed() < PATIENCE,
            "the relay or the generator does not run"
        );
    }
    let median = |pick: fn(&Throughput) -> f64| super::median(looks.iter().map(pick));
    Ok(Throughput {
        offered: median(|look| look.offered),
        delivered: median(|look| look.delivered),
        busy: median(|look| look.busy),
        per_core: median(|look| look.per_core),
        kept: looks.iter().map(|look| look.kept).fold(0.0, f64::max),
    })
}

/// None if a side did not run at all.
fn look(flow: &impl Flow, window: Duration) -> Result<Option<Throughput>> {
    let start = Instant::now();
    let busy = core::time(flow.threads())?;
    let (arrived, sent) = (flow.arrived()?, flow.sent()?);
    thread::sleep(window);
    let arrived = (flow.arrived()? - arrived) as f64;
    let sent = (flow.sent()? - sent) as f64;
    let busy = (core::time(flow.threads())? - busy).as_secs_f64();
    let seconds = start.elapsed().as_secs_f64();
    Ok((sent > 0.0 && busy > 0.0).then_some(Throughput {
        offered: sent / seconds,
        delivered: arrived / seconds,
        busy: busy / seconds,
        per_core: arrived / busy,
        kept: arrived / sent,
    }))
}
