//! Whether packets as large as updates reach a neighbour: where only small ones do, it is heard well and learns nothing. An
//! acknowledgment request (RFC 8966 section 3.3) with padding tells, beside one without.

use std::time::Duration;

use super::{
    message::Message,
    neighbour::NeighbourId,
    output::{DownReason, Event},
    quantities::Interval,
    speaker::Speaker,
    timers::Timer,
    updates::Audience,
};

/// So many large packets must be lost, each beside a small one that was not, before the path counts as narrow: with 5 % of
/// loss both ways, one round in a hundred million errs.
const LOST: u8 = 8;
/// After so many pairs of packets a round ends without a result.
const TRIES: u8 = 16;
/// Between two pairs, and from the link's coming up to the first.
const REPEAT: Duration = Duration::from_secs(1);
/// How long the answer may take, so that it is there before the next pair.
const ANSWER: Interval = Interval(50);
/// Between two rounds.
const ROUNDS: Duration = Duration::from_secs(300);
/// Between two rounds while the path is narrow.
const NARROW_ROUNDS: Duration = Duration::from_secs(10);

/// What is known of the path to a neighbour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathMtu {
    /// Large packets do not reach it.
    pub narrow: bool,
    /// The requests on their way, by their opaque values, and whether they were answered: the small one, the large one.
    asked: Option<[(u16, bool); 2]>,
    lost: u8,
    tries: u8,
}

impl PathMtu {
    /// An acknowledgment came.
    pub fn acknowledged(&mut self, opaque: u16) {
        for (asked, answered) in self.asked.iter_mut().flatten() {
            *answered |= *asked == opaque;
        }
    }

    /// What the last pair says; gives whether the round is over.
    fn judge(&mut self) -> bool {
        match self.asked.take() {
            None => return false,
            Some([_, (_, true)]) => {
                self.narrow = false;
                self.tries = TRIES;
            }
            Some([(_, true), _]) => self.lost += 1,
            // that the neighbour does not answer says nothing of the path
            Some(_) => {}
        }
        self.narrow |= self.lost >= LOST;
        self.tries += 1;
        let over = self.tries >= TRIES || self.lost >= LOST;
        if over {
            (self.tries, self.lost) = (0, 0);
        }
        over
    }
}

impl Speaker {
    /// A link came up.
    pub(super) fn expect_path_mtu(&mut self, id: NeighbourId) {
        let first = self.now + self.random.between(REPEAT / 10, REPEAT);
        self.timers.set(Timer::PathMtu(id), first);
    }

    /// [`Timer::PathMtu`].
    pub(super) fn check_path_mtu(&mut self, id: NeighbourId) {
        let opaque = self.random.next();
        let opaque = [opaque as u16, (opaque >> 16) as u16];
        let Some(neighbour) = self
            .neighbours
            .get_mut(id)
            .filter(|neighbour| !neighbour.cost.is_infinite())
        else {
            return;
        };
        let before = neighbour.path_mtu.narrow;
        let over = neighbour.path_mtu.judge();
        let narrow = neighbour.path_mtu.narrow;
        let wait = match (over, narrow) {
            (false, _) => REPEAT,
            (true, false) => ROUNDS,
            (true, true) => NARROW_ROUNDS,
        };
        if !over {
            neighbour.path_mtu.asked = Some(opaque.map(|opaque| (opaque, false)));
            self.send_pair(id, opaque);
        }
        self.timers.set(Timer::PathMtu(id), self.now + wait);
        if narrow != before {
            self.width_changed(id, narrow);
        }
    }

    fn send_pair(&mut self, id: NeighbourId, opaque: [u16; 2]) {
        let [small, large] = opaque.map(|opaque| Message::AcknowledgmentRequest {
            opaque,
            interval: ANSWER,
        });
        self.send_now(id, small);
        let interface = self
            .neighbours
            .get(id)
            .and_then(|neighbour| self.interfaces.get(&neighbour.interface));
        let Some(mut packet) = interface.map(|interface| interface.large_writer()) else {
            return;
        };
        // there is room in any packet
        if packet.push(&large).is_ok() {
            packet.pad();
            self.send_packet(Audience::Neighbour(id), packet);
        }
    }

    fn width_changed(&mut self, id: NeighbourId, narrow: bool) {
        let Some(neighbour) = self.neighbours.get(id) else {
            return;
        };
        let (interface, address) = (neighbour.interface, neighbour.address);
        let neighbours = self.neighbours.of_interface(interface);
        let is_narrow = |id: &NeighbourId| {
            let neighbour = self.neighbours.get(*id);
            neighbour.is_some_and(|neighbour| neighbour.path_mtu.narrow)
        };
        let any = neighbours.iter().any(is_narrow);
        if let Some(interface) = self.interfaces.get_mut(&interface) {
            interface.narrow = any;
        }
        self.event(match narrow {
            true => Event::PathNarrow { interface, address },
            false => Event::PathWide { interface, address },
        });
        self.cost_changed(id, DownReason::NotHeard);
        if narrow {
            // what was announced so far was too large
            self.dump_to(id);
        }
    }
}
