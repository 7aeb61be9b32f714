//! The `re6st-user` command.

use std::process::ExitCode;

use clap::Parser as _;
use re6st_user::{dataplane::bpf::error::chain, io::panics};

mod cli;

fn main() -> ExitCode {
    panics::end_the_process();
    match cli::run(&cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
