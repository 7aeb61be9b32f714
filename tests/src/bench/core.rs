//! Which thread runs where, and for how long.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{cleanup::wait_until, host::Host};

/// The core of the generator, and of the sending end of a TCP connection.
pub const CORE_OF_OTHERS: usize = 0;
/// The core of the relay, and of the receiving end of a TCP connection.
pub const CORE_OF_RELAY: usize = 1;
/// The kernel takes 0 for the thread that asks.
pub const THIS_THREAD: Pid = Pid::from_raw(0);

/// Lets a thread run on one core only.
pub fn pin(thread: Pid, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(thread, &cores)
        .with_context(|| format!("thread {thread} could not be given core {core}"))
}

/// What is started in it may run on one core only.
pub fn pinned<T>(core: usize, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(THIS_THREAD)?;
    pin(THIS_THREAD, core)?;
    let started = start();
    sched_setaffinity(THIS_THREAD, &before)?;
    started
}

/// Lets a thread go before all ordinary work, so that the rest of the machine disturbs less.
pub fn favour(host: &Host, thread: Pid) -> Result<()> {
    host.run("chrt", &["--fifo", "--pid", "1", &thread.to_string()])
        .map(drop)
}

/// Lets a thread go even before those that are [favoured](favour).
pub fn put_first(host: &Host, thread: Pid) -> Result<()> {
    host.run("chrt", &["--fifo", "--pid", "2", &thread.to_string()])
        .map(drop)
}

/// Makes a thread an ordinary one again.
pub fn release(host: &Host, thread: Pid) -> Result<()> {
    host.run("chrt", &["--other", "--pid", "0", &thread.to_string()])
        .map(drop)
}

/// All threads of a process.
pub fn threads_of(process: Pid) -> Result<Vec<Pid>> {
    let path = format!("/proc/{process}/task");
    let entries = fs::read_dir(&path).with_context(|| format!("reading {path}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.map(Pid::from_raw).collect())
}

/// How long threads have run so far, in all.
pub fn time(threads: &[Pid]) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in threads {
        let path = format!("/proc/{thread}/schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let nanoseconds = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?;
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

/// Makes the kernel poll an interface (NAPI) in threads instead of wherever packets arrive; which.
pub fn poll_with_threads(host: &Host, interface: &str) -> Result<Vec<Pid>> {
    // /sys shows the devices of the namespace it was mounted in, so it is mounted anew for this
    let script = format!(
        "mount -t sysfs none /sys && echo 0 > /sys/class/net/{interface}/threaded && \
         echo 1 > /sys/class/net/{interface}/threaded"
    );
    host.run("unshare", &["--mount", "sh", "-c", &script])?;
    let prefix = format!("napi/{interface}-");
    let mut threads = Vec::new();
    let begin = Instant::now();
    let found = wait_until(Duration::from_secs(2), || {
        threads = kernel_threads(&prefix);
        !threads.is_empty()
    });
    if !found {
        bail!(
            "the kernel made no polling thread for {interface} in {:?} (it needs 5.12)",
            begin.elapsed()
        );
    }
    Ok(threads)
}

fn kernel_threads(prefix: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            // a process may end while we look
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.starts_with(prefix))
        })
        .map(Pid::from_raw)
        .collect()
}
