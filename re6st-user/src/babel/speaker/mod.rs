//! The speaker as its caller sees it: it hands on what happens to the machines that keep links, routes, announcements, requests
//! and restarts, and what follows from one to the others.

mod status;

use std::collections::BTreeMap;

use super::{
    announce::{self, Announcer},
    context::Context,
    counters::Counters,
    ids::{Audience, NeighbourId},
    input::{Input, InterfaceId, Restored},
    link::{self, Arrival, Links},
    message::{Message, Update},
    origins::{Entitlement, Refusal},
    output::{GROUP, Output},
    quantities::{RouterId, SequenceNumber},
    request::{self, Requests, SequenceNumberRequest},
    restart::{self, Restart},
    rib::{self, Import, Rib},
    settings::{InterfaceSettings, Settings},
    wire,
};
use crate::{route::RouteKey, time::Time};

/// Steps of work that each kind of what is due may take in one call, so that it stays short: a few milliseconds. What is left
/// is due at once.
const STEPS: u64 = 4096;

/// A router that speaks Babel. It does nothing by itself: [`Speaker::handle`] is called whenever something happens, and
/// at the latest at [`Speaker::next_deadline`] with [`Input::Time`].
#[derive(Debug)]
pub struct Speaker {
    context: Context,
    links: Links,
    rib: Rib,
    announcer: Announcer,
    requests: Requests,
    restart: Restart,
    /// What neighbours at the other end of tunnels may announce as their own.
    entitlements: BTreeMap<InterfaceId, Entitlement>,
    /// What people call interfaces, also those that are gone.
    names: BTreeMap<InterfaceId, String>,
}

impl Speaker {
    /// A speaker without interfaces and routes of its own. `seed` decides all its jitter.
    pub fn new(now: Time, settings: Settings, restored: &Restored, seed: u64) -> Self {
        let restart = Restart::new(now, settings.restart_time, &restored.routes);
        let mut context = Context::new(now, settings, seed);
        let (over, listening_until) = (restart.over, restart.listening_until);
        Self {
            rib: Rib::new(&mut context, restored, over, listening_until),
            restart,
            context,
            links: Links::default(),
            announcer: Announcer::new(now),
            requests: Requests::default(),
            entitlements: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// Handles what happened, and whatever is due at `now`; appends what is to be done, in order.
    pub fn handle(&mut self, now: Time, input: Input, outputs: &mut Vec<Output>) {
        self.context.now = self.context.now.max(now);
        match input {
            Input::Interface {
                interface,
                settings,
            } => self.set_interface(interface, *settings),
            Input::InterfaceRemoved { interface } => {
                self.links(|links, context| links.remove_interface(context, interface));
                self.announcer.remove(interface);
                self.entitlements.remove(&interface);
                self.rib.forget_refusals(interface);
            }
            Input::Carrier { interface, up } => {
                self.links(|links, context| links.carrier(context, interface, up));
            }
            Input::Received {
                interface,
                source,
                bytes,
                received_at,
                destination,
            } => {
                let group = destination == GROUP;
                let arrival = self.links.arrival(interface, source, group, received_at);
                self.receive(arrival, &bytes);
            }
            Input::Announce { route, metric } => {
                self.routes(|rib, context| rib.announce(context, route, metric));
            }
            Input::Withdraw { route } => self.routes(|rib, context| rib.withdraw(context, &route)),
            Input::Installed { route, installed } => {
                self.routes(|rib, context| rib.set_installed(context, &route, installed));
            }
            Input::CostMultiplier {
                interface,
                neighbour,
                multiplier,
            } => self.links(|links, context| {
                links.set_multiplier(context, interface, neighbour, multiplier);
            }),
            Input::Quality {
                interface,
                round_trip,
                loss_out,
                loss_in,
                responsive,
            } => {
                let report = link::Report {
                    round_trip,
                    loss_out,
                    loss_in,
                    responsive,
                };
                let restarting = self.is_restarting();
                self.links(|links, context| {
                    links.set_quality(context, interface, &report, restarting);
                });
            }
            Input::Entitlement {
                interface,
                router_id_prefix,
                prefixes,
                gateway,
            } => {
                let entitlement = Entitlement {
                    name: router_id_prefix,
                    prefixes,
                    gateway,
                };
                self.entitle(interface, entitlement);
            }
            Input::ShortestPrefix { bits } => self.set_shortest_prefix(bits),
            Input::Time => {}
            Input::ShutDown => self.shut_down(),
        }
        self.keep_appointments();
        outputs.append(&mut self.context.outputs);
    }

    /// When [`Speaker::handle`] must be called at the latest, `None` if nothing is due. It may lie in the past, when
    /// work was left undone to keep the call short.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.rib.has_work() || self.restart.has_work() || !self.context.outputs.is_empty() {
            return Some(self.context.now);
        }
        let timers = self.timers().into_iter();
        timers.chain([self.rib.next_deadline()]).flatten().min()
    }

