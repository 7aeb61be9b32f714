//! What is measured side by side: ways to relay packets, each on a chain of its own.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;

use super::{
    chain::{self, Chain, FIRST, SECOND, SECOND_IPV6, index, mac},
    channel::{self, Open},
    core,
    frames::{self, Arrival, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, HOP_LIMIT, Hop, IPV4, NETWORK},
    kernel::{Generator, Redirect, Sink},
    openvpn, relay_node,
};
use crate::{host::Testbed, process::Process};

/// A way to relay packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A bare XDP redirect.
    Floor,
    /// Our programs, as `re6st-user load` sets them up, with so many routes.
    Re6st(u32),
    /// The same, run by `re6st-user node`, with channels to both neighbours, which tell it where to send packets.
    Channel,
    /// The kernel forwards IPv6, without any tunnel.
    Forwarding,
    /// The kernel forwards between two VXLAN devices.
    Vxlan,
    /// The kernel forwards between two OpenVPN processes, which do not encrypt.
    Openvpn,
}

/// Who polls the relay's interfaces (NAPI).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polling {
    /// A thread on the relay's own core.
    OwnCore,
    /// Whoever sends: no thread has to be woken up, which would take longer than forwarding a packet.
    Sender,
}

/// A relay on its chain, with the packets it gets.
pub struct Contender {
    /// What it is.
    pub kind: Kind,
    /// Sends.
    pub generator: Generator,
    /// Counts.
    pub sink: Sink,
    /// What of the relay takes time.
    pub threads: Vec<Pid>,
    /// How packets look at the generator.
    frame: Frame,
    /// How they must look at the sink.
    arrival: Arrival,
    _redirect: Option<Redirect>,
    // closed before the node at their other end goes
    channels: Vec<Open>,
    processes: Vec<Process>,
    /// The hosts. Last, so that they are dropped last.
    pub chain: Chain,
}

/// What a kind needs on its chain.
pub struct Setup {
    /// What the generator sends.
    frame: Frame,
    /// What arrives at the sink.
    arrival: Arrival,
    redirect: Option<Redirect>,
    /// All processes.
    pub processes: Vec<Process>,
    /// What of the relay takes time.
    pub threads: Vec<Pid>,
    /// The number of the first destination, and how many there are.
    pub destinations: (u32, u32),
    /// What channels have to be there all the time.
    pub channels: Vec<Open>,
}

impl Setup {
    /// We relay from tunnel to tunnel, to few destinations.
    pub fn tunnels(frame: Frame, arrives: Frame) -> Self {
        // the source port is the flow's hash; no checksum covers it
        let source_port = frames::ETHERNET + IPV4;
        let free = std::iter::once(source_port..source_port + 2).collect();
        Self::new(frame, arrives, free)
    }

    /// The kernel alone relays, to few destinations. What of a frame's front may be anything is `free`.
    pub fn new(frame: Frame, arrives: Frame, free: Vec<Range<usize>>) -> Self {
        Self {
            frame,
            arrival: Arrival {
                frame: arrives,
                free,
                hop_limit: HOP_LIMIT - 1,
            },
            redirect: None,
            processes: Vec::new(),
            threads: Vec::new(),
            destinations: (1, FEW),
            channels: Vec::new(),
        }
    }
}

impl Contender {
    /// Sets one up. `length`: of the inner packet, in bytes.
    pub fn new(testbed: &Testbed, kind: Kind, length: usize, polling: Polling) -> Result<Self> {
        let name = format!("{}{length}", kind.short_name());
        let chain = Chain::build(testbed, &name)?;
        let mut sink = chain.sink.enter(|| Sink::attach(&chain.sink_interface))??;
        let inner = frames::inner(length);
        let Setup {
            frame,
            arrival,
            redirect,
            processes,
            mut threads,
            destinations: (first, destinations),
            channels,
        } = match kind {
            Kind::Floor => floor(&chain, &inner)?,
            Kind::Re6st(routes) => re6st(&chain, &inner, routes)?,
            Kind::Channel => channel::relay(&chain, &inner)?,
            Kind::Forwarding => forwarding(&chain, &inner)?,
            Kind::Vxlan => vxlan(&chain, &inner)?,
            Kind::Openvpn => openvpn::relay(&chain, &inner)?,
        };
        sink.expect(arrival.frame.expected())?;
        let interface = index(&chain.generator, &chain.generator_interface)?;
        let stream = frame.stream(interface, first, destinations);
        let mut generator = Generator::new(stream, frame.bytes.len())?;
        chain.generator.enter(|| generator.attach())??;
        if polling == Polling::OwnCore {
            let pollers = chain.pin()?;
            // the processes of OpenVPN compete with the thread that brings them packets
            if kind != Kind::Openvpn {
                for thread in &pollers {
                    core::favour(&chain.relay, *thread)?;
                }
            }
            threads.extend(pollers);
        }
        Ok(Self {
            kind,
            generator,
            sink,
            threads,
            frame,
            arrival,
            _redirect: redirect,
            processes,
            channels,
            chain,
        })
    }

