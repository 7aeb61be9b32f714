//! A host: a network namespace of our own.

use std::{
    fs::{self, File},
    net::Ipv6Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns},
};
use serde_json::Value;

use crate::{
    cleanup::{self, DIRECTORY, Guard, NAMESPACES, Resource},
    process::{Output, Process},
};

/// How long a command may take unless said otherwise.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// A group of hosts with names of its own: one for each scenario, so that they can run side by side.
#[derive(Debug)]
pub struct Testbed {
    prefix: String,
}

impl Testbed {
    /// A testbed that lives as long as this process.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        cleanup::prepare()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{}{number}-", cleanup::own_prefix());
        Ok(Self { prefix })
    }

    /// A testbed that may be left running, so its names are always the same.
    pub fn lasting(name: &str) -> Result<Self> {
        cleanup::prepare()?;
        Ok(Self {
            prefix: format!("re6st-{name}-"),
        })
    }

    /// Removes what a [lasting](Self::lasting) testbed left: how many hosts that were.
    pub fn remove_lasting(name: &str) -> Result<usize> {
        let prefix = format!("re6st-{name}-");
        let mut removed = 0;
        for directory in [NAMESPACES, DIRECTORY] {
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            for entry in entries {
                let Ok(name) = entry?.file_name().into_string() else {
                    continue;
                };
                if !name.starts_with(&prefix) {
                    continue;
                }
                if directory == NAMESPACES {
                    removed += 1;
                    drop(Guard::new(Resource::Namespace(name)));
                } else {
                    cleanup::remove_directory(&Path::new(directory).join(name))?;
                }
            }
        }
        Ok(removed)
    }

    /// A new host, with nothing but its loopback interface.
    pub fn host(&self, name: &str) -> Result<Host> {
        Host::new(name, format!("{}{name}", self.prefix))
    }
}

/// A host: a network namespace, with a folder for its files and a BPF file system. Gone with everything in it when
/// dropped.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace_name: String,
    namespace: File,
    directory: PathBuf,
    // dropped in this order: what is mounted before the folder it is in
    _guards: [Guard; 3],
}

