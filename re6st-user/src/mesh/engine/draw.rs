//! Draws of nodes: from all that can be reached, each as likely as any other.

use std::collections::BTreeSet;

use super::{Context, Mesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        address::{Address, Block, Owner},
        lot, random,
    },
    time::Time,
};

/// So many draws are made in a network larger than that; in a smaller one everybody is looked at.
const DRAWS: usize = 64;
/// After so many nodes near to others that are wanted at random, one near to others is taken: there may be no other.
pub const SPREAD_MISSES: u32 = 32;

impl Mesh {
    /// A node to open a tunnel to, drawn from all that can be reached.
    pub(super) fn draw(&self, context: &mut Context<'_>) -> Option<NodePrefix> {
        let indexes = random::distinct(context.routes.count(), DRAWS, &mut *context.random);
        let mut nodes = indexes.into_iter().filter_map(|it| context.routes.node(it));
        nodes.find(|node| self.may_open(context.now, *node))
    }

    /// A node to open a random tunnel to: one that the lot gives us, not near to another one drawn at random, but for `replaces`, as far
    /// as its addresses are known. If there is none, one that the lot did not give us, and if need be near to others.
    pub(super) fn draw_at_random(
        &mut self,
        context: &mut Context<'_>,
        replaces: Option<NodePrefix>,
    ) -> Option<NodePrefix> {
        let (count, given) = (context.routes.count(), self.settings.limits.given.max(1));
        // so that some of those that the lot gives us are among them
        let draws = DRAWS.saturating_mul(count.div_ceil(given));
        let mut near = None;
        for index in random::several(count, draws, &mut *context.random) {
            let Some(node) = context.routes.node(index) else {
                continue;
            };
            let is_given = lot::gives(self.own, node, given, count);
            if !is_given || near == Some(node) || !self.may_open(context.now, node) {
                continue;
            }
            if !self.is_too_near(node, replaces) {
                return Some(node);
            }
            self.counters.not_spread += 1;
            near = near.or(Some(node));
        }
        near.or_else(|| self.draw(context))
    }

    /// Whether a tunnel to a node may be opened now.
    pub(super) fn may_open(&self, now: Time, node: NodePrefix) -> bool {
        node != self.own
            && !self.tunnels.contains_key(&node)
            && !self.expelled.contains(&node)
            && self.book.is_due(node, now)
    }

    /// Whether a random tunnel leads to the same owner or block of addresses: an attacker has many names, but few of these.
    pub(super) fn is_too_near(&self, node: NodePrefix, replaces: Option<NodePrefix>) -> bool {
        if self.pace.spread_misses() >= SPREAD_MISSES {
            return false;
        }
        let Some(known) = self.book.get(node) else {
            return false;
        };
        let blocks = known.addresses.iter();
        let blocks: BTreeSet<Block> = blocks.map(|it| Block::of(it.socket.ip())).collect();
        let others = self.tunnels.iter().filter(|(other, tunnel)| {
            **other != node
                && Some(**other) != replaces
                && tunnel.is_ours()
                && tunnel.why.is_random()
        });
        let is_same = |owner: Owner, other: &NodePrefix| {
            self.book.get(*other).and_then(|it| it.owner) == Some(owner)
        };
        let is_in_block = |address: &Address| blocks.contains(&Block::of(address.socket.ip()));
        let mut others = others.map(|(other, tunnel)| (other, tunnel.address));
        others.any(|(other, address)| {
            // one that is being opened leads to any of the addresses that are known
            let is_near = match &address {
                Some(address) => is_in_block(address),
                None => (self.book.get(*other))
                    .is_some_and(|other| other.addresses.iter().any(is_in_block)),
            };
            is_near || known.owner.is_some_and(|owner| is_same(owner, other))
        })
    }
}
