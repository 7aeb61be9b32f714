//! Keys and values of the BPF maps.
//!
//! `bpftool map dump pinned /sys/fs/bpf/<instance>/<MAP>` prints these names: they are a user interface. Numbers are in
//! host order, addresses and headers are bytes in network order. Userspace is the only writer of everything but the
//! counters.

use crate::{
    address::{Address, Family},
    handshake::SipKey,
};

/// Bytes of an interface or tunnel name, as Linux has it (`IFNAMSIZ`), zero-padded.
pub const NAME_SIZE: usize = 16;
/// Bytes of the longest outer header: IPv6, UDP and GRE with key.
pub const OUTER_SIZE: usize = 40 + 8 + 8;

/// What the programs are told once, at load time (`.rodata`, so the verifier and the JIT see constants).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(serde::Serialize, serde::Deserialize))]
pub struct Settings {
    /// First 64 bits of the first IPv6 network, which the array [`FIB`](self#fib) covers.
    pub network: u64,
    /// Mask of the network's bits in [`Self::network`]. At most 64 bits long; all zero together with
    /// `fib_mask` = 0 when there is no such network.
    pub network_mask: u64,
    /// How far to shift an address's first 64 bits right to bring the node-prefix bits to the bottom.
    pub fib_shift: u32,
    /// Entries of the array FIB less one: the mask of the node-prefix bits.
    pub fib_mask: u32,
    /// Entries of TUNNELS less one: the mask that takes an index from a GRE key.
    pub tunnel_mask: u32,
    /// Interface index of the mesh device (`re6st0`).
    pub device: u32,
    /// Ethernet address of the mesh device: a frame that carries it as destination was made by our XDP program.
    pub device_address: [u8; 6],
    /// UDP port of the tunnels, host order.
    pub port: u16,
    /// Bits of [`settings`].
    pub flags: u32,
    /// Not used; keeps the size a multiple of eight.
    #[cfg_attr(feature = "user", serde(skip))]
    pub reserved: u32,
}

/// Flags of [`Settings::flags`].
pub mod settings {
    /// Relay packets of others from tunnel to tunnel.
    pub const FORWARD: u32 = 1;
    /// At least one tunnel is plain GRE: look at IP protocol 47.
    pub const GRE: u32 = 2;
    /// The array FIB is in use.
    pub const NETWORK: u32 = 4;
    /// Let the kernel confirm now and then the neighbours that XDP sends to (CONFIRMATIONS).
    pub const CONFIRM: u32 = 8;
    /// The kernel masquerades IPv6 hosts behind this node's own address.
    pub const IPV6_MASQUERADE: u32 = 16;
}

impl Settings {
    /// All zero: what the object holds before it is configured.
    pub const EMPTY: Self = Self {
        network: 0,
        network_mask: 0,
        fib_shift: 0,
        fib_mask: 0,
        tunnel_mask: 0,
        device: 0,
        device_address: [0; 6],
        port: 0,
        flags: 0,
        reserved: 0,
    };

    /// Whether a flag of [`settings`] is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The slot of the array FIB an IPv6 address belongs to; none outside of the network it covers.
    #[inline(always)]
    pub fn fib_slot(&self, address: Address) -> Option<u32> {
        let inside =
            self.has(settings::NETWORK) && address.high() & self.network_mask == self.network;
        // fib_shift is below 64 by construction; the mask makes that plain to the compiler
        inside.then_some((address.high() >> (self.fib_shift & 63)) as u32 & self.fib_mask)
    }
}

/// An entry of FIB (array, index: a slot's number / 4): the next hops of four slots side by side. 8 bytes, which is what the
/// kernel gives each entry of an array at least; so a cache line has 32 slots.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibEntry {
    /// Next hops' numbers, [`next_hop_id::NONE`] for none.
    pub next_hops: [u16; FibEntry::SLOTS as usize],
}

impl FibEntry {
    /// Slots of an entry.
    pub const SLOTS: u32 = 4;

    /// The entry that a slot is in.
    #[inline(always)]
    pub const fn index(slot: u32) -> u32 {
        slot / Self::SLOTS
    }

    /// The next hop of a slot.
    #[inline(always)]
    pub const fn next_hop(&self, slot: u32) -> u32 {
        self.next_hops[(slot % Self::SLOTS) as usize] as u32
    }

