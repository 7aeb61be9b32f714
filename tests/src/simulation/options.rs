//! How a simulation is made.

use std::time::Duration;

use re6st_user::mesh::{Metric, Settings};

/// How the simulation is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of all nodes.
    pub settings: Settings,
    /// How many.
    pub nodes: usize,
    /// So many of them, the last ones, are an attacker's.
    pub hostile: usize,
    /// So many destinations have exact distances at a time.
    pub landmarks: usize,
    /// Distances are computed again after so long.
    pub converging: Duration,
    /// What the attacker's nodes say of their ways.
    pub lies: Lies,
}

impl Options {
    /// Whether a node is the attacker's.
    pub const fn is_hostile(&self, node: usize) -> bool {
        node + self.hostile >= self.nodes
    }

    /// So many nodes as they are by default, and nobody hostile.
    pub fn of(nodes: usize) -> Self {
        Self {
            settings: Settings::default(),
            nodes,
            hostile: 0,
            landmarks: nodes.min(256),
            converging: Duration::from_secs(150),
            lies: Lies::None,
        }
    }
}

/// What an attacker's nodes say of their ways. They open and serve as many tunnels as they can in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lies {
    /// The truth.
    None,
    /// Those who are asked say that they are a tenth of a millisecond from everywhere.
    Answers,
    /// The same, and so they announce it to neighbours.
    AnswersAndRoutes,
}

/// What liars say.
pub const LIE: Metric = Metric(1);
/// Tunnels that an attacker's node opens.
pub const HOSTILE_CLIENTS: usize = 400;