    /// What it was given.
    pub const fn settings(&self) -> &Settings {
        &self.context.settings
    }

    /// Of our own routes.
    pub const fn sequence_number(&self) -> SequenceNumber {
        self.rib.own_number()
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.context.counters
    }

    /// Everything that is due, as far as the steps reach.
    fn keep_appointments(&mut self) {
        self.work_off(Self::time_out);
        self.work_off(|speaker| speaker.routes(Rib::keep_appointment));
        self.work_off(|speaker| {
            let voided = speaker.restart.next_voided()?;
            speaker.routes(|rib, context| rib.void_restored(context, voided));
            Some(())
        });
        self.routes(Rib::work);
    }

    /// Does one thing after the other until there is none, or it is enough for one call.
    fn work_off(&mut self, mut next: impl FnMut(&mut Self) -> Option<()>) {
        let enough = self.context.steps + STEPS;
        while self.context.steps < enough && next(self).is_some() {
            self.context.steps += 1;
        }
    }

    /// When the next timer of each machine goes off.
    fn timers(&self) -> [Option<Time>; 4] {
        [
            self.announcer.next_deadline(),
            self.links.next_deadline(),
            self.requests.next_deadline(),
            self.restart.next_deadline(),
        ]
    }

    /// The next timer that is due.
    fn time_out(&mut self) -> Option<()> {
        let timers = self.timers();
        let first = timers.into_iter().flatten().min();
        let due = first.filter(|first| *first <= self.context.now)?;
        match timers.iter().position(|timer| *timer == Some(due))? {
            0 => self.announce_what_is_due(),
            1 => {
                let restarting = self.is_restarting();
                self.links(|links, context| links.time_out(context, restarting))
            }
            2 => self.requests(Requests::time_out),
            _ => self.go_on_after_start(),
        }
    }

    fn announce_what_is_due(&mut self) -> Option<()> {
        let now = self.context.now;
        let timer = self.announcer.pop(now)?;
        if let announce::Timer::Update(id) = timer
            && self.announcer.refreshes(now, &self.links, id)
        {
            self.routes(Rib::reconsider_all);
        }
        let (context, rib, links) = (&mut self.context, &self.rib, &self.links);
        self.announcer.time_out(context, rib, links, timer);
        Some(())
    }

    fn go_on_after_start(&mut self) -> Option<()> {
        match self.restart.time_out(self.context.now)? {
            restart::Timer::Listened => self.routes(|rib, _| rib.compare_all()),
            restart::Timer::Settled => self.routes(Rib::settle),
            restart::Timer::Over => {
                let intervals = self.links.all_settings();
                let longest = intervals.map(|settings| settings.update_interval).max();
                // what we announced expires after three and a half update intervals (appendix B), elsewhere after four
                let expired = longest.unwrap_or_default() * 4;
                let restart_time = self.context.settings.restart_time;
                self.restart.end(self.context.now, restart_time, expired);
                self.routes(Rib::end_restart);
            }
        }
        Some(())
    }

