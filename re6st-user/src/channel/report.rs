//! What `status peers` shows.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use super::output::Quality;
use crate::time::Timestamp;

/// How far it is with a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// It has to come to us.
    Waiting,
    /// Its key is asked for.
    NoKey,
    /// A handshake is under way.
    Opening,
    /// Packets flow.
    Connected,
    /// It leaves probes unanswered; packets still flow if they can.
    Unresponsive,
}

/// Who made the first step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenedBy {
    /// This node.
    Us,
    /// The peer.
    Peer,
}

/// One line of `status peers`.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerReport {
    /// The name in its certificate.
    pub peer: String,
    /// The configuration names it.
    pub configured: bool,
    /// Where it is, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Where it sees us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<SocketAddr>,
    /// How far it is.
    pub state: PeerState,
    /// Why not farther.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who opened the session in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<OpenedBy>,
    /// The last second its certificate is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    /// How long ago the last handshake was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handshake: Option<Duration>,
    /// Age of the session in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_age: Option<Duration>,
    /// How good the way is, where there is a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Octets of the channel that were sent, with UDP and IP headers.
    pub sent: u64,
    /// Octets of the channel that came, with UDP and IP headers.
    pub received: u64,
    /// Octets of the largest IP packet that is known to reach it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<u16>,
    /// Octets of the largest packet that fits in its tunnel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_mtu: Option<u16>,
    /// Its keys withstand quantum computers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_quantum: Option<bool>,
    /// Packets in its tunnel are encrypted: not yet.
    pub payload_encrypted: bool,
    /// One of the two is behind a NAT.
    pub nat: bool,
}
