//! `cargo xtask setup`: installs what is missing, and only that.

mod packages;
pub mod re6stnet;

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use crate::{
    bpf_toolchain::BpfToolchain,
    command::{find_program, step},
    privilege,
};
use packages::{LINKER, Package, TOOLCHAIN, TOOLS};

pub use packages::Purpose;

/// The linker of the BPF programs, and the version we are tested with.
const BPF_LINKER: (&str, &str) = ("bpf-linker", "0.13.0");
/// Where Debian puts the LLVM that bpf-linker is compiled with.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

#[derive(clap::Args)]
pub struct Arguments {
    /// Only what is needed for these
    #[arg(value_name = "PURPOSE")]
    purposes: Vec<Purpose>,
    /// Only say what is missing; exit status 1 if anything is
    #[arg(long)]
    check: bool,
}

/// `cargo xtask setup`
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let purposes = match arguments.purposes.as_slice() {
        [] => Purpose::value_variants(),
        some => some,
    };
    let missing = Missing::find(purposes);
    if missing.is_nothing() {
        let toolchain = BpfToolchain::find().map_or_else(String::new, |found| found.name);
        println!("nothing is missing (BPF toolchain: {toolchain})");
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.check {
        missing.tell();
        return Ok(ExitCode::FAILURE);
    }
    missing.install()?;
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing for some purposes. Says nothing if that is nothing.
pub fn ensure(purposes: &[Purpose]) -> Result<()> {
    let missing = Missing::find(purposes);
    if missing.is_nothing() {
        return Ok(());
    }
    missing.install()
}

/// What is not there.
struct Missing {
    packages: Vec<&'static Package>,
    linker: bool,
}

impl Missing {
    fn find(purposes: &[Purpose]) -> Self {
        // everything is compiled before anything runs
        let linker = find_program(BPF_LINKER.0).is_none();
        let toolchain = BpfToolchain::find().is_none();
        let for_toolchain = TOOLCHAIN.iter().filter(|_| toolchain);
        let for_linker = LINKER.iter().filter(|_| linker);
        let tools = TOOLS.iter().filter(|tool| {
            tool.purposes
                .iter()
                .any(|purpose| purposes.contains(purpose))
        });
        let packages = for_toolchain
            .chain(for_linker)
            .chain(tools)
            .filter(|package| !package.present())
            .collect();
        Self { packages, linker }
    }

    fn is_nothing(&self) -> bool {
        self.packages.is_empty() && !self.linker
    }

    fn tell(&self) {
        println!("missing:");
        for package in &self.packages {
            println!("  {:<18} {}", package.name, package.reason);
        }
        if self.linker {
            println!(
                "  {:<18} links the BPF programs (by cargo install)",
                BPF_LINKER.0
            );
        }
    }

    fn install(&self) -> Result<()> {
        self.tell();
        if !self.packages.is_empty() {
            install_packages(&self.packages)?;
        }
        if self.linker {
            install_linker()?;
        }
        if BpfToolchain::find().is_none() {
            bail!(
                "still no Rust toolchain that can compile for BPF: neither a rustup nightly with rust-src whose LLVM \
                 bpf-linker can read, nor Debian's rustc-web; try `rustup toolchain install nightly --component rust-src`"
            );
        }
        let left: Vec<_> = self
            .packages
            .iter()
            .filter(|package| !package.present())
            .collect();
        if let Some(package) = left.first() {
            bail!(
                "{} was installed, but what it is for is still not found",
                package.name
            );
        }
        Ok(())
    }
}

fn install_packages(packages: &[&Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if find_program("apt-get").is_none() {
        bail!(
            "there is no apt-get: this is not a Debian; install what these Debian packages bring: {}",
            names.join(" ")
        );
    }
    let root = privilege::as_root("installing packages")
        .with_context(|| format!("packages are missing; as root: {by_hand}"))?;
    // lists of other repositories may be out of reach: whether that matters shows when installing
    if let Err(error) = step(
        "Updating the package lists",
        apt(&root, &["update"]).arg("--quiet"),
    ) {
        eprintln!("warning: {error:#}; going on with the lists there are");
    }
    let mut install = apt(&root, &["install", "--yes", "--no-install-recommends"]);
    let title = match names.as_slice() {
        [one] => format!("Installing {one}"),
        several => format!("Installing {} packages", several.len()),
    };
    step(&title, install.args(&names)).with_context(|| format!("try by hand, as root: {by_hand}"))
}

fn apt(root: &[String], arguments: &[&str]) -> Command {
    let mut words: Vec<&str> = root.iter().map(String::as_str).collect();
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    words.extend(arguments);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn install_linker() -> Result<()> {
    let (name, version) = BPF_LINKER;
    let mut install = crate::command::cargo();
    install
        .args(["install", name, "--version", version, "--locked"])
        .args(["--no-default-features", "--features", "llvm-22"])
        .env("LLVM_PREFIX", LLVM_PREFIX)
        // its work is done by LLVM, which is a library of Debian's: to optimise the rest, and to describe it to debuggers,
        // as its own profile does, takes twice as long and makes no faster linker
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    step(
        &format!("Compiling {name} {version} (66 crates, a minute of one core)"),
        &mut install,
    )
    .with_context(|| {
        format!(
            "try by hand: LLVM_PREFIX={LLVM_PREFIX} {}",
            crate::command::shown(&install)
        )
    })
}
