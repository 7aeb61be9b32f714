//! Whether a peer is at two places in turn. Where two hosts have one key, each calls again when the other one is followed; no
//! peer can see more of them than that.

use std::{net::SocketAddr, time::Duration};

use crate::time::Time;

/// So many moves between the same two places are no accident.
const MOVES: u8 = 6;
/// But only if none of them took longer.
const WITHIN: Duration = Duration::from_secs(60);

/// The last moves of a peer.
#[derive(Debug, Default)]
pub(super) struct Turns {
    between: Option<[SocketAddr; 2]>,
    moves: u8,
    last: Option<Time>,
}

impl Turns {
    /// It has moved. Gives whether this shows that it is at two places in turn.
    pub fn moved(&mut self, now: Time, from: SocketAddr, to: SocketAddr) -> bool {
        let back = self.between == Some([to, from]) && self.is_recent(now);
        self.moves = if back {
            self.moves.saturating_add(1)
        } else {
            1
        };
        (self.between, self.last) = (Some([from, to]), Some(now));
        self.moves == MOVES
    }

    /// Where it is in turn.
    pub fn places(&self, now: Time) -> Option<[SocketAddr; 2]> {
        let shown = self.moves >= MOVES && self.is_recent(now);
        self.between.filter(|_| shown)
    }

    fn is_recent(&self, now: Time) -> bool {
        self.last.is_some_and(|last| now.since(last) < WITHIN)
    }
}
