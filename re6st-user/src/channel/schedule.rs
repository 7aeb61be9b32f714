//! When whose turn is next.

use std::collections::{BTreeSet, HashMap};

use crate::{certificate::node_prefix::NodePrefix, time::Time};

/// One moment a peer.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    at: HashMap<NodePrefix, Time>,
    order: BTreeSet<(Time, NodePrefix)>,
}

impl Schedule {
    pub fn set(&mut self, peer: NodePrefix, at: Option<Time>) {
        let before = match at {
            Some(at) => self.at.insert(peer, at),
            None => self.at.remove(&peer),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, peer));
        }
        if let Some(at) = at {
            self.order.insert((at, peer));
        }
    }

    /// Somebody whose moment has come; its moment stays until it is set again.
    pub fn due(&self, now: Time) -> Option<NodePrefix> {
        let (at, peer) = *self.order.first()?;
        (at <= now).then_some(peer)
    }

    pub fn next(&self) -> Option<Time> {
        self.order.first().map(|(at, _)| *at)
    }
}
