//! Babel's packets out of and into sockets: which interface of the speaker a packet belongs to, and its MAC.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::{
    babel::{
        authentication::{Algorithm, Authentication, Key, KeyError, Keys},
        input::{Input, InterfaceId},
        output::{GROUP, OutgoingPacket, PORT},
    },
    config::{Encapsulation, MacAlgorithm, Tunnel},
    dataplane::bpf::resolve::ResolvedTunnel,
    io::{
        datagram::{Datagram, Socket},
        netlink::link::Interface,
        random,
    },
    membership::mac_keys::NetworkMacKeys,
    node::{encapsulation, lan::Own},
    time::Time,
};

/// Packets taken from one socket in one turn.
const BATCH: usize = 256;
/// For how long somebody that has our address is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Tunnels' numbers begin here; interface indexes of the kernel stay below.
const TUNNELS: u32 = 1 << 31;

/// The speaker's number of a tunnel.
pub const fn tunnel_id(next_hop: u32) -> InterfaceId {
    InterfaceId(TUNNELS | next_hop)
}

/// What tunnels share a socket by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Carried {
    /// UDP, of both IP versions.
    Fou,
    /// IP protocol 47 over IPv4.
    Gre4,
    /// The same over IPv6.
    Gre6,
}

impl Carried {
    fn by(tunnel: &Tunnel) -> Self {
        match (tunnel.encapsulation, tunnel.remote) {
            (Encapsulation::Fou, _) => Self::Fou,
            (Encapsulation::Gre, IpAddr::V4(_)) => Self::Gre4,
            (Encapsulation::Gre, IpAddr::V6(_)) => Self::Gre6,
        }
    }
}

/// A tunnel.
#[derive(Debug)]
pub struct OpenTunnel {
    /// The tunnel.
    pub resolved: ResolvedTunnel,
    /// Our address inside.
    pub link_local: Ipv6Addr,
}

/// A packet of a channel.
#[derive(Debug)]
pub struct ChannelDatagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of ours that it was sent to.
    pub to: IpAddr,
    /// Without IP and UDP headers.
    pub bytes: Vec<u8>,
}

/// A plain interface.
#[derive(Debug)]
pub struct OpenLan {
    /// Its name in the configuration.
    pub name: String,
    /// Our addresses there.
    pub own: Own,
    /// Where packets come in.
    pub socket: Socket,
    authentication: Option<Authentication>,
    /// Whether what authentication refuses is taken all the same.
    accept_anything: bool,
}

impl OpenLan {
    fn set_mac(&mut self, mac: &NetworkMacKeys) -> Result<(), KeyError> {
        let keys = keys(mac)?;
        self.accept_anything = mac.accept_anything;
        match &mut self.authentication {
            _ if mac.keys.is_empty() => self.authentication = None,
            Some(authentication) => authentication.set_keys(keys),
            None => {
                self.authentication = Some(Authentication::new(keys, &mut random::fill));
            }
        }
        Ok(())
    }
}

/// All sockets.
#[derive(Debug)]
pub struct Transport {
    /// Of the tunnels' packets.
    pub carriers: Vec<Socket>,
    /// What each of them carries.
    carried: Vec<Carried>,
    /// By the speaker's number.
    pub tunnels: BTreeMap<InterfaceId, OpenTunnel>,
    /// By the speaker's number.
    pub lans: BTreeMap<InterfaceId, OpenLan>,
    /// Tunnels of the file by the key we accept. Babel's packets of peers come through channels alone.
    by_key: HashMap<u32, InterfaceId>,
    port: u16,
    /// All link-local addresses that we have on an interface.
    addresses: BTreeMap<InterfaceId, Vec<Ipv6Addr>>,
    /// Who has one of these too, and when it was last heard.
    impostors: BTreeMap<(InterfaceId, Ipv6Addr), Time>,
    /// What was refused or failed, by reason.
    pub counters: BTreeMap<String, u64>,
    /// Whether this node has channels.
    channels: bool,
    /// Packets of channels.
    pub arrived: Vec<ChannelDatagram>,
}

