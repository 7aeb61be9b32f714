//! One peer: its sessions, of which the newest that both ends can use carries all, and the tunnel that goes with it.
//!
//! Sessions are only carriers: several may be alive, whoever opened them. Of the two nodes the one with the lower name leads:
//! it uses the newest complete session, and the other one follows. So both soon use the same, also when both have called at
//! the same time; the older ones, and their GRE keys, are accepted until nothing has come for a while.

pub(super) use receive::Confirmed;

mod carrier;
mod credentials;
mod due;
mod message;
mod opening;
mod receive;
mod report;
mod tunnel;
mod turns;
mod unproven;

use std::net::{IpAddr, SocketAddr};

use carrier::{Carrier, Shown, Stage};
use opening::Opening;
use turns::Turns;
use unproven::Unproven;

use super::{
    context::Context,
    documents::Exchange,
    event::Event,
    input,
    output::{Closing, Output, Tunnel},
    path_mtu::{BASE, PathMtu},
    quality::{Meter, Probing},
    session::Session,
    wire::{Message, SessionIndex, message::CloseReason},
};
use crate::{
    certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey},
    rate::Bucket,
    time::Time,
};

/// Octets before and behind the plaintext of a transport packet.
const TRANSPORT: u16 = 16 + 16;

/// Octets of a datagram with its UDP and IP headers.
fn octets(address: SocketAddr, bytes: &[u8]) -> u64 {
    u64::from(headers(address)) + bytes.len() as u64
}

/// Octets of the UDP and IP headers of what is sent there.
fn headers(address: SocketAddr) -> u16 {
    match address.ip().to_canonical() {
        IpAddr::V4(_) => 28,
        IpAddr::V6(_) => 48,
    }
}

/// One peer.
pub(super) struct Peer {
    pub node: NodePrefix,
    pub configured: Option<input::Peer>,
    /// Known from the life before, and to be tried.
    pub restored: bool,
    /// The key that the registry says it has.
    published: Option<StaticPublicKey>,
    /// The key that it has shown itself, now or in the life before.
    shown_key: Option<StaticPublicKey>,
    /// What it has shown last, in whatever session.
    shown: Option<Shown>,
    /// Where it was heard last.
    address: Option<SocketAddr>,
    turns: Turns,
    /// It came before anything was sent to it: no firewall here keeps out what it sends, whatever the port.
    came_unasked: bool,
    /// Nothing has shown yet that it hears us there.
    unproven: Option<Unproven>,
    /// Our address that it sends to.
    local: Option<IpAddr>,
    /// Where it sees us.
    seen_at: Option<SocketAddr>,
    /// Oldest first.
    carriers: Vec<Carrier>,
    /// The one that carries all.
    current: Option<SessionIndex>,
    rekey_at: Time,
    opening: Opening,
    meter: Meter,
    path: PathMtu,
    /// As it was told last.
    tunnel: Option<Tunnel>,
    /// By the terms of which session.
    tunnel_by: Option<SessionIndex>,
    /// Changes of the tunnel that no session needs.
    tunnel_changes: Bucket,
    /// When the next of them is told.
    tunnel_at: Option<Time>,
    pub exchange: Exchange,
    have_at: Time,
    /// The peer is to be told where we see it.
    owes_seen_at: bool,
    nat_said: bool,
    last_handshake: Option<Time>,
    trouble: Option<String>,
    sent: u64,
    received: u64,
}

impl Peer {
    pub fn new(now: Time, node: NodePrefix, own: NodePrefix, link_mtu: u16) -> Self {
        Self {
            node,
            configured: None,
            restored: false,
            published: None,
            shown_key: None,
            shown: None,
            address: None,
            turns: Turns::default(),
            came_unasked: false,
            unproven: None,
            local: None,
            seen_at: None,
            carriers: Vec::new(),
            current: None,
            rekey_at: now,
            opening: Opening::default(),
            meter: Meter::new(now, own < node, Probing::default()),
            path: PathMtu::new(now, link_mtu),
            tunnel: None,
            tunnel_by: None,
            tunnel_changes: Bucket::NEW,
            tunnel_at: None,
            exchange: Exchange::default(),
            have_at: now,
            owes_seen_at: false,
            nat_said: false,
            last_handshake: None,
            trouble: None,
            sent: 0,
            received: 0,
        }
    }

