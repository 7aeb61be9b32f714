//! Debian's kernels: fetched as packages, unpacked, and what a machine needs of them kept in a cache.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::modules::Modules;

/// The modules a machine loads, besides those they depend on.
const MODULES: &[&str] = &[
    // the agent's line, network cards
    "virtio_pci",
    "virtio_console",
    "virtio_net",
    "e1000",
    // links and hosts
    "veth",
    "dummy",
    "tun",
    "8021q",
    "bonding",
    "team",
    "team_mode_roundrobin",
    "ipvlan",
    "geneve",
    "vrf",
    "sch_netem",
    // where BPF attaches before tcx
    "sch_ingress",
    "cls_bpf",
    // the tunnels of Linux
    "fou",
    "fou6",
    "ip_gre",
    "ip6_gre",
    "wireguard",
];

/// Written last, so that a directory without it is the rest of an interrupted run.
const COMPLETE: &str = "modules.wanted";

/// A series of kernels in Debian, such as 6.1; the newest of it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    major: u16,
    minor: u16,
}

impl Series {
    /// Debian 12's own.
    pub const LINUX_6_1: Self = Self { major: 6, minor: 1 };
    /// Debian 13's, which Debian 12 has too.
    pub const LINUX_6_12: Self = Self {
        major: 6,
        minor: 12,
    };
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl std::str::FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once('.')
            .and_then(|(major, minor)| {
                Some(Self {
                    major: major.parse().ok()?,
                    minor: minor.parse().ok()?,
                })
            })
            .with_context(|| format!("`{text}` is not a series of kernels, such as 6.1"))
    }
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What `uname -r` says: `6.1.0-56-amd64`.
    pub release: String,
    /// The compressed kernel.
    pub image: PathBuf,
    /// Its modules, in the order in which they can be loaded.
    pub modules: Vec<PathBuf>,
}

impl Kernel {
    /// The newest kernel of the series, from the cache if it is there, else from Debian's archive.
    ///
    /// # Errors
    /// When Debian has no such kernel, or it cannot be fetched or unpacked.
    pub fn fetch(series: &Series) -> Result<Self> {
        let cache = cache()?;
        // several tests want the same kernel at once
        let lock = File::create(cache.join(format!("{series}.lock")))?;
        lock.lock().context("cannot lock the cache of kernels")?;
        let directory = cache.join(series.to_string());
        if !is_complete(&directory) {
            download(series, &directory)?;
        }
        Self::cached(&directory)
    }

    fn cached(directory: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let modules = read("modules.order")?
            .lines()
            .map(|name| directory.join(format!("{name}.ko")))
            .collect();
        Ok(Self {
            release: read("release")?,
            image: directory.join("vmlinuz"),
            modules,
        })
    }
}

/// The folder of all that machines keep between runs: `machines` in cargo's target directory, which is the one with
/// cargo's tag among the parents of the running program.
pub fn cache() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let target = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists())
        .with_context(|| format!("{} is not in cargo's target directory", program.display()))?;
    let cache = target.join("machines");
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

fn is_complete(directory: &Path) -> bool {
    fs::read_to_string(directory.join(COMPLETE)).is_ok_and(|wanted| wanted == MODULES.join("\n"))
}

fn download(series: &Series, directory: &Path) -> Result<()> {
    let package = newest(series)?;
    // not `with_extension`: 6.1 and 6.12, fetched at the same time, would share a folder
    let mut work = directory.as_os_str().to_owned();
    work.push(".incomplete");
    let work = PathBuf::from(work);
    remove(&work)?;
    remove(directory)?;
    fs::create_dir_all(&work)?;
    execute(
        Command::new("apt-get")
            .args(["--quiet", "--quiet", "download", &package])
            .current_dir(&work),
    )?;
    let archive = fs::read_dir(&work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))?;
    let unpacked = work.join("package");
    execute(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&archive)
            .arg(&unpacked),
    )?;
    keep(&unpacked, directory)?;
    remove(&work)
}

/// Keeps what a machine needs of an unpacked package, a few megabytes of several hundred.
fn keep(unpacked: &Path, directory: &Path) -> Result<()> {
    let (release, modules) = modules_directory(unpacked)?;
    let modules = Modules::find(&modules)?.with_dependencies(MODULES)?;
    fs::create_dir_all(directory)?;
    fs::copy(
        unpacked.join(format!("boot/vmlinuz-{release}")),
        directory.join("vmlinuz"),
    )
    .with_context(|| format!("the package of {release} has no kernel image"))?;
    let mut order = String::new();
    for module in &modules {
        fs::write(
            directory.join(format!("{}.ko", module.name)),
            &module.content,
        )?;
        order.push_str(&module.name);
        order.push('\n');
    }
    fs::write(directory.join("modules.order"), order)?;
    fs::write(directory.join("release"), release)?;
    fs::write(directory.join(COMPLETE), MODULES.join("\n"))?;
    Ok(())
}

/// The kernel's release and the folder of its modules, `lib/modules/RELEASE` or, in later packages, below `usr`.
fn modules_directory(unpacked: &Path) -> Result<(String, PathBuf)> {
    for parent in ["lib/modules", "usr/lib/modules"] {
        let Ok(mut entries) = fs::read_dir(unpacked.join(parent)) else {
            continue;
        };
        if let Some(Ok(entry)) = entries.next() {
            let release = entry.file_name().to_string_lossy().into_owned();
            return Ok((release, entry.path()));
        }
    }
    bail!("{} holds no kernel modules", unpacked.display())
}

/// The newest plain package of a series: not for the cloud (too few drivers), not for real time.
fn newest(series: &Series) -> Result<String> {
    let prefix = format!("linux-image-{series}.");
    let output = execute(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
    newest_of(&output, &prefix).with_context(|| {
        format!(
            "Debian's archive has no package {prefix}*-amd64: run `apt-get update`; the series is in Debian 12 with its \
             security updates"
        )
    })
}

fn newest_of(packages: &str, prefix: &str) -> Option<String> {
    packages
        .lines()
        .filter(|name| name.starts_with(prefix) && name.ends_with("-amd64"))
        .filter(|name| !name.contains("-cloud-") && !name.contains("-rt-"))
        .max_by_key(|name| numbers(name))
        .map(Into::into)
}

/// The numbers in a name, by which versions compare.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

fn execute(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program} (the machines need Debian's tools)"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use super::{Series, newest_of};

    #[test]
    fn newest_package_of_a_series_is_the_plain_one_with_the_highest_number() {
        let packages = "linux-image-6.1.0-9-amd64\nlinux-image-6.1.0-47-amd64\nlinux-image-6.1.0-56-cloud-amd64\n\
                        linux-image-6.1.0-56-rt-amd64\nlinux-image-6.1.0-56-amd64-dbg\n\
                        linux-image-6.1.0-56-amd64-unsigned\n";

        let newest = newest_of(packages, "linux-image-6.1.");

        assert_eq!(newest.as_deref(), Some("linux-image-6.1.0-47-amd64"));
        assert_eq!(newest_of(packages, "linux-image-6.12."), None);
    }

    #[test]
    fn series_is_two_numbers() {
        assert_eq!("6.12".parse::<Series>().unwrap(), Series::LINUX_6_12);
        assert!("6".parse::<Series>().is_err());
        assert!("6.x".parse::<Series>().is_err());
    }
}
