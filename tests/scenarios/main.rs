//! What the mesh promises, on hosts with real packets: one promise a file.
//!
//! Needs root. Each scenario makes hosts of its own and removes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

#[allow(dead_code)]
mod meshes;
mod relay;
mod testbed_itself;
