//! A peer's line of `status peers`.

use super::Peer;
use crate::{
    certificate::node::NodeCertificate,
    channel::{
        event::two_places,
        report::{OpenedBy, PeerReport, PeerState},
    },
    time::Time,
};

impl Peer {
    /// What people are shown.
    pub(in crate::channel) fn report(&self, now: Time) -> PeerReport {
        let current = self.current();
        let state = match current {
            Some(_) if self.meter.unresponsive_since().is_some() => PeerState::Unresponsive,
            Some(_) => PeerState::Connected,
            None if self.key_to_call().is_none() && self.opening.is_under_way() => PeerState::NoKey,
            None if self.opening.is_under_way() || !self.carriers.is_empty() => PeerState::Opening,
            None => PeerState::Waiting,
        };
        let turns = self.turns.places(now).map(two_places);
        let why = turns
            .or_else(|| self.trouble.clone())
            .or_else(|| self.waits_for(state));
        PeerReport {
            peer: self.node.common_name(),
            configured: self.configured.is_some(),
            address: self.address.or_else(|| self.call_addresses().next()),
            seen_at: self.seen_at,
            state,
            why,
            opened_by: self.opened_by(),
            certificate_expires: self.certificate().map(NodeCertificate::not_after),
            last_handshake: self.last_handshake.map(|at| now.since(at)),
            key_age: current.map(|it| now.since(it.session.created())),
            quality: current.map(|_| self.meter.quality()),
            sent: self.sent,
            received: self.received,
            path_mtu: current.map(|_| self.path.size()),
            tunnel_mtu: self.tunnel.as_ref().map(|tunnel| tunnel.mtu),
            post_quantum: current.map(|it| it.session.is_post_quantum()),
            payload_encrypted: false,
            nat: self.tunnel.as_ref().is_some_and(|it| it.nat),
        }
    }

    /// Who has opened the session that the tunnel is of.
    pub(in crate::channel) fn opened_by(&self) -> Option<OpenedBy> {
        self.tunnel_carrier().map(|it| match it.is_ours() {
            true => OpenedBy::Us,
            false => OpenedBy::Peer,
        })
    }

    /// Where it sees us, if there is a session.
    pub(in crate::channel) fn seen_at(&self) -> Option<std::net::SocketAddr> {
        self.current().and(self.seen_at)
    }

    fn waits_for(&self, state: PeerState) -> Option<String> {
        let text = match state {
            PeerState::Waiting => "the configuration has no address for it: it has to come",
            PeerState::NoKey => "nobody has said what its key is so far",
            PeerState::Opening if self.opening.tries > 3 => {
                "it does not answer: is that its address, and does UDP get through?"
            }
            PeerState::Unresponsive => "it does not answer probes",
            _ => return None,
        };
        Some(text.to_owned())
    }
}
