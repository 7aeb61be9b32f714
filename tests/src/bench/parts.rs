//! What can be measured, part by part.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    babel,
    chain::Chain,
    channel,
    contender::{Contender, Kind, Polling},
    maps, mesh, openvpn, registry,
    report::{Report, Section, Unit},
    tcp::{Carrier, Pair},
    throughput::{BUSY, PRECISION, measure, observe, with_generator},
};
use crate::host::Testbed;

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Part {
    /// Packets a second through a relay, on one core.
    Relay,
    /// One TCP connection from node to node.
    Tcp,
    /// What many routes cost a relay.
    Routes,
    /// Time a packet takes through a relay.
    Latency,
    /// Time `re6st-user load` takes with many routes.
    Load,
    /// Memory of the maps.
    Memory,
    /// Our Babel beside babeld and BIRD: all of the following.
    Babel,
    /// How long packets get lost when a link of a ring fails.
    BabelOutage,
    /// How long a new route takes across three hops.
    BabelNewRoute,
    /// How fast a fresh router learns a large table.
    BabelLearning,
    /// What keeping a large table costs.
    BabelSteady,
    /// A huge table from several neighbours.
    BabelHuge,
    /// Our registry beside re6stnet's: all of the following.
    Registry,
    /// How many certificates are issued a second, with few and with many in the database.
    RegistryEnrolment,
    /// How often a node can fetch the parameters.
    RegistryParameters,
    /// How long that takes among slow connections.
    RegistrySlow,
    /// The secure channel beside OpenVPN: all of the following.
    Channel,
    /// Handshakes a second, and the round trips of one.
    ChannelHandshakes,
    /// Memory and traffic of idle channels.
    ChannelIdle,
    /// Bad handshakes that are refused a second, and what becomes of others meanwhile.
    ChannelFlood,
    /// Packets a second through a relay whose tunnels have channels.
    ChannelRelay,
    /// One TCP connection through such a tunnel.
    ChannelTcp,
    /// A mesh of twelve nodes: all of the following.
    Mesh,
    /// How long it takes from nothing until all reach all.
    MeshStart,
    /// What others notice of a node's death.
    MeshOutage,
    /// What nodes cost that carry nothing.
    MeshIdle,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often everything is measured.
    pub rounds: usize,
    /// How long each time.
    pub window: Duration,
    /// Leaves out what is not needed to compare us with the floor.
    pub floor_only: bool,
    /// A first look will do.
    pub quick: bool,
}

/// Routes where their number is what is measured.
pub const MANY_ROUTES: u32 = 65_536;
const FEW_ROUTES: u32 = 10;
/// Bytes of the inner packets.
const LENGTHS: [usize; 2] = [64, 1400];

