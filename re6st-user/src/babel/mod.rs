//! Babel, the routing protocol (RFC 8966): pure. Time, randomness and packets come in as arguments, packets and routes go
//! out as values; sockets, clocks and the kernel are `io`'s.

pub mod authentication;
pub mod counters;
pub mod filter;
pub mod input;
pub mod limits;
pub mod message;
pub mod output;
pub mod quantities;
pub mod random;
pub mod settings;
pub mod speaker;
pub mod time;
pub mod wire;
