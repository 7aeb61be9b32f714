//! The machines the scenarios share.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use testbed::machine::{Machine, Options, Series};

/// Shell functions of the scripts.
const HOSTS: &str = include_str!("hosts.sh");

/// A machine for as long as one scenario needs it.
pub struct Scene {
    machine: MutexGuard<'static, Machine>,
}

/// A machine that did not boot once will not boot for the next scenario either.
type Booted = OnceLock<std::result::Result<Mutex<Machine>, String>>;

impl Scene {
    /// The machine with a kernel, booted for the first who wants it.
    pub fn on(series: Series) -> Result<Self> {
        static LINUX_6_1: Booted = OnceLock::new();
        static LINUX_6_12: Booted = OnceLock::new();
        let booted = if series == Series::LINUX_6_1 {
            &LINUX_6_1
        } else {
            &LINUX_6_12
        };
        let machine = booted
            .get_or_init(|| {
                boot(series)
                    .map(Mutex::new)
                    .map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|error| anyhow!("no machine with Linux {series}: {error}"))?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let scene = Self { machine };
        scene.run("clean")?;
        Ok(scene)
    }

    /// Runs a script that may use the functions of `hosts.sh`; what it printed.
    pub fn run(&self, script: &str) -> Result<String> {
        self.machine.run(&format!(". /hosts.sh\n{script}"))
    }

    /// Runs a script that has to fail; what it printed.
    pub fn fails(&self, script: &str) -> Result<String> {
        self.run(&format!(
            "if (set -e\n{script}\n); then echo 'this should have failed'; exit 1; fi"
        ))
    }

    /// What a script prints, as a number.
    pub fn number(&self, script: &str) -> Result<u64> {
        let text = self.run(script)?;
        text.trim()
            .parse()
            .with_context(|| format!("`{script}` printed no number but `{text}`"))
    }

    /// Loads a node's configuration with the real command.
    pub fn load(
        &self,
        host: &str,
        instance: &str,
        configuration: &str,
        options: &str,
    ) -> Result<String> {
        let file = self.configure(instance, configuration)?;
        self.run(&format!(
            "on {host} re6st-user load --config {file} --instance {instance} {options}"
        ))
    }

    /// The same where it has to fail; what it printed.
    pub fn refuses(
        &self,
        host: &str,
        instance: &str,
        configuration: &str,
        options: &str,
    ) -> Result<String> {
        let file = self.configure(instance, configuration)?;
        self.fails(&format!(
            "on {host} re6st-user load --config {file} --instance {instance} {options}"
        ))
    }

    /// Writes an instance's configuration; the file.
    pub fn configure(&self, instance: &str, configuration: &str) -> Result<String> {
        let file = format!("/tmp/{instance}.toml");
        let here = format!("cat >{file} <<'CONFIGURATION'\n{configuration}\nCONFIGURATION");
        self.run(&here)?;
        Ok(file)
    }

    /// Does something meanwhile a host's kernel forwards no packet: XDP does.
    pub fn relayed_by_xdp(&self, host: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let forwarded = || self.number(&format!("forwarded {host}"));
        let before = forwarded()?;
        work()?;
        let more = forwarded()? - before;
        ensure!(more == 0, "the kernel of {host} forwarded {more} packets");
        Ok(())
    }

    /// What `status --json` says of an instance.
    pub fn status(&self, host: &str, instance: &str) -> Result<Value> {
        let text = self.run(&format!(
            "on {host} re6st-user status --instance {instance} --json"
        ))?;
        serde_json::from_str(&text).with_context(|| format!("this is no JSON: {text}"))
    }

    /// Babel's neighbours as a node shows them.
    pub fn neighbours(&self, host: &str, instance: &str) -> Result<Vec<Value>> {
        let text = self.run(&format!(
            "on {host} re6st-user status neighbours --instance {instance} --json"
        ))?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    }

    /// How many packets an instance has met a reason with.
    pub fn reason(&self, host: &str, instance: &str, name: &str) -> Result<u64> {
        let status = self.status(host, instance)?;
        status["reasons"]
            .as_array()
            .and_then(|reasons| reasons.iter().find(|reason| reason["name"] == name))
            .and_then(|reason| reason["packets"].as_u64())
            .with_context(|| format!("status has no reason {name}: {status:#}"))
    }

    /// Checks that an instance is unloaded and that nothing of it is left: programs, maps, pins, devices, queues.
    pub fn unload(&self, host: &str, instance: &str) -> Result<()> {
        self.run(&format!(
            "on {host} re6st-user unload --instance {instance}"
        ))?;
        let left = self.run(&format!(
            "ls /sys/fs/bpf | grep '^{instance}' || true\n\
             on {host} ip -oneline link | grep -e '{instance}' -e ' xdp' || true\n\
             on {host} tc qdisc show | grep -e clsact -e ingress || true\n\
             on {host} ip -6 route show table all proto 69\n\
             on {host} ip -4 route show table all proto 69"
        ))?;
        ensure!(left.trim().is_empty(), "unload left something:\n{left}");
        Ok(())
    }

    /// Checks that the kernel has no program or map of ours any more (freed a moment after the last reference is gone).
    pub fn nothing_loaded(&self) -> Result<()> {
        self.run(
            "for attempt in $(seq 50); do\n\
             left=$(bpftool prog show | grep re6st || true; bpftool map show | grep -e FIB -e NEXT_HOPS || true)\n\
             [ -z \"$left\" ] && exit 0\n\
             usleep 100000\n\
             done\n\
             echo \"$left\"; exit 1",
        )?;
        Ok(())
    }
}

/// The configuration of node `number`, whose mesh addresses are `2001:db8:42:N::1` and `10.42.N.1`, without tunnels.
pub fn configuration(number: u8, interfaces: &[&str]) -> String {
    format!(
        "addresses = [\"2001:db8:42:{number}::1/64\", \"10.42.{number}.1/24\"]
        networks = [\"2001:db8:42::/48\", \"10.42.0.0/16\"]
        interfaces = {interfaces:?}
        forward = true
        "
    )
}

/// One tunnel more, with the GRE keys accepted and sent, and what is routed through it.
pub fn tunnel(name: &str, remote: &str, encap: &str, keys: (u32, u32), to: &[&str]) -> String {
    let (ours, theirs) = keys;
    let mut text = format!(
        "[[tunnel]]
        name = \"{name}\"
        remote = \"{remote}\"
        encap = \"{encap}\"
        key = {{ local = {ours}, remote = {theirs} }}
        "
    );
    for prefix in to {
        text += &format!(
            "[[route]]
            to = \"{prefix}\"
            via = \"{name}\"
            "
        );
    }
    text
}

/// All of the mesh.
pub const MESH: &[&str] = &["2001:db8:42::/48", "10.42.0.0/16"];

fn boot(series: Series) -> Result<Machine> {
    let options = Options::new(series)
        .cards()
        .file(&re6st_user()?, "/usr/sbin/re6st-user");
    let machine = Machine::boot(&options)?;
    machine.run(&format!("cat >/hosts.sh <<'SCRIPT'\n{HOSTS}\nSCRIPT"))?;
    Ok(machine)
}

/// The command, which cargo puts in the folder above that of the test programs.
fn re6st_user() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let program = test
        .parent()
        .and_then(Path::parent)
        .context("the test is not in cargo's target directory")?
        .join("re6st-user");
    ensure!(
        program.is_file(),
        "there is no {}: `cargo build -p re6st-user` in the same profile makes it (`cargo xtask test` does)",
        program.display()
    );
    Ok(program)
}

/// A test for each kernel that runs a scenario.
macro_rules! on_each_kernel {
    ($scenario:path) => {
        #[test]
        fn on_linux_6_1() -> anyhow::Result<()> {
            $scenario(&crate::support::Scene::on(
                testbed::machine::Series::LINUX_6_1,
            )?)
        }

        #[test]
        fn on_linux_6_12() -> anyhow::Result<()> {
            $scenario(&crate::support::Scene::on(
                testbed::machine::Series::LINUX_6_12,
            )?)
        }
    };
}
pub(crate) use on_each_kernel;
