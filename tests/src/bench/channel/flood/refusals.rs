//! How many bad handshakes a node refuses, in XDP and through its socket.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapData, PerCpuArray};
use nix::unistd::Pid;
use re6st_common::{maps::Handshakes, reason::ReasonCounters};
use re6st_user::{
    certificate::node::NodeCertificate,
    dataplane::bpf::maps::{Maps, reason_sum},
};

use super::{super::PATIENCE, FULL, Flaw, maps_of, take_cookies};
use crate::{
    bench::{
        chain::{Chain, FIRST},
        core::{self, CORE_OF_RELAY},
        kernel::{Generator, Sink},
        parts::Effort,
        report::{Report, Unit},
        throughput::{Flow, Throughput, measure, observe, with_generator},
    },
    cleanup::wait_until,
    host::{Host, Testbed},
    member::Registry,
    process::Process,
};

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
