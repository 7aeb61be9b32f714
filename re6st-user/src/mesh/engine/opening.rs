//! From the wish for a tunnel to the tunnel, or to its failure.

use std::net::SocketAddr;

use super::{
    Context, Mesh,
    tunnel::{State, Tunnel},
};
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        QuestionId,
        address::{Address, Country},
        event::Event,
        input::{Loss, OpenFailure},
        output::{Closing, OpenedBy, Output, Why},
    },
};

impl Mesh {
    /// Makes a tunnel of a wish: asks for addresses, if none is known.
    pub(super) fn want(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        why: Why,
        replaces: Option<NodePrefix>,
    ) {
        let addresses = self.addresses(node);
        let state = if addresses.is_empty() {
            self.ask_for_addresses(context, node)
        } else {
            let is_open = addresses.iter().any(|address| address.is_open);
            let can_be_called = !self.own_addresses.is_empty();
            let can_ask = can_be_called && context.routes.metric(node).is_some();
            let introduction = (can_ask && !is_open).then(|| self.invite(context, node));
            self.open(context, node, addresses, (why, introduction))
        };
        let mut tunnel = Tunnel::new(OpenedBy::Us, why, state);
        tunnel.replaces = replaces;
        self.tunnels.insert(node, tunnel);
    }

    fn open(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        addresses: Vec<Address>,
        (why, introduction): (Why, Option<QuestionId>),
    ) -> State {
        self.counters.openings += 1;
        context.outputs.push(Output::Open {
            node,
            addresses,
            why,
        });
        State::Opening {
            until: context.now + self.settings.timers.opening,
            introduction,
        }
    }

    /// The addresses of a peer have come.
    pub(super) fn open_asked(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        let Some(tunnel) = self.tunnels.get(&node) else {
            return;
        };
        let (why, replaces) = (tunnel.why, tunnel.replaces);
        let addresses = self.addresses(node);
        if addresses.is_empty() {
            self.leave_alone(context, node);
        } else if why == Why::Random && self.is_too_near(node, replaces) {
            // the draw is void, the node is not
            self.tunnels.remove(&node);
            self.counters.not_spread += 1;
            self.pace.missed_spread();
        } else {
            // it was asked to call us when it was asked where it is
            let state = self.open(context, node, addresses, (why, None));
            if let Some(tunnel) = self.tunnels.get_mut(&node) {
                tunnel.state = state;
            }
        }
    }

    /// The addresses of a node to which tunnels may be opened.
    pub(super) fn addresses(&mut self, node: NodePrefix) -> Vec<Address> {
        let Some(known) = self.book.get(node) else {
            return Vec::new();
        };
        let mut addresses = known.addresses.clone();
        addresses.retain(|address| self.is_allowed(address));
        let before = addresses.len();
        addresses.retain(|address| !self.is_taken(node, address.socket));
        self.counters.taken_addresses += (before - addresses.len()) as u64;
        addresses
    }

    /// Whether somebody else has proven to be there.
    fn is_taken(&self, node: NodePrefix, socket: SocketAddr) -> bool {
        self.tunnels.iter().any(|(other, tunnel)| {
            *other != node
                && !tunnel.is_opening()
                && tunnel
                    .address
                    .is_some_and(|address| address.socket == socket)
        })
    }

    /// Whether the settings have nothing against tunnels to an address.
    pub(super) fn is_allowed(&self, address: &Address) -> bool {
        self.is_enabled(address) && !self.is_across_border(address)
    }

    pub(super) fn is_enabled(&self, address: &Address) -> bool {
        let version = match address.socket.ip().to_canonical().is_ipv4() {
            true => self.settings.ipv4,
            false => self.settings.ipv6,
        };
        version && self.settings.protocols.contains(&address.protocol)
    }

