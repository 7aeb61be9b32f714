//! The network's parameters as nodes read them out of the signed document.

use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::certificate::{
    document::Content, network::Ipv4Network, node_prefix::NodePrefix, record::Country,
};

/// What all nodes do alike. Whatever a node does not know is kept, for those it passes the document on to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkParameters(pub Map<String, Value>);

impl Content for NetworkParameters {
    const TYPE: &'static str = "application/vnd.re6st.parameters+json";
}

/// Whether the keys of channels are to withstand quantum computers too: by ML-KEM-768 beside X25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostQuantum {
    /// X25519 alone.
    Off,
    /// Wherever both ends can.
    #[default]
    Preferred,
    /// There is no channel without.
    Required,
}

impl PostQuantum {
    /// All, by their names in `registry params`.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("off", Self::Off),
        ("preferred", Self::Preferred),
        ("required", Self::Required),
    ];

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::NAMES.into_iter();
        all.find_map(|(known, policy)| (known == name).then_some(policy))
    }

    /// As nodes tell each other in a handshake.
    pub const fn number(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Preferred => 1,
            Self::Required => 2,
        }
    }

    /// What a node has told.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Off),
            1 => Some(Self::Preferred),
            2 => Some(Self::Required),
            _ => None,
        }
    }
}

impl NetworkParameters {
    /// A parameter by its name in `registry params`.
    pub fn parameter(&self, name: &str) -> Option<&Value> {
        self.0.get("parameters")?.get(name)
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds = self.parameter(name)?.as_u64()?;
        Some(Duration::from_secs(seconds))
    }

    fn count(&self, name: &str) -> Option<usize> {
        let count = self.parameter(name)?.as_u64()?;
        usize::try_from(count).ok()
    }

    /// Time between two Hellos of Babel.
    pub fn hello_interval(&self) -> Option<Duration> {
        self.seconds("hello-interval")
    }

    /// Time between two full announcements of Babel.
    pub fn update_interval(&self) -> Option<Duration> {
        self.seconds("update-interval")
    }

    /// Tunnels that a node opens and keeps.
    pub fn client_count(&self) -> Option<usize> {
        self.count("client-count")
    }

    /// Tunnels that others may have to a node.
    pub fn max_clients(&self) -> Option<usize> {
        self.count("max-clients")
    }

    /// Time between two looks at a node's tunnels.
    pub fn tunnel_refresh(&self) -> Option<Duration> {
        self.seconds("tunnel-refresh")
    }

    /// No tunnel crosses the borders of these countries.
    pub fn same_country(&self) -> impl Iterator<Item = Country> {
        let codes = self.parameter("same-country").and_then(Value::as_array);
        let codes = codes.into_iter().flatten();
        codes.filter_map(|code| code.as_str()?.parse().ok())
    }

    /// Whether the keys of channels are to withstand quantum computers. What this version does not know is its default.
    pub fn post_quantum(&self) -> PostQuantum {
        let name = self.parameter("post-quantum").and_then(Value::as_str);
        name.and_then(PostQuantum::from_name).unwrap_or_default()
    }

    /// The IPv4 network, if there is one.
    pub fn ipv4(&self) -> Option<Ipv4Network> {
        let prefix: Ipv4Net = self.parameter("ipv4")?.as_str()?.parse().ok()?;
        let bits = self.parameter("ipv4-subnet-bits")?.as_u64()?;
        Ipv4Network::new(prefix, u8::try_from(bits).ok()?).ok()
    }

    /// All networks, IPv6 first.
    pub fn networks(&self) -> Vec<IpNet> {
        let ipv6 = self.0.get("network").and_then(Value::as_str);
        let ipv6 = ipv6.and_then(|network| network.parse().ok());
        let ipv4 = self.ipv4().map(|network| IpNet::V4(network.prefix()));
        ipv6.into_iter().chain(ipv4).collect()
    }

    /// The registry's own node, once there is one.
    pub fn registry_node(&self) -> Option<NodePrefix> {
        let name = self.0.get("registry-prefix")?.as_str()?;
        NodePrefix::from_common_name(name).ok()
    }

    /// Bits of the shortest prefix that a node has. Registries of before do not say it.
    pub fn shortest_prefix(&self) -> Option<u8> {
        u8::try_from(self.0.get("shortest-prefix")?.as_u64()?).ok()
    }

    /// The number of the document with which the keys of Babel's MAC changed last.
    pub fn mac_keys(&self) -> Option<u64> {
        self.0.get("mac-keys")?.as_u64()
    }

    /// The number of the revocation list that goes with these parameters.
    pub fn revocations(&self) -> Option<u64> {
        self.0.get("revocations")?.get("number")?.as_u64()
    }
}
