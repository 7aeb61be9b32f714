//! `re6st-user registry params`, `community`, `mac-keys`, `audit`, `backup`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use re6st_user::registry::{
    api::{
        AuditEntry, Clock, CommunitiesText, MacKeysState, Page, ParameterChanges, ParametersEntry,
        Rotation,
    },
    config::RegistryConfig,
    store::Reader,
};
use serde_json::{Map, Value, json};

use super::{date, read_text, session::Session, show};
use crate::cli::{
    table::{counted, table},
    values,
};

/// What to do with parameters.
#[derive(Debug, Subcommand)]
pub enum ParametersAction {
    /// Show all parameters, or one.
    #[command(after_long_help = "\
Examples:
  re6st-user registry params get --config /var/lib/re6st-registry/registry.toml
  re6st-user registry params get hello-interval --json --config /var/lib/re6st-registry/registry.toml")]
    Get {
        /// Its name.
        name: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change parameters; nodes take them up by themselves.
    #[command(after_long_help = "\
Example:
  re6st-user registry params set hello-interval=15 encrypt=false --config /var/lib/re6st-registry/registry.toml")]
    Set {
        /// NAME=VALUE, the value as JSON has it or as plain text.
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = assignment)]
        changes: Vec<(String, Value)>,
    },
    /// Return parameters to their defaults.
    #[command(after_long_help = "\
Example:
  re6st-user registry params unset hello-interval --config /var/lib/re6st-registry/registry.toml")]
    Unset {
        /// Their names.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

fn assignment(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("expected NAME=VALUE, such as hello-interval=15")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.trim().to_owned(), value))
}

/// Shows or changes parameters.
pub async fn parameters(action: &ParametersAction, config: &RegistryConfig) -> Result<()> {
    let set: Map<String, Value> = match action {
        ParametersAction::Get { name, json } => {
            let entry: ParametersEntry = Session::ask(config, async |client| {
                Ok(client.get("/v1/admin/parameters", &()).await?)
            })
            .await?;
            return show_parameters(&entry, name.as_deref(), *json);
        }
        ParametersAction::Set { changes } => changes.iter().cloned().collect(),
        ParametersAction::Unset { names } => names
            .iter()
            .map(|name| (name.clone(), Value::Null))
            .collect(),
    };
    let changes = ParameterChanges { set };
    let entry: ParametersEntry = Session::ask(config, async |client| {
        client
            .post_for_nothing("/v1/admin/parameters", &changes)
            .await?;
        Ok(client.get("/v1/admin/parameters", &()).await?)
    })
    .await?;
    println!(
        "number {}, which nodes hear of within seconds",
        entry.number
    );
    for name in changes.set.keys() {
        println!("{name} = {}", plain(&entry.content["parameters"][name]));
    }
    Ok(())
}

