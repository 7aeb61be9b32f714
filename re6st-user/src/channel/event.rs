//! What people are told of channels, each once until it changes.

use std::{fmt, net::SocketAddr};

use super::{output::Closing, refusal::Refusal};
use crate::certificate::node_prefix::NodePrefix;

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Both ends have keys: packets flow.
    Connected {
        /// With whom.
        peer: NodePrefix,
        /// Where it is.
        address: SocketAddr,
        /// Its keys withstand quantum computers.
        post_quantum: bool,
    },
    /// It is over.
    Closed {
        /// With whom.
        peer: NodePrefix,
        /// Why.
        why: Closing,
    },
    /// It is somewhere else now.
    Moved {
        /// Who.
        peer: NodePrefix,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// It is at two places in turn.
    TwoPlaces {
        /// Who.
        peer: NodePrefix,
        /// The places.
        places: [SocketAddr; 2],
    },
    /// It leaves probes unanswered.
    Unresponsive(NodePrefix),
    /// It answers again.
    Responsive(NodePrefix),
    /// Somebody wanted a channel, or answered for a peer, and is refused.
    Refused {
        /// The name in the certificate, or the one that was called, if either is known.
        peer: Option<NodePrefix>,
        /// Where it is.
        address: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// Several initiations were not answered.
    NoAnswer {
        /// Who does not answer.
        peer: NodePrefix,
        /// Where it should be.
        address: SocketAddr,
    },
    /// Nobody knows its key so far.
    NoKey(NodePrefix),
    /// There is no GRE key left to give.
    NoTunnelIndex(NodePrefix),
    /// The configuration names this node itself as a peer.
    OwnName,
    /// A peer sees us at another address than we have: we are behind a NAT.
    BehindNat {
        /// Who sees us.
        peer: NodePrefix,
        /// Where.
        seen: SocketAddr,
    },
    /// Large packets do not pass any more.
    BlackHole {
        /// On the way to whom.
        peer: NodePrefix,
        /// Octets of the largest IP packet that used to pass.
        size: u16,
    },
}

impl Event {
    /// What is told of, and of whom: a peer can cause many of one kind that are never the same.
    pub fn subject(&self) -> String {
        let (kind, peer) = match self {
            Self::Connected { peer, .. } => ("connected", Some(peer)),
            Self::Closed { peer, .. } => ("closed", Some(peer)),
            Self::Moved { peer, .. } => ("moved", Some(peer)),
            Self::TwoPlaces { peer, .. } => ("two places", Some(peer)),
            Self::Unresponsive(peer) => ("unresponsive", Some(peer)),
            Self::Responsive(peer) => ("responsive", Some(peer)),
            Self::Refused { peer, .. } => ("refused", peer.as_ref()),
            Self::NoAnswer { peer, .. } => ("no answer", Some(peer)),
            Self::NoKey(peer) => ("no key", Some(peer)),
            Self::NoTunnelIndex(peer) => ("no tunnel index", Some(peer)),
            Self::OwnName => ("own name", None),
            Self::BehindNat { peer, .. } => ("behind a NAT", Some(peer)),
            Self::BlackHole { peer, .. } => ("black hole", Some(peer)),
        };
        peer.map_or_else(
            || kind.to_owned(),
            |peer| format!("{kind} {}", peer.common_name()),
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |peer: &NodePrefix| peer.common_name();
        match self {
            Self::Connected {
                peer,
                address,
                post_quantum,
            } => {
                let keys = match post_quantum {
                    true => "post-quantum keys",
                    false => "no post-quantum keys",
                };
                write!(f, "peer {} at {address}: connected, {keys}", name(peer))
            }
            Self::Closed { peer, why } => write!(f, "peer {}: closed: {why}", name(peer)),
            Self::Moved { peer, from, to } => {
                write!(f, "peer {}: moved from {from} to {to}", name(peer))
            }
            Self::TwoPlaces { peer, places } => {
                write!(f, "peer {} {}", name(peer), two_places(*places))
            }
            Self::Unresponsive(peer) => write!(f, "peer {} does not answer", name(peer)),
            Self::Responsive(peer) => write!(f, "peer {} answers again", name(peer)),
            Self::Refused { peer, address, why } => {
                let who = peer.as_ref().map_or_else(|| "somebody".to_owned(), name);
                write!(f, "{who} at {address} is refused: {why}")
            }
            Self::NoAnswer { peer, address } => {
                write!(
                    f,
                    "peer {} at {address}: no answer to the handshake; is that its address, and does UDP get through?",
                    name(peer)
                )
            }
            Self::NoKey(peer) => write!(
                f,
                "peer {}: its key is not known yet; the registry is asked again",
                name(peer)
            ),
            Self::NoTunnelIndex(peer) => write!(
                f,
                "peer {}: no GRE key is free for its tunnel: there are too many tunnels",
                name(peer)
            ),
            Self::OwnName => write!(f, "a [[peer]] of the configuration is this node itself"),
            Self::BehindNat { peer, seen } => write!(
                f,
                "peer {} sees this node at {seen}: there is a NAT between",
                name(peer)
            ),
            Self::BlackHole { peer, size } => write!(
                f,
                "peer {}: packets of {size} octets do not reach it any more; what does is searched",
                name(peer)
            ),
        }
    }
}

/// What a peer that is at two places in turn does, and why that may be.
pub fn two_places(mut places: [SocketAddr; 2]) -> String {
    places.sort();
    let [one, other] = places;
    format!(
        "is at {one} and at {other} in turn: if it has not two uplinks that fail, two hosts have its key, and each must have its own"
    )
}
