//! Questions to other nodes, over the mesh, and theirs.

use std::{collections::BTreeMap, sync::Arc};

use super::{Context, Mesh, tunnel::State};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        QuestionId,
        address::{Address, MAX_ADDRESSES},
        input::Source,
        known::Known,
        output::Output,
        random,
        routes::Metric,
    },
    rate::Bucket,
    time::Time,
};

/// How often others may ask.
#[derive(Debug, Default)]
pub struct Questions {
    all: Bucket,
    by_node: BTreeMap<NodePrefix, Bucket>,
}

impl Mesh {
    /// Asks a node to which a tunnel is wanted where it is.
    pub(super) fn ask_for_addresses(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
    ) -> State {
        let id = QuestionId(random::bits(&mut *context.random));
        self.counters.questions += 1;
        let reach_us = self.reach_us(context.now);
        context.outputs.push(Output::Ask {
            node,
            id,
            destinations: Arc::default(),
            reach_us,
        });
        State::Asking {
            id,
            until: context.now + self.settings.timers.answer,
        }
    }

    /// Where others are asked to try and reach us.
    pub(super) fn reach_us(&self, now: Time) -> Vec<Address> {
        match self.reachable.known.is_some() || self.is_reachable(now) {
            true => Vec::new(),
            false => self
                .own_addresses
                .iter()
                .take(MAX_ADDRESSES)
                .copied()
                .collect(),
        }
    }

    /// An answer: addresses, whether there is room for us, and metrics.
    pub(super) fn answered(
        &mut self,
        context: &mut Context<'_>,
        by: NodePrefix,
        id: QuestionId,
        (addresses, has_room, metrics): (Vec<Address>, bool, Vec<Metric>),
    ) {
        let tunnel = self.tunnels.get(&by).map(|tunnel| tunnel.state);
        let is_wanted = matches!(tunnel, Some(State::Asking { id: asked, .. }) if asked == id);
        if !is_wanted && !self.is_asked(by, id) {
            self.counters.unasked_answers += 1;
            return;
        }
        self.counters.answers += 1;
        self.learn_of(context, by, addresses);
        if !is_wanted {
            self.inquiry_answered(context, by, has_room, metrics);
        } else if has_room {
            self.open_asked(context, by);
        } else {
            self.peer_is_full(context, by);
        }
    }

    /// A node says where it is.
    fn learn_of(&mut self, context: &mut Context<'_>, node: NodePrefix, addresses: Vec<Address>) {
        let known = Known {
            node,
            addresses,
            owner: None,
        };
        self.learn(context, Source::Itself, vec![known]);
    }

    /// Another node asks.
    pub(super) fn asked(
        &mut self,
        context: &mut Context<'_>,
        by: NodePrefix,
        id: QuestionId,
        (destinations, mut reach): (&[NodePrefix], Vec<Address>),
    ) {
        let limits = &self.settings.limits;
        let too_many = destinations.len() > limits.destinations || self.expelled.contains(&by);
        if too_many || !self.questions.may_ask(context.now, by, limits) {
            self.counters.excess_questions += 1;
            return;
        }
        self.counters.answered += 1;
        reach.truncate(MAX_ADDRESSES);
        reach.retain(|address| address.is_usable() && self.is_allowed(address));
        if !reach.is_empty() {
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
            self.by_node.retain(|_, bucket| !bucket.is_idle(now));
            if self.by_node.len() >= limits.remembered {
                return false;
            }
        }
        let bucket = self.by_node.entry(by).or_insert(Bucket::NEW);
        bucket.take(limits.questions_of_node, now).is_ok()
            && self.all.take(limits.questions, now).is_ok()
    }
}
