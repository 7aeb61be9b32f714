//! The entry points. One match decides each verdict.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::generated::{bpf_redirect, bpf_redirect_neigh},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use re6st_common::{
    admission::{self, Admission},
    apply::{self, Verdict},
    decide::{self, Decision, Otherwise},
    guard,
    reason::Reason,
    tables::Tables as _,
};

use crate::{
    maps::{self, Maps},
    packet::{SocketBuffer, XdpFrame},
};

/// XDP on network interfaces with an MTU a driver can hold in one buffer.
#[xdp]
pub fn re6st_xdp(context: XdpContext) -> u32 {
    receive::<false>(&context)
}

/// XDP on network interfaces with a larger MTU (multi-buffer, kernel 5.18).
#[xdp(frags)]
pub fn re6st_xdp_frags(context: XdpContext) -> u32 {
    receive::<true>(&context)
}

#[inline(always)]
fn receive<const FRAGS: bool>(context: &XdpContext) -> u32 {
    let tables = Maps::new(context.as_ptr());
    let mut frame = XdpFrame::<FRAGS>::new(context);
    let arrival = context.ingress_ifindex() as u32;
    let decision = decide::receive(&frame, &tables, arrival);
    if let Decision::Decline(Reason::Ordinary | Reason::UnknownKey) = decision {
        // another instance on the same interface may know the packet; returns only if there is none
        maps::next_instance(context);
    }
    if let Decision::Decline(Reason::Control) = decision {
        // a program of its own, so that nothing of it is in the way of tunnels' packets, and both together would need more stack
        // than there is; returns only while there is none
        maps::control_program(context);
    }
    account(&decision);
    match apply::apply(&mut frame, &tables, &decision) {
        Ok(Verdict::Pass) => xdp_action::XDP_PASS,
        Ok(Verdict::Redirect(interface)) if !frame.fits(interface) => {
            maps::count(Reason::LinkMtu);
            xdp_action::XDP_DROP
        }
        // also out of the same interface: where a veth device's peer has GRO but no XDP program, XDP_TX would leave
        // frames lying in its queue until something else wakes it (veth_xdp_flush, kernels up to 6.18 at least)
        // SAFETY: a helper without pointers.
        Ok(Verdict::Redirect(interface)) => unsafe { bpf_redirect(interface, 0) as u32 },
        Ok(Verdict::Drop) => xdp_action::XDP_DROP,
        Err(reason) => {
            maps::count(reason);
            xdp_action::XDP_DROP
        }
    }
}

/// Behind [`re6st_xdp`]: what is the controller's, unless it is an initiation that a flood may have brought.
#[xdp]
pub fn re6st_control(context: XdpContext) -> u32 {
    control::<false>(&context)
}

/// The same behind [`re6st_xdp_frags`].
#[xdp(frags)]
pub fn re6st_control_frags(context: XdpContext) -> u32 {
    control::<true>(&context)
}

#[inline(always)]
fn control<const FRAGS: bool>(context: &XdpContext) -> u32 {
    let tables = Maps::new(context.as_ptr());
    let mut frame = XdpFrame::<FRAGS>::new(context);
    let arrival = context.ingress_ifindex() as u32;
    let (reason, admission) = admission::receive(&mut frame, &tables, arrival);
    maps::count(reason);
    match admission {
        Admission::Pass => xdp_action::XDP_PASS,
        // SAFETY: a helper without pointers. Why not XDP_TX: see above.
        Admission::Back => unsafe { bpf_redirect(arrival, 0) as u32 },
        Admission::Drop => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn account(decision: &Decision<'_>) {
    match decision {
        Decision::Decline(reason) => maps::count(*reason),
        Decision::Carry(carried, way) => {
            let length = carried.inner.length as u64;
            maps::count_received(carried.tunnel, 1, length);
            match (way.next_hop, &way.otherwise) {
                (Some((id, _)), _) => maps::count_sent(id, 1, length),
                (None, Otherwise::Kernel(reason)) => maps::count(*reason),
                (None, Otherwise::Site(_)) => {}
            }
        }
    }
}

/// TC ingress on network interfaces: finishes what XDP handed over.
#[classifier]
pub fn re6st_handover(context: TcContext) -> i32 {
    match handed_over(&context) {
        Ok(action) => action,
        Err(reason) => {
            maps::count(reason);
            TC_ACT_SHOT
        }
    }
}

#[inline(always)]
fn handed_over(context: &TcContext) -> Result<i32, Reason> {
    let tables = Maps::new(context.as_ptr());
    let mut buffer = SocketBuffer::new(context);
    let interface = match apply::handed_over(&buffer, &tables) {
        Some(interface) => interface,
        // Where generic XDP runs a multi-buffer program, the kernel (6.12) gives us a copy of the packet and has forgotten
        // how long the link header is: the buffer begins after it.
        None => {
            let Some((ethernet, interface)) = buffer.link_header().and_then(|ethernet| {
                Some((ethernet, apply::handed_over_with(&ethernet, &tables)?))
            }) else {
                return Ok(TC_ACT_UNSPEC);
            };
            buffer
                .prepend_link_header(&ethernet)
                .ok_or(Reason::NoHeadroom)?;
            interface
        }
    };
    buffer.take_vlan_tag()?;
    match interface {
        // SAFETY: a helper without pointers.
        0 => Ok(unsafe { bpf_redirect(tables.settings().device, BPF_F_INGRESS as u64) as i32 }),
        interface => redirect_to_neighbour(context, &buffer, interface),
    }
}

/// TC ingress on the mesh device's other end: encapsulates what this host sends.
#[classifier]
pub fn re6st_send(context: TcContext) -> i32 {
    match send(&context) {
        Ok(action) => action,
        Err(reason) => {
            maps::count(reason);
            TC_ACT_SHOT
        }
    }
}

#[inline(always)]
fn send(context: &TcContext) -> Result<i32, Reason> {
    let tables = Maps::new(context.as_ptr());
    let mut buffer = SocketBuffer::new(context);
    buffer.make_headers_readable();
    let segments = buffer.segments();
    let sent = apply::send(&mut buffer, &tables, segments.size)?;
    maps::count_sent(sent.id, segments.count as u64, sent.length as u64);
    redirect_to_neighbour(context, &buffer, sent.next_hop.route_interface)
}

/// TC egress on the mesh device: the kernel forwards to it what came from elsewhere too.
#[classifier]
pub fn re6st_guard(context: TcContext) -> i32 {
    let tables = Maps::new(context.as_ptr());
    let buffer = SocketBuffer::new(&context);
    match guard::may_enter(&buffer, &tables, buffer.arrival()) {
        Ok(()) => TC_ACT_UNSPEC,
        Err(reason) => {
            maps::count(reason);
            TC_ACT_SHOT
        }
    }
}

/// Out of an interface; the kernel finds the neighbour and writes the Ethernet header. By which route is not up to the mark
/// of what is inside.
#[inline(always)]
fn redirect_to_neighbour(
    context: &TcContext,
    buffer: &SocketBuffer<'_>,
    interface: u32,
) -> Result<i32, Reason> {
    if !buffer.fits(interface) {
        return Err(Reason::LinkMtu);
    }
    context.set_mark(0);
    // SAFETY: the helper accepts no parameters as a null pointer of length zero.
    Ok(unsafe { bpf_redirect_neigh(interface, core::ptr::null_mut(), 0, 0) as i32 })
}
