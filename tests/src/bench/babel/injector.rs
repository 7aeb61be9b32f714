//! A router made of our own library that stands for a whole network: it knows any number of routes, announces them to
//! its neighbours, and learns a new one on command.
//!
//! Towards the link it is a complete speaker. What it announces comes from a second interface that exists only here, on
//! which a scripted neighbour said everything at the beginning: so the routes may be of as many routers as one likes.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::AsFd as _,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv6Net;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{setsockopt, sockopt},
};
use re6st_user::time::Time;
use re6st_user::{
    babel::{
        input::{Input, InterfaceId, Restored},
        message::{Message, NextHop, Update},
        output::{GROUP, Output, PORT},
        quantities::{Interval, Metric, RouterId, SequenceNumber},
        settings::{InterfaceKind, InterfaceSettings, Settings},
        speaker::Speaker,
        wire::{PacketWriter, PushError},
    },
    route::RouteKey,
};

use crate::{bench::chain, cleanup::wait_until, daemon::Intervals, host::Host};

/// The interface that exists.
const LINK: InterfaceId = InterfaceId(1);
/// The one that does not.
const BEHIND: InterfaceId = InterfaceId(2);
/// The scripted neighbour there, and we.
const ORIGIN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1);
const OWN_BEHIND: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 2);
/// Octets of its packets.
const PACKET: usize = 1400;
/// Bytes of a socket's receive buffer.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Packets taken from a socket at a time.
const BATCH: usize = 64;

/// Of how many routers the routes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origins {
    /// All of one.
    One,
    /// Each of its own.
    Each,
}

/// The running router. Ends when dropped.
#[derive(Debug)]
pub struct Injector {
    commands: Option<Sender<Ipv6Net>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Injector {
    /// Announces the [prefixes](prefix) `0..count` on an interface, from now on.
    pub fn start(
        host: &Host,
        interface: &str,
        count: u16,
        origins: Origins,
        intervals: Intervals,
    ) -> Result<Self> {
        let sockets = Sockets::open(host, interface)?;
        let (commands, orders) = channel();
        let thread =
            thread::spawn(move || Shell::new(sockets, intervals)?.run(count, origins, &orders));
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Announces one more prefix, at once.
    pub fn announce(&self, prefix: Ipv6Net) -> Result<()> {
        self.commands
            .as_ref()
            .and_then(|commands| commands.send(prefix).ok())
            .context("the injector has ended")
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("warning: the injector ended early: {error:#}");
        }
    }
}

/// Prefix number `number` of those announced: one /64 of the mesh's /48, behind those of the routers.
pub fn prefix(number: u16) -> Result<Ipv6Net> {
    const FIRST: u16 = 0x1000;
    let number = FIRST.checked_add(number).context("too many prefixes")?;
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0x42, number, 0, 0, 0, 0);
    Ok(Ipv6Net::new(address, 64)?)
}

/// One socket for what is sent to all, one for what is sent to us and for sending.
struct Sockets {
    group: UdpSocket,
    own: UdpSocket,
    address: Ipv6Addr,
    index: u32,
}

impl Sockets {
    fn open(host: &Host, interface: &str) -> Result<Self> {
        let index = chain::index(host, interface)?;
        let address = link_local(host, interface)?;
        let (group, own) = host.enter(|| {
            let bind = |address| UdpSocket::bind(SocketAddrV6::new(address, PORT, 0, index));
            let mut own = bind(address);
            // a young address is not usable for a moment
            wait_until(Duration::from_secs(2), || {
                if own.is_err() {
                    own = bind(address);
                }
                own.is_ok()
            });
            let (group, own) = (bind(GROUP)?, own?);
            group.join_multicast_v6(&GROUP, index)?;
            for socket in [&group, &own] {
                setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)?;
                socket.set_nonblocking(true)?;
            }
            own.set_multicast_loop_v6(false)?;
            setsockopt(&own, sockopt::Ipv6MulticastHops, &1)?;
            setsockopt(&own, sockopt::Ipv6Ttl, &1)?;
            Ok::<_, io::Error>((group, own))
        })??;
        Ok(Self {
            group,
            own,
            address,
            index,
        })
    }

    fn wait(&self, timeout: Duration) -> Result<()> {
        let milliseconds = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        let mut readable =
            [&self.group, &self.own].map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        poll(&mut readable, PollTimeout::from(milliseconds))?;
        Ok(())
    }
}

fn link_local(host: &Host, interface: &str) -> Result<Ipv6Addr> {
    let mut found = None;
    wait_until(Duration::from_secs(2), || {
        let arguments = ["-6", "address", "show", "dev", interface, "scope", "link"];
        found = host.ip_json(&arguments).ok().and_then(|shown| {
            let text = shown[0]["addr_info"][0]["local"].as_str()?;
            text.parse().ok()
        });
        found.is_some()
    });
    found.with_context(|| format!("{interface} has no link-local address"))
}

/// What a speaker needs around it.
struct Shell {
    sockets: Sockets,
    speaker: Speaker,
    outputs: Vec<Output>,
    begin: Instant,
}

