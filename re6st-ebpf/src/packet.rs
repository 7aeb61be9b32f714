//! Packets in the kernel's buffers. Each access proves to the verifier that it stays inside.

use core::{
    arch::asm,
    ffi::{c_long, c_void},
    mem::{MaybeUninit, offset_of},
    ptr::NonNull,
};

use aya_ebpf::{
    bindings::{
        __sk_buff, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_hdr_start_off::BPF_HDR_START_MAC,
        xdp_md,
    },
    btf_maps::PerCpuArray,
    helpers::generated::{
        bpf_check_mtu, bpf_loop, bpf_skb_change_head, bpf_skb_load_bytes_relative,
        bpf_skb_vlan_pop, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
        bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
    macros::btf_map,
    programs::{TcContext, XdpContext},
};
use re6st_common::{
    address::Family,
    encapsulation,
    maps::{NextHop, encapsulation as kind},
    packet::Packet,
    reason::Reason,
    wire::{Ethernet, Header, Ipv4, Ipv6, Vlan, ethertype},
};

/// What is copied from the parts of a frame that no pointer reaches.
#[btf_map]
static SCRATCH: PerCpuArray<[u8; PLACES + LONGEST_HEADER], 1> = PerCpuArray::new();
/// Bytes of the front of a frame that have places in it, and of a piece that is moved.
const SCRATCH_SIZE: usize = 256;
/// All places, as the verifier sees them.
const PLACES: usize = 512;
/// Bytes.
const LONGEST_HEADER: usize = 64;

/// Bytes that every link's frames can have: of an MTU that all hosts take (RFC 791), and an Ethernet header.
const FITS_ANYWHERE: usize = 576 + size_of::<Ethernet>();

/// Reads a 32-bit field of a program's context that is a packet pointer to the verifier.
///
/// Written as one instruction, because the compiler, who sees a 32-bit number, clears the upper half of its register
/// again later on, and then it is no pointer any more.
macro_rules! context_pointer {
    ($context:expr, $type:ty, $field:ident) => {{
        let address: usize;
        // SAFETY: reads a field of the program's own context.
        unsafe {
            asm!(
                "{address} = *(u32 *)({context} + {offset})",
                address = out(reg) address,
                context = in(reg) $context,
                offset = const offset_of!($type, $field),
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        address
    }};
}

/// The address of a `T` at `offset`, if all of it lies before `end`. The one place that makes packet pointers.
#[inline(always)]
fn header_at<T: Header>(start: usize, end: usize, offset: usize) -> Option<NonNull<T>> {
    let address = start + offset;
    // SAFETY: no frame begins at address 0.
    (address + size_of::<T>() <= end)
        .then_some(unsafe { NonNull::new_unchecked(address as *mut T) })
}

/// An XDP frame. With `FRAGS`, the driver may have split it anywhere: reading goes on in the parts behind the first, writing
/// and moving the front wait for [`Packet::gather_headers`].
pub struct XdpFrame<'context, const FRAGS: bool> {
    context: &'context XdpContext,
}

impl<const FRAGS: bool> XdpFrame<'_, FRAGS> {
    #[inline(always)]
    fn start(&self) -> usize {
        context_pointer!(self.context.ctx, xdp_md, data)
    }

    #[inline(always)]
    fn end(&self) -> usize {
        context_pointer!(self.context.ctx, xdp_md, data_end)
    }
}

impl<'context, const FRAGS: bool> XdpFrame<'context, FRAGS> {
    /// The frame a program was called for.
    #[inline(always)]
    pub fn new(context: &'context XdpContext) -> Self {
        Self { context }
    }

    /// Whether an interface takes a frame of this length. If not, the kernel would lose it without a word.
    #[inline(always)]
    pub fn fits(&self, interface: u32) -> bool {
        let length = self.length();
        if length <= FITS_ANYWHERE {
            return true;
        }
        // the limit is the kernel's for redirected frames: a tag is not counted, whether there is one or not
        let mut length = (length - size_of::<Ethernet>() - size_of::<Vlan>()) as u32;
        // SAFETY: the context is the program's own.
        unsafe { bpf_check_mtu(self.context.ctx.cast(), interface, &raw mut length, 0, 0) <= 0 }
    }

    /// A copy of a header behind the first part.
    #[inline(always)]
    fn behind<T: Header>(&self, offset: usize) -> Option<NonNull<T>> {
        const { assert!(size_of::<T>() <= LONGEST_HEADER) };
        // SAFETY: the context is the program's own.
        let header = unsafe { copy_behind(self.context.ctx, offset as u32, size_of::<T>() as u32) };
        NonNull::new(header.cast())
    }
}

/// Copies a header from behind the first part of a frame to SCRATCH, where each has its place as in the frame: what was read before
/// stays. Not to the stack, which programs may only read in aligned words. Null where the frame is too short.
///
/// # Safety
/// The context is that of the program that runs, and `length` is at most [`LONGEST_HEADER`].
#[inline(never)]
unsafe fn copy_behind(context: *mut xdp_md, offset: u32, length: u32) -> *mut u8 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return core::ptr::null_mut();
    };
    // headers farther back are looked at one at a time
    let mut place = offset.min(SCRATCH_SIZE as u32) as usize;
    // SAFETY: changes nothing, but tells the verifier of Linux 6.1; the compiler, who knows better, would leave a mask out.
    unsafe {
        asm!("{place} &= {mask}", place = inout(reg) place, mask = const PLACES - 1, options(pure, nomem, nostack))
    };
    // SAFETY: by the caller's promise, all of the header lies in SCRATCH, which is longer than the places by one header.
    unsafe {
        let header = scratch.cast::<u8>().add(place);
        match bpf_xdp_load_bytes(context, offset, header.cast(), length) {
            0 => header,
            _ => core::ptr::null_mut(),
        }
    }
}