    /// Nobody has named it, it has no session, and it is not tried any more.
    pub fn may_be_forgotten(&self) -> bool {
        self.configured.is_none() && self.carriers.is_empty() && !self.wants_session(Time(0))
    }

    /// Whether this is where packets to it go.
    pub fn is_at_ip(&self, address: IpAddr) -> bool {
        self.address
            .is_some_and(|at| at.ip().to_canonical() == address.to_canonical())
    }

    /// How many sessions there are.
    pub const fn sessions(&self) -> usize {
        self.carriers.len()
    }

    /// A new handshake at once.
    pub fn reconnect(&mut self, context: &mut Context<'_>) {
        self.open_anew(context);
        self.opening.forced = true;
    }

    /// A new handshake within a while, for there is a new certificate to show.
    pub fn renew(&mut self, context: &mut Context<'_>, within: std::time::Duration) {
        self.open_anew(context);
        if self.current.is_some() {
            self.opening.forced = true;
            let wait = context.about(within);
            self.opening.at = context.now() + wait;
        }
    }

    /// The data plane has no tunnel for it: with other keys there may be one.
    pub fn no_tunnel(&mut self, context: &mut Context<'_>, why: &str) {
        self.trouble = Some(format!("no tunnel: {why}"));
        self.opening.forced = true;
        let retry = context.settings.timers.retry_max;
        let wait = context.about(retry);
        self.opening.wait_for(context.now() + wait);
    }

    /// Our addresses or routes have changed.
    pub fn moved(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        (self.local, self.came_unasked) = (None, false);
        self.meter.suspect(now);
        self.path.suspect(now);
        if self.current.is_none() {
            self.opening.again(now);
        }
    }

    /// The largest packet of our own links is another one.
    pub fn set_link_mtu(&mut self, now: Time, mtu: u16) {
        self.path.set_upper(now, mtu);
    }

    fn carrier(&mut self, index: SessionIndex) -> Option<&mut Carrier> {
        let mut carriers = self.carriers.iter_mut();
        carriers.find(|it| it.session.index() == index)
    }

    fn current(&self) -> Option<&Carrier> {
        let index = self.current?;
        self.carriers.iter().find(|it| it.session.index() == index)
    }

    /// Of the two, it is for this node to choose the session.
    fn leads(&self, context: &Context<'_>) -> bool {
        context.own.node < self.node
    }

    /// A session that somebody has opened.
    fn add(&mut self, context: &mut Context<'_>, session: Session, shown: Shown, stage: Stage) {
        let now = context.now();
        let index = session.index();
        let Some(key) = context.keys.take(context.random) else {
            context.indexes.give_back(index);
            context.counters.no_tunnel_index += 1;
            let text = "no GRE key is free".to_owned();
            if self.trouble.as_ref() != Some(&text) {
                self.trouble = Some(text);
                context.event(Event::NoTunnelIndex(self.node));
            }
            return;
        };
        self.shown_key = shown.certificate.static_key().or(self.shown_key);
        self.shown = Some(shown.clone());
        self.carriers
            .push(Carrier::new(now, session, shown, key, stage));
        while self.carriers.len() > context.settings.limits.sessions.max(2) {
            let mut carriers = self.carriers.iter();
            let oldest = carriers.position(|it| Some(it.session.index()) != self.current);
            let Some(oldest) = oldest else { break };
            context.counters.excess_sessions += 1;
            self.drop_carrier(context, oldest);
        }
    }

    fn drop_carrier(&mut self, context: &mut Context<'_>, at: usize) {
        let carrier = self.carriers.remove(at);
        let index = carrier.session.index();
        context.keys.give_back(carrier.key);
        context.indexes.give_back(index);
        if self.current == Some(index) {
            self.current = None;
        }
    }

