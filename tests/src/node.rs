//! A node of the mesh: a host on which the real `re6st-user` command runs.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

pub use crate::configuration::{Babel, Configuration, Encapsulation, Keys, Route, Tunnel};
use crate::{
    host::{Host, Testbed},
    internet::{Internet, IpVersion, Uplink},
    link::{LinkOptions, add_addresses, link},
    process::{Output, Process},
};

/// The name of the instance unless said otherwise.
pub const INSTANCE: &str = "re6st0";
/// How long `re6st-user` may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What joins two nodes.
pub type TunnelKind = (Encapsulation, IpVersion);

/// All four kinds of tunnel.
pub const TUNNEL_KINDS: [TunnelKind; 4] = [
    (Encapsulation::Fou, IpVersion::V4),
    (Encapsulation::Fou, IpVersion::V6),
    (Encapsulation::Gre, IpVersion::V4),
    (Encapsulation::Gre, IpVersion::V6),
];

/// A node of the mesh, number N: its mesh addresses are `2001:db8:42:N::1/64` and `10.42.N.1/24`.
#[derive(Debug)]
pub struct Node {
    /// The host it is.
    pub host: Host,
    /// Its number.
    pub number: u8,
    /// Its uplink to the Internet.
    pub uplink: Uplink,
    /// What `load` will be given.
    pub configuration: Configuration,
}

impl Node {
    /// A host called `name` on the Internet, whose interface there is `eth0`.
    pub fn new(testbed: &Testbed, internet: &Internet, name: &str, number: u8) -> Result<Self> {
        Self::with_link(testbed, internet, name, number, LinkOptions::default())
    }

    /// The same, with an uplink of one's own choice.
    pub fn with_link(
        testbed: &Testbed,
        internet: &Internet,
        name: &str,
        number: u8,
        options: LinkOptions,
    ) -> Result<Self> {
        let host = testbed.host(name)?;
        let uplink = internet.attach(&host, "eth0", options)?;
        let configuration = Configuration {
            addresses: vec![
                format!("{}/64", mesh_ipv6(number)),
                format!("{}/24", mesh_ipv4(number)),
            ],
            interfaces: vec!["eth0".into()],
            networks: vec!["2001:db8:42::/48".into(), "10.42.0.0/16".into()],
            forward: true,
            port: Some(4754),
            ..Configuration::default()
        };
        Ok(Self {
            host,
            number,
            uplink,
            configuration,
        })
    }

