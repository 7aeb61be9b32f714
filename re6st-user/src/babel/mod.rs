//! Babel, the routing protocol (RFC 8966): pure. Time, randomness and packets come in as arguments, packets and routes go
//! out as values; sockets, clocks and the kernel are `io`'s.
//!
//! Machines that own what they know, from the top down; each uses only those below it, and tells what follows as values:
//!
//! - `speaker`: hands on what happens, and what follows from it
//! - `restart`, `request`, `announce`: what outlives a restart, who is asked for newer routes, who is told what and when
//! - `rib`: routes, and which is used (`rib/decide.rs`)
//! - `link`: interfaces and neighbours, and what links cost
//! - `wire`, `authentication`: packets

mod announce;
pub mod authentication;
mod context;
pub mod counters;
pub mod filter;
mod ids;
pub mod input;
pub mod limits;
mod link;
pub mod martian;
pub mod message;
pub mod origins;
pub mod output;
pub mod quantities;
pub mod random;
pub mod recording;
mod request;
mod restart;
mod rib;
pub mod settings;
pub mod speaker;
mod timers;
pub mod wire;

#[cfg(test)]
mod tests;