    /// The entry with another next hop for a slot.
    pub const fn with(mut self, slot: u32, next_hop: u16) -> Self {
        self.next_hops[(slot % Self::SLOTS) as usize] = next_hop;
        self
    }
}

/// A next hop's number: index into NEXT_HOPS and into TUNNEL_COUNTERS. Value of the array FIB.
pub mod next_hop_id {
    /// No answer here: in the array FIB "ask the trie", in the trie "no route".
    pub const NONE: u32 = 0;
    /// This node itself: one of its mesh addresses.
    pub const LOCAL: u32 = 1;
    /// The subnets this node owns: hosts behind it, which the kernel's own routes know.
    pub const SITE: u32 = 2;
    /// The first number of a tunnel or a neighbour.
    pub const FIRST_TUNNEL: u32 = 3;
}

/// An entry of TUNNELS (array, index: the low bits of the key we accept): who may send to us with this key. 48 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The next hop's number of the same tunnel; [`next_hop_id::NONE`] marks a free entry.
    pub next_hop: u32,
    /// The whole GRE key the peer must send.
    pub key: u32,
    /// Interface its packets must arrive on.
    pub interface: u32,
    /// VLAN identifier its packets must carry; 0 for none.
    pub vlan: u16,
    /// One of [`encapsulation`].
    pub encapsulation: u16,
    /// The peer's outer address (IPv4 mapped).
    pub remote: [u8; 16],
    /// Our outer address (IPv4 mapped).
    pub local: [u8; 16],
}

/// Values of [`Tunnel::encapsulation`] and [`NextHop::encapsulation`].
pub mod encapsulation {
    /// GRE with key in UDP over IPv4: 36 bytes.
    pub const FOU_IPV4: u16 = 1;
    /// GRE with key in UDP over IPv6: 56 bytes.
    pub const FOU_IPV6: u16 = 2;
    /// GRE with key over IPv4: 28 bytes.
    pub const GRE_IPV4: u16 = 3;
    /// GRE with key over IPv6: 48 bytes.
    pub const GRE_IPV6: u16 = 4;
}

/// An entry of NEXT_HOPS (array, index: the next hop's number). 248 bytes.
///
/// An update of a map is not atomic for a packet under way, but that of one number is: a change is written to the version
/// that is not in use, and then `current` says that it is (see ARCHITECTURE.md, "Changing a next hop").
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHopEntry {
    /// Which of the two versions packets take: 0 or 1.
    pub current: u32,
    /// Not used; keeps the versions at a multiple of eight.
    pub reserved: u32,
    /// What is in use, and what was or will be.
    pub versions: [NextHop; 2],
}

impl NextHopEntry {
    /// A free entry.
    pub const FREE: Self = Self::new(NextHop::FREE);

    /// An entry that nobody has used yet.
    pub const fn new(next_hop: NextHop) -> Self {
        Self {
            current: 0,
            reserved: 0,
            versions: [next_hop, NextHop::FREE],
        }
    }

    /// What packets take. Looked up once a packet: all it is told comes from one version.
    #[inline(always)]
    pub fn current(&self) -> &NextHop {
        // SAFETY: a reference to a field. Volatile, because userspace changes it meanwhile.
        let current = unsafe { (&raw const self.current).read_volatile() };
        &self.versions[(current & 1) as usize]
    }

    /// The entry with a change in the version that is not in use.
    pub const fn prepared(mut self, next_hop: NextHop) -> Self {
        self.versions[(self.current & 1 ^ 1) as usize] = next_hop;
        self
    }

    /// The entry with the other version in use.
    pub const fn switched(mut self) -> Self {
        self.current = self.current & 1 ^ 1;
        self
    }
}

