//! How far nodes are that we have no session with, and whether they are where they are said to be: a handshake of which nothing
//! is left. Its response proves who has answered, and its round trip is that of the way. No packet follows, so it never counts
//! for the other one, who forgets it.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    call::Call,
    context::Context,
    output::Output,
    wire::{SessionIndex, packet::CookieReply},
};
use crate::{
    certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey},
    time::Time,
};

/// Addresses of a node that are tried.
const ADDRESSES: usize = 8;
/// Initiations for a node: at each address twice if that is not less or more.
const FEWEST_TRIES: usize = 3;
const MOST_TRIES: usize = 8;

/// For whom a node is probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// For us: the result is told.
    Us,
    /// For the node itself, which wants to know whether it can be reached.
    Itself,
}

/// A node that is probed.
struct Probe {
    purpose: For,
    key: StaticPublicKey,
    /// Tried in turn.
    addresses: Vec<SocketAddr>,
    calls: Vec<Call>,
    /// When the next initiation is due, or the end.
    at: Time,
}

/// The nodes that are probed.
#[derive(Default)]
pub(super) struct Probes(BTreeMap<NodePrefix, Probe>);

impl Probe {
    /// Who wants to be reached has said where: each of these gets one packet, for it may be somebody else.
    fn tries(&self) -> usize {
        match self.purpose {
            For::Us => (2 * self.addresses.len()).clamp(FEWEST_TRIES, MOST_TRIES),
            For::Itself => self.addresses.len(),
        }
    }

    fn call(&mut self, index: SessionIndex) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.index() == index)
    }

    /// The next initiation; false if there is none any more.
    fn go_on(&mut self, context: &mut Context<'_>, node: NodePrefix) -> bool {
        let tried = self.calls.len();
        let to = self.addresses.iter().cycle().nth(tried);
        let (Some(to), true) = (to, tried < self.tries()) else {
            return false;
        };
        let Some((call, packet)) = Call::begin(context, node, &self.key, *to) else {
            return false;
        };
        self.calls.push(call);
        let timers = &context.settings.timers;
        self.at = context.now()
            + match self.calls.len() < self.tries() {
                true => timers.probe_retry,
                false => timers.probe,
            };
        send(context, *to, packet);
        true
    }

    /// Nothing can be sent there: the next address has its turn.
    fn unsendable(&mut self, now: Time, to: SocketAddr) {
        let is_last = self.calls.last().is_some_and(|call| call.to() == to);
        if is_last && self.calls.len() < self.tries() {
            self.at = now;
        }
    }

    /// It is over, with this result.
    fn end(self, context: &mut Context<'_>, node: NodePrefix, round_trip: Option<Duration>) {
        for call in self.calls {
            call.end(context);
        }
        match round_trip {
            Some(_) => context.counters.node_probes_answered += 1,
            None => context.counters.node_probes_unanswered += 1,
        }
        if self.purpose == For::Us {
            context.outputs.push(Output::Probed { node, round_trip });
        }
    }
}

fn send(context: &mut Context<'_>, to: SocketAddr, bytes: Vec<u8>) {
    context.counters.datagrams_sent += 1;
    let from = None;
    context.outputs.push(Output::Send { to, from, bytes });
}

impl Probes {
    /// Probes a node, unless that is being done.
    pub fn begin(
        &mut self,
        context: &mut Context<'_>,
        purpose: For,
        node: NodePrefix,
        key: StaticPublicKey,
        mut addresses: Vec<SocketAddr>,
    ) {
        if let Some(probe) = self.0.get_mut(&node) {
            if purpose == For::Us {
                probe.purpose = purpose;
            }
            return;
        }
        context.counters.node_probes += 1;
        addresses.truncate(ADDRESSES);
        let mut probe = Probe {
            purpose,
            key,
            addresses,
            calls: Vec::new(),
            at: context.now(),
        };
        if !self.has_room(context, purpose) {
            context.counters.excess_node_probes += 1;
            probe.end(context, node, None);
        } else if probe.go_on(context, node) {
            self.0.insert(node, probe);
        } else {
            probe.end(context, node, None);
        }
    }

    /// What others want leaves half of the places to us.
    fn has_room(&self, context: &Context<'_>, purpose: For) -> bool {
        let most = context.settings.limits.probes;
        match purpose {
            For::Us => self.0.len() < most,
            For::Itself => self.0.len() < most / 2,
        }
    }

    /// Whether an index is that of an initiation of a probe.
    pub fn is_calling(&self, node: NodePrefix, index: SessionIndex) -> bool {
        let probe = self.0.get(&node);
        probe.is_some_and(|probe| probe.calls.iter().any(|call| call.index() == index))
    }

    /// Nothing can be sent to an address.
    pub fn unsendable(&mut self, now: Time, to: SocketAddr) {
        for probe in self.0.values_mut() {
            probe.unsendable(now, to);
        }
    }

    /// A cookie came.
    pub fn cookie(&mut self, context: &mut Context<'_>, node: NodePrefix, reply: &CookieReply) {
        let probe = self.0.get_mut(&node);
        let call = probe.and_then(|probe| probe.call(reply.receiver));
        if let Some((to, packet)) = call.and_then(|call| call.cookie(context, reply)) {
            send(context, to, packet);
        }
    }

    /// A response came.
    pub fn response(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        index: SessionIndex,
        bytes: &[u8],
    ) {
        let probe = self.0.get_mut(&node);
        let call = probe.and_then(|probe| probe.call(index));
        let Some(answered) = call.and_then(|call| call.response(context, bytes)) else {
            return;
        };
        if let Err(why) = &answered {
            context.counters.refused(*why);
        }
        if let Some(probe) = self.0.remove(&node) {
            let round_trip = answered.ok().map(|answered| answered.round_trip);
            probe.end(context, node, round_trip);
        }
    }

    /// Does what is due.
    pub fn time_out(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        let over = self
            .0
            .extract_if(.., |node, probe| {
                probe.at <= now && !probe.go_on(context, *node)
            })
            .collect::<Vec<_>>();
        for (node, probe) in over {
            probe.end(context, node, None);
        }
    }

    /// Ends all of them: what they show of us is not so any more.
    pub fn give_up(&mut self, context: &mut Context<'_>) {
        for (node, probe) in std::mem::take(&mut self.0) {
            probe.end(context, node, None);
        }
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        self.0.values().map(|probe| probe.at).min()
    }
}
