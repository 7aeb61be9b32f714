//! A world in plain lists, for the packet logic to ask.

#![allow(dead_code, missing_docs, reason = "each test program uses a part")]

pub mod invariants;

use std::collections::HashMap;

use re6st_common::{
    address::Address,
    maps::{
        Interface, NAME_SIZE, NextHop, OUTER_SIZE, Settings, TrieKey, TrieValue, Tunnel,
        encapsulation, interface, kind, next_hop_id, settings, table, transmit,
    },
    parse::Inner,
    tables::{Neighbour, Tables},
};

/// Ethernet address of the mesh device.
pub const DEVICE_ADDRESS: [u8; 6] = [0x02, 0x5e, 1, 2, 3, 4];
/// Ethernet address of every interface.
pub const OWN_ADDRESS: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Interface index of the mesh device.
pub const DEVICE: u32 = 9;
/// The underlay.
pub const UNDERLAY: u32 = 1;
/// A LAN.
pub const LAN: u32 = 2;
/// A gateway's uplink.
pub const UPLINK: u32 = 3;
/// Next hop's number of the first tunnel; there is one of each encapsulation.
pub const FIRST: u32 = 3;

/// The maps.
pub struct World {
    pub settings: Settings,
    pub tunnels: HashMap<u32, Tunnel>,
    pub next_hops: HashMap<u32, NextHop>,
    pub fib: HashMap<u32, u32>,
    pub trie: Vec<(u32, TrieKey, TrieValue)>,
    pub interfaces: HashMap<u32, Interface>,
}

impl World {
    /// This node, `number` 1 or 2, with four tunnels to the other, one of each encapsulation. Node 1 owns
    /// 2001:db8:42:100::/56 and 10.42.1.0/24, node 2 likewise with 2; behind the tunnels are also `0a00` to `0d00` and
    /// 10.42.10 to 13.
    pub fn of_node(number: u8) -> Self {
        let other = 3 - number;
        let mut world = Self {
            settings: Settings {
                network: 0x2001_0db8_0042_0000,
                network_mask: 0xffff_ffff_ffff_0000,
                fib_shift: 8,
                fib_mask: 0xff,
                tunnel_mask: 0xff,
                device: DEVICE,
                device_address: DEVICE_ADDRESS,
                port: 4754,
                flags: settings::FORWARD | settings::GRE | settings::NETWORK,
                reserved: 0,
            },
            tunnels: HashMap::new(),
            next_hops: HashMap::new(),
            fib: HashMap::new(),
            trie: Vec::new(),
            interfaces: HashMap::new(),
        };
        for (index, flags) in [(UNDERLAY, 0), (LAN, 0), (UPLINK, interface::GATEWAY)] {
            let entry = Interface {
                flags,
                address: OWN_ADDRESS,
                reserved: [0; 2],
                name: [0; NAME_SIZE],
            };
            world.interfaces.insert(index, entry);
        }
        for kind in 0..4u8 {
            world.add_tunnel(number, other, kind);
        }
        world.add_routes(number, other);
        world
    }

