//! The loop: what happens outside goes to the speaker, what the speaker wants is done.

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::{
    io::{AsyncWriteExt as _, unix::AsyncFd},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    control::{self, Report},
    install::{Installer, Wanted},
    journal::Journal,
    recorder::Recorder,
    state::State,
    surroundings::{BETWEEN_LOOKS, Surroundings},
    transport::Transport,
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        message::NextHop,
        output::Output,
        quantities::Metric,
        settings::InterfaceSettings,
        speaker::Speaker,
        time::Time,
    },
    config::{Babel, Config},
    dataplane::RouteKey,
    io::{
        alarm::Alarm,
        netlink::{Route as Netlink, monitor::Monitor},
    },
    membership::{babel::BabelParameters, shell::Standing},
};

/// Token of the netlink monitor; interface indexes and places of carriers stay below.
const MONITOR: u64 = u64::MAX;
/// Token of the alarm.
const ALARM: u64 = u64::MAX - 1;
/// Tokens of carriers begin here; those of plain interfaces are their indexes.
const CARRIERS: u64 = 1 << 32;
/// Between two looks at what failed or has grown.
const TICK: Duration = Duration::from_secs(1);
/// Sockets looked at together.
const SOCKETS: usize = 64;
/// How often all sockets are looked at in one turn.
const ROUNDS: usize = 4;
/// The clock of the speaker does not start at zero: there is a time before.
const CLOCK_START: u64 = 1_000_000;

/// A running node.
pub struct Controller {
    pub(super) config: Config,
    pub(super) babel: Babel,
    /// What of it the network's parameters may change.
    pub(super) parameters: BabelParameters,
    membership: Option<watch::Receiver<Standing>>,
    started: Instant,
    pub(super) speaker: Speaker,
    pub(super) transport: Transport,
    pub(super) installer: Installer,
    pub(super) netlink: Netlink,
    state: State,
    journal: Journal,
    recorder: Option<Recorder>,
    monitor: Monitor,
    pub(super) surroundings: Surroundings,
    pub(super) readiness: AsyncFd<Readiness>,
    /// When the next turn is due.
    alarm: Alarm,
    /// As last told to the speaker.
    pub(super) known: BTreeMap<InterfaceId, (bool, Option<InterfaceSettings>)>,
    outputs: Vec<Output>,
    /// Whether packets may still wait in sockets.
    more: bool,
}

/// All sockets, to wait for at once.
pub(super) struct Readiness(Epoll);

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
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
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
        journal: Journal,
        recorder: Option<Recorder>,
        membership: Option<watch::Receiver<Standing>>,
    ) -> Result<Self> {
        let parameters = membership.as_ref().map_or_else(
            || BabelParameters::configured(&babel),
            |standing| standing.borrow().babel.clone(),
        );
        let monitor = Monitor::open().context("open the socket for changes of the host")?;
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
            parameters,
            membership,
            started,
            speaker,
            transport,
            installer,
            netlink,
            state,
            journal,
            recorder,
            monitor,
            surroundings: Surroundings::default(),
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
        self.keep_distances();
        self.announce();
        self.look_around();
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
                () = news(&mut self.membership) => self.take_parameters(),
                _ = terminate.recv() => break false,
                _ = interrupt.recv() => break true,
            }
            if self.more {
                self.receive();
            }
            self.look_around();
            if Instant::now() >= tick {
                tick = Instant::now() + TICK;
                self.installer.tick();
                self.surroundings.tick();
                self.keep_distances();
                self.recorder.iter_mut().for_each(Recorder::flush);
            }
            self.carry_out();
        };
        if for_good {
            self.handle(Input::ShutDown);
        }
        self.recorder.iter_mut().for_each(Recorder::flush);
        self.journal.flush();
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
        let deadline = self.speaker.next_deadline();
        let wait = deadline.map_or(TICK, |deadline| deadline.since(now));
        if self.surroundings.is_stale() {
            wait.min(BETWEEN_LOOKS)
        } else {
            wait
        }
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
        for _ in 0..ROUNDS {
            let ready = self.readiness.get_ref().ready();
            self.more = ready.len() == SOCKETS;
            let now = self.now();
            for token in &ready {
                match *token {
                    // it only ends the waiting
                    ALARM => {}
                    MONITOR => {
                        for change in self.monitor.changes() {
                            self.note(&change);
                        }
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
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = self.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.speaker.handle(now, input, &mut outputs);
        for output in outputs.drain(..) {
            if let Some(recorder) = &mut self.recorder {
                recorder.output(&output);
            }
            self.obey(output);
        }
        self.outputs = outputs;
    }

    fn obey(&mut self, output: Output) {
        if let Output::SaveDistance(distance) = &output {
            self.journal.push(distance);
            return;
        }
        self.journal.flush();
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
            Output::SaveDistance(_) => {}
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

    /// Begins the file of feasibility distances when all are known, and anew when it has grown.
    fn keep_distances(&mut self) {
        if self.journal.is_due()
            && let Some(distances) = self.speaker.distances()
        {
            self.journal.renew(&distances);
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

    /// Takes up what the membership says, without anything being restarted.
    fn take_parameters(&mut self) {
        let Some(standing) = &mut self.membership else {
            return;
        };
        let parameters = standing.borrow_and_update().babel.clone();
        if parameters == self.parameters {
            return;
        }
        self.parameters = parameters;
        if let Some(mac) = &self.parameters.mac
            && let Err(error) = self.transport.set_mac(mac)
        {
            eprintln!("the network's {error}");
        }
        self.surroundings.interfaces_changed();
    }

    fn report(&self) -> Vec<u8> {
        let membership = self.membership.as_ref();
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
            distances: self.journal.counters,
            registry: membership.map(|standing| standing.borrow().report.clone()),
        };
        serde_json::to_vec(&report).unwrap_or_default()
    }
}

/// Waits until the membership has something new; for ever if there is none, or if its thread has ended.
async fn news(membership: &mut Option<watch::Receiver<Standing>>) {
    if let Some(standing) = membership
        && standing.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
