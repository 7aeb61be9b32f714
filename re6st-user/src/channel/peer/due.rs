//! What is due for a peer.

use super::{
    Peer,
    carrier::{Carrier, Stage},
};
use crate::{
    channel::{
        context::Context,
        event::Event,
        output::{Closing, Output},
        settings::Timers,
        wire::{Message, SessionIndex},
    },
    time::Time,
};

/// Octets of the small packet that goes beside a large one: those of a path probe alone.
const SMALL: u16 = 0;

/// When a session is dropped, as things stand.
fn dropped_at(carrier: &Carrier, current: Option<SessionIndex>, timers: &Timers) -> Option<Time> {
    let index = carrier.session.index();
    match (carrier.complete_at, current) {
        (None, _) => Some(carrier.session.created() + timers.completion),
        (Some(_), Some(current)) if current != index => Some(carrier.idle_since() + timers.overlap),
        _ => None,
    }
}

impl Peer {
    /// Does what is due.
    pub(in crate::channel) fn time_out(&mut self, context: &mut Context<'_>) {
        self.drop_old(context);
        self.repeat(context);
        self.probe_peer(context);
        self.probe_path(context);
        self.tell(context);
        self.open(context);
        self.settle(context);
        self.report_quality(context);
    }

    /// When something is due next.
    pub(in crate::channel) fn deadline(&self, timers: &Timers) -> Option<Time> {
        let mut at: Option<Time> = None;
        let mut by = |time: Time| at = Some(at.map_or(time, |at| at.min(time)));
        if let Some(time) = self.tunnel_at {
            by(time);
        }
        for carrier in &self.carriers {
            if let Some(time) = dropped_at(carrier, self.current, timers) {
                by(time);
            }
            if carrier.repeats() {
                by(carrier.repeat.at);
            }
            if let Some(time) = carrier.session.next_deadline() {
                by(time);
            }
        }
        if self.current.is_some() {
            by(self.meter.deadline());
            match &self.unproven {
                Some(unproven) => by(unproven.repeat.at),
                None => by(self.path.deadline()),
            }
            by(self.have_at);
            match self.opening.forced || self.meter.unresponsive_since().is_some() {
                true => by(self.opening.at),
                false => by(self.opening.at.max(self.rekey_at)),
            }
        } else if self.wants_session(Time(0)) {
            by(self.opening.at);
        }
        at
    }

    /// Sessions that serve nobody, or may not serve any more.
    fn drop_old(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        let connected = self.current.is_some();
        let mut at = 0;
        while let Some(carrier) = self.carriers.get_mut(at) {
            carrier.session.erase(now);
            let over = dropped_at(carrier, self.current, &context.settings.timers);
            let incomplete = carrier.complete_at.is_none();
            if over.is_some_and(|over| over <= now) || carrier.session.is_dead(now) {
                context.counters.incomplete_sessions += u64::from(incomplete);
                self.drop_carrier(context, at);
            } else {
                at += 1;
            }
        }
        let silent = self.meter.unresponsive_since();
        let silent = silent.is_some_and(|since| now.since(since) >= context.settings.timers.dead);
        if connected && silent {
            context.counters.silent_peers += 1;
            return self.end(context, Closing::Silent);
        }
        if connected && self.current.is_none() {
            self.settle(context);
            if self.current.is_none() {
                context.counters.silent_peers += 1;
                self.end(context, Closing::Silent);
            }
        }
        if !connected && self.carriers.is_empty() && self.tunnel.is_some() {
            // it was announced to the data plane, but never completed
            self.end(context, Closing::Silent);
        }
    }

    /// What was not answered is said again.
    pub(super) fn repeat(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        self.update_tunnel(context);
        for at in 0..self.carriers.len() {
            let Some(carrier) = self.carriers.get(at) else {
                break;
            };
            if !carrier.repeats() || carrier.repeat.at > now {
                continue;
            }
            let index = carrier.session.index();
            let mut plaintext = Vec::new();
            match &carrier.stage {
                // first the terms, so that the tunnel is open when the ciphertext comes
                Stage::AwaitsCiphertext(pair) => {
                    let key = pair.encapsulation_key();
                    Message::Tunnel(self.own_terms(context, carrier)).encode(&mut plaintext);
                    Message::EncapsulationKey(key).encode(&mut plaintext);
                }
                _ => Message::Tunnel(self.own_terms(context, carrier)).encode(&mut plaintext),
            }
            if let Some(carrier) = self.carrier(index) {
                carrier.repeat.said(now);
            }
            self.send(context, index, &plaintext);
        }
    }

    fn probe_peer(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if self.current.is_none() {
            return;
        }
        let due = self.meter.time_out(now);
        if due.fell_silent {
            context.counters.unresponsive_peers += 1;
            context.event(Event::Unresponsive(self.node));
            self.opening.again(now);
        }
        if due.probe {
            context.counters.probes_sent += 1;
            let mut plaintext = Vec::new();
            Message::Probe(self.meter.probed(now)).encode(&mut plaintext);
            self.put_receipt(now, &mut plaintext);
            if let Some(index) = self.current {
                self.send(context, index, &plaintext);
            }
        }
    }

    fn probe_path(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        let Some(index) = self.current else {
            return;
        };
        // nothing large goes where the peer may not be
        if let Some(unproven) = &mut self.unproven {
            if unproven.repeat.at <= now {
                unproven.repeat.said(now);
                let (id, size) = (unproven.proof, SMALL);
                self.say(context, &[Message::PathProbe { id, size }]);
            }
            return;
        }
        let probe = self
            .path
            .time_out(now, self.meter.patience(), &mut *context.random);
        if let Some(size) = self.path.take_black_hole() {
            context.counters.black_holes += 1;
            let peer = self.node;
            context.event(Event::BlackHole { peer, size });
        }
        let Some(probe) = probe else {
            return;
        };
        let mut small = Vec::new();
        Message::PathProbe {
            id: probe.small,
            size: SMALL,
        }
        .encode(&mut small);
        self.send(context, index, &small);
        if let Some(large) = self.path_probe(probe.large, probe.size) {
            self.send(context, index, &large);
        }
    }

    /// What the peer should know of us.
    fn tell(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if self.current.is_none() {
            return;
        }
        if now >= self.have_at {
            self.have_at = now + context.settings.timers.have;
            let [parameters, revocations] = context.documents.numbers();
            let mut messages = vec![Message::Have {
                parameters,
                revocations,
            }];
            messages.extend(self.address.map(Message::SeenAt));
            self.owes_seen_at = false;
            self.say(context, &messages);
        } else if std::mem::take(&mut self.owes_seen_at)
            && let Some(address) = self.address
        {
            self.say(context, &[Message::SeenAt(address)]);
        }
    }

    fn report_quality(&mut self, context: &mut Context<'_>) {
        if self.current.is_none() {
            return;
        }
        if let Some(quality) = self.meter.report(context.now()) {
            let peer = self.node;
            context.outputs.push(Output::Quality { peer, quality });
        }
    }
}
