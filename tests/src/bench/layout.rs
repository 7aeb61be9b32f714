//! Values of the test programs' maps.

pub use self::shared::*;

#[path = "../../../re6st-ebpf/src/testbed/layout.rs"]
mod shared;

// SAFETY: all are repr(C) of integers and byte arrays without implicit padding.
unsafe impl aya::Pod for Stream {}
// SAFETY: as above.
unsafe impl aya::Pod for Expected {}
// SAFETY: as above.
unsafe impl aya::Pod for Arrived {}
// SAFETY: as above.
unsafe impl aya::Pod for Sample {}
// SAFETY: as above.
unsafe impl aya::Pod for Redirection {}
