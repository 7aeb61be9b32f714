//! ping and traceroute, as people use them.

use std::{net::IpAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use crate::host::Host;

/// What ping said at the end.
#[derive(Clone, Debug)]
pub struct Ping {
    /// Echo requests sent.
    pub sent: u32,
    /// Answers received.
    pub received: u32,
    /// Answers that came more than once.
    pub duplicates: u32,
    /// Mean round trip time, in milliseconds; none without answers.
    pub average: Option<f64>,
    /// All it said.
    pub text: String,
}

impl Ping {
    /// Whether every request was answered exactly once.
    pub fn is_perfect(&self) -> bool {
        self.sent > 0 && self.received == self.sent && self.duplicates == 0
    }
}

/// Pings an address `count` times, twenty a second, with more options of ping's if wanted.
pub fn ping(host: &Host, address: IpAddr, count: u32, options: &[&str]) -> Result<Ping> {
    let mut command = Command::new("ping");
    command
        .args(["-n", "-i", "0.05", "-W", "1", "-c", &count.to_string()])
        .args(options)
        .arg(address.to_string());
    let limit = Duration::from_secs(10) + Duration::from_millis(50) * count;
    // its exit status says whether anything was answered; the counts say it better
    let output = host.spawn(&mut command)?.wait(limit)?;
    let text = output.stdout + &output.stderr;
    let summary = text
        .lines()
        .find(|line| line.contains("packets transmitted"))
        .with_context(|| format!("no summary from ping {address}: {text}"))?;
    let counted = |what: &str| -> Option<u32> {
        let part = summary.split(", ").find(|part| part.contains(what))?;
        part.trim_start_matches('+').split(' ').next()?.parse().ok()
    };
    let average = text
        .lines()
        .find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = "))
        .and_then(|times| times.split('/').nth(1)?.parse().ok());
    Ok(Ping {
        sent: counted("packets transmitted").context("no count of packets transmitted")?,
        received: counted("received").context("no count of packets received")?,
        duplicates: counted("duplicates").unwrap_or(0),
        average,
        text: text.clone(),
    })
}

/// The addresses on the path to `address`, as traceroute finds them; none for a hop that does not answer.
pub fn traceroute(host: &Host, address: IpAddr) -> Result<Vec<Option<IpAddr>>> {
    let version = if address.is_ipv4() { "-4" } else { "-6" };
    let text = host.run(
        "traceroute",
        &[
            version,
            "-n",
            "-q",
            "1",
            "-N",
            "1",
            "-w",
            "2",
            "-m",
            "8",
            &address.to_string(),
        ],
    )?;
    // ` 2  2001:db8:42:2::1  0.061 ms`, after a line that says what is done
    Ok(text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect())
}
