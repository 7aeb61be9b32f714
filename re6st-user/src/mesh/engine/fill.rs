//! As many tunnels as are wanted, of each kind.

use std::time::Duration;

use super::{Context, Mesh, tunnel::Tunnel};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        Random,
        output::{Closing, Why},
        random,
    },
    time::Time,
};

/// The first pause after a failure, and between looks for more nodes.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest between looks for more nodes, while there are none.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// How fast tunnels are opened: what fails again and again is tried less and less often.
#[derive(Debug, Default)]
pub struct Pace {
    /// Something is missing: when it is looked for again.
    next: Option<Time>,
    /// Not before.
    pause_until: Time,
    pause: Duration,
    /// Between looks for more nodes.
    look: Duration,
    /// How many could be reached at the last look.
    nodes: usize,
    spread_misses: u32,
}

impl Pace {
    /// Something is missing still.
    fn look_again(&mut self, now: Time, nodes: usize, random: Random<'_>) {
        self.look = match nodes == self.nodes {
            true => (self.look * 2).clamp(PAUSE, LOOK_MAX),
            false => PAUSE,
        };
        self.nodes = nodes;
        let look = now + random::jittered(self.look, random);
        self.next = Some(self.pause_until.max(look));
    }

    pub const fn deadline(&self) -> Option<Time> {
        self.next
    }

    pub const fn spread_misses(&self) -> u32 {
        self.spread_misses
    }

    pub const fn missed_spread(&mut self) {
        self.spread_misses += 1;
    }

    pub fn succeeded(&mut self, why: Why) {
        self.pause = Duration::ZERO;
        self.next = None;
        if why.is_random() {
            self.spread_misses = 0;
        }
    }

    /// Something is missing again, and nothing speaks against looking for it.
    pub const fn look_at_once(&mut self) {
        self.next = None;
    }

    /// Something has changed.
    pub const fn at_once(&mut self) {
        self.next = None;
        self.look = Duration::ZERO;
        self.pause = Duration::ZERO;
        self.pause_until = Time(0);
    }

    pub fn failed(&mut self, now: Time, random: Random<'_>) {
        self.pause = (self.pause * 2).clamp(PAUSE, PAUSE_MAX);
        self.pause_until = now + random::jittered(self.pause, random);
        self.next = Some(self.pause_until);
    }
}

/// How many tunnels of ours there are, or are to be, of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Numbers {
    pub random: usize,
    pub optimised: usize,
}

impl Mesh {
    /// How many are wanted.
    pub(super) fn wanted(&self, now: Time) -> Numbers {
        let clients = self.settings.clients(self.is_reachable(now));
        if self.settings.client_mode {
            let clients = usize::from(self.settings.preferred.is_empty()) * clients;
            // the one that led into the network will do
            let present = self.present().optimised.min(clients);
            return Numbers {
                random: clients - present,
                optimised: present,
            };
        }
        let random = clients.div_ceil(2);
        let preferred = self.settings.preferred.len();
        Numbers {
            random,
            optimised: (clients - random).saturating_sub(preferred),
        }
    }

    /// How many there are. One that is to replace another does not count until it does.
    pub(super) fn present(&self) -> Numbers {
        let tunnels = self.tunnels.values();
        let ours = tunnels.filter(|tunnel| tunnel.is_ours() && tunnel.replaces.is_none());
        ours.fold(Numbers::default(), |sum, tunnel| Numbers {
            random: sum.random + usize::from(tunnel.why.is_random()),
            optimised: sum.optimised + usize::from(tunnel.why.is_optimised()),
        })
    }

    fn openings(&self) -> usize {
        let opening = self.tunnels.values().filter(|tunnel| tunnel.is_opening());
        opening.count()
    }

