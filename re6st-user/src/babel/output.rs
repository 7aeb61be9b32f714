//! What a speaker wants done.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize, Serializer};

use super::{
    input::{Distance, InstalledRoute, InterfaceId},
    origins::Refusal,
    quantities::{Metric, RouterId, SequenceNumber},
};
use crate::{route::RouteKey, time::Time};

/// The group of all Babel speakers of a link (RFC 8966 section 4.2).
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 6);
/// Source and destination port of all packets (RFC 8966 section 4.2).
pub const PORT: u16 = 6696;

/// One thing to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a packet.
    Send {
        /// Where.
        interface: InterfaceId,
        /// [`GROUP`] or a neighbour.
        destination: Ipv6Addr,
        /// The packet.
        packet: OutgoingPacket,
    },
    /// Put a route into the data plane, or replace what is there for it. Said when interface or next hop change; metrics
    /// change without a word, [`super::speaker::Speaker::installed`] tells them.
    Install(InstalledRoute),
    /// Refuse packets to this prefix, rather than send them along a shorter one (RFC 8966 section 2.8).
    Unreachable {
        /// Destination and source prefix.
        route: RouteKey,
    },
    /// Remove what is in the data plane for a route.
    Remove {
        /// Destination and source prefix.
        route: RouteKey,
    },
    /// Keep this number across restarts.
    SaveSequenceNumber(SequenceNumber),
    /// Keep this across restarts, before anything that follows is done: packets that follow announce it. It replaces what
    /// was kept of this route and origin.
    SaveDistance(Distance),
    /// For the log.
    Event(Event),
}

/// A UDP payload, all but the time it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingPacket {
    /// As encoded, without authentication.
    pub bytes: Vec<u8>,
    /// Where 4 octets of the sender's clock are to be written ([`crate::time::Time::timestamp`], big endian) as late as
    /// possible before it is signed and sent (RFC 9616 section 3.1).
    pub timestamp_at: Option<usize>,
}

impl OutgoingPacket {
    /// Its octets, with the time it is sent.
    pub fn stamped(self, now: Time) -> Vec<u8> {
        let mut bytes = self.bytes;
        if let Some(place) = self.timestamp_at.and_then(|at| bytes.get_mut(at..at + 4)) {
            place.copy_from_slice(&now.timestamp().to_be_bytes());
        }
        bytes
    }
}

