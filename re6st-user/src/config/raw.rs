//! The file as TOML has it: which keys there are, and where each value stands.

use serde::Deserialize;
use toml::{Spanned, Value};

/// A value and its place in the file.
pub type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    pub addresses: Spanned<Vec<Text>>,
    pub interfaces: Spanned<Vec<Text>>,
    #[serde(default)]
    pub gateway_interfaces: Vec<Text>,
    pub networks: Spanned<Vec<Text>>,
    #[serde(default)]
    pub forward: bool,
    pub port: Option<Spanned<i64>>,
    pub fib_bits: Option<Spanned<i64>>,
    #[serde(default)]
    pub tunnel: Vec<Tunnel>,
    #[serde(default)]
    pub route: Vec<Route>,
    pub babel: Option<Babel>,
    pub registry: Option<Registry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tunnel {
    pub name: Text,
    pub remote: Text,
    pub local: Option<Text>,
    pub encap: Text,
    pub port: Option<Spanned<i64>>,
    pub key: Keys,
    pub mtu: Option<Spanned<i64>>,
    pub source_port: Option<Text>,
}

/// Any value at all, because serde's own complaint about a wrong type would show the secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    pub local: Spanned<Value>,
    pub remote: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub to: Text,
    pub from: Option<Text>,
    pub via: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Babel {
    #[serde(default)]
    pub interfaces: Vec<Text>,
    pub hello_interval: Option<Spanned<f64>>,
    pub mac: Option<Mac>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mac {
    pub r#type: Text,
    pub key: Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    pub url: Text,
    pub ca: Text,
    pub cert: Text,
    pub key: Text,
}
