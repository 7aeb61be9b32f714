//! The loop: what happens outside goes to the speaker, what the speaker wants is done.

use std::{collections::BTreeMap, io, os::fd::AsFd as _, time::Duration};

use anyhow::Result;
use nix::sys::epoll::EpollEvent;
use tokio::sync::watch;

use super::{
    commands::Beside,
    control,
    draining::Draining,
    host::{Host, Uses, due::Look},
    install::Installer,
    instance::Instance,
    journal::Journal,
    mesh::NodeMesh,
    orders::{Ending, Order, Orders},
    outside::{CARRIERS, MONITOR, ORDERS, Outside, PORT_MAPPING, QUESTIONS, Readiness},
    peers::{self, Peers},
    recorder::Recorder,
    reload::Reload,
    solitude::{self, Solitude},
    state::State,
    transport::Transport,
    troubles::{Trouble, Troubles},
    wishes::{self, Wanted},
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        message::NextHop,
        output::Output,
        quantities::Metric,
        settings::InterfaceSettings,
    },
    channel,
    config::{Babel, Config},
    dataplane::bpf::plane::BpfDataPlane,
    io::{
        clock::Clock,
        lock::Lock,
        log::Log,
        netlink::{Rtnetlink, monitor::Monitor},
        supervisor,
    },
    membership::{babel::BabelParameters, shell::Standing},
    mesh,
    route::RouteKey,
    routing::Routing,
    time::{Now, Time},
};

/// Until another look at what failed or has grown.
const TICK: Duration = Duration::from_secs(1);
/// Sockets looked at together.
const SOCKETS: usize = 64;

/// A running node.
pub struct Controller {
    pub(super) config: Config,
    pub(super) babel: Babel,
    /// What of it the network's parameters may change.
    pub(super) parameters: BabelParameters,
    pub(super) membership: Option<watch::Receiver<Standing>>,
    pub(super) clock: Clock,
    pub(super) routing: Box<dyn Routing>,
    pub(super) transport: Transport,
    pub(super) installer: Installer<BpfDataPlane, Rtnetlink>,
    pub(super) host: Host,
    /// What was loaded.
    pub(super) instance: Instance,
    pub(super) state: State,
    pub(super) journal: Journal,
    recorder: Option<Recorder>,
    monitor: Monitor,
    pub(super) orders: Orders,
    /// Commands of others.
    pub(super) beside: Option<Beside>,
    pub(super) troubles: Troubles,
    pub(super) solitude: Solitude,
    pub(super) readiness: Readiness,
    pub(super) log: Log,
    /// When to look at what failed or has grown, if anything has.
    tick: Option<Time>,
    /// As last told to the speaker.
    pub(super) known: BTreeMap<InterfaceId, (bool, Option<InterfaceSettings>)>,
    /// What is still to be done of a reload.
    pub(super) reload: Option<Reload>,
    pub(super) draining: Draining,
    /// The channels to peers of a managed mesh.
    pub(super) peers: Option<Peers>,
    /// Whom tunnels are kept to.
    pub(super) mesh: Option<NodeMesh>,
    outputs: Vec<Output>,
    _control: control::Place,
    _lock: Lock,
}

impl Controller {
    /// Ready to run.
    #[expect(clippy::too_many_arguments, reason = "its parts, each once")]
    pub fn new(
        config: Config,
        babel: Babel,
        clock: Clock,
        routing: Box<dyn Routing>,
        installer: Installer<BpfDataPlane, Rtnetlink>,
        instance: Instance,
        state: State,
        journal: Journal,
        recorder: Option<Recorder>,
        outside: Outside,
        lock: Lock,
    ) -> Self {
        let parameters = outside.membership.as_ref().map_or_else(
            || BabelParameters::configured(&babel),
            |(standing, _)| standing.borrow().babel.clone(),
        );
        let (membership, requests) = outside.membership.unzip();
        let peers = requests.map(|requests| {
            let settings = peers::settings(&config, instance.manifest.settings.tunnel_mask);
            Peers::new(requests, settings, &config, clock.elapsed())
        });
        let mut troubles = Troubles::default();
        troubles.loaded(&instance.manifest.missing);
        let mut controller = Self {
            config,
            babel,
            parameters,
            membership,
            clock,
            routing,
            transport: outside.transport,
            installer,
            host: Host::new(outside.netlink),
            instance,
            state,
            journal,
            recorder,
            monitor: outside.monitor,
            orders: outside.orders,
            beside: None,
            troubles,
            solitude: Solitude::default(),
            readiness: outside.readiness,
            log: Log::default(),
            tick: None,
            known: BTreeMap::new(),
            reload: None,
            draining: Draining::default(),
            peers,
            mesh: None,
            outputs: Vec::new(),
            _control: outside.control,
            _lock: lock,
        };
        controller.mesh = controller.new_mesh();
        controller
    }

    pub(super) fn now(&self) -> Time {
        self.clock.elapsed()
    }

    pub(super) fn wall_and_elapsed(&self) -> Now {
        self.clock.now()
    }