impl Transport {
    /// Opens the sockets that the tunnels of a configuration need. `channels`: and those of channels.
    pub fn new(port: u16, tunnels: &[Tunnel], channels: bool) -> io::Result<Self> {
        let mut transport = Self {
            carriers: Vec::new(),
            carried: Vec::new(),
            tunnels: BTreeMap::new(),
            lans: BTreeMap::new(),
            by_key: HashMap::new(),
            port,
            addresses: BTreeMap::new(),
            impostors: BTreeMap::new(),
            counters: BTreeMap::new(),
            channels,
            arrived: Vec::new(),
        };
        transport.open(channels.then_some(Carried::Fou).into_iter().collect())?;
        transport.open_carriers(tunnels)?;
        Ok(transport)
    }

    /// Opens the sockets that these tunnels need as well.
    pub fn open_carriers(&mut self, tunnels: &[Tunnel]) -> io::Result<()> {
        self.open(tunnels.iter().map(Carried::by).collect())
    }

    fn open(&mut self, needed: BTreeSet<Carried>) -> io::Result<()> {
        for carried in needed {
            if self.carried.contains(&carried) {
                continue;
            }
            let port = self.port;
            let socket = match carried {
                Carried::Fou => Socket::fou(port).map_err(|error| {
                    io::Error::new(error.kind(), format!("UDP port {port}: {error}"))
                }),
                Carried::Gre4 => Socket::gre(true),
                Carried::Gre6 => Socket::gre(false),
            };
            self.carriers.push(socket?);
            self.carried.push(carried);
        }
        Ok(())
    }

    /// Which tunnels are used from now on; returns those of before.
    pub fn set_tunnels(
        &mut self,
        tunnels: BTreeMap<InterfaceId, OpenTunnel>,
    ) -> BTreeMap<InterfaceId, OpenTunnel> {
        let in_clear = tunnels
            .iter()
            .filter(|(_, link)| !link.resolved.tunnel.of_peer);
        let keys = in_clear.map(|(id, link)| (link.resolved.tunnel.keys.local, *id));
        self.by_key = keys.collect();
        std::mem::replace(&mut self.tunnels, tunnels)
    }

    /// Begins on a tunnel that was opened.
    pub fn add_tunnel(&mut self, id: InterfaceId, link: OpenTunnel) {
        if !link.resolved.tunnel.of_peer {
            self.by_key.insert(link.resolved.tunnel.keys.local, id);
        }
        self.tunnels.insert(id, link);
    }

    /// Ends on a tunnel that is to be closed.
    pub fn remove_tunnel(&mut self, id: InterfaceId) {
        if let Some(link) = self.tunnels.remove(&id)
            && !link.resolved.tunnel.of_peer
        {
            self.by_key.remove(&link.resolved.tunnel.keys.local);
        }
    }

    /// Begins on a plain interface. `name`: as configured; the kernel may have another for it.
    pub fn add_lan(
        &mut self,
        name: &str,
        interface: &Interface,
        own: Own,
        mac: &NetworkMacKeys,
    ) -> io::Result<()> {
        let mut link = OpenLan {
            name: name.to_owned(),
            own,
            socket: Socket::link(&interface.name, interface.index, GROUP, PORT)?,
            authentication: None,
            accept_anything: false,
        };
        link.set_mac(mac).map_err(io::Error::other)?;
        self.lans.insert(InterfaceId(interface.index), link);
        Ok(())
    }

    /// Changes the keys on all plain interfaces. Who was known stays known.
    pub fn set_mac(&mut self, mac: &NetworkMacKeys) -> Result<(), KeyError> {
        self.lans
            .values_mut()
            .try_for_each(|link| link.set_mac(mac))
    }

    /// How many octets of a packet authentication needs on a plain interface.
    pub fn overhead(&self, interface: InterfaceId) -> usize {
        let link = self.lans.get(&interface);
        let authentication = link.and_then(|link| link.authentication.as_ref());
        authentication.map_or(0, Authentication::overhead)
    }

    /// An interface's name.
    pub fn name(&self, interface: InterfaceId) -> &str {
        let tunnel = || Some(&self.tunnels.get(&interface)?.resolved.tunnel.name);
        let lan = || Some(&self.lans.get(&interface)?.name);
        tunnel().or_else(lan).map_or("", String::as_str)
    }

