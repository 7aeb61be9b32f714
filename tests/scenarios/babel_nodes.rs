//! What the scenarios with running controllers share.

use std::{
    fs,
    net::IpAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;
use testbed::{host::Host, internet::IpVersion, node::Node, process::Process, traffic::ping};

/// How long routes may take to be found.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the controllers of some nodes.
pub fn start(nodes: &[&Node]) -> Result<Vec<Process>> {
    nodes.iter().map(|node| node.start_node()).collect()
}

/// Which of two neighbours packets to another node go by.
pub fn in_use<'a>(from: &Node, to: &Node, ways: [&'a Node; 2]) -> Result<&'a Node> {
    let [first, second] = ways;
    let used = || -> Result<u64> { Ok(from.tunnel(first.host.name())?.sent_packets) };
    let before = used()?;
    assert_reaches(&from.host, to.address(IpVersion::V6), 10);
    Ok(if used()? >= before + 10 {
        first
    } else {
        second
    })
}

/// Waits until pings arrive; how long that took.
pub fn wait_for(from: &Node, to: &Node, version: IpVersion, said: &[Process]) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        // without any route ping does not even begin
        let reply = ping(&from.host, to.address(version), 1, &[]);
        if reply.is_ok_and(|reply| reply.received == 1) {
            return Ok(begin.elapsed());
        }
    }
    bail!(
        "no way from {} to {} by {version:?}:\n{}\n{}",
        from.host.name(),
        to.host.name(),
        logs(said),
        from.re6st_user(&["status", "routes"])?.stdout
    );
}

/// The same by both IP versions.
pub fn wait_for_both(from: &Node, to: &Node, said: &[Process]) -> Result<()> {
    for version in [IpVersion::V6, IpVersion::V4] {
        wait_for(from, to, version, said)?;
    }
    Ok(())
}

/// Pings arrive, each once.
#[track_caller]
pub fn assert_reaches(from: &Host, to: IpAddr, count: u32) {
    let answers = ping(from, to, count, &[]).expect("a way");
    assert!(answers.is_perfect(), "{to}: {}", answers.text);
}

/// What the controllers have said, to explain a failure.
pub fn logs(controllers: &[Process]) -> String {
    let logs: Vec<_> = controllers.iter().map(Process::stderr).collect();
    logs.join("\n---\n")
}

/// Waits until something holds.
pub fn wait_until(what: &str, holds: impl FnMut() -> Result<bool>) -> Result<Duration> {
    wait_within(PATIENCE, what, holds)
}

/// The same with another limit.
pub fn wait_within(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < limit {
        if holds()? {
            return Ok(begin.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("not within {limit:?}: {what}");
}

/// A ping every ten milliseconds, beside whatever else happens.
pub struct Pinging {
    process: Process,
    count: u32,
}

impl Pinging {
    /// Begins; it goes on for `duration`.
    pub fn start(host: &Host, address: IpAddr, duration: Duration) -> Result<Self> {
        let count = duration.as_millis() as u32 / 10;
        let mut command = Command::new("ping");
        command.args(["-n", "-q", "-i", "0.01", "-W", "1"]).args([
            "-c",
            &count.to_string(),
            &address.to_string(),
        ]);
        let process = host.spawn(&mut command)?;
        Ok(Self { process, count })
    }

    /// For how long, together, nothing arrived.
    pub fn outage(self) -> Result<Duration> {
        let limit = Duration::from_millis(10) * self.count * 2 + Duration::from_secs(10);
        let text = self.process.wait(limit)?.stdout;
        let numbers = text
            .lines()
            .find_map(|line| line.split_once(" packets transmitted, "))
            .with_context(|| format!("no summary from ping: {text}"))?;
        let received = numbers.1.split(' ').next().unwrap_or_default();
        let lost = numbers.0.parse::<u32>()? - received.parse::<u32>()?;
        Ok(Duration::from_millis(10) * lost)
    }
}

/// What a process has had of the processors.
pub fn processor_time(process: Pid) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat"))?;
    let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// How often a process has gone to sleep, in all its threads: unlike the time it takes, the same on a machine with more to do.
pub fn sleeps(process: Pid) -> Result<u64> {
    let mut sleeps = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps += count.context("no count of sleeps")?.trim().parse::<u64>()?;
    }
    Ok(sleeps)
}

/// What a process has in memory, in bytes.
pub fn memory(process: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
        .context("no VmRSS")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

/// Packets cross a relay in XDP: its kernel has next to no part in a hundred pings.
pub fn assert_relayed_by_xdp(from: &Host, to: IpAddr, relay: &Node) -> Result<()> {
    let before = relay.host.forwarded_by_kernel()?;
    let reply = ping(from, to, 100, &["-i", "0.01"])?;
    assert!(reply.is_perfect(), "{}", reply.text);
    let after = relay.host.forwarded_by_kernel()?;
    let forwarded = after.0 - before.0 + after.1 - before.1;
    assert!(forwarded < 20, "the kernel forwarded {forwarded}");
    Ok(())
}