/// Lets the first part of a frame grow into the room in front, and moves everything there. Costs a copy of the packet; in the
/// common case nothing. Whether the headers are in the first part then.
///
/// # Safety
/// The context is that of the program that runs; pointers into the frame are made anew afterwards.
#[inline(never)]
unsafe fn gather(context: *mut xdp_md) -> bool {
    /// VLAN tag, outer IPv6 with the encapsulation limit, UDP, GRE, and what is written of the inner packet.
    const HEADERS: usize = 128;
    let first_part =
        context_pointer!(context, xdp_md, data_end) - context_pointer!(context, xdp_md, data);
    // SAFETY: the context is the program's own.
    let length = unsafe { bpf_xdp_get_buff_len(context) };
    if first_part >= HEADERS || first_part == length as usize {
        return true;
    }
    let missing = (HEADERS - first_part) as u32;
    let mut copying = Copying {
        context,
        length: length as u32,
        distance: missing,
        moved: 0,
    };
    let piece: extern "C" fn(u32, *mut Copying) -> c_long = move_piece;
    let pieces = copying.length.div_ceil(SCRATCH_SIZE as u32);
    // SAFETY: the context is the program's own; the callback takes what it is given here, and the kernel calls it before the
    // helper returns.
    unsafe {
        if bpf_xdp_adjust_head(context, -(missing as i32)) != 0 {
            return false;
        }
        bpf_loop(pieces, piece as *mut c_void, (&raw mut copying).cast(), 0);
        copying.moved == pieces && bpf_xdp_adjust_tail(context, -(missing as i32)) == 0
    }
}

/// That `length` bytes which begin at the offset `distance` go to the start of the frame, and how many pieces have gone there.
struct Copying {
    context: *mut xdp_md,
    length: u32,
    distance: u32,
    moved: u32,
}

/// Moves one piece of a frame, for `bpf_loop`: the verifier looks once at what a loop would have it look at hundreds of times.
extern "C" fn move_piece(index: u32, copying: *mut Copying) -> c_long {
    const CONTINUE: c_long = 0;
    const BREAK: c_long = 1;
    // SAFETY: what `gather` gave, which waits for us.
    let copying = unsafe { &mut *copying };
    let Some(piece) = SCRATCH.get_ptr_mut(0) else {
        return BREAK;
    };
    let offset = index * SCRATCH_SIZE as u32;
    // at least one byte, in words that the verifier understands
    let size = 1 + (copying.length - offset - 1).min(SCRATCH_SIZE as u32 - 1);
    let (context, piece) = (copying.context, piece.cast());
    // SAFETY: the context is the program's own, and `size` is at most what the piece holds.
    let moved = unsafe {
        bpf_xdp_load_bytes(context, offset + copying.distance, piece, size) == 0
            && bpf_xdp_store_bytes(context, offset, piece, size) == 0
    };
    if !moved {
        return BREAK;
    }
    copying.moved += 1;
    CONTINUE
}