    /// All that has changed since is told: sessions to use, the tunnel.
    fn settle(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        for at in 0..self.carriers.len() {
            let Some(carrier) = self.carriers.get_mut(at) else {
                break;
            };
            if carrier.complete_at.is_none() && carrier.is_complete() {
                carrier.complete_at = Some(now);
                context.counters.sessions_completed += 1;
                self.last_handshake = Some(now);
            }
        }
        self.drop_former_keys(context);
        let best = self.best(context);
        if best.is_some() && best != self.current {
            self.use_carrier(context, best);
        }
        self.update_tunnel(context);
    }

    /// The session to use.
    fn best(&self, context: &Context<'_>) -> Option<SessionIndex> {
        let complete = || self.carriers.iter().filter(|it| it.complete_at.is_some());
        let newest = complete().max_by_key(|it| it.complete_at);
        let chosen = match self.leads(context) {
            true => newest,
            false => {
                let last = |it: &&Carrier| it.used.map(|(_, last)| last);
                let first = |it: &&Carrier| it.used.map(|(first, _)| first);
                // a session that it has gone to is not left for one that it still used a moment ago
                let latest = complete().filter(|it| it.used.is_some()).max_by_key(first);
                let steady = complete().filter(|it| it.used.is_some()).max_by_key(last);
                match (latest, steady) {
                    (Some(latest), Some(steady)) => {
                        let gap = last(&steady)
                            .zip(last(&latest))
                            .map(|(steady, latest)| steady.since(latest));
                        let left = gap.is_some_and(|gap| gap >= std::time::Duration::from_secs(1));
                        Some(if left { steady } else { latest })
                    }
                    _ => self.current().or(newest),
                }
            }
        };
        chosen.map(|it| it.session.index())
    }

    fn use_carrier(&mut self, context: &mut Context<'_>, index: Option<SessionIndex>) {
        let now = context.now();
        if let Some(before) = self.current.and_then(|before| self.carrier(before)) {
            before.current_until = now;
        }
        let first = self.current.is_none();
        self.current = index;
        let Some((ours, created, post_quantum)) = self.current().map(|it| {
            (
                it.is_ours(),
                it.session.created(),
                it.session.is_post_quantum(),
            )
        }) else {
            return;
        };
        self.opened(context);
        let timers = context.settings.timers;
        let age = match ours {
            true => timers.rekey,
            false => timers.rekey + timers.rekey_other,
        };
        self.rekey_at = created + age;
        // whoever cannot make a tunnel of this session says so again
        self.trouble = None;
        if first {
            self.meter.heard(now);
            self.exchange.look_for_successions();
            self.owes_seen_at = true;
            self.have_at = now;
            if let Some(address) = self.address {
                context.event(Event::Connected {
                    peer: self.node,
                    address,
                    post_quantum,
                });
            }
        }
        // it shows the peer which session is used
        self.meter.suspect(now);
    }

    fn transmit(
        &mut self,
        context: &mut Context<'_>,
        to: SocketAddr,
        from: Option<IpAddr>,
        bytes: Vec<u8>,
    ) {
        context.counters.datagrams_sent += 1;
        self.sent += octets(to, &bytes);
        if self.address == Some(to)
            && let Some(unproven) = &mut self.unproven
        {
            unproven.sent += octets(to, &bytes);
        }
        context.outputs.push(Output::Send { to, from, bytes });
    }

    /// Seals and sends, in this session.
    fn send(&mut self, context: &mut Context<'_>, index: SessionIndex, plaintext: &[u8]) {
        let now = context.now();
        let Some(to) = self.address else {
            return;
        };
        let Some(carrier) = self.carrier(index) else {
            return;
        };
        // a session that seals no more is dropped when it is looked at next
        if let Ok(packet) = carrier.session.seal(now, plaintext) {
            let from = self.local;
            self.transmit(context, to, from, packet);
        }
    }

