//! The example world of these tests: a node with neighbours of all kinds.
//!
//! | number | tunnel | how |
//! |---|---|---|
//! | 3 to 6 | each encapsulation | over eth0, no tag |
//! | 7 to 10 | each encapsulation | over eth1, VLAN 5 |
//! | 11 | fou over IPv4 | eth0 takes no frames from XDP |
//! | 12 | fou over IPv6 | the neighbour's Ethernet address is not known |
//! | 13 | fou over IPv4 | fixed source port |
//! | 14 | fou over IPv4 | MTU 1280 |
//! | 15 | fou over IPv4 | an encapsulation that does not exist |
//! | 16 | | a next hop that does not exist |
//! | 17 | a router on eth1 | without encapsulation |
//! | 18 | a router on tc0 | tc0 takes no frames from XDP |
//! | 19 | a router on eth1 | its Ethernet address is not known |

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use re6st_common::{
    address::Address,
    maps::{
        Interface, NAME_SIZE, NextHop, OUTER_SIZE, Settings, Tunnel, encapsulation, interface,
        kind, settings, transmit,
    },
};
use testbed::{
    model::{
        rules,
        world::{KernelRoute, Route, World},
    },
    packet::{Frame, address},
};

use crate::namespace::{DEVICE_ADDRESS, Indices, ethernet, neighbour};

/// UDP port of the tunnels.
pub const PORT: u16 = 4754;
/// The tunnels' MTU but for [`SMALL`].
pub const MTU: u32 = 1420;
/// First tunnel of each encapsulation without a VLAN tag.
pub const FIRST: u32 = 3;
/// First tunnel of each encapsulation with a VLAN tag.
pub const FIRST_VLAN: u32 = 7;
/// Transmitted with TC.
pub const WITH_TC: u32 = 11;
/// Its neighbour is not known.
pub const NO_NEIGHBOUR: u32 = 12;
/// Fixed source port.
pub const FIXED_PORT: u32 = 13;
/// MTU 1280.
pub const SMALL: u32 = 14;
/// An encapsulation that does not exist.
pub const BROKEN: u32 = 15;
/// A next hop that is routed to, but does not exist.
pub const MISSING: u32 = 16;
/// A router on the link of [`ETH1`], where routers of the mesh are.
pub const ROUTER: u32 = 17;
/// A router on the link of [`TC0`].
pub const ROUTER_WITH_TC: u32 = 18;
/// A router on the link of [`ETH1`] whose Ethernet address is not known.
pub const UNKNOWN_ROUTER: u32 = 19;
/// MTU of the links with routers.
pub const LINK_MTU: u32 = 1500;

/// The next hops that packets are counted for.
pub fn counted() -> impl Iterator<Item = u32> {
    (FIRST..=BROKEN).chain([ROUTER, ROUTER_WITH_TC, UNKNOWN_ROUTER])
}

/// A mesh address of a host that a next hop leads to.
pub fn host_by(id: u32, ipv4: bool) -> IpAddr {
    address(&if ipv4 {
        format!("10.42.{id}.7")
    } else {
        format!("2001:db8:42:{id:x}00::7")
    })
}
/// VLAN identifier of some tunnels.
pub const VLAN: u16 = 5;

/// Positions of the interfaces.
pub const ETH0: usize = 0;
/// See [`ETH0`].
pub const ETH1: usize = 1;
/// A LAN behind this node.
pub const LAN0: usize = 2;
/// A gateway's uplink.
pub const UP0: usize = 3;
/// A LAN whose interface takes no frames from XDP.
pub const TC0: usize = 4;
/// An interface we were not given.
pub const OTHER0: usize = 5;

/// A tunnel as both ends see it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Next hop's number.
    pub id: u32,
    /// How packets are wrapped.
    pub encapsulation: u16,
    /// Position of the interface.
    pub position: usize,
    /// VLAN identifier, 0 for none.
    pub vlan: u16,
}

impl Peer {
    /// By the next hop's number.
    pub fn new(id: u32) -> Self {
        let encapsulation = match id {
            FIRST..=6 => (id - FIRST + 1) as u16,
            FIRST_VLAN..=10 => (id - FIRST_VLAN + 1) as u16,
            NO_NEIGHBOUR => encapsulation::FOU_IPV6,
            _ => encapsulation::FOU_IPV4,
        };
        let tagged = (FIRST_VLAN..=10).contains(&id);
        Self {
            id,
            encapsulation,
            position: if tagged { ETH1 } else { ETH0 },
            vlan: if tagged { VLAN } else { 0 },
        }
    }

    /// All tunnels that exist.
    pub fn all() -> impl Iterator<Item = Self> {
        (FIRST..=BROKEN).map(Self::new)
    }

    /// Whether the outer packets are IPv4.
    pub fn is_ipv4(self) -> bool {
        matches!(
            self.encapsulation,
            encapsulation::FOU_IPV4 | encapsulation::GRE_IPV4
        )
    }

    /// Whether there is UDP between outer IP and GRE.
    pub fn is_fou(self) -> bool {
        matches!(
            self.encapsulation,
            encapsulation::FOU_IPV4 | encapsulation::FOU_IPV6
        )
    }