impl Part {
    /// The data plane's.
    pub const DATA_PLANE: &'static [Self] = &[
        Self::Relay,
        Self::Tcp,
        Self::Routes,
        Self::Latency,
        Self::Load,
        Self::Memory,
    ];
    /// What [`Self::Babel`] stands for.
    pub const BABEL: &'static [Self] = &[
        Self::BabelOutage,
        Self::BabelNewRoute,
        Self::BabelLearning,
        Self::BabelSteady,
        Self::BabelHuge,
    ];

    /// What [`Self::Registry`] stands for.
    pub const REGISTRY: &'static [Self] = &[
        Self::RegistryEnrolment,
        Self::RegistryParameters,
        Self::RegistrySlow,
    ];

    /// What [`Self::Channel`] stands for. What needs little memory and no hosts is first.
    pub const CHANNEL: &'static [Self] = &[
        Self::ChannelIdle,
        Self::ChannelHandshakes,
        Self::ChannelFlood,
        Self::ChannelRelay,
        Self::ChannelTcp,
    ];

    /// What [`Self::Mesh`] stands for.
    pub const MESH: &'static [Self] = &[Self::MeshStart, Self::MeshOutage, Self::MeshIdle];

    /// All of a section.
    pub const fn whole(section: Section) -> &'static [Self] {
        match section {
            Section::DataPlane => Self::DATA_PLANE,
            Section::Babel => Self::BABEL,
            Section::Registry => Self::REGISTRY,
            Section::Channel => Self::CHANNEL,
            Section::Mesh => Self::MESH,
        }
    }

    /// Those that belong to a section, with those taken apart that stand for several.
    pub fn of_section(parts: &[Self], section: Section) -> Vec<Self> {
        parts
            .iter()
            .flat_map(|part| match part {
                Self::Babel => Self::BABEL.to_vec(),
                Self::Registry => Self::REGISTRY.to_vec(),
                Self::Channel => Self::CHANNEL.to_vec(),
                Self::Mesh => Self::MESH.to_vec(),
                part => vec![*part],
            })
            .filter(|part| Self::whole(section).contains(part))
            .collect()
    }

    /// Measures it.
    pub fn run(self, testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
        match self {
            Self::Relay => relay(testbed, effort, report),
            Self::Tcp => tcp(testbed, effort, report),
            Self::Routes => routes(testbed, effort, report),
            Self::Latency => latency(testbed, effort, report),
            Self::Load => load(testbed, effort, report),
            Self::Memory => memory(testbed, report),
            Self::Babel | Self::Registry | Self::Channel | Self::Mesh => {
                let parts = match self {
                    Self::Babel => Self::BABEL,
                    Self::Registry => Self::REGISTRY,
                    Self::Channel => Self::CHANNEL,
                    _ => Self::MESH,
                };
                parts
                    .iter()
                    .try_for_each(|part| part.run(testbed, effort, report))
            }
            Self::BabelOutage => babel::Part::Outage.run(testbed, effort, report),
            Self::BabelNewRoute => babel::Part::NewRoute.run(testbed, effort, report),
            Self::BabelLearning => babel::Part::Learning.run(testbed, effort, report),
            Self::BabelSteady => babel::Part::Steady.run(testbed, effort, report),
            Self::BabelHuge => babel::Part::Huge.run(testbed, effort, report),
            Self::RegistryEnrolment => registry::Part::Enrolment.run(testbed, effort, report),
            Self::RegistryParameters => registry::Part::Parameters.run(testbed, effort, report),
            Self::RegistrySlow => registry::Part::Slow.run(testbed, effort, report),
            Self::ChannelHandshakes => channel::handshakes(testbed, effort, report),
            Self::ChannelIdle => channel::idle(report),
            Self::ChannelFlood => {
                channel::flood::refusals(testbed, effort, report)?;
                channel::flood::bystanders(testbed, effort, report)
            }
            Self::ChannelRelay => channel_relay(testbed, effort, report),
            Self::ChannelTcp => {
                let carriers = [Carrier::Re6st, Carrier::Channel];
                tcp_rounds(testbed, effort, &carriers, "channel-tcp", report)
            }
            Self::MeshStart => mesh::start(testbed, effort, report),
            Self::MeshOutage => mesh::outage(testbed, effort, report),
            Self::MeshIdle => mesh::idle(testbed, effort, report),
        }
    }
}

/// OpenVPN takes part if it is installed.
fn with_openvpn<T: Copy>(others: &[T], openvpn: T, report: &mut Report) -> Vec<T> {
    let mut all = others.to_vec();
    match openvpn::available() {
        Ok(()) => all.push(openvpn),
        Err(error) => report.missing(&format!("OpenVPN: {error}")),
    }
    all
}

fn relay(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let mut kinds = vec![Kind::Floor, Kind::Re6st(FEW_ROUTES)];
    if !effort.floor_only {
        kinds.extend([Kind::Forwarding, Kind::Vxlan]);
        kinds = with_openvpn(&kinds, Kind::Openvpn, report);
    }
    for length in LENGTHS {
        let name = |kind: Kind| format!("relay-{length}-{}", kind.name());
        throughput_rounds(testbed, effort, &kinds, length, name, report)?;
    }
    Ok(())
}

