//! The secure channel between two certified nodes: who the other is, keys, and messages under them. Pure: no clock, no
//! socket, no thread; time and randomness are arguments. (ML-KEM takes the operating system's randomness, inside the
//! cryptographic library.) `docs/protocol.md` describes every octet, state and timer.
//!
//! | module | concern |
//! |---|---|
//! | [`wire`] | packets, items, messages |
//! | [`identity`] | what a node shows and proves |
//! | [`handshake`] | Noise IK with certificates in its payloads; one packet each way |
//! | [`post_quantum`] | ML-KEM-768 inside the channel |
//! | [`session`] | sealing and opening transport packets: epochs, ratchet, replay window, limits |

pub mod handshake;
pub mod identity;
mod keys;
mod noise;
pub mod post_quantum;
pub mod session;
mod window;
pub mod wire;

/// A source of randomness good enough for keys: fills what it is given.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);
