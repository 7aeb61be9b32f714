//! The file as TOML has it: which keys there are, and where each value stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
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
    #[serde(default)]
    pub ipv6_masquerade: bool,
    pub port: Option<Spanned<i64>>,
    pub fib_bits: Option<Spanned<i64>>,
    pub up: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub daemon: Vec<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub tunnel: Vec<Tunnel>,
    #[serde(default)]
    pub route: Vec<Route>,
    pub babel: Option<Babel>,
    pub registry: Option<Registry>,
    #[serde(default)]
    pub peer: Vec<Peer>,
    pub mesh: Option<Spanned<Mesh>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mesh {
    pub client_count: Option<Spanned<i64>>,
    pub max_clients: Option<Spanned<i64>>,
    pub tunnel_refresh: Option<Spanned<i64>>,
    #[serde(default)]
    pub ip: Vec<Text>,
    pub country: Option<Text>,
    #[serde(default)]
    pub disable_proto: Vec<Text>,
    pub same_country: Option<Vec<Text>>,
    #[serde(default)]
    pub client: bool,
    pub port_mapping: Option<bool>,
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
    #[serde(default)]
    pub round_trip_interfaces: Vec<Text>,
    pub hello_interval: Option<Spanned<f64>>,
    pub update_interval: Option<Spanned<f64>>,
    pub probe_timeout: Option<Spanned<f64>>,
    pub maximum_prefixes: Option<Spanned<i64>>,
    pub mac: Option<Macs>,
    pub router_id: Option<Text>,
    pub state_directory: Option<Text>,
    #[serde(default)]
    pub announce: Vec<Announcement>,
    #[serde(default)]
    pub filter: Vec<Rule>,
}

/// One key, or several.
pub struct Macs(pub Vec<Mac>);

impl<'de> Deserialize<'de> for Macs {
    /// By hand, since serde's untagged enums lose the places of values.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Macs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table with `type` and `key`, or an array of such tables")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Macs, A::Error> {
                let mac = Mac::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Macs(vec![mac]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Macs, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Macs)
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    pub to: Text,
    pub from: Option<Text>,
    pub metric: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    pub on: Text,
    pub to: Option<Text>,
    pub from: Option<Text>,
    pub least_length: Option<Spanned<i64>>,
    pub most_length: Option<Spanned<i64>>,
    pub router_id: Option<Text>,
    pub action: Text,
    pub add_metric: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mac {
    pub r#type: Text,
    pub key: Spanned<Value>,
    #[serde(default)]
    pub accept_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Registry {
    pub url: Text,
    pub ca: Text,
    pub cert: Text,
    pub key: Text,
    pub static_key: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub node: Text,
    pub address: Option<Text>,
    pub key: Option<Text>,
}