/// Packets a second through tunnels that channels have opened, and through the same tunnels of a file.
fn channel_relay(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    /// To the generator and to the sink.
    const ROUTES: u32 = 2;
    let kinds = [Kind::Re6st(ROUTES), Kind::Channel];
    for length in LENGTHS {
        let name = |kind: Kind| match kind {
            Kind::Channel => format!("channel-relay-{length}"),
            _ => format!("channel-relay-{length}-static"),
        };
        let contenders = contenders(testbed, &kinds, length, &name, report)?;
        // the more packets come at a time the less each costs, so both get as many: what the slower one takes
        let mut rate = f64::INFINITY;
        for contender in &contenders {
            report.progress(&format!("how much {} takes", name(contender.kind)));
            let seen = measure(contender, effort.window, None)?;
            rate = rate.min(seen.offered / PRECISION);
        }
        for round in 0..effort.rounds {
            for contender in &contenders {
                let name = name(contender.kind);
                report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
                let seen = with_generator(contender, || observe(contender, rate, effort.window))?;
                contender.check()?;
                if seen.has_loss() {
                    report.disturbed(&name);
                }
                report.add(&name, Unit::PacketsPerSecond, seen.per_core, Some(seen));
            }
        }
    }
    Ok(())
}

fn routes(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let kinds = [Kind::Re6st(FEW_ROUTES), Kind::Re6st(MANY_ROUTES)];
    let name = |kind: Kind| match kind {
        Kind::Re6st(routes) => format!("routes-{routes}"),
        _ => unreachable!("only our own relay has routes here"),
    };
    throughput_rounds(testbed, effort, &kinds, LENGTHS[0], name, report)
}

/// One of each kind; `length`: of the inner packet, in bytes.
fn contenders(
    testbed: &Testbed,
    kinds: &[Kind],
    length: usize,
    name: &impl Fn(Kind) -> String,
    report: &mut Report,
) -> Result<Vec<Contender>> {
    let contenders = kinds.iter().map(|kind| {
        report.progress(&format!("setting up {}", name(*kind)));
        Contender::new(testbed, *kind, length, Polling::OwnCore)
            .with_context(|| format!("setting up {}", name(*kind)))
    });
    contenders.collect()
}

fn throughput_rounds(
    testbed: &Testbed,
    effort: Effort,
    kinds: &[Kind],
    length: usize,
    name: impl Fn(Kind) -> String,
    report: &mut Report,
) -> Result<()> {
    let contenders = contenders(testbed, kinds, length, &name, report)?;
    let mut hints = vec![None; contenders.len()];
    for round in 0..effort.rounds {
        for (contender, hint) in contenders.iter().zip(&mut hints) {
            let name = name(contender.kind);
            report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
            let seen = measure(contender, effort.window, *hint).with_context(|| name.clone())?;
            contender.check()?;
            *hint = Some(seen.offered);
            if seen.busy < BUSY {
                report.disturbed(&name);
            }
            report.add(&name, Unit::PacketsPerSecond, seen.per_core, Some(seen));
        }
    }
    Ok(())
}

fn tcp(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let carriers = [
        Carrier::Link,
        Carrier::Re6st,
        Carrier::LinkWithGro,
        Carrier::LinkWithXdp,
    ];
    let carriers = with_openvpn(&carriers, Carrier::Openvpn, report);
    tcp_rounds(testbed, effort, &carriers, "tcp", report)
}

