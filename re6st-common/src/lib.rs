//! What the programs in the kernel and the controller in userspace share.
//!
//! The packet logic lives here, once: [`decide`] reads a frame and says what becomes of it, [`apply`] rewrites it. Both
//! are generic over [`packet::Packet`] (where the bytes are) and [`tables::Tables`] (where the routes are), so the very
//! code that runs in XDP also runs, is tested and is fuzzed on the host.
//!
//! | module | concern |
//! |---|---|
//! | [`wire`] | Ethernet, IPv4, IPv6, UDP and GRE headers, byte by byte |
//! | [`address`] | one 128-bit address type for both families |
//! | [`maps`] | keys and values of the BPF maps, a user interface through bpftool |
//! | [`reason`] | why a packet was not simply forwarded: the names of the counters |
//! | [`packet`], [`tables`] | the two traits the logic is generic over |
//! | [`parse`], [`ecn`] | frame to description |
//! | [`decide`], [`guard`] | description to decision |
//! | [`apply`] | decision to new bytes |
//! | [`encapsulation`] | the outer headers |
//! | [`handshake`] | the head of a secure channel's first packet: MAC and cookie |
//! | [`admission`] | which of those packets reach the controller |

#![cfg_attr(not(any(test, feature = "user")), no_std)]

pub mod address;
pub mod admission;
pub mod apply;
pub mod checksum;
pub mod decide;
pub mod ecn;
pub mod encapsulation;
pub mod guard;
pub mod handshake;
pub mod maps;
pub mod packet;
pub mod parse;
pub mod reason;
pub mod tables;
pub mod wire;
