//! The data plane.

pub mod bpf;
