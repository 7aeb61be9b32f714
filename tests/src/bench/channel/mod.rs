//! The secure channel beside OpenVPN, and its tunnels beside those of a file.

pub mod flood;
mod openvpn;
mod simulation;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use re6st_user::{
    certificate::node::NodeCertificate,
    channel::{ChannelCredentials, Peer, Settings, Tunnel},
};

use self::{
    openvpn::Connection,
    simulation::{handshakes_per_second, idle_traffic, memory, round_trips},
};
use super::{
    chain::{Chain, FIRST, SECOND},
    contender::Setup,
    core::{self, CORE_OF_OTHERS, CORE_OF_RELAY},
    frames::{Frame, SOURCE},
    parts::Effort,
    relay_node::PORT,
    report::{Report, Unit},
};
use crate::{
    channel::Speaker,
    cleanup::wait_until,
    host::{Host, Testbed},
    member::{self, Member, Registry, issuer_of},
    process::Process,
};

/// How long it may take until packets get through.
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of the node that stands for the sink: the registry's first ones are below.
const SINK: u16 = 0x1000;

/// Handshakes of ours and of OpenVPN's for each second of processor time, and round trips of ours.
pub fn handshakes(testbed: &Testbed, effort: Effort, report: &mut Report) -> Result<()> {
    let (ours, connections, window) = match effort.quick {
        true => (100, 3, 3),
        false => (500, 4, 5),
    };
    let host = match openvpn::available() {
        Ok(()) => Some(testbed.host("openvpn")?),
        Err(error) => {
            report.missing(&format!("OpenVPN: {error}"));
            None
        }
    };
    let connection = host.as_ref().map(Connection::start).transpose()?;
    for round in 0..effort.rounds {
        report.progress(&format!(
            "handshakes, round {} of {}",
            round + 1,
            effort.rounds
        ));
        let rate = handshakes_per_second(ours)?;
        report.add("channel-handshakes-re6st", Unit::PerSecond, rate, None);
        if let (Some(host), Some(connection)) = (&host, &connection) {
            let rate = connection.handshakes_per_second(Duration::from_secs(window))?;
            let name = "channel-handshakes-openvpn-keys";
            report.add(name, Unit::PerSecond, rate, None);
            let rate = openvpn::connections_per_second(host, connections)?;
            report.add("channel-handshakes-openvpn", Unit::PerSecond, rate, None);
        }
    }
    let trips = round_trips()?;
    report.add("channel-round-trips-re6st", Unit::RoundTrips, trips, None);
    Ok(())
}

/// What channels cost when nobody has anything to send.
pub fn idle(report: &mut Report) -> Result<()> {
    const TIME: Duration = Duration::from_secs(3_600);
    report.progress("idle channels");
    let bytes = memory(1_000)? as f64;
    report.add("channel-memory-1000-re6st", Unit::Bytes, bytes, None);
    let traffic = idle_traffic(TIME)?;
    let octets = traffic.octets as f64 / TIME.as_secs_f64();
    let packets = traffic.packets as f64 / TIME.as_secs_f64();
    let name = "channel-idle-octets-re6st";
    report.add(name, Unit::BytesPerSecond, octets, None);
    report.add("channel-idle-packets-re6st", Unit::PerSecond, packets, None);
    Ok(())
}

/// Calls a node from this address of the host's.
fn call(
    host: &Host,
    own: Ipv4Addr,
    credentials: ChannelCredentials,
    node: &NodeCertificate,
    address: Ipv4Addr,
) -> Result<Speaker> {
    let port = Settings::default().port;
    let peer = Peer {
        node: node.prefix(),
        addresses: vec![(address, port).into()],
        key: node.static_key(),
    };
    // it is another machine: where the relay is, its handshake would keep packets from being forwarded
    let speaker = core::pinned(CORE_OF_OTHERS, || {
        Speaker::start(host, (own, port).into(), credentials, peer)
    })?;
    // generator and relay go before all ordinary work, for which nothing may be left
    core::put_first(host, speaker.thread_id())?;
    Ok(speaker)
}

/// A channel that has to stay as it is.
pub struct Open {
    speaker: Speaker,
    tunnel: Tunnel,
}

