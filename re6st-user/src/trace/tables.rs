//! The maps of a running instance as the packet logic sees them: the host decides with the very entries the programs
//! have.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::IpAddr,
    time::Duration,
};

use aya::maps::{Array, MapData, MapError, lpm_trie::LpmTrie};
use nix::time::{ClockId, clock_gettime};
use re6st_common::{
    address::{Address, Family},
    admission::Gate,
    maps::{
        FibEntry, Handshakes, Interface, NextHop, Settings, TrieKey, TrieValue, Tunnel, kind,
        next_hop_id,
    },
    parse::Inner,
    tables::{Neighbour, Tables},
};

use crate::{
    dataplane::bpf::{
        BpfError, Manifest, Pins,
        maps::{Maps, access, all, trie_key},
    },
    io::netlink::{NetlinkError, Rtnetlink},
};

/// The maps of a running instance.
pub struct PinnedTables {
    settings: Settings,
    tunnels: Vec<Tunnel>,
    next_hops: Vec<NextHop>,
    interfaces: BTreeMap<u32, Interface>,
    /// How initiations of handshakes are judged, if they are.
    handshakes: Option<Handshakes>,
    /// Nanoseconds since the host booted.
    now: u64,
    fib: Array<MapData, FibEntry>,
    trie: LpmTrie<MapData, TrieKey, TrieValue>,
    netlink: RefCell<Rtnetlink>,
    /// Whether to answer for the kernel that it knows no way.
    unrouted: Cell<bool>,
    /// Whether this is the packet by which the kernel shall confirm the neighbour.
    confirming: Cell<bool>,
    /// Whether no initiation without a cookie passes any more.
    spent: Cell<bool>,
    failed: RefCell<Option<BpfError>>,
}

impl PinnedTables {
    /// Opens the maps. The arrays of tunnels and next hops are read at once.
    pub fn open(pins: &Pins, manifest: &Manifest) -> Result<Self, BpfError> {
        let maps = Maps::new(pins.folder());
        let interfaces = maps.interfaces()?;
        let handshakes: Handshakes = access(maps.handshakes()?.get(&0, 0), "HANDSHAKES", 0)?;
        Ok(Self {
            settings: manifest.settings,
            tunnels: all(&maps.tunnels()?, "TUNNELS")?,
            next_hops: maps.current_next_hops()?,
            interfaces: access(interfaces.iter().collect(), "INTERFACES", "all")?,
            handshakes: Some(handshakes).filter(|handshakes| handshakes.enabled != 0),
            now: monotonic(),
            fib: maps.fib()?,
            trie: maps.trie()?,
            netlink: RefCell::new(Rtnetlink::open().map_err(|source| BpfError::Netlink {
                what: "ask the kernel for its routes".to_owned(),
                source,
            })?),
            unrouted: Cell::new(false),
            confirming: Cell::new(false),
            spent: Cell::new(false),
            failed: RefCell::new(None),
        })
    }

    /// The interfaces the instance is attached to, by index.
    pub const fn interfaces(&self) -> &BTreeMap<u32, Interface> {
        &self.interfaces
    }

    /// All tunnels: next hop number, how to send, and how to receive if that is set up.
    pub fn tunnels(&self) -> impl Iterator<Item = (u32, &NextHop, Option<&Tunnel>)> {
        (0..).zip(&self.next_hops).filter_map(|(id, next_hop)| {
            let tunnel = self.tunnels.iter().find(|tunnel| tunnel.next_hop == id);
            (id >= next_hop_id::FIRST_TUNNEL && next_hop.kind == kind::TUNNEL)
                .then_some((id, next_hop, tunnel))
        })
    }

    /// From now on the kernel knows no way to anywhere: as it is for programs while it does not know the neighbour.
    pub fn forget_kernel_routes(&self) {
        self.unrouted.set(true);
    }

    /// From now on packets to neighbours go by way of the kernel, as one every few seconds does.
    pub fn let_kernel_confirm(&self) {
        self.confirming.set(true);
    }

    /// From now on no initiation without a cookie passes: as it is when many have come.
    pub fn spend_tokens(&self) {
        self.spent.set(true);
    }

    /// What went wrong while a map was read, if anything did: then nothing that was decided counts.
    pub fn check(&self) -> Result<(), BpfError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn lookup<T>(&self, map: &str, result: Result<T, MapError>) -> Option<T> {
        match access(result, map, "lookup") {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.replace(Some(error));
                None
            }
        }
    }

    fn ask_kernel(&self, inner: &Inner) -> Result<Option<Neighbour>, NetlinkError> {
        let destination = internet_address(inner.family, inner.destination);
        // the kernel has routes by source for IPv6 alone
        let source =
            (inner.family == Family::Ipv6).then(|| internet_address(inner.family, inner.source));
        let mut netlink = self.netlink.borrow_mut();
        let way = netlink.way(destination, source)?;
        if way.local {
            return Ok(None);
        }
        if way.interface == self.settings.device {
            // where it goes is all that matters then
            return Ok(Some(Neighbour {
                interface: way.interface,
                destination: [0; 6],
                source: [0; 6],
            }));
        }
        let neighbour = netlink.neighbour(way.interface, way.gateway.unwrap_or(destination))?;
        let interface = netlink.interface_by_index(way.interface)?;
        let source = interface.and_then(|interface| interface.address);
        Ok(neighbour
            .zip(source)
            .map(|(destination, source)| Neighbour {
                interface: way.interface,
                destination,
                source,
            }))
    }
}

/// As programs have it.
fn monotonic() -> u64 {
    let since = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// An address as the rest of the world has it.
fn internet_address(family: Family, address: Address) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from(address.ipv4_octets()),
        Family::Ipv6 => IpAddr::from(address.octets()),
    }
}

impl Tables for PinnedTables {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn tunnel(&self, index: u32) -> Option<&Tunnel> {
        self.tunnels.get(index as usize)
    }

    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        self.next_hops.get(id as usize)
    }

    fn fib(&self, slot: u32) -> Option<u32> {
        let index = FibEntry::index(slot);
        let entry = (index < self.fib.len())
            .then(|| self.lookup("FIB", self.fib.get(&index, 0)))
            .flatten();
        entry.map(|entry| entry.next_hop(slot))
    }

    fn trie(&self, key: &TrieKey) -> Option<TrieValue> {
        match self.trie.get(&trie_key(TrieKey::BITS, *key), 0) {
            Err(MapError::KeyNotFound) => None,
            result => self.lookup("FIB_TRIE", result),
        }
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }

    fn confirm(&self, _neighbour: u64) -> bool {
        self.confirming.get()
    }

    fn kernel_route(&self, _arrival: u32, inner: &Inner) -> Option<Neighbour> {
        if self.unrouted.get() {
            return None;
        }
        // an error is the kernel's way to say that there is no route
        self.ask_kernel(inner).ok().flatten()
    }
}

impl Gate for PinnedTables {
    fn handshakes(&self) -> Option<&Handshakes> {
        self.handshakes.as_ref()
    }

    fn keeps(&self, _arrival: u32, family: Family, source: Address, destination: Address) -> bool {
        let destination = internet_address(family, destination);
        let source = (family == Family::Ipv6).then(|| internet_address(family, source));
        let way = self.netlink.borrow_mut().way(destination, source);
        // where there is no way to, the kernel forwards nothing
        way.map_or(true, |way| way.local)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn take_token(&self, handshakes: &Handshakes, _now: u64) -> bool {
        handshakes.rate > 0 && !self.spent.get()
    }
}