    /// Whether routes of before a restart are still in use that were not heard again.
    fn is_restarting(&self) -> bool {
        !self.rib.restored().is_empty()
    }

    fn set_interface(&mut self, id: InterfaceId, settings: InterfaceSettings) {
        self.names.insert(id, settings.place());
        let continues = self.is_restarting();
        let renewed =
            self.links(|links, context| links.set_interface(context, id, settings, continues));
        if renewed.announced {
            let now = self.context.now;
            self.announcer.announce_anew(now, &self.rib, id);
        }
        if renewed.known {
            self.links(|links, context| links.reassess(context, id, renewed.accepted));
        }
    }

    fn receive(&mut self, arrival: Option<Arrival>, bytes: &[u8]) {
        self.context.counters.packets_received += 1;
        let Some(mut arrival) = arrival else {
            self.context.counters.foreign_packets += 1;
            return;
        };
        let Ok(mut messages) = wire::decode(bytes, arrival.source) else {
            self.context.counters.bad_packets += 1;
            return;
        };
        let restarting = self.is_restarting();
        self.links(|links, context| links.sign_of_life(context, &arrival, restarting));
        for message in &mut messages {
            let routes = self
                .links(|links, context| links.receive(context, &mut arrival, message, restarting));
            match routes {
                Some((Some(from), message)) => self.receive_routes(from, &arrival, message),
                // we may go on routing by one of before our restart
                Some((None, Message::RetractAll)) => self.void_all(&arrival),
                Some((None, _)) | None => {}
            }
        }
        self.context.counters.ignored_tlvs += messages.ignored().total();
    }

    /// What a neighbour says of routes.
    fn receive_routes(&mut self, from: NeighbourId, arrival: &Arrival, message: Message) {
        match message {
            Message::Update(update) => self.receive_update(from, arrival, &update),
            Message::RetractAll => self.retract_all(from, arrival),
            Message::RouteRequest { route } => {
                let (context, rib) = (&mut self.context, &self.rib);
                self.announcer.answer(context, rib, from, route);
            }
            Message::SequenceNumberRequest {
                route,
                router_id,
                sequence_number,
                hop_count,
            } => {
                let request = SequenceNumberRequest {
                    route,
                    router_id,
                    sequence_number,
                    hop_count,
                };
                self.requests(|requests, context, rib| {
                    requests.receive(context, rib, from, request);
                });
            }
            Message::Digest {
                first,
                interval,
                blocks,
            } => {
                let now = self.context.now;
                let blocks = self.rib.hear_digest(now, from, first, interval, &blocks);
                let counters = &mut self.context.counters;
                counters.unequal_blocks += u64::from(blocks.count_ones());
                counters.equal_digests += u64::from(blocks == 0);
                if blocks != 0 {
                    let unequal = Message::DigestMismatch { blocks };
                    self.announcer.tell(now, from, unequal);
                }
            }
            Message::DigestMismatch { blocks } => {
                self.announcer.dump_to(self.context.now, from, blocks);
            }
            _ => {}
        }
    }

    fn receive_update(&mut self, from: NeighbourId, arrival: &Arrival, update: &Update) {
        self.context.counters.updates_received += 1;
        if update.router_id.is_none() || update.metric.is_infinite() {
            let Some(id) = self.rib.table().find(&update.route) else {
                return;
            };
            let voided = (id, arrival.interface, arrival.source);
            self.routes(|rib, context| rib.void_restored(context, voided));
            self.routes(|rib, context| rib.retract(context, id, from));
            return;
        }
        let place = self.routes(|rib, context| rib.place_for(context, from, update));
        let Some(id) = place else {
            return;
        };
        if let Some(voided) = self.restart.announced_again(&self.rib, id, from) {
            self.routes(|rib, context| rib.void_restored(context, voided));
        }
        // whoever was asked for what it took back is asked again
        self.routes(|rib, context| rib.retract_void(context, id, from));
        let settings = self.links.settings(arrival.interface);
        if let Some(import) = settings.map(|settings| Import {
            settings,
            own_address: self.links.is_own(&self.context, update.route.to()),
            refusal: update
                .router_id
                .and_then(|router_id| self.refusal(arrival.interface, &update.route, router_id)),
        }) {
            let before = self.rib.changes();
            self.rib
                .acquire(&mut self.context, from, id, update, import);
            self.follow(before);
        }
    }