    /// Writes a line of the log, unless it was written often lately.
    pub(super) fn say(&mut self, text: &str) {
        let now = self.now();
        self.log.say(now, text);
    }

    /// The host, and what is used of it.
    pub(super) fn host_and_uses(&mut self) -> (&mut Host, Uses<'_>) {
        let uses = Uses {
            config: &self.config,
            babel: &self.babel,
            keys: self.parameters.mac.is_some(),
            transport: &self.transport,
            instance: &self.instance,
            own: self.installer.own(),
            hindered: self.troubles.hinder(),
        };
        (&mut self.host, uses)
    }

    /// Runs until SIGTERM or SIGINT. The data plane and its routes stay, so after SIGTERM neighbours are told nothing: what
    /// is started again soon has lost no packet. SIGINT is for good: neighbours hear that nothing goes by us any more.
    ///
    /// # Errors
    /// It cannot go on: somebody has taken away what it had loaded.
    pub fn run(&mut self) -> Result<()> {
        self.keep_distances();
        self.tell_shortest_prefix();
        self.announce();
        self.look_around()?;
        self.tell_channels();
        self.begin_mesh();
        self.go_on_with_channels();
        self.go_on_with_mesh();
        self.look_after();
        self.begin_commands();
        let outcome = loop {
            if let Some(outcome) = self.turn().transpose() {
                break outcome;
            }
        };
        supervisor::stopping();
        if matches!(outcome, Ok(Ending::ForGood)) {
            self.end_port_mapping();
            self.mesh(mesh::Input::ShutDown);
            self.handle(Input::ShutDown);
            self.channel(channel::Input::ShutDown);
        }
        self.write_mesh_cache();
        if let Some(beside) = self.beside.take() {
            beside.end();
        }
        self.recorder.iter_mut().for_each(Recorder::flush);
        self.journal.flush(self.now());
        while self.installer.wishes.is_busy() {
            self.installer.turn();
        }
        outcome.map(drop)
    }

    /// Waits until something happens or is due, and does what follows from it.
    fn turn(&mut self) -> Result<Option<Ending>> {
        let mut events = [EpollEvent::empty(); SOCKETS];
        let ready = self.readiness.wait(self.calm(), &mut events)?;
        let ending = self.receive(ready);
        self.go_on_with_mesh();
        self.go_on_with_channels();
        self.go_on_with_reload();
        self.look_around()?;
        self.carry_out();
        self.look_after();
        Ok(ending)
    }

