//! How long a new route takes to the far end of a row.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    injector::{Injector, Origins, prefix},
    kernel,
    topology::{RIGHT, Row, converge},
};
use crate::{
    daemon::{Daemon, Intervals},
    host::Testbed,
};

/// Routers in the row: three hops from the first to the last.
const SIZE: u8 = 4;
const CONVERGENCE: Duration = Duration::from_secs(60);

/// The times, one a round; `None` where `limit` was not enough.
pub fn measure(
    testbed: &Testbed,
    daemon: &dyn Daemon,
    intervals: Intervals,
    rounds: usize,
    limit: Duration,
) -> Result<Vec<Option<Duration>>> {
    let name = format!("row-{}", daemon.name());
    let row = Row::start(testbed, &name, SIZE, daemon, intervals)?;
    let injector = Injector::start(&row.first, RIGHT, 1, Origins::One, intervals)?;
    // everybody's own and the injector's first
    let mut routes = usize::from(SIZE);
    converge(&row.routers, routes, CONVERGENCE)?;
    thread::sleep(intervals.hello);
    let last = &row.last()?.host;
    let mut times = Vec::new();
    for round in 0..rounds {
        // at another moment of everybody's timers each time
        thread::sleep(Duration::from_millis(1300 + 370 * round as u64));
        let begin = Instant::now();
        injector.announce(prefix(1 + round as u16)?)?;
        let time = kernel::wait_learned(last, routes + 1, begin, limit)?.ok();
        routes += usize::from(time.is_some());
        times.push(time);
        if time.is_none() {
            break;
        }
    }
    Ok(times)
}
