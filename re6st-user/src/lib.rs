//! The controller of re6st-ebpf, as a library: the command in `main.rs` is a thin shell around it.

// its macro is for those that follow
#[macro_use]
mod counters;

pub mod babel;
pub mod certificate;
pub mod channel;
pub mod config;
pub mod dataplane;
pub mod description;
pub mod io;
pub mod membership;
pub mod mesh;
pub mod node;
pub mod octets;
pub mod port_mapping;
pub mod printable;
pub mod rate;
pub mod registry;
pub mod route;
pub mod routing;
pub mod time;
pub mod trace;
pub mod tunnel;

/// The BPF object: programs and maps of the data plane.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/re6st"));
