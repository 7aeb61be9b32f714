//! The loop: what happens outside goes to the speaker, what the speaker wants is done.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::{
    io::{AsyncWriteExt as _, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
};

use super::{
    control::{self, Report},
    install::{Exit, Installer, Wanted},
    state::State,
    transport::Transport,
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        message::NextHop,
        output::Output,
        quantities::Metric,
        settings::{InterfaceKind, InterfaceSettings, RoundTrip},
        speaker::Speaker,
        time::Time,
    },
    config::{Babel, Config},
    dataplane::RouteKey,
    io::{
        alarm::Alarm,
        netlink::{Route as Netlink, link::Interface},
    },
};

/// Token of the netlink monitor; interface indexes and places of carriers stay below.
const MONITOR: u64 = u64::MAX;
/// Token of the alarm.
const ALARM: u64 = u64::MAX - 1;
/// Tokens of carriers begin here; those of plain interfaces are their indexes.
const CARRIERS: u64 = 1 << 32;
/// Between two looks at what changes without a word.
const TICK: Duration = Duration::from_secs(1);
/// Sockets looked at together.
const SOCKETS: usize = 64;
/// How often all sockets are looked at in one turn.
const ROUNDS: usize = 4;
/// Groups of rtnetlink: links, IPv4 and IPv6 addresses.
const GROUPS: [u32; 3] = [1, 5, 9];
/// The clock of the speaker does not start at zero: there is a time before.
const CLOCK_START: u64 = 1_000_000;

/// A running node.
pub struct Controller {
    config: Config,
    babel: Babel,
    started: Instant,
    speaker: Speaker,
    transport: Transport,
    installer: Installer,
    netlink: Netlink,
    state: State,
    monitor: NetlinkSocket,
    readiness: AsyncFd<Readiness>,
    /// When the next turn is due.
    alarm: Alarm,
    /// As last told to the speaker.
    known: BTreeMap<InterfaceId, (bool, Option<InterfaceSettings>)>,
    outputs: Vec<Output>,
    /// Whether packets may still wait in sockets.
    more: bool,
}

