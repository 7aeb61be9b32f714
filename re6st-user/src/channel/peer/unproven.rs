//! An address that the peer's packets come from, while nothing has shown that ours reach it there: whoever can send with a
//! forged source could have others sent what it asks for (RFC 9000, sections 8.2 and 9.3).

use super::carrier::Repeat;
use crate::channel::context::Context;

/// Octets that are answered, for each that came from there.
const AMPLIFICATION: u64 = 3;

/// What is known of such an address.
pub(super) struct Unproven {
    /// The identifier of the path probe whose reply is the proof.
    pub proof: u32,
    /// When it is asked again.
    pub repeat: Repeat,
    /// Octets from there.
    pub received: u64,
    /// Octets sent there.
    pub sent: u64,
}

impl Unproven {
    pub fn new(context: &mut Context<'_>) -> Self {
        let mut proof = [0; 4];
        (context.random)(&mut proof);
        Self {
            proof: u32::from_be_bytes(proof),
            repeat: Repeat::new(context.now()),
            received: 0,
            sent: 0,
        }
    }

    /// Whether so many octets more may be answered.
    pub const fn allows(&self, octets: u64) -> bool {
        self.sent.saturating_add(octets) <= self.received.saturating_mul(AMPLIFICATION)
    }
}
