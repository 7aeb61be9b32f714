//! Handshake and session together, and against vectors that other code has made.

#![expect(clippy::unwrap_used, reason = "a test may end there")]

mod handshake;
mod ratchet;
mod session;
mod support;
mod vectors;
