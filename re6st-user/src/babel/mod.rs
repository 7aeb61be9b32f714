//! Babel, the routing protocol (RFC 8966): pure. Time, randomness and packets come in as arguments, packets and routes go
//! out as values; sockets, clocks and the kernel are `io`'s.

pub mod authentication;
pub mod counters;
mod digest;
pub mod filter;
pub mod input;
mod interface;
pub mod limits;
mod links;
pub mod martian;
pub mod message;
mod neighbour;
mod outbox;
pub mod output;
mod path_mtu;
mod probing;
pub mod quantities;
pub mod random;
mod receive;
pub mod recording;
mod requests;
mod restart;
mod routes;
mod rtt;
mod selection;
pub mod settings;
mod snapshot;
pub mod speaker;
mod table;
mod timers;
mod updates;
pub mod wire;

#[cfg(test)]
mod tests;
