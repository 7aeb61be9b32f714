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

impl BpfToolchain {
    /// The override; else a rustup nightly with rust-src; else Debian's rustc-web with rust-web-src; else none.
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
        let output = Command::new("rustup")
            .args(["run", "nightly", "rustc", "--print", "sysroot"])
            .output()
            .ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        (output.status.success() && has_source(&sysroot)).then(|| Self {
            name: "nightly".into(),
            bootstrap: false,
        })
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
