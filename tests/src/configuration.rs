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
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Babel {
    /// Plain interfaces.
    pub interfaces: Vec<String>,
    /// In seconds.
    pub hello_interval: f64,
    /// What survives restarts.
    pub state_directory: std::path::PathBuf,
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

/// How packets are wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// GRE in UDP.
    Fou,
    /// GRE.
    Gre,
}
