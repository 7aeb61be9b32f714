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
//! | [`quality`] | round trip, loss both ways, and whether the peer is there |
//! | [`path_mtu`] | the largest packet that reaches it |
//! | [`wire`] | packets, items, messages |
//! | [`identity`] | what a node shows and proves |
//! | [`handshake`] | Noise IK with certificates in its payloads; one packet each way |
//! | [`post_quantum`] | ML-KEM-768 inside the channel |
//! | [`session`] | sealing and opening transport packets: epochs, ratchet, replay window, limits |

pub mod counters;
mod epochs;
pub mod event;
pub mod handshake;
pub mod identity;
pub mod input;
mod keys;
mod noise;
pub mod output;
pub mod path_mtu;
pub mod post_quantum;
pub mod quality;
pub mod refusal;
pub mod report;
pub mod session;
pub mod settings;
mod window;
pub mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use counters::Counters;
pub use event::Event;
pub use input::{ChannelCredentials, Held, Input, Peer};
pub use output::{Closing, Output, Quality, Tunnel};
pub use report::{OpenedBy, PeerReport, PeerState};
pub use settings::Settings;
pub use wire::PostQuantum as Policy;

use crate::{
    certificate::node_prefix::NodePrefix,
    time::{Now, Time},
};

/// A source of randomness good enough for keys: fills what it is given.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Octets of a packet of Babel that fits in one datagram on every path: 1,280 less IPv6 and UDP (48), a transport packet's
/// header and tag (32) and the message's header (4).
pub const MAX_BABEL_PACKET: usize = 1_280 - 48 - 32 - 4;

/// All channels of a node.
#[derive(Debug)]
pub struct Channels {
    settings: Settings,
    counters: Counters,
    credentials: Option<Box<ChannelCredentials>>,
    policy: Policy,
    held: Held,
    /// Of the configuration.
    configured: BTreeMap<NodePrefix, Peer>,
}

impl Channels {
    /// No channels, and nobody to have one with.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            counters: Counters::default(),
            credentials: None,
            policy: Policy::default(),
            held: Held::default(),
            configured: BTreeMap::new(),
        }
    }

    /// Takes what happens, and says what is to be done.
    pub fn handle(
        &mut self,
        _now: Now,
        input: Input<'_>,
        _random: Random<'_>,
        outputs: &mut Vec<Output>,
    ) {
        match input {
            Input::Credentials(credentials) => self.credentials = Some(credentials),
            Input::PostQuantum(policy) => self.policy = policy,
            Input::Held(held) => self.held = held,
            Input::LinkMtu(mtu) => self.settings.link_mtu = mtu,
            Input::Peers(peers) => {
                self.configured = peers.into_iter().map(|peer| (peer.node, peer)).collect();
                let own = self
                    .credentials
                    .as_ref()
                    .map(|own| own.certificate.prefix());
                if own.is_some_and(|own| self.configured.remove(&own).is_some()) {
                    outputs.push(Output::Event(Event::OwnName));
                }
            }
            Input::Datagram { .. } if self.credentials.is_none() => {
                self.counters.no_credentials += 1;
            }
            _ => {}
        }
    }

    /// When [`Self::handle`] is to be called at the latest, with [`Input::Time`] if nothing else happens.
    pub const fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// A line for each peer, by name.
    pub fn peers(&self, _now: Now) -> Vec<PeerReport> {
        Vec::new()
    }

    /// How often what happened.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
