//! Handshake and session together, and against vectors that other code has made.

mod handshake;
mod ratchet;
mod session;
mod support;
mod vectors;
