//! What happens to the channels of a node.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{PostQuantum, output::Closing};
use crate::certificate::{
    node::NodeCertificate,
    node_prefix::NodePrefix,
    revocations::RevocationList,
    static_key::{StaticKey, StaticPublicKey},
    verify::Authorities,
};

/// Who this node is, and whom it trusts.
pub struct ChannelCredentials {
    /// The private half of the certificate's X25519 key.
    pub key: StaticKey,
    /// The certificate that peers see.
    pub certificate: NodeCertificate,
    /// Who has to have issued those of peers.
    pub authorities: Authorities,
    /// Which of them are not good any more.
    pub revoked: RevocationList,
}

impl fmt::Debug for ChannelCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelCredentials")
            .field("prefix", &self.certificate.prefix().common_name())
            .finish_non_exhaustive()
    }
}

/// A node that the configuration wants a channel to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The name in its certificate.
    pub node: NodePrefix,
    /// Where it may be, tried in turn; without any it has to come to us.
    pub addresses: Vec<SocketAddr>,
    /// Its X25519 key, if the configuration says so: then it must be this.
    pub key: Option<StaticPublicKey>,
}

/// The signed documents that are passed on: number and envelope.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// The network's parameters.
    pub parameters: Option<(u64, Vec<u8>)>,
    /// What is revoked.
    pub revocations: Option<(u64, Vec<u8>)>,
    /// Statements about successors of authorities.
    pub successions: Vec<Vec<u8>>,
}

/// What happens.
#[derive(Debug)]
pub enum Input<'a> {
    /// Nothing but time passing.
    Time,
    /// A UDP datagram whose first octet is 1 to 4.
    Datagram {
        /// Who says so.
        from: SocketAddr,
        /// Our address it came to.
        to: IpAddr,
        /// All of it.
        bytes: &'a [u8],
    },
    /// Replaces those of before: peers that are no longer good are closed at once, and a new certificate is shown to all.
    Credentials(Box<ChannelCredentials>),
    /// What the network or the configuration says about ML-KEM.
    PostQuantum(PostQuantum),
    /// Replaces the peers of the configuration.
    Peers(Vec<Peer>),
    /// The answer to [`super::output::Output::WantKey`].
    PeerKey {
        /// Whose.
        node: NodePrefix,
        /// The key.
        key: StaticPublicKey,
    },
    /// A packet for a neighbour, or for all of them, who are one.
    Babel {
        /// The neighbour.
        peer: NodePrefix,
        /// To it alone, not to the group.
        unicast: bool,
        /// At most [`super::MAX_BABEL_PACKET`] octets fit on every path.
        packet: &'a [u8],
    },
    /// Replaces the documents of before.
    Held(Held),
    /// The data plane could not open a tunnel.
    NoTunnel {
        /// Whose.
        peer: NodePrefix,
        /// For people.
        why: String,
    },
    /// The host has no way to an address: who is called there need not be waited for.
    Unsendable(SocketAddr),
    /// The largest IP packet that our interfaces carry, in octets.
    LinkMtu(u16),
    /// Our addresses or routes have changed: every peer is asked at once.
    Moved,
    /// The round trip of the way to a node is to be measured, without a session: [`super::output::Output::Probed`] answers.
    Probe {
        /// Who has to be there.
        node: NodePrefix,
        /// Its X25519 key.
        key: StaticPublicKey,
        /// Where it may be: tried in turn, until it answers.
        addresses: Vec<SocketAddr>,
    },
    /// A node wants to know whether it can be reached: the same, and nobody wants to know the result.
    Reach {
        /// Who has to be there.
        node: NodePrefix,
        /// Its X25519 key.
        key: StaticPublicKey,
        /// Where it says it is.
        addresses: Vec<SocketAddr>,
    },
    /// Peers of the life before, which are tried although nobody has named them.
    Restored(Vec<(NodePrefix, SocketAddr, StaticPublicKey)>),
    /// No session with this node is wanted any more, whoever has opened it and whatever the last [`Self::Peers`] said.
    Close {
        /// With whom.
        node: NodePrefix,
        /// What it is told.
        why: Closing,
    },
    /// A new handshake now, with the address of the configuration.
    Reconnect(NodePrefix),
    /// Peers are told that we leave.
    ShutDown,
}
