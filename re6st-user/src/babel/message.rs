//! What speakers say to each other: the TLVs of RFC 8966 section 4.6 freed of their encoding. Compression (router-id,
//! next hop and default prefix of the parser's state, section 4.5) is undone, so each message stands for itself.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::quantities::{Interval, Metric, RouterId, SequenceNumber};
use crate::route::RouteKey;

/// One TLV of a packet's body, authentication's apart (see `authentication`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for an [`Message::Acknowledgment`] within `interval` (section 4.6.3).
    AcknowledgmentRequest {
        /// To be sent back as it is.
        opaque: u16,
        /// How long the answer may take.
        interval: Interval,
    },
    /// Answers an acknowledgment request (section 4.6.4).
    Acknowledgment {
        /// Of the request.
        opaque: u16,
    },
    /// "I am here" (section 4.6.5).
    Hello {
        /// Counts in the unicast history, not in the multicast one.
        unicast: bool,
        /// Of the Hellos of this kind.
        sequence_number: SequenceNumber,
        /// Until the next one; [`Interval::UNSCHEDULED`] if that is not promised.
        interval: Interval,
        /// The sender's clock when it sent this, in microseconds (RFC 9616 section 3.1).
        timestamp: Option<u32>,
    },
    /// "I hear you": what receiving from a neighbour costs (section 4.6.6).
    IHeardYou {
        /// Whom it is meant for; `None` for whoever receives it.
        address: Option<IpAddr>,
        /// Infinite when the neighbour is not heard.
        reception_cost: Metric,
        /// Until the next one.
        interval: Interval,
        /// When the last Hello of that neighbour was sent and received (RFC 9616 section 3.2).
        timestamps: Option<EchoedTimestamps>,
    },
    /// A route, or its retraction (section 4.6.9).
    Update(Update),
    /// Retracts everything the sender announced on this link (section 4.6.9, address encoding 0).
    RetractAll,
    /// Asks for an update (section 4.6.10).
    RouteRequest {
        /// Of this route; of all if `None`.
        route: Option<RouteKey>,
    },
    /// Asks for an update with a newer sequence number (section 4.6.11).
    SequenceNumberRequest {
        /// Of this route.
        route: RouteKey,
        /// Originated by this router.
        router_id: RouterId,
        /// At least this new.
        sequence_number: SequenceNumber,
        /// How many more speakers may pass it on, at least 1.
        hop_count: u8,
    },
    /// Ours, TLV 224: asks a neighbour of our kind for an immediate [`Message::ProbeReply`]. Body: reserved (2 octets,
    /// 0), token (4). To the group, ahead of a Hello with a number out of order: the sender was restarted, but forwards as
    /// it said before.
    Probe {
        /// To be sent back as it is.
        token: u32,
    },
    /// Ours, TLV 225: answers a probe. Body as [`Message::Probe`].
    ProbeReply {
        /// Of the probe.
        token: u32,
    },
    /// Ours, TLV 226: a part of the digest of all routes that the sender last announced on this link. Body: first block
    /// (1 octet), number of blocks (1), update interval (2), then 8 octets a block.
    Digest {
        /// Which block of the 64 the first one here is.
        first: u8,
        /// Until the next digest: routes of equal blocks are as good as announced again with this interval.
        interval: Interval,
        /// The digests of consecutive blocks, at least one.
        blocks: Vec<u64>,
    },
    /// Ours, TLV 227: asks for all routes of the blocks whose digests differ. Body: a bitmap of 64 bits.
    DigestMismatch {
        /// Bit n (from the lowest) for block n.
        blocks: u64,
    },
}

impl Message {
    /// Times of an IHU count only beside the Hello they answer with (RFC 9616 section 3.2).
    pub const fn forget_times(&mut self) {
        if let Self::IHeardYou { timestamps, .. } = self {
            *timestamps = None;
        }
    }
}

/// What an IHU says about the last Hello of the neighbour it is meant for: RFC 9616 section 3.2, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoedTimestamps {
    /// When it was sent, by the neighbour's clock.
    pub origin: u32,
    /// When it was received, by the sender's clock.
    pub received: u32,
}

/// A route announced, or retracted if its metric is infinite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Destination and source prefix.
    pub route: RouteKey,
    /// Its origin; in retractions it does not matter, and what is received has none.
    pub router_id: Option<RouterId>,
    /// By its origin.
    pub sequence_number: SequenceNumber,
    /// From the sender on.
    pub metric: Metric,
    /// Until the next update.
    pub interval: Interval,
    /// Where to send packets; in retractions likewise.
    pub next_hop: Option<NextHop>,
}

/// Where a neighbour wants packets of a route sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NextHop {
    /// An IPv6 address, for IPv6 routes or (RFC 9229) for IPv4 routes announced with address encoding 4.
    Ipv6(Ipv6Addr),
    /// An IPv4 address, for IPv4 routes of address encoding 1.
    Ipv4(std::net::Ipv4Addr),
}

impl fmt::Display for NextHop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv6(address) => address.fmt(formatter),
            Self::Ipv4(address) => address.fmt(formatter),
        }
    }
}