    /// Why a route is not taken of the neighbours of an interface; `None` if it is.
    fn refusal(&self, at: InterfaceId, route: &RouteKey, by: RouterId) -> Option<Refusal> {
        let origins = self.context.settings.origins?;
        origins.refusal(self.entitlements.get(&at), route, by)
    }

    /// Whoever is at the other end of a tunnel may announce this as its own from now on.
    fn entitle(&mut self, interface: InterfaceId, entitlement: Entitlement) {
        let before = self.entitlements.insert(interface, entitlement.clone());
        if before != Some(entitlement) {
            self.judge_again(interface, true);
        }
    }

    fn set_shortest_prefix(&mut self, bits: u8) {
        let Some(origins) = &mut self.context.settings.origins else {
            return;
        };
        let before = std::mem::replace(&mut origins.shortest, bits);
        if before == bits {
            return;
        }
        for interface in self.links.interfaces().collect::<Vec<_>>() {
            self.judge_again(interface, bits < before);
        }
    }

    /// Other routes of an interface may be refused from now on. `more`: others may be taken as well, which are asked for.
    fn judge_again(&mut self, interface: InterfaceId, more: bool) {
        let Some(origins) = self.context.settings.origins else {
            return;
        };
        let entitlement = self.entitlements.get(&interface).cloned();
        for neighbour in self.links.of_interface(interface) {
            self.routes(|rib, context| {
                rib.judge_again(context, neighbour, |route, router_id| {
                    origins.refusal(entitlement.as_ref(), route, router_id)
                });
            });
        }
        self.links(|links, context| links.reassess(context, interface, more));
    }

    /// A neighbour took back all it announced.
    fn retract_all(&mut self, from: NeighbourId, arrival: &Arrival) {
        self.rib.retract_all(from);
        self.void_all(arrival);
    }

    fn void_all(&mut self, arrival: &Arrival) {
        let restored = self.rib.restored();
        let (interface, by) = (arrival.interface, arrival.source);
        if self.restart.void_all(interface, by, restored) {
            self.rib.distrust_all(interface, by);
        }
    }

    /// Tells neighbours that nothing goes by us any more (section 3.5.5 and appendix B); installed routes stay.
    fn shut_down(&mut self) {
        for id in self.links.interfaces().collect::<Vec<_>>() {
            let messages = self.links.farewell(id);
            // twice, in case one gets lost
            for _ in 0..2 {
                self.links
                    .send(&mut self.context, Audience::Group(id), messages.clone());
            }
        }
        self.links.shut_down();
        self.announcer.shut_down();
        self.requests.stop();
        self.restart.stop();
        self.rib.stop();
    }

    /// Something happens to links, and what follows from it.
    fn links<T>(&mut self, happens: impl FnOnce(&mut Links, &mut Context) -> T) -> T {
        let result = happens(&mut self.links, &mut self.context);
        let now = self.context.now;
        for change in self.links.take_changes() {
            match change {
                link::Change::Soon(id, message) => self.announcer.tell(now, id, message),
                link::Change::Started { interface, ask } => self.start(interface, ask),
                link::Change::Stopped(interface) => self.announcer.stop(interface),
                link::Change::New {
                    id,
                    interface,
                    address,
                } => {
                    self.rib.meet(id, interface, address);
                    self.announcer.meet(id, interface);
                }
                link::Change::Restarted(id, arrival) => self.retract_all(id, &arrival),
                link::Change::Cost(id, cost) => self.rib.set_cost(id, cost),
                link::Change::Uninformed(id) => self.announcer.dump_to(now, id, u64::MAX),
                link::Change::Gone(id) => {
                    self.announcer.leave(id);
                    self.requests(|requests, _, _| requests.leave(id));
                    self.rib.leave(id);
                }
            }
        }
        result
    }

