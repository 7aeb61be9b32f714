//! `cargo xtask demo`

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    command::{self, CHECKED},
    privilege,
    setup::{self, Purpose},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// Leave the mesh running afterwards, and say how to look around
    #[arg(long, conflicts_with = "stop")]
    keep: bool,
    /// Remove a mesh that --keep left running
    #[arg(long)]
    stop: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.stop {
        setup::ensure(&[Purpose::Build, Purpose::Demo])?;
    }
    let programs = [
        "-p",
        "re6st-user",
        "-p",
        "tests",
        "--bin",
        "re6st-user",
        "--bin",
        "demo",
    ];
    command::cargo_build(CHECKED, &programs)?;
    let demo = command::built(CHECKED, "demo");
    let mut words =
        privilege::as_root("making hosts (network namespaces) and loading BPF programs")?;
    words.push(demo.to_string_lossy().into_owned());
    words.extend(arguments.keep.then(|| "--keep".into()));
    words.extend(arguments.stop.then(|| "--stop".into()));
    let status = Command::new(&words[0]).args(&words[1..]).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
