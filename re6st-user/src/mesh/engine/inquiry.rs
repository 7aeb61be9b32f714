//! Nodes that are looked at before a tunnel to them is opened: where they are, what their ways cost, and how far they are.

use std::{sync::Arc, time::Duration};

use super::{Context, Mesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{QuestionId, output::Output, random, routes::Metric},
    time::Time,
};

/// What for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It may become one of the optimised.
    Candidate,
    /// Traffic goes there.
    Direct,
}

/// How far it is.
#[derive(Clone, Debug)]
pub enum Step {
    Asked(QuestionId),
    Probing(Vec<Metric>),
}

/// One node that is looked at.
#[derive(Clone, Debug)]
pub struct Inquiry {
    pub purpose: Purpose,
    pub until: Time,
    pub step: Step,
    /// How many metrics were asked for.
    pub asked: usize,
}

impl Mesh {
    /// Asks a node.
    pub(super) fn inquire(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        purpose: Purpose,
        destinations: Arc<[NodePrefix]>,
    ) {
        let id = QuestionId(random::bits(&mut *context.random));
        self.counters.questions += 1;
        let inquiry = Inquiry {
            purpose,
            until: context.now + self.settings.timers.answer,
            step: Step::Asked(id),
            asked: destinations.len(),
        };
        self.inquiries.insert(node, inquiry);
        let reach_us = self.asks_to_be_reached(context.now);
        context.outputs.push(Output::Ask {
            node,
            id,
            destinations,
            reach_us,
        });
    }

    /// Whether an answer is one to an inquiry.
    pub(super) fn is_asked(&self, node: NodePrefix, id: QuestionId) -> bool {
        let inquiry = self.inquiries.get(&node);
        inquiry.is_some_and(|inquiry| matches!(inquiry.step, Step::Asked(asked) if asked == id))
    }

    /// A node that is looked at has answered; its addresses are known.
    pub(super) fn inquiry_answered(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        has_room: bool,
        mut metrics: Vec<Metric>,
    ) {
        let Some(inquiry) = self.inquiries.remove(&node) else {
            return;
        };
        if metrics.len() != inquiry.asked {
            self.counters.malformed_answers += 1;
            self.postpone(context, node);
        } else if !has_room {
            self.postpone(context, node);
        } else {
            if inquiry.purpose == Purpose::Candidate {
                self.doubt(node, &mut metrics);
            }
            let worth_it = match inquiry.purpose {
                Purpose::Candidate => self.may_be_better(&metrics),
                Purpose::Direct => true,
            };
            let addresses = self.addresses(node);
            if worth_it && !addresses.is_empty() {
                self.counters.probes += 1;
                context.outputs.push(Output::Probe { node, addresses });
                let probing = Inquiry {
                    until: context.now + self.settings.timers.probe,
                    step: Step::Probing(metrics),
                    ..inquiry
                };
                self.inquiries.insert(node, probing);
            }
        }
        self.conclude(context);
    }

    /// It is left alone for some time, but nothing is wrong with it.
    fn postpone(&mut self, context: &Context<'_>, node: NodePrefix) {
        let until = context.now + self.settings.timers.full;
        self.book.postpone(node, until);
    }

    /// The result of a probe.
    pub(super) fn probed(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        round_trip: Option<Duration>,
    ) {
        let probing = self.inquiries.get(&node);
        if !probing.is_some_and(|inquiry| matches!(inquiry.step, Step::Probing(_))) {
            self.counters.unasked_probes += 1;
            return;
        }
        let Some(inquiry) = self.inquiries.remove(&node) else {
            return;
        };
        match (round_trip, inquiry.step) {
            (Some(round_trip), Step::Probing(metrics)) => {
                let cost = context.routes.cost(round_trip);
                match inquiry.purpose {
                    Purpose::Candidate => self.weigh(node, cost, metrics),
                    Purpose::Direct => self.consider_direct(context, node, cost),
                }
            }
            _ => self.probe_failed(context, node),
        }
        self.conclude(context);
    }

    /// It was one packet, and may have been lost.
    fn probe_failed(&mut self, context: &Context<'_>, node: NodePrefix) {
        self.counters.unanswered_probes += 1;
        let until = context.now + self.settings.timers.retry;
        self.book.postpone(node, until);
    }

    /// Whoever has not answered by now does not.
    pub(super) fn time_out_inquiries(&mut self, context: &mut Context<'_>) {
        let late = self.inquiries.iter();
        let late = late.filter(|(_, inquiry)| inquiry.until <= context.now);
        let late = Vec::from_iter(
            late.map(|(node, inquiry)| (*node, matches!(inquiry.step, Step::Probing(_)))),
        );
        for (node, was_probing) in &late {
            self.inquiries.remove(node);
            if *was_probing {
                self.probe_failed(context, *node);
            } else {
                self.counters.unanswered += 1;
                let timers = &self.settings.timers;
                self.book
                    .failed(*node, context.now, timers, &mut *context.random);
            }
        }
        if !late.is_empty() {
            self.conclude(context);
        }
    }
}
