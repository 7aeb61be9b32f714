//! A model of the data plane, written from ARCHITECTURE.md and the RFCs alone.
//!
//! It shares nothing with the packet logic of `re6st_common` but the types of the map values and the names of the
//! reasons: plain slices, plain lists, a linear scan for routes. Where the loaded programs and this model disagree, one
//! of the two is wrong.
//!
//! | module | concern |
//! |---|---|
//! | [`world`] | what the model knows: routes, tunnels, interfaces, the kernel's routes |
//! | [`header`] | reading headers |
//! | [`rules`] | which addresses are acceptable, ECN, checksums |
//! | [`receive`] | XDP |
//! | [`transmit`] | a packet into a tunnel, to a neighbour, to the kernel |
//! | [`host`] | the TC programs: what this host sends and forwards |
//! | [`image`] | a world as the contents of the maps |

pub mod header;
pub mod host;
pub mod image;
pub mod receive;
pub mod rules;
pub mod transmit;
pub mod world;

use re6st_common::reason::Reason;

/// What the network or the kernel gets to see of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Up to the kernel.
    Pass,
    /// Gone.
    Drop,
    /// Out of an interface.
    Redirect(u32),
}

/// Bits of a sent frame that carry the flow's hash. How it is computed is the program's own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowBits {
    /// Offset of the first byte in the frame.
    pub offset: usize,
    /// The bits, of as many bytes as there are.
    pub mask: [u8; 3],
}

/// What one packet adds to one side of an entry of TUNNEL_COUNTERS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The next hop's number.
    pub next_hop: u32,
    /// Bytes of the inner packet.
    pub bytes: u64,
}

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where it goes.
    pub verdict: Verdict,
    /// Why it was not simply forwarded; none if it was.
    pub reason: Option<Reason>,
    /// Its bytes afterwards; those it had if it was dropped.
    pub bytes: Vec<u8>,
    /// Which bits of `bytes` the program may choose.
    pub flow: Vec<FlowBits>,
    /// What the peer it came from gets counted.
    pub received: Option<Traffic>,
    /// What the peer it went to gets counted.
    pub sent: Option<Traffic>,
}

impl Outcome {
    /// A frame that stays as it is.
    pub(crate) fn untouched(frame: &[u8], verdict: Verdict, reason: Reason) -> Self {
        Self {
            verdict,
            reason: Some(reason),
            bytes: frame.to_vec(),
            flow: Vec::new(),
            received: None,
            sent: None,
        }
    }

    /// The bytes with the bits of the flow's hash cleared, for comparing. Another frame's bytes may be given.
    pub fn without_flow(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for bits in &self.flow {
            for (byte, mask) in bytes.iter_mut().skip(bits.offset).zip(bits.mask) {
                *byte &= !mask;
            }
        }
        bytes
    }
}
