//! A host whose /etc, /run, /var/lib and BPF file system are its own, with `re6st-user` installed.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use testbed::{
    host::{Host, Testbed},
    mounts::{Mounts, cover},
    node::re6st_user,
    process::{Output, Process},
};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host with files of its own.
pub struct Place {
    /// Its network.
    pub host: Host,
    mounts: Mounts,
}

impl Place {
    /// `names`: lines of its /etc/hosts.
    pub fn new(testbed: &Testbed, name: &str, names: &str) -> Result<Self> {
        let host = testbed.host(name)?;
        let program = re6st_user()?;
        let mounts = Mounts::new(|| {
            let [sbin, run] = ["/usr/local/sbin", "/run"].map(Path::new);
            cover(sbin, "size=1m")?;
            let installed = sbin.join("re6st-user");
            fs::write(&installed, "")?;
            bind(&program, &installed)?;
            cover(run, "size=64m")?;
            let etc = run.join("etc");
            let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status()?;
            ensure!(copied.success(), "cp -a /etc: {copied}");
            bind(&etc, Path::new("/etc"))?;
            fs::write("/etc/hosts", names)?;
            cover(Path::new("/var/lib"), "size=64m")?;
            let bpf = Some("bpf");
            mount(bpf, "/sys/fs/bpf", bpf, MsFlags::empty(), None::<&str>)
                .context("mounting a BPF file system")
        })?;
        Ok(Self { host, mounts })
    }

    /// Starts a line of a shell.
    pub fn spawn(&self, line: &str) -> Result<Process> {
        let mut command = Command::new("sh");
        command.args(["-euc", line]);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("/usr/local/sbin:/usr/sbin:/sbin:{path}"));
        let inside = || self.mounts.enter(|| Process::spawn(&mut command))?;
        self.host.enter(inside)?
    }

    /// What comes of a line of a shell.
    pub fn output(&self, line: &str) -> Result<Output> {
        self.spawn(line)?.wait(PATIENCE)
    }

    /// What a line of a shell says that does what it should.
    pub fn type_in(&self, line: &str) -> Result<String> {
        Ok(self.output(line)?.success()?.stdout)
    }

    /// Writes a file, and makes its folder.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let write = || {
            let folder = Path::new(name).parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder)?;
            fs::write(name, text)
        };
        Ok(self.mounts.enter(write)??)
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Result<String> {
        Ok(self.mounts.enter(|| fs::read_to_string(name))??)
    }
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let nothing = None::<&str>;
    mount(Some(from), to, nothing, MsFlags::MS_BIND, nothing)
        .with_context(|| format!("binding {} to {}", from.display(), to.display()))
}
