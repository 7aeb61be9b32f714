//! A registry on a host, and newcomers on others.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{sys::signal::Signal, unistd::Pid};
use serde_json::Value;
use testbed::{
    host::{Host, Testbed},
    internet::{Internet, Uplink},
    link::LinkOptions,
    nat::{Nat, NatRouter},
    process::{Output, Process},
};

use super::clock;
use crate::babel_nodes::wait_within;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The port of the registry.
const PORT: u16 = 4443;

/// A host with a registry on an Internet, serving; others are made on the same Internet.
pub struct RegistryHost {
    testbed: Testbed,
    internet: Arc<Internet>,
    pub host: Host,
    pub uplink: Uplink,
    pub process: Option<Process>,
    pub fingerprint: String,
}

/// Starts a node on a host, and waits until it runs.
pub fn start_node(host: &Host, config: &Path) -> Result<Process> {
    let mut command = clock::command()?;
    command
        .arg("--bpffs")
        .arg(host.bpffs())
        .arg("--sockets")
        .arg(host.directory())
        .args(["node", "--config"])
        .arg(config);
    let process = host.spawn(&mut command)?;
    wait_for("the node to start", || {
        Ok(process.stderr().contains("speaks Babel"))
    })
    .with_context(|| process.stderr())?;
    Ok(process)
}

/// Runs `re6st-user` on a host.
pub fn run(host: &Host, arguments: &[&str]) -> Result<Output> {
    host.spawn(clock::command()?.args(arguments))?
        .wait(PATIENCE)
}

/// Anybody gets a prefix of this length.
pub const OPEN: [&str; 2] = ["--anonymous-prefix-length", "16"];

impl RegistryHost {
    /// `registry init` with more options, more lines in its configuration, and then it serves.
    pub fn new(options: &[&str], lines: &str) -> Result<Self> {
        let testbed = Testbed::new()?;
        let internet = Arc::new(Internet::new(&testbed)?);
        let host = testbed.host("registry")?;
        let uplink = internet.attach(&host, "eth0", LinkOptions::default())?;
        let listen = format!("[::]:{PORT}");
        let directory = host.directory().join("registry");
        let directory = directory.to_str().context("a folder's name")?.to_owned();
        let mut arguments = vec!["registry", "init", "--network", "2001:db8:42::/48"];
        arguments.extend(["--dir", &directory, "--listen", &listen]);
        arguments.extend(options);
        let said = run(&host, &arguments)?.success()?.stdout;
        let fingerprint = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"))
            .with_context(|| format!("no fingerprint in {said}"))?
            .to_owned();
        let mut registry = Self {
            testbed,
            internet,
            host,
            uplink,
            process: None,
            fingerprint,
        };
        let path = registry.file("registry.toml");
        fs::write(&path, fs::read_to_string(&path)? + lines)?;
        registry.serve()?;
        Ok(registry)
    }

    /// The server's process.
    pub fn id(&self) -> Result<Pid> {
        let process = self.process.as_ref().context("it does not serve")?;
        Ok(process.id())
    }

    /// The router between all of them.
    pub fn router(&self) -> &Host {
        self.internet.router()
    }

    /// A host on the same Internet.
    pub fn newcomer(&self, name: &str) -> Result<Host> {
        let host = self.testbed.host(name)?;
        self.internet
            .attach(&host, "eth0", LinkOptions::default())?;
        Ok(host)
    }

