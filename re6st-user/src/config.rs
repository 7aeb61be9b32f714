//! The configuration file: TOML text in, a [`Config`] without contradictions out.
//!
//! [`Config::parse`] first reads the text into the structures of `raw`, whose only business is which keys there are and
//! which of TOML's types they have, then `check` makes a [`Config`] of them. Whoever holds a [`Config`] need not check
//! anything again that the file alone can tell; what depends on the host (do the interfaces exist?) is the loader's.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::{IpNet, Ipv6Net};

use crate::{
    babel::{
        filter::Filter,
        quantities::{Metric, RouterId},
    },
    certificate::record::Country,
    route::RouteKey,
};

mod babel;
mod check;
mod command;
mod mesh;
pub(crate) mod mistake;
mod names;
mod peer;
mod prefix;
mod raw;
mod section;
pub(crate) mod tunnel;

#[cfg(test)]
mod tests;

pub use mistake::{ConfigError, Mistake};
pub use peer::{Peer, at_own_addresses};
pub use prefix::usable;

/// The UDP port of the tunnels unless configured: GRE-in-UDP (RFC 8086).
pub const DEFAULT_PORT: u16 = 4754;
/// The name of the file with the node's X25519 key unless configured; in the folder of its other key.
pub const DEFAULT_STATIC_KEY: &str = "x25519.key";
/// How many bits of the first IPv6 network's addresses the array FIB covers unless configured.
pub const DEFAULT_FIB_BITS: u8 = 16;
/// The biggest file, in bytes.
pub const MAXIMUM_SIZE: u64 = 64 << 20;
/// The most `[[route]]` tables.
pub const MAXIMUM_ROUTES: usize = 200_000;
/// The most `[[tunnel]]` tables.
pub const MAXIMUM_TUNNELS: usize = 4_096;
/// The most `[[peer]]` tables.
pub const MAXIMUM_PEERS: usize = 256;
/// The most tunnels that the mesh opens, and that it lets others open: as many as the data plane has next hops for in the
/// smallest of its tables.
pub const MAXIMUM_MESH_TUNNELS: usize = 200;
/// The longest time between two looks at the mesh's tunnels.
pub const LONGEST_TUNNEL_REFRESH: Duration = Duration::from_secs(86_400);
/// The most commands that are kept running beside a node.
pub const MAXIMUM_DAEMONS: usize = 16;
/// The most network interfaces: the size of the map INTERFACES.
pub const MAXIMUM_INTERFACES: usize = 64;
/// The most entries of `addresses`, and of `networks`.
pub const MAXIMUM_PREFIXES: usize = 256;
/// The fewest and the most low bits of a tunnel's key that index TUNNELS.
pub const TUNNEL_INDEX_BITS: std::ops::RangeInclusive<u32> = 10..=16;

/// What a node is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// This node's mesh addresses. Each prefix is a subnet that the node owns: hosts behind it live there.
    pub addresses: Vec<IpNet>,
    /// Where XDP attaches: underlay and LAN.
    pub interfaces: Vec<String>,
    /// The uplinks of an Internet gateway, a subset of [`Self::interfaces`].
    pub gateway_interfaces: Vec<String>,
    /// The whole mesh, host bits zero.
    pub networks: Vec<IpNet>,
    /// Relay for others.
    pub forward: bool,
    /// The host masquerades IPv6 hosts behind this node's own address.
    pub ipv6_masquerade: bool,
    /// UDP port of all tunnels of this instance.
    pub port: u16,
    /// How many bits after the network's the array FIB covers, at most: see [`Self::fib_network`].
    pub fib_bits: u8,
    /// What is run beside the node, by `re6st-user node`.
    pub commands: Commands,
    /// Tunnels to peers; names and keys are unique.
    pub tunnels: Vec<Tunnel>,
    /// Static routes; no two have the same destination and source prefix.
    pub routes: Vec<Route>,
    /// The Babel routing protocol, for `re6st-user node`.
    pub babel: Option<Babel>,
    /// A managed mesh, for `re6st-user node`.
    pub registry: Option<Registry>,
    /// Nodes of the managed mesh to have a channel with; their names, addresses and keys are unique. None without
    /// [`Self::registry`].
    pub peers: Vec<Peer>,
    /// Nodes of the managed mesh are found, and tunnels to them kept. None without [`Self::registry`].
    pub mesh: Option<Mesh>,
    tunnel_index_bits: u32,
}

