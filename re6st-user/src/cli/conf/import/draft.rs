//! What of a configuration comes from re6stnet's: as text, which has been tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use re6st_user::config::{Config, ConfigError};
use toml::Value;

use super::Outcome;

/// Any node, in whose configuration the draft is tried.
const ANY_NODE: &str = r#"
addresses  = ["2001:db8:42:1::1/64"]
interfaces = ["eth0"]
networks   = ["2001:db8:42::/48"]
"#;
const ITS_REGISTRY: &str = r#"
[babel]
[registry]
url  = "https://registry.example/"
ca   = "ca.crt"
cert = "cert.crt"
key  = "cert.key"
"#;

/// Keys and their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Of the tunnels.
    pub port: Option<u16>,
    /// For a shell.
    pub up: Option<String>,
    /// For a shell.
    pub daemons: Vec<String>,
    /// Where others are told to call it.
    pub ip: Vec<String>,
    /// Where it is.
    pub country: Option<String>,
    /// `client-count` and `max-clients`.
    pub counts: BTreeMap<&'static str, u32>,
    /// `disable-proto`.
    pub disabled: BTreeSet<&'static str>,
    /// No router is asked to let others in.
    pub no_port_mapping: bool,
    /// One tunnel only.
    pub client: bool,
    /// Nodes by the names in their certificates.
    pub peers: Vec<String>,
}

impl Draft {
    /// Changes it, unless no configuration could have that.
    pub fn try_change(&mut self, what: &str, change: impl FnOnce(&mut Self)) -> Outcome {
        let mut changed = self.clone();
        change(&mut changed);
        match changed.check() {
            Ok(()) => {
                *self = changed;
                Outcome::Taken(what.to_owned())
            }
            Err(ConfigError::Mistake(mistake)) => Outcome::NotSupported(mistake.message),
            Err(error) => Outcome::NotSupported(error.to_string()),
        }
    }

    /// Tries it in the configuration of a node.
    pub fn check(&self) -> Result<(), ConfigError> {
        let text = [
            ANY_NODE,
            &self.head(),
            ITS_REGISTRY,
            &self.peers(),
            "[mesh]\n",
            &self.mesh(),
        ];
        Config::parse(&text.concat()).map(drop)
    }

    /// Lines that stand above the first `[`.
    pub fn head(&self) -> String {
        let mut text = String::new();
        if let Some(port) = self.port {
            put(&mut text, "port", &Value::from(i64::from(port)));
        }
        let shell = |command: &String| strings(["/bin/sh", "-c", command]);
        if let Some(up) = &self.up {
            put(&mut text, "up", &shell(up));
        }
        if !self.daemons.is_empty() {
            let all = self.daemons.iter().map(shell).collect();
            put(&mut text, "daemon", &Value::Array(all));
        }
        text
    }

    /// The `[[peer]]` tables.
    pub fn peers(&self) -> String {
        let peers = self.peers.iter();
        let peers = peers.map(|node| format!("[[peer]]\nnode = {}\n", Value::from(node.as_str())));
        peers.collect()
    }

    /// What stands below `[mesh]`.
    pub fn mesh(&self) -> String {
        let mut text = String::new();
        if !self.ip.is_empty() {
            put(
                &mut text,
                "ip",
                &strings(self.ip.iter().map(String::as_str)),
            );
        }
        if let Some(country) = &self.country {
            put(&mut text, "country", &Value::from(country.as_str()));
        }
        for (key, count) in &self.counts {
            put(&mut text, key, &Value::from(i64::from(*count)));
        }
        if !self.disabled.is_empty() {
            put(
                &mut text,
                "disable-proto",
                &strings(self.disabled.iter().copied()),
            );
        }
        if self.no_port_mapping {
            put(&mut text, "port-mapping", &Value::from(false));
        }
        if self.client {
            put(&mut text, "client", &Value::from(true));
        }
        text
    }
}

fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Array(texts.into_iter().map(Value::from).collect())
}

fn put(text: &mut String, key: &str, value: &Value) {
    // a string takes everything
    let _ = writeln!(text, "{key} = {value}");
}
