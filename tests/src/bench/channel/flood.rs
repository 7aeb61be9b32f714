//! Floods of bad handshakes: how many of them a node refuses, and what becomes of others meanwhile.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, PerCpuArray};
use nix::unistd::{Pid, gettid};
use re6st_common::{
    handshake::{self, COOKIE_REPLY, FORMAT_VERSION, INITIATION},
    maps::Handshakes,
    reason::{Reason, ReasonCounters},
};
use re6st_user::{
    certificate::node::NodeCertificate,
    channel::{ChannelCredentials, handshake::mac_key},
    dataplane::bpf::maps::{Maps, reason_sum},
};

use super::{
    PATIENCE,
    member::{Member, Registry, issuer_of},
    speaker::Speaker,
};
use crate::{
    bench::{
        chain::{Chain, FIRST, index, neighbour},
        contender::{Contender, Kind, Polling},
        core::{self, CORE_OF_OTHERS, CORE_OF_RELAY, THIS_THREAD},
        frames::{self, ETHERNET, Frame, IPV4, UDP},
        kernel::{Generator, Sink},
        layout::{Expected, Stream},
        parts::Effort,
        relay_node::PORT,
        report::{Report, Unit},
        throughput::{Flow, Throughput, measure, observe, with_generator},
    },
    cleanup::wait_until,
    host::{Host, Testbed},
    process::Process,
};

/// Octets of an initiation with a certificate, about.
const LENGTH: usize = 700;
/// What fills frames beyond their head.
const FILL: u8 = 0x5a;
/// Its session index.
const INDEX: [u8; 4] = [0, 0, 0, 9];
/// Octets of GRE with a key.
const GRE: usize = 8;
/// Packets a second: more than any generator makes.
const FULL: f64 = 20e6;
/// How long is looked whether packets get through.
const LOOK: Duration = Duration::from_millis(100);
/// The number of the first node that comes in a flood, and the last octet of its address.
const NEWCOMER: (u16, u8) = (0x2000, 10);

/// What is wrong with an initiation.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    /// Its sender does not know the node's public key.
    Mac,
    /// Its sender knows the key, and has shown no cookie.
    Cookie,
}

impl Flaw {
    const ALL: [Self; 2] = [Self::Mac, Self::Cookie];

    const fn name(self) -> &'static str {
        match self {
            Self::Mac => "wrong-mac",
            Self::Cookie => "no-cookie",
        }
    }

    /// What XDP counts.
    const fn reason(self) -> Reason {
        match self {
            Self::Mac => Reason::HandshakeMac,
            Self::Cookie => Reason::HandshakeCookie,
        }
    }

    /// An initiation that the generator sends to a node.
    fn frame(self, node: &NodeCertificate) -> Result<Frame> {
        let key = node.static_key().context("a node without static key")?;
        let mut initiation = vec![FILL; LENGTH];
        let [i0, i1, i2, i3] = INDEX;
        initiation[..8].copy_from_slice(&[INITIATION, FORMAT_VERSION, 0, 0, i0, i1, i2, i3]);
        initiation[8..16].fill(0);
        let head = initiation.first_chunk().context("no head")?;
        let mut mac = handshake::mac(mac_key(&key), head);
        if matches!(self, Self::Mac) {
            mac[0] ^= 1;
        }
        initiation[16..24].copy_from_slice(&mac);
        let front = frames::ipv4_udp(&FIRST, PORT, LENGTH);
        Ok(Frame::new(front, &initiation))
    }

    /// The same from many ports.
    fn stream(self, frame: &Frame, chain: &Chain) -> Result<Stream> {
        const PORTS: (u32, u32) = (0x8000, 1024);
        let interface = index(&chain.generator, &chain.generator_interface)?;
        Ok(Stream {
            slot_offset: (ETHERNET + IPV4) as u32,
            flow_offset: 0,
            balance_offset: 0,
            // an answer is made of the frame, and shorter
            trim: u32::from(matches!(self, Self::Cookie)),
            ..frame.stream(interface, PORTS.0, PORTS.1)
        })
    }
}

/// Takes the cookies that the generator's host is answered with.
fn take_cookies(chain: &Chain) -> Result<Sink> {
    let interface = &chain.generator_interface;
    let mut sink = chain.generator.enter(|| Sink::attach(interface))??;
    let front = ETHERNET + IPV4 + UDP;
    let [i0, i1, i2, i3] = INDEX;
    sink.expect(Expected {
        length: (front + handshake::COOKIE_REPLY_SIZE) as u32,
        mark_offset: front as u32,
        mark: [COOKIE_REPLY, FORMAT_VERSION, 0, 0, i0, i1, i2, i3],
        time_offset: 0,
        reserved: 0,
    })?;
    Ok(sink)
}

