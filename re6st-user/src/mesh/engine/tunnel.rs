//! One tunnel, from the wish for it to its end.

use std::time::Duration;

use super::gain::Promise;
use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::{
        QuestionId,
        address::Address,
        output::{Closing, OpenedBy, Why},
    },
    time::Time,
};

/// How far it is with a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The peer is asked for its addresses.
    Asking { id: QuestionId, until: Time },
    /// It is being opened. The question is that in which the peer is asked to call us at the same time.
    Opening {
        until: Time,
        introduction: Option<QuestionId>,
    },
    /// Packets flow.
    Up { since: Time },
    /// Routes are to leave it.
    Draining { until: Time, why: Closing },
}

/// Whose place it is, of those for tunnels that others have to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Whoever comes.
    Anybody,
    /// Those to whom the lot gave us, and preferred ones.
    Given,
    /// Those that no route led to when they came: newcomers, and those who are cut off.
    Lost,
}

/// One tunnel.
#[derive(Clone, Debug)]
pub struct Tunnel {
    pub owner: OpenedBy,
    pub why: Why,
    pub state: State,
    /// The tunnel that it takes the place of.
    pub replaces: Option<NodePrefix>,
    pub address: Option<Address>,
    pub round_trip: Option<Duration>,
    pub loss: u16,
    pub promise: Option<Promise>,
    pub room: Room,
    /// The peer opened it after it had asked us to call it, so it says nothing of who can reach us.
    pub was_invited: bool,
}

impl Tunnel {
    /// A wish.
    pub const fn new(owner: OpenedBy, why: Why, state: State) -> Self {
        Self {
            owner,
            why,
            state,
            replaces: None,
            address: None,
            round_trip: None,
            loss: 0,
            promise: None,
            room: Room::Anybody,
            was_invited: false,
        }
    }

    /// Why it is there.
    pub const fn reason(&self) -> Why {
        match self.owner {
            OpenedBy::Us => self.why,
            OpenedBy::Peer => Why::Served,
        }
    }

    /// It is ours, or is to be.
    pub fn is_ours(&self) -> bool {
        self.owner == OpenedBy::Us && !self.is_draining()
    }

    /// It is another's, and stays.
    pub fn is_served(&self) -> bool {
        self.owner == OpenedBy::Peer && !self.is_draining()
    }

    pub const fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// It is not up yet.
    pub const fn is_opening(&self) -> bool {
        matches!(self.state, State::Asking { .. } | State::Opening { .. })
    }

    /// Whether it is to be looked at again when it has been up for some time.
    pub const fn is_new(&self) -> bool {
        self.replaces.is_some() || self.promise.is_some()
    }

    pub const fn up_since(&self) -> Option<Time> {
        match self.state {
            State::Up { since } => Some(since),
            _ => None,
        }
    }

    /// When something is to be done about it by itself.
    pub const fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Asking { until, .. }
            | State::Opening { until, .. }
            | State::Draining { until, .. } => Some(until),
            State::Up { .. } => None,
        }
    }
}
