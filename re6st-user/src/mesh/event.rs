//! What people are told of the mesh, each once until it changes.

use std::fmt;

use super::input::Loss;
use super::output::{Closing, Why};
use crate::certificate::node_prefix::NodePrefix;

/// What people are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// There are ways to other nodes.
    Joined {
        /// To how many.
        nodes: usize,
    },
    /// There is no way to any other node.
    Alone,
    /// There is a tunnel of ours.
    Opened {
        /// To whom.
        node: NodePrefix,
        /// Why.
        why: Why,
    },
    /// A tunnel of ours is lost.
    Lost {
        /// To whom.
        node: NodePrefix,
        /// Why.
        why: Loss,
    },
    /// We closed a tunnel.
    Closed {
        /// To whom.
        node: NodePrefix,
        /// Why.
        why: Closing,
    },
    /// Nobody can open tunnels to us, as far as we see.
    NotReachable,
    /// Others can open tunnels to us.
    Reachable,
    /// A candidate promised shorter ways than it gave.
    Liar(NodePrefix),
    /// So many are served that others are refused.
    Full,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { nodes: 1 } => f.write_str("mesh: joined; 1 node is reachable"),
            Self::Joined { nodes } => write!(f, "mesh: joined; {nodes} nodes are reachable"),
            Self::Alone => f.write_str("mesh: no other node is reachable"),
            Self::Opened { node, why } => {
                write!(f, "mesh: tunnel to {}: {why}", node.common_name())
            }
            Self::Lost { node, why } => {
                write!(f, "mesh: tunnel to {} lost: {why}", node.common_name())
            }
            Self::Closed { node, why } => {
                write!(f, "mesh: tunnel to {} closed: {why}", node.common_name())
            }
            Self::NotReachable => f.write_str(
                "mesh: no other node has a tunnel to this one; it keeps few tunnels, for it may not be reachable from outside",
            ),
            Self::Reachable => f.write_str("mesh: this node is reachable from outside"),
            Self::Liar(node) => write!(
                f,
                "mesh: node {} promised shorter ways than it gave, and is not believed for some time",
                node.common_name()
            ),
            Self::Full => f.write_str("mesh: enough nodes are served; others are refused"),
        }
    }
}