/// Who refuses.
#[derive(Clone, Copy, Debug)]
enum Judge {
    Xdp,
    /// The controller, which gets all through its socket.
    Socket,
}

impl Judge {
    const ALL: [Self; 2] = [Self::Xdp, Self::Socket];

    const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Socket => "socket",
        }
    }
}

/// A node at the relay's place, which nobody has a channel with.
struct Victim {
    maps: Maps,
    reasons: PerCpuArray<MapData, ReasonCounters>,
    /// What XDP judges by.
    judged: Handshakes,
    certificate: NodeCertificate,
    generator: Generator,
    threads: Vec<Pid>,
    _cookies: Sink,
    node: Process,
    _registry: Process,
    chain: Chain,
}

impl Victim {
    fn new(testbed: &Testbed) -> Result<Self> {
        let chain = Chain::build(testbed, "h")?;
        let registry = Registry::start(&chain.relay, FIRST.destination)?;
        let member = registry.conf(&chain.relay, &[&chain.relay_first])?;
        let node = member.start(&chain.relay)?;
        let cookies = take_cookies(&chain)?;
        let maps = maps_of(&chain.relay);
        let mut judged = Handshakes::default();
        let judges = wait_until(PATIENCE, || {
            let told = maps.handshakes().map(|map| map.get(&0, 0));
            judged = told.ok().and_then(Result::ok).unwrap_or_default();
            judged.enabled == 1
        });
        ensure!(judges, "handshakes are not judged:\n{}", node.stderr());
        let certificate = member.certificate()?;
        let [flaw, ..] = Flaw::ALL;
        let frame = flaw.frame(&certificate)?;
        let mut generator = Generator::new(flaw.stream(&frame, &chain)?, frame.bytes.len())?;
        chain.generator.enter(|| generator.attach())??;
        let mut threads = core::threads_of(node.id())?;
        for thread in &threads {
            core::pin(*thread, CORE_OF_RELAY)?;
        }
        threads.extend(chain.pin()?);
        // alike, so that the node's threads take in one go what the other one has brought meanwhile
        for thread in &threads {
            core::favour(&chain.relay, *thread)?;
        }
        Ok(Self {
            reasons: maps.reasons()?,
            maps,
            judged,
            certificate,
            generator,
            threads,
            _cookies: cookies,
            node,
            _registry: registry.into_process(),
            chain,
        })
    }

    fn send(&mut self, flaw: Flaw) -> Result<()> {
        let frame = flaw.frame(&self.certificate)?;
        self.generator.change(flaw.stream(&frame, &self.chain)?);
        Ok(())
    }

    fn let_judge(&self, judge: Judge) -> Result<()> {
        let told = match judge {
            Judge::Xdp => self.judged,
            Judge::Socket => Handshakes::default(),
        };
        Ok(self.maps.handshakes()?.set(0, told, 0)?)
    }

    fn refused_by_xdp(&self, flaw: Flaw) -> Result<u64> {
        Ok(reason_sum(&self.reasons)?.get(flaw.reason()))
    }

    /// Datagrams that the controller has taken from its socket.
    fn taken(&self) -> Result<u64> {
        let path = format!("/proc/{}/net/snmp", self.node.id());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        datagrams_taken(&text).context("the kernel does not count datagrams")
    }
}

fn maps_of(host: &Host) -> Maps {
    Maps::new(host.bpffs().join("re6st0"))
}

/// UDP datagrams that programs have received over IPv4, of `/proc/net/snmp`.
fn datagrams_taken(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = columns.find(|(name, _)| *name == "InDatagrams")?;
    value.parse().ok()
}

/// A flood, and who refuses it.
struct Flood<'a> {
    victim: &'a Victim,
    flaw: Flaw,
    judge: Judge,
}

impl Flow for Flood<'_> {
    fn host(&self) -> &Host {
        &self.victim.chain.generator
    }

    fn generator(&self) -> &Generator {
        &self.victim.generator
    }

    fn threads(&self) -> &[Pid] {
        &self.victim.threads
    }

    fn arrived(&self) -> Result<u64> {
        match self.judge {
            Judge::Xdp => self.victim.refused_by_xdp(self.flaw),
            Judge::Socket => self.victim.taken(),
        }
    }
}