impl<const FRAGS: bool> Packet for XdpFrame<'_, FRAGS> {
    #[inline(always)]
    fn length(&self) -> usize {
        if FRAGS {
            // SAFETY: the context is the program's own.
            unsafe { bpf_xdp_get_buff_len(self.context.ctx) as usize }
        } else {
            self.end() - self.start()
        }
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let header = match header_at::<T>(self.start(), self.end(), offset) {
            Some(header) => header,
            None if FRAGS => self.behind(offset)?,
            None => return None,
        };
        // SAFETY: inside the frame or a copy of it, and a Header is valid with any bytes at any address.
        Some(unsafe { header.as_ref() })
    }

    #[inline(always)]
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let mut header = header_at(self.start(), self.end(), offset)?;
        // SAFETY: inside the frame, which is ours while the program runs.
        Some(unsafe { header.as_mut() })
    }

    /// For drivers that leave the first part short or empty.
    #[inline(always)]
    fn gather_headers(&mut self) -> Option<()> {
        // SAFETY: the context is the program's own.
        (!FRAGS || unsafe { gather(self.context.ctx) }).then_some(())
    }

    #[inline(always)]
    fn make_room(&mut self, _outer: usize, _inner: Family, _next_hop: &NextHop) -> Option<()> {
        // what this host sends is TC's
        None
    }

    #[inline(always)]
    fn adjust_head(&mut self, delta: i32) -> Option<()> {
        // SAFETY: the context is the program's own; pointers into the frame are made anew at each access.
        (unsafe { bpf_xdp_adjust_head(self.context.ctx, delta) } == 0).then_some(())
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) -> Option<()> {
        let delta = length as i32 - self.length() as i32;
        // SAFETY: the context is the program's own; pointers into the frame are made anew at each access.
        (unsafe { bpf_xdp_adjust_tail(self.context.ctx, delta) } == 0).then_some(())
    }
}

/// A socket buffer in TC: maybe a segmented packet of 64 KB.
pub struct SocketBuffer<'context> {
    context: &'context TcContext,
}

/// What a segmented packet will be cut into; one segment for any other.
pub struct Segments {
    /// How many packets it will be.
    pub count: u32,
    /// Bytes of payload in each of them; 0 for a packet that stays whole.
    pub size: u32,
}

impl SocketBuffer<'_> {
    #[inline(always)]
    fn start(&self) -> usize {
        context_pointer!(self.context.skb.skb, __sk_buff, data)
    }

    #[inline(always)]
    fn end(&self) -> usize {
        context_pointer!(self.context.skb.skb, __sk_buff, data_end)
    }
}

impl<'context> SocketBuffer<'context> {
    /// The buffer a program was called for.
    #[inline(always)]
    pub fn new(context: &'context TcContext) -> Self {
        Self { context }
    }

    /// Where the packet came from: interface index, 0 for this host itself.
    #[inline(always)]
    pub fn arrival(&self) -> u32 {
        // SAFETY: the context is the program's own.
        unsafe { (*self.context.skb.skb).ingress_ifindex }
    }

    /// Makes sure that the headers are in the part that programs can read. Failing that, reading says so.
    #[inline(always)]
    pub fn make_headers_readable(&self) {
        const HEADERS: u32 = 14 + 40 + 20;
        let present = (self.end() - self.start()) as u32;
        if present < HEADERS && self.context.len() > present {
            let _ = self.context.pull_data(HEADERS.min(self.context.len()));
        }
    }

    /// Makes the first bytes writable. Failing that, writing says so.
    #[inline(always)]
    pub fn make_writable(&self, length: usize) {
        let _ = self.context.pull_data(length as u32);
    }

    /// The Ethernet header the kernel remembers, which is not always where the buffer begins.
    #[inline(always)]
    pub fn link_header(&self) -> Option<Ethernet> {
        let mut ethernet = MaybeUninit::<Ethernet>::uninit();
        // SAFETY: the context is the program's own, the helper writes all of the header if it returns 0, and a Header is
        // valid with any bytes.
        unsafe {
            let result = bpf_skb_load_bytes_relative(
                self.context.skb.skb.cast(),
                0,
                ethernet.as_mut_ptr().cast(),
                size_of::<Ethernet>() as u32,
                BPF_HDR_START_MAC,
            );
            (result == 0).then(|| ethernet.assume_init())
        }
    }

    /// Puts an Ethernet header in front of a buffer that begins with the IP header.
    #[inline(always)]
    pub fn prepend_link_header(&mut self, ethernet: &Ethernet) -> Option<()> {
        let length = size_of::<Ethernet>();
        // SAFETY: the context is the program's own; pointers into the packet are made anew at each access.
        let result = unsafe { bpf_skb_change_head(self.context.skb.skb, length as u32, 0) };
        if result != 0 {
            return None;
        }
        self.make_writable(length);
        self.write(0, ethernet)
    }

    /// Takes away the VLAN tag that came beside the packet, where no XDP program sees it: the packet was taken for one
    /// without. One that belongs to a VLAN is none of ours; with a priority alone it is.
    #[inline(always)]
    pub fn take_vlan_tag(&mut self) -> Result<(), Reason> {
        // SAFETY: the context is the program's own.
        let (present, tag) = unsafe {
            let buffer = &*self.context.skb.skb;
            (buffer.vlan_present, buffer.vlan_tci)
        };
        if present == 0 {
            return Ok(());
        }
        if tag & Vlan::IDENTIFIER as u32 != 0 {
            return Err(Reason::WrongInterface);
        }
        // SAFETY: the context is the program's own; pointers into the packet are made anew at each access.
        match unsafe { bpf_skb_vlan_pop(self.context.skb.skb) } {
            0 => Ok(()),
            _ => Err(Reason::RewriteFailed),
        }
    }

