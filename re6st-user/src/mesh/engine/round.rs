//! What is reconsidered every few minutes.

use super::{Context, Mesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        output::{Output, Why},
        random,
    },
    time::Time,
};

/// So many peers are remembered to begin the next run with.
pub const ANCHORS: usize = 2;

/// When it was done, and how often.
#[derive(Debug, Default)]
pub struct Rounds {
    next: Option<Time>,
    number: u32,
}

impl Rounds {
    pub const fn deadline(&self) -> Option<Time> {
        self.next
    }
}

impl Mesh {
    /// A round, if it is time for one.
    pub(super) fn round(&mut self, context: &mut Context<'_>) {
        let refresh = self.settings.tunnel_refresh;
        let Some(next) = self.rounds.next else {
            // not all nodes at a time
            let first = random::jittered(refresh, &mut *context.random);
            self.rounds.next = Some(context.now + first);
            return;
        };
        // the interval may have become shorter
        if next > context.now && next.since(context.now) <= refresh * 2 {
            return;
        }
        let wait = refresh * 5 / 8 + random::jittered(refresh / 2, &mut *context.random);
        self.rounds.next = Some(context.now + wait);
        self.rounds.number = self.rounds.number.wrapping_add(1);
        self.counters.rounds += 1;
        let every = self.settings.limits.renewal_rounds.max(1);
        if self.rounds.number.is_multiple_of(every) && !self.settings.client_mode {
            self.renew_random(context);
        }
        self.search(context);
        self.tell_anchors(context);
    }

    /// The oldest of the random tunnels gives way to another one. Nothing else matters: what nobody chooses by looking at it, nobody can
    /// make us choose.
    fn renew_random(&mut self, context: &mut Context<'_>) {
        let being_replaced = self.tunnels.values().filter_map(|it| it.replaces);
        let being_replaced = Vec::from_iter(being_replaced);
        let ours = self.tunnels.iter().filter(|(node, tunnel)| {
            tunnel.is_ours() && tunnel.why.is_random() && !being_replaced.contains(node)
        });
        let up = ours.filter_map(|(node, tunnel)| Some((tunnel.up_since()?, *node)));
        let Some((_, oldest)) = up.min() else {
            return;
        };
        if let Some(node) = self.draw_at_random(context, Some(oldest)) {
            self.counters.renewed += 1;
            self.want(context, node, Why::Random, Some(oldest));
        }
    }

    /// The random tunnels that have been up for longest are where the next run begins.
    pub(super) fn tell_anchors(&mut self, context: &mut Context<'_>) {
        let ours = self.tunnels.iter();
        let random = ours.filter(|(_, tunnel)| tunnel.is_ours() && tunnel.why.is_random());
        let up = random.filter_map(|(node, tunnel)| Some((tunnel.up_since()?, *node)));
        let mut up: Vec<(Time, NodePrefix)> = up.collect();
        up.sort_unstable();
        let anchors = Vec::from_iter(up.into_iter().take(ANCHORS).map(|(_, node)| node));
        if !anchors.is_empty() && anchors != self.anchors_told {
            self.anchors_told.clone_from(&anchors);
            context.outputs.push(Output::Anchors(anchors));
        }
    }
}
