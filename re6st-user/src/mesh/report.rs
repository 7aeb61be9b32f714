//! What people see of the mesh.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::output::{OpenedBy, Why};
use crate::certificate::node_prefix::NodePrefix;

/// How far it is with a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelState {
    /// The peer is asked for its addresses.
    Asking,
    /// It is being opened.
    Opening,
    /// Packets flow.
    Up,
    /// Routes are to leave it, then it is closed.
    Draining,
}

/// One tunnel.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TunnelReport {
    /// The peer.
    #[serde(serialize_with = "common_name")]
    pub node: NodePrefix,
    /// Whose it is: who opened it.
    pub owner: OpenedBy,
    /// Why it is there.
    pub why: Why,
    /// The same for people.
    pub why_in_words: String,
    /// How far it is.
    pub state: TunnelState,
    /// It is up, and to stay.
    pub is_up: bool,
    /// How long it has been up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
    /// Smoothed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Duration>,
    /// Lost both ways together, in 65,536ths.
    pub loss: u16,
    /// What it would cost to lose it: how much longer ways would be, as a share of their length, summed up over all destinations looked at
    /// in the last round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worth: Option<f64>,
}

/// A tunnel that is no more.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EndedReport {
    /// The peer.
    #[serde(serialize_with = "common_name")]
    pub node: NodePrefix,
    /// For people.
    pub why: String,
    /// How long ago.
    pub ago: Duration,
}

/// The mesh as this node sees it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// By name.
    pub tunnels: Vec<TunnelReport>,
    /// The last ones, the latest first.
    pub ended: Vec<EndedReport>,
    /// Tunnels that this node wants to open now.
    pub wanted: usize,
    /// Others can open tunnels to this node, as far as it sees.
    pub can_be_reached: bool,
    /// Peers whose addresses are remembered.
    pub known: usize,
}

fn common_name<S: Serializer>(node: &NodePrefix, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&node.common_name())
}
