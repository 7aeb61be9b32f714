//! Tunnels that others have to this node.

use super::{
    Context, Mesh,
    tunnel::{State, Tunnel},
};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        address::Address,
        event::Event,
        output::{Closing, OpenedBy, Output, Why},
        settings::Settings,
    },
    time::Time,
};

/// Whether others can open tunnels to us.
#[derive(Debug, Default)]
pub struct Reachable {
    /// Somebody knows.
    pub known: Option<bool>,
    /// When a tunnel was last served.
    seen_at: Option<Time>,
    told: Option<bool>,
    is_full_told: bool,
}

impl Reachable {
    fn is_reachable(&self, now: Time, settings: &Settings) -> bool {
        let seen = self.seen_at;
        let seen = seen.is_some_and(|seen| now.since(seen) < settings.timers.reachable);
        self.known.unwrap_or(seen)
    }

    pub fn deadline(&self, settings: &Settings) -> Option<Time> {
        match self.told {
            Some(true) if self.known.is_none() => {
                self.seen_at.map(|seen| seen + settings.timers.reachable)
            }
            _ => None,
        }
    }
}

impl Mesh {
    /// Whether others can open tunnels to us, as far as we see.
    pub(super) fn is_reachable(&self, now: Time) -> bool {
        self.reachable.is_reachable(now, &self.settings)
    }

    /// Looks whether it is still so.
    pub(super) fn look_around(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        if self.tunnels.values().any(Tunnel::is_served) {
            self.reachable.seen_at = Some(now);
        }
        let is_reachable = self.is_reachable(now);
        let told = self.reachable.told.replace(is_reachable);
        match (told, is_reachable) {
            (Some(true), false) => context.tell(Event::NotReachable),
            (None | Some(false), true) => {
                context.tell(Event::Reachable);
                self.pace.at_once();
            }
            _ => {}
        }
    }

    /// Somebody has opened a tunnel to us. Nothing is routed over it yet.
    pub(super) fn up_by_peer(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        address: Address,
    ) {
        if self.expelled.contains(&node) {
            self.counters.refused_expelled += 1;
            let why = Closing::Expelled;
            context.outputs.push(Output::Close { node, why });
            return;
        }
        let served = Tunnel {
            address: Some(address),
            ..Tunnel::new(
                OpenedBy::Peer,
                Why::Served,
                State::Up { since: context.now },
            )
        };
        let Some(tunnel) = self.tunnels.get_mut(&node) else {
            if self.has_room_for(context, node) {
                self.counters.served += 1;
                self.tunnels.insert(node, served);
            } else {
                let why = Closing::Full;
                context.outputs.push(Output::Close { node, why });
            }
            return;
        };
        if tunnel.owner == OpenedBy::Peer {
            *tunnel = served;
        } else if tunnel.is_opening() {
            // ours may still come: then it is known whose it is
            tunnel.owner = OpenedBy::Peer;
            tunnel.state = served.state;
            tunnel.address = served.address;
            tunnel.replaces = None;
            self.counters.served += 1;
        } else {
            self.counters.duplicates += 1;
            let was_draining = tunnel.is_draining();
            if was_draining {
                context.outputs.push(Output::Undrain(node));
            }
            if was_draining || self.own < node {
                *tunnel = served;
            }
        }
    }

    fn served(&self) -> usize {
        let served = self.tunnels.values().filter(|tunnel| tunnel.is_served());
        served.count()
    }

    /// A share of the room is for nodes that no route leads to: newcomers, and those who are cut off.
    fn has_room_for(&mut self, context: &mut Context<'_>, node: NodePrefix) -> bool {
        let (most, served) = (self.settings.served(), self.served());
        let share = self.settings.limits.served_share;
        let reserved = most.checked_div(share).unwrap_or(0);
        if served >= most {
            self.counters.refused_full += 1;
            if !self.reachable.is_full_told {
                self.reachable.is_full_told = true;
                context.tell(Event::Full);
            }
            return false;
        }
        let is_lost = context.routes.metric(node).is_none();
        if served + reserved >= most && !is_lost && !self.settings.preferred.contains_key(&node) {
            self.counters.refused_reserved += 1;
            return false;
        }
        true
    }

    /// Fewer are served now: the latest go.
    pub(super) fn drain_excess_served(&mut self, context: &mut Context<'_>) {
        let excess = self.served().saturating_sub(self.settings.served());
        let served = self.tunnels.iter().filter(|(_, it)| it.is_served());
        let mut served = Vec::from_iter(served.map(|(node, it)| (it.up_since(), *node)));
        served.sort_unstable();
        for (_, node) in served.into_iter().rev().take(excess) {
            self.drain(context, node, Closing::Full);
        }
    }
}