/// The section `[mesh]`: how the node finds others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// Tunnels that this node opens and keeps, if the file says it.
    pub client_count: Option<usize>,
    /// Tunnels that others may have to this node, if the file says it.
    pub max_clients: Option<usize>,
    /// Tunnels are reconsidered this often, if the file says it.
    pub tunnel_refresh: Option<Duration>,
    /// Where others are told to call this node; without any, at the addresses of its interfaces and where peers see it.
    pub ip: Vec<SocketAddr>,
    /// Where those are.
    pub country: Option<Country>,
    /// A NAT's router is asked to pass a port on to this node.
    pub port_mapping: bool,
    /// What tunnels are not made with.
    pub disabled: BTreeSet<Carrier>,
    /// No tunnel crosses the borders of these countries, if the file says it.
    pub same_country: Option<BTreeSet<Country>>,
    /// One tunnel only, and nobody is served.
    pub client: bool,
}

/// What a tunnel of the mesh is carried in (`disable-proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
}

impl Carrier {
    /// All, by the names that re6stnet has for them.
    pub const NAMES: [(&'static str, Self); 2] = [("udp", Self::Udp), ("udp6", Self::Udp6)];

    /// What carries tunnels to an address.
    pub const fn to(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Udp,
            IpAddr::V6(_) => Self::Udp6,
        }
    }
}

/// Commands that are run beside a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Once, when the node is up.
    pub up: Option<Command>,
    /// From then on until the node ends.
    pub daemons: Vec<Command>,
}

/// A program, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its file, or its name in the usual folders.
    pub program: String,
    /// What it is given.
    pub arguments: Vec<String>,
}

/// A tunnel to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// At most 15 bytes of `A-Z a-z 0-9 _ . -`.
    pub name: String,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// Our outer address, of the same family; the kernel chooses if there is none.
    pub local: Option<IpAddr>,
    /// The outer headers.
    pub encapsulation: Encapsulation,
    /// GRE keys.
    pub keys: Keys,
    /// The biggest inner packet, in bytes; the loader chooses if there is none.
    pub mtu: Option<u16>,
    /// The UDP source port.
    pub source_port: SourcePort,
    /// The UDP port of the peer, where a NAT has made it another; that of the instance if there is none.
    pub remote_port: Option<u16>,
    /// Agreed with a peer through its channel, not written in the file.
    pub of_peer: bool,
}

/// The outer headers of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// GRE with key in UDP (RFC 8086), `encap fou` of Linux.
    Fou,
    /// GRE with key (RFC 2784, RFC 2890).
    Gre,
}

impl Encapsulation {
    /// Bytes of the outer headers over an IP version.
    pub const fn outer_length(self, remote: IpAddr) -> u16 {
        match (self, remote) {
            (Self::Fou, IpAddr::V4(_)) => 20 + 8 + 8,
            (Self::Fou, IpAddr::V6(_)) => 40 + 8 + 8,
            (Self::Gre, IpAddr::V4(_)) => 20 + 8,
            (Self::Gre, IpAddr::V6(_)) => 40 + 8,
        }
    }
}

/// The GRE keys of a tunnel. Not shown by `Debug`: who knows them and can forge an address can send.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The key we accept.
    pub local: u32,
    /// Keys of before that are accepted a little longer; none in the file.
    pub former: Vec<u32>,
    /// The key we send.
    pub remote: u32,
}

impl Keys {
    /// One key each way.
    pub const fn new(local: u32, remote: u32) -> Self {
        Self {
            local,
            former: Vec::new(),
            remote,
        }
    }