    /// How long nothing is to be done unless something happens; `None` for ever.
    fn calm(&self) -> Option<Duration> {
        if self.installer.wishes.is_busy() {
            return Some(Duration::ZERO);
        }
        let deadline = self.routing.next_deadline();
        let deadline = deadline.map(|deadline| deadline.since(self.now()));
        let look = self.host.wait(self.now());
        let channels = self.peers.as_ref().and_then(Peers::next_deadline);
        let channels = channels.map(|deadline| deadline.since(self.now()));
        let tick = self.tick.map(|tick| tick.since(self.now()));
        let mesh = self.mesh.as_ref().and_then(NodeMesh::next_deadline);
        let mesh = mesh.map(|deadline| deadline.since(self.now()));
        [deadline, look, tick, channels, mesh, self.reload_wait()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What failed is tried again, and what has grown is written anew, after a while.
    fn look_after(&mut self) {
        if self.tick.is_some_and(|tick| tick <= self.now()) {
            self.tick = None;
            self.installer.tick();
            self.try_again();
            self.keep_distances();
            if self.state.warning().is_some() {
                self.save();
            }
            self.recorder.iter_mut().for_each(Recorder::flush);
        }
        self.note_solitude();
        let wanted = self.installer.wants_attention()
            || self.solitude.wants_attention()
            || self.troubles.want_attention()
            || self.journal.wants_attention(self.now())
            || self.state.warning().is_some()
            || self.recorder.is_some();
        if wanted {
            let then = self.now() + TICK;
            self.tick.get_or_insert(then);
        }
    }

    /// Says, once, if nobody is there to talk to.
    fn note_solitude(&mut self) {
        let hopeless = self.config.tunnels.is_empty()
            && self.babel.interfaces.is_empty()
            && self.mesh.is_none();
        let alone = self.routing.is_alone();
        let hello = self.parameters.hello_interval;
        let now = self.now();
        if self.solitude.note(alone, hopeless, now, hello) {
            let text = self.why_alone();
            self.say(&format!("WARNING: {text}"));
        }
    }

    pub(super) fn why_alone(&self) -> String {
        if self.mesh.is_some() && self.places().is_empty() {
            return "no other node of the mesh is reachable so far: the registry names none that answers, and neither does \
                    what was known before"
                .to_owned();
        }
        solitude::why(&self.places(), &self.transport.counters)
    }

    /// Routes we are the origin of.
    pub(super) fn announce(&mut self) {
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

    fn receive(&mut self, ready: &[EpollEvent]) -> Option<Ending> {
        let now = self.now();
        let mut inputs = Vec::new();
        let mut ending = None;
        let mut asking = Vec::new();
        for event in ready {
            match event.data() {
                ORDERS => {
                    let orders: Vec<Order> = self.orders.take().collect();
                    for order in orders {
                        match order {
                            Order::Answer(question, asked) => asking.push((question, asked)),
                            Order::Parameters => self.take_parameters(),
                            Order::Reload => drop(self.reload_and_say()),
                            Order::Alive => supervisor::alive(),
                            Order::Doubt { about, text } => {
                                let doubt = text.map(|text| Trouble { text, again: false });
                                self.doubt(&about, doubt);
                            }
                            Order::End(why) => ending = Some(why),
                        }
                    }
                }
                MONITOR => {
                    for change in self.monitor.changes() {
                        self.note(&change);
                    }
                }
                // taken when the mesh goes on
                QUESTIONS => {}
                PORT_MAPPING => self.look_where_we_are_at_once(),
                token if token >= CARRIERS => {
                    let place = (token - CARRIERS) as usize;
                    self.transport.receive_through(place, now, &mut inputs);
                }
                token => {
                    let interface = InterfaceId(token as u32);
                    if self.transport.receive_lan(interface, now, &mut inputs) {
                        self.host.due.note(&[Look::Interfaces]);
                    }
                }
            }
        }
        for input in inputs {
            self.handle(input);
        }
        // all that has happened until now is in it
        for (question, asked) in asking {
            // who asked may have gone
            drop(asked.send(self.answer(&question)));
        }
        ending
    }

    pub(super) fn handle(&mut self, input: Input) {
        let now = self.now();
        let mut outputs = std::mem::take(&mut self.outputs);
        if let Some(recorder) = &mut self.recorder {
            recorder.input(now, &input);
        }
        self.routing.handle(now, input, &mut outputs);
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
        self.journal.flush(self.now());
        match output {
            Output::Send {
                interface,
                destination,
                packet,
            } => {
                if let Some(peer) = self.peer_of(interface) {
                    self.send_to_peer(peer, destination, packet);
                    return;
                }
                let now = self.now();
                let sent = self.transport.send(now, interface, destination, packet);
                if let Err(error) = sent {
                    let name = self.transport.name(interface);
                    self.say(&format!("babel: nothing can be sent on {name}: {error}"));
                }
            }
            Output::Install(route) => {
                self.remember(route.interface, route.next_hop);
                let wanted = Wanted::Via(route.interface, route.next_hop);
                self.installer.wishes.want(route.route, wanted);
            }
            Output::Unreachable { route } => self.installer.wishes.want(route, Wanted::Unreachable),
            Output::Remove { route } => self.installer.wishes.want(route, Wanted::Nothing),
            Output::SaveSequenceNumber(number) => {
                self.state.kept.sequence_number = Some(number);
                self.save();
            }
            Output::SaveDistance(_) => {}
            Output::Event(event) => {
                let text = self.routing.describe(&event);
                self.say(&format!("babel: {text}"));
            }
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
        if self.journal.is_due(self.now())
            && let Some(distances) = self.routing.distances()
        {
            self.journal.renew(self.now(), &distances);
        }
    }

    pub(super) fn save(&mut self) {
        if self.state.save().is_err()
            && let Some(warning) = self.state.warning()
        {
            self.say(&warning);
        }
    }

    pub(super) fn carry_out(&mut self) {
        if self.installer.wishes.is_busy() {
            self.installer.turn();
            self.tell_outcomes();
        }
        if self
            .routing
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now())
        {
            self.handle(Input::Time);
        }
    }

    /// The protocol announces nothing that is not installed; people are told why.
    fn tell_outcomes(&mut self) {
        for (route, why) in self.installer.news() {
            let route = wishes::name(&route);
            self.say(&wishes::warning(&route, &why));
        }
        for (route, installed) in self.installer.wishes.outcomes() {
            self.handle(Input::Installed { route, installed });
        }
    }

    /// Sockets for the tunnels of a configuration, where there are none yet.
    pub(super) fn open_carriers(&mut self, config: &Config) -> io::Result<()> {
        let known = self.transport.carriers.len();
        self.transport.open_carriers(&config.tunnels)?;
        for (place, carrier) in self.transport.carriers.iter().enumerate().skip(known) {
            self.readiness
                .add(carrier.as_fd(), CARRIERS + place as u64)?;
        }
        Ok(())
    }

    /// Takes up what the membership says, without anything being restarted.
    fn take_parameters(&mut self) {
        let Some(standing) = &mut self.membership else {
            return;
        };
        let parameters = standing.borrow_and_update().babel.clone();
        self.tell_channels();
        self.follow_mesh_settings();
        if parameters == self.parameters {
            return;
        }
        self.parameters = parameters;
        if let Some(mac) = &self.parameters.mac
            && let Err(error) = self.transport.set_mac(mac)
        {
            eprintln!("the network's {error}");
        }
        self.tell_shortest_prefix();
        self.host.due.note(&[Look::Interfaces]);
    }

    fn tell_shortest_prefix(&mut self) {
        let bits = self.parameters.shortest_prefix;
        self.handle(Input::ShortestPrefix { bits });
    }
}