    /// Sends messages in the session that is used.
    fn say(&mut self, context: &mut Context<'_>, messages: &[Message<'_>]) {
        if let Some(index) = self.current {
            let mut plaintext = Vec::new();
            for message in messages {
                message.encode(&mut plaintext);
            }
            self.send(context, index, &plaintext);
        }
    }

    /// A packet with any plaintext, in the session that is used.
    #[cfg(test)]
    pub fn forge(&mut self, now: Time, plaintext: &[u8]) -> Option<Vec<u8>> {
        let carrier = self.current.and_then(|index| self.carrier(index))?;
        carrier.session.seal(now, plaintext).ok()
    }

    /// A packet of Babel.
    pub fn babel(&mut self, context: &mut Context<'_>, unicast: bool, packet: &[u8]) {
        let Some(address) = self.address.filter(|_| self.current.is_some()) else {
            context.counters.babel_without_channel += 1;
            return;
        };
        let room = self.path.size().max(BASE) - headers(address) - TRANSPORT - 4;
        if packet.len() > usize::from(room) {
            context.counters.babel_too_large += 1;
            return;
        }
        self.say(context, &[Message::Babel { unicast, packet }]);
    }

    /// Begins to fetch what it has and we lack.
    pub fn fetch(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        while self.current.is_some()
            && let Some(wanted) = context.documents.wants_of(now, &self.exchange)
        {
            let step = context
                .documents
                .fetch(now, self.node, &mut self.exchange, wanted);
            self.document_step(context, step);
        }
    }

    /// Our documents are others.
    pub const fn tell_have(&mut self, now: Time) {
        self.have_at = now;
    }

    /// The session in use does without ML-KEM.
    pub fn lacks_post_quantum(&self) -> bool {
        self.carriers.iter().any(|it| !it.session.is_post_quantum())
    }

    /// Ends all sessions, and tells the peer.
    pub fn close(&mut self, context: &mut Context<'_>, why: Closing) {
        let newest = self.current.or_else(|| {
            let newest = self.carriers.last();
            newest.map(|it| it.session.index())
        });
        if let Some(index) = newest {
            self.tell_closing(context, index, &why);
        }
        self.end(context, why);
    }

    /// Ends all sessions.
    fn end(&mut self, context: &mut Context<'_>, why: Closing) {
        let now = context.now();
        while !self.carriers.is_empty() {
            self.drop_carrier(context, 0);
        }
        self.current = None;
        self.open_anew(context);
        self.opening.forced = false;
        context.documents.forget(self.node);
        self.exchange = Exchange::default();
        self.unproven = None;
        self.tunnel_at = None;
        self.path.forget_way(now);
        self.meter = Meter::new(now, self.leads(context), Probing::default());
        self.trouble = Some(why.to_string());
        // whoever refuses us before there is a tunnel says why
        let refused = matches!(why, Closing::Told { .. });
        if self.tunnel.take().is_some() || refused {
            let (peer, told) = (self.node, why.clone());
            context.outputs.push(Output::Closed { peer, why });
            context.event(Event::Closed { peer, why: told });
        }
    }
}

impl Closing {
    /// What the peer is told; nothing if it would not hear it.
    fn told(&self) -> Option<(CloseReason, &'static str)> {
        Some(match self {
            Self::Silent | Self::Told { .. } => return None,
            Self::NotWanted => (
                CloseReason::NotWanted,
                "you are not in the configuration of this node any more",
            ),
            Self::NotNeeded => (
                CloseReason::NotNeeded,
                "this node has no use for the tunnel any more",
            ),
            Self::Full => (CloseReason::Full, "this node serves enough others"),
            Self::ShutDown => (CloseReason::ShutDown, "the node is shut down"),
            Self::Revoked => (CloseReason::Revoked, "your certificate is revoked"),
            Self::Expired => (
                CloseReason::Expired,
                "your certificate is not valid at this time; is the clock right?",
            ),
            Self::NotTrusted => (
                CloseReason::NotAuthorised,
                "your certificate is not of an authority that is trusted here",
            ),
            Self::PostQuantum => (
                CloseReason::NotAuthorised,
                "post-quantum keys are required here",
            ),
            Self::OwnName => (CloseReason::NotAuthorised, "you have the name of this node"),
            Self::OtherKey => (
                CloseReason::NotAuthorised,
                "another key than yours is wanted here",
            ),
        })
    }
}
