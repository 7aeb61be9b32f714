//! The wire format: RFC 8966 section 4, with source prefixes (RFC 9079), IPv4 via IPv6 (RFC 9229), timestamps (RFC 9616),
//! the TLVs of authentication (RFC 8967) and our own (see [`Message`](super::message::Message)).
//!
//! ```text
//! magic 42 | version 2 | body length (2 octets) | body: TLVs | trailer: TLVs
//! TLV: type | length of what follows | fixed part | sub-TLVs        (Pad1 is its type alone)
//! ```
//!
//! Reading: [`decode`] gives the messages of a packet one by one, with the parser's state undone. Writing:
//! [`PacketWriter`]. What authentication needs, without looking at messages: [`PacketParts`].

mod address;
mod decode;
mod encode;
mod frame;
mod ignored;
mod prefix;
mod reader;
mod state;
mod sub_tlv;
mod tlv;
mod writer;

#[cfg(test)]
pub(super) mod tests;

pub use decode::{Decoded, decode};
pub use frame::{Freshness, PacketError, PacketParts};
pub(super) use frame::{
    MAX_NONCE, append_mac, append_packet_counter, challenges, mac_tlv_length,
    packet_counter_tlv_length,
};
pub use ignored::{Ignored, IgnoredCounters};
pub use writer::{PacketWriter, PushError};
