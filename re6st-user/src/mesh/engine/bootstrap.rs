//! Into the network, and back into it.

use super::{Context, Mesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        event::Event,
        output::{Output, Why},
        random,
    },
    time::Time,
};
use std::time::Duration;

/// How far it is.
#[derive(Debug, Default)]
pub struct Bootstrap {
    /// What people were told: whether there is a way to anybody.
    joined: Option<bool>,
    /// When the registry may be asked again.
    registry_at: Time,
    registry_wait: Duration,
    /// When those that could not be reached are tried again.
    again_at: Option<Time>,
    again_wait: Duration,
    /// When one of the peers that no route leads to is tried.
    healing_at: Option<Time>,
    /// When something is to be done.
    next: Option<Time>,
}

/// How often it is looked whether there are routes by now.
const LOOK: Duration = Duration::from_secs(1);
/// How soon whoever could not be reached is tried again by a node that has a way to nobody, doubled each time.
const AGAIN: Duration = Duration::from_secs(5);
/// But at the latest after so long.
const AGAIN_MAX: Duration = Duration::from_secs(60);

impl Bootstrap {
    pub const fn deadline(&self) -> Option<Time> {
        self.next
    }

    /// Something has changed: the registry may be asked again at once.
    pub const fn at_once(&mut self) {
        self.registry_at = Time(0);
        self.registry_wait = Duration::ZERO;
        self.again_at = None;
        self.again_wait = Duration::ZERO;
    }
}

impl Mesh {
    /// Looks whether this node is in the network, and if it is not tries to get there.
    pub(super) fn bootstrap(&mut self, context: &mut Context<'_>) {
        let nodes = context.routes.count();
        self.tell_joined(context, nodes);
        if nodes == 0 {
            self.join(context);
            self.bootstrap.next = Some(context.now + LOOK);
            return;
        }
        let wanted = self.settings.registry_node;
        let cut_off = wanted.filter(|node| *node != self.own);
        let cut_off = cut_off.is_some_and(|node| context.routes.metric(node).is_none());
        if cut_off {
            self.ask_registry(context);
        }
        let healing = match self.bootstrap.healing_at {
            Some(at) if at > context.now => at,
            due => {
                let most = usize::from(due.is_some());
                self.open_lost(context, most);
                let healing = self.settings.timers.healing;
                context.now + random::jittered(healing * 2, &mut *context.random)
            }
        };
        self.bootstrap.healing_at = Some(healing);
        let registry = cut_off.then_some(self.bootstrap.registry_at);
        self.bootstrap.next = Some(registry.map_or(healing, |registry| healing.min(registry)));
    }

    fn tell_joined(&mut self, context: &mut Context<'_>, nodes: usize) {
        let joined = nodes > 0;
        if self.bootstrap.joined.replace(joined) == Some(joined) {
            return;
        }
        self.pace.at_once();
        self.bootstrap.at_once();
        context.tell(match joined {
            true => Event::Joined { nodes },
            false => Event::Alone,
        });
    }

    /// There is no way to anybody.
    fn join(&mut self, context: &mut Context<'_>) {
        while let Some(node) = self.anchors.pop_front() {
            if self.may_open(context.now, node) && !self.addresses(node).is_empty() {
                self.want(context, node, Why::Anchor, None);
            }
        }
        // a tunnel that is up has routes in a moment, or its peer is alone as well
        let clients = self.settings.clients(true).max(1);
        let ours = |mesh: &Self| mesh.tunnels.values().filter(|it| it.is_ours()).count();
        let missing = clients.saturating_sub(ours(self));
        self.open_lost(context, missing);
        let opening = self.tunnels.values().any(|tunnel| tunnel.is_opening());
        if opening {
            return;
        }
        self.ask_registry(context);
        self.open_least_hopeless(context, missing);
    }

    /// Opens tunnels to remembered peers that no route leads to.
    fn open_lost(&mut self, context: &mut Context<'_>, most: usize) {
        let now = context.now;
        let lost = self.book.nodes().filter(|(node, at)| {
            *at <= now && self.may_open(now, *node) && context.routes.metric(*node).is_none()
        });
        let mut lost: Vec<NodePrefix> = lost.map(|(node, _)| node).collect();
        random::shuffle(&mut lost, &mut *context.random);
        let room = self.settings.limits.openings;
        let room = room.saturating_sub(self.tunnels.values().filter(|it| it.is_opening()).count());
        let mut opened = 0;
        for node in lost {
            if opened >= most.min(room) {
                return;
            }
            if !self.addresses(node).is_empty() {
                self.want(context, node, Why::Bootstrap, None);
                opened += 1;
            }
        }
    }

    /// Nobody is left to try, and the registry may name nobody else: those that would be tried first are.
    fn open_least_hopeless(&mut self, context: &mut Context<'_>, most: usize) {
        let now = context.now;
        let begun = self.bootstrap.again_at.is_some();
        if self.bootstrap.again_at.is_some_and(|at| now < at) {
            return;
        }
        self.bootstrap.again_wait = (self.bootstrap.again_wait * 2).clamp(AGAIN, AGAIN_MAX);
        let wait = random::jittered(self.bootstrap.again_wait, &mut *context.random);
        self.bootstrap.again_at = Some(now + wait);
        if !begun {
            // the registry has been asked just now
            return;
        }
        let known = self.book.nodes();
        let known = known.filter(|(node, _)| {
            *node != self.own && !self.tunnels.contains_key(node) && !self.expelled.contains(node)
        });
        let mut known = Vec::from_iter(known.map(|(node, at)| (at, node)));
        known.sort_unstable();
        let mut left = most.min(self.settings.limits.openings);
        for (_, node) in known {
            if left > 0 && !self.addresses(node).is_empty() {
                self.want(context, node, Why::Bootstrap, None);
                left -= 1;
            }
        }
    }

    fn ask_registry(&mut self, context: &mut Context<'_>) {
        if self.settings.is_registry || self.bootstrap.registry_at > context.now {
            return;
        }
        self.counters.registry_questions += 1;
        context.outputs.push(Output::AskRegistry);
        let timers = &self.settings.timers;
        let wait = (self.bootstrap.registry_wait * 2).clamp(timers.registry, timers.registry_max);
        self.bootstrap.registry_wait = wait;
        self.bootstrap.registry_at = context.now + random::jittered(wait * 2, &mut *context.random);
    }

    /// The registry names peers: where no route leads there, a tunnel does.
    pub(super) fn registry_answered(&mut self, context: &mut Context<'_>, named: Vec<NodePrefix>) {
        let ours = self.tunnels.values().filter(|it| it.is_ours()).count();
        let mut most = match self.settings.client_mode {
            true => self.settings.clients(true).saturating_sub(ours),
            false => self.settings.limits.openings,
        };
        for node in named.into_iter().take(self.settings.limits.openings) {
            let is_lost = context.routes.metric(node).is_none();
            let may_open = is_lost && self.may_open(context.now, node);
            if most > 0 && may_open && !self.addresses(node).is_empty() {
                self.want(context, node, Why::Bootstrap, None);
                most -= 1;
            }
        }
    }

    /// The registry does not answer: nobody else need be waited for.
    pub(super) const fn registry_silent(&mut self) {
        self.bootstrap.again_at = Some(Time(0));
    }
}