    fn add_tunnel(&mut self, number: u8, other: u8, index: u8) {
        let encapsulation = [
            encapsulation::FOU_IPV4,
            encapsulation::FOU_IPV6,
            encapsulation::GRE_IPV4,
            encapsulation::GRE_IPV6,
        ][usize::from(index)];
        let is_ipv4 = index.is_multiple_of(2);
        let id = FIRST + u32::from(index);
        let [local, remote] = [number, other].map(|node| outer_address(is_ipv4, node));
        // the key that node n accepts on tunnel i
        let key = |node: u8| u32::from_be_bytes([0xca, 0xfe, node, index]);
        self.tunnels.insert(
            key(number) & self.settings.tunnel_mask,
            Tunnel {
                next_hop: id,
                key: key(number),
                interface: UNDERLAY,
                vlan: 0,
                encapsulation,
                remote: remote.octets(),
                local: local.octets(),
            },
        );
        let outer = template(local, remote, is_ipv4, index < 2, key(other));
        let sum = re6st_common::checksum::sum(&outer[..20]);
        let mut ethernet = [0; 18];
        ethernet[..6].copy_from_slice(&OWN_ADDRESS);
        ethernet[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        let ethertype: [u8; 2] = if is_ipv4 { [8, 0] } else { [0x86, 0xdd] };
        ethernet[12..14].copy_from_slice(&ethertype);
        let next_hop = NextHop {
            kind: kind::TUNNEL,
            encapsulation,
            flags: 0,
            ethernet_length: 14,
            interface: UNDERLAY,
            route_interface: UNDERLAY,
            mtu: 1420,
            outer_checksum: if is_ipv4 { sum } else { 0 },
            ethernet,
            outer,
            ..NextHop::FREE
        };
        self.next_hops.insert(id, next_hop);
    }

    /// Adds a flag to a next hop.
    pub fn transmit_with_tc(&mut self, id: u32) {
        if let Some(next_hop) = self.next_hops.get_mut(&id) {
            next_hop.flags |= transmit::WITH_TC;
        }
    }

    fn add_routes(&mut self, number: u8, other: u8) {
        let mut add = |number: u32, prefix: Address, length: u32, next_hop: u32| {
            let value = TrieValue {
                next_hop,
                source_table: 0,
            };
            self.trie
                .push((32 + length, TrieKey::new(number, prefix), value));
        };
        add(table::NETWORKS, ipv6(0, 0), 48, 0);
        add(table::NETWORKS, ipv4(0, 0), 96 + 16, 0);
        for is_ipv4 in [true, false] {
            add(table::UNDERLAY, outer_address(is_ipv4, number), 128, 0);
        }
        add(table::IPV6, ipv6(number, 1), 128, next_hop_id::LOCAL);
        add(table::IPV4, ipv4(number, 1), 128, next_hop_id::LOCAL);
        add(table::IPV6, ipv6(number, 0), 56, next_hop_id::SITE);
        add(table::IPV4, ipv4(number, 0), 120, next_hop_id::SITE);
        add(table::IPV6, ipv6(other, 0), 56, FIRST);
        add(table::IPV4, ipv4(other, 0), 120, FIRST);
        for index in 0..4u8 {
            let id = FIRST + u32::from(index);
            add(table::IPV6, ipv6(10 + index, 0), 56, id);
            add(table::IPV4, ipv4(10 + index, 0), 120, id);
            self.fib.insert(u32::from(10 + index), id);
        }
    }
}

/// A mesh address of node `number`.
pub fn ipv6(number: u8, host: u8) -> Address {
    let mut bytes = [
        0x20, 1, 0x0d, 0xb8, 0, 0x42, number, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    bytes[15] = host;
    Address::from_ipv6(bytes)
}

/// A mesh address of node `number`.
pub fn ipv4(number: u8, host: u8) -> Address {
    Address::from_ipv4([10, 42, number, host])
}

fn outer_address(is_ipv4: bool, node: u8) -> Address {
    if is_ipv4 {
        Address::from_ipv4([192, 0, 2, node])
    } else {
        let mut bytes = [0x20, 1, 0x0d, 0xb8, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[15] = node;
        Address::from_ipv6(bytes)
    }
}

fn template(
    local: Address,
    remote: Address,
    is_ipv4: bool,
    udp: bool,
    key: u32,
) -> [u8; OUTER_SIZE] {
    let protocol = if udp { 17 } else { 47 };
    let mut bytes = Vec::new();
    if is_ipv4 {
        bytes.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        bytes.extend(local.ipv4_octets());
        bytes.extend(remote.ipv4_octets());
    } else {
        bytes.extend([0x60, 0, 0, 0, 0, 0, protocol, 64]);
        bytes.extend(local.octets());
        bytes.extend(remote.octets());
    }
    if udp {
        bytes.extend([0x12, 0x92, 0x12, 0x92, 0, 0, 0, 0]);
    }
    bytes.extend([0x20, 0, 0, 0]);
    bytes.extend(key.to_be_bytes());
    let mut template = [0; OUTER_SIZE];
    template[..bytes.len()].copy_from_slice(&bytes);
    template
}

/// Whether the first bits of two keys are the same.
fn matches(length: u32, prefix: &TrieKey, key: &TrieKey) -> bool {
    let bits = |key: &TrieKey| {
        let [a, b, c, d] = key.table;
        (
            u32::from_be_bytes([a, b, c, d]),
            u128::from_be_bytes(key.address),
        )
    };
    let ((table, address), (other_table, other)) = (bits(prefix), bits(key));
    let differing = address ^ other;
    table == other_table && (length <= 32 || differing.leading_zeros() >= length - 32)
}

impl Tables for World {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn tunnel(&self, index: u32) -> Option<&Tunnel> {
        self.tunnels.get(&index)
    }

    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        self.next_hops.get(&id)
    }

    fn fib(&self, slot: u32) -> Option<u32> {
        Some(self.fib.get(&slot).copied().unwrap_or(next_hop_id::NONE))
    }

    fn trie(&self, key: &TrieKey) -> Option<TrieValue> {
        self.trie
            .iter()
            .filter(|(length, prefix, _)| matches(*length, prefix, key))
            .max_by_key(|(length, ..)| *length)
            .map(|(_, _, value)| *value)
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }

    /// The LAN is where the neighbours with even addresses are known.
    fn kernel_route(&self, _: u32, inner: &Inner) -> Option<Neighbour> {
        inner
            .destination
            .low()
            .is_multiple_of(2)
            .then_some(Neighbour {
                interface: LAN,
                destination: [2, 0, 0, 0, 3, 1],
                source: OWN_ADDRESS,
            })
    }
}