impl Flood<'_> {
    /// XDP in a flood of all that the generator makes; the socket at the highest rate that the controller keeps up with, which
    /// `hint` was before: beyond that, time is spent on what is lost.
    fn measure(&self, window: Duration, hint: Option<f64>) -> Result<Throughput> {
        match self.judge {
            Judge::Xdp => {
                self.generator().pace(FULL)?;
                with_generator(self, || observe(self, FULL, window))
            }
            Judge::Socket => measure(self, window, hint),
        }
    }
}

/// Bad handshakes refused for each second that the node's threads ran, by XDP and through the socket.
pub fn refusals(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    report.progress("setting up floods of handshakes");
    let mut victim = Victim::new(testbed)?;
    for flaw in Flaw::ALL {
        victim.send(flaw)?;
        let mut hint = None;
        for round in 0..effort.rounds {
            for judge in Judge::ALL {
                let name = format!("channel-flood-{}-{}", flaw.name(), judge.name());
                report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
                victim.let_judge(judge)?;
                let flood = Flood {
                    victim: &victim,
                    flaw,
                    judge,
                };
                let seen = flood
                    .measure(effort.window, hint)
                    .with_context(|| name.clone())?;
                if matches!(judge, Judge::Socket) {
                    hint = Some(seen.offered);
                }
                report.add(&name, Unit::PacketsPerSecond, seen.per_core, Some(seen));
            }
        }
    }
    Ok(())
}

/// Who floods.
#[derive(Clone, Copy, Debug)]
enum Sender {
    /// A program with a socket and a core: so many packets a second.
    Socket(f64),
    /// The generator, as fast as it can.
    Generator,
}

impl Sender {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::Generator => "generator",
        }
    }

    /// Of how many packets one is the tunnel's, and how many packets there are a second.
    const fn mixture(self) -> (u32, f64) {
        match self {
            Self::Socket(rate) => (2, 2.0 * rate),
            Self::Generator => (8, FULL),
        }
    }
}

/// Handshakes a second that a program with a socket sends, from the generator's core.
fn rate_of_socket(chain: &Chain, window: Duration) -> Result<f64> {
    let address = (FIRST.source, 0);
    let send = || {
        let socket = UdpSocket::bind(address)?;
        socket.connect((FIRST.destination, PORT))?;
        core::pin(THIS_THREAD, CORE_OF_OTHERS)?;
        core::favour(&chain.generator, gettid())?;
        let datagram = vec![INITIATION; LENGTH];
        let (begin, mut sent) = (Instant::now(), 0);
        while begin.elapsed() < window {
            // nobody answers: it is malformed
            sent += u32::from(socket.send(&datagram).is_ok());
        }
        Ok(f64::from(sent) / begin.elapsed().as_secs_f64())
    };
    chain.generator.enter(send)?
}

/// A tunnel's packets, of so many one.
struct Mixed<'a>(&'a Contender, u32);

impl Flow for Mixed<'_> {
    fn host(&self) -> &Host {
        self.0.host()
    }

    fn generator(&self) -> &Generator {
        self.0.generator()
    }

    fn threads(&self) -> &[Pid] {
        self.0.threads()
    }

    fn sent(&self) -> Result<u64> {
        Ok(self.0.sent()? / u64::from(self.1))
    }

    fn arrived(&self) -> Result<u64> {
        self.0.arrived()
    }
}

/// What a relay's tunnel carries in a flood, and how long a node that comes then waits for its channel.
pub fn bystanders(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    report.progress("setting up a tunnel for floods of handshakes");
    let kind = Kind::Channel;
    let mut contender = Contender::new(testbed, kind, LENGTH - GRE, Polling::OwnCore)?;
    let _cookies = take_cookies(&contender.chain)?;
    let node = Member::of(&contender.chain.relay).certificate()?;
    wait_for_packets(&contender)?;
    let mut newcomers = (NEWCOMER.0..).zip(NEWCOMER.1..u8::MAX);
    for round in 0..effort.rounds {
        let socket = rate_of_socket(&contender.chain, effort.window)?;
        let name = "channel-flood-of-socket";
        report.add(name, Unit::PacketsPerSecond, socket, None);
        for sender in [Sender::Socket(socket), Sender::Generator] {
            for flaw in Flaw::ALL {
                let name = format!("channel-flood-tunnel-{}-{}", flaw.name(), sender.name());
                report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
                let newcomer = newcomers.next().context("too many rounds")?;
                let (seen, wait) = flooded(&mut contender, (flaw, sender), &node, effort, newcomer)
                    .with_context(|| name.clone())?;
                contender.generator.pace(seen.offered)?;
                let calm = with_generator(&contender, || {
                    observe(&contender, seen.offered, effort.window)
                })?;
                contender.check()?;
                let mut add = |name: &str, unit, value| report.add(name, unit, value, None);
                add(&name, Unit::PacketsPerSecond, seen.delivered);
                let calm_name = format!("{name}-calm");
                add(&calm_name, Unit::PacketsPerSecond, calm.delivered);
                let name = format!("channel-flood-newcomer-{}-{}", flaw.name(), sender.name());
                add(&name, Unit::Nanoseconds, wait.as_nanos() as f64);
            }
        }
    }
    Ok(())
}

