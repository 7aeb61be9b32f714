//! The decisions of a node about its tunnels.

mod bootstrap;
mod direct;
mod draw;
mod ending;
mod fill;
mod gain;
mod inquiry;
mod opening;
mod optimise;
mod questions;
mod reporting;
mod round;
mod served;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{
    direct::Traffic,
    inquiry::Inquiry,
    optimise::{Distrust, Search},
    questions::Questions,
    reporting::Ended,
    tunnel::Tunnel,
};
use super::{
    Random,
    address::Address,
    counters::Counters,
    event::Event,
    input::{Input, Source},
    known::{AddressBook, Known},
    output::{Closing, Output},
    routes::Routes,
    settings::Settings,
};
use crate::{certificate::node_prefix::NodePrefix, time::Time};

/// What comes with each call.
struct Context<'a> {
    now: Time,
    routes: &'a dyn Routes,
    random: Random<'a>,
    outputs: &'a mut Vec<Output>,
}

impl Context<'_> {
    fn tell(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}

/// Whom this node keeps tunnels to.
#[derive(Debug)]
pub struct Mesh {
    /// Our name.
    own: NodePrefix,
    settings: Settings,
    counters: Counters,
    own_addresses: Vec<Address>,
    /// By the peer: two nodes have one tunnel at most.
    tunnels: BTreeMap<NodePrefix, Tunnel>,
    book: AddressBook,
    /// Of the last run, still to be tried.
    anchors: VecDeque<NodePrefix>,
    /// What [`Output::Anchors`] said last.
    anchors_told: Vec<NodePrefix>,
    expelled: BTreeSet<NodePrefix>,
    questions: Questions,
    inquiries: BTreeMap<NodePrefix, Inquiry>,
    search: Option<Search>,
    distrust: Distrust,
    traffic: Traffic,
    bootstrap: bootstrap::Bootstrap,
    pace: fill::Pace,
    rounds: round::Rounds,
    reachable: served::Reachable,
    /// What neighbours were worth in the last round.
    worth: BTreeMap<NodePrefix, f64>,
    ended: Ended,
    is_shut_down: bool,
}

impl Mesh {
    /// A node without tunnels.
    pub fn new(own: NodePrefix, settings: Settings) -> Self {
        let mut book = AddressBook::default();
        for known in settings.preferred() {
            book.learn(Source::Configuration, known);
        }
        Self {
            own,
            settings,
            counters: Counters::default(),
            own_addresses: Vec::new(),
            tunnels: BTreeMap::new(),
            book,
            anchors: VecDeque::new(),
            anchors_told: Vec::new(),
            expelled: BTreeSet::new(),
            questions: Questions::default(),
            inquiries: BTreeMap::new(),
            search: None,
            distrust: Distrust::default(),
            traffic: Traffic::default(),
            bootstrap: bootstrap::Bootstrap::default(),
            pace: fill::Pace::default(),
            rounds: round::Rounds::default(),
            reachable: served::Reachable::default(),
            worth: BTreeMap::new(),
            ended: Ended::default(),
            is_shut_down: false,
        }
    }

    /// Takes what happens, and says what is to be done. What is due by now is done too.
    pub fn handle(
        &mut self,
        now: Time,
        input: Input,
        routes: &dyn Routes,
        random: Random<'_>,
        outputs: &mut Vec<Output>,
    ) {
        let mut context = Context {
            now,
            routes,
            random,
            outputs,
        };
        self.take(&mut context, input);
        if !self.is_shut_down {
            self.time_out(&mut context);
            self.time_out_inquiries(&mut context);
            self.look_around(&mut context);
            self.round(&mut context);
            self.fill(&mut context);
            self.bootstrap(&mut context);
            self.shrink_book(&mut context);
        }
    }

