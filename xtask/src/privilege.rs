//! Root: what needs it, says so and asks for it. Compiling never runs as root unless we are.

use std::{os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Result, bail};

use crate::command::find_program;

/// Environment variables a program keeps when it runs as root.
const KEPT: &[&str] = &[
    "PATH",
    "HOME",
    "TERM",
    "CARGO",
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "RUSTUP_HOME",
    "RUST_BACKTRACE",
    "PROPTEST_CASES",
    "CI",
];

/// Whether we are root already.
pub fn is_root() -> bool {
    // the owner of our own /proc entry is our effective user
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// The words to put before a command line to run it as root, none if we are root. `why` is told to the user, who may
/// be asked for a password.
pub fn as_root(why: &str) -> Result<Vec<String>> {
    if is_root() {
        return Ok(Vec::new());
    }
    if find_program("sudo").is_none() {
        bail!("{why} needs root, and there is no sudo: run the same command as root");
    }
    println!("{why} needs root: asking sudo");
    // once and visibly, so that a password prompt is not lost between other lines
    crate::command::visible(Command::new("sudo").arg("--validate"))?;
    let mut words: Vec<String> = ["sudo", "--", "env"].map(String::from).into();
    let kept = KEPT.iter().filter_map(|name| {
        let value = std::env::var(name).ok()?;
        Some(format!("{name}={value}"))
    });
    words.extend(kept);
    Ok(words)
}
