//! What passes an interface, as tcpdump shows it.

use std::{process::Command, time::Duration};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::{cleanup::wait_until, host::Host, process::Process};

/// A tcpdump that is running.
#[derive(Debug)]
pub struct Capture(Process);

/// Which packets, seen from the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Those it receives.
    In,
    /// Those it sends.
    Out,
}

impl Capture {
    /// Starts tcpdump and waits until it listens. The filter is in its own language.
    pub fn start(host: &Host, interface: &str, direction: Direction, filter: &str) -> Result<Self> {
        let direction = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        let process = host.spawn(Command::new("tcpdump").args([
            "-n",
            "-l",
            "-t",
            "--immediate-mode",
            "-i",
            interface,
            "-Q",
            direction,
            filter,
        ]))?;
        let listens = || process.stderr().contains("listening on");
        if !wait_until(Duration::from_secs(5), listens) {
            bail!(
                "tcpdump does not listen on {interface}: {}",
                process.stderr()
            );
        }
        Ok(Self(process))
    }

    /// The lines so far, one a packet.
    pub fn lines(&self) -> Vec<String> {
        self.0.stdout().lines().map(str::to_owned).collect()
    }

    /// Ends it; its lines, one a packet.
    pub fn stop(self) -> Result<Vec<String>> {
        let output = self.0.stop(Signal::SIGINT)?;
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }

    /// Ends it; the bytes each packet carried, as the lines end (`length 1368`).
    pub fn lengths(self) -> Result<Vec<usize>> {
        let lines = self.stop()?;
        Ok(lines
            .iter()
            .filter_map(|line| {
                line.rsplit_once("length ")?
                    .1
                    .split_whitespace()
                    .next()?
                    .trim_end_matches(':')
                    .parse()
                    .ok()
            })
            .collect())
    }
}
