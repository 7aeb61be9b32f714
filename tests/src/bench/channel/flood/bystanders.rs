//! What tunnels and new nodes notice of a flood of bad handshakes.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Pid, gettid};
use re6st_common::handshake::INITIATION;
use re6st_user::{
    certificate::node::NodeCertificate, channel::ChannelCredentials,
    dataplane::bpf::maps::reason_sum,
};

use super::{
    super::{PATIENCE, call},
    FULL, Flaw, LENGTH, maps_of, take_cookies,
};
use crate::{
    bench::{
        chain::{Chain, FIRST, neighbour},
        contender::{Contender, Kind, Polling},
        core::{self, CORE_OF_OTHERS, THIS_THREAD},
        kernel::Generator,
        parts::Effort,
        relay_node::PORT,
        report::{Report, Unit},
        throughput::{Flow, Throughput, observe, with_generator},
    },
    channel::speaker,
    cleanup::wait_until,
    host::{Host, Testbed},
    member::{Member, issuer_of},
};

/// Octets of GRE with a key.
const GRE: usize = 8;
/// How long is looked whether packets get through.
const LOOK: Duration = Duration::from_millis(100);
/// The number of the first node that comes in a flood, and the last octet of its address.
const NEWCOMER: (u16, u8) = (0x2000, 10);

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

    /// Calls a node; how long it waits for its tunnel: all our patience, if that was not enough.
    fn call(self, chain: &Chain, node: &NodeCertificate) -> Result<Duration> {
        let begin = Instant::now();
        let to = FIRST.destination;
        let speaker = call(&chain.generator, self.address, self.credentials, node, to)?;
        let came = speaker.tunnel();
        let waited = begin.elapsed();
        match came {
            Err(error) if waited < speaker::PATIENCE => Err(error),
            _ => Ok(waited),
        }
    }
}
