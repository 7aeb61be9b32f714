//! The wire format of the secure channel: packets ([`packet`]), what the handshake's payloads are made of ([`item`]), and the
//! messages inside transport packets ([`message`]). `docs/protocol.md` describes every octet. All integers are big-endian.
//!
//! Whatever comes in, nothing here panics, and nothing is kept that is longer than the packet it came in.

pub mod item;
pub mod message;
pub mod packet;

#[cfg(test)]
mod tests;

pub use item::{Features, Offer};
pub use message::{Message, Messages};
pub use packet::{PacketError, PacketKind, SessionIndex};
