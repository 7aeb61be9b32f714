//! The secure channel between two certified nodes: who the other is, keys, and messages under them. Pure: no clock, no
//! socket, no thread; time and randomness are arguments. (ML-KEM takes the operating system's randomness, inside the
//! cryptographic library.) `docs/protocol.md` describes every octet, state and timer.
//!
//! [`Channels`] has all of a node. What happens is an [`Input`], what is to be done an [`Output`].
//!
//! | module | concern |
//! |---|---|
//! | [`input`], [`output`], [`event`], [`report`] | what is told to the engine, and what it tells |
//! | [`settings`], [`counters`], [`refusal`] | times and limits; what is counted; why somebody is refused |
//! | [`engine`] | all channels of a node: who a packet belongs to, who is let in |
//! | `call`, `called` | an initiation of ours on its way; where such went lately |
//! | `probes` | how far nodes are without a session |
//! | `peer` | one peer: its handshakes, sessions, tunnel |
//! | `documents` | signed documents that go from node to node |
//! | [`quality`] | round trip, loss both ways, and whether the peer is there |
//! | [`path_mtu`] | the largest packet that reaches it |
//! | [`wire`] | packets, items, messages |
//! | [`identity`] | what a node shows and proves |
//! | [`handshake`] | Noise IK with certificates in its payloads; one packet each way |
//! | [`post_quantum`] | ML-KEM-768 inside the channel |
//! | [`session`] | sealing and opening transport packets: epochs, ratchet, replay window, limits |

mod call;
mod called;
mod context;
pub mod counters;
mod documents;
pub mod engine;
mod epochs;
pub mod event;
mod gre_keys;
pub mod handshake;
pub mod identity;
pub mod input;
mod keys;
mod noise;
pub mod output;
mod own;
pub mod path_mtu;
mod peer;
pub mod post_quantum;
mod probes;
pub mod quality;
pub mod refusal;
pub mod report;
mod schedule;
pub mod session;
pub mod settings;
mod sources;
mod window;
pub mod wire;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use engine::Channels;
pub use event::Event;
pub use input::{ChannelCredentials, Held, Input, Peer};
pub use output::{Closing, Output, Quality, Tunnel};
pub use report::{OpenedBy, PeerReport, PeerState};
pub use settings::Settings;

pub use crate::registry::documents::PostQuantum;

/// A source of randomness good enough for keys: fills what it is given.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Octets of a packet of Babel that fits in one datagram on every path: 1,280 less IPv6 and UDP (48), a transport packet's
/// header and tag (32) and the message's header (4).
pub const MAX_BABEL_PACKET: usize = 1_280 - 48 - 32 - 4;