    /// We have these link-local addresses on an interface from now on.
    pub fn set_addresses(&mut self, interface: InterfaceId, addresses: Vec<Ipv6Addr>) {
        self.addresses.insert(interface, addresses);
    }

    /// One of our addresses on an interface that somebody else has too.
    pub fn shared_address(&self, now: Time, interface: InterfaceId) -> Option<Ipv6Addr> {
        let mut ours = self.addresses.get(&interface)?.iter().copied();
        ours.find(|address| self.is_shared(now, interface, *address))
    }

    /// Whether somebody else was heard lately that has this address on the link.
    pub fn is_shared(&self, now: Time, interface: InterfaceId, address: Ipv6Addr) -> bool {
        let heard = self.impostors.get(&(interface, address));
        heard.is_some_and(|heard| now.since(*heard) < REMEMBERED)
    }

    /// Sends what the speaker wants sent.
    ///
    /// # Errors
    /// Why it was not; that is counted.
    pub fn send(
        &mut self,
        now: Time,
        interface: InterfaceId,
        destination: Ipv6Addr,
        packet: OutgoingPacket,
    ) -> io::Result<()> {
        let bytes = packet.stamped(now);
        let outcome = if let Some(link) = self.tunnels.get(&interface) {
            self.send_through(link, destination, &bytes)
        } else {
            self.send_signed(interface, destination, bytes)
        };
        if let Err(error) = &outcome {
            self.count(format!("not sent: {error}"));
        }
        outcome
    }

    /// Sends a packet of a channel, from an address of ours if the peer knows one.
    ///
    /// # Errors
    /// Why it was not; that is counted.
    pub fn send_channel(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let outcome = self
            .carrier(Carried::Fou)
            .and_then(|socket| socket.send(bytes, from.unwrap_or(any), to.ip(), to.port(), 0));
        if let Err(error) = &outcome {
            self.count(format!("channel packet not sent: {error}"));
        }
        outcome
    }

    fn carrier(&self, carried: Carried) -> io::Result<&Socket> {
        let place = self.carried.iter().position(|kind| *kind == carried);
        place
            .and_then(|place| self.carriers.get(place))
            .ok_or_else(|| io::Error::other("no socket"))
    }

    fn send_through(
        &self,
        link: &OpenTunnel,
        destination: Ipv6Addr,
        bytes: &[u8],
    ) -> io::Result<()> {
        let tunnel = &link.resolved.tunnel;
        let bytes = encapsulation::build(tunnel.keys.remote, link.link_local, destination, bytes)
            .ok_or_else(|| io::Error::other("too long"))?;
        let carried = Carried::by(tunnel);
        let port = match carried {
            Carried::Fou => self.port,
            Carried::Gre4 | Carried::Gre6 => 0,
        };
        let socket = self.carrier(carried)?;
        socket.send(&bytes, link.resolved.local, tunnel.remote, port, 0)
    }

    fn send_signed(
        &mut self,
        interface: InterfaceId,
        destination: Ipv6Addr,
        mut bytes: Vec<u8>,
    ) -> io::Result<()> {
        let Some(link) = self.lans.get_mut(&interface) else {
            return Ok(());
        };
        if let Some(authentication) = &mut link.authentication {
            authentication
                .sign(
                    &mut bytes,
                    link.own.link_local,
                    destination,
                    &mut random::fill,
                )
                .map_err(|_| io::Error::other("not a packet"))?;
        }
        let source = link.own.link_local.into();
        link.socket
            .send(&bytes, source, destination.into(), PORT, interface.0)
    }

