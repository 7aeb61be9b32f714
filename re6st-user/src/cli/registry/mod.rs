//! `re6st-user registry`: the server, and the operator's commands.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use re6st_user::registry::config::RegistryConfig;
use serde::Serialize;

use crate::cli::values::NoDataPlane;

mod authority;
mod certificate;
mod init;
mod nodes;
mod others;
mod serve;
mod session;
mod token;

/// Options of `registry`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user registry init --network 2001:db8:42::/48 --dir /var/lib/re6st-registry
  re6st-user registry --config /var/lib/re6st-registry/registry.toml
  re6st-user registry token add --email user@example.com --config /var/lib/re6st-registry/registry.toml")]
pub struct RegistryArguments {
    #[command(flatten)]
    no_data_plane: NoDataPlane,
    /// The registry's configuration file (TOML), as `registry init` has written it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a registry: authority, database, configuration file.
    Init(init::InitArguments),
    /// Tokens: the right to one certificate each.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry token add --email user@example.com --config /var/lib/re6st-registry/registry.toml"
    )]
    Token(token::TokenAction),
    /// Certificates of nodes.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry cert list --config /var/lib/re6st-registry/registry.toml"
    )]
    Cert(certificate::CertificateAction),
    /// Show which nodes are there: where, with which version and certificate.
    Nodes(nodes::NodesArguments),
    /// The network's authority.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry ca succeed --config /var/lib/re6st-registry/registry.toml"
    )]
    Ca(authority::AuthorityAction),
    /// The network's parameters.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry params get --config /var/lib/re6st-registry/registry.toml"
    )]
    Params(others::ParametersAction),
    /// Communities: which part of the network a newcomer's prefix comes from.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry community list --config /var/lib/re6st-registry/registry.toml"
    )]
    Community(others::CommunityAction),
    /// Keys of Babel's MAC.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry mac-keys rotate --config /var/lib/re6st-registry/registry.toml"
    )]
    MacKeys(others::MacKeysAction),
    /// The clock: what the database has seen of it, and that it is right.
    #[command(
        subcommand,
        after_long_help = "\
Example:
  re6st-user registry clock show --config /var/lib/re6st-registry/registry.toml"
    )]
    Clock(others::ClockAction),
    /// Show who did what and when.
    Audit(others::AuditArguments),
    /// Copy the database into a file, also while the registry serves.
    Backup(others::BackupArguments),
}

/// Runs one of the commands of `registry`.
pub fn run(arguments: &RegistryArguments) -> Result<ExitCode> {
    // everything the registry writes is for its own eyes
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let Some(action) = &arguments.action else {
        return serve::run(&config(arguments)?);
    };
    match action {
        Action::Init(init) => init::run(init)?,
        Action::Token(action) => wait(token::run(action, &config(arguments)?))?,
        Action::Cert(action) => wait(certificate::run(action, &config(arguments)?))?,
        Action::Nodes(nodes) => wait(nodes::run(nodes, &config(arguments)?))?,
        Action::Ca(action) => authority::run(action, &config(arguments)?)?,
        Action::Params(action) => wait(others::parameters(action, &config(arguments)?))?,
        Action::Community(action) => wait(others::community(action, &config(arguments)?))?,
        Action::MacKeys(action) => wait(others::mac_keys(action, &config(arguments)?))?,
        Action::Clock(action) => wait(others::clock(action, &config(arguments)?))?,
        Action::Audit(audit) => wait(others::audit(audit, &config(arguments)?))?,
        Action::Backup(backup) => others::backup(backup, &config(arguments)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn config(arguments: &RegistryArguments) -> Result<RegistryConfig> {
    let Some(path) = &arguments.config else {
        bail!("--config FILE is missing: the registry.toml that `registry init` has written");
    };
    Ok(RegistryConfig::from_path(path)?)
}

/// Waits for something the operator asked.
fn wait<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asked)
}

/// Prints JSON, or what `text` makes of it.
fn show<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
    use std::io::Write as _;
    let shown = if json {
        serde_json::to_string_pretty(value)? + "\n"
    } else {
        text(value)
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // the reader has seen enough (`| head`)
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// A moment for people, UTC: `2026-11-27 03:14:19`.
fn date(seconds: u64) -> String {
    let moment = i64::try_from(seconds).map(time::OffsetDateTime::from_unix_timestamp);
    let Ok(Ok(moment)) = moment else {
        return seconds.to_string();
    };
    let (hour, minute, second) = moment.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", moment.date())
}

/// A file as text.
fn read_text(path: &Path) -> Result<String> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.with_context(|| path.display().to_string())
}
