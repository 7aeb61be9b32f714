//! The kernel's table of routes, and its neighbours, as the installer uses them.

use std::net::IpAddr;

use crate::{
    io::netlink::{NetlinkError, Refusal, Rtnetlink, mesh_route::Way},
    route::RouteKey,
};

/// Where routes are written so that the host itself, and what XDP leaves to it, goes the same way.
pub trait KernelTable {
    /// The routes of the instance whose routes begin at metric `first`.
    ///
    /// # Errors
    /// The kernel does not tell.
    fn routes(&mut self, first: u32) -> Result<Vec<(RouteKey, Way)>, NetlinkError>;

    /// Writes routes, or removes those without a way; gives those that were refused, by their place.
    ///
    /// # Errors
    /// None of them may have been written.
    fn set_routes(
        &mut self,
        first: u32,
        routes: &[(RouteKey, Option<Way>)],
    ) -> Result<Vec<Refusal>, NetlinkError>;

    /// The Ethernet address of a router on an interface's link, if it is known.
    ///
    /// # Errors
    /// The kernel does not tell.
    fn neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
    ) -> Result<Option<[u8; 6]>, NetlinkError>;

    /// Makes the kernel look for it.
    ///
    /// # Errors
    /// It will not.
    fn resolve_neighbour(&mut self, interface: u32, address: IpAddr) -> Result<(), NetlinkError>;
}

impl KernelTable for Rtnetlink {
    fn routes(&mut self, first: u32) -> Result<Vec<(RouteKey, Way)>, NetlinkError> {
        self.mesh_routes(first)
    }

    fn set_routes(
        &mut self,
        first: u32,
        routes: &[(RouteKey, Option<Way>)],
    ) -> Result<Vec<Refusal>, NetlinkError> {
        self.set_mesh_routes(first, routes)
    }

    fn neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
    ) -> Result<Option<[u8; 6]>, NetlinkError> {
        Self::neighbour(self, interface, address)
    }

    fn resolve_neighbour(&mut self, interface: u32, address: IpAddr) -> Result<(), NetlinkError> {
        Self::resolve_neighbour(self, interface, address)
    }
}
