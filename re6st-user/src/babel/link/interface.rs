//! The interface table (RFC 8966 section 3.2.2).

use super::quality::Quality;
use crate::babel::{
    limits::TokenBucket,
    quantities::SequenceNumber,
    settings::{InterfaceKind, InterfaceSettings},
    wire::PacketWriter,
};

/// New neighbours that are greeted a second, and at once.
const ARRIVALS_PER_SECOND: u32 = 16;
const ARRIVALS_AT_ONCE: u32 = 256;
/// Times that neighbours are greeted because they do not hear us, a second and at once.
const GREETINGS_PER_SECOND: u32 = 1;
const GREETINGS_AT_ONCE: u32 = 4;
/// Hellos that come quickly after a start or a new neighbour, so that both sides soon have heard enough.
pub const QUICK_HELLOS: u8 = 3;
/// Octets of IPv6 and UDP headers.
const HEADERS: usize = 48;
/// The smallest packet every speaker can receive (RFC 8966 section 4).
const LEAST_PACKET: usize = 512;
/// What every path of IPv6 takes (RFC 8200 section 5), also if the interface is a tunnel of others' making.
const LEAST_MTU: usize = 1280;
/// Octets of outer headers at most: IPv6, UDP, GRE with a key.
const OUTER_HEADERS: usize = 40 + 8 + 8;

/// An interface that Babel runs on.
#[derive(Debug)]
pub struct Interface {
    pub settings: InterfaceSettings,
    pub up: bool,
    /// Of the next multicast Hello.
    pub hello_number: SequenceNumber,
    /// How many of the next Hellos come quickly.
    pub quick_hellos: u8,
    /// How many of the next Hellos say that we forward as before a restart.
    pub continuing_hellos: u8,
    /// Counts Hellos, for what is said with every third only.
    pub hellos: u32,
    /// For neighbours to come.
    pub multiplier: u16,
    /// Of new neighbours.
    pub arrivals: TokenBucket,
    /// Of neighbours that do not hear us.
    pub greetings: TokenBucket,
    /// Large packets do not reach all neighbours.
    pub narrow: bool,
    /// As its channel says, if that measures it.
    pub quality: Quality,
}

impl Interface {
    pub fn new(settings: InterfaceSettings, hello_number: SequenceNumber) -> Self {
        Self {
            settings,
            up: true,
            hello_number,
            quick_hellos: QUICK_HELLOS,
            continuing_hellos: 0,
            hellos: 0,
            multiplier: 256,
            arrivals: TokenBucket::new(ARRIVALS_PER_SECOND, ARRIVALS_AT_ONCE),
            greetings: TokenBucket::new(GREETINGS_PER_SECOND, GREETINGS_AT_ONCE),
            narrow: false,
            quality: Quality::default(),
        }
    }

    /// An empty packet of the size that gets through.
    pub fn writer(&self) -> PacketWriter {
        match self.narrow {
            true => self.writer_of(LEAST_PACKET),
            false => self.large_writer(),
        }
    }

    /// An empty packet of the size that the interface takes (RFC 8966 section 4), and every path should.
    pub fn large_writer(&self) -> PacketWriter {
        let path = match self.settings.kind {
            InterfaceKind::Lan => LEAST_MTU,
            InterfaceKind::Tunnel => LEAST_MTU - OUTER_HEADERS,
        };
        let whole = path.min(self.settings.mtu as usize);
        self.writer_of(whole.saturating_sub(HEADERS).max(LEAST_PACKET))
    }

    fn writer_of(&self, octets: usize) -> PacketWriter {
        PacketWriter::new(
            octets.saturating_sub(self.settings.reserved),
            self.settings.link_local,
        )
    }
}
