//! `re6st-user unload`: remove every trace.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use re6st_user::dataplane::bpf::{InstanceName, Pins, unload};

/// Options of `unload`.
#[derive(Debug, Args)]
pub struct UnloadArguments {
    /// The instance.
    #[arg(long, default_value = "re6st0", value_parser = InstanceName::parse)]
    instance: InstanceName,
}

/// Unloads.
pub fn run(arguments: &UnloadArguments, bpffs: &std::path::Path) -> Result<ExitCode> {
    let pins = Pins::new(bpffs, &arguments.instance);
    let summary = unload::unload(&pins)?;
    for note in &summary.notes {
        println!("note: {note}");
    }
    if summary.found {
        println!("{} is gone", arguments.instance);
    } else {
        println!("{} is not loaded: nothing to do", arguments.instance);
    }
    Ok(ExitCode::SUCCESS)
}
