//! What the kernel knows of a router, whoever it is: routes, lost packets, time used, memory.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;
use re6st_user::babel::output::PORT;

use crate::host::Host;

/// Routes that lead to a gateway: neither refusals nor the host's own.
fn read_learned() -> Result<usize> {
    const USABLE: u32 = 0x0001;
    const GATEWAY: u32 = 0x0002;
    const REJECTED: u32 = 0x0200;
    // /proc/net is that of the process; a thread's own is elsewhere
    let text = fs::read_to_string("/proc/thread-self/net/ipv6_route")?;
    let flags = |line: &str| u32::from_str_radix(line.split_whitespace().nth(8)?, 16).ok();
    Ok(text
        .lines()
        .filter_map(flags)
        .filter(|flags| flags & (USABLE | GATEWAY | REJECTED) == USABLE | GATEWAY)
        .count())
}

/// All routes of the kernel, of any kind: quickly told.
fn read_all() -> Result<usize> {
    let text = fs::read_to_string("/proc/thread-self/net/rt6_stats")?;
    let entries = text.split_whitespace().nth(3).context("short rt6_stats")?;
    Ok(usize::from_str_radix(entries, 16)?)
}

/// Waits until a host has learned this many routes: how long after `begin` that was; else how many there are.
pub fn wait_learned(
    host: &Host,
    count: usize,
    begin: Instant,
    limit: Duration,
) -> Result<Result<Duration, usize>> {
    host.enter(|| {
        let mut next_look = Instant::now();
        loop {
            let now = Instant::now();
            if read_all()? >= count && now >= next_look {
                if read_learned()? >= count {
                    return Ok(Ok(now - begin));
                }
                // reading a long list takes time of everybody
                next_look = now + 10 * now.elapsed();
            }
            if now - begin > limit {
                return Ok(Err(read_learned()?));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    })?
}

/// Packets that found the receive buffers of Babel's sockets full.
pub fn lost_at_socket(host: &Host) -> Result<u64> {
    let text = host.enter(|| fs::read_to_string("/proc/thread-self/net/udp6"))??;
    let port = format!(":{PORT:04X}");
    let mut lost = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.nth(1).is_some_and(|local| local.ends_with(&port)) {
            let drops = line
                .split_whitespace()
                .next_back()
                .context("an empty line")?;
            lost += drops.parse::<u64>()?;
        }
    }
    Ok(lost)
}

/// How long a process has run so far, all threads together.
pub fn time(process: Pid) -> Result<Duration> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        if let Some(thread) = entry?.file_name().to_str() {
            threads.push(Pid::from_raw(thread.parse()?));
        }
    }
    if threads.is_empty() {
        bail!("process {process} has ended");
    }
    crate::bench::core::time(&threads)
}

/// Bytes of memory a process has in use.
pub fn memory(process: Pid) -> Result<u64> {
    crate::bench::resident_memory(&process.to_string())
}