    /// Whether an interface takes the packet, or what it will be cut into. If not, the kernel would lose it without a word.
    #[inline(always)]
    pub fn fits(&self, interface: u32) -> bool {
        const CHECK_SEGMENTS: u64 = 1;
        let mut mtu = 0;
        // SAFETY: the context is the program's own.
        let result = unsafe {
            bpf_check_mtu(
                self.context.skb.skb.cast(),
                interface,
                &raw mut mtu,
                0,
                CHECK_SEGMENTS,
            )
        };
        result <= 0
    }

    /// How the kernel will cut the packet.
    #[inline(always)]
    pub fn segments(&self) -> Segments {
        // SAFETY: the context is the program's own.
        let (size, count) = unsafe {
            let buffer = &*self.context.skb.skb;
            (buffer.gso_size, buffer.gso_segs)
        };
        Segments {
            count: count.max(1),
            size,
        }
    }
}

impl Packet for SocketBuffer<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.context.len() as usize
    }

    #[inline(always)]
    fn header<T: Header>(&self, offset: usize) -> Option<&T> {
        let header = header_at(self.start(), self.end(), offset)?;
        // SAFETY: inside the linear part, and a Header is valid with any bytes at any address.
        Some(unsafe { header.as_ref() })
    }

    #[inline(always)]
    fn header_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        let mut header = header_at(self.start(), self.end(), offset)?;
        // SAFETY: inside the linear part, which is ours while the program runs.
        Some(unsafe { header.as_mut() })
    }

    #[inline(always)]
    fn gather_headers(&mut self) -> Option<()> {
        self.make_headers_readable();
        Some(())
    }

    /// A packet that another tunnel of the kernel's has encapsulated before, also one of a neighbour's on the same kernel, is
    /// not taken as one to encapsulate, since the kernel remembers the headers of one encapsulation only; the mesh device has
    /// it segmented before (`io::netlink::ethtool`). Then nothing is to be remembered, and room alone will do.
    #[inline(always)]
    fn make_room(&mut self, outer: usize, inner: Family, next_hop: &NextHop) -> Option<()> {
        const ALREADY: i64 = -114;
        /// By how many bytes the kernel makes a packet longer to turn IPv4 into IPv6, or shorter.
        const DIFFERENCE: i32 = (size_of::<Ipv6>() - size_of::<Ipv4>()) as i32;
        let longer = outer as i32;
        let room = |length, flags| self.context.adjust_room(length, BPF_ADJ_ROOM_MAC, flags);
        match room(longer, room_flags(next_hop)) {
            Ok(()) => {}
            Err(ALREADY) => match (inner, encapsulation::outer_family(next_hop.encapsulation)) {
                (Family::Ipv4, Family::Ipv6) => {
                    self.context.change_proto(ethertype::IPV6.to_be(), 0).ok()?;
                    room(longer - DIFFERENCE, 0).ok()?;
                }
                (Family::Ipv6, Family::Ipv4) => {
                    room(longer + DIFFERENCE, 0).ok()?;
                    self.context.change_proto(ethertype::IPV4.to_be(), 0).ok()?;
                }
                _ => room(longer, 0).ok()?,
            },
            Err(_) => return None,
        }
        self.make_writable(size_of::<Ethernet>() + outer);
        Some(())
    }

    #[inline(always)]
    fn adjust_head(&mut self, _delta: i32) -> Option<()> {
        // TC makes room with a helper that has to know about segments
        None
    }

    #[inline(always)]
    fn truncate(&mut self, _length: usize) -> Option<()> {
        // what is answered is answered in XDP
        None
    }
}

/// How the kernel must cut a segmented packet that has these outer headers.
#[inline(always)]
fn room_flags(next_hop: &NextHop) -> u64 {
    const FIXED_GSO: u64 = 1;
    const ENCAP_L3_IPV4: u64 = 2;
    const ENCAP_L3_IPV6: u64 = 4;
    const ENCAP_L4_GRE: u64 = 8;
    const ENCAP_L4_UDP: u64 = 16;
    FIXED_GSO
        | match next_hop.encapsulation {
            kind::FOU_IPV4 => ENCAP_L3_IPV4 | ENCAP_L4_UDP,
            kind::FOU_IPV6 => ENCAP_L3_IPV6 | ENCAP_L4_UDP,
            kind::GRE_IPV4 => ENCAP_L3_IPV4 | ENCAP_L4_GRE,
            _ => ENCAP_L3_IPV6 | ENCAP_L4_GRE,
        }
}
