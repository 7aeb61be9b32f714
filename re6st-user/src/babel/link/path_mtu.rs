//! Whether packets as large as updates reach a neighbour: where only small ones do, it is heard well and learns nothing. An
//! acknowledgment request (RFC 8966 section 3.3) with padding tells, beside one without.

use std::time::Duration;

/// So many large packets must be lost, each beside a small one that was not, before the path counts as narrow: with 5 % of
/// loss both ways, one round in a hundred million errs.
const LOST: u8 = 8;
/// After so many pairs of packets a round ends without a result.
const TRIES: u8 = 16;
/// Between two pairs.
const REPEAT: Duration = Duration::from_secs(1);
/// Between two rounds.
const ROUNDS: Duration = Duration::from_secs(300);
/// Between two rounds while the path is narrow.
const NARROW_ROUNDS: Duration = Duration::from_secs(10);

/// What is known of the path to a neighbour.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathMtu {
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

    /// What is known now. Gives whether the next pair is sent, with these values, and when to go on.
    pub fn go_on(&mut self, opaque: [u16; 2]) -> (bool, Duration) {
        let over = self.judge();
        if !over {
            self.asked = Some(opaque.map(|opaque| (opaque, false)));
        }
        let wait = match (over, self.narrow) {
            (false, _) => REPEAT,
            (true, false) => ROUNDS,
            (true, true) => NARROW_ROUNDS,
        };
        (!over, wait)
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