    /// re6st's rule: nodes of a listed country have tunnels with that country alone. Without knowing where we are nothing is known.
    pub(super) fn is_across_border(&self, address: &Address) -> bool {
        let (listed, theirs) = (&self.settings.same_country, address.country);
        match (self.own_country(address), theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                listed.contains(&ours) || listed.contains(&theirs)
            }
            _ => false,
        }
    }

    /// Where our addresses of the same IP version are.
    fn own_country(&self, address: &Address) -> Option<Country> {
        let is_ipv4 = |address: &Address| address.socket.ip().to_canonical().is_ipv4();
        let mut same = (self.own_addresses.iter()).filter(|own| is_ipv4(own) == is_ipv4(address));
        same.find_map(|own| own.country)
    }

    /// A tunnel is up.
    pub(super) fn up(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        opened_by: OpenedBy,
        address: Address,
    ) {
        if opened_by == OpenedBy::Peer {
            self.up_by_peer(context, node, address);
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(&node) else {
            let why = Closing::NotNeeded;
            context.outputs.push(Output::Close { node, why });
            return;
        };
        if tunnel.owner == OpenedBy::Peer {
            self.counters.duplicates += 1;
            if self.own < node {
                return;
            }
            // both ends have opened it: it belongs to the greater
            tunnel.owner = OpenedBy::Us;
            if tunnel.why == Why::Served {
                tunnel.why = Why::Gain;
            }
        }
        self.is_up(context, node, address);
    }

    /// Ours is up.
    pub(super) fn is_up(&mut self, context: &mut Context<'_>, node: NodePrefix, address: Address) {
        let Some(tunnel) = self.tunnels.get_mut(&node) else {
            return;
        };
        if tunnel.is_opening() {
            tunnel.state = State::Up { since: context.now };
        }
        tunnel.address = Some(address);
        let why = tunnel.why;
        self.book.succeeded(node, address);
        self.remember(context, node);
        self.counters.opened += 1;
        self.pace.succeeded(why);
        context.tell(Event::Opened { node, why });
    }

    /// A tunnel that was to be opened is not.
    pub(super) fn open_failed(
        &mut self,
        context: &mut Context<'_>,
        node: NodePrefix,
        why: OpenFailure,
    ) {
        let opening = self.tunnels.get(&node).is_some_and(Tunnel::is_opening);
        if !opening {
            return;
        }
        match why {
            OpenFailure::Unreachable => {
                self.counters.unreachable += 1;
                self.gave_up(context, node);
            }
            OpenFailure::WrongNode => {
                self.counters.wrong_nodes += 1;
                self.gave_up(context, node);
            }
            OpenFailure::Local => self.gave_up(context, node),
            OpenFailure::Full => self.peer_is_full(context, node),
        }
    }

    /// A peer has no room for us.
    pub(super) fn peer_is_full(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        self.counters.full_peers += 1;
        self.tunnels.remove(&node);
        self.book
            .postpone(node, context.now + self.settings.timers.full);
        self.pace.failed(context.now, &mut *context.random);
    }

    /// A node to which a tunnel is wanted does not say where it is. Maybe there is no such node, only a route to it: others are drawn
    /// at once, or who announces names that nobody has would keep us from those that are there.
    pub(super) fn not_answered(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        self.counters.unanswered += 1;
        self.leave_alone(context, node);
        self.pace.look_at_once();
    }

    fn leave_alone(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        self.tunnels.remove(&node);
        let timers = &self.settings.timers;
        self.book
            .failed(node, context.now, timers, &mut *context.random);
    }

    /// A peer could not be reached, for whatever reason.
    pub(super) fn gave_up(&mut self, context: &mut Context<'_>, node: NodePrefix) {
        self.leave_alone(context, node);
        self.pace.failed(context.now, &mut *context.random);
    }

    /// A tunnel is no more.
    pub(super) fn closed(&mut self, context: &mut Context<'_>, node: NodePrefix, why: Loss) {
        let Some(tunnel) = self.tunnels.get(&node) else {
            return;
        };
        if tunnel.is_opening() {
            match why {
                Loss::Full => self.peer_is_full(context, node),
                _ => self.gave_up(context, node),
            }
            return;
        }
        let ours = tunnel.is_ours();
        self.tunnels.remove(&node);
        if !ours {
            return;
        }
        self.counters.lost += 1;
        self.ended.note(context.now, node, why);
        context.tell(Event::Lost { node, why });
        match why {
            Loss::Full => self.peer_is_full(context, node),
            // it may have been our own way to the outside: it is tried again before others are
            Loss::Silent | Loss::Local => self.pace.at_once(),
            Loss::ByPeer | Loss::NotTrusted => self.gave_up(context, node),
        }
        self.bootstrap.at_once();
    }
}