    /// Fails unless what arrived at the sink is what had to arrive.
    pub fn check(&self) -> Result<()> {
        let said = || {
            let said = self.processes.iter().map(Process::stderr);
            said.collect::<Vec<_>>().join("\n")
        };
        let channels = self.channels.iter().try_for_each(Open::check);
        channels.with_context(said)?;
        let sample = self.sink.sample()?;
        ensure!(
            !sample.is_empty(),
            "nothing arrived through {:?}",
            self.kind
        );
        self.arrival
            .check(&sample)
            .with_context(|| format!("{:?} forwards garbage", self.kind))
    }

    /// Makes the packets carry the time they were sent at, and the sink look at it. Their checksums are wrong then, so
    /// [`Self::check`] does not apply any more.
    pub fn carry_time(&mut self) -> Result<()> {
        self.generator.carry_time(self.frame.time_offset())?;
        let mut expected = self.arrival.frame.expected();
        expected.time_offset = self.arrival.frame.time_offset();
        self.sink.expect(expected)
    }
}

/// Destinations where their number is not what is measured.
pub const FEW: u32 = 10;

impl Kind {
    fn short_name(self) -> String {
        match self {
            Self::Floor => "f".into(),
            Self::Re6st(routes) => format!("r{}", routes % 1000),
            Self::Channel => "n".into(),
            Self::Forwarding => "k".into(),
            Self::Vxlan => "v".into(),
            Self::Openvpn => "o".into(),
        }
    }
}

fn fou_from_generator(inner: &[u8]) -> Frame {
    let key = relay_node::KEY_FROM_GENERATOR;
    Frame::fou(&FIRST, relay_node::PORT, key, inner)
}

fn floor(chain: &Chain, inner: &[u8]) -> Result<Setup> {
    let frame = fou_from_generator(inner);
    let to = index(&chain.relay, &chain.relay_second)?;
    let ethernet = frames::ethernet(&SECOND, ETHERTYPE_IPV4);
    let redirect = chain
        .relay
        .enter(|| Redirect::attach(&chain.relay_first, to, &ethernet))??;
    let mut arrived = frame.clone();
    arrived.bytes[..ethernet.len()].copy_from_slice(&ethernet);
    let mut setup = Setup::new(frame, arrived, Vec::new());
    // the programs of XDP alone change no packet
    setup.arrival.hop_limit = HOP_LIMIT;
    setup.redirect = Some(redirect);
    Ok(setup)
}

fn re6st(chain: &Chain, inner: &[u8], routes: u32) -> Result<Setup> {
    relay_node::load(chain, routes)?;
    let arrived = Frame::fou(&SECOND, relay_node::PORT, relay_node::KEY_TO_SINK, inner);
    Ok(Setup {
        destinations: (1, relay_node::destinations(routes)),
        ..Setup::tunnels(fou_from_generator(inner), arrived)
    })
}

fn forwarding(chain: &Chain, inner: &[u8]) -> Result<Setup> {
    chain
        .relay
        .set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let network = format!("{NETWORK}/48");
    chain
        .relay
        .ip(&["route", "add", &network, "via", SECOND_IPV6[1]])?;
    let [frame, arrives] =
        [FIRST, SECOND].map(|hop| Frame::new(frames::ethernet(&hop, ETHERTYPE_IPV6), inner));
    Ok(Setup::new(frame, arrives, Vec::new()))
}

fn vxlan(chain: &Chain, inner: &[u8]) -> Result<Setup> {
    const PORT: u16 = 4789;
    let encapsulate = |outer: &Hop, number: u8, overlay: &Hop| {
        let ethernet = frames::ethernet(overlay, ETHERTYPE_IPV6);
        let mut front = frames::ipv4_udp(outer, PORT, 8 + ethernet.len() + inner.len());
        front.extend([8, 0, 0, 0, 0, 0, number, 0]);
        front.extend(ethernet);
        Frame::new(front, inner)
    };
    chain
        .relay
        .set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    let overlay_first = Hop {
        to: [2, 0, 0, 0, 3, 2],
        from: [2, 0, 0, 0, 3, 1],
        ..FIRST
    };
    let overlay_second = Hop {
        from: [2, 0, 0, 0, 4, 1],
        to: [2, 0, 0, 0, 4, 2],
        ..SECOND
    };
    let device = |name, number, local, remote, address, own| {
        chain.relay.ip_batch(&format!(
            "link add {name} address {} mtu 1450 type vxlan id {number} local {local} remote {remote} dstport {PORT} noudpcsum
            link set {name} up
            address add {address} dev {name}",
            mac(own)
        ))
    };
    let (ours, theirs) = (FIRST.destination, FIRST.source);
    device("first", 1, ours, theirs, "fd00:3::2/64", &overlay_first.to)?;
    let (ours, theirs, own) = (SECOND.source, SECOND.destination, &overlay_second.from);
    device("second", 2, ours, theirs, "fd00:4::1/64", own)?;
    chain::neighbour((&chain.relay, "second"), "fd00:4::2", &overlay_second.to)?;
    let network = format!("{NETWORK}/48");
    chain
        .relay
        .ip(&["route", "add", &network, "via", "fd00:4::2"])?;
    // the kernel sets "don't fragment" as it likes, and the source port is the flow's hash
    let ip = frames::ETHERNET;
    let free = vec![ip + 4..ip + 8, ip + 10..ip + 12, ip + IPV4..ip + IPV4 + 2];
    let frame = encapsulate(&FIRST, 1, &overlay_first);
    let arrives = encapsulate(&SECOND, 2, &overlay_second);
    Ok(Setup::new(frame, arrives, free))
}
