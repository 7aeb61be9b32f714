//! Traffic between hosts, and what became of it.

mod capture;
mod path;
mod tcp;
mod udp;
mod wire;

pub use capture::{Capture, Direction};
pub use path::{Ping, ping, traceroute};
pub use tcp::{TcpTransfer, transfer};
pub use udp::{Datagrams, UdpStream};
pub use wire::{Datagram, Forger, Recorder};

/// A stream of bytes that looks random and can be made again anywhere in it.
///
/// Comparing what arrives with what must have been sent says more than a checksum would: that, and where they differ.
#[derive(Clone, Copy, Debug)]
struct Content {
    seed: u64,
}

impl Content {
    /// Bytes from `position` on, which is a multiple of eight.
    fn fill(self, position: u64, buffer: &mut [u8]) {
        for (index, chunk) in buffer.chunks_mut(8).enumerate() {
            let word = self.word(position / 8 + index as u64).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// SplitMix64's output function: any two words have nothing to do with each other.
    fn word(self, index: u64) -> u64 {
        let mut word = (self.seed ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
