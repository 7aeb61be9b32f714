//! The maps, and the packet logic's view of them.

use core::{
    arch::asm,
    ffi::{c_long, c_void},
    mem::zeroed,
};

use aya_ebpf::{
    bindings::bpf_fib_lookup as FibLookup,
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, ProgramArray, lpm_trie::Key},
    helpers::generated::{bpf_fib_lookup, bpf_ktime_get_coarse_ns},
    macros::btf_map,
    programs::XdpContext,
};
use re6st_common::{
    address::{Address, Family},
    admission::Gate,
    maps::{
        self, FibEntry, Handshakes, Interface, NextHop, NextHopEntry, Settings, TrieKey, TrieValue,
        Tunnel, TunnelCounters, next_hop_id, settings,
    },
    parse::Inner,
    reason::{Reason, ReasonCounters},
    tables::{Neighbour, Tables},
};

// Sizes are defaults; the loader sets those the configuration asks for.

/// Patched by the loader before the verifier sees it.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings::EMPTY;

/// Node-prefix bits of an address in the first network, to next hop.
#[btf_map]
static FIB: Array<FibEntry, 16384> = Array::new();

/// All other routes, and two sets of addresses.
#[btf_map]
static FIB_TRIE: LpmTrie<TrieKey, TrieValue, 131072> = LpmTrie::new();

/// How to send.
#[btf_map]
static NEXT_HOPS: Array<NextHopEntry, 1024> = Array::new();

/// Who may send to us.
#[btf_map]
static TUNNELS: Array<Tunnel, 1024> = Array::new();

/// The interfaces we are attached to.
#[btf_map]
static INTERFACES: HashMap<u32, Interface, 64> = HashMap::new();

/// Packets and bytes of each tunnel.
#[btf_map]
static TUNNEL_COUNTERS: PerCpuArray<TunnelCounters, 1024> = PerCpuArray::new();

/// Packets that met each reason.
#[btf_map]
static REASONS: PerCpuArray<ReasonCounters, 1> = PerCpuArray::new();

/// When the kernel was let to confirm neighbours.
#[btf_map]
static CONFIRMATIONS: Array<u32, { maps::CONFIRMATIONS as usize }> = Array::new();

/// How initiations of handshakes are judged.
#[btf_map]
static HANDSHAKES: Array<Handshakes, 1> = Array::new();

/// Until when the tokens are taken by which initiations without a cookie pass.
#[btf_map]
static HANDSHAKE_TOKENS: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The XDP program of the next instance on the same interface.
#[btf_map]
static NEXT_INSTANCE: ProgramArray<1> = ProgramArray::new();

/// The program for what is the controller's.
#[btf_map]
static CONTROL_PROGRAM: ProgramArray<1> = ProgramArray::new();

/// Gives the packet to the program for what is the controller's. Returns only if there is none.
#[inline(always)]
pub fn control_program(context: &XdpContext) {
    // SAFETY: nothing in the frame of this function needs dropping.
    unsafe { CONTROL_PROGRAM.tail_call(context, 0) };
}

/// Gives the packet to the next instance. Returns only if there is none.
#[inline(always)]
pub fn next_instance(context: &XdpContext) {
    // SAFETY: nothing in the frame of this function needs dropping.
    unsafe { NEXT_INSTANCE.tail_call(context, 0) };
}

/// Counts a reason.
#[inline(always)]
pub fn count(reason: Reason) {
    let index = reason as usize;
    if let Some(counters) = REASONS.get_ptr_mut(0)
        && index < ReasonCounters::COUNT
    {
        // SAFETY: the counters are u64 one after another (asserted in re6st-common), the index is checked, and no
        // other program runs on this CPU's copy meanwhile.
        unsafe { *counters.cast::<u64>().add(index) += 1 };
    }
}

/// Counts what a peer sent us. Nothing for [`next_hop_id::NONE`].
#[inline(always)]
pub fn count_received(id: u32, packets: u64, bytes: u64) {
    if id != next_hop_id::NONE
        && let Some(counters) = TUNNEL_COUNTERS.get_ptr_mut(id)
    {
        // SAFETY: a live entry of a per-CPU array.
        let counters = unsafe { &mut *counters };
        counters.received_packets += packets;
        counters.received_bytes += bytes;
    }
}

/// Counts what we sent to a peer.
#[inline(always)]
pub fn count_sent(id: u32, packets: u64, bytes: u64) {
    if let Some(counters) = TUNNEL_COUNTERS.get_ptr_mut(id) {
        // SAFETY: a live entry of a per-CPU array.
        let counters = unsafe { &mut *counters };
        counters.sent_packets += packets;
        counters.sent_bytes += bytes;
    }
}

/// The maps as [`Tables`]. The context is what the route helper needs.
pub struct Maps {
    context: *mut c_void,
    settings: &'static Settings,
}

/// The settings, which the loader changes, so that the compiler must not take them for the constants they are in the object.
#[inline(always)]
fn settings() -> &'static Settings {
    let mut settings = &raw const SETTINGS;
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {settings} */", settings = inout(reg) settings, options(pure, nomem, nostack, preserves_flags))
    };
    // SAFETY: the address has not changed.
    unsafe { &*settings }
}

