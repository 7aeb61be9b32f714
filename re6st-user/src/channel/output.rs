//! What is to be done for the channels of a node.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;

use super::{event::Event, wire::message::CloseReason};
use crate::certificate::node_prefix::NodePrefix;

/// A tunnel in clear to a peer, as the channel has agreed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// Where the peer is.
    pub remote: SocketAddr,
    /// Our address that it knows.
    pub local: IpAddr,
    /// GRE keys that we take, newest first: the peer may send with any of them.
    pub accept: Vec<u32>,
    /// The GRE key that the peer takes.
    pub send: u32,
    /// Octets of the largest inner packet.
    pub mtu: u16,
    /// The UDP source port is the fixed one, not a hash: a NAT or a firewall may let through nothing else.
    pub fixed_source_port: bool,
    /// One of the two is behind a NAT.
    pub nat: bool,
}

/// How good the way to a peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quality {
    /// Smoothed; none while nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Duration>,
    /// Smoothed deviation of the round trip.
    pub jitter: Duration,
    /// Lost of what we send, in 65,536ths.
    pub loss_out: u16,
    /// Lost of what the peer sends, in 65,536ths.
    pub loss_in: u16,
    /// It answers.
    pub responsive: bool,
}

/// Why a channel is closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// Nothing came for a minute.
    Silent,
    /// Its certificate was revoked.
    Revoked,
    /// Its certificate has expired, or its authority's.
    Expired,
    /// Its certificate is not one of the network's, by what we know now.
    NotTrusted,
    /// It has no post-quantum keys, which are required now.
    PostQuantum,
    /// It has our own name now.
    OwnName,
    /// It has another key than the configuration wants.
    OtherKey,
    /// The configuration does not name it any more.
    NotWanted,
    /// The mesh has no use for it any more.
    NotNeeded,
    /// Enough others are served.
    Full,
    /// It told us that it closes, and why.
    Told {
        /// For us.
        reason: CloseReason,
        /// For people.
        text: String,
    },
    /// We are leaving.
    ShutDown,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "it does not answer any more",
            Self::Revoked => "its certificate is revoked",
            Self::Expired => "its certificate has expired",
            Self::NotTrusted => "its certificate is not of an authority that is trusted now",
            Self::PostQuantum => "post-quantum keys are required, and it has none",
            Self::OwnName => "it has the name of this node",
            Self::OtherKey => "it has another key than the configuration says",
            Self::NotWanted => "the configuration does not name it any more",
            Self::NotNeeded => "the mesh has no use for it any more",
            Self::Full => "enough others are served",
            Self::Told { text, .. } => return write!(f, "it says: {text}"),
            Self::ShutDown => "this node is shut down",
        })
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// A datagram; never to be fragmented on the way.
    Send {
        /// Where to.
        to: SocketAddr,
        /// Our address that the peer knows; none lets the kernel choose.
        from: Option<IpAddr>,
        /// All of it.
        bytes: Vec<u8>,
    },
    /// The registry, or whoever knows, is to be asked for a node's X25519 key.
    WantKey(NodePrefix),
    /// To be opened, or changed.
    Tunnel {
        /// Whose.
        peer: NodePrefix,
        /// All of it.
        tunnel: Tunnel,
    },
    /// It is over: its tunnel, if it had one, is to be taken away.
    Closed {
        /// Whose.
        peer: NodePrefix,
        /// For people.
        why: Closing,
    },
    /// A packet of Babel came.
    Babel {
        /// From whom.
        peer: NodePrefix,
        /// It was sent to the group.
        to_group: bool,
        /// All of it.
        packet: Vec<u8>,
    },
    /// The way to a peer has become noticeably better or worse.
    Quality {
        /// Whose.
        peer: NodePrefix,
        /// How it is.
        quality: Quality,
    },
    /// The answer to [`super::input::Input::Probe`].
    Probed {
        /// Who: it has proven it.
        node: NodePrefix,
        /// None if it does not answer.
        round_trip: Option<Duration>,
    },
    /// A node has reached us from where we had not called: no NAT and no firewall keeps it out.
    Reached(NodePrefix),
    /// A signed document that a peer had; nothing was verified.
    Document(Vec<u8>),
    /// For people.
    Event(Event),
}