/// Waits until the relay's programs know the way to the sink.
fn wait_for_packets(contender: &Contender) -> Result<()> {
    const RATE: f64 = 1e4;
    contender.generator.pace(RATE)?;
    let all_arrive = with_generator(contender, || {
        Ok(wait_until(PATIENCE, || {
            observe(contender, RATE, LOOK).is_ok_and(|seen| seen.kept > 0.9)
        }))
    })?;
    ensure!(all_arrive, "the tunnel carries nothing");
    contender.check()
}

/// What the tunnel carries meanwhile, and how long a new node waits.
fn flooded(
    contender: &mut Contender,
    (flaw, sender): (Flaw, Sender),
    node: &NodeCertificate,
    effort: Effort,
    (number, octet): (u16, u8),
) -> Result<(Throughput, Duration)> {
    let (every, rate) = sender.mixture();
    let flood = flaw.stream(&flaw.frame(node)?, &contender.chain)?;
    contender.generator.mix(Some(flood), every)?;
    contender.generator.pace(rate)?;
    let reasons = maps_of(&contender.chain.relay);
    let refused = || Ok::<_, anyhow::Error>(reason_sum(&reasons.reasons()?)?.get(flaw.reason()));
    let before = refused()?;
    let flow = Mixed(contender, every);
    let chain = &contender.chain;
    let newcomer = Newcomer::new(chain, number, octet)?;
    // the newcomer stands for another machine: it begins with the priority of the thread that starts it
    core::put_first(&chain.generator, gettid())?;
    let outcome = with_generator(&flow, || {
        let seen = observe(&flow, rate, effort.window)?;
        Ok((seen, newcomer.call(chain, node)?))
    });
    core::release(&chain.generator, gettid())?;
    let outcome = outcome?;
    ensure!(refused()? > before, "XDP has seen no flood");
    contender.generator.mix(None, 1)?;
    Ok(outcome)
}

/// A node on the generator's host, which comes by the link that the flood comes by.
struct Newcomer {
    address: Ipv4Addr,
    credentials: ChannelCredentials,
}

impl Newcomer {
    fn new(chain: &Chain, number: u16, octet: u8) -> Result<Self> {
        let host = &chain.generator;
        let [a, b, c, _] = FIRST.source.octets();
        let address = Ipv4Addr::new(a, b, c, octet);
        let interface = &chain.generator_interface;
        host.ip(&["address", "add", &format!("{address}/24"), "dev", interface])?;
        let relay = (&chain.relay, chain.relay_first.as_str());
        neighbour(relay, &address.to_string(), &FIRST.from)?;
        Ok(Self {
            address,
            credentials: issuer_of(&chain.relay)?.credentials(number)?,
        })
    }

    /// Calls a node; how long it waits for its tunnel.
    fn call(self, chain: &Chain, node: &NodeCertificate) -> Result<Duration> {
        let begin = Instant::now();
        let to = FIRST.destination;
        let speaker = Speaker::call(&chain.generator, self.address, self.credentials, node, to)?;
        speaker.tunnel()?;
        Ok(begin.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_that_programs_took_are_told_from_those_that_were_lost() {
        let text = "Icmp: InMsgs\nIcmp: 1\nUdp: InDatagrams NoPorts InErrors\nUdp: 7 8 9\nUdpLite: InDatagrams\nUdpLite: 3\n";

        assert_eq!(datagrams_taken(text), Some(7));
        assert_eq!(datagrams_taken("Udp: NoPorts\nUdp: 1\n"), None);
    }
}
