//! `re6st-user status`: what is loaded, for people and for machines. What may be long is asked for by name, and comes page by
//! page.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    path::Path,
    process::ExitCode,
};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use re6st_user::dataplane::bpf::{InstanceName, Pins};

mod lists;
mod membership;
mod mesh;
mod peers;
mod summary;

/// Options of `status`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user status
  re6st-user status routes 2001:db8:42:7::1
  re6st-user status neighbours --instance re6st0 --json")]
pub struct StatusArguments {
    /// The instance; all of them if not given.
    #[arg(long, global = true, value_parser = InstanceName::parse)]
    instance: Option<InstanceName>,
    /// Print JSON. The summary: one object for an instance, an array for all. Lists: one object a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    list: Option<List>,
}

/// What may be long.
#[derive(Debug, Subcommand)]
enum List {
    /// Routes: those in the kernel's table and the data plane, and what Babel knows of them.
    #[command(after_long_help = "\
Examples:
  re6st-user status routes
  re6st-user status routes 2001:db8:42:7::1 --instance re6st0
  re6st-user status routes --not-installed --json")]
    Routes(RouteFilter),
    /// Babel's neighbours.
    #[command(after_long_help = "\
Example:
  re6st-user status neighbours")]
    Neighbours,
    /// Peers of a managed mesh: their channels, and what goes through their tunnels.
    #[command(after_long_help = "\
Examples:
  re6st-user status peers
  re6st-user status peers --json")]
    Peers,
    /// Tunnels, with counters.
    #[command(after_long_help = "\
Example:
  re6st-user status tunnels --json")]
    Tunnels,
}

/// Which routes.
#[derive(Debug, Default, Args)]
struct RouteFilter {
    /// Routes to what lies in this prefix, and to what it lies in; with all the ways there are, not the one in use alone.
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    near: Option<IpNet>,
    /// Those with a way by this tunnel or plain interface.
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Those that are in use and not installed, with the reason.
    #[arg(long)]
    not_installed: bool,
}

/// A prefix, or an address for the prefix of its full length.
fn prefix(text: &str) -> Result<IpNet, String> {
    let address = |_| text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(address).map_err(|_| {
        "expected a prefix or an address, such as 2001:db8:42::/48 or 10.42.3.1".to_owned()
    })
}

/// Shows.
pub fn run(arguments: &StatusArguments, bpffs: &Path, sockets: &Path) -> Result<ExitCode> {
    let all = match &arguments.instance {
        Some(name) => vec![Pins::new(bpffs, name)],
        None => Pins::all(bpffs)?,
    };
    let shown = match &arguments.list {
        None => show_summaries(arguments, &all, bpffs, sockets),
        Some(list) => show_lists(arguments, list, &all, bpffs, sockets),
    };
    match shown {
        // the reader has seen enough (`| head`)
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        shown => shown,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn nothing_loaded(arguments: &StatusArguments, bpffs: &Path) -> Result<ExitCode> {
    if let Some(name) = &arguments.instance {
        bail!(
            "{name} is not loaded (nothing in {}/{name})",
            bpffs.display()
        );
    }
    if !arguments.json {
        println!("no instance is loaded (nothing in {})", bpffs.display());
    }
    Ok(ExitCode::FAILURE)
}

fn show_summaries(
    arguments: &StatusArguments,
    all: &[Pins],
    bpffs: &Path,
    sockets: &Path,
) -> Result<ExitCode> {
    let mut statuses = Vec::new();
    for pins in all {
        statuses.extend(summary::status_of(pins, sockets)?.map(|status| (pins, status)));
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        let json: Vec<_> = statuses.iter().map(|(_, status)| status).collect();
        match (&arguments.instance, json.as_slice()) {
            (Some(_), [status]) => writeln!(out, "{}", serde_json::to_string_pretty(status)?)?,
            (Some(_), _) => {}
            (None, statuses) => writeln!(out, "{}", serde_json::to_string_pretty(statuses)?)?,
        }
    }
    if statuses.is_empty() {
        return nothing_loaded(arguments, bpffs);
    }
    if !arguments.json {
        let texts = statuses
            .iter()
            .map(|(pins, status)| summary::text(status, &lists::Source::new(pins, sockets)))
            .collect::<Result<Vec<_>>>()?;
        out.write_all(texts.join("\n").as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show_lists(
    arguments: &StatusArguments,
    list: &List,
    all: &[Pins],
    bpffs: &Path,
    sockets: &Path,
) -> Result<ExitCode> {
    let mut loaded = false;
    for pins in all {
        if !pins.folder().exists() {
            continue;
        }
        loaded = true;
        let source = lists::Source::new(pins, sockets);
        match (list, arguments.json) {
            (List::Routes(filter), true) => source.print_routes(filter)?,
            (List::Neighbours, true) => source.print_neighbours()?,
            (List::Peers, true) => source.print_peers()?,
            (List::Tunnels, true) => source.print_tunnels()?,
            (list, false) => {
                let text = match list {
                    List::Routes(filter) => source.routes_text(filter)?,
                    List::Neighbours => source.neighbours_text()?,
                    List::Peers => source.peers_text()?,
                    List::Tunnels => source.tunnels_text()?,
                };
                let name = pins.instance();
                write!(io::stdout(), "{name}:{}", or_none(text))?;
            }
        }
    }
    match loaded {
        true => Ok(ExitCode::SUCCESS),
        false => nothing_loaded(arguments, bpffs),
    }
}

fn or_none(text: String) -> String {
    match text.is_empty() {
        true => " none\n".to_owned(),
        false => text,
    }
}
