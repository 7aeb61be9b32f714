//! Programs for the testbed and the benchmarks.
//!
//! | program | where | what |
//! |---|---|---|
//! | `generate` | BPF_PROG_TEST_RUN with live frames | writes a frame and sends it out of an interface |
//! | `redirect` | XDP | the floor: a new Ethernet header and out of an interface, nothing else |
//! | `pass` | XDP | nothing: what XDP alone costs on a device |
//! | `sink` | XDP | counts the frames it expects, keeps a sample, drops them |
//! | `lose` | TC | drops one packet of every so many |

#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(unstable_features, reason = "BPF assembly is not stable yet")
)]

#[cfg(target_arch = "bpf")]
mod layout;
#[cfg(target_arch = "bpf")]
#[path = "../packet.rs"]
#[allow(
    dead_code,
    reason = "shared with the data plane, which needs more of it"
)]
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
