//! What a peer says.

use super::{
    Peer, TRANSPORT,
    carrier::{Carrier, Repeat, Stage},
    headers,
};
use crate::{
    channel::{
        context::Context,
        output::Output,
        post_quantum::encapsulate,
        quality::Receipt,
        wire::{
            Message, SessionIndex,
            message::{CIPHERTEXT, DocumentKind, ENCAPSULATION_KEY, Encapsulation, TunnelTerms},
        },
    },
    time::Time,
};

/// Packets of Babel that are taken out of one packet.
const BABEL: u32 = 32;
/// Questions for documents of one packet that are answered.
const WANTS: u32 = 4;
/// Octets of the headers before a packet of the channel, at most.
const MAX_HEADERS: u16 = 48;

/// What becomes of the messages of a packet.
#[derive(Default)]
pub(super) struct Answer {
    pub messages: Vec<u8>,
    /// It is to hear our terms of the tunnel.
    pub terms: bool,
    /// What it said of the tunnel has been looked at in the middle of the packet.
    pub settled: bool,
    babel: u32,
    wants: u32,
}

impl Peer {
    /// Takes a message, and writes what is to be answered.
    pub(super) fn message(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        message: &Message<'_>,
        answer: &mut Answer,
    ) {
        let now = context.now();
        match *message {
            Message::Padding(_) | Message::Close { .. } => return,
            Message::EncapsulationKey(key) => return self.encapsulation_key(context, index, key),
            Message::Ciphertext(ciphertext) => return self.ciphertext(context, index, ciphertext),
            Message::Tunnel(terms) => return self.terms(context, index, terms, answer),
            Message::Unknown(_) => {
                context.counters.unknown_messages += 1;
                return;
            }
            _ => {}
        }
        if !self.leads(context)
            && let Some(carrier) = self.carrier(index)
        {
            carrier.uses(now);
        }
        match *message {
            Message::Babel { unicast, packet } => {
                self.babel_came(context, unicast, packet, answer);
            }
            Message::Probe(opaque) => self.probe(context, opaque, &mut answer.messages),
            Message::ProbeReply { echoed, waited } => self.meter.replied(now, echoed, waited),
            Message::Receipt(receipt) => self.receipt(index, receipt),
            Message::Have {
                parameters,
                revocations,
            } => self.have(parameters, revocations),
            Message::Want {
                kind,
                number,
                offset,
            } => {
                answer.wants += 1;
                match answer.wants > WANTS {
                    true => context.counters.excess_wants += 1,
                    false => self.want(context, index, kind, number, offset),
                }
            }
            Message::Piece { .. } => self.piece(context, message),
            Message::PathProbe { id, .. } => {
                Message::PathProbeReply { id }.encode(&mut answer.messages);
            }
            Message::PathProbeReply { id } => {
                if self.unproven.as_ref().is_some_and(|it| it.proof == id) {
                    self.unproven = None;
                }
                self.path.replied(now, id);
            }
            Message::SeenAt(seen) => self.is_seen_at(context, seen),
            _ => {}
        }
    }

    /// It says what it holds.
    fn have(&mut self, parameters: u64, revocations: u64) {
        if self.exchange.says([parameters, revocations]) {
            self.exchange.look_for_successions();
        }
    }

    fn encapsulation_key(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        key: &[u8; ENCAPSULATION_KEY],
    ) {
        let now = context.now();
        let (to, from) = (self.address, self.local);
        let Some(carrier) = self.carrier(index) else {
            return;
        };
        let packet = match &carrier.stage {
            // the same again: the answer was lost
            Stage::Answered(packet) => packet.clone(),
            Stage::AwaitsKey if carrier.session.is_post_quantum() => {
                match answer_key(carrier, now, key) {
                    Some(packet) => packet,
                    None => {
                        context.counters.bad_post_quantum += 1;
                        return;
                    }
                }
            }
            _ => {
                context.counters.unexpected_messages += 1;
                return;
            }
        };
        if let Some(to) = to {
            self.transmit(context, to, from, packet);
        }
    }

    fn ciphertext(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        ciphertext: &[u8; CIPHERTEXT],
    ) {
        let now = context.now();
        let Some(carrier) = self.carrier(index) else {
            return;
        };
        let Stage::AwaitsCiphertext(pair) = &carrier.stage else {
            context.counters.unexpected_messages += 1;
            return;
        };
        let mixed = pair
            .decapsulate(ciphertext)
            .ok()
            .and_then(|secret| carrier.session.mix(now, &secret).ok());
        if mixed.is_none() {
            context.counters.bad_post_quantum += 1;
            return;
        }
        carrier.stage = Stage::Ready;
        carrier.repeat = Repeat::new(now);
        self.repeat(context);
    }

    fn terms(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        terms: TunnelTerms,
        answer: &mut Answer,
    ) {
        let Some(carrier) = self.carrier(index) else {
            return;
        };
        if terms.encapsulation != Encapsulation::Fou {
            context.counters.unknown_messages += 1;
            return;
        }
        carrier.terms = Some(terms);
        carrier.has_ours |= terms.has_yours;
        carrier.terms_changed = false;
        answer.terms |= !terms.complete;
    }

