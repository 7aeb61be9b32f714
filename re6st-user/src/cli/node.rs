//! `re6st-user node`: load, then run the controller until it is told to end.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use re6st_user::{
    config::Config,
    dataplane::bpf::{
        Pins,
        load::{Occasion, Request},
    },
    io::{secrets, supervisor},
    node::start,
};

use super::load::LoadArguments;

/// Options of `node`.
#[derive(Debug, Args)]
pub struct NodeArguments {
    #[command(flatten)]
    load: LoadArguments,
    /// Write what happens to Babel to this file, up to 256 MiB, for `re6st-user replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Runs the controller until it is told to end.
pub fn run(arguments: &NodeArguments, bpffs: &Path, sockets: &Path) -> Result<ExitCode> {
    let load = &arguments.load;
    // before anything secret is read
    for problem in secrets::keep_in_memory() {
        eprintln!("note: secrets of this process: {problem}");
    }
    let config = Config::from_path(&load.config)?;
    let pins = Pins::new(bpffs, &load.instance);
    let request = Request {
        config: &config,
        config_path: &load.config,
        pins: &pins,
        kept: &[],
        mode: load.mode(),
        allow_tcx: load.allow_tcx(),
        occasion: Occasion::Start,
        unless_held: None,
        renamed: None,
    };
    let mut started = start::start(&request, sockets, arguments.record.as_deref())?;
    for note in &started.notes {
        eprintln!("note: {note}");
    }
    let speaks = match config.babel {
        Some(_) => "is up and speaks Babel",
        None => "is up, with the routes of its configuration alone: there is no section [babel]",
    };
    eprintln!("{} {speaks}", load.instance);
    supervisor::ready();
    started.controller.run()?;
    // what channels have opened ends with them
    let tunnels = match config.registry {
        Some(_) => ", but for tunnels to peers, which these close after a minute",
        None => "",
    };
    eprintln!(
        "{0}: the controller has ended; the data plane forwards on until `re6st-user unload --instance {0}`{tunnels}",
        load.instance
    );
    Ok(ExitCode::SUCCESS)
}
