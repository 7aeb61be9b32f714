//! `cargo xtask bench`

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    command, privilege,
    setup::{self, Purpose},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to measure and how: passed on to the benchmark; `cargo xtask bench -- --help` shows its options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build, Purpose::Bench])?;
    let with_registry = |word: &String| word.starts_with("registry");
    if arguments.arguments.iter().any(with_registry) {
        setup::re6stnet::ensure()?;
    }
    command::cargo_build("release", &["-p", "re6st-user", "-p", "tests", "--bins"])?;
    let bench = command::built("release", "bench");
    let mut words =
        privilege::as_root("making hosts (network namespaces) and loading BPF programs")?;
    words.push(bench.to_string_lossy().into_owned());
    words.extend(arguments.arguments.iter().cloned());
    let status = Command::new(&words[0]).args(&words[1..]).status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