    fn babel_came(
        &self,
        context: &mut Context<'_>,
        unicast: bool,
        packet: &[u8],
        answer: &mut Answer,
    ) {
        if self.tunnel.is_none() || packet.is_empty() {
            context.counters.unexpected_messages += 1;
            return;
        }
        answer.babel += 1;
        if answer.babel > BABEL {
            context.counters.excess_babel += 1;
            return;
        }
        context.outputs.push(Output::Babel {
            peer: self.node,
            to_group: !unicast,
            packet: packet.to_vec(),
        });
    }

    fn probe(&mut self, context: &mut Context<'_>, opaque: u64, answer: &mut Vec<u8>) {
        let now = context.now();
        context.counters.probes_received += 1;
        Message::ProbeReply {
            echoed: opaque,
            waited: 0,
        }
        .encode(answer);
        self.put_receipt(now, answer);
        if self.current.is_some() && self.meter.wants_sample(now) {
            context.counters.probes_sent += 1;
            Message::Probe(self.meter.probed(now)).encode(answer);
        }
    }

    /// Now and then a receipt goes along.
    pub(super) fn put_receipt(&mut self, now: Time, out: &mut Vec<u8>) {
        let receipt = self.current().map(|current| current.session.receipt());
        if let Some(receipt) = receipt.filter(|receipt| receipt.received > 0)
            && self.meter.takes_receipt(now)
        {
            Message::Receipt(receipt).encode(out);
        }
    }

    fn receipt(&mut self, index: SessionIndex, receipt: crate::channel::wire::message::Receipt) {
        let sealed = self.carrier(index).map_or(0, |it| it.session.sealed());
        // nobody has received what was not sent
        if receipt.highest < sealed && receipt.received <= sealed {
            self.meter.peer_received(Receipt {
                session: index.get(),
                highest: receipt.highest,
                received: receipt.received,
            });
        }
    }

    fn want(
        &mut self,
        context: &mut Context<'_>,
        index: SessionIndex,
        kind: DocumentKind,
        number: u64,
        offset: u32,
    ) {
        if !self.exchange.may_want(context.now()) {
            context.counters.excess_wants += 1;
            return;
        }
        let by = self.current.unwrap_or(index);
        let mut packets = Vec::new();
        for piece in context.documents.pieces(kind, number, offset) {
            let mut plaintext = Vec::with_capacity(piece.encoded_length());
            piece.encode(&mut plaintext);
            packets.push(plaintext);
        }
        for plaintext in packets {
            // nobody else is sent much because the peer says that it is there now (RFC 9000, section 8.2)
            let size = u64::from(TRANSPORT) + plaintext.len() as u64 + u64::from(MAX_HEADERS);
            if self.unproven.as_ref().is_some_and(|it| !it.allows(size)) {
                context.counters.unproven_addresses += 1;
                return;
            }
            self.send(context, by, &plaintext);
        }
    }

    fn piece(&mut self, context: &mut Context<'_>, message: &Message<'_>) {
        let now = context.now();
        let limit = context.settings.limits.document;
        let step = context
            .documents
            .piece(now, self.node, &mut self.exchange, message, limit);
        if let Some(step) = step {
            self.document_step(context, step);
        }
    }

    /// What is to be done for a document.
    pub(in crate::channel) fn document_step(
        &mut self,
        context: &mut Context<'_>,
        step: crate::channel::documents::Step,
    ) {
        use crate::channel::documents::Step;
        match step {
            Step::Ask(_, kind, number, offset) => self.say(
                context,
                &[Message::Want {
                    kind,
                    number,
                    offset,
                }],
            ),
            Step::Whole(octets) => {
                context.counters.documents_received += 1;
                context.outputs.push(Output::Document(octets));
            }
            Step::Useless => context.counters.useless_documents += 1,
            Step::GiveUp(_) => {
                context.counters.slow_documents += 1;
                self.exchange.gave_up(context.now());
            }
        }
    }

    /// A packet that makes an IP packet of so many octets.
    pub(super) fn path_probe(&self, id: u32, size: u16) -> Option<Vec<u8>> {
        let around = headers(self.address?) + TRANSPORT;
        let mut plaintext = Vec::with_capacity(size.into());
        Message::PathProbe { id, size }.encode(&mut plaintext);
        let message = plaintext.len() + 3;
        let fill = usize::from(size.checked_sub(around)?).checked_sub(message)?;
        Message::Padding(u16::try_from(fill).ok()?).encode(&mut plaintext);
        Some(plaintext)
    }
}

/// The packet with the ciphertext; from then on the session expects the keys that it makes.
fn answer_key(carrier: &mut Carrier, now: Time, key: &[u8; ENCAPSULATION_KEY]) -> Option<Vec<u8>> {
    let (ciphertext, secret) = encapsulate(key).ok()?;
    let mut plaintext = Vec::with_capacity(CIPHERTEXT + 3);
    Message::Ciphertext(&ciphertext).encode(&mut plaintext);
    let packet = carrier.session.seal(now, &plaintext).ok()?;
    carrier.session.mix(now, &secret).ok()?;
    carrier.stage = Stage::Answered(packet.clone());
    Some(packet)
}