impl Shell {
    fn new(sockets: Sockets, intervals: Intervals) -> Result<Self> {
        let begin = Instant::now();
        let index = sockets.address.to_bits() as u64;
        let router_id = RouterId::new(index.to_be_bytes())
            .context("an address without interface identifier")?;
        let speaker = Speaker::new(
            Time(0),
            Settings::new(router_id),
            &Restored::default(),
            index,
        );
        let mut shell = Self {
            sockets,
            speaker,
            outputs: Vec::new(),
            begin,
        };
        for (interface, address) in [(BEHIND, OWN_BEHIND), (LINK, shell.sockets.address)] {
            let mut settings = InterfaceSettings::new(InterfaceKind::Lan, address);
            settings.hello_interval = intervals.hello;
            settings.update_interval = intervals.update;
            settings.mtu = 1500;
            shell.handle(Input::Interface {
                interface,
                settings: Box::new(settings),
            });
        }
        Ok(shell)
    }

    fn run(mut self, count: u16, origins: Origins, orders: &Receiver<Ipv6Net>) -> Result<()> {
        for packet in script(count, origins)? {
            self.receive(BEHIND, ORIGIN, OWN_BEHIND, packet);
        }
        loop {
            match orders.try_recv() {
                Ok(prefix) => self.handle(Input::Announce {
                    route: RouteKey::new(prefix.into(), None)?,
                    metric: Metric::ZERO,
                }),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            let due = self.speaker.next_deadline();
            let left = due.map_or(Duration::MAX, |due| due.since(self.now()));
            // a command waits for no packet
            self.sockets.wait(left.min(Duration::from_millis(5)))?;
            self.drain()?;
            self.handle(Input::Time);
        }
    }

    fn now(&self) -> Time {
        Time(self.begin.elapsed().as_micros() as u64)
    }

    fn drain(&mut self) -> Result<()> {
        let mut buffer = vec![0; 1 << 16];
        for destination in [GROUP, self.sockets.address] {
            for _ in 0..BATCH {
                let socket = match destination {
                    GROUP => &self.sockets.group,
                    _ => &self.sockets.own,
                };
                match socket.recv_from(&mut buffer) {
                    Ok((length, SocketAddr::V6(source))) if source.port() == PORT => {
                        let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                        self.receive(LINK, *source.ip(), destination, bytes);
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error).context("receiving"),
                }
            }
        }
        Ok(())
    }

    fn receive(
        &mut self,
        interface: InterfaceId,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        bytes: Vec<u8>,
    ) {
        let received_at = self.now();
        self.handle(Input::Received {
            interface,
            source,
            destination,
            bytes,
            received_at,
        });
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        self.speaker.handle(now, input, &mut self.outputs);
        for output in self.outputs.drain(..) {
            let Output::Send {
                interface: LINK,
                destination,
                packet,
            } = output
            else {
                continue;
            };
            let to = SocketAddrV6::new(destination, PORT, 0, self.sockets.index);
            // a link that is down loses packets, and so does a full one
            self.sockets.own.send_to(&packet.bytes, to).ok();
        }
    }
}

/// What the neighbour behind says: that it is there, for longer than any benchmark, and its routes, which never expire.
fn script(count: u16, origins: Origins) -> Result<Vec<Vec<u8>>> {
    const FOREVER: Interval = Interval(u16::MAX - 1);
    let mut messages = Vec::new();
    for number in 0..3 {
        messages.push(Message::Hello {
            unicast: false,
            sequence_number: SequenceNumber(number),
            interval: FOREVER,
            timestamp: None,
        });
    }
    messages.push(Message::IHeardYou {
        address: None,
        reception_cost: Metric(96),
        interval: FOREVER,
        timestamps: None,
    });
    for number in 0..count {
        let router_id = match origins {
            Origins::One => router_id(0)?,
            Origins::Each => router_id(number)?,
        };
        messages.push(Message::Update(Update {
            route: RouteKey::new(prefix(number)?.into(), None)?,
            router_id: Some(router_id),
            sequence_number: SequenceNumber(1),
            metric: Metric::ZERO,
            interval: Interval::INFINITE,
            next_hop: Some(NextHop::Ipv6(ORIGIN)),
        }));
    }
    packets(&messages)
}

fn router_id(number: u16) -> Result<RouterId> {
    let octets = (0x0200_0000_0001_0000 | u64::from(number)).to_be_bytes();
    RouterId::new(octets).context("a reserved router-id")
}

fn packets(messages: &[Message]) -> Result<Vec<Vec<u8>>> {
    let mut packets = Vec::new();
    let mut writer = PacketWriter::new(PACKET, ORIGIN);
    for message in messages {
        let mut result = writer.push(message);
        if result == Err(PushError::Full) {
            packets
                .push(std::mem::replace(&mut writer, PacketWriter::new(PACKET, ORIGIN)).finish());
            result = writer.push(message);
        }
        result.context("writing what the injector announces")?;
    }
    packets.push(writer.finish());
    ensure!(!packets.is_empty(), "nothing to announce");
    Ok(packets)
}
