//! The subcommands, one file each.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use re6st_user::{io::bpffs, node::control};

mod conf;
mod generate;
mod load;
mod node;
mod peer;
mod registry;
mod reload;
mod replay;
mod status;
mod table;
mod trace;
mod unload;
mod values;

#[cfg(test)]
mod tests;

/// A resilient mesh network carried in the kernel.
#[derive(Debug, Parser)]
#[command(
    name = "re6st-user",
    version,
    after_long_help = "\
Examples:
  re6st-user conf --registry https://registry.example/ --fingerprint sha256:HEX --token TOKEN --dir /etc/re6st-ebpf
  re6st-user node --config /etc/re6st-ebpf/re6st0.toml
  re6st-user status"
)]
pub struct Arguments {
    /// The BPF file system objects are pinned in.
    #[arg(long, global = true, value_name = "DIR", default_value = bpffs::DEFAULT)]
    bpffs: PathBuf,
    /// Where controllers have their control sockets.
    #[arg(long, global = true, value_name = "DIR", default_value = control::DEFAULT)]
    sockets: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Attach the data plane to network interfaces and configure it; it stays when the command exits. Again: replace it,
    /// without losing a packet.
    Load(load::LoadCommand),
    /// Load, and run the controller: Babel finds the routes.
    #[command(after_long_help = "\
Examples:
  re6st-user node --config /etc/re6st-ebpf/re6st0.toml
  re6st-user node --config /etc/re6st-ebpf/re6st0.toml --record /tmp/babel.recording")]
    Node(node::NodeArguments),
    /// Have a running node take up its configuration anew, without losing a packet.
    Reload(reload::ReloadArguments),
    /// Do something about one peer of a running node.
    Peer(peer::PeerArguments),
    /// Become a node of a network: get a certificate from its registry, and a configuration to start with.
    Conf(conf::ConfArguments),
    /// Serve the registry of a network, or, with a subcommand, make and manage it.
    Registry(registry::RegistryArguments),
    /// Do again what a node did that was run with `--record`.
    Replay(replay::ReplayArguments),
    /// Remove every trace of it.
    Unload(unload::UnloadArguments),
    /// Show programs, interfaces, tunnels with counters, routes, and what was dropped and why.
    Status(status::StatusArguments),
    /// Tell what the loaded programs would do with a packet.
    Trace(trace::TraceArguments),
    /// Manual pages and completions of the command line.
    #[command(after_long_help = "\
Examples:
  re6st-user generate man /usr/local/share/man/man8
  re6st-user generate completions bash > /etc/bash_completion.d/re6st-user")]
    Generate(generate::GenerateArguments),
}

/// Runs the command. Exit status 0 means that it did what was asked.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.command {
        Command::Load(command) => load::run(command, &arguments.bpffs, &arguments.sockets),
        Command::Node(command) => node::run(command, &arguments.bpffs, &arguments.sockets),
        Command::Reload(command) => reload::run(command, &arguments.sockets),
        Command::Peer(command) => peer::run(command, &arguments.sockets),
        Command::Conf(command) => conf::run(command),
        Command::Registry(command) => registry::run(command),
        Command::Replay(command) => replay::run(command),
        Command::Unload(command) => unload::run(command, &arguments.bpffs, &arguments.sockets),
        Command::Status(command) => status::run(command, &arguments.bpffs, &arguments.sockets),
        Command::Trace(command) => trace::run(command, &arguments.bpffs),
        Command::Generate(command) => generate::run(command),
    }
}
