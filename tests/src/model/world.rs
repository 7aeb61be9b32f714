//! What the model knows of the world.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use re6st_common::maps::{Interface, NextHop, Settings, Tunnel, next_hop_id};

/// A route of the mesh.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Packets to these addresses ...
    pub to: IpNet,
    /// ... from these; any if none.
    pub from: Option<IpNet>,
    /// The next hop's number.
    pub next_hop: u32,
}

/// A route of the kernel whose neighbour is known.
#[derive(Clone, Copy, Debug)]
pub struct KernelRoute {
    /// Packets to these addresses.
    pub to: IpNet,
    /// The interface they leave by.
    pub interface: u32,
    /// The biggest packet that fits, in bytes.
    pub mtu: usize,
    /// The neighbour's Ethernet address.
    pub neighbour: [u8; 6],
    /// The interface's own Ethernet address.
    pub address: [u8; 6],
}

/// Everything that decides about a packet.
#[derive(Clone, Debug)]
pub struct World {
    /// What the programs are told at load time.
    pub settings: Settings,
    /// Routes of the mesh, in any order.
    pub routes: Vec<Route>,
    /// The networks of the mesh.
    pub networks: Vec<IpNet>,
    /// Our own outer addresses.
    pub underlay: Vec<IpAddr>,
    /// Who may send to us, by index.
    pub tunnels: BTreeMap<u32, Tunnel>,
    /// How to send, by next hop's number.
    pub next_hops: BTreeMap<u32, NextHop>,
    /// The interfaces we are attached to, by index.
    pub interfaces: BTreeMap<u32, Interface>,
    /// What the kernel would do.
    pub kernel_routes: Vec<KernelRoute>,
}

impl World {
    /// The next hop of a packet: of all matching routes the longest destination wins, then the longest source
    /// (RFC 9079 section 3.1).
    pub fn route(&self, destination: IpAddr, source: IpAddr) -> u32 {
        let from_length =
            |route: &Route| route.from.map_or(0, |from| usize::from(from.prefix_len()));
        self.routes
            .iter()
            .filter(|route| route.to.contains(&destination))
            .filter(|route| route.from.is_none_or(|from| from.contains(&source)))
            .max_by_key(|route| (route.to.prefix_len(), from_length(route)))
            .map_or(next_hop_id::NONE, |route| route.next_hop)
    }

    /// Whether an address is of the mesh's networks. An IPv4-mapped IPv6 address, which no packet may carry anyway,
    /// counts as the IPv4 address: the map's table is one for both families.
    pub fn in_networks(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Whether an address is one of our own outer addresses; as for [`Self::in_networks`].
    pub fn is_underlay(&self, address: IpAddr) -> bool {
        self.underlay.contains(&address.to_canonical())
    }

    /// Where the kernel would forward a packet of so many bytes at once.
    pub fn kernel_route(&self, destination: IpAddr, length: usize) -> Option<&KernelRoute> {
        self.kernel_routes
            .iter()
            .filter(|route| route.to.contains(&destination))
            .max_by_key(|route| route.to.prefix_len())
            .filter(|route| length <= route.mtu)
    }
}
