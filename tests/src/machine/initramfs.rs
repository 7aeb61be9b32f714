//! The file system a machine boots with: busybox, modules, tools with their libraries, and the agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Read as _},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};

use super::{
    cpio::Archive,
    kernel::{Kernel, cache},
};

/// Where the machine's first process comes from.
const INIT: &str = include_str!("init.sh");

/// How the names of temporary files begin; the id of the process that made them follows.
const TEMPORARY: &str = "temporary-";

/// Programs of this host that every machine gets, and the Debian package each is in. The shell and those that start
/// other programs are here because busybox's prefer its own applets to the programs of the same name.
const TOOLS: &[(&str, &str)] = &[
    ("babeld", "babeld"),
    ("bird", "bird2"),
    ("birdc", "bird2"),
    ("busybox", "busybox-static"),
    ("bpftool", "bpftool"),
    ("dash", "dash"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("ping", "iputils-ping"),
    ("tc", "iproute2"),
    ("teamnl", "libteam-utils"),
    ("timeout", "coreutils"),
];

/// A file that is removed with this value.
#[derive(Debug)]
pub struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// A name nobody uses. The process in it tells the next run whether the file is a leftover.
    fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY}{}-{number}", std::process::id());
        Ok(Self {
            path: cache()?.join(name),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // already gone is as good
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the initramfs of a kernel, with these files (here, there) besides the tools.
pub fn build(kernel: &Kernel, files: &[(PathBuf, String)]) -> Result<TemporaryFile> {
    sweep(&cache()?)?;
    let mut contents = Contents::default();
    contents.add_tools()?;
    for (host, path) in files {
        contents.add_given(host, path)?;
    }
    contents.add_modules(kernel)?;
    let initramfs = TemporaryFile::new()?;
    let file = File::create(initramfs.path())
        .with_context(|| format!("cannot make {}", initramfs.path().display()))?;
    contents.write(BufWriter::new(file))?;
    Ok(initramfs)
}

/// Removes what runs that were killed left behind.
fn sweep(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        let owner = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(TEMPORARY))
            .and_then(|name| name.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Contents {
    /// By path in the machine, without the leading slash.
    files: BTreeMap<String, Vec<u8>>,
}

impl Contents {
    fn add_tools(&mut self) -> Result<()> {
        self.files.insert("init".into(), INIT.into());
        for (tool, package) in TOOLS {
            let host = find(tool).with_context(|| {
                format!("there is no program `{tool}`: install the Debian package {package}")
            })?;
            let place = if *tool == "busybox" {
                "bin"
            } else {
                "usr/sbin"
            };
            self.add_program(&host, &format!("{place}/{tool}"))?;
        }
        Ok(())
    }

    fn add_modules(&mut self, kernel: &Kernel) -> Result<()> {
        let mut order = String::new();
        for module in &kernel.modules {
            let name = module
                .file_stem()
                .and_then(|name| name.to_str())
                .context("a module has no name")?;
            self.add_file(module, &format!("modules/{name}.ko"))?;
            order.push_str(name);
            order.push('\n');
        }
        self.files.insert("modules/order".into(), order.into());
        Ok(())
    }

    fn add_file(&mut self, host: &Path, path: &str) -> Result<()> {
        let content = fs::read(host).with_context(|| format!("cannot read {}", host.display()))?;
        self.files
            .insert(path.trim_start_matches('/').into(), content);
        Ok(())
    }

    /// Adds a program with its libraries.
    fn add_program(&mut self, host: &Path, path: &str) -> Result<()> {
        for library in libraries(host)? {
            let name = library.to_string_lossy().into_owned();
            if !self.files.contains_key(name.trim_start_matches('/')) {
                self.add_file(&library, &name)?;
            }
        }
        self.add_file(host, path)
    }

    /// Adds a file of the caller's; if it is a program, without its debugging information.
    fn add_given(&mut self, host: &Path, path: &str) -> Result<()> {
        let mut magic = [0; 4];
        File::open(host)
            .and_then(|mut file| file.read_exact(&mut magic))
            .with_context(|| format!("cannot read {}", host.display()))?;
        if magic != *b"\x7fELF" {
            return self.add_file(host, path);
        }
        self.add_program(host, path)?;
        let stripped = stripped(host)?;
        self.add_file(stripped.path(), path)
    }

    fn write(&self, output: BufWriter<File>) -> Result<()> {
        let mut archive = Archive::new(output);
        let mut directories = BTreeSet::new();
        for path in self.files.keys() {
            directories.extend(Path::new(path).ancestors().skip(1));
        }
        // a directory sorts before what is in it; the first is the root, which is there
        for directory in directories.iter().skip(1) {
            archive.directory(&directory.to_string_lossy())?;
        }
        for (path, content) in &self.files {
            archive.file(path, content)?;
        }
        archive.finish()?;
        Ok(())
    }
}

/// Finds a program as a shell would, and in the folders of system tools.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The libraries of a dynamic program, its loader included; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot run ldd (Debian package libc-bin)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library: {}", program.display(), missing.trim());
    }
    // `name => /path (address)`, or `/path (address)` for the loader
    Ok(text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect())
}

/// The program without debugging information, which can be most of it.
fn stripped(program: &Path) -> Result<TemporaryFile> {
    let result = TemporaryFile::new()?;
    let output = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .arg(result.path())
        .arg(program)
        .output()
        .context("cannot run strip (Debian package binutils)")?;
    if !output.status.success() {
        bail!(
            "strip {} failed: {}",
            program.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(result)
}