    /// Its mesh addresses: IPv6, then IPv4.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [mesh_ipv6(self.number).into(), mesh_ipv4(self.number).into()]
    }

    /// Its mesh address of one IP version.
    pub fn address(&self, version: IpVersion) -> IpAddr {
        let [ipv6, ipv4] = self.addresses();
        match version {
            IpVersion::V4 => ipv4,
            IpVersion::V6 => ipv6,
        }
    }

    /// Routes another node's prefixes over a tunnel.
    pub fn route(&mut self, to: &Node, via: &Node) {
        self.route_number(to.number, via.host.name());
    }

    /// Routes the prefixes of node `number` over a tunnel.
    pub fn route_number(&mut self, number: u8, via: &str) {
        self.configuration.routes.extend([
            Route::new(format!("2001:db8:42:{number:x}::/64"), via),
            Route::new(format!("10.42.{number}.0/24"), via),
        ]);
    }

    /// Writes the configuration file.
    pub fn write_configuration(&self) -> Result<PathBuf> {
        let path = self.host.directory().join("re6st.toml");
        let text = toml::to_string(&self.configuration)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// `re6st-user load` with this node's configuration.
    pub fn load(&self) -> Result<String> {
        self.load_with(&[])
    }

    /// The same, with more options. What it said.
    pub fn load_with(&self, options: &[&str]) -> Result<String> {
        let output = self.try_load(options)?.success();
        Ok(output
            .with_context(|| format!("on node {}", self.host.name()))?
            .stdout)
    }

    /// The same, whether it succeeds or not.
    pub fn try_load(&self, options: &[&str]) -> Result<Output> {
        self.start_load(options)?.wait(LIMIT)
    }

    /// The same, not waiting for its end.
    pub fn start_load(&self, options: &[&str]) -> Result<Process> {
        self.host.spawn(&mut self.configured("load", options)?)
    }

    /// Lets Babel find the routes, on its tunnels and on plain interfaces; Hellos each second.
    pub fn speak_babel(&mut self, interfaces: &[&str]) {
        self.babel().interfaces = interfaces.iter().map(ToString::to_string).collect();
    }

    /// How it speaks Babel, which it does from now on.
    pub fn babel(&mut self) -> &mut Babel {
        let state = self.host.directory().join("state");
        let babel = &mut self.configuration.babel;
        babel.get_or_insert_with(|| Babel::new(Vec::new(), state))
    }

    /// Starts `re6st-user node`, which goes on until it is stopped.
    pub fn start_node(&self) -> Result<Process> {
        self.start_node_with(&[])
    }

    /// The same, with more options.
    pub fn start_node_with(&self, options: &[&str]) -> Result<Process> {
        self.host.spawn(&mut self.configured("node", options)?)
    }

    /// Has a running node take up this configuration; what it said.
    pub fn reload(&self) -> Result<Output> {
        self.write_configuration()?;
        self.re6st_user(&["reload", "--instance", INSTANCE])
    }

    /// `re6st-user unload`; what it said.
    pub fn unload(&self) -> Result<String> {
        Ok(self.re6st_user(&["unload"])?.success()?.stdout)
    }

    /// Runs `re6st-user` on this node.
    pub fn re6st_user(&self, arguments: &[&str]) -> Result<Output> {
        self.host.spawn(&mut self.command(arguments)?)?.wait(LIMIT)
    }

    /// A subcommand that is given the configuration file, which is written.
    fn configured(&self, subcommand: &str, options: &[&str]) -> Result<Command> {
        let path = self.write_configuration()?;
        let mut command = self.command(&[subcommand, "--config"])?;
        command.arg(path).args(options);
        Ok(command)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(re6st_user()?);
        command
            .arg("--bpffs")
            .arg(self.host.bpffs())
            .arg("--sockets")
            .arg(self.host.directory())
            .args(arguments);
        Ok(command)
    }

    /// `re6st-user status --json` of the one instance.
    pub fn status(&self) -> Result<Value> {
        let text = self
            .re6st_user(&["status", "--instance", INSTANCE, "--json"])?
            .success()?
            .stdout;
        serde_json::from_str(&text).with_context(|| format!("the status is no JSON: {text}"))
    }

    /// `re6st-user status routes --json`, or another list.
    pub fn list(&self, what: &[&str]) -> Result<Vec<Value>> {
        let arguments = [&["status", "--instance", INSTANCE, "--json"], what].concat();
        let text = self.re6st_user(&arguments)?.success()?.stdout;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")))
            .collect()
    }

    /// How many packets met a reason, by its name.
    pub fn reason(&self, name: &str) -> Result<u64> {
        let status = self.status()?;
        find(&status["reasons"], name)?["packets"]
            .as_u64()
            .with_context(|| format!("no count of packets for reason {name}"))
    }

    /// All reasons that packets have met, with how many: to explain a failure.
    pub fn reasons(&self) -> Result<BTreeMap<String, u64>> {
        let status = self.status()?;
        let reasons = status["reasons"]
            .as_array()
            .context("the status has no reasons")?;
        Ok(reasons
            .iter()
            .filter_map(|reason| {
                Some((reason["name"].as_str()?.into(), reason["packets"].as_u64()?))
            })
            .filter(|(_, packets)| *packets > 0)
            .collect())
    }

    /// What came and went through a tunnel, by its name.
    pub fn tunnel(&self, name: &str) -> Result<TunnelCounters> {
        serde_json::from_value(self.tunnel_status(name)?).context("counters of a tunnel")
    }

    /// All that the status says of a tunnel, by its name.
    pub fn tunnel_status(&self, name: &str) -> Result<Value> {
        find(&self.status()?["tunnels"], name).cloned()
    }

    /// Forgets a tunnel, by its name.
    pub fn remove_tunnel(&mut self, name: &str) {
        let tunnels = &mut self.configuration.tunnels;
        tunnels.retain(|tunnel| tunnel.name != name);
    }

    /// All warnings of the status.
    pub fn warnings(&self) -> Result<Vec<String>> {
        serde_json::from_value(self.status()?["warnings"].clone()).context("the warnings")
    }

    /// The first warning that contains some words.
    pub fn warning(&self, words: &str) -> Result<Option<String>> {
        let mut warnings = self.warnings()?.into_iter();
        Ok(warnings.find(|warning| warning.contains(words)))
    }

    /// How an interface is attached: `driver` or `generic`.
    pub fn mode(&self, interface: &str) -> Result<String> {
        let status = self.status()?;
        let mode = &find(&status["interfaces"], interface)?["mode"];
        Ok(mode
            .as_str()
            .with_context(|| format!("{interface} is not attached"))?
            .into())
    }

    /// A host behind this node, on a LAN of its own that `re6st-user` will be told of. The node has its mesh addresses
    /// on the LAN as well and is the way to everything else; the host's addresses end in `::10` and `.10`.
    pub fn lan_host(
        &mut self,
        testbed: &Testbed,
        name: &str,
        interface: &str,
        options: LinkOptions,
    ) -> Result<LanHost> {
        let host = testbed.host(name)?;
        link((&self.host, interface), (&host, "eth0"), options)?;
        let addresses: Vec<&str> = self
            .configuration
            .addresses
            .iter()
            .map(String::as_str)
            .collect();
        add_addresses(&self.host, interface, &addresses)?;
        self.configuration.interfaces.push(interface.into());
        let number = self.number.into();
        let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0x42, number, 0, 0, 0, 0x10);
        let ipv4 = Ipv4Addr::new(10, 42, self.number, 10);
        add_addresses(
            &host,
            "eth0",
            &[&format!("{ipv6}/64"), &format!("{ipv4}/24")],
        )?;
        for address in self.addresses() {
            host.ip(&["route", "add", "default", "via", &address.to_string()])?;
        }
        Ok(LanHost { host, ipv6, ipv4 })
    }

    /// What is pinned in its BPF file system.
    pub fn pins(&self) -> Result<Vec<String>> {
        let names = fs::read_dir(self.host.bpffs())?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>, _>>()?;
        // the kernel may put iterators of its own there (`progs.debug`, `maps.debug`)
        Ok(names
            .into_iter()
            .filter(|name| !name.ends_with(".debug"))
            .collect())
    }
}