fn show_parameters(entry: &ParametersEntry, name: Option<&str>, json: bool) -> Result<()> {
    let none = Map::new();
    let values = entry.content.get("parameters").and_then(Value::as_object);
    let values = values.unwrap_or(&none);
    match name {
        Some(name) => {
            let Some(value) = values.get(name) else {
                let known: Vec<_> = values.keys().map(String::as_str).collect();
                bail!(
                    "there is no parameter {name}; there are {}",
                    known.join(", ")
                );
            };
            show(json, value, |value| format!("{}\n", plain(value)))
        }
        None => show(json, entry, |entry| {
            let rows = values
                .iter()
                .map(|(name, value)| vec![name.clone(), plain(value)]);
            format!(
                "number {}\n{}",
                entry.number,
                table("parameters", &["name", "value"], rows)
            )
        }),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What to do with communities.
#[derive(Debug, Subcommand)]
pub enum CommunityAction {
    /// Show them.
    #[command(after_long_help = "\
Example:
  re6st-user registry community list --config /var/lib/re6st-registry/registry.toml")]
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace them: lines of bits and locations (FR, @EU, * for all others).
    #[command(after_long_help = "\
Example:
  re6st-user registry community set communities.txt --config /var/lib/re6st-registry/registry.toml")]
    Set {
        /// The file; - reads standard input.
        file: PathBuf,
    },
}

/// Shows or replaces the communities.
pub async fn community(action: &CommunityAction, config: &RegistryConfig) -> Result<()> {
    match action {
        CommunityAction::List { json } => {
            let communities: CommunitiesText = Session::ask(config, async |client| {
                Ok(client.get("/v1/admin/communities", &()).await?)
            })
            .await?;
            show(*json, &communities, |communities| {
                if communities.text.trim().is_empty() {
                    return "there are no communities: prefixes come from the whole network\n"
                        .to_owned();
                }
                communities.text.clone()
            })
        }
        CommunityAction::Set { file } => {
            let text = read_text(file)?;
            let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
            let communities = CommunitiesText { text };
            Session::ask(config, async |client| {
                Ok(client
                    .post_for_nothing("/v1/admin/communities", &communities)
                    .await?)
            })
            .await?;
            println!("{} in use", counted(lines, "community", "communities"));
            Ok(())
        }
    }
}

/// What to do with the keys of Babel's MAC.
#[derive(Debug, Subcommand)]
pub enum MacKeysAction {
    /// The next of three steps to another key; give all nodes time to take each step up.
    #[command(after_long_help = "\
Examples:
  re6st-user registry mac-keys rotate --config /var/lib/re6st-registry/registry.toml
  re6st-user registry mac-keys rotate --at-once --config /var/lib/re6st-registry/registry.toml")]
    Rotate {
        /// Another key at once: on LANs, nodes that have not heard of it are cut off from those that have, until they reach
        /// the registry. For when somebody has the present key who should not.
        #[arg(long)]
        at_once: bool,
    },
}

/// Changes the keys of Babel's MAC.
pub async fn mac_keys(action: &MacKeysAction, config: &RegistryConfig) -> Result<()> {
    let MacKeysAction::Rotate { at_once } = action;
    let rotation = Rotation { at_once: *at_once };
    let keys: MacKeysState = Session::ask(config, async |client| {
        Ok(client.post("/v1/admin/mac-keys/rotate", &rotation).await?)
    })
    .await?;
    let next = if keys.complete {
        "the change is complete"
    } else {
        "rotate again when `re6st-user status` of every node shows this"
    };
    println!("keys of Babel's MAC: {}; {next}", keys.state);
    Ok(())
}

/// What to do with the clock.
#[derive(Debug, Subcommand)]
pub enum ClockAction {
    /// Show what it says, and what the database has seen last.
    #[command(after_long_help = "\
Example:
  re6st-user registry clock show --config /var/lib/re6st-registry/registry.toml")]
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say that it is right: the registry was off for long, or a backup was restored.
    #[command(after_long_help = "\
Example:
  re6st-user registry clock confirm --config /var/lib/re6st-registry/registry.toml")]
    Confirm,
}

/// Shows or confirms the clock.
pub async fn clock(action: &ClockAction, config: &RegistryConfig) -> Result<()> {
    let (json, confirm) = match action {
        ClockAction::Show { json } => (*json, false),
        ClockAction::Confirm => (false, true),
    };
    let clock: Clock = Session::ask(config, async |client| {
        Ok(if confirm {
            client.post("/v1/admin/clock/confirm", &json!({})).await?
        } else {
            client.get("/v1/admin/clock", &()).await?
        })
    })
    .await?;
    show(json, &clock, |clock| {
        let seen = clock.seen.map_or_else(|| "nothing".to_owned(), date);
        let now = date(clock.now);
        let behind = clock.seen.is_some_and(|seen| clock.now < seen);
        if clock.doubted && behind {
            format!(
                "the clock says {now}, the database has seen {seen} last: set the clock, or if it is right, `registry clock \
                 confirm`\n"
            )
        } else if clock.doubted {
            format!(
                "the clock says {now}, the database has seen {seen} last: until `registry clock confirm`, no node, token or \
                 revocation ends by it\n"
            )
        } else {
            format!("the clock says {now}, the database has seen {seen} last\n")
        }
    })
}

/// Options of `audit`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user registry audit --after 120 --config /var/lib/re6st-registry/registry.toml")]
pub struct AuditArguments {
    /// Only lines behind the one with this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = values::line)]
    after: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows the audit log.
pub async fn audit(arguments: &AuditArguments, config: &RegistryConfig) -> Result<()> {
    let lines = Session::ask(config, async |client| {
        let mut lines: Vec<AuditEntry> = Vec::new();
        loop {
            let after = lines.last().map_or(arguments.after, |last| last.id);
            let page = Page {
                after: Some(after.to_string()),
                limit: None,
            };
            let next: Vec<AuditEntry> = client.get("/v1/admin/audit", &page).await?;
            if next.is_empty() {
                return Ok(lines);
            }
            lines.extend(next);
        }
    })
    .await?;
    show(arguments.json, &lines, |lines| {
        let rows = lines.iter().map(|line| {
            vec![
                line.id.to_string(),
                date(line.time),
                line.who.clone(),
                line.action.clone(),
                line.subject.clone(),
            ]
        });
        table("audit log", &["", "when (UTC)", "who", "what", "on"], rows)
    })
}

/// Options of `backup`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  re6st-user registry backup /var/backups/registry.db --config /var/lib/re6st-registry/registry.toml")]
pub struct BackupArguments {
    /// The copy. Keep the CA's key and certificate and registry.toml with it; they do not change.
    file: PathBuf,
}

/// Copies the database.
pub fn backup(arguments: &BackupArguments, config: &RegistryConfig) -> Result<()> {
    Reader::open(&config.database)?.backup(&arguments.file)?;
    println!(
        "{}: the database; {}, {} and the configuration file belong to it",
        arguments.file.display(),
        config.ca_key.display(),
        config.ca.display()
    );
    Ok(())
}
