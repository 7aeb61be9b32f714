//! What happens to a speaker.

use std::{net::Ipv6Addr, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    message::NextHop,
    quantities::{Metric, RouterId, SequenceNumber},
    settings::InterfaceSettings,
};
use crate::{route::RouteKey, time::Time};

/// Which interface; the number is the caller's, such as the kernel's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InterfaceId(pub u32);

/// One thing that happened. All of them can be recorded and replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// An interface is there, or its settings have changed; it has carrier.
    Interface {
        /// Which.
        interface: InterfaceId,
        /// As it is from now on.
        settings: Box<InterfaceSettings>,
    },
    /// An interface is gone.
    InterfaceRemoved {
        /// Which.
        interface: InterfaceId,
    },
    /// The link went down or came back. Without carrier all neighbours there are gone at once.
    Carrier {
        /// Which.
        interface: InterfaceId,
        /// Whether it is up.
        up: bool,
    },
    /// A packet came, from port 6696, already authenticated if that is asked for.
    Received {
        /// Where.
        interface: InterfaceId,
        /// Who sent it.
        source: Ipv6Addr,
        /// To us alone or to the group.
        destination: Ipv6Addr,
        /// The UDP payload.
        #[serde(with = "hexadecimal")]
        bytes: Vec<u8>,
        /// When the kernel got it, if known better than by when it is handed over (RFC 9616).
        received_at: Time,
    },
    /// We are the origin of this route from now on, or with another metric.
    Announce {
        /// Destination and source prefix.
        route: RouteKey,
        /// As neighbours will hear it.
        metric: Metric,
    },
    /// We are no longer its origin.
    Withdraw {
        /// Destination and source prefix.
        route: RouteKey,
    },
    /// What came of [`super::output::Output::Install`], when that was not what was wanted, and when it is after all. While a
    /// route is not in the data plane nobody is told of it: packets that others send here would be lost. The caller tries
    /// on, and has the last word on each route until it is told to remove it and has done so.
    Installed {
        /// Destination and source prefix.
        route: RouteKey,
        /// Whether the data plane has what it was last told to have.
        installed: bool,
    },
    /// The cost of all links to a neighbour is multiplied, to drain a tunnel before it closes.
    CostMultiplier {
        /// Where.
        interface: InterfaceId,
        /// The neighbour's address; `None` for all of the interface, also those to come.
        neighbour: Option<Ipv6Addr>,
        /// In 256ths: 256 is the plain cost, 0 counts as 1.
        multiplier: u16,
    },
    /// How good the link of an interface is whose settings say [`InterfaceSettings::measured`]; ignored of others. It holds until
    /// something else is said. Loss is in 65,536ths, of so many of the last packets as whoever measures thinks fit; it is smoothed
    /// over minutes here.
    Quality {
        /// Where.
        interface: InterfaceId,
        /// `None` if it was not measured.
        round_trip: Option<Duration>,
        /// Of what we send.
        loss_out: u16,
        /// Of what the neighbour sends.
        loss_in: u16,
        /// Whether it gives signs of life; without any it is avoided where there is another way.
        responsive: bool,
    },
    /// What the neighbour at the other end of a tunnel may announce as its own, by its certificate: from now on, and until the
    /// interface is removed. It may be told before the interface is. Without [`super::settings::Settings::origins`] it does not
    /// matter.
    Entitlement {
        /// Where.
        interface: InterfaceId,
        /// The first seven octets of the neighbour's router-id: [`super::origins::name_of`].
        router_id_prefix: [u8; 7],
        /// Its prefix, and the IPv4 subnet that goes with it.
        prefixes: Vec<IpNet>,
        /// Default routes, by source or not, as well.
        gateway: bool,
    },
    /// Bits of the shortest prefix that a node of the network has, from now on: [`super::origins::Origins::shortest`]. Without
    /// [`super::settings::Settings::origins`] it does not matter.
    ShortestPrefix {
        /// 0 if it is not known.
        bits: u8,
    },
    /// Nothing but time has passed.
    Time,
    /// The speaker stops: it tells its neighbours (RFC 8966 section 3.5.5) and keeps the installed routes.
    ShutDown,
}

/// What a speaker that is started again knows of its life before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// The last number saved.
    pub sequence_number: Option<SequenceNumber>,
    /// What is installed. Each stays until it is replaced, or the restart time is over.
    pub routes: Vec<InstalledRoute>,
    /// All feasibility distances, the last word on each last; `None` if what was kept may lack one.
    #[serde(default)]
    pub distances: Option<Vec<Distance>>,
}

/// A route in the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstalledRoute {
    /// Destination and source prefix.
    pub route: RouteKey,
    /// Out of which interface.
    pub interface: InterfaceId,
    /// The neighbour's address.
    pub next_hop: NextHop,
    /// From here to the origin.
    pub metric: Metric,
    /// Who announces it; not known of before a restart.
    pub origin: Option<RouterId>,
}

/// A feasibility distance: routes of this origin are free of loops if they are newer, or as new and their sender is
/// strictly nearer (RFC 8966 section 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Distance {
    /// Destination and source prefix.
    pub route: RouteKey,
    /// The origin.
    pub router_id: RouterId,
    /// How new.
    pub sequence_number: SequenceNumber,
    /// The smallest metric we announced with this number.
    pub metric: Metric,
    /// The way in use when it was taken down: that neighbour was strictly nearer with the same number.
    pub via: Option<(InterfaceId, NextHop)>,
}

/// Octets as text, half as long as a list of numbers.
mod hexadecimal {
    use data_encoding::HEXLOWER_PERMISSIVE as HEXADECIMAL;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&HEXADECIMAL.encode(octets))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let octets = HEXADECIMAL.decode(String::deserialize(from)?.as_bytes());
        octets.map_err(|_| D::Error::custom("octets are pairs of hexadecimal digits"))
    }
}
