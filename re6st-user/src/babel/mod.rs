//! Babel, the routing protocol (RFC 8966): pure. Time, randomness and packets come in as arguments, packets and routes go
//! out as values; sockets, clocks and the kernel are `io`'s.

pub mod message;
pub mod quantities;