/// How to send over a tunnel, or to a router on the same link. 120 bytes; a kind of 0 marks a free entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// One of [`kind`].
    pub kind: u16,
    /// One of [`encapsulation`].
    pub encapsulation: u16,
    /// Bits of [`transmit`].
    pub flags: u16,
    /// Bytes in use of [`Self::ethernet`]: 14, 18 with a VLAN tag, 0 while the neighbour's address is not known.
    pub ethernet_length: u16,
    /// Interface XDP transmits on.
    pub interface: u32,
    /// Interface the kernel's route to the peer names: the VLAN device where XDP's is its parent, else the same.
    pub route_interface: u32,
    /// The biggest inner packet that fits, in bytes.
    pub mtu: u32,
    /// One's complement sum of the IPv4 outer header with zero in total length and type of service, not folded.
    pub outer_checksum: u32,
    /// Ready-made Ethernet header.
    pub ethernet: [u8; 18],
    /// Not used.
    pub reserved: [u8; 2],
    /// Ready-made outer headers, lengths and traffic class zero. How many bytes follows from the encapsulation.
    pub outer: [u8; OUTER_SIZE],
    /// Not used; keeps the size a multiple of eight.
    pub padding: u32,
    /// The tunnel's name, or the neighbour's interface.
    pub name: [u8; NAME_SIZE],
}

/// Values of [`NextHop::kind`].
pub mod kind {
    /// Nothing here.
    pub const FREE: u16 = 0;
    /// A tunnel to a peer.
    pub const TUNNEL: u16 = 1;
    /// A router of the mesh on the same link: packets go to it as they are. No encapsulation, no outer header, no VLAN tag.
    pub const NEIGHBOUR: u16 = 2;
}

/// Flags of [`NextHop::flags`].
pub mod transmit {
    /// The interface's driver takes no frames from XDP: XDP does everything but the transmission, TC does that.
    pub const WITH_TC: u16 = 1;
    /// Use the tunnels' port as UDP source port too, for peers behind NAT, instead of the flow's hash.
    pub const FIXED_SOURCE_PORT: u16 = 2;
}

impl NextHop {
    /// A free entry.
    pub const FREE: Self = Self {
        kind: kind::FREE,
        encapsulation: 0,
        flags: 0,
        ethernet_length: 0,
        interface: 0,
        route_interface: 0,
        mtu: 0,
        outer_checksum: 0,
        ethernet: [0; 18],
        reserved: [0; 2],
        outer: [0; OUTER_SIZE],
        padding: 0,
        name: [0; NAME_SIZE],
    };
}

impl Tunnel {
    /// A free entry.
    pub const FREE: Self = Self {
        next_hop: next_hop_id::NONE,
        key: 0,
        interface: 0,
        vlan: 0,
        encapsulation: 0,
        remote: [0; 16],
        local: [0; 16],
    };
}

/// The data of an LPM key of FIB_TRIE: a table's number, then an address. The prefix length counts both: 32 + the
/// address's own (for IPv4 32 + 96 + its own). 20 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrieKey {
    /// One of [`table`], in network order.
    pub table: [u8; 4],
    /// IPv6 address, or mapped IPv4 address.
    pub address: [u8; 16],
}

/// Numbers of the tables in FIB_TRIE.
pub mod table {
    /// Membership: the networks of the mesh, both families. The value's next hop is not used.
    pub const NETWORKS: u32 = 1;
    /// Membership: our own outer addresses, both families. The value's next hop is not used.
    pub const UNDERLAY: u32 = 2;
    /// Routes by IPv4 destination.
    pub const IPV4: u32 = 4;
    /// Routes by IPv6 destination.
    pub const IPV6: u32 = 6;
    /// From here on: routes by source, one table for each destination that has source-specific routes.
    pub const FIRST_SOURCE: u32 = 16;
}

impl TrieKey {
    /// Bits of a full-length key.
    pub const BITS: u32 = 32 + 128;

    /// The key of an address in a table.
    #[inline(always)]
    pub const fn new(table: u32, address: Address) -> Self {
        Self {
            table: table.to_be_bytes(),
            address: address.octets(),
        }
    }

    /// The table of routes by destination.
    #[inline(always)]
    pub const fn routes(family: Family, address: Address) -> Self {
        match family {
            Family::Ipv4 => Self::new(table::IPV4, address),
            Family::Ipv6 => Self::new(table::IPV6, address),
        }
    }
}

/// A value of FIB_TRIE. 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrieValue {
    /// The next hop's number; not looked at when there is a source table.
    pub next_hop: u32,
    /// 0, or the table to look the packet's source up in. It holds the whole answer, inherited routes included.
    pub source_table: u32,
}

/// An entry of INTERFACES (hash, key: interface index). 28 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Bits of [`interface`].
    pub flags: u32,
    /// Its Ethernet address: frames for somebody else are none of our business.
    pub address: [u8; 6],
    /// Not used.
    pub reserved: [u8; 2],
    /// The interface's name.
    pub name: [u8; NAME_SIZE],
}

