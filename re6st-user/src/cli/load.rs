//! `re6st-user load`: attach, pin, configure, exit.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::{Args, ValueEnum};
use re6st_user::{
    config::Config,
    dataplane::bpf::{
        InstanceName, Pins, error,
        load::{self, Occasion, Request},
        manifest::Mode,
        node,
    },
    io::netlink::Rtnetlink,
    node::before::Before,
};

use crate::cli::table::counted;

/// Options of `load`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user load --config /etc/re6st-ebpf/re6st0.toml
  re6st-user load --config /etc/re6st-ebpf/lab0.toml --instance lab0 --mode generic")]
pub struct LoadArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The instance: names the mesh device and the folder of the BPF file system, in 1 to 12 characters.
    #[arg(long, default_value = InstanceName::DEFAULT, value_parser = InstanceName::parse)]
    pub instance: InstanceName,
    /// Where XDP runs.
    #[arg(long, value_enum, default_value_t)]
    mode: ModeArgument,
    /// How TC programs are attached.
    #[arg(long, value_enum, default_value_t)]
    tc: TcArgument,
}

/// Options of `load` that `node` has not got.
#[derive(Debug, Args)]
pub struct LoadCommand {
    #[command(flatten)]
    arguments: LoadArguments,
    /// Load even though a node runs, which then puts its own back.
    #[arg(long)]
    force: bool,
}

/// Where XDP runs.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ModeArgument {
    /// In the driver if it can, else in the kernel's stack.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Driver,
    /// In the kernel's stack.
    Generic,
}

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum TcArgument {
    /// With tcx links where the kernel has them (Linux 6.6), else as filters.
    #[default]
    Auto,
    /// As filters of the qdisc clsact.
    Clsact,
}

impl LoadArguments {
    /// Where XDP shall run; `None`: in the driver if it can.
    pub const fn mode(&self) -> Option<Mode> {
        match self.mode {
            ModeArgument::Auto => None,
            ModeArgument::Driver => Some(Mode::Driver),
            ModeArgument::Generic => Some(Mode::Generic),
        }
    }

    /// Whether TC programs may be attached with tcx links.
    pub const fn allow_tcx(&self) -> bool {
        matches!(self.tc, TcArgument::Auto)
    }
}

/// Loads the data plane by a configuration file, and prints what it did.
pub fn run(command: &LoadCommand, bpffs: &Path, sockets: &Path) -> Result<ExitCode> {
    let arguments = &command.arguments;
    let lock = node::lock(sockets, &arguments.instance);
    let config = Config::from_path(&arguments.config)?;
    let pins = Pins::new(bpffs, &arguments.instance);
    let before = Rtnetlink::open()
        .map_err(Into::into)
        .and_then(|mut netlink| Before::look(&pins, &mut netlink));
    let kept = before.unwrap_or_else(|error| {
        let why = error::chain(error.as_ref());
        println!("note: routes that a node has left are not kept: {why}");
        Before::default()
    });
    let summary = load::load(&Request {
        config: &config,
        config_path: &arguments.config,
        pins: &pins,
        kept: &kept.kept,
        mode: arguments.mode(),
        allow_tcx: arguments.allow_tcx(),
        occasion: Occasion::Command,
        unless_held: (!command.force).then_some(lock.as_path()),
        renamed: None,
    })?;
    for note in &summary.notes {
        println!("note: {note}");
    }
    if config.babel.is_some() || config.registry.is_some() {
        println!(
            "note: the sections [babel] and [registry] are for `re6st-user node`; load does not use them"
        );
    }
    for warning in &summary.warnings {
        println!("WARNING: {warning}");
    }
    let manifest = &summary.manifest;
    for interface in &manifest.interfaces {
        let mode = match interface.mode {
            Mode::Driver => "driver",
            Mode::Generic => "generic",
        };
        let reason = interface
            .reason
            .as_ref()
            .map(|reason| format!(" (the driver refused: {reason})"))
            .unwrap_or_default();
        println!("{}: XDP in {mode} mode{reason}", interface.name);
    }
    for name in &summary.unresolved {
        println!(
            "tunnel {name}: the next router or the peer does not answer yet; packets take the slow path until a load finds \
             its Ethernet address"
        );
    }
    let used = |name: &String| summary.tunnels.iter().any(|used| used.tunnel.name == *name);
    let routes = config
        .routes
        .iter()
        .filter(|route| used(&route.via))
        .count();
    println!(
        "{} is up: {}, {}; see `re6st-user status --instance {}`",
        manifest.instance,
        counted(summary.tunnels.len(), "tunnel", "tunnels"),
        counted(routes, "route", "routes"),
        manifest.instance
    );
    Ok(ExitCode::SUCCESS)
}
