//! Questions to other nodes, over the mesh, and theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Context, Mesh, tunnel::State};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        QuestionId,
        address::is_private,
        input::Source,
        known::Known,
        output::{Closing, Output},
        random,
        routes::Metric,
    },
    rate::Bucket,
    time::Time,
};

/// Hosts that somebody who asks to be reached is looked for at.
const MAX_REACHED: usize = 2;

/// How often others may ask.
#[derive(Debug, Default)]
pub struct Questions {
    all: Bucket,
    by_node: BTreeMap<NodePrefix, Asker>,
}

/// One of them.
#[derive(Debug, Default)]
struct Asker {
    bucket: Bucket,
    /// When we were to call it last.
    invited_at: Option<Time>,
}

impl Mesh {
    /// Asks a node to which a tunnel is wanted where it is.
    pub(super) fn ask_for_addresses(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
    ) -> State {
        State::Asking {
            id: self.invite(context, node),
            until: context.now + self.settings.timers.answer,
        }
    }

    /// Asks a node where it is, and to call us while we call it: so a NAT before either of us lets the other's call in.
    pub(super) fn invite(&mut self, context: &mut Context<'_>, node: NodePrefix) -> QuestionId {
        let id = QuestionId(random::bits(&mut *context.random));
        let reach_us = !self.own_addresses.is_empty();
        self.counters.questions += 1;
        self.counters.introductions += u64::from(reach_us);
        context.outputs.push(Output::Ask {
            node,
            id,
            destinations: Arc::default(),
            reach_us,
        });
        id
    }

    /// Whether others are asked to try and reach us, only for us to know whether they can.
    pub(super) fn asks_to_be_reached(&self, now: Time) -> bool {
        let known = self.reachable.known.is_some() || self.is_reachable(now);
        !known && !self.own_addresses.is_empty()
    }

    /// An answer: addresses, whether there is room for us, and metrics.
    pub(super) fn answered(
        &mut self,
        context: &mut Context<'_>,
        known: Known,
        id: QuestionId,
        (has_room, metrics): (bool, Vec<Metric>),
    ) {
        let by = known.node;
        let tunnel = self.tunnels.get(&by).map(|tunnel| tunnel.state);
        let is_wanted = matches!(tunnel, Some(State::Asking { id: asked, .. }) if asked == id);
        let is_called =
            matches!(tunnel, Some(State::Opening { introduction, .. }) if introduction == Some(id));
        if !is_wanted && !is_called && !self.is_asked(by, id) {
            self.counters.unasked_answers += 1;
            return;
        }
        self.counters.answers += 1;
        self.learn(context, Source::Itself, vec![known]);
        if is_called && !has_room {
            let why = Closing::NotNeeded;
            context.outputs.push(Output::Close { node: by, why });
            self.peer_is_full(context, by);
        } else if is_wanted && !has_room {
            self.peer_is_full(context, by);
        } else if is_wanted {
            self.open_asked(context, by);
        } else if !is_called {
            self.inquiry_answered(context, by, has_room, metrics);
        }
    }

    /// Another node asks.
    pub(super) fn asked(
        &mut self,
        context: &mut Context<'_>,
        known: Known,
        id: QuestionId,
        (destinations, reach_us): (&[NodePrefix], bool),
    ) {
        let by = known.node;
        let limits = &self.settings.limits;
        let too_many = destinations.len() > limits.destinations || self.expelled.contains(&by);
        if too_many || !self.questions.may_ask(context.now, by, limits) {
            self.counters.excess_questions += 1;
            return;
        }
        self.counters.answered += 1;
        let mut reach = match reach_us {
            true => known.addresses.clone(),
            false => Vec::new(),
        };
        self.learn(context, Source::Itself, vec![known]);
        // whoever asks decides where we send: to so few hosts, that nobody else can be flooded by us
        let mut hosts = BTreeSet::new();
        reach.sort_by_key(|address| is_private(address.socket.ip()));
        reach.retain(|address| {
            address.is_usable() && self.is_allowed(address) && hosts.insert(address.socket.ip())
        });
        reach.truncate(MAX_REACHED);
        if !reach.is_empty() {
            self.questions.invited(context.now, by);
            context.outputs.push(Output::Reach {
                node: by,
                addresses: reach,
            });
        }
        let metric = |node: &NodePrefix| match *node == self.own {
            true => Metric(0),
            false => context.routes.metric(*node).unwrap_or(Metric::INFINITY),
        };
        let metrics = destinations.iter().map(metric).collect();
        context.outputs.push(Output::Answer {
            node: by,
            id,
            addresses: self.own_addresses.clone(),
            has_room: self.has_room_for(context, by),
            metrics,
        });
    }
}

impl Questions {
    fn may_ask(
        &mut self,
        now: Time,
        by: NodePrefix,
        limits: &crate::mesh::settings::Limits,
    ) -> bool {
        if !self.by_node.contains_key(&by) && self.by_node.len() >= limits.remembered {
            self.by_node.retain(|_, asker| !asker.bucket.is_idle(now));
            if self.by_node.len() >= limits.remembered {
                return false;
            }
        }
        let asker = self.by_node.entry(by).or_default();
        asker.bucket.take(limits.questions_of_node, now).is_ok()
            && self.all.take(limits.questions, now).is_ok()
    }

    fn invited(&mut self, now: Time, by: NodePrefix) {
        self.by_node.entry(by).or_default().invited_at = Some(now);
    }

    /// Whether a node that opens a tunnel now had asked us to call it.
    pub fn has_invited(&self, now: Time, node: NodePrefix, opening: Duration) -> bool {
        let asker = self.by_node.get(&node);
        let at = asker.and_then(|asker| asker.invited_at);
        at.is_some_and(|at| now.since(at) < opening)
    }
}
