//! What is to be done for the mesh of a node.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{QuestionId, address::Address, event::Event, known::Known, routes::Metric};
use crate::certificate::node_prefix::NodePrefix;

/// Who made the first step, and so has the tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// This node.
    Us,
    /// The peer.
    Peer,
}

/// Why there is a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The peer was drawn from all nodes, and nothing else matters.
    Random,
    /// The same, in the last run of this node.
    Anchor,
    /// It shortens ways.
    Gain,
    /// To get into the network at all.
    Bootstrap,
    /// The configuration names the peer.
    Preferred,
    /// Traffic goes to the peer, and this way is shorter.
    Direct,
    /// The peer wanted it.
    Served,
}

impl Why {
    /// Whether the peer was drawn from all nodes by us.
    pub const fn is_random(self) -> bool {
        matches!(self, Self::Random | Self::Anchor)
    }

    /// Whether the tunnel is one of those that are to be as good as possible.
    pub const fn is_optimised(self) -> bool {
        matches!(self, Self::Gain | Self::Bootstrap)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "drawn at random",
            Self::Anchor => "drawn at random before the restart",
            Self::Gain => "shortens ways",
            Self::Bootstrap => "a way into the network",
            Self::Preferred => "named by the configuration",
            Self::Direct => "traffic goes there",
            Self::Served => "wanted by the peer",
        })
    }
}

/// Why we close a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closing {
    /// Another one took its place.
    Replaced,
    /// There are more than are wanted now.
    NotNeeded,
    /// No traffic goes there any more.
    Idle,
    /// Enough others are served.
    Full,
    /// The network does not know the node any more.
    Expelled,
    /// It is in a country that ours has no tunnels with.
    OtherCountry,
    /// Its protocol or IP version is disabled now.
    Disabled,
    /// It was not up in time.
    Late,
    /// The peer promised shorter ways than it gave.
    BrokenPromise,
    /// This node leaves.
    ShutDown,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replaced => "another one took its place",
            Self::NotNeeded => "there are more tunnels than wanted",
            Self::Idle => "no traffic goes there any more",
            Self::Full => "enough others are served",
            Self::Expelled => "the network does not know the node any more",
            Self::OtherCountry => "tunnels do not cross that country's border",
            Self::Disabled => "its protocol or IP version is disabled",
            Self::Late => "it was not up in time",
            Self::BrokenPromise => "it does not shorten ways as the peer had promised",
            Self::ShutDown => "this node leaves",
        })
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// A tunnel is to be opened: the addresses are tried in this order. [`super::Input::Up`] or [`super::Input::OpenFailed`] answers.
    Open {
        /// To whom.
        node: NodePrefix,
        /// Where.
        addresses: Vec<Address>,
        /// Why.
        why: Why,
    },
    /// A tunnel's cost is to be raised at both ends, so that routes leave it. It stays open.
    Drain(NodePrefix),
    /// A draining tunnel is wanted after all: its cost is what it was.
    Undrain(NodePrefix),
    /// A tunnel is to be closed, or not to be opened after all. [`super::Input::Closed`] need not answer. The peer is told why.
    Close {
        /// Whose.
        node: NodePrefix,
        /// Why.
        why: Closing,
    },
    /// A node is to be asked, over the mesh, for its addresses and what its ways to some nodes cost.
    Ask {
        /// Whom.
        node: NodePrefix,
        /// Comes back with the answer.
        id: QuestionId,
        /// Where to; may be none.
        destinations: Arc<[NodePrefix]>,
        /// It is to try and reach us, at [`super::Input::OwnAddresses`]: we call it at the same time, or do not know whether
        /// others can reach us.
        reach_us: bool,
    },
    /// A node wants to be reached: a probe, whose result does not matter here. It lets that node's own call through a NAT or a
    /// firewall before us, or shows it that others can reach it.
    Reach {
        /// Whose.
        node: NodePrefix,
        /// Where it says it is.
        addresses: Vec<Address>,
    },
    /// What another node asked.
    Answer {
        /// Who.
        node: NodePrefix,
        /// Of its question.
        id: QuestionId,
        /// Where we are.
        addresses: Vec<Address>,
        /// We serve fewer than we may.
        has_room: bool,
        /// What our ways to its destinations cost, in their order.
        metrics: Vec<Metric>,
    },
    /// The round trip on the direct way to a node is to be measured, without a tunnel.
    Probe {
        /// Whose.
        node: NodePrefix,
        /// Where.
        addresses: Vec<Address>,
    },
    /// The registry is to be asked for a peer to begin with.
    AskRegistry,
    /// To be remembered for the next run, in place of what was remembered of this node.
    Remember(Known),
    /// Not to be remembered any more.
    Forget(NodePrefix),
    /// Whom to begin with in the next run.
    Anchors(Vec<NodePrefix>),
    /// For people.
    Event(Event),
}
