//! Developer commands: `cargo xtask setup`, `demo`, `test`, `bench`, `sim`.
//!
//! Depends on nothing of this project and on little else, so that it compiles in seconds on a machine that has only
//! Rust, and can install the rest.

mod bench;
#[allow(dead_code, reason = "a build script shares it and uses more of it")]
mod bpf_toolchain;
mod command;
mod demo;
mod privilege;
mod setup;
mod sim;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Developer commands of re6st-ebpf",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing: the BPF toolchain and the tools the demo, the tests and the benchmarks need
    Setup(setup::Arguments),
    /// Compile everything: the BPF programs, the re6st-user command, the testbed
    Build,
    /// Show a small mesh at work: hosts, two underlays, a relay, a LAN behind a node; real traffic
    Demo(demo::Arguments),
    /// Run all tests, or a part of them
    Test(test::Arguments),
    /// Measure, side by side with what one would otherwise use
    Bench(bench::Arguments),
    /// Simulate the random mesh: many nodes on a virtual clock, over the round trips of the real Internet
    Sim(sim::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    std::env::set_current_dir(command::workspace())?;
    match command {
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Build => {
            setup::ensure(&[setup::Purpose::Build])?;
            command::cargo_build(
                command::CHECKED,
                &["--workspace", "--exclude", "re6st-ebpf"],
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
