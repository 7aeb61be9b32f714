//! The configuration file of `re6st-user`, to be written.

use std::net::IpAddr;

use serde::Serialize;

/// The configuration file of `re6st-user`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Configuration {
    /// Mesh addresses with the prefix each stands for.
    pub addresses: Vec<String>,
    /// Where XDP attaches.
    pub interfaces: Vec<String>,
    /// Which of them are a gateway's uplinks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway_interfaces: Vec<String>,
    /// The prefixes of the whole mesh.
    pub networks: Vec<String>,
    /// Relay for others.
    pub forward: bool,
    /// The kernel masquerades IPv6 hosts behind the node's own address.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ipv6_masquerade: bool,
    /// UDP port of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Tunnels.
    #[serde(rename = "tunnel")]
    pub tunnels: Vec<Tunnel>,
    /// Static routes.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Babel, for `re6st-user node`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub babel: Option<Babel>,
}

/// `[babel]`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Babel {
    /// Plain interfaces.
    pub interfaces: Vec<String>,
    /// Those of them whose costs follow the round-trip time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub round_trip_interfaces: Vec<String>,
    /// In seconds.
    pub hello_interval: f64,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_interval: Option<f64>,
    /// What survives restarts.
    pub state_directory: std::path::PathBuf,
    /// Keys.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mac: Vec<Mac>,
    /// Routes besides the node's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub announce: Vec<Announcement>,
    /// What is taken, announced and installed.
    #[serde(rename = "filter", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

impl Babel {
    /// On plain interfaces besides the tunnels, with Hellos each second.
    pub fn new(interfaces: Vec<String>, state_directory: std::path::PathBuf) -> Self {
        Self {
            interfaces,
            hello_interval: 1.0,
            state_directory,
            ..Self::default()
        }
    }
}

/// A key for packets on plain interfaces.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mac {
    /// How it is used.
    #[serde(rename = "type")]
    pub algorithm: MacAlgorithm,
    /// In hexadecimal; at least 16 octets for BIRD.
    pub key: String,
    /// Packets are not signed with it.
    pub accept_only: bool,
}

/// How packets are signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MacAlgorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// BLAKE2s with a key and 128 bits.
    Blake2s128,
}

/// One of `announce`.
#[derive(Clone, Debug, Serialize)]
pub struct Announcement {
    /// Destination.
    pub to: String,
    /// Source, of a source-specific route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u16>,
}

impl Announcement {
    /// From any source, with metric 0.
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            from: None,
            metric: None,
        }
    }
}

/// One `[[babel.filter]]`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Filter {
    /// `accept`, `announce` or `install`.
    pub on: String,
    /// Prefix in which the destination lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `allow` or `deny`.
    pub action: String,
    /// What is added to the metric of what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_metric: Option<u16>,
}

/// One `[[tunnel]]`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tunnel {
    /// Its name on this node.
    pub name: String,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// Our outer address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// `fou` or `gre`.
    pub encap: Encapsulation,
    /// UDP port, of `fou` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Largest inner packet, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// GRE keys.
    pub key: Keys,
}

/// The GRE keys of a tunnel.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Keys {
    /// The one we accept.
    pub local: u32,
    /// The one we send.
    pub remote: u32,
}

/// One `[[route]]`.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// Destination.
    pub to: String,
    /// Source, of a source-specific route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Name of a tunnel.
    pub via: String,
}

impl Route {
    /// From any source.
    pub fn new(to: impl Into<String>, via: &str) -> Self {
        Self {
            to: to.into(),
            from: None,
            via: via.into(),
        }
    }
}

/// How packets are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// GRE in UDP.
    Fou,
    /// GRE.
    Gre,
}
