//! Graceful restart: what was installed before stays until it is heard again or the time is over. A start that remembers
//! nothing listens first.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::Ipv6Addr,
    time::Duration,
};

use super::{
    ids::{DestinationId, NeighbourId},
    input::{InstalledRoute, InterfaceId},
    message::NextHop,
    rib::{Rib, may_go_by},
    timers::Timers,
};
use crate::time::Time;

/// After a start that remembers no routes, nothing is selected for so long. A neighbour may still route by us, and must have
/// heard that we know nothing before another, who has, is believed: or its packets come back to us. Two retractions and three
/// Hellos are sent meanwhile.
const LISTEN: Duration = Duration::from_millis(400);
/// A retraction has been said often enough.
const RETRACTED: Duration = Duration::from_secs(8);

/// What happens after a start, each once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Routes of before the restart are given up.
    Over,
    /// What was announced before a restart no longer counts anywhere.
    Settled,
    /// Neighbours have heard that we started.
    Listened,
}

/// A route of before, and the neighbour it goes by, who took back what it said.
pub type Voided = (DestinationId, InterfaceId, Ipv6Addr);

/// A start, until it is over.
#[derive(Debug)]
pub struct Restart {
    timers: Timers<Timer>,
    /// The neighbours that routes of before go by.
    ways: HashSet<(InterfaceId, NextHop)>,
    /// Routes whose neighbour took back what it said, to be given up.
    voided: VecDeque<Voided>,
    /// When the restart is over; the start of the clock if there was none.
    pub over: Time,
    /// Until then we only listen, after a start that remembers no routes.
    pub listening_until: Time,
}

impl Restart {
    /// Of a node whose data plane has these routes.
    pub fn new(now: Time, restart_time: Duration, routes: &[InstalledRoute]) -> Self {
        let mut restart = Self {
            timers: Timers::default(),
            ways: routes
                .iter()
                .map(|route| (route.interface, route.next_hop))
                .collect(),
            voided: VecDeque::new(),
            over: Time(0),
            listening_until: now,
        };
        if routes.is_empty() {
            restart.listening_until = now + LISTEN;
            restart.timers.set(Timer::Listened, restart.listening_until);
        } else {
            restart.over = now + restart_time;
            restart.timers.set(Timer::Over, restart.over);
        }
        restart
    }

    pub fn time_out(&mut self, now: Time) -> Option<Timer> {
        self.timers.pop(now)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The restart is over. `announced_for`: how long what we announced before may last anywhere.
    pub fn end(&mut self, now: Time, restart_time: Duration, announced_for: Duration) {
        self.ways.clear();
        let wait = announced_for.saturating_sub(restart_time);
        self.timers.set(Timer::Settled, now + wait.max(RETRACTED));
    }

    /// A neighbour took back all it said. Gives whether routes of before may have gone by it.
    pub fn void_all(
        &mut self,
        interface: InterfaceId,
        by: Ipv6Addr,
        restored: &HashMap<DestinationId, InstalledRoute>,
    ) -> bool {
        let before = self.ways.len();
        self.ways.retain(|way| !may_go_by(*way, interface, by));
        if self.ways.len() == before {
            return false;
        }
        let way = (interface, NextHop::Ipv6(by));
        let goes_there = restored
            .iter()
            .filter(|(_, old)| (old.interface, old.next_hop) == way);
        self.voided
            .extend(goes_there.map(|(id, _)| (*id, interface, by)));
        true
    }

    /// The next route of before whose neighbour took back what it said.
    pub fn next_voided(&mut self) -> Option<Voided> {
        self.voided.pop_front()
    }

    pub fn has_work(&self) -> bool {
        !self.voided.is_empty()
    }

    /// A neighbour announces a prefix again: what it took back before that and is still to be given up, if it is.
    pub fn announced_again(&self, rib: &Rib, id: DestinationId, by: NeighbourId) -> Option<Voided> {
        if self.voided.is_empty() || !rib.goes_as_before(id, by) {
            return None;
        }
        let sender = rib.sender(by)?;
        let way = (sender.interface, NextHop::Ipv6(sender.address));
        (!self.ways.contains(&way)).then_some((id, sender.interface, sender.address))
    }

    pub fn stop(&mut self) {
        self.timers = Timers::default();
        self.voided.clear();
    }
}
