//! Tunnels that go: drained first, so that nothing that is under way is lost.

use super::{Context, Mesh, tunnel::State};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        event::Event,
        output::{Closing, OpenedBy, Output},
    },
    time::Time,
};

impl Mesh {
    /// Routes are to leave a tunnel, which is then closed.
    pub(super) fn drain(&mut self, context: &mut Context<'_>, node: NodePrefix, why: Closing) {
        let Some(tunnel) = self.tunnels.get_mut(&node) else {
            return;
        };
        if tunnel.is_opening() {
            self.close(context, node, why);
        } else if !tunnel.is_draining() {
            let until = context.now + self.settings.timers.draining;
            tunnel.state = State::Draining { until, why };
            context.outputs.push(Output::Drain(node));
        }
    }

    /// Closes a tunnel now.
    pub(super) fn close(&mut self, context: &mut Context<'_>, node: NodePrefix, why: Closing) {
        let Some(tunnel) = self.tunnels.remove(&node) else {
            return;
        };
        let State::Asking { .. } = tunnel.state else {
            context.outputs.push(Output::Close { node, why });
            if tunnel.owner == OpenedBy::Us && !tunnel.is_opening() {
                self.ended.note(context.now, node, why);
                context.tell(Event::Closed { node, why });
            }
            return;
        };
    }

    pub(super) fn drained(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        if let Some(State::Draining { why, .. }) = self.tunnels.get(&node).map(|it| it.state) {
            self.close(context, node, why);
        }
    }

    /// Does what is due of tunnels by themselves.
    pub(super) fn time_out(&mut self, context: &mut Context<'_>) {
        let due = self.tunnels.iter().filter(|(_, tunnel)| {
            let deadline = tunnel.deadline();
            deadline.is_some_and(|deadline| deadline <= context.now)
        });
        let due = Vec::from_iter(due.map(|(node, tunnel)| (*node, tunnel.state)));
        for (node, state) in due {
            match state {
                State::Asking { .. } => self.not_answered(context, node),
                State::Opening { .. } => {
                    self.counters.late += 1;
                    let why = Closing::Late;
                    context.outputs.push(Output::Close { node, why });
                    self.gave_up(context, node);
                }
                State::Draining { why, .. } => self.close(context, node, why),
                State::Up { .. } => {}
            }
        }
        self.settle(context);
    }

    /// New tunnels that have been up long enough take the places of those they replace.
    fn settle(&mut self, context: &mut Context<'_>) {
        let settling = self.settings.timers.settling;
        let settled = self.tunnels.iter().filter(|(_, tunnel)| {
            let since = tunnel.up_since();
            tunnel.is_new() && since.is_some_and(|since| since + settling <= context.now)
        });
        for node in Vec::from_iter(settled.map(|(node, _)| *node)) {
            let tunnel = self.tunnels.get_mut(&node);
            let old = tunnel.and_then(|tunnel| tunnel.replaces.take());
            if !self.keeps_promise(context, node) {
                continue;
            }
            let Some(old) = old else {
                continue;
            };
            let ours = self.tunnels.get(&old).is_some_and(|it| it.is_ours());
            if ours && !self.is_bridge(context, old) {
                self.drain(context, old, Closing::Replaced);
            }
        }
    }

    /// Whether none but this tunnel leads to its peer: perhaps it alone joins two halves of the network.
    pub(super) fn is_bridge(&self, context: &Context<'_>, node: NodePrefix) -> bool {
        let routes = context.routes;
        let others = self.tunnels.iter().filter(|(other, tunnel)| {
            **other != node && !tunnel.is_opening() && !tunnel.is_draining()
        });
        let mut ways = others.filter_map(|(other, _)| routes.metric_by(node, *other));
        routes.metric(node).is_some() && ways.all(|way| way.is_infinite())
    }

    pub(super) fn settling_deadline(&self) -> Option<Time> {
        let settling = self.settings.timers.settling;
        let tunnels = self.tunnels.values();
        let new = tunnels.filter(|tunnel| tunnel.is_new());
        new.filter_map(|tunnel| Some(tunnel.up_since()? + settling))
            .min()
    }

    /// The settings have changed: tunnels that would not be opened now go.
    pub(super) fn drain_what_is_not_allowed(&mut self, context: &mut Context<'_>) {
        let tunnels = self.tunnels.iter().filter(|(_, tunnel)| tunnel.is_ours());
        let addresses = tunnels.filter_map(|(node, tunnel)| Some((*node, tunnel.address?)));
        for (node, address) in Vec::from_iter(addresses) {
            if !self.is_enabled(&address) {
                self.drain(context, node, Closing::Disabled);
            } else if self.is_across_border(&address) {
                self.drain(context, node, Closing::OtherCountry);
            }
        }
    }
}