    /// An interface begins to work: we say that we are here, and ask for everything (section 3.8.2 and appendix B).
    fn start(&mut self, interface: InterfaceId, ask: bool) {
        let (context, links) = (&mut self.context, &self.links);
        self.announcer.start(context, links, interface);
        let group = Audience::Group(interface);
        if ask {
            // what neighbours have of a life before is void, unless it is still installed; twice, in case one gets lost
            let times = if self.is_restarting() { 0 } else { 2 };
            for _ in 0..times {
                self.links
                    .send(&mut self.context, group, vec![Message::RetractAll]);
            }
            self.links.send(
                &mut self.context,
                group,
                vec![Message::RouteRequest { route: None }],
            );
        }
    }

    /// Something happens to routes, and what follows from it.
    fn routes<T>(&mut self, happens: impl FnOnce(&mut Rib, &mut Context) -> T) -> T {
        let before = self.rib.changes();
        let result = happens(&mut self.rib, &mut self.context);
        self.follow(before);
        result
    }

    /// Carries out changes of routes from a number on, each with all that follows from it.
    fn follow(&mut self, from: usize) {
        let mut next = from;
        while let Some(change) = self.rib.change(next) {
            next += 1;
            self.carry_out(change);
        }
        self.rib.carried_out(from);
    }

    fn carry_out(&mut self, change: rib::Change) {
        let now = self.context.now;
        match change {
            rib::Change::Announce { id, urgent } => {
                self.announcer.announce(&mut self.context, id, urgent);
            }
            rib::Change::Moved { id, from } => {
                let (context, links) = (&mut self.context, &self.links);
                self.announcer
                    .announce_where_learned(context, links, id, from);
            }
            rib::Change::Selected(id) => {
                self.requests(|requests, context, rib| requests.pursue_all(context, rib, id));
            }
            rib::Change::Compared(id) => {
                self.requests(|requests, context, rib| requests.ask_if_better(context, rib, id));
            }
            rib::Change::Unfeasible { id, sender } => self.requests(|requests, context, rib| {
                requests.ask_sender(context, rib, id, sender);
            }),
            rib::Change::Expiring { route, sender } => {
                let route = Some(route);
                self.announcer
                    .tell(now, sender, Message::RouteRequest { route });
            }
            rib::Change::Left(id) => self.links.forget(id),
        }
    }

    /// Something happens to requests, and what follows from it.
    fn requests<T>(&mut self, happens: impl FnOnce(&mut Requests, &mut Context, &Rib) -> T) -> T {
        let result = happens(&mut self.requests, &mut self.context, &self.rib);
        for change in self.requests.take_changes() {
            match change {
                request::Change::Ask(id, message) => {
                    self.announcer.tell(self.context.now, id, message);
                }
                request::Change::Sought(key, number) => self.rib.seek(key, number),
                request::Change::Select(id) => self.routes(|rib, context| rib.select(context, id)),
                request::Change::Answer(to, id) => {
                    self.routes(|rib, context| rib.reconsider(context, id, true));
                    self.announcer.announce_to(&mut self.context, to, id);
                }
                request::Change::Advance(number) => {
                    self.routes(|rib, context| rib.advance(context, number));
                }
            }
        }
        result
    }
}

/// What tests look at.
#[cfg(test)]
impl Speaker {
    /// Work done so far.
    pub fn steps(&self) -> u64 {
        self.context.steps
    }

    /// How many appointments, routes and prefixes there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let table = self.rib.table();
        (self.rib.appointments(), table.routes, table.len())
    }
}
