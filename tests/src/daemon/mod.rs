//! Those who speak Babel, started alike: babeld, BIRD and our node.

mod babeld;
mod bird;
mod re6st;

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

pub use self::{babeld::Babeld, bird::Bird, re6st::Re6st};
use crate::{
    configuration::Mac,
    host::Host,
    node::{mesh_ipv4, mesh_ipv6, re6st_user},
    process::Process,
};

/// How often routers speak.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Between Hellos.
    pub hello: Duration,
    /// Between full updates.
    pub update: Duration,
}

/// What a router is told.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Its addresses are `2001:db8:42:N::1` and, with IPv4, `10.42.N.1`.
    pub number: u8,
    /// Where it speaks.
    pub interfaces: &'a [&'a str],
    /// How often.
    pub intervals: Intervals,
    /// What else it does.
    pub features: Features<'a>,
}

/// What a router may do besides announcing its IPv6 address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features<'a> {
    /// It announces its IPv4 address too.
    pub ipv4: bool,
    /// It signs, and takes only what is signed (RFC 8967).
    pub mac: Option<&'a Mac>,
    /// Its interfaces are tunnels of others' making, so costs follow the round-trip time (RFC 9616).
    pub round_trip: bool,
    /// It announces `::/0` for this source prefix (RFC 9079).
    pub default_from: Option<&'a str>,
}

/// A daemon that speaks Babel.
pub trait Daemon: Sync {
    /// For people, and for the names of measurements.
    fn name(&self) -> &'static str;

    /// Starts it on a host, as a router that announces its own address.
    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process>;

    /// How many routes of each neighbour it knows, used or not; `None` of those that are not asked.
    fn routes_of_neighbours(&self, _: &Host) -> Result<Option<Vec<u64>>> {
        Ok(None)
    }

    /// What it says of its neighbours and routes, to explain a failure.
    fn tables(&self, host: &Host) -> Result<String>;
}

/// All that can be run here, ours first; the others with the reason.
pub fn available() -> (Vec<&'static dyn Daemon>, Vec<String>) {
    let mut missing = Vec::new();
    let mut found: Vec<&'static dyn Daemon> = Vec::new();
    let mut candidate = |daemon: &'static dyn Daemon, result: Result<()>| match result {
        Ok(()) => found.push(daemon),
        Err(error) => missing.push(format!("{}: {error:#}", daemon.name())),
    };
    candidate(&Re6st, own_node());
    candidate(&Babeld, starts("babeld", "-V"));
    candidate(&Bird, starts("bird", "--version"));
    (found, missing)
}

fn starts(program: &str, argument: &str) -> Result<()> {
    Command::new(program)
        .arg(argument)
        .output()
        .map(drop)
        .with_context(|| format!("could not start `{program}`; `cargo xtask setup` installs it"))
}

fn own_node() -> Result<()> {
    let output = Command::new(re6st_user()?)
        .args(["node", "--help"])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "this `re6st-user` has no command `node`"
    );
    Ok(())
}

/// What the others need of the kernel: our nodes do this themselves.
fn prepare(host: &Host, role: &Role<'_>) -> Result<()> {
    host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let address = format!("{}/128", mesh_ipv6(role.number));
    host.ip(&["address", "add", &address, "dev", "lo"])?;
    if role.features.ipv4 {
        host.set_sysctl("net.ipv4.ip_forward", "1")?;
        let address = format!("{}/32", mesh_ipv4(role.number));
        host.ip(&["address", "add", &address, "dev", "lo"])?;
    }
    Ok(())
}

/// Writes a file of a host's: its path.
fn file(host: &Host, name: &str, text: &str) -> Result<String> {
    let path = host.directory().join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    words(&path)
}

fn words(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is no text")?.into())
}