/// What came and went through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct TunnelCounters {
    /// Packets accepted from the peer.
    pub received_packets: u64,
    /// Their bytes, without outer headers.
    pub received_bytes: u64,
    /// Packets sent to the peer.
    pub sent_packets: u64,
    /// Their bytes, without outer headers.
    pub sent_bytes: u64,
}

/// A plain host behind a node: it knows nothing of the mesh.
#[derive(Debug)]
pub struct LanHost {
    /// The host; its interface is `eth0`.
    pub host: Host,
    /// Its IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
}

impl LanHost {
    /// Its address of one IP version.
    pub fn address(&self, version: IpVersion) -> IpAddr {
        match version {
            IpVersion::V4 => self.ipv4.into(),
            IpVersion::V6 => self.ipv6.into(),
        }
    }
}

/// The entry of a list in the status that has a name.
fn find<'a>(list: &'a Value, name: &str) -> Result<&'a Value> {
    list.as_array()
        .and_then(|entries| entries.iter().find(|entry| entry["name"] == name))
        .with_context(|| format!("the status has no {name} in {list}"))
}

/// The `re6st-user` command, which was built with the test or the demo that is running.
pub fn re6st_user() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("re6st-user"))
        .find(|path| path.is_file());
    path.with_context(|| {
        format!(
            "no re6st-user beside {}: build it with the same profile (`cargo xtask` does)",
            own.display()
        )
    })
}

/// The IPv6 mesh address of node `number`.
pub fn mesh_ipv6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x42, number.into(), 0, 0, 0, 1)
}

/// The IPv4 mesh address of node `number`.
pub fn mesh_ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 42, number, 1)
}

/// Joins two nodes by a tunnel, each side named after the other.
pub fn tunnel(a: &mut Node, b: &mut Node, kind: TunnelKind) -> Result<()> {
    tunnel_with_mtu(a, b, kind, None)
}

/// The same, with an MTU.
pub fn tunnel_with_mtu(
    a: &mut Node,
    b: &mut Node,
    kind: TunnelKind,
    mtu: Option<u16>,
) -> Result<()> {
    ensure!(
        a.number < 16 && b.number < 16,
        "keys are made of the nodes' numbers"
    );
    let (encap, version) = kind;
    let key =
        |from: &Node, to: &Node| 0x5ec0_0000 | u32::from(from.number) << 4 | u32::from(to.number);
    let (to_a, to_b) = (key(b, a), key(a, b));
    let port = (encap == Encapsulation::Fou).then_some(4754);
    let side = |remote: &Node, local, remote_key| Tunnel {
        name: remote.host.name().into(),
        remote: remote.uplink.address(version),
        local: None,
        encap,
        port,
        mtu,
        key: Keys {
            local,
            remote: remote_key,
        },
    };
    let (of_a, of_b) = (side(b, to_a, to_b), side(a, to_b, to_a));
    a.configuration.tunnels.push(of_a);
    b.configuration.tunnels.push(of_b);
    Ok(())
}
