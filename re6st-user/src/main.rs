//! The `re6st-user` command.

use std::process::ExitCode;

use clap::Parser as _;
use re6st_user::dataplane::bpf::error::chain;

mod cli;

fn main() -> ExitCode {
    match cli::run(&cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