/// All sockets, to wait for at once.
struct Readiness(Epoll);

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Readiness {
    fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(self
            .0
            .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    fn ready(&self) -> Vec<u64> {
        let mut events = [EpollEvent::empty(); SOCKETS];
        let count = self.0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        events[..count].iter().map(EpollEvent::data).collect()
    }
}

impl Controller {
    /// Ready to run. Needs a tokio runtime.
    #[expect(clippy::too_many_arguments, reason = "its parts, each once")]
    pub fn new(
        config: Config,
        babel: Babel,
        started: Instant,
        speaker: Speaker,
        transport: Transport,
        installer: Installer,
        netlink: Netlink,
        state: State,
    ) -> Result<Self> {
        let mut monitor = NetlinkSocket::new(NETLINK_ROUTE)?;
        monitor.bind(&SocketAddr::new(0, 0))?;
        monitor.set_non_blocking(true)?;
        for group in GROUPS {
            monitor.add_membership(group)?;
        }
        let readiness = Readiness(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        readiness.add(monitor.as_fd(), MONITOR)?;
        let alarm = Alarm::new()?;
        readiness.add(alarm.as_fd(), ALARM)?;
        for (place, carrier) in transport.carriers.iter().enumerate() {
            readiness.add(carrier.as_fd(), CARRIERS + place as u64)?;
        }
        Ok(Self {
            config,
            babel,
            started,
            speaker,
            transport,
            installer,
            netlink,
            state,
            monitor,
            // SAFETY: the descriptor is the epoll's own, which stays open and the same as long as `Readiness` lives.
            readiness: unsafe { AsyncFd::register(readiness) }?,
            alarm,
            known: BTreeMap::new(),
            outputs: Vec::new(),
            more: false,
        })
    }

    /// The speaker's clock.
    pub fn time_since(started: Instant) -> Time {
        Time(CLOCK_START + started.elapsed().as_micros() as u64)
    }

    fn now(&self) -> Time {
        Self::time_since(self.started)
    }

    /// Runs until SIGTERM or SIGINT. The data plane and its routes stay, so after SIGTERM neighbours are told nothing: what
    /// is started again soon has lost no packet. SIGINT is for good: neighbours hear that nothing goes by us any more.
    pub async fn run(&mut self, control: &Path) -> Result<()> {
        let listener =
            control::listen(control).with_context(|| format!("listen on {}", control.display()))?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        self.announce();
        self.look_at_interfaces();
        let mut tick = Instant::now() + TICK;
        let for_good = loop {
            let now = Instant::now();
            let next = now + self.wait();
            self.alarm.set(next.min(tick), now)?;
            tokio::select! {
                ready = self.readiness.readable() => {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    self.more = true;
                }
                connection = listener.accept() => {
                    if let Ok((mut stream, _)) = connection {
                        let report = self.report();
                        tokio::spawn(async move {
                            // who asked may have gone
                            let _ = stream.write_all(&report).await;
                        });
                    }
                }
                _ = terminate.recv() => break false,
                _ = interrupt.recv() => break true,
            }
            if self.more {
                self.receive();
            }
            if Instant::now() >= tick {
                tick = Instant::now() + TICK;
                self.installer.tick();
                self.look_at_interfaces();
            }
            self.carry_out();
        };
        if for_good {
            self.handle(Input::ShutDown);
        }
        while self.installer.is_busy() {
            self.installer.turn();
        }
        // the next controller makes its own
        let _ = std::fs::remove_file(control);
        Ok(())
    }

    fn wait(&self) -> Duration {
        if self.more || self.installer.is_busy() {
            return Duration::ZERO;
        }
        let now = self.now();
        self.speaker
            .next_deadline()
            .map_or(TICK, |deadline| deadline.since(now))
    }

    /// Routes we are the origin of.
    fn announce(&mut self) {
        let own = self
            .config
            .addresses
            .iter()
            .filter_map(|address| RouteKey::new(address.trunc(), None).ok())
            .map(|route| (route, Metric::ZERO));
        let all: Vec<_> = own.chain(self.babel.announce.iter().copied()).collect();
        for (route, metric) in all {
            self.handle(Input::Announce { route, metric });
        }
    }

    fn receive(&mut self) {
        let mut inputs = Vec::new();
        let mut changed = false;
        for _ in 0..ROUNDS {
            let ready = self.readiness.get_ref().ready();
            self.more = ready.len() == SOCKETS;
            let now = self.now();
            for token in &ready {
                match *token {
                    // it only ends the waiting
                    ALARM => {}
                    MONITOR => {
                        changed = true;
                        while self.monitor.recv_from_full().is_ok() {}
                    }
                    token if token >= CARRIERS => {
                        let place = (token - CARRIERS) as usize;
                        self.more |= self.transport.receive_through(place, now, &mut inputs);
                    }
                    token => {
                        let interface = InterfaceId(token as u32);
                        self.more |= self.transport.receive_lan(interface, now, &mut inputs);
                    }
                }
            }
            for input in inputs.drain(..) {
                self.handle(input);
            }
            self.carry_out();
            if !self.more {
                break;
            }
        }
        if changed {
            self.look_at_interfaces();
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        self.speaker.handle(now, input, &mut outputs);
        for output in outputs.drain(..) {
            self.obey(output);
        }
        self.outputs = outputs;
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Send {
                interface,
                destination,
                packet,
            } => {
                let now = self.now();
                self.transport.send(now, interface, destination, packet);
            }
            Output::Install(route) => {
                self.remember(route.interface, route.next_hop);
                let wanted = Wanted::Via(route.interface, route.next_hop);
                self.installer.want(route.route, wanted);
            }
            Output::Unreachable { route } => self.installer.want(route, Wanted::Unreachable),
            Output::Remove { route } => self.installer.want(route, Wanted::Nothing),
            Output::SaveSequenceNumber(number) => {
                self.state.kept.sequence_number = Some(number);
                self.save();
            }
            Output::Event(event) => eprintln!("babel: {event}"),
        }
    }

    /// The neighbour behind a tunnel, for the next start.
    fn remember(&mut self, interface: InterfaceId, next_hop: NextHop) {
        let (Some(link), NextHop::Ipv6(address)) =
            (self.transport.tunnels.get(&interface), next_hop)
        else {
            return;
        };
        let name = &link.resolved.tunnel.name;
        if self.state.kept.neighbours.get(name) != Some(&address) {
            self.state.kept.neighbours.insert(name.clone(), address);
            self.save();
        }
    }

    fn save(&self) {
        if let Err(error) = self.state.save() {
            eprintln!("state: {error}");
        }
    }

    fn carry_out(&mut self) {
        if self.installer.is_busy() {
            self.installer.turn();
        }
        if self
            .speaker
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now())
        {
            self.handle(Input::Time);
        }
    }

    fn look_at_interfaces(&mut self) {
        let mut carriers: BTreeMap<u32, bool> = BTreeMap::new();
        let tunnels: Vec<_> = self
            .transport
            .tunnels
            .iter()
            .map(|(id, link)| (*id, link.resolved.route_interface))
            .collect();
        for (id, underlay) in tunnels {
            let up = *carriers.entry(underlay).or_insert_with(|| {
                let interface = self.netlink.interface_by_index(underlay);
                matches!(interface, Ok(Some(interface)) if interface.carrier)
            });
            if let Some(settings) = self.tunnel_settings(id) {
                self.tell(id, up, settings);
            }
        }
        for name in self.babel.interfaces.clone() {
            if let Err(error) = self.look_at_lan(&name) {
                eprintln!("{name}: {error:#}");
            }
        }
    }

    fn tunnel_settings(&self, id: InterfaceId) -> Option<InterfaceSettings> {
        let link = self.transport.tunnels.get(&id)?;
        let mut settings = InterfaceSettings::new(InterfaceKind::Tunnel, link.link_local);
        settings.name.clone_from(&link.resolved.tunnel.name);
        settings.mtu = link.resolved.mtu;
        // not every speaker takes IPv4 routes by an IPv6 next hop (RFC 9229)
        settings.ipv4 = self
            .config
            .addresses
            .iter()
            .find_map(|address| match address {
                IpNet::V4(address) => Some(address.addr()),
                IpNet::V6(_) => None,
            });
        self.common(&mut settings);
        Some(settings)
    }

    fn common(&self, settings: &mut InterfaceSettings) {
        settings.hello_interval = self.babel.hello_interval;
        settings.update_interval = self.babel.update_interval;
        settings.accept = self.babel.accept_filter.clone();
        settings.announce = self.babel.announce_filter.clone();
    }

    fn look_at_lan(&mut self, name: &str) -> Result<()> {
        let found = self.netlink.interface(name)?;
        let index = found.as_ref().map(|interface| interface.index);
        let gone: Vec<InterfaceId> = self
            .transport
            .lans
            .iter()
            .filter(|(id, link)| link.name == name && Some(id.0) != index)
            .map(|(id, _)| *id)
            .collect();
        for interface in gone {
            self.transport.lans.remove(&interface);
            self.known.remove(&interface);
            self.installer.exits.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
        let Some(interface) = found else {
            return Ok(());
        };
        let addresses = self.netlink.addresses(interface.index)?;
        let link_local = addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(*address),
            _ => None,
        });
        let Some(link_local) = link_local else {
            // nothing to send from, for now
            let id = InterfaceId(interface.index);
            if let Some((true, Some(settings))) = self.known.get(&id).cloned() {
                self.tell(id, false, settings);
            }
            return Ok(());
        };
        let settings = self.lan_settings(&interface, link_local, &addresses)?;
        let exit = Exit::Lan(
            interface.index,
            interface.address.unwrap_or_default(),
            interface.mtu,
        );
        self.installer
            .exits
            .insert(InterfaceId(interface.index), exit);
        self.tell(InterfaceId(interface.index), interface.carrier, settings);
        Ok(())
    }

    fn lan_settings(
        &mut self,
        interface: &Interface,
        link_local: Ipv6Addr,
        addresses: &[IpAddr],
    ) -> Result<InterfaceSettings> {
        let id = InterfaceId(interface.index);
        let known = self.transport.lans.get(&id).map(|link| link.link_local);
        let reserved = match self.known.get(&id) {
            Some((_, Some(settings))) if known == Some(link_local) => settings.reserved,
            _ => {
                let overhead = self.transport.add_lan(
                    &interface.name,
                    interface.index,
                    link_local,
                    &self.babel.mac,
                )?;
                if let Some(link) = self.transport.lans.get(&id) {
                    self.readiness
                        .get_ref()
                        .add(link.socket.as_fd(), u64::from(interface.index))?;
                }
                overhead
            }
        };
        let mut settings = InterfaceSettings::new(InterfaceKind::Lan, link_local);
        settings.name.clone_from(&interface.name);
        settings.mtu = interface.mtu;
        settings.reserved = reserved;
        settings.ipv4 = addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        if self.babel.round_trip_interfaces.contains(&interface.name) {
            settings.round_trip = Some(RoundTrip::default());
        }
        self.common(&mut settings);
        Ok(settings)
    }

    /// Tells the speaker of an interface what it does not know yet.
    fn tell(&mut self, interface: InterfaceId, up: bool, settings: InterfaceSettings) {
        let (was_up, former) = self
            .known
            .insert(interface, (up, Some(settings.clone())))
            .unwrap_or((true, None));
        if former.as_ref() != Some(&settings) {
            self.handle(Input::Interface {
                interface,
                settings: Box::new(settings),
            });
        }
        if was_up != up {
            self.handle(Input::Carrier { interface, up });
        }
    }

    fn report(&self) -> Vec<u8> {
        let now = self.now();
        let report = Report {
            router_id: self.speaker.settings().router_id.to_string(),
            sequence_number: self.speaker.sequence_number(),
            neighbours: self.speaker.neighbours(now),
            routes: self.speaker.routes(now, None),
            announcements: self.speaker.announcements(),
            counters: *self.speaker.counters(),
            refused: self.transport.counters.clone(),
            installing: self.installer.counters,
        };
        serde_json::to_vec(&report).unwrap_or_default()
    }
}
