//! Carries a decision out. From here on an error means that the packet is dropped, never passed.

use core::mem::offset_of;

use crate::{
    address::Family,
    checksum,
    decide::{self, Carried, Decision, Otherwise},
    encapsulation,
    maps::{NextHop, interface, kind, transmit},
    packet::Packet,
    reason::{Fate, Reason},
    tables::{Neighbour, Tables},
    wire::{Ethernet, Ipv4, Ipv6},
};

/// What the program answers the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Up the stack.
    Pass,
    /// Out of an interface.
    Redirect(u32),
    /// Gone.
    Drop,
}

/// Bytes 0 and 1 of the source address of frames for our own TC program ("locally administered"); the interface to
/// transmit on is in bytes 2 to 5.
pub const HANDOVER: [u8; 2] = [0x02, 0x52];

/// Rewrites the frame as decided.
#[inline(always)]
pub fn apply<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    decision: &Decision<'_>,
) -> Result<Verdict, Reason> {
    match decision {
        Decision::Decline(reason) => Ok(match reason.fate() {
            Fate::Dropped => Verdict::Drop,
            Fate::Kernel | Fate::Untouched => Verdict::Pass,
        }),
        Decision::Carry(carried, way) => match (way.next_hop, &way.otherwise) {
            (Some((id, next_hop)), _) if next_hop.kind == kind::NEIGHBOUR => {
                to_router(packet, tables, carried, id, next_hop)
            }
            (Some((_, next_hop)), _) => encapsulate(packet, tables, carried, next_hop),
            (None, Otherwise::Kernel(_)) => deliver(packet, tables, carried),
            (None, Otherwise::Site(neighbour)) => forward(packet, tables, carried, neighbour),
        },
    }
}

/// What [`send`] did.
pub struct Sent<'tables> {
    /// The next hop's number.
    pub id: u32,
    /// Its entry.
    pub next_hop: &'tables NextHop,
    /// Bytes of the packet, without outer headers.
    pub length: u16,
}

/// Encapsulates what this host sends. `segment_size`: see [`decide::send`].
#[inline(always)]
pub fn send<'tables, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &'tables T,
    segment_size: u32,
) -> Result<Sent<'tables>, Reason> {
    let (carried, id, next_hop) = decide::send(packet, tables, segment_size)?;
    let outer = encapsulation::outer_length(next_hop.encapsulation).ok_or(Reason::RewriteFailed)?;
    let inner = &carried.inner;
    packet
        .make_room(outer, inner.family, next_hop)
        .ok_or(Reason::NoHeadroom)?;
    let link = size_of::<Ethernet>();
    let ethertype = encapsulation::outer_family(next_hop.encapsulation).ethertype();
    encapsulation::write_outer(packet, link, next_hop, inner, carried.traffic_class)
        .and_then(|()| packet.write(offset_of!(Ethernet, ethertype), &ethertype))
        .ok_or(Reason::RewriteFailed)?;
    Ok(Sent {
        id,
        next_hop,
        length: inner.length,
    })
}

/// Strips the outer headers and hands the packet to our TC program, which puts it on the mesh device.
#[inline(always)]
fn deliver<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    carried: &Carried,
) -> Result<Verdict, Reason> {
    prepare(packet, carried)?;
    strip(packet, carried.front, size_of::<Ethernet>())?;
    hand_over(packet, tables, 0, carried.inner.family)
}

#[inline(always)]
fn encapsulate<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    carried: &Carried,
    next_hop: &NextHop,
) -> Result<Verdict, Reason> {
    let outer = encapsulation::outer_length(next_hop.encapsulation).ok_or(Reason::RewriteFailed)?;
    // TC transmits, and the kernel finds the neighbour's Ethernet address if we have none
    let ethernet = match next_hop.flags & transmit::WITH_TC {
        0 => next_hop.ethernet_length,
        _ => 0,
    };
    let link = match ethernet {
        18 => 18,
        _ => size_of::<Ethernet>(),
    };
    go_on(packet, carried, link + outer)?;
    encapsulation::write_outer(
        packet,
        link,
        next_hop,
        &carried.inner,
        carried.traffic_class,
    )
    .ok_or(Reason::RewriteFailed)?;
    match ethernet {
        14 => packet.write(0, &first_14(&next_hop.ethernet)),
        18 => packet.write(0, &next_hop.ethernet),
        _ => {
            let family = encapsulation::outer_family(next_hop.encapsulation);
            return hand_over(packet, tables, next_hop.route_interface, family);
        }
    }
    .ok_or(Reason::RewriteFailed)?;
    Ok(Verdict::Redirect(next_hop.interface))
}

#[inline(always)]
fn forward<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    carried: &Carried,
    neighbour: &Neighbour,
) -> Result<Verdict, Reason> {
    go_on(packet, carried, size_of::<Ethernet>())?;
    let by_tc = tables
        .interface(neighbour.interface)
        .is_none_or(|entry| entry.flags & interface::TRANSMIT_WITH_TC != 0);
    let destination = carried.inner.destination;
    if by_tc || tables.confirm(destination.high() ^ destination.low()) {
        return hand_over(packet, tables, neighbour.interface, carried.inner.family);
    }
    let ethernet = Ethernet {
        destination: neighbour.destination,
        source: neighbour.source,
        ethertype: carried.inner.family.ethertype(),
    };
    packet.write(0, &ethernet).ok_or(Reason::RewriteFailed)?;
    Ok(Verdict::Redirect(neighbour.interface))
}