impl Maps {
    /// For one run of a program.
    #[inline(always)]
    pub fn new(context: *mut c_void) -> Self {
        Self {
            context,
            settings: settings(),
        }
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn settings(&self) -> &Settings {
        self.settings
    }

    #[inline(always)]
    fn tunnel(&self, index: u32) -> Option<&Tunnel> {
        TUNNELS.get(index)
    }

    #[inline(always)]
    fn next_hop(&self, id: u32) -> Option<&NextHop> {
        NEXT_HOPS.get(id).map(NextHopEntry::current)
    }

    #[inline(always)]
    fn fib(&self, slot: u32) -> Option<u32> {
        FIB.get(FibEntry::index(slot))
            .map(|entry| entry.next_hop(slot))
    }

    #[inline(always)]
    fn trie(&self, key: &TrieKey) -> Option<TrieValue> {
        FIB_TRIE.get(&Key::new(TrieKey::BITS, *key)).copied()
    }

    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        // SAFETY: the only writer is userspace, and an entry is copied out at once.
        unsafe { INTERFACES.get(&index) }.copied()
    }

    #[inline(always)]
    fn confirm(&self, neighbour: u64) -> bool {
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        if !self.settings.has(settings::CONFIRM) {
            return false;
        }
        // SAFETY: a helper without parameters.
        let time = (unsafe { bpf_ktime_get_coarse_ns() } >> 32) as u32;
        // neighbours that meet in an entry now will not the next time
        let hash = (neighbour ^ (time as u64) << 32)
            .wrapping_mul(GOLDEN_RATIO)
            .rotate_left(32)
            .wrapping_mul(GOLDEN_RATIO);
        let index = (hash >> 32) as u32 & (maps::CONFIRMATIONS - 1);
        let Some(last) = CONFIRMATIONS.get_ptr_mut(index) else {
            return false;
        };
        // SAFETY: a live entry. Others may write to it meanwhile: then another packet more goes by way of the kernel.
        let last = unsafe { &mut *last };
        core::mem::replace(last, time) != time
    }

    #[inline(always)]
    fn kernel_route(&self, arrival: u32, inner: &Inner) -> Option<Neighbour> {
        let mut query = query(arrival, inner.family, inner.source, inner.destination);
        query.__bindgen_anon_1.tot_len = inner.length;
        let result = look_up(self.context, &mut query);
        (result == 0).then_some(Neighbour {
            interface: query.ifindex,
            destination: from_stack(&query.dmac),
            source: from_stack(&query.smac),
        })
    }
}

impl Gate for Maps {
    #[inline(always)]
    fn handshakes(&self) -> Option<&Handshakes> {
        HANDSHAKES
            .get(0)
            .filter(|handshakes| handshakes.enabled != 0)
    }

    #[inline(always)]
    fn keeps(&self, arrival: u32, family: Family, source: Address, destination: Address) -> bool {
        /// Of `BPF_FIB_LKUP_RET_*`: a local or broadcast address, or none that there is a route to.
        const NOT_FORWARDED: c_long = 4;
        /// This host is no router on that interface.
        const FORWARDING_DISABLED: c_long = 5;
        let mut query = query(arrival, family, source, destination);
        matches!(
            look_up(self.context, &mut query),
            NOT_FORWARDED | FORWARDING_DISABLED
        )
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without parameters.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn take_token(&self, handshakes: &Handshakes, now: u64) -> bool {
        let Some(due) = HANDSHAKE_TOKENS.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: a live entry of a per-CPU array.
        handshakes.take_token(unsafe { &mut *due }, now)
    }
}

/// What the kernel is asked for a route.
#[inline(always)]
fn query(arrival: u32, family: Family, source: Address, destination: Address) -> FibLookup {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    // SAFETY: integers only.
    let mut query: FibLookup = unsafe { zeroed() };
    query.ifindex = arrival;
    match family {
        Family::Ipv4 => {
            query.family = AF_INET;
            query.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(source.ipv4_octets());
            query.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(destination.ipv4_octets());
        }
        Family::Ipv6 => {
            query.family = AF_INET6;
            query.__bindgen_anon_3.ipv6_src = words(source.octets());
            query.__bindgen_anon_4.ipv6_dst = words(destination.octets());
        }
    }
    query
}

/// Asks the kernel for a route: one of `BPF_FIB_LKUP_RET_*`.
#[inline(always)]
fn look_up(context: *mut c_void, query: &mut FibLookup) -> c_long {
    // SAFETY: the context is the program's own, the query is live and its size is given.
    unsafe { bpf_fib_lookup(context, &raw mut *query, size_of::<FibLookup>() as i32, 0) }
}

/// An address as the kernel's interface declares it: four words in network order.
#[inline(always)]
fn words(address: [u8; 16]) -> [u32; 4] {
    let number = u128::from_ne_bytes(address);
    [
        number as u32,
        (number >> 32) as u32,
        (number >> 64) as u32,
        (number >> 96) as u32,
    ]
}

/// Copies an Ethernet address off the stack, where the verifier wants words aligned and these are not.
#[inline(always)]
fn from_stack(address: &[u8; 6]) -> [u8; 6] {
    let halves = address.as_ptr().cast::<[u8; 2]>();
    // SAFETY: three halves of six bytes; volatile, so that they are not joined to one misaligned word.
    let [[a, b], [c, d], [e, f]] = unsafe {
        [
            halves.read_volatile(),
            halves.add(1).read_volatile(),
            halves.add(2).read_volatile(),
        ]
    };
    [a, b, c, d, e, f]
}