    /// When [`Self::handle`] is to be called at the latest, with [`Input::Time`] if nothing else happens. To be asked for after each
    /// call. Routes that come and go need no call of their own.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.is_shut_down {
            return None;
        }
        let tunnels = self.tunnels.values().filter_map(Tunnel::deadline);
        let own = [
            self.settling_deadline(),
            self.rounds.deadline(),
            self.bootstrap.deadline(),
            self.pace.deadline(),
            self.reachable.deadline(&self.settings),
        ];
        let inquiries = self.inquiries.values().map(|inquiry| inquiry.until);
        tunnels
            .chain(inquiries)
            .chain(own.into_iter().flatten())
            .min()
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether there is a tunnel with a node, and whether it is ours.
    #[cfg(test)]
    pub(super) fn is_ours(&self, node: NodePrefix) -> Option<bool> {
        self.tunnels.get(&node).map(Tunnel::is_ours)
    }

    fn take(&mut self, context: &mut Context<'_>, input: Input) {
        match input {
            Input::Time => {}
            Input::Settings(settings) => self.set(context, *settings),
            Input::OwnAddresses(addresses) => self.own_addresses = addresses,
            Input::Reachable(known) => self.reachable.known = known,
            Input::Reached => self.reachable.note(context.now),
            Input::Remembered { peers, anchors } => {
                self.learn(context, Source::Cache, peers);
                self.anchors = anchors.into_iter().take(round::ANCHORS).collect();
            }
            Input::Learned { source, peers } => {
                let named = peers.iter().map(|peer| peer.node).collect();
                self.learn(context, source, peers);
                if source == Source::Registry {
                    self.registry_answered(context, named);
                }
            }
            Input::RegistrySilent => self.registry_silent(),
            Input::Up {
                node,
                opened_by,
                address,
            } => self.up(context, node, opened_by, address),
            Input::OpenFailed { node, why } => self.open_failed(context, node, why),
            Input::Closed { node, why } => self.closed(context, node, why),
            Input::Quality {
                node,
                round_trip,
                loss,
            } => {
                if let Some(tunnel) = self.tunnels.get_mut(&node) {
                    tunnel.round_trip = round_trip;
                    tunnel.loss = loss;
                }
            }
            Input::Drained(node) => self.drained(context, node),
            Input::Asked {
                by,
                id,
                destinations,
                reach_us,
            } => self.asked(context, by, id, (&destinations, reach_us)),
            Input::Answered {
                by,
                id,
                has_room,
                metrics,
            } => self.answered(context, by, id, (has_room, metrics)),
            Input::Probed { node, round_trip } => self.probed(context, node, round_trip),
            Input::Traffic(octets) => self.note_traffic(context, octets),
            Input::Expelled(nodes) => self.expel(context, nodes),
            Input::Moved => {
                self.book.forgive();
                self.bootstrap.at_once();
                self.pace.at_once();
            }
            Input::ShutDown => self.shut_down(context),
        }
    }

    fn set(&mut self, context: &mut Context<'_>, settings: Settings) {
        self.learn(context, Source::Configuration, settings.preferred());
        self.settings = settings;
        self.pace.at_once();
        self.drain_what_is_not_allowed(context);
        self.drain_excess_served(context);
    }

    /// Remembers peers that somebody told of.
    fn learn(&mut self, context: &mut Context<'_>, source: Source, peers: Vec<Known>) {
        for peer in peers.into_iter().take(self.settings.limits.known) {
            let node = peer.node;
            if node == self.own || self.expelled.contains(&node) {
                continue;
            }
            let learned = self.book.learn(source, peer);
            self.counters.bad_addresses += learned.bad;
            self.counters.stale_records += u64::from(learned.is_stale);
            if learned.is_new && source != Source::Cache {
                self.remember(context, node);
            }
        }
    }

    fn remember(&self, context: &mut Context<'_>, node: NodePrefix) {
        if let Some(known) = self.book.get(node) {
            context.outputs.push(Output::Remember(known.clone()));
        }
    }

    fn shrink_book(&mut self, context: &mut Context<'_>) {
        let limit = self.settings.limits.known;
        if self.book.count() <= limit {
            return;
        }
        let mut protected: BTreeSet<NodePrefix> = self.tunnels.keys().copied().collect();
        protected.extend(self.settings.preferred.keys());
        let gone = self.book.shrink(limit, &protected, &mut *context.random);
        let gone = gone.into_iter().map(Output::Forget);
        context.outputs.extend(gone);
    }

    fn expel(&mut self, context: &mut Context<'_>, nodes: Vec<NodePrefix>) {
        self.expelled = nodes.into_iter().collect();
        let expelled = std::mem::take(&mut self.expelled);
        for node in &expelled {
            if self.book.remove(*node) {
                context.outputs.push(Output::Forget(*node));
            }
            if self.tunnels.contains_key(node) {
                self.close(context, *node, Closing::Expelled);
            }
        }
        self.expelled = expelled;
    }

    fn shut_down(&mut self, context: &mut Context<'_>) {
        let nodes = Vec::from_iter(self.tunnels.keys().copied());
        self.tell_anchors(context);
        for node in nodes {
            self.close(context, node, Closing::ShutDown);
        }
        self.is_shut_down = true;
    }
}
