//! Tunnels that others have to this node.

use super::{
    Context, Mesh,
    tunnel::{Room, State, Tunnel},
};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        address::Address,
        event::Event,
        lot,
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
    /// When somebody last reached us.
    seen_at: Option<Time>,
    told: Option<bool>,
    is_full_told: bool,
}

impl Reachable {
    /// Somebody has reached us.
    pub const fn note(&mut self, now: Time) {
        self.seen_at = Some(now);
    }

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
    pub fn is_reachable(&self, now: Time) -> bool {
        self.reachable.is_reachable(now, &self.settings)
    }

    /// Looks whether it is still so.
    pub(super) fn look_around(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let mut tunnels = self.tunnels.values();
        if tunnels.any(|tunnel| tunnel.is_served() && !tunnel.was_invited) {
            self.reachable.note(now);
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
        let opening = self.settings.timers.opening;
        let served = Tunnel {
            address: Some(address),
            was_invited: self.questions.has_invited(context.now, node, opening),
            ..Tunnel::new(
                OpenedBy::Peer,
                Why::Served,
                State::Up { since: context.now },
            )
        };
        let Some(tunnel) = self.tunnels.get_mut(&node) else {
            self.admit(context, node, served);
            return;
        };
        if tunnel.owner == OpenedBy::Peer {
            *tunnel = served;
        } else if tunnel.is_opening() {
            // ours may still come: then it is known whose it is
            tunnel.owner = OpenedBy::Peer;
            tunnel.state = served.state;
            tunnel.address = served.address;
            tunnel.was_invited = served.was_invited;
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

    /// For whom a place is. The lot may see half as many nodes again as we do, or fewer.
    fn room_of(&self, context: &Context<'_>, node: NodePrefix) -> Room {
        let given = self.settings.limits.given * 3 / 2;
        if context.routes.metric(node).is_none() {
            Room::Lost
        } else if self.settings.preferred.contains_key(&node)
            || lot::gives(node, self.own, given, context.routes.count())
        {
            Room::Given
        } else {
            Room::Anybody
        }
    }

    /// How many places are kept for some.
    fn kept(&self, room: Room) -> usize {
        let share = match room {
            Room::Anybody => return 0,
            Room::Given => self.settings.limits.given_share,
            Room::Lost => self.settings.limits.lost_share,
        };
        self.settings.served().checked_div(share).unwrap_or(0)
    }

    /// Whether a node may open a tunnel to us.
    pub(super) fn has_room_for(&self, context: &Context<'_>, node: NodePrefix) -> bool {
        self.served() < self.settings.served()
            || self.in_the_way_of(self.room_of(context, node)).is_some()
    }

    /// Who goes if all places are taken, and one of those is wanted that are kept for others: who came last.
    fn in_the_way_of(&self, room: Room) -> Option<NodePrefix> {
        let served = || self.tunnels.iter().filter(|(_, it)| it.is_served());
        let such = served().filter(|(_, tunnel)| tunnel.room == room);
        if such.count() >= self.kept(room) {
            return None;
        }
        let others = served().filter(|(_, tunnel)| tunnel.room == Room::Anybody);
        let newest = others.max_by_key(|(node, tunnel)| (tunnel.up_since(), **node));
        newest.map(|(node, _)| *node)
    }

    /// Serves a node, or refuses.
    fn admit(&mut self, context: &mut Context<'_>, node: NodePrefix, mut served: Tunnel) {
        served.room = self.room_of(context, node);
        if self.served() >= self.settings.served() {
            let Some(newest) = self.in_the_way_of(served.room) else {
                self.refuse(context, node);
                return;
            };
            self.counters.made_room += 1;
            self.drain(context, newest, Closing::Full);
        }
        self.counters.served += 1;
        self.tunnels.insert(node, served);
    }

    fn refuse(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        let why = Closing::Full;
        context.outputs.push(Output::Close { node, why });
        self.counters.refused_full += 1;
        if !self.reachable.is_full_told {
            self.reachable.is_full_told = true;
            context.tell(Event::Full);
        }
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