    /// Bytes of the outer headers.
    pub fn outer_length(self) -> usize {
        (if self.is_ipv4() { 20 } else { 40 }) + if self.is_fou() { 16 } else { 8 }
    }

    /// Our outer address.
    pub fn local(self) -> IpAddr {
        address(match (self.is_ipv4(), self.position) {
            (true, ETH0) => "192.0.2.1",
            (true, _) => "198.51.100.1",
            (false, ETH0) => "2001:db8:ff::1",
            (false, _) => "2001:db8:fe::1",
        })
    }

    /// The peer's outer address.
    pub fn remote(self) -> IpAddr {
        let number = 100 + self.id;
        address(&match (self.is_ipv4(), self.position) {
            (true, ETH0) => format!("192.0.2.{number}"),
            (true, _) => format!("198.51.100.{number}"),
            (false, ETH0) => format!("2001:db8:ff::{number}"),
            (false, _) => format!("2001:db8:fe::{number}"),
        })
    }

    /// The key we accept.
    pub fn key(self) -> u32 {
        0xabcd_0000 | self.id
    }

    /// The key we send.
    pub fn remote_key(self) -> u32 {
        0x1234_5600 | self.id
    }

    /// A mesh address of a host at the peer's.
    pub fn host(self, ipv4: bool) -> IpAddr {
        host_by(self.id, ipv4)
    }

    /// The front of frames from the peer.
    pub fn frame_from(self) -> Frame {
        Frame::new(
            ethernet(self.position as u8),
            neighbour(self.position as u8),
        )
        .maybe_vlan(self.vlan)
    }

    /// The front of frames to the peer.
    pub fn frame_to(self) -> Frame {
        Frame::new(
            neighbour(self.position as u8),
            ethernet(self.position as u8),
        )
        .maybe_vlan(self.vlan)
    }

    fn tunnel(self, indices: &Indices) -> Tunnel {
        Tunnel {
            next_hop: self.id,
            key: self.key(),
            interface: indices.interfaces[self.position],
            vlan: self.vlan,
            encapsulation: self.encapsulation,
            remote: Address::from(self.remote()).octets(),
            local: Address::from(self.local()).octets(),
        }
    }

    fn next_hop(self, indices: &Indices) -> NextHop {
        let outer = self.template();
        let header = self
            .frame_to()
            .header(if self.is_ipv4() { 0x0800 } else { 0x86dd });
        let mut ethernet = [0; 18];
        ethernet[..header.len()].copy_from_slice(&header);
        NextHop {
            kind: kind::TUNNEL,
            encapsulation: if self.id == BROKEN {
                9
            } else {
                self.encapsulation
            },
            flags: match self.id {
                WITH_TC => transmit::WITH_TC,
                FIXED_PORT => transmit::FIXED_SOURCE_PORT,
                _ => 0,
            },
            ethernet_length: if self.id == NO_NEIGHBOUR {
                0
            } else {
                header.len() as u16
            },
            interface: indices.interfaces[self.position],
            route_interface: indices.interfaces[self.position],
            mtu: if self.id == SMALL { 1280 } else { MTU },
            outer_checksum: if self.is_ipv4() {
                u32::from(rules::sum(&outer[..20]))
            } else {
                0
            },
            ethernet,
            outer,
            name: name(&format!("peer{}", self.id)),
            ..NextHop::FREE
        }
    }

    /// The ready-made outer headers, byte by byte.
    fn template(self) -> [u8; OUTER_SIZE] {
        let mut bytes = Vec::new();
        let after_internet = if self.is_fou() { 17 } else { 47 };
        match (self.local(), self.remote()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                bytes.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, after_internet, 0, 0]);
                bytes.extend(local.octets());
                bytes.extend(remote.octets());
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                bytes.extend([0x60, 0, 0, 0, 0, 0, after_internet, 64]);
                bytes.extend(local.octets());
                bytes.extend(remote.octets());
            }
            _ => unreachable!("both of one family"),
        }
        if self.is_fou() {
            bytes.extend(PORT.to_be_bytes());
            bytes.extend(PORT.to_be_bytes());
            bytes.extend([0; 4]);
        }
        bytes.extend([0x20, 0, 0, 0]);
        bytes.extend(self.remote_key().to_be_bytes());
        let mut template = [0; OUTER_SIZE];
        template[..bytes.len()].copy_from_slice(&bytes);
        template
    }
}

/// Routers of the mesh on links.
fn routers(indices: &Indices) -> [(u32, NextHop); 3] {
    [
        (ROUTER, ETH1, 14),
        (ROUTER_WITH_TC, TC0, 14),
        (UNKNOWN_ROUTER, ETH1, 0),
    ]
    .map(|(id, position, ethernet_length)| {
        let mut header = [0; 18];
        header[..6].copy_from_slice(&neighbour(position as u8));
        header[6..12].copy_from_slice(&ethernet(position as u8));
        let next_hop = NextHop {
            kind: kind::NEIGHBOUR,
            ethernet_length,
            flags: if id == ROUTER_WITH_TC {
                transmit::WITH_TC
            } else {
                0
            },
            interface: indices.interfaces[position],
            route_interface: indices.interfaces[position],
            mtu: LINK_MTU,
            ethernet: header,
            name: name(crate::namespace::INTERFACES[position]),
            ..NextHop::FREE
        };
        (id, next_hop)
    })
}

