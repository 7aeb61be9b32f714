//! Those who speak Babel, started alike.

use std::{
    fs, io::Read as _, os::unix::net::UnixStream, path::Path, process::Command, time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Intervals;
use crate::{
    host::Host,
    node::{INSTANCE, mesh_ipv6, re6st_user},
    process::Process,
};

/// What a router is told.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Its address is `2001:db8:42:N::1`.
    pub number: u8,
    /// Where it speaks.
    pub interfaces: &'a [&'a str],
    /// How often.
    pub intervals: Intervals,
}

/// A daemon that speaks Babel.
pub trait Daemon: Sync {
    /// For the names of measurements.
    fn name(&self) -> &'static str;

    /// Starts it on a host, as a router that announces its own address.
    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process>;

    /// How many routes of each neighbour it knows, used or not; `None` of those that are not asked.
    fn routes_of_neighbours(&self, _: &Host) -> Result<Option<Vec<u64>>> {
        Ok(None)
    }
}

/// Juliusz Chroboczek's.
#[derive(Debug)]
pub struct Babeld;

/// CZ.NIC's.
#[derive(Debug)]
pub struct Bird;

/// Ours.
#[derive(Debug)]
pub struct Re6st;

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
fn prepare(host: &Host, number: u8) -> Result<()> {
    host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let address = format!("{}/128", mesh_ipv6(number));
    host.ip(&["address", "add", &address, "dev", "lo"])
        .map(drop)
}

fn file(host: &Host, name: &str, text: &str) -> Result<String> {
    let path = host.directory().join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    words(&path)
}

fn words(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path that is no text")?.into())
}

impl Daemon for Babeld {
    fn name(&self) -> &'static str {
        "babeld"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        prepare(host, role.number)?;
        let mut text =
            String::from("redistribute local ip 2001:db8:42::/48 allow\nredistribute local deny\n");
        for interface in role.interfaces {
            text += &format!(
                "interface {interface} type wired link-quality false split-horizon true hello-interval {} update-interval {}\n",
                role.intervals.hello.as_secs(),
                role.intervals.update.as_secs()
            );
        }
        let configuration = file(host, "babeld.conf", &format!("link-detect true\n{text}"))?;
        let state = words(&host.directory().join("babeld.state"))?;
        let mut command = Command::new("babeld");
        command
            .args(["-I", "", "-S", &state, "-c", &configuration])
            .args(role.interfaces);
        host.spawn(&mut command)
    }
}

impl Daemon for Bird {
    fn name(&self) -> &'static str {
        "bird"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        prepare(host, role.number)?;
        let interfaces: Vec<_> = role
            .interfaces
            .iter()
            .map(|interface| format!("\"{interface}\""))
            .collect();
        let text = format!(
            "router id 10.42.0.{number};\n\
             protocol device {{ }}\n\
             protocol kernel {{ ipv6 {{ import none; export where source = RTS_BABEL; }}; }}\n\
             protocol static {{ ipv6; route {address}/128 unreachable; }}\n\
             protocol babel {{\n\
               ipv6 {{ import all; export where source ~ [ RTS_BABEL, RTS_STATIC ]; }};\n\
               interface {interfaces} {{ type wired; check link yes; hello interval {hello} s; update interval {update} s; }};\n\
             }}\n",
            number = role.number,
            address = mesh_ipv6(role.number),
            interfaces = interfaces.join(", "),
            hello = role.intervals.hello.as_secs(),
            update = role.intervals.update.as_secs(),
        );
        let configuration = file(host, "bird.conf", &text)?;
        let control = words(&host.directory().join("bird.ctl"))?;
        let mut command = Command::new("bird");
        command.args(["-f", "-c", &configuration, "-s", &control]);
        host.spawn(&mut command)
    }
}

impl Daemon for Re6st {
    fn name(&self) -> &'static str {
        "re6st"
    }

    fn start(&self, host: &Host, role: Role<'_>) -> Result<Process> {
        host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
        let state = words(&host.directory().join("state"))?;
        let text = format!(
            "addresses = [\"{}/64\"]\n\
             interfaces = {interfaces:?}\n\
             networks = [\"2001:db8:42::/48\"]\n\
             [babel]\n\
             interfaces = {interfaces:?}\n\
             hello-interval = {}\n\
             update-interval = {}\n\
             state-directory = {state:?}\n",
            mesh_ipv6(role.number),
            role.intervals.hello.as_secs(),
            role.intervals.update.as_secs(),
            interfaces = role.interfaces,
        );
        let configuration = file(host, "re6st.toml", &text)?;
        let bpffs = words(&host.bpffs())?;
        let sockets = words(host.directory())?;
        let mut command = Command::new(re6st_user()?);
        command
            .args(["--bpffs", &bpffs, "--sockets", &sockets, "node"])
            .args(["--config", &configuration, "--instance", INSTANCE]);
        host.spawn(&mut command)
    }

    fn routes_of_neighbours(&self, host: &Host) -> Result<Option<Vec<u64>>> {
        let socket = host.directory().join(format!("{INSTANCE}.sock"));
        let mut stream = UnixStream::connect(&socket)
            .with_context(|| format!("connecting to {}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status: Value = serde_json::from_str(&text)?;
        let neighbours = status["neighbours"].as_array().context("no neighbours")?;
        let routes = neighbours
            .iter()
            .map(|neighbour| neighbour["routes"].as_u64());
        Ok(routes.collect())
    }
}
