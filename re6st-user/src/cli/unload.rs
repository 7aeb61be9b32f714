//! `re6st-user unload`: remove every trace.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::Args;
use re6st_user::dataplane::bpf::{InstanceName, Pins, node, unload};

/// Options of `unload`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user unload --instance re6st0")]
pub struct UnloadArguments {
    /// The instance.
    #[arg(long, default_value = InstanceName::DEFAULT, value_parser = InstanceName::parse)]
    instance: InstanceName,
    /// Unload even though a node runs, which then ends with an error.
    #[arg(long)]
    force: bool,
}

/// Takes an instance out of the kernel, and prints what it did.
pub fn run(arguments: &UnloadArguments, bpffs: &Path, sockets: &Path) -> Result<ExitCode> {
    let lock = node::lock(sockets, &arguments.instance);
    let pins = Pins::new(bpffs, &arguments.instance);
    let summary = unload::unload(&pins, (!arguments.force).then_some(lock.as_path()))?;
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
