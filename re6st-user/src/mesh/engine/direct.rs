//! Tunnels to where traffic goes, if that is shorter.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Context, Mesh, inquiry::Purpose};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        output::{Closing, Why},
        routes::Metric,
    },
    time::Time,
};

/// So many nodes are remembered to which traffic goes.
const REMEMBERED: usize = 64;
/// A node to which no shorter way was found is not looked at again for so long.
const PAUSE: Duration = Duration::from_secs(600);

/// Traffic to one node.
#[derive(Clone, Copy, Debug)]
struct Flow {
    /// Octets a second, smoothed.
    rate: f64,
    /// Since when there is little.
    quiet_since: Option<Time>,
    /// Not to be looked at before.
    not_before: Time,
}

/// Where traffic goes.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    flows: BTreeMap<NodePrefix, Flow>,
    told_at: Option<Time>,
}

impl Traffic {
    /// How much the nodes with most traffic count: all of them together as much as all nodes that no traffic goes to.
    pub fn weights(&self, most: usize) -> BTreeMap<NodePrefix, f64> {
        let sum: f64 = self.flows.values().map(|flow| flow.rate).sum();
        if sum <= 0.0 {
            return BTreeMap::new();
        }
        let mut flows = Vec::from_iter(self.flows.iter().map(|(node, flow)| (flow.rate, *node)));
        flows.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let weight = |rate: f64| rate / sum * 8.0 * most as f64;
        let flows = flows.into_iter().take(most);
        flows.map(|(rate, node)| (node, weight(rate))).collect()
    }

    /// Octets since the last time.
    fn note(&mut self, now: Time, octets: Vec<(NodePrefix, u64)>, little: f64) {
        let Some(before) = self.told_at.replace(now) else {
            return;
        };
        let seconds = now.since(before).as_secs_f64().max(1.0);
        let mut told = BTreeMap::from_iter(octets);
        for (node, flow) in &mut self.flows {
            let rate = told.remove(node).unwrap_or(0) as f64 / seconds;
            flow.note(now, rate, little);
        }
        self.flows.retain(|_, flow| flow.rate >= 1.0);
        for (node, octets) in told {
            let mut flow = Flow {
                rate: 0.0,
                quiet_since: None,
                not_before: Time(0),
            };
            flow.note(now, octets as f64 / seconds, little);
            self.flows.insert(node, flow);
        }
        while self.flows.len() > REMEMBERED {
            let rates = self.flows.iter();
            let least = rates.min_by(|one, other| one.1.rate.total_cmp(&other.1.rate));
            let Some(least) = least.map(|(node, _)| *node) else {
                return;
            };
            self.flows.remove(&least);
        }
    }
}

impl Flow {
    fn note(&mut self, now: Time, rate: f64, little: f64) {
        self.rate += (rate - self.rate) / 3.0;
        self.quiet_since = match self.rate < little {
            true => self.quiet_since.or(Some(now)),
            false => None,
        };
    }
}

impl Mesh {
    /// What was sent.
    pub(super) fn note_traffic(
        &mut self,
        context: &mut Context<'_>,
        octets: Vec<(NodePrefix, u64)>,
    ) {
        let direct = self.settings.direct;
        let enough = direct.rate as f64;
        self.traffic.note(context.now, octets, enough / 4.0);
        self.drain_idle(context);
        let opened = self.tunnels.values().filter(|it| it.why == Why::Direct);
        let looked_at = self.inquiries.values();
        let looked_at = looked_at.filter(|inquiry| inquiry.purpose == Purpose::Direct);
        let present = opened.count() + looked_at.count();
        let room = direct.count.saturating_sub(present);
        let busy = self.traffic.flows.iter().filter(|(node, flow)| {
            flow.rate >= enough
                && flow.not_before <= context.now
                && self.may_open(context.now, **node)
                && !self.inquiries.contains_key(node)
                && context.routes.metric(**node).is_some()
        });
        let busy = Vec::from_iter(busy.map(|(node, _)| *node).take(room));
        for node in busy {
            if let Some(flow) = self.traffic.flows.get_mut(&node) {
                flow.not_before = context.now + PAUSE;
            }
            self.inquire(context, node, Purpose::Direct, Arc::default());
        }
    }

    /// How long the direct way is, is known.
    pub(super) fn consider_direct(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        cost: Metric,
    ) {
        let metric = context.routes.metric(node).unwrap_or(Metric::INFINITY);
        let better = u32::from(cost.0) * (100 + self.settings.limits.better_percent);
        let is_shorter = better < u32::from(metric.0) * 100;
        if is_shorter && self.may_open(context.now, node) && !self.settings.client_mode {
            self.want(context, node, Why::Direct, None);
        }
    }

    fn drain_idle(&mut self, context: &mut Context<'_>) {
        let idle = self.settings.direct.idle;
        let direct = self.tunnels.iter().filter(|(node, tunnel)| {
            let flow = self.traffic.flows.get(node);
            let quiet = flow.is_none_or(|flow| {
                let quiet = flow.quiet_since;
                quiet.is_some_and(|since| context.now.since(since) >= idle)
            });
            tunnel.is_ours() && tunnel.why == Why::Direct && tunnel.up_since().is_some() && quiet
        });
        for node in Vec::from_iter(direct.map(|(node, _)| *node)) {
            if !self.is_bridge(context, node) {
                self.drain(context, node, Closing::Idle);
            }
        }
    }
}
