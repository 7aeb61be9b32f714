//! The benchmarks: everything a user would otherwise run, side by side in one run.
//!
//! Contenders take turns in short rounds, so that whatever else the machine does meets all of them alike; what is
//! reported are medians. What arrives is looked at, byte by byte: a relay that forwards garbage fails.

mod babel;
mod chain;
mod channel;
mod contender;
mod core;
mod frames;
mod kernel;
mod layout;
mod maps;
mod mesh;
mod openvpn;
pub mod parts;
mod registry;
mod relay_node;
pub mod report;
mod tcp;
mod throughput;

use std::fs;

use anyhow::{Context as _, Result};

/// Bytes of memory a process has in use; `process` is a number, or `self`.
fn resident_memory(process: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let kibibytes: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?
        .parse()?;
    Ok(kibibytes << 10)
}

/// The value in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
