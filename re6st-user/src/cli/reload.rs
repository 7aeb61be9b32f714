//! `re6st-user reload`: has a running node take up its configuration anew.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use re6st_user::{
    dataplane::bpf::InstanceName,
    node::control::{self, Question, Reloaded},
};

/// Options of `reload`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  re6st-user reload
  re6st-user reload --instance lab0")]
pub struct ReloadArguments {
    /// The instance.
    #[arg(long, default_value = InstanceName::DEFAULT, value_parser = InstanceName::parse)]
    instance: InstanceName,
}

/// Reloads; says what has changed.
pub fn run(arguments: &ReloadArguments, sockets: &Path) -> Result<ExitCode> {
    let instance = &arguments.instance;
    let answer = control::ask(&control::path(sockets, instance), &Question::Reload)
        .context("the controller does not answer")?;
    let Some(answer) = answer else {
        bail!(
            "no node runs on instance {instance}: start `re6st-user node`, or use `load` for static routes"
        );
    };
    match serde_json::from_value(answer).context("the controller answers otherwise")? {
        Reloaded::Changes(changes) if changes.is_empty() => {
            println!("{instance}: nothing has changed")
        }
        Reloaded::Changes(changes) => {
            for change in changes {
                println!("{instance}: {change}");
            }
        }
        Reloaded::Refused(why) => bail!("{instance}: nothing was changed: {why}"),
    }
    Ok(ExitCode::SUCCESS)
}