fn tcp_rounds(
    testbed: &Testbed,
    effort: Effort,
    carriers: &[Carrier],
    prefix: &str,
    report: &mut Report,
) -> Result<()> {
    const WARM_UP: Duration = Duration::from_millis(300);
    let name = |carrier: Carrier| {
        let carrier = match carrier {
            Carrier::Link => "link",
            Carrier::LinkWithGro => "link-gro",
            Carrier::LinkWithXdp => "link-xdp",
            Carrier::Re6st => "re6st",
            Carrier::Channel => "channel",
            Carrier::Openvpn => "openvpn",
        };
        format!("{prefix}-{carrier}")
    };
    let pairs = carriers
        .iter()
        .map(|carrier| {
            report.progress(&format!("setting up {}", name(*carrier)));
            Pair::new(testbed, *carrier).with_context(|| format!("setting up {}", name(*carrier)))
        })
        .collect::<Result<Vec<_>>>()?;
    for round in 0..effort.rounds {
        for pair in &pairs {
            let name = name(pair.carrier);
            report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
            let rate = pair
                .measure(WARM_UP, effort.window)
                .with_context(|| name.clone())?;
            report.add(&name, Unit::BitsPerSecond, rate, None);
        }
    }
    Ok(())
}

fn latency(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    /// Long enough for the time of sending.
    const LENGTH: usize = 128;
    /// Packets a second: each finds the relay idle.
    const RATE: f64 = 4000.0;
    let kinds = [
        Kind::Floor,
        Kind::Re6st(FEW_ROUTES),
        Kind::Forwarding,
        Kind::Vxlan,
    ];
    let kinds = with_openvpn(&kinds, Kind::Openvpn, report);
    let name = |kind: Kind| format!("latency-{}", kind.name());
    let mut contenders = kinds
        .iter()
        .map(|kind| {
            report.progress(&format!("setting up {}", name(*kind)));
            Contender::new(testbed, *kind, LENGTH, Polling::Sender)
                .with_context(|| format!("setting up {}", name(*kind)))
        })
        .collect::<Result<Vec<_>>>()?;
    // what arrives is looked at before the times spoil the checksums
    for contender in &mut contenders {
        send_for(contender, RATE, effort.window / 4)?;
        contender.check()?;
        contender.carry_time()?;
    }
    for round in 0..effort.rounds {
        for contender in &mut contenders {
            let name = name(contender.kind);
            report.progress(&format!("{name}, round {} of {}", round + 1, effort.rounds));
            contender.sink.forget_times()?;
            send_for(contender, RATE, effort.window)?;
            let times = contender.sink.travel_times()?;
            ensure!(
                times.len() > 100,
                "{name}: only {} packets arrived",
                times.len()
            );
            let one_way = super::median(times.into_iter().map(|time| time as f64));
            report.add(&name, Unit::Nanoseconds, 2.0 * one_way, None);
        }
    }
    Ok(())
}

fn send_for(contender: &Contender, rate: f64, time: Duration) -> Result<()> {
    contender.generator.pace(rate)?;
    with_generator(contender, || {
        thread::sleep(time);
        Ok(())
    })
}

fn load(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let chain = Chain::build(testbed, "l")?;
    for round in 0..effort.rounds {
        report.progress(&format!("load, round {} of {}", round + 1, effort.rounds));
        let time = maps::load_time(&chain, MANY_ROUTES)?;
        report.add(
            "load-65536",
            Unit::Nanoseconds,
            time.as_nanos() as f64,
            None,
        );
    }
    Ok(())
}

fn memory(testbed: &Testbed, report: &mut Report) -> Result<()> {
    let chain = Chain::build(testbed, "m")?;
    for routes in [FEW_ROUTES, MANY_ROUTES] {
        let bytes = maps::memory(&chain, routes)?;
        report.add(&format!("memory-{routes}"), Unit::Bytes, bytes as f64, None);
    }
    Ok(())
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Re6st(_) => "re6st",
            Self::Channel => "channel",
            Self::Forwarding => "forwarding",
            Self::Vxlan => "vxlan",
            Self::Openvpn => "openvpn",
        }
    }
}