impl Open {
    fn call(
        host: &Host,
        own: Ipv4Addr,
        node: &Member,
        address: Ipv4Addr,
        credentials: ChannelCredentials,
    ) -> Result<Self> {
        let speaker = call(host, own, credentials, &node.certificate()?, address)?;
        let tunnel = speaker.tunnel()?;
        Ok(Self { speaker, tunnel })
    }

    /// Fails unless the channel is there, with the same keys.
    pub fn check(&self) -> Result<()> {
        self.speaker.check(&self.tunnel)
    }
}

/// A node as relay, which generator and sink have called.
pub fn relay(chain: &Chain, inner: &[u8]) -> Result<Setup> {
    let registry = Registry::start(&chain.relay, FIRST.destination)?;
    let interfaces = [chain.relay_first.as_str(), chain.relay_second.as_str()];
    let node = registry.conf(&chain.relay, &interfaces)?;
    let process = node.start(&chain.relay)?;
    let issuer = issuer_of(&chain.relay)?;
    let [.., back, _, _, _, _] = SOURCE.segments();
    let call = |host, own, address, number| {
        Open::call(host, own, &node, address, issuer.credentials(number)?)
    };
    let generator = call(&chain.generator, FIRST.source, FIRST.destination, back)?;
    let sink = call(&chain.sink, SECOND.destination, SECOND.source, SINK)?;
    wait_for_route(&chain.relay, &process)?;
    core::pin(process.id(), CORE_OF_RELAY)?;
    core::put_first(&chain.relay, process.id())?;
    let taken = sink.tunnel.accept.first().context("no key is accepted")?;
    let frame = Frame::fou(&FIRST, PORT, generator.tunnel.send, inner);
    let arrives = Frame::fou(&SECOND, PORT, *taken, inner);
    let mut setup = Setup::tunnels(frame, arrives);
    setup.destinations = (SINK.into(), 1);
    setup.threads = vec![process.id()];
    setup.processes = vec![process, registry.into_process()];
    setup.channels = vec![generator, sink];
    Ok(setup)
}

/// Waits until the relay knows the way to the sink.
fn wait_for_route(relay: &Host, process: &Process) -> Result<()> {
    let destination = format!("2001:db8:42:{SINK:x}::/64");
    let known = wait_until(PATIENCE, || {
        member::command(relay, &["status", "routes"])
            .and_then(|mut command| relay.spawn(&mut command)?.wait(PATIENCE)?.success())
            .is_ok_and(|shown| shown.stdout.contains(&destination))
    });
    ensure!(known, "no route to {destination}:\n{}", process.stderr());
    Ok(())
}

/// Two nodes with a channel, of which the first has called; and an address of the second one in the mesh.
pub fn pair(ends: [(&Host, &str); 2], addresses: [&str; 2]) -> Result<([Process; 3], String)> {
    let [first, second] = ends;
    let [own, other] = addresses.map(str::parse::<Ipv4Addr>);
    let registry = Registry::start(first.0, own?)?;
    let caller = registry.conf(first.0, &[first.1])?;
    let called = registry.conf(second.0, &[second.1])?;
    caller.add_peer(&called, other?)?;
    let processes = [caller.start(first.0)?, called.start(second.0)?];
    let target = called.address()?;
    let ping = ["-c", "1", "-W", "1", &target];
    let reached = wait_until(PATIENCE, || {
        let output = first.0.output("ping", &ping);
        output.is_ok_and(|output| output.status.success())
    });
    let said = || processes.each_ref().map(Process::stderr).join("\n");
    ensure!(reached, "{target} is not reached:\n{}", said());
    wait_for_path_mtu(ends.map(|end| end.0)).with_context(said)?;
    target.parse::<IpAddr>()?;
    let [first, second] = processes;
    Ok(([first, second, registry.into_process()], target))
}

/// Waits until both have found out that the path carries packets as large as the link's.
fn wait_for_path_mtu(hosts: [&Host; 2]) -> Result<()> {
    for host in hosts {
        let mut last = String::new();
        let found = wait_until(PATIENCE, || {
            let shown = member::command(host, &["status", "peers", "--json"])
                .and_then(|mut command| host.spawn(&mut command)?.wait(PATIENCE)?.success());
            last = shown.map_or_else(|error| format!("{error:#}"), |shown| shown.stdout);
            last.contains("\"path-mtu\":1500")
        });
        if !found {
            bail!("the path's MTU was not found: {last}");
        }
    }
    Ok(())
}
