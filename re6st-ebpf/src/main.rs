//! The programs in the kernel: what happens to a packet, top down.
//!
//! | program | where | what |
//! |---|---|---|
//! | `re6st_xdp`, `re6st_xdp_frags` | XDP on each network interface | tunnel packets: decapsulate, route, encapsulate, transmit; plain packets: into the mesh |
//! | `re6st_control`, `re6st_control_frags` | behind the one or the other of these | initiations of handshakes: to the controller, answered with a cookie, or dropped |
//! | `re6st_handover` | TC ingress on the same interfaces | what XDP could not finish: onto the mesh device, or out of an interface whose driver takes no XDP frames |
//! | `re6st_send` | TC ingress on the mesh device's other end | what this host sends: encapsulate once, with its segments |
//! | `re6st_guard` | TC egress on the mesh device | no packet of a foreign source enters the mesh by way of the kernel |
//!
//! Deciding and rewriting are in `re6st_common::decide` and `re6st_common::apply`, which the host runs too.

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(unstable_features, reason = "BPF assembly is not stable yet")
)]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod packet;
#[cfg(target_arch = "bpf")]
mod programs;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
