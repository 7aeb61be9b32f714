//! Draws of nodes: from all that can be reached, each as likely as any other.

use std::collections::BTreeSet;

use super::{Context, Mesh};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        address::{Block, Owner},
        random,
    },
    time::Time,
};

/// So many draws are made in a network larger than that; in a smaller one everybody is looked at.
const DRAWS: usize = 64;
/// After so many nodes near to others that are wanted at random, one near to others is taken: there may be no other.
pub const SPREAD_MISSES: u32 = 32;

impl Mesh {
    /// A node to open a tunnel to, drawn from all that can be reached. `is_spread`: not near to another one drawn at random, but for
    /// `replaces`, as far as its addresses are known.
    pub(super) fn draw(
        &mut self,
        context: &mut Context<'_>,
        is_spread: bool,
        replaces: Option<NodePrefix>,
    ) -> Option<NodePrefix> {
        let indexes = random::distinct(context.routes.count(), DRAWS, &mut *context.random);
        let mut near = None;
        for index in indexes {
            let Some(node) = context.routes.node(index) else {
                continue;
            };
            if !self.may_open(context.now, node) {
                continue;
            }
            if !is_spread || !self.is_too_near(node, replaces) {
                return Some(node);
            }
            self.counters.not_spread += 1;
            near = near.or(Some(node));
        }
        near
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
        let mut others = others.map(|(other, tunnel)| (other, tunnel.address));
        others.any(|(other, address)| {
            let block = address.map(|address| Block::of(address.socket.ip()));
            block.is_some_and(|block| blocks.contains(&block))
                || known.owner.is_some_and(|owner| is_same(owner, other))
        })
    }
}
