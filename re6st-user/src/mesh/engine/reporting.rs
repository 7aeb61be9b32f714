//! What people see.

use std::collections::VecDeque;

use super::{Mesh, tunnel::State};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::report::{EndedReport, Report, TunnelReport, TunnelState},
    time::Time,
};

/// So many tunnels that are no more are remembered.
const ENDED: usize = 16;

/// Tunnels that are no more, the latest first.
#[derive(Clone, Debug, Default)]
pub struct Ended(VecDeque<(NodePrefix, String, Time)>);

impl Ended {
    pub fn note(&mut self, now: Time, node: NodePrefix, why: impl ToString) {
        self.0.truncate(ENDED - 1);
        self.0.push_front((node, why.to_string(), now));
    }
}

impl Mesh {
    /// The mesh as this node sees it.
    pub fn report(&self, now: Time) -> Report {
        let tunnels = self.tunnels.iter().map(|(node, tunnel)| TunnelReport {
            node: *node,
            owner: tunnel.owner,
            why: tunnel.reason(),
            why_in_words: tunnel.reason().to_string(),
            state: match tunnel.state {
                State::Asking { .. } => TunnelState::Asking,
                State::Opening { .. } => TunnelState::Opening,
                State::Up { .. } => TunnelState::Up,
                State::Draining { .. } => TunnelState::Draining,
            },
            is_up: tunnel.up_since().is_some(),
            age: tunnel.up_since().map(|since| now.since(since)),
            round_trip: tunnel.round_trip,
            loss: tunnel.loss,
            worth: self.worth.get(node).copied(),
        });
        let ended = self.ended.0.iter().map(|(node, why, at)| EndedReport {
            node: *node,
            why: why.clone(),
            ago: now.since(*at),
        });
        Report {
            tunnels: tunnels.collect(),
            ended: ended.collect(),
            wanted: self.settings.clients(self.is_reachable(now)),
            can_be_reached: self.is_reachable(now),
            known: self.book.count(),
        }
    }
}
