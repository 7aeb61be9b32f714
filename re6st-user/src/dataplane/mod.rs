//! What forwards packets, as whoever knows routes and tunnels sees it: routes, next hops, tunnels and counters go through
//! [`DataPlane`].

use std::error::Error;

use crate::route::{FamiliesDiffer, RouteKey};
use ipnet::IpNet;
use re6st_common::{
    maps::{Interface, NextHop, Tunnel, TunnelCounters},
    reason::ReasonCounters,
};

pub mod bpf;
pub mod fib;
#[cfg(test)]
pub mod memory;
pub mod plane;
pub mod prefix;
#[cfg(test)]
pub mod recorder;

/// A route of the data plane: packets to one prefix, from one prefix or from anywhere, take a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    key: RouteKey,
    next_hop: u32,
}

impl Route {
    /// A route. `next_hop` is a next hop's number ([`re6st_common::maps::next_hop_id`]).
    ///
    /// # Errors
    /// As [`RouteKey::new`]; [`RouteError::NoNextHop`] for next hop 0.
    pub fn new(to: IpNet, from: Option<IpNet>, next_hop: u32) -> Result<Self, RouteError> {
        let key = RouteKey::new(to, from)?;
        match next_hop {
            0 => Err(RouteError::NoNextHop { to }),
            _ => Ok(Self { key, next_hop }),
        }
    }

    /// What makes it another route than others.
    pub const fn key(&self) -> RouteKey {
        self.key
    }

    /// The next hop's number, never 0.
    pub const fn next_hop(&self) -> u32 {
        self.next_hop
    }
}

/// Why there is no such route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Destination and source differ in family.
    #[error(transparent)]
    Families(#[from] FamiliesDiffer),
    /// Next hop 0 means "none".
    #[error("a route to {to} by way of next hop 0, which means none: remove the route instead")]
    NoNextHop {
        /// The destination prefix.
        to: IpNet,
    },
}

/// What forwards packets. Each call changes one thing, at once and for good; packets in between see what was before or
/// what is after, nothing else.
pub trait DataPlane {
    /// Adds a route, or gives it another next hop.
    fn set_route(&mut self, route: Route) -> Result<(), DataPlaneError>;

    /// Removes a route.
    fn remove_route(&mut self, key: RouteKey) -> Result<(), DataPlaneError>;

    /// The lowest number that no tunnel or other next hop has, and that is not below `from`.
    fn free_next_hop(&self, from: u32) -> Result<u32, DataPlaneError>;

    /// Adds a next hop, or changes it: of a router on a plain link. `id` is its number.
    fn set_next_hop(&mut self, id: u32, next_hop: &NextHop) -> Result<(), DataPlaneError>;

    /// Removes a next hop. No route may use it any more.
    fn remove_next_hop(&mut self, id: u32) -> Result<(), DataPlaneError>;

    /// Opens a tunnel, whose counters are zero then, or changes it: what its peer must send, an entry for each key that is
    /// accepted, and how to send to it. `id` is its next hop's number, which it has until it is removed, whatever others come
    /// and go.
    fn set_tunnel(
        &mut self,
        id: u32,
        accepted: &[Tunnel],
        next_hop: &NextHop,
    ) -> Result<(), DataPlaneError>;

    /// Closes a tunnel. No route may use it any more.
    fn remove_tunnel(&mut self, id: u32) -> Result<(), DataPlaneError>;

    /// Packets and bytes of the tunnel with this next hop number, of all CPUs.
    fn tunnel_counters(&self, id: u32) -> Result<TunnelCounters, DataPlaneError>;

    /// How many packets met each reason, on all CPUs.
    fn reason_counters(&self) -> Result<ReasonCounters, DataPlaneError>;

    /// What is known of a network interface; `None` if packets neither come nor go by it.
    fn interface(&self, index: u32) -> Option<Interface>;
}

/// Why the data plane did not do as it was told. Routes are then what they were; a tunnel that was to be opened may have a
/// number, but no packets, and is removed as others are.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// Removed what is not there.
    #[error("there is no route to {}{}", .0.to(), source_of(.0))]
    NoSuchRoute(RouteKey),
    /// A number that is no tunnel's, or no next hop has.
    #[error("next hop {id} does not exist: add it before routes use it")]
    NoSuchNextHop {
        /// The next hop's number.
        id: u32,
    },
    /// A number beyond the map, or one that is not a tunnel's.
    #[error("next hop number {id}: expected {first} to {last}; load with room for more tunnels", first = re6st_common::maps::next_hop_id::FIRST_TUNNEL)]
    NextHopOutOfRange {
        /// The next hop's number.
        id: u32,
        /// The last number there is room for.
        last: u32,
    },
    /// Routes still use it.
    #[error("next hop {id} is still used by {routes} routes: remove them first")]
    NextHopInUse {
        /// The next hop's number.
        id: u32,
        /// How many routes.
        routes: usize,
    },
    /// The low bits of two tunnels' keys are the same.
    #[error("another tunnel's key has the same low bits (TUNNELS[{index}])")]
    KeyInUse {
        /// Their place in TUNNELS.
        index: u32,
    },
    /// A map has no room.
    #[error("map {map} has no room for more than {capacity} entries: load with a bigger one")]
    Full {
        /// The map's name.
        map: &'static str,
        /// How many entries it holds.
        capacity: usize,
    },
    /// The kernel refused to read or write a map.
    #[error("map {map}: {action}: {source}")]
    Map {
        /// The map's name.
        map: &'static str,
        /// What was tried, such as "set slot 5".
        action: String,
        /// What the kernel said.
        source: Box<dyn Error + Send + Sync>,
    },
}

fn source_of(key: &RouteKey) -> String {
    key.from()
        .map_or(String::new(), |from| format!(" from {from}"))
}