/// What people may want to read in a log. [`Self::words`] puts it into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// First heard of.
    NewNeighbour {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// Heard both ways.
    NeighbourUp {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// No longer usable.
    NeighbourDown {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
        /// Why.
        reason: DownReason,
    },
    /// It leaves probes unanswered: avoided where there is another way.
    NeighbourUnresponsive {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// It gave a sign of life again.
    NeighbourResponsive {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// Small packets reach it, but none as large as updates may be: avoided where there is another way.
    PathNarrow {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// Large packets reach it again.
    PathWide {
        /// Where.
        interface: InterfaceId,
        /// Who.
        address: Ipv6Addr,
    },
    /// Another speaker announces routes with our router-id.
    DuplicateRouterId {
        /// Where.
        interface: InterfaceId,
        /// Who said so.
        address: Ipv6Addr,
        /// Of which route.
        route: RouteKey,
    },
    /// A neighbour announces what its origin may not; it is ignored. Said seldom, counters tell how often.
    RouteRefused {
        /// Where.
        interface: InterfaceId,
        /// Who said so.
        address: Ipv6Addr,
        /// Of which route.
        route: RouteKey,
        /// The origin.
        #[serde(serialize_with = "as_text")]
        router_id: RouterId,
        /// Why.
        why: Refusal,
    },
    /// A bound was reached, for the first time since long; its counter tells how often.
    LimitReached {
        /// Where.
        interface: InterfaceId,
        /// Which bound.
        limit: &'static str,
    },
    /// Routes of before the restart that were not heard again are gone.
    RestartOver {
        /// How many.
        removed: usize,
    },
}

impl Event {
    /// Where it happened.
    pub const fn interface(&self) -> Option<InterfaceId> {
        match self {
            Self::NewNeighbour { interface, .. }
            | Self::NeighbourUp { interface, .. }
            | Self::NeighbourDown { interface, .. }
            | Self::NeighbourUnresponsive { interface, .. }
            | Self::NeighbourResponsive { interface, .. }
            | Self::PathNarrow { interface, .. }
            | Self::PathWide { interface, .. }
            | Self::DuplicateRouterId { interface, .. }
            | Self::RouteRefused { interface, .. }
            | Self::LimitReached { interface, .. } => Some(*interface),
            Self::RestartOver { .. } => None,
        }
    }

    /// For people. `place`: the interface as people call it.
    pub fn words(&self, place: &str) -> String {
        match self {
            Self::NewNeighbour { address, .. } => format!("new neighbour {address} on {place}"),
            Self::NeighbourUp { address, .. } => format!("neighbour {address} on {place} is up"),
            Self::NeighbourDown {
                address, reason, ..
            } => format!("neighbour {address} on {place} is down: {reason}"),
            Self::NeighbourUnresponsive { address, .. } => {
                format!("neighbour {address} on {place} does not answer")
            }
            Self::NeighbourResponsive { address, .. } => {
                format!("neighbour {address} on {place} answers again")
            }
            Self::PathNarrow { address, .. } => format!(
                "packets of 1280 octets do not reach neighbour {address} on {place}, smaller ones do: it is avoided"
            ),
            Self::PathWide { address, .. } => {
                format!("packets of 1280 octets reach neighbour {address} on {place} again")
            }
            Self::DuplicateRouterId { address, route, .. } => format!(
                "{address} on {place} announces {} with our router-id as an origin: is another node using it?",
                route.to()
            ),
            Self::RouteRefused {
                address,
                route,
                router_id,
                why,
                ..
            } => format!(
                "neighbour {address} on {place} announces {} {}: ignored",
                route.to(),
                why.words(*router_id)
            ),
            Self::LimitReached { limit, .. } => format!("limit reached on {place}: {limit}"),
            Self::RestartOver { removed } => {
                format!("restart is over: {removed} routes were not heard again")
            }
        }
    }
}

/// Why a neighbour is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum DownReason {
    /// Too few of its Hellos came.
    #[error("too few Hellos")]
    Hellos,
    /// It does not hear us.
    #[error("it does not hear us")]
    NotHeard,
    /// The interface lost its carrier, or is gone.
    #[error("the link is down")]
    Link,
}

/// A neighbour, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeighbourSnapshot {
    /// Where.
    pub interface: InterfaceId,
    /// The interface's name.
    pub interface_name: String,
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// Which of the last 16 multicast Hellos came, the last one in the highest bit.
    pub reach: u16,
    /// The same of unicast Hellos.
    pub unicast_reach: u16,
    /// What receiving from it costs us.
    pub reception_cost: Metric,
    /// What receiving from us costs it, as it says.
    pub transmission_cost: Metric,
    /// The whole cost of the link, with round-trip time and multiplier.
    pub cost: Metric,
    /// In 256ths.
    pub multiplier: u16,
    /// Smoothed round-trip time, in microseconds, if measured.
    pub round_trip_microseconds: Option<u32>,
    /// Packets lost on either way, in 65,536ths and smoothed, if measured.
    pub loss: Option<u16>,
    /// Whether it is of our kind: it answers probes.
    pub probing: bool,
    /// Whether it leaves probes unanswered now, and so is avoided where there is another way.
    pub unresponsive: bool,
    /// Whether large packets do not reach it, and so it is avoided where there is another way.
    pub narrow: bool,
    /// How many routes it announces.
    pub routes: usize,
}

/// How much a speaker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Totals {
    /// Neighbours.
    pub neighbours: usize,
    /// Prefixes, our own among them.
    pub prefixes: usize,
    /// Routes that neighbours announce to them.
    pub routes: usize,
    /// Routes of our own.
    pub own: usize,
}

/// A part of a table. Who asks for the next one finds what was there all the time once, whatever else came and went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What it has.
    pub items: Vec<T>,
    /// Where the next part begins; `None` after the last one.
    pub next: Option<u32>,
}

/// A route, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteSnapshot {
    /// Destination and source prefix.
    #[serde(flatten)]
    pub route: RouteKey,
    /// The metric of our own route, if we are an origin.
    pub own_metric: Option<Metric>,
    /// What neighbours announce. The best one first.
    pub candidates: Vec<CandidateSnapshot>,
    /// Whether packets to it are refused because it was lost.
    pub unreachable: bool,
    /// Why the way in use is, or why there is none.
    pub why: &'static str,
}

/// One way to a prefix, by one neighbour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateSnapshot {
    /// Which interface.
    pub interface: InterfaceId,
    /// The interface's name.
    pub interface_name: String,
    /// Of the neighbour that announces it.
    pub neighbour: Ipv6Addr,
    /// Where packets go.
    pub next_hop: IpAddr,
    /// The origin.
    #[serde(serialize_with = "as_text")]
    pub router_id: RouterId,
    /// By the origin.
    pub sequence_number: SequenceNumber,
    /// From the neighbour.
    pub advertised_metric: Metric,
    /// From here.
    pub metric: Metric,
    /// In use.
    pub selected: bool,
    /// May be used without risk of a loop.
    pub feasible: bool,
    /// Since the neighbour last announced it, in seconds; for routes kept by digest, since the last equal digest.
    pub age_seconds: u64,
}

fn as_text<S: Serializer>(router_id: &RouterId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(router_id)
}