    /// Opens what is missing, and drains what is too much.
    pub(super) fn fill(&mut self, context: &mut Context<'_>) {
        let (now, nodes) = (context.now, context.routes.count());
        if self.pace.next.is_some_and(|next| now < next) && nodes == self.pace.nodes {
            return;
        }
        let wanted = self.wanted(now);
        if self.fill_preferred(context) | self.fill_drawn(context, wanted) {
            self.pace.look_again(now, nodes, &mut *context.random);
        } else {
            self.pace.next = None;
        }
        // also if something is missing: in a small network all who could be drawn may be those that led into it
        self.drain_excess(context, wanted);
    }

    /// Whether something is missing still.
    fn fill_drawn(&mut self, context: &mut Context<'_>, wanted: Numbers) -> bool {
        loop {
            let present = self.present();
            let why = if present.random < wanted.random {
                Why::Random
            } else if present.optimised < wanted.optimised {
                // the next rounds find better ones
                Why::Gain
            } else {
                return false;
            };
            if context.now < self.pace.pause_until
                || self.openings() >= self.settings.limits.openings
            {
                return true;
            }
            let drawn = match why {
                Why::Random => self.draw_at_random(context, None),
                _ => self.draw(context),
            };
            match drawn {
                Some(node) => self.want(context, node, why, None),
                None => return true,
            }
        }
    }

    /// A tunnel to each of the preferred peers, also to those that no route leads to.
    fn fill_preferred(&mut self, context: &mut Context<'_>) -> bool {
        let preferred = Vec::from_iter(self.settings.preferred.keys().copied());
        let clients = match self.settings.client_mode {
            true => 1,
            false => usize::MAX,
        };
        let mut missing = false;
        let mut ours = self.tunnels.values().filter(|it| it.is_ours()).count();
        for node in preferred {
            if let Some(tunnel) = self.tunnels.get_mut(&node) {
                if tunnel.is_ours() {
                    tunnel.why = Why::Preferred;
                }
                continue;
            }
            if ours >= clients || node == self.own || self.expelled.contains(&node) {
                continue;
            }
            missing = true;
            let can_ask = context.routes.metric(node).is_some();
            if self.may_open(context.now, node) && (can_ask || !self.addresses(node).is_empty()) {
                self.want(context, node, Why::Preferred, None);
                ours += 1;
            }
        }
        missing
    }

    /// One of each kind goes if there are too many: the last that came, for nobody can make more of those.
    fn drain_excess(&mut self, context: &mut Context<'_>, wanted: Numbers) {
        let present = self.present();
        if present.random > wanted.random {
            self.drain_latest(context, |tunnel| tunnel.why.is_random());
        }
        if present.optimised > wanted.optimised {
            let bootstrap = |tunnel: &Tunnel| tunnel.why == Why::Bootstrap;
            let is_young = |tunnel: &&Tunnel| {
                let settled = context.now - self.settings.timers.settling;
                tunnel.is_ours() && tunnel.up_since().is_none_or(|since| since > settled)
            };
            let mut young = self.tunnels.values().filter(is_young);
            // what led back into the network goes before what was chosen, once there is another way
            let is_too_early = young.any(bootstrap);
            if !self.drain_latest(context, bootstrap) && !is_too_early {
                self.drain_latest(context, |tunnel| tunnel.why == Why::Gain);
            }
        }
    }

    fn drain_latest(&mut self, context: &mut Context<'_>, of: impl Fn(&Tunnel) -> bool) -> bool {
        let settled = context.now - self.settings.timers.settling;
        let ours = self.tunnels.iter().filter(|(node, tunnel)| {
            let is_settled = tunnel.up_since().is_some_and(|since| since <= settled);
            let counts = tunnel.is_ours() && tunnel.replaces.is_none() && of(tunnel);
            counts && is_settled && !self.is_bridge(context, **node)
        });
        let latest = ours.max_by_key(|(node, tunnel)| (tunnel.up_since(), **node));
        let latest: Option<NodePrefix> = latest.map(|(node, _)| *node);
        if let Some(node) = latest {
            self.drain(context, node, Closing::NotNeeded);
        }
        latest.is_some()
    }
}