impl Host {
    fn new(name: &str, namespace_name: String) -> Result<Self> {
        let output = Command::new("ip")
            .args(["netns", "add", &namespace_name])
            .output()
            .context("could not start `ip`")?;
        if !output.status.success() {
            bail!(
                "could not make network namespace {namespace_name} (root is needed): {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let namespace_guard = Guard::new(Resource::Namespace(namespace_name.clone()));
        let namespace = File::open(Path::new(NAMESPACES).join(&namespace_name))?;

        let directory = Path::new(DIRECTORY).join(&namespace_name);
        let bpffs = directory.join("bpf");
        let directory_guard = Guard::new(Resource::Directory(directory.clone()));
        fs::create_dir_all(&bpffs)?;
        mount(
            Some("bpf"),
            &bpffs,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting a BPF file system on {}", bpffs.display()))?;
        let mount_guard = Guard::new(Resource::Mount(bpffs));

        let host = Self {
            name: name.into(),
            namespace_name,
            namespace,
            directory,
            _guards: [mount_guard, directory_guard, namespace_guard],
        };
        // addresses are usable at once: nobody here takes another's
        host.set_sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        host.set_sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        host.ip(&["link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Its name in the testbed.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace's name, as `ip netns` knows it.
    pub fn namespace(&self) -> &str {
        &self.namespace_name
    }

    /// A folder for its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its own BPF file system: several hosts may have an instance of the same name.
    pub fn bpffs(&self) -> PathBuf {
        self.directory.join("bpf")
    }

    /// Runs a function on a thread in this host's network namespace (and no other namespace: pins stay visible).
    /// Sockets made there stay there wherever they are used.
    pub fn enter<T: Send>(&self, function: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
                Ok::<T, nix::Error>(function())
            });
            match inside.join() {
                Ok(result) => result
                    .with_context(|| format!("entering network namespace {}", self.namespace_name)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a command in this host.
    pub fn spawn(&self, command: &mut Command) -> Result<Process> {
        self.enter(|| Process::spawn(command))?
    }

    /// Runs a command in this host to its end, whatever that is.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        self.spawn(Command::new(program).args(arguments))?
            .wait(COMMAND_LIMIT)
    }

    /// Runs a command in this host; its standard output. Fails if the command does.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self.output(program, arguments)?.success();
        Ok(output
            .with_context(|| format!("on host {}", self.name))?
            .stdout)
    }

    /// `ip` in this host.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        self.run("ip", arguments)
    }

    /// `ip -batch` in this host: commands without a pause between them, one a line.
    pub fn ip_batch(&self, commands: &str) -> Result<()> {
        let file = self.directory.join("batch");
        fs::write(&file, commands)?;
        let file = file.to_str().context("the path is not UTF-8")?;
        self.ip(&["-batch", file]).map(drop)
    }

    /// `ip -json` in this host.
    pub fn ip_json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ip(&[&["-json"], arguments].concat())?;
        // nothing to show is an empty text
        if text.trim().is_empty() {
            return Ok(Value::Array(Vec::new()));
        }
        serde_json::from_str(&text)
            .with_context(|| format!("`ip -json {}`: {text}", arguments.join(" ")))
    }

    fn sysctl_path(name: &str) -> PathBuf {
        Path::new("/proc/sys").join(name.replace('.', "/"))
    }

    /// Sets a network sysctl (`net...`), which the kernel keeps for each namespace.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(Self::sysctl_path(name), value))?
            .with_context(|| format!("setting {name} on host {}", self.name))
    }

    /// Reads a network sysctl.
    pub fn sysctl(&self, name: &str) -> Result<String> {
        let text = self
            .enter(|| fs::read_to_string(Self::sysctl_path(name)))?
            .with_context(|| format!("reading {name} on host {}", self.name))?;
        Ok(text.trim().into())
    }

    /// Packets the kernel itself has forwarded: IPv4 and IPv6 (`ForwDatagrams`, `Ip6OutForwDatagrams`).
    pub fn forwarded_by_kernel(&self) -> Result<(u64, u64)> {
        // /proc/net is that of the process; a thread's own is elsewhere
        let (ipv4, ipv6) = self.enter(|| {
            let read = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
            (read("snmp"), read("snmp6"))
        })?;
        let (ipv4, ipv6) = (ipv4?, ipv6?);
        let mut lines = ipv4.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let names = lines.next().context("no line of names in /proc/net/snmp")?;
        let values = lines
            .next()
            .context("no line of values in /proc/net/snmp")?;
        let ipv4 = names
            .split(' ')
            .zip(values.split(' '))
            .find_map(|(name, value)| (name == "ForwDatagrams").then(|| value.parse()))
            .context("no ForwDatagrams in /proc/net/snmp")??;
        let ipv6 = ipv6
            .lines()
            .find_map(|line| line.strip_prefix("Ip6OutForwDatagrams"))
            .context("no Ip6OutForwDatagrams in /proc/net/snmp6")?
            .trim()
            .parse()?;
        Ok((ipv4, ipv6))
    }

    /// Packets and bytes an interface has received and sent.
    pub fn interface_counters(&self, interface: &str) -> Result<InterfaceCounters> {
        let shown = self.ip_json(&["-statistics", "link", "show", "dev", interface])?;
        let counter = |direction: &str, name: &str| {
            shown[0]["stats64"][direction][name]
                .as_u64()
                .with_context(|| format!("no counter {direction} {name} of {interface}"))
        };
        Ok(InterfaceCounters {
            received_packets: counter("rx", "packets")?,
            received_bytes: counter("rx", "bytes")?,
            sent_packets: counter("tx", "packets")?,
            sent_bytes: counter("tx", "bytes")?,
        })
    }

    /// The Ethernet address of an interface.
    pub fn ethernet_address(&self, interface: &str) -> Result<String> {
        let shown = self.ip_json(&["link", "show", "dev", interface])?;
        let address = shown[0]["address"].as_str();
        Ok(address.context("the interface has no address")?.into())
    }

    /// Its link-local IPv6 address on an interface, the first if there are several.
    pub fn link_local(&self, interface: &str) -> Result<Ipv6Addr> {
        let shown = self.ip_json(&["-6", "address", "show", "dev", interface, "scope", "link"])?;
        // an empty entry for each address of another scope
        let mut addresses = shown[0]["addr_info"].as_array().into_iter().flatten();
        let address = addresses.find_map(|address| address["local"].as_str());
        let address = address.with_context(|| format!("no link-local address: {shown}"))?;
        Ok(address.parse()?)
    }
}

/// Packets and bytes of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Packets received.
    pub received_packets: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}