/// To a router on a link: as it is, with an Ethernet header that is ready-made but for what follows it.
#[inline(always)]
fn to_router<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    carried: &Carried,
    id: u32,
    next_hop: &NextHop,
) -> Result<Verdict, Reason> {
    let family = carried.inner.family;
    go_on(packet, carried, size_of::<Ethernet>())?;
    if next_hop.flags & transmit::WITH_TC != 0 || tables.confirm(id as u64) {
        return hand_over(packet, tables, next_hop.interface, family);
    }
    packet
        .write(0, &first_14(&next_hop.ethernet))
        .and_then(|()| packet.write(offset_of!(Ethernet, ethertype), &family.ethertype()))
        .ok_or(Reason::RewriteFailed)?;
    Ok(Verdict::Redirect(next_hop.interface))
}

/// As a router forwards a packet: with one hop less to go, and `length` bytes in front of it.
#[inline(always)]
fn go_on<P: Packet>(packet: &mut P, carried: &Carried, length: usize) -> Result<(), Reason> {
    prepare(packet, carried)?;
    decrement_hop_limit(packet, carried).ok_or(Reason::RewriteFailed)?;
    strip(packet, carried.front, length)
}

/// Leaves `length` bytes in front of the inner packet where there were `front`.
#[inline(always)]
fn strip<P: Packet>(packet: &mut P, front: usize, length: usize) -> Result<(), Reason> {
    match front as i32 - length as i32 {
        0 => Ok(()),
        delta => packet.adjust_head(delta).ok_or(Reason::NoHeadroom),
    }
}

/// Up the stack, marked for our TC program on the same interface: out of `interface`, or with 0 into the mesh device.
#[inline(always)]
pub(crate) fn hand_over<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    interface: u32,
    family: Family,
) -> Result<Verdict, Reason> {
    let [a, b, c, d] = interface.to_be_bytes();
    let ethernet = Ethernet {
        destination: tables.settings().device_address,
        source: [HANDOVER[0], HANDOVER[1], a, b, c, d],
        ethertype: family.ethertype(),
    };
    packet.write(0, &ethernet).ok_or(Reason::RewriteFailed)?;
    Ok(Verdict::Pass)
}

/// What our TC program finds in a frame it gets: the interface to transmit on, 0 for the mesh device. `None` if XDP did
/// not make it.
#[inline(always)]
pub fn handed_over<P: Packet, T: Tables>(packet: &P, tables: &T) -> Option<u32> {
    handed_over_with(&packet.read(0)?, tables)
}

/// The same, of the frame's Ethernet header.
#[inline(always)]
pub fn handed_over_with<T: Tables>(ethernet: &Ethernet, tables: &T) -> Option<u32> {
    let [_, _, a, b, c, d] = ethernet.source;
    (ethernet.destination == tables.settings().device_address)
        .then_some(u32::from_be_bytes([a, b, c, d]))
}

#[inline(always)]
fn first_14(bytes: &[u8; 18]) -> [u8; 14] {
    // SAFETY: 14 bytes of an array of 18.
    unsafe { bytes.as_ptr().cast::<[u8; 14]>().read() }
}

/// Makes the headers writable, and writes the traffic class the packet must leave with.
#[inline(always)]
fn prepare<P: Packet>(packet: &mut P, carried: &Carried) -> Result<(), Reason> {
    packet.gather_headers().ok_or(Reason::NoHeadroom)?;
    if carried.traffic_class == carried.inner.traffic_class {
        return Ok(());
    }
    set_traffic_class(packet, carried).ok_or(Reason::RewriteFailed)
}

#[inline(always)]
fn set_traffic_class<P: Packet>(packet: &mut P, carried: &Carried) -> Option<()> {
    let class = carried.traffic_class;
    match carried.inner.family {
        Family::Ipv4 => {
            let ip: &mut Ipv4 = packet.header_mut(carried.front)?;
            let old = core::mem::replace(&mut ip.traffic_class, class);
            ip.checksum = updated(ip.checksum, [0, old], [0, class]);
        }
        Family::Ipv6 => {
            let ip: &mut Ipv6 = packet.header_mut(carried.front)?;
            let [first, second, ..] = &mut ip.version_class_label;
            *first = 0x60 | class >> 4;
            *second = class << 4 | *second & 0x0f;
        }
    }
    Some(())
}

#[inline(always)]
fn decrement_hop_limit<P: Packet>(packet: &mut P, carried: &Carried) -> Option<()> {
    let new = carried.inner.hop_limit - 1;
    match carried.inner.family {
        Family::Ipv4 => {
            let ip: &mut Ipv4 = packet.header_mut(carried.front)?;
            let old = core::mem::replace(&mut ip.hop_limit, new);
            ip.checksum = updated(ip.checksum, [old, 0], [new, 0]);
        }
        Family::Ipv6 => packet.header_mut::<Ipv6>(carried.front)?.hop_limit = new,
    }
    Some(())
}

/// The checksum after a word changed, of which the byte that stays may be given as 0.
#[inline(always)]
const fn updated(checksum: [u8; 2], old: [u8; 2], new: [u8; 2]) -> [u8; 2] {
    let (old, new) = (u16::from_be_bytes(old), u16::from_be_bytes(new));
    checksum::update(u16::from_be_bytes(checksum), old, new).to_be_bytes()
}
