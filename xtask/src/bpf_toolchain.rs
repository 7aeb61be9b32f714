// Which Rust compiles the BPF programs. Shared by xtask, which installs it, and by re6st-user's build script, which
// uses it; so plain comments and nothing but the standard library.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A Rust toolchain that can compile for BPF: it has the source of `core`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BpfToolchain {
    /// What `rustup run` takes: a toolchain's name, or a path.
    pub name: String,
    /// Whether it is a stable compiler that has to be told to accept unstable options.
    pub bootstrap: bool,
}

/// Name it to override the choice.
pub const OVERRIDE: &str = "RE6ST_BPF_TOOLCHAIN";
/// Where Debian's rustc-web and cargo-web live.
const DEBIAN: &str = "/usr";
/// The LLVM of the bpf-linker that `cargo xtask setup` installs.
const LINKER_LLVM: u32 = 22;

impl BpfToolchain {
    /// The override; else a rustup nightly with rust-src, unless its LLVM is newer than bpf-linker's; else Debian's
    /// rustc-web with rust-web-src; else none.
    pub fn find() -> Option<Self> {
        if let Ok(name) = std::env::var(OVERRIDE) {
            let bootstrap = !name.starts_with("nightly");
            return Some(Self { name, bootstrap });
        }
        Self::nightly().or_else(Self::debian)
    }

    /// A command of this toolchain.
    pub fn command(&self, program: &str) -> Command {
        if self.name.starts_with('/') {
            // a toolchain in a folder need not be known to rustup, which need not be there either
            let folder = Path::new(&self.name).join("bin");
            let mut command = Command::new(folder.join(program));
            command.env("RUSTC", folder.join("rustc"));
            return command;
        }
        let mut command = Command::new("rustup");
        command
            .args(["run", &self.name, program])
            .env_remove("RUSTC");
        command
    }

    fn nightly() -> Option<Self> {
        let nightly = Self {
            name: "nightly".into(),
            bootstrap: false,
        };
        let sysroot = output(nightly.command("rustc").args(["--print", "sysroot"]))?;
        let version = output(nightly.command("rustc").arg("-vV"))?;
        let usable = has_source(&PathBuf::from(sysroot.trim()))
            && llvm_of_compiler(&version)? <= llvm_of_linker();
        usable.then_some(nightly)
    }

    fn debian() -> Option<Self> {
        let prefix = Path::new(DEBIAN);
        let complete = has_source(prefix)
            && prefix.join("bin/rustc").exists()
            && prefix.join("bin/cargo").exists();
        complete.then(|| Self {
            name: DEBIAN.into(),
            bootstrap: true,
        })
    }
}

fn has_source(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .exists()
}

/// The major version in the line `LLVM version: 22.1.4` of `rustc -vV`.
fn llvm_of_compiler(version: &str) -> Option<u32> {
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

/// The newest LLVM whose objects bpf-linker can read: that of the library it is linked to. One that has LLVM inside is
/// the user's own choice, and taken to fit.
fn llvm_of_linker() -> u32 {
    let Some(libraries) =
        output(Command::new("sh").args(["-c", "ldd \"$(command -v bpf-linker)\""]))
    else {
        return LINKER_LLVM;
    };
    let major = libraries.split_once("libLLVM").and_then(|(_, rest)| {
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    });
    major.unwrap_or(u32::MAX)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())?
}