fn name(text: &str) -> [u8; NAME_SIZE] {
    let mut name = [0; NAME_SIZE];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// The world with interfaces as they are in this namespace.
pub fn example(indices: &Indices) -> World {
    let interface = |position: usize, flags: u32| {
        let entry = Interface {
            flags,
            address: ethernet(position as u8),
            reserved: [0; 2],
            name: name(crate::namespace::INTERFACES[position]),
        };
        (indices.interfaces[position], entry)
    };
    World {
        settings: Settings {
            network: 0x2001_0db8_0042_0000,
            network_mask: 0xffff_ffff_ffff_0000,
            fib_shift: 0,
            fib_mask: 0xffff,
            tunnel_mask: 0x3ff,
            device: indices.device,
            device_address: DEVICE_ADDRESS,
            port: PORT,
            flags: settings::FORWARD | settings::GRE | settings::NETWORK,
            reserved: 0,
        },
        routes: routes(),
        networks: vec![net("2001:db8:42::/48"), net("10.42.0.0/16")],
        underlay: [
            "192.0.2.1",
            "198.51.100.1",
            "2001:db8:ff::1",
            "2001:db8:fe::1",
        ]
        .map(address)
        .to_vec(),
        tunnels: Peer::all()
            .map(|peer| (peer.key() & 0x3ff, peer.tunnel(indices)))
            .collect(),
        next_hops: Peer::all()
            .map(|peer| (peer.id, peer.next_hop(indices)))
            .chain(routers(indices))
            .collect(),
        interfaces: BTreeMap::from([
            interface(ETH0, 0),
            interface(ETH1, interface::MESH),
            interface(LAN0, 0),
            interface(UP0, interface::GATEWAY),
            interface(TC0, interface::TRANSMIT_WITH_TC),
        ]),
        kernel_routes: kernel_routes(indices),
    }
}

fn routes() -> Vec<Route> {
    let route = |to: &str, next_hop: u32| Route {
        to: net(to),
        from: None,
        next_hop,
    };
    let from = |to: &str, from: &str, next_hop: u32| Route {
        to: net(to),
        from: Some(net(from)),
        next_hop,
    };
    let mut routes = vec![
        // this node and its subnets
        route("2001:db8:42:1::1/128", 1),
        route("10.42.1.1/32", 1),
        route("2001:db8:42:1::/64", 2),
        route("10.42.1.0/24", 2),
        // longer than a slot of the array
        route("2001:db8:42:3ff::/64", 3),
        route("2001:db8:42:3ff::99/128", 4),
        // a range of slots, with a source-specific route inside
        route("2001:db8:42:f000::/52", 5),
        from("2001:db8:42:f100::/56", "2001:db8:42:300::/56", 6),
        // default routes by source, for this node's subnets and the whole mesh
        from("::/0", "2001:db8:42:1::/64", 3),
        from("::/0", "2001:db8:42::/48", 4),
        from("0.0.0.0/0", "10.42.0.0/16", 3),
        // the Internet, by a gateway of the mesh, whoever asks
        route("2001:db8:cafe::/48", 5),
        route("203.0.113.0/24", 5),
        route("2001:db8:beef::/48", 6),
        route("198.18.0.0/16", 6),
        route(&format!("2001:db8:42:{MISSING:x}00::/56"), MISSING),
        route(&format!("10.42.{MISSING}.0/24"), MISSING),
    ];
    for id in counted() {
        routes.push(route(&format!("2001:db8:42:{id:x}00::/56"), id));
        routes.push(route(&format!("10.42.{id}.0/24"), id));
    }
    routes
}

fn kernel_routes(indices: &Indices) -> Vec<KernelRoute> {
    let route = |to: &str, position: usize, mtu: usize| KernelRoute {
        to: net(to),
        interface: indices.interfaces[position],
        mtu,
        neighbour: neighbour(position as u8),
        address: ethernet(position as u8),
    };
    let to_device = |to: &str| KernelRoute {
        to: net(to),
        interface: indices.device,
        mtu: 1500,
        neighbour: [0x02, 0x52, 0, 0, 0, 0],
        address: DEVICE_ADDRESS,
    };
    vec![
        route("2001:db8:42:1::2/128", LAN0, 1500),
        route("10.42.1.2/32", LAN0, 1500),
        route("2001:db8:42:1::a/128", LAN0, 1280),
        route("2001:db8:42:1::8/128", TC0, 1500),
        route("10.42.1.8/32", TC0, 1500),
        route("2001:db8:42:1::9/128", OTHER0, 1500),
        route("10.42.1.9/32", OTHER0, 1500),
        route("2001:db8:beef::1/128", UP0, 1500),
        route("198.18.0.1/32", UP0, 1500),
        to_device("2001:db8:cafe::1/128"),
        to_device("203.0.113.1/32"),
    ]
}