/// Flags of [`Interface::flags`].
pub mod interface {
    /// An Internet gateway's uplink: packets from it may enter the mesh with any source.
    pub const GATEWAY: u32 = 1;
    /// As [`transmit::WITH_TC`](super::transmit::WITH_TC).
    pub const TRANSMIT_WITH_TC: u32 = 2;
    /// Routers of the mesh are on this link: what they forward may have any source but this node's own address.
    pub const MESH: u32 = 4;
    /// There are VLANs on it, and frames may come without their tags, which the card or the sending kernel keeps beside
    /// them: whose a plain frame is only the kernel knows.
    pub const HIDDEN_TAGS: u32 = 8;
    /// It stands on others, and the kernel may have merged segments that arrived there (GRO): plain ones, and those in GRE.
    pub const MERGED: u32 = 16;
}

/// Entries of CONFIRMATIONS (array, index: made of a neighbour and the time): the last time at which a packet to a neighbour
/// went by way of the kernel, in steps of 2^32 ns. Neighbours that share an entry at one time do not at the next.
pub const CONFIRMATIONS: u32 = 4096;

/// The only entry of HANDSHAKES (array of one): how initiations of handshakes are judged. 48 bytes.
///
/// Whoever reads the secret can make cookies for any address. The MAC's key follows from this node's public key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handshakes {
    /// 1: they are judged. 0: all go to the controller, and the rest means nothing.
    pub enabled: u32,
    /// How many without a valid cookie reach the controller in a second, on each CPU; 0: none does.
    pub rate: u32,
    /// How many of these may come at once after a time without any; 0 is taken as 1.
    pub burst: u32,
    /// Not used; keeps the keys at a multiple of eight.
    pub reserved: u32,
    /// The key of the MAC.
    pub mac_key: SipKey,
    /// What cookies are made of.
    pub cookie_secret: SipKey,
}

impl Handshakes {
    /// Whether one more without a valid cookie may pass at a time, in nanoseconds; it is counted then. `due` is the time up
    /// to which all tokens are taken, the entry of HANDSHAKE_TOKENS (per-CPU array of one): 0 before the first.
    #[inline(always)]
    pub const fn take_token(&self, due: &mut u64, now: u64) -> bool {
        const SECOND: u64 = 1_000_000_000;
        if self.rate == 0 {
            return false;
        }
        let interval = SECOND / self.rate as u64;
        let burst = if self.burst == 0 { 1 } else { self.burst };
        let earliest = now.saturating_sub(interval * burst as u64);
        let from = if *due > earliest { *due } else { earliest };
        let taken = from + interval;
        if taken > now {
            return false;
        }
        *due = taken;
        true
    }
}

/// An entry of TUNNEL_COUNTERS (per-CPU array, index: the next hop's number). Bytes are those of the inner packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Packets accepted from the peer.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets sent to the peer.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}

// SAFETY: all are repr(C) of integers and byte arrays without implicit padding (the size assertions below add up), so
// every bit pattern is valid and every byte initialised.
#[cfg(feature = "user")]
mod pod {
    use super::*;
    unsafe impl aya::Pod for Settings {}
    unsafe impl aya::Pod for FibEntry {}
    unsafe impl aya::Pod for Tunnel {}
    unsafe impl aya::Pod for NextHop {}
    unsafe impl aya::Pod for NextHopEntry {}
    unsafe impl aya::Pod for TrieKey {}
    unsafe impl aya::Pod for TrieValue {}
    unsafe impl aya::Pod for Interface {}
    unsafe impl aya::Pod for Handshakes {}
    unsafe impl aya::Pod for TunnelCounters {}
    unsafe impl aya::Pod for crate::reason::ReasonCounters {}
}

const _: () = {
    assert!(size_of::<Settings>() == 48);
    assert!(size_of::<FibEntry>() == 8);
    assert!(size_of::<Tunnel>() == 48);
    assert!(size_of::<NextHop>() == 120);
    assert!(size_of::<NextHopEntry>() == 248);
    assert!(size_of::<TrieKey>() == 20);
    assert!(size_of::<TrieValue>() == 8);
    assert!(size_of::<Interface>() == 28);
    assert!(size_of::<Handshakes>() == 48);
};