    /// All keys we accept, the newest first.
    pub fn accepted(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.local).chain(self.former.iter().copied())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys { .. }")
    }
}

/// The UDP source port of a tunnel's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePort {
    /// A hash of the inner flow (RFC 8086 section 3.2.1), so that receivers spread flows over queues.
    #[default]
    Flow,
    /// The instance's port, for peers behind NAT.
    Fixed,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination prefix, host bits zero.
    pub to: IpNet,
    /// Source prefix (RFC 9079), host bits zero, of the same family and never of length 0.
    pub from: Option<IpNet>,
    /// The name of one of [`Config::tunnels`].
    pub via: String,
}

/// The section `[babel]` (RFC 8966).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Babel {
    /// Plain interfaces to speak Babel on; tunnels are always included.
    pub interfaces: Vec<String>,
    /// Those of them whose cost follows the round-trip time (RFC 9616), as that of tunnels does.
    pub round_trip_interfaces: Vec<String>,
    /// Time between two Hellos, if the file says it: see [`Self::intervals`].
    pub hello_interval: Option<Duration>,
    /// Time between two full announcements, if the file says it.
    pub update_interval: Option<Duration>,
    /// Least silence before a neighbour of our kind is dead; the protocol's default if `None`.
    pub probe_timeout: Option<Duration>,
    /// Prefixes that neighbours may fill the table with, at least 1.
    pub maximum_prefixes: usize,
    /// How packets on plain interfaces are authenticated (RFC 8967); not at all if there are none.
    pub mac: Vec<Mac>,
    /// Our own; the node chooses if there is none.
    pub router_id: Option<RouterId>,
    /// Where what must survive a restart is kept; the node chooses if there is none.
    pub state_directory: Option<PathBuf>,
    /// Routes we are the origin of, besides the subnets of `addresses`.
    pub announce: Vec<(RouteKey, Metric)>,
    /// What is taken from neighbours.
    pub accept_filter: Filter,
    /// What is told to neighbours.
    pub announce_filter: Filter,
    /// What is put into the data plane.
    pub install_filter: Filter,
}

impl Babel {
    /// Time between two Hellos and between two full announcements: what the file says, else what the network's parameters
    /// say (as far as neighbours can be told), else the defaults (RFC 8966 appendix B).
    pub fn intervals(
        &self,
        network_hello: Option<Duration>,
        network_update: Option<Duration>,
    ) -> (Duration, Duration) {
        let usable = |interval: Option<Duration>| {
            let interval = interval.filter(|interval| !interval.is_zero());
            interval.map(|interval| interval.min(babel::LONGEST_INTERVAL))
        };
        let hello = self.hello_interval.or(usable(network_hello));
        let hello = hello.unwrap_or(babel::DEFAULT_HELLO_INTERVAL);
        let update = self.update_interval.or(usable(network_update));
        (
            hello,
            update.unwrap_or_else(|| babel::update_interval(hello)),
        )
    }
}

/// A MAC algorithm of RFC 8967 section 4.1 and its key, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Mac {
    /// The algorithm.
    pub algorithm: MacAlgorithm,
    /// The secret.
    pub key: Vec<u8>,
    /// Packets may be signed with it, but we do not sign with it: for changing keys.
    pub accept_only: bool,
}

impl fmt::Debug for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Mac {{ algorithm: {:?}, key: .. }}",
            self.algorithm
        )
    }
}

/// A MAC algorithm of RFC 8967 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacAlgorithm {
    /// Keyed BLAKE2s with 128 bits of output.
    Blake2s128,
    /// HMAC with SHA-256.
    HmacSha256,
}

/// The section `[registry]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Where the registry answers: `https://...`.
    pub url: String,
    /// The network's CA certificate.
    pub ca: PathBuf,
    /// This node's certificate.
    pub certificate: PathBuf,
    /// This node's private key.
    pub key: PathBuf,
    /// This node's X25519 key, which its channels to other nodes are made with.
    pub static_key: PathBuf,
}

