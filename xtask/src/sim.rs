//! `cargo xtask sim`

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    command,
    setup::{self, Purpose},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to simulate and how: passed on; `cargo xtask sim -- --help` shows the options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&[Purpose::Build])?;
    command::cargo_build("release", &["-p", "tests", "--bin", "sim"])?;
    let status = Command::new(command::built("release", "sim"))
        .args(&arguments.arguments)
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