    /// A host on the same Internet, in a block of addresses (16 bits) where no other is.
    pub fn newcomer_far_away(&self, name: &str) -> Result<Host> {
        let host = self.testbed.host(name)?;
        let uplink = Uplink {
            interface: "eth0".to_owned(),
            router_interface: "far-away".to_owned(),
            ipv4: Ipv4Addr::new(198, 51, 100, 2),
            ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0xfffd, 1, 0, 0, 0, 2),
        };
        self.internet
            .plug_in(&host, &uplink, LinkOptions::default())?;
        Ok(host)
    }

    /// A router with NAT on the same Internet, which has none of this number.
    pub fn nat(&self, number: u8, nat: Nat) -> Result<NatRouter> {
        NatRouter::new(&self.testbed, &self.internet, number, nat)
    }

    /// A host behind such a router.
    pub fn behind(&self, name: &str, nat: &NatRouter) -> Result<Host> {
        let host = self.testbed.host(name)?;
        nat.attach(&host)?;
        Ok(host)
    }

    /// Copies its database while it serves.
    pub fn back_up(&self) -> Result<PathBuf> {
        let copy = self.host.directory().join("copy.db");
        let path = copy.to_str().context("a file's name")?;
        self.operate(&["backup", path])?;
        Ok(copy)
    }

    /// A registry on another host that goes on from a copy of the database, with the same keys.
    pub fn restored(&self, copy: &Path) -> Result<Self> {
        let host = self.testbed.host("other")?;
        let uplink = self
            .internet
            .attach(&host, "eth0", LinkOptions::default())?;
        let mut restored = Self {
            testbed: Testbed::new()?,
            internet: Arc::clone(&self.internet),
            host,
            uplink,
            process: None,
            fingerprint: self.fingerprint.clone(),
        };
        fs::create_dir(restored.file(""))?;
        for name in ["ca.crt", "ca.key", "registry.toml"] {
            fs::copy(self.file(name), restored.file(name))?;
        }
        fs::copy(copy, restored.file("registry.db"))?;
        restored.serve()?;
        Ok(restored)
    }

    /// A file of the registry's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.host.directory().join("registry").join(name)
    }

    /// Starts to serve.
    pub fn serve(&mut self) -> Result<()> {
        let config = self.file("registry.toml");
        let mut command = clock::command()?;
        command.args(["registry", "--config"]).arg(config);
        let process = self.host.spawn(&mut command)?;
        wait_until_it_serves(&process)?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it by a signal; all it has said.
    pub fn stop(&mut self, signal: Signal) -> Result<Output> {
        let process = self.process.take().context("it is not running")?;
        process.stop(signal)
    }

    /// The address newcomers are given.
    pub fn url(&self) -> String {
        format!("https://{}:{PORT}/", self.uplink.ipv4)
    }

    /// An operator's command; what it said.
    pub fn operate(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.command(arguments)?.success()?.stdout)
    }

    /// An operator's command that is not done; why.
    pub fn refuses(&self, arguments: &[&str]) -> Result<String> {
        self.command(arguments)?.failure()
    }

    fn command(&self, arguments: &[&str]) -> Result<Output> {
        let config = self.file("registry.toml");
        let config = config.to_str().context("a file's name")?;
        run(
            &self.host,
            &[&["registry"], arguments, &["--config", config]].concat(),
        )
    }

    /// Changes parameters of the network.
    pub fn set(&self, parameters: &[&str]) -> Result<()> {
        let command = [&["params", "set"], parameters].concat();
        self.operate(&command).map(drop)
    }

    /// What an operator's command shows.
    pub fn shown(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.operate(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&output).with_context(|| output.clone())
    }

    /// A new token.
    pub fn token(&self) -> Result<String> {
        let output = self.operate(&["token", "add", "--email", "user@example.com"])?;
        Ok(output.trim().to_owned())
    }

    /// `conf` on a host, with the fingerprint and more options; its files are in the folder `node`.
    pub fn conf(&self, host: &Host, options: &[&str]) -> Result<Output> {
        let directory = host.directory().join("node");
        let directory = directory.to_str().context("a folder's name")?;
        let url = self.url();
        let mut arguments = vec!["conf", "--registry", &url, "--dir", directory];
        arguments.extend(["--fingerprint", &self.fingerprint]);
        arguments.extend(options);
        run(host, &arguments)
    }
}

/// Waits for its word.
pub fn wait_until_it_serves(process: &Process) -> Result<()> {
    wait_for("the registry to serve", || {
        Ok(process.stderr().contains("the registry serves"))
    })
    .with_context(|| process.stderr())
}

/// Waits until something is so.
pub fn wait_for(what: &str, is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_within(PATIENCE, what, is_so).map(drop)
}

/// A file of a newcomer.
pub fn node_file(host: &Host, name: &str) -> Result<String> {
    let path = host.directory().join("node").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Who may read a file.
pub fn mode(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}
