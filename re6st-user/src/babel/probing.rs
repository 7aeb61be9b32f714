//! Fast failure detection between speakers of our kind: whoever is silent is asked, again and again, and avoided when it
//! left enough questions unanswered.
//!
//! Silence does not tell a dead link from a dead controller whose data plane forwards on. So the link is made so costly
//! that everybody takes another way who has one, and whoever has none goes on: it is cut only when Hellos are missing,
//! which last longer than a controller takes to start again, or when the carrier is lost.

use std::time::Duration;

use super::{
    message::Message,
    neighbour::NeighbourId,
    output::{DownReason, Event},
    settings::Probing,
    speaker::Speaker,
    timers::Timer,
};
use crate::time::Time;

/// Added to the cost of a link whose other end leaves probes unanswered: more than any other way costs, and still far
/// from infinity if a way has three such links.
pub(super) const UNRESPONSIVE: u16 = 16_384;
/// An unresponsive neighbour is asked this often, so that it is soon back.
const REVIVAL: Duration = Duration::from_secs(1);

/// What probing knows of a neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeState {
    /// It has sent a probe or answered one.
    pub peer: bool,
    /// It left probes unanswered, and has not been heard since.
    pub unresponsive: bool,
    /// When anything was last received from it.
    pub heard_at: Time,
    /// When each of the probes since then was sent, the last ones.
    sent: [Time; Self::REMEMBERED],
    unanswered: u32,
}

impl ProbeState {
    const REMEMBERED: usize = 32;

    pub const fn new(now: Time) -> Self {
        Self {
            peer: false,
            unresponsive: false,
            heard_at: now,
            sent: [Time(0); Self::REMEMBERED],
            unanswered: 0,
        }
    }

    /// Something came. Gives whether it was unresponsive.
    pub const fn heard(&mut self, now: Time) -> bool {
        self.heard_at = now;
        self.unanswered = 0;
        std::mem::replace(&mut self.unresponsive, false)
    }

    const fn probed(&mut self, now: Time) {
        self.sent[self.unanswered as usize % Self::REMEMBERED] = now;
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Whether it counts as unresponsive: enough probes are unanswered for longer than an answer takes, and the silence is
    /// long enough.
    pub fn is_silent(&self, now: Time, settings: &Probing, round_trip: Duration) -> bool {
        let needed = settings.unanswered.clamp(1, Self::REMEMBERED as u32);
        if self.unanswered < needed {
            return false;
        }
        let patience = settings.repeat.max(round_trip * 3 / 2);
        let kept = self.unanswered.min(Self::REMEMBERED as u32) as usize;
        let overdue = self.sent[..kept]
            .iter()
            .filter(|sent| now.since(**sent) >= patience)
            .count();
        let least_silence = settings.timeout.max(settings.interval + round_trip * 3);
        overdue >= needed as usize && now.since(self.heard_at) >= least_silence
    }
}

impl Speaker {
    /// Asks for a sign of life, which also shows what kind of speaker we are.
    pub(super) fn send_probe(&mut self, id: NeighbourId) {
        let token = self.random.next() as u32;
        self.counters.probes_sent += 1;
        self.send_now(id, Message::Probe { token });
    }

    /// It sent a probe or an answer: from now on its silence means something.
    pub(super) fn found_peer(&mut self, id: NeighbourId) {
        if let Some(neighbour) = self.neighbours.get_mut(id)
            && !neighbour.probes.peer
        {
            neighbour.probes.peer = true;
            self.expect_sign(id);
        }
    }

    /// Something came from a neighbour: when to ask for more. One of the two asks, the other waits a little longer and has
    /// heard it before it would: half the packets.
    pub(super) fn expect_sign(&mut self, id: NeighbourId) {
        let Some(neighbour) = self
            .neighbours
            .get(id)
            .filter(|neighbour| neighbour.probes.peer)
        else {
            return;
        };
        let asks_first = self
            .interfaces
            .get(&neighbour.interface)
            .is_some_and(|interface| interface.settings.link_local < neighbour.address);
        let settings = &self.settings.probing;
        let quiet = match asks_first {
            true => settings.interval,
            false => settings.interval + settings.repeat,
        };
        self.timers.set(Timer::Silence(id), self.now + quiet);
    }

    /// [`Timer::Silence`]: nothing came for too long.
    pub(super) fn check_silence(&mut self, id: NeighbourId) {
        let now = self.now;
        let settings = self.settings.probing;
        let Some(neighbour) = self.neighbours.get_mut(id) else {
            return;
        };
        let round_trip = neighbour.round_trip.duration();
        let falls_silent = !neighbour.probes.unresponsive
            && neighbour.probes.is_silent(now, &settings, round_trip);
        neighbour.probes.unresponsive |= falls_silent;
        neighbour.probes.probed(now);
        let (interface, address) = (neighbour.interface, neighbour.address);
        let next = if neighbour.probes.unresponsive {
            REVIVAL
        } else {
            settings.repeat
        };
        self.timers.set(Timer::Silence(id), now + next);
        if falls_silent {
            self.counters.unresponsive_neighbours += 1;
            self.event(Event::NeighbourUnresponsive { interface, address });
            self.cost_changed(id, DownReason::NotHeard);
            self.send_hearing(id);
        }
        self.send_probe(id);
    }

    /// Tells the log that a neighbour cannot be used any more.
    pub(super) fn report_down(&mut self, id: NeighbourId, reason: DownReason) {
        if let Some(neighbour) = self.neighbours.get(id) {
            let (interface, address) = (neighbour.interface, neighbour.address);
            self.event(Event::NeighbourDown {
                interface,
                address,
                reason,
            });
        }
    }
}
