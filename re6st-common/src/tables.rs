//! What the packet logic asks of the maps, and of the kernel.

use crate::{
    address::{Address, Family},
    maps::{Interface, NextHop, Settings, TrieKey, TrieValue, Tunnel, next_hop_id, table},
    parse::Inner,
};

/// The maps, as the packet logic sees them.
pub trait Tables {
    /// What the programs were told at load time.
    fn settings(&self) -> &Settings;
    /// An entry of TUNNELS.
    fn tunnel(&self, index: u32) -> Option<&Tunnel>;
    /// An entry of NEXT_HOPS.
    fn next_hop(&self, id: u32) -> Option<&NextHop>;
    /// An entry of the array FIB: a next hop's number.
    fn fib(&self, slot: u32) -> Option<u32>;
    /// The longest match in FIB_TRIE.
    fn trie(&self, key: &TrieKey) -> Option<TrieValue>;
    /// An entry of INTERFACES.
    fn interface(&self, index: u32) -> Option<Interface>;
    /// Where the kernel would forward a packet that arrived on an interface (`bpf_fib_lookup`). `None` unless it would
    /// forward it at once: not for local addresses, not while the neighbour's Ethernet address is unknown.
    fn kernel_route(&self, arrival: u32, inner: &Inner) -> Option<Neighbour>;
    /// Whether a packet to a neighbour is to go by way of the kernel, so that the kernel finds out if the neighbour is still
    /// there: what XDP sends, it does not see. True for one packet every few seconds.
    #[inline(always)]
    fn confirm(&self, _neighbour: u64) -> bool {
        false
    }

    /// The route of a packet: a next hop's number, [`next_hop_id::NONE`] without one.
    ///
    /// A slot of the array answers in one access. Where it does not (longer prefixes or source-specific routes inside the
    /// slot, foreign prefixes, IPv4) the trie does: by destination first, then by source (RFC 9079 section 3).
    #[inline(always)]
    fn route(&self, family: Family, destination: Address, source: Address) -> u32 {
        if family == Family::Ipv6
            && let Some(slot) = self.settings().fib_slot(destination)
            && let Some(id) = self.fib(slot)
            && id != next_hop_id::NONE
        {
            return id;
        }
        match self.trie(&TrieKey::routes(family, destination)) {
            None => next_hop_id::NONE,
            Some(value) if value.source_table == 0 => value.next_hop,
            Some(value) => self
                .trie(&TrieKey::new(value.source_table, source))
                .map_or(next_hop_id::NONE, |value| value.next_hop),
        }
    }

    /// Whether an address is of one of the mesh's networks.
    #[inline(always)]
    fn in_networks(&self, address: Address) -> bool {
        self.trie(&TrieKey::new(table::NETWORKS, address)).is_some()
    }

    /// Whether an address is one of our own outer addresses.
    #[inline(always)]
    fn is_underlay(&self, address: Address) -> bool {
        self.trie(&TrieKey::new(table::UNDERLAY, address)).is_some()
    }
}

/// A host or router on a plain interface.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// Interface index.
    pub interface: u32,
    /// Its Ethernet address.
    pub destination: [u8; 6],
    /// The interface's own Ethernet address.
    pub source: [u8; 6],
}
