//! Some tunnels are to be as good as possible: every few minutes the one of least worth gives way to the best of some candidates.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Context, Mesh,
    gain::{Promise, Survey},
    inquiry::Purpose,
    tunnel::Tunnel,
};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        event::Event,
        output::{Closing, Why},
        random,
        routes::Metric,
    },
    time::Time,
};

/// A search for a better neighbour.
#[derive(Clone, Debug)]
pub struct Search {
    survey: Arc<Survey>,
    /// Who would go; nobody, if a tunnel is missing anyway.
    victim: Option<NodePrefix>,
    /// What it takes.
    least: f64,
    best: Option<(NodePrefix, f64)>,
}

/// Who is not believed, and since when how often.
#[derive(Clone, Debug, Default)]
pub struct Distrust {
    until: BTreeMap<NodePrefix, (Time, u32)>,
}

impl Distrust {
    pub fn believes(&self, node: NodePrefix, now: Time) -> bool {
        let distrusted = self.until.get(&node);
        distrusted.is_none_or(|(until, _)| *until <= now)
    }
}

impl Mesh {
    /// Asks some nodes, drawn at random, what they would be worth.
    pub(super) fn search(&mut self, context: &mut Context<'_>) {
        let replacing = |it: &Tunnel| it.replaces.is_some() && it.why == Why::Gain;
        let is_busy = self.search.is_some() || self.tunnels.values().any(replacing);
        let wanted = self.wanted(context.now).optimised;
        if is_busy || wanted == 0 || self.settings.client_mode {
            return;
        }
        let survey = self.survey(context);
        let losses = survey.losses();
        let (victim, least) = match self.present().optimised < wanted {
            true => (None, 0.0),
            false => match self.least_worth(context, &losses) {
                Some((victim, loss)) => (Some(victim), loss),
                None => return,
            },
        };
        self.worth = losses;
        let better = 1.0 + f64::from(self.settings.limits.better_percent) / 100.0;
        let destinations = Arc::clone(&survey.destinations);
        self.search = Some(Search {
            survey: Arc::new(survey),
            victim,
            least: least * better,
            best: None,
        });
        for node in self.candidates(context) {
            self.inquire(context, node, Purpose::Candidate, Arc::clone(&destinations));
        }
    }

    /// The ways by all tunnels there are.
    fn survey(&mut self, context: &mut Context<'_>) -> Survey {
        let limits = &self.settings.limits;
        let mut destinations = self.traffic.weights(limits.destinations / 8);
        destinations.retain(|node, _| context.routes.metric(*node).is_some());
        let most = limits.destinations - destinations.len();
        for node in context.routes.sample(most, &mut *context.random) {
            *destinations.entry(node).or_default() += 1.0;
        }
        let up = self
            .tunnels
            .iter()
            .filter(|(_, it)| it.up_since().is_some());
        let neighbours = Vec::from_iter(up.map(|(node, _)| *node));
        Survey::new(
            context.routes,
            destinations.into_iter().collect(),
            &neighbours,
        )
    }

    /// Which of the optimised tunnels would be missed least.
    fn least_worth(
        &self,
        context: &Context<'_>,
        losses: &BTreeMap<NodePrefix, f64>,
    ) -> Option<(NodePrefix, f64)> {
        let settled = context.now - self.settings.timers.settling;
        let ours = self.tunnels.iter().filter(|(node, tunnel)| {
            let is_settled = tunnel.up_since().is_some_and(|since| since <= settled);
            let is_one = tunnel.is_ours() && tunnel.why.is_optimised();
            is_one && is_settled && !self.is_bridge(context, **node)
        });
        let losses = ours.map(|(node, _)| (*node, losses.get(node).copied().unwrap_or(0.0)));
        losses.min_by(|one, other| one.1.total_cmp(&other.1))
    }

    fn candidates(&self, context: &mut Context<'_>) -> Vec<NodePrefix> {
        let most = self.settings.limits.candidates;
        // neighbours and such as are left alone are drawn in vain
        let draws = most + self.tunnels.len() + most;
        let indexes = random::distinct(context.routes.count(), draws, &mut *context.random);
        let nodes = indexes.into_iter().filter_map(|it| context.routes.node(it));
        let nodes = nodes.filter(|node| {
            self.may_open(context.now, *node)
                && !self.inquiries.contains_key(node)
                && self.distrust.believes(*node, context.now)
        });
        nodes.take(most).collect()
    }

    /// Nobody is where others are: what says so is no way.
    pub(super) fn doubt(&self, node: NodePrefix, metrics: &mut [Metric]) {
        let Some(search) = &self.search else {
            return;
        };
        for (metric, destination) in metrics.iter_mut().zip(&*search.survey.destinations) {
            if metric.0 == 0 && *destination != node {
                *metric = Metric::INFINITY;
            }
        }
    }

    /// Whether a node with these ways would be worth it if it were next door.
    pub(super) fn may_be_better(&self, metrics: &[Metric]) -> bool {
        let gain = |it: &Search| it.survey.gain(it.victim, Metric(0), metrics) > it.least;
        self.search.as_ref().is_some_and(gain)
    }

    /// All is known of a candidate.
    pub(super) fn weigh(&mut self, node: NodePrefix, cost: Metric, metrics: Vec<Metric>) {
        let Some(search) = &mut self.search else {
            return;
        };
        let gain = search.survey.gain(search.victim, cost, &metrics);
        let best = search.best.map_or(search.least, |(_, best)| best);
        if gain > best {
            search.best = Some((node, gain));
        }
    }

    /// When nothing is known of no candidate any more, the best takes the place of the worst.
    pub(super) fn conclude(&mut self, context: &mut Context<'_>) {
        let mut inquiries = self.inquiries.values();
        if inquiries.any(|inquiry| inquiry.purpose == Purpose::Candidate) {
            return;
        }
        let Some(search) = self.search.take() else {
            return;
        };
        let victim = search.victim;
        let is_there = victim.is_none_or(|victim| self.tunnels.contains_key(&victim));
        let Some((node, gain)) = search.best.filter(|_| is_there) else {
            return;
        };
        if !self.may_open(context.now, node) {
            return;
        }
        self.want(context, node, Why::Gain, victim);
        if let Some(tunnel) = self.tunnels.get_mut(&node) {
            tunnel.promise = Some(Promise {
                survey: search.survey,
                without: victim,
                gain,
            });
        }
    }

    /// A new tunnel has been up long enough: whether its peer kept its promise. If it did not, it is not what it takes the place of that
    /// goes.
    pub(super) fn keeps_promise(&mut self, context: &mut Context<'_>, node: NodePrefix) -> bool {
        let tunnel = self.tunnels.get_mut(&node);
        let Some(promise) = tunnel.and_then(|tunnel| tunnel.promise.take()) else {
            return true;
        };
        if promise.is_kept(context.routes, node) {
            self.counters.improved += 1;
            return true;
        }
        self.counters.broken_promises += 1;
        self.distrust(context, node);
        self.drain(context, node, Closing::BrokenPromise);
        false
    }

    fn distrust(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        let (now, most) = (context.now, self.settings.limits.remembered);
        let known = &mut self.distrust.until;
        if known.len() >= most && !known.contains_key(&node) {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= most {
                known.pop_first();
            }
        }
        let (until, times) = known.entry(node).or_insert((now, 0));
        let distrust = self.settings.timers.distrust * 2_u32.pow((*times).min(8));
        (*until, *times) = (now + distrust, times.saturating_add(1));
        context.tell(Event::Liar(node));
    }
}