impl Config {
    /// Reads a file. At most [`MAXIMUM_SIZE`] bytes of it are ever held. Names of files in it are relative to its folder.
    pub fn from_path(path: &Path) -> Result<Self, ConfigError> {
        let text = mistake::read(path)?;
        let mut config = Self::parse(&text).map_err(|error| error.in_file(path))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for file in config.files() {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    /// All names of files and folders in it.
    fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let registry = self.registry.as_mut();
        let registry = registry.map(|registry| {
            let Registry {
                ca,
                certificate,
                key,
                static_key,
                url: _,
            } = registry;
            [ca, certificate, key, static_key]
        });
        let babel = self.babel.as_mut();
        let state = babel.and_then(|babel| babel.state_directory.as_mut());
        registry.into_iter().flatten().chain(state)
    }

    /// Reads the text of a configuration file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let raw: raw::Config =
            toml::from_str(text).map_err(|error| Mistake::from_toml(&error, text))?;
        let config = check::config(&raw).map_err(|wrong| wrong.locate(text))?;
        Ok(config)
    }

    /// How many low bits of a key index TUNNELS: the fewest of [`TUNNEL_INDEX_BITS`] that tell all tunnels apart.
    pub const fn tunnel_index_bits(&self) -> u32 {
        self.tunnel_index_bits
    }

    /// What the array FIB covers: the first IPv6 network and the number of bits after the network's, at least 1.
    ///
    /// `None` if there is no IPv6 network or it is longer than 63 bits: then the trie answers everything. The bits are
    /// fewer than [`Self::fib_bits`] where network and bits together would be more than 64.
    pub fn fib_network(&self) -> Option<(Ipv6Net, u8)> {
        let network = self.networks.iter().find_map(|network| match network {
            IpNet::V6(network) => Some(*network),
            IpNet::V4(_) => None,
        })?;
        let bits = self
            .fib_bits
            .min(64_u8.saturating_sub(network.prefix_len()));
        (bits > 0).then_some((network, bits))
    }

    /// Where XDP attaches: [`Self::interfaces`] and those of [`Babel`], each once.
    pub fn attached_interfaces(&self) -> impl Iterator<Item = &String> {
        let babel = self.babel_interfaces();
        let more = babel.iter().filter(|name| !self.interfaces.contains(name));
        self.interfaces.iter().chain(more)
    }

    /// Plain interfaces with routers of the mesh.
    pub fn babel_interfaces(&self) -> &[String] {
        self.babel
            .as_ref()
            .map_or(&[], |babel| babel.interfaces.as_slice())
    }

    /// The same with other tunnels; `None` if their keys do not tell them apart.
    #[must_use]
    pub fn with_tunnels(&self, tunnels: Vec<Tunnel>) -> Option<Self> {
        let tunnel_index_bits = tunnel::fewest_bits(&tunnels)?;
        Some(Self {
            tunnels,
            tunnel_index_bits,
            ..self.clone()
        })
    }

    /// Puts another tunnel in the place of the one with the same name, if there is one. False if the keys do not tell all
    /// apart: then nothing has changed.
    pub fn replace_tunnel(&mut self, tunnel: &Tunnel) -> bool {
        let mut own = self.tunnels.iter_mut();
        let Some(place) = own.find(|own| own.name == tunnel.name) else {
            return true;
        };
        let before = std::mem::replace(place, tunnel.clone());
        let Some(bits) = tunnel::fewest_bits(&self.tunnels) else {
            let mut own = self.tunnels.iter_mut();
            if let Some(place) = own.find(|own| own.name == before.name) {
                *place = before;
            }
            return false;
        };
        self.tunnel_index_bits = bits;
        true
    }

    /// A tunnel by its name.
    pub fn tunnel(&self, name: &str) -> Option<&Tunnel> {
        self.tunnels.iter().find(|tunnel| tunnel.name == name)
    }
}
