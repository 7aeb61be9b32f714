//! What happens to the mesh of a node.

use std::{fmt, time::Duration};

use super::{
    QuestionId, address::Address, known::Known, output::OpenedBy, routes::Metric,
    settings::Settings,
};
use crate::certificate::node_prefix::NodePrefix;

/// Who told of a peer. The later ones here are believed more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Source {
    /// Some other node.
    Other,
    /// What was remembered of the last run.
    Cache,
    /// The same LAN.
    Lan,
    /// The registry.
    Registry,
    /// The node itself.
    Itself,
    /// The configuration of this node.
    Configuration,
}

/// Why a tunnel could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenFailure {
    /// No answer from any of its addresses, or none of them can be sent to.
    Unreachable,
    /// It serves enough others.
    Full,
    /// Another node is there, or one that is not to be trusted: the addresses are wrong.
    WrongNode,
    /// This host could not do it.
    Local,
}

/// Why a tunnel is no more, other than by our own [`super::Output::Close`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// The peer does not answer any more.
    Silent,
    /// The peer closed it: it belongs to the peer, which has no use for it any more, or the peer leaves.
    ByPeer,
    /// The peer closed it: it serves enough others.
    Full,
    /// The peer is not to be trusted any more.
    NotTrusted,
    /// This host closed it.
    Local,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the peer does not answer any more",
            Self::ByPeer => "the peer closed it",
            Self::Full => "the peer serves enough others",
            Self::NotTrusted => "the peer is not to be trusted any more",
            Self::Local => "this host closed it",
        })
    }
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Input {
    /// Nothing but time passing.
    Time,
    /// Replaces the settings of before.
    Settings(Box<Settings>),
    /// Where others can reach us, with the countries of these addresses: what we answer when asked. Replaces those of before.
    OwnAddresses(Vec<Address>),
    /// Whether others can open tunnels to us. As long as nobody knows, it is so if somebody does.
    Reachable(Option<bool>),
    /// Another node has reached us by a probe of its own.
    Reached,
    /// What was remembered of the last run, and with whom to begin. Once, at the start.
    Remembered {
        /// Everybody.
        peers: Vec<Known>,
        /// The last [`super::Output::Anchors`].
        anchors: Vec<NodePrefix>,
    },
    /// Somebody told of peers.
    Learned {
        /// Who.
        source: Source,
        /// What.
        peers: Vec<Known>,
    },
    /// The registry does not answer [`super::Output::AskRegistry`].
    RegistrySilent,
    /// A tunnel is up: the peer is who it should be, and packets flow. Once for each tunnel, not for each new key.
    Up {
        /// Whose.
        node: NodePrefix,
        /// Who made the first step.
        opened_by: OpenedBy,
        /// Where the peer is.
        address: Address,
    },
    /// A tunnel that was to be opened is not.
    OpenFailed {
        /// Whose.
        node: NodePrefix,
        /// Why.
        why: OpenFailure,
    },
    /// A tunnel is no more.
    Closed {
        /// Whose.
        node: NodePrefix,
        /// Why.
        why: Loss,
    },
    /// How good a tunnel is.
    Quality {
        /// Whose.
        node: NodePrefix,
        /// Smoothed.
        round_trip: Option<Duration>,
        /// Lost both ways together, in 65,536ths.
        loss: u16,
    },
    /// No route takes this draining tunnel any more.
    Drained(NodePrefix),
    /// Another node wants to know where we are, and what our ways to some nodes cost.
    Asked {
        /// Who, and where it says it is: it has proven it.
        by: Known,
        /// Goes back with the answer.
        id: QuestionId,
        /// Where to.
        destinations: Vec<NodePrefix>,
        /// It wants to be reached there.
        reach_us: bool,
    },
    /// The answer to [`super::Output::Ask`].
    Answered {
        /// Who, and where it says it is: it has proven it.
        by: Known,
        /// Of the question.
        id: QuestionId,
        /// It serves fewer than it may.
        has_room: bool,
        /// What its ways to the destinations of the question cost, in their order.
        metrics: Vec<Metric>,
    },
    /// The answer to [`super::Output::Probe`]; none comes in its place.
    Probed {
        /// Who: it has proven it.
        node: NodePrefix,
        /// The direct way's; none if it does not answer.
        round_trip: Option<Duration>,
    },
    /// Octets that this host sent into the mesh since the last time, by node. Some seconds apart.
    Traffic(Vec<(NodePrefix, u64)>),
    /// The nodes that the network does not know any more. Replaces those of before.
    Expelled(Vec<NodePrefix>),
    /// Our addresses or routes to the outside have changed: peers that could not be reached may be reached now.
    Moved,
    /// This node leaves: nothing is opened any more.
    ShutDown,
}