    /// Takes what has come through tunnels by one socket, or the first of it.
    pub fn receive_through(&mut self, carrier: usize, now: Time, inputs: &mut Vec<Input>) {
        let mut refused = Vec::new();
        let Some(socket) = self.carriers.get_mut(carrier) else {
            return;
        };
        for _ in 0..BATCH {
            let datagram = match socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(_) => {
                    refused.push("receive-error".to_owned());
                    continue;
                }
            };
            if self.channels && is_of_channel(&datagram) {
                self.arrived.push(ChannelDatagram {
                    from: SocketAddr::new(datagram.source, datagram.port),
                    to: datagram.destination,
                    bytes: datagram.bytes.to_vec(),
                });
                continue;
            }
            let inner = match encapsulation::parse(datagram.bytes) {
                Ok(inner) => inner,
                Err(reason) => {
                    refused.push(reason.to_string());
                    continue;
                }
            };
            let Some((interface, link)) = self
                .by_key
                .get(&inner.key)
                .and_then(|id| Some((*id, self.tunnels.get(id)?)))
            else {
                refused.push("unknown key".to_owned());
                continue;
            };
            let peer = &link.resolved;
            if (datagram.source, datagram.destination) != (peer.tunnel.remote, peer.local) {
                refused.push("wrong peer".to_owned());
                continue;
            }
            // where the data plane does not take the tunnel's packets, a neighbour would be one that loses all
            if datagram.interface != peer.route_interface {
                refused.push("wrong interface".to_owned());
                continue;
            }
            inputs.push(Input::Received {
                interface,
                source: inner.source,
                destination: inner.destination,
                bytes: inner.payload.to_vec(),
                received_at: now,
            });
        }
        refused.into_iter().for_each(|reason| self.count(reason));
    }

    /// Takes what has come on a plain interface, or the first of it. Whether somebody was heard, for the first time since
    /// long, that has an address of ours there.
    pub fn receive_lan(
        &mut self,
        interface: InterfaceId,
        now: Time,
        inputs: &mut Vec<Input>,
    ) -> bool {
        let mut refused = Vec::new();
        let mut answers = Vec::new();
        let mut shared = false;
        let Some(link) = self.lans.get_mut(&interface) else {
            return false;
        };
        for _ in 0..BATCH {
            let datagram = match link.socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(_) => {
                    refused.push("receive-error".to_owned());
                    continue;
                }
            };
            let (IpAddr::V6(source), IpAddr::V6(destination)) =
                (datagram.source, datagram.destination)
            else {
                continue;
            };
            if !source.is_unicast_link_local() || datagram.port != PORT {
                refused.push("not link-local, or from another port".to_owned());
                continue;
            }
            let ours = self.addresses.get(&interface);
            if ours.is_some_and(|ours| ours.contains(&source)) {
                refused.push("from our own address".to_owned());
                // what we send to somebody that has an address of ours comes back to us
                if destination == GROUP {
                    let before = self.impostors.insert((interface, source), now);
                    shared |= before.is_none_or(|heard| now.since(heard) >= REMEMBERED);
                }
                continue;
            }
            if let Some(authentication) = &mut link.authentication {
                let verdict = authentication.verify(
                    now,
                    datagram.bytes,
                    source,
                    destination,
                    &mut random::fill,
                );
                answers.extend(verdict.answer.map(|answer| (source, answer)));
                if let Err(reason) = verdict.accepted {
                    refused.push(reason.to_string());
                    if !link.accept_anything {
                        continue;
                    }
                }
            }
            inputs.push(Input::Received {
                interface,
                source,
                destination,
                bytes: datagram.bytes.to_vec(),
                received_at: now,
            });
        }
        for (to, answer) in answers {
            if let Err(error) = self.send_signed(interface, to, answer) {
                self.count(format!("not sent: {error}"));
            }
        }
        refused.into_iter().for_each(|reason| self.count(reason));
        shared
    }

    /// Something was refused or failed.
    pub fn count(&mut self, reason: impl Into<String>) {
        *self.counters.entry(reason.into()).or_default() += 1;
    }
}

/// No GRE header begins like that. Without UDP there is no port.
fn is_of_channel(datagram: &Datagram<'_>) -> bool {
    matches!(datagram.bytes.first(), Some(1..=0x1f)) && datagram.port != 0
}

fn keys(mac: &NetworkMacKeys) -> Result<Keys, KeyError> {
    let mut keys = Keys::default();
    for mac in &mac.keys {
        let algorithm = match mac.algorithm {
            MacAlgorithm::Blake2s128 => Algorithm::Blake2s128,
            MacAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        };
        let key = Key::new(algorithm, &mac.key)?;
        if !mac.accept_only {
            keys.sign.push(key.clone());
        }
        keys.accept.push(key);
    }
    Ok(keys)
}
