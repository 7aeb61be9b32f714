//! The far end of a node's channel, made of our own library: it has a socket and a channel, announces its own prefix, and has
//! no data plane. What would go through its tunnel is somebody else's, as a benchmark's generator.

use std::{
    io, iter, mem,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::unistd::{Pid, gettid};
use re6st_user::{
    babel::{
        message::{Message, NextHop, Update},
        origins,
        quantities::{Interval, Metric, SequenceNumber},
        random::Random,
        wire::{PacketWriter, PushError},
    },
    certificate::{network::Network, node_prefix::NodePrefix},
    channel::{
        ChannelCredentials, Channels, Input, MAX_BABEL_PACKET, Output, Peer, Settings, Tunnel,
    },
    route::RouteKey,
    time::{Now, Time},
};

use super::issuer::wall;
use crate::host::Host;

/// How often what is announced is said again.
const ANNOUNCED: Duration = Duration::from_secs(1);
/// How long it may take until there is a tunnel.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running one. Ends when dropped.
pub struct Speaker {
    tunnels: Mutex<Receiver<Tunnel>>,
    thread_id: Pid,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Speaker {
    /// Speaks from this address of the host's with a peer, which it calls if it knows where that is.
    pub fn start(
        host: &Host,
        own: SocketAddr,
        credentials: ChannelCredentials,
        peer: Peer,
    ) -> Result<Self> {
        Self::start_before(host, own, credentials, peer, &[])
    }

    /// The same, and says that it has routes to these nodes.
    pub fn start_before(
        host: &Host,
        own: SocketAddr,
        credentials: ChannelCredentials,
        peer: Peer,
        others: &[NodePrefix],
    ) -> Result<Self> {
        let settings = Settings {
            port: own.port(),
            ..Settings::default()
        };
        let socket = host
            .enter(|| UdpSocket::bind(own))?
            .with_context(|| format!("a socket on {own}"))?;
        let (end, ended) = channel();
        let (told, tunnels) = channel();
        let (tell, thread_id) = channel();
        let packets = Packets::new(&credentials, others)?;
        // of each node its own: keys that come again are taken for a replay
        let seed = u64::try_from(credentials.certificate.prefix().number())?;
        let shell = Shell {
            packets,
            channels: Channels::new(settings),
            socket,
            own,
            peer: peer.node,
            random: Random::new(seed),
            begin: Instant::now(),
            told,
            connected: false,
        };
        let thread = thread::spawn(move || {
            tell.send(gettid()).ok();
            shell.run(credentials, peer, &ended)
        });
        Ok(Self {
            tunnels: Mutex::new(tunnels),
            thread_id: thread_id.recv()?,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The thread that speaks.
    pub const fn thread_id(&self) -> Pid {
        self.thread_id
    }

    /// Whether a tunnel was made since this was asked last.
    pub fn has_tunnel(&self) -> bool {
        let tunnels = self.tunnels.lock();
        tunnels.is_ok_and(|tunnels| tunnels.try_recv().is_ok())
    }

    /// Waits for its tunnel.
    pub fn tunnel(&self) -> Result<Tunnel> {
        let tunnels = self
            .tunnels
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        tunnels.recv_timeout(PATIENCE).context("no channel came up")
    }

    /// Fails if the tunnel's keys have changed since, or it has ended.
    pub fn check(&self, tunnel: &Tunnel) -> Result<()> {
        let tunnels = self
            .tunnels
            .lock()
            .map_err(|_| anyhow!("a thread panicked"))?;
        let changed = tunnels.try_iter().find(|now| {
            now.send != tunnel.send || !tunnel.accept.iter().any(|key| now.accept.contains(key))
        });
        let ended = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        match changed {
            Some(now) => bail!("the tunnel has changed: {now:?}"),
            None if ended => bail!("the channel has ended"),
            None => Ok(()),
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("warning: a channel's far end ended early: {error:#}");
        }
    }
}

struct Shell {
    packets: Packets,
    channels: Channels,
    socket: UdpSocket,
    own: SocketAddr,
    peer: NodePrefix,
    random: Random,
    begin: Instant,
    told: Sender<Tunnel>,
    connected: bool,
}

impl Shell {
    fn run(
        mut self,
        credentials: ChannelCredentials,
        peer: Peer,
        ended: &Receiver<()>,
    ) -> Result<()> {
        self.handle(Input::Credentials(Box::new(credentials)))?;
        self.handle(Input::Peers(vec![peer]))?;
        let mut buffer = vec![0; 1 << 16];
        let mut announced = None;
        while ended.try_recv() == Err(TryRecvError::Empty) {
            let due = self.channels.next_deadline();
            let left = due.map_or(ANNOUNCED, |due| due.since(self.now()));
            let left = left.clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    // the first octet of GRE is another
                    if bytes.first().is_some_and(|kind| (1..=4).contains(kind)) {
                        self.datagram(from, bytes)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.handle(Input::Time)?;
                }
                Err(error) => return Err(error).context("receiving"),
            }
            let due = announced.is_none_or(|at: Instant| at.elapsed() >= ANNOUNCED);
            if self.connected && due {
                self.announce()?;
                announced = Some(Instant::now());
            }
        }
        // which closes the channel, as it should
        self.handle(Input::ShutDown).ok();
        Ok(())
    }

    fn now(&self) -> Time {
        Time(self.begin.elapsed().as_micros() as u64)
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<()> {
        let to = self.own.ip();
        self.handle(Input::Datagram { from, to, bytes })
    }

    fn announce(&mut self) -> Result<()> {
        for packet in self.packets.next()? {
            self.handle(Input::Babel {
                peer: self.peer,
                unicast: false,
                packet: &packet,
            })?;
        }
        Ok(())
    }

    fn handle(&mut self, input: Input<'_>) -> Result<()> {
        let now = Now {
            elapsed: self.now(),
            wall: wall()?,
        };
        let mut outputs = Vec::new();
        let random = &mut self.random;
        let mut fill = |octets: &mut [u8]| octets.fill_with(|| random.next() as u8);
        self.channels.handle(now, input, &mut fill, &mut outputs);
        for output in outputs {
            match output {
                Output::Send { to, bytes, .. } => {
                    // the network may lose packets
                    self.socket.send_to(&bytes, to).ok();
                }
                Output::Tunnel { tunnel, .. } => {
                    self.connected = true;
                    self.told.send(tunnel).ok();
                }
                Output::Closed { why, .. } => bail!("the channel was closed: {why}"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is said of the own prefix and those of others, over and over.
struct Packets {
    source: Ipv6Addr,
    updates: Vec<Update>,
    sequence_number: u16,
}

/// Of everything that is announced, in hundredths of a second: long, because a busy machine may delay us.
const INTERVAL: Interval = Interval(1_000);

impl Packets {
    fn new(credentials: &ChannelCredentials, others: &[NodePrefix]) -> Result<Self> {
        let node = credentials.certificate.prefix();
        let network: Network = credentials.authorities.network();
        // what the node takes us for: length and number of our name
        let low = u64::from(node.length()) << 56 | u64::try_from(node.number())?;
        let source = Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(low));
        let update = |node: &NodePrefix| {
            let prefix = node.subnet(&network).context("no prefix")?;
            Ok(Update {
                route: RouteKey::new(prefix.into(), None)?,
                router_id: origins::router_id_of(node, 0),
                sequence_number: SequenceNumber(1),
                metric: Metric::ZERO,
                interval: INTERVAL,
                next_hop: Some(NextHop::Ipv6(source)),
            })
        };
        Ok(Self {
            source,
            updates: iter::once(&node)
                .chain(others)
                .map(update)
                .collect::<Result<_>>()?,
            sequence_number: 0,
        })
    }

    fn next(&mut self) -> Result<Vec<Vec<u8>>> {
        self.sequence_number = self.sequence_number.wrapping_add(1);
        let greetings = [
            Message::Hello {
                unicast: false,
                sequence_number: SequenceNumber(self.sequence_number),
                interval: INTERVAL,
                timestamp: None,
            },
            Message::IHeardYou {
                address: None,
                reception_cost: Metric(96),
                interval: INTERVAL,
                timestamps: None,
            },
        ];
        let updates = self.updates.iter().cloned().map(Message::Update);
        let mut writer = PacketWriter::new(MAX_BABEL_PACKET, self.source);
        let mut packets = Vec::new();
        for message in greetings.into_iter().chain(updates) {
            if writer.push(&message) == Err(PushError::Full) {
                let next = PacketWriter::new(MAX_BABEL_PACKET, self.source);
                packets.push(mem::replace(&mut writer, next).finish());
                writer.push(&message).context("writing an announcement")?;
            }
        }
        packets.push(writer.finish());
        Ok(packets)
    }
}
