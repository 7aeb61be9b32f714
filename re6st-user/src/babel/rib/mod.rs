//! The routing information base: what neighbours announce, which of it is used, how near we said to be (RFC 8966 sections 3.2.5,
//! 3.2.6, 3.5 and 3.6), and what is announced of it (section 3.7). Read [`decide`] first.
//!
//! Going in: updates, what links cost, our own routes, the passage of time. Coming out: [`Change`]s.

mod acquire;
mod appointments;
mod calendar;
pub mod decide;
mod digest;
mod distances;
mod own;
mod refused;
mod restored;
mod select;
mod sender;
mod table;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::Ipv6Addr,
};

pub use self::{
    acquire::Import,
    digest::Digest,
    distances::may_go_by,
    sender::Sender,
    table::{Announcement, Destination, Installed, Route, Table},
};
use self::{
    calendar::Calendar,
    decide::{Costs, Sought},
    digest::Announced,
    own::OwnNumber,
    refused::Refusals,
    sender::Senders,
};
use super::{
    context::Context,
    ids::{DestinationId, NeighbourId},
    input::{Distance, InstalledRoute, InterfaceId, Restored},
    martian,
    message::NextHop,
    output::Output,
    quantities::{Metric, RouterId, SequenceNumber},
};
use crate::{route::RouteKey, time::Time};

/// Room for changes that is kept; the end of a restart may have needed more, once.
const KEPT_CHANGES: usize = 4096;

/// What follows from what the base was told, in order.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A prefix is to be announced to everybody, soon, or sooner.
    Announce { id: DestinationId, urgent: bool },
    /// A prefix is learned elsewhere than on this interface now, but announced as before (section 3.7.4).
    Moved {
        id: DestinationId,
        from: Option<InterfaceId>,
    },
    /// The routes to a prefix, or the choice among them, may be others now.
    Selected(DestinationId),
    /// A route to a prefix may be better than the one in use, but not feasible.
    Compared(DestinationId),
    /// A neighbour is worth asking for a newer sequence number: its route would be better if it were feasible.
    Unfeasible {
        id: DestinationId,
        sender: NeighbourId,
    },
    /// The route in use is about to expire (section 3.8.2.3).
    Expiring {
        route: RouteKey,
        sender: NeighbourId,
    },
    /// All routes of a neighbour that left are gone.
    Left(NeighbourId),
}

/// Routes, and what became of them.
#[derive(Debug)]
pub struct Rib {
    table: Table,
    senders: Senders,
    /// Our own routes.
    own: BTreeMap<RouteKey, DestinationId>,
    own_number: OwnNumber,
    /// What somebody else announced last with our router-id.
    duplicate: Option<DestinationId>,
    sought: Sought,
    /// What was not taken of neighbours.
    refusals: Refusals,
    /// Routes of before the restart that have not been heard again.
    restored: HashMap<DestinationId, InstalledRoute>,
    /// The feasibility distances of before, while it lasts.
    restored_distances: HashMap<(DestinationId, RouterId), Distance>,
    /// When the restart is over; the start of the clock if there was none.
    restart_over: Time,
    /// Whether no announcement of ours is in force whose distance is not known.
    distances_known: bool,
    /// Until then we only listen, after a start that remembers no routes.
    listening_until: Time,
    /// Of what is announced.
    announced: Announced,
    calendar: Calendar,
    /// Neighbours whose routes are still to be compared or removed.
    work: VecDeque<NeighbourId>,
    changes: Vec<Change>,
}

impl Rib {
    /// Without routes of neighbours, but with what is left of a life before, until the restart is over.
    pub fn new(
        context: &mut Context,
        restored: &Restored,
        restart_over: Time,
        listening_until: Time,
    ) -> Self {
        let mut rib = Self {
            table: Table::default(),
            senders: Senders::default(),
            own: BTreeMap::new(),
            own_number: OwnNumber::new(context, restored.sequence_number),
            duplicate: None,
            sought: Sought::new(),
            refusals: Refusals::default(),
            restored: HashMap::new(),
            restored_distances: HashMap::new(),
            restart_over,
            distances_known: restored.distances.is_some() || restored.routes.is_empty(),
            listening_until,
            announced: Announced::default(),
            calendar: Calendar::default(),
            work: VecDeque::new(),
            changes: Vec::new(),
        };
        rib.restore(&restored.routes);
        for distance in restored.distances.iter().flatten() {
            rib.restore_distance(context, distance);
        }
        let number = Output::SaveSequenceNumber(rib.own_number.value);
        context.outputs.push(number);
        rib
    }

    /// The change of this number, if there is one that was not carried out.
    pub fn change(&self, from: usize) -> Option<Change> {
        self.changes.get(from).copied()
    }

    /// How many changes wait to be carried out.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Those from this number on were carried out.
    pub fn carried_out(&mut self, from: usize) {
        self.changes.truncate(from);
        if from == 0 {
            self.changes.shrink_to(KEPT_CHANGES);
        }
    }

    /// All prefixes.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// Our own routes.
    pub const fn own(&self) -> &BTreeMap<RouteKey, DestinationId> {
        &self.own
    }

    /// Of our own routes.
    pub const fn own_number(&self) -> SequenceNumber {
        self.own_number.value
    }

    /// What is announced, as neighbours of an interface hear it.
    pub fn digest(&self, on: InterfaceId, split_horizon: bool) -> [u64; Digest::BLOCKS] {
        self.announced.on(on, split_horizon)
    }

    /// What a decision depends on.
    pub const fn costs<'a>(&'a self, context: &Context) -> Costs<'a> {
        Costs {
            senders: &self.senders,
            sought: &self.sought,
            hysteresis: context.settings.hysteresis,
            listening_until: self.listening_until,
        }
    }

    /// From here to the origin.
    pub fn metric(&self, route: &Route) -> Metric {
        self.senders.metric(route)
    }

    /// Interface and next hop of a route.
    pub fn way(&self, route: &Route) -> Option<(InterfaceId, NextHop)> {
        self.senders.way(route)
    }

    /// Who announces routes by this number.
    pub fn sender(&self, id: NeighbourId) -> Option<&Sender> {
        self.senders.get(id)
    }

    /// A new neighbour may announce routes.
    pub fn meet(&mut self, id: NeighbourId, interface: InterfaceId, address: Ipv6Addr) {
        self.senders.insert(id, Sender::new(interface, address));
    }

    /// We are the origin of a route from now on, or with another metric.
    pub fn announce(&mut self, context: &mut Context, route: RouteKey, metric: Metric) {
        if martian::is_refused(&route, &mut context.counters) {
            return;
        }
        let id = self.table.find_or_insert(route);
        self.own.insert(route, id);
        if let Some(destination) = self.table.get_mut(id) {
            destination.own = Some(metric);
        }
        self.select(context, id);
        self.reconsider(context, id, true);
    }

    /// We are no longer its origin.
    pub fn withdraw(&mut self, context: &mut Context, route: &RouteKey) {
        let Some(id) = self.own.remove(route) else {
            return;
        };
        if let Some(destination) = self.table.get_mut(id) {
            destination.own = None;
        }
        self.select(context, id);
    }

    /// Somebody asks for a newer number of ours.
    pub fn advance(&mut self, context: &mut Context, asked: SequenceNumber) {
        if self.own_number.advance(context.now, asked) {
            self.own_number_changed(context);
        }
    }

    /// Somebody waits for a number at least this new; nobody any more if `None`.
    pub fn seek(&mut self, key: (DestinationId, RouterId), number: Option<SequenceNumber>) {
        match number {
            Some(number) => drop(self.sought.insert(key, number)),
            None => drop(self.sought.remove(&key)),
        }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.calendar.next()
    }

    /// Whether routes are still to be compared or removed.
    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    pub fn stop(&mut self) {
        self.calendar = Calendar::default();
        self.work.clear();
    }

    /// All that is in the data plane.
    pub fn installed(&self) -> impl Iterator<Item = InstalledRoute> {
        let destinations = self.table.iter().map(|(_, destination)| destination);
        destinations
            .filter(|destination| matches!(destination.installed, Installed::Via { .. }))
            .filter_map(|destination| self.installed_route(destination))
            .chain(self.restored.values().copied())
    }

    /// What came of an installation. Nobody is told of what the data plane has not got.
    pub fn set_installed(&mut self, context: &mut Context, route: &RouteKey, installed: bool) {
        let Some(id) = self.table.find(route) else {
            return;
        };
        if let Some(destination) = self.table.get_mut(id) {
            destination.not_installed = !installed;
        }
        self.reconsider(context, id, true);
        self.forget_if_empty(id);
    }

    /// Small changes that triggered no update are told with the full announcement.
    pub fn reconsider_all(&mut self, context: &mut Context) {
        let changed = self.table.iter().filter(|(_, destination)| {
            let new = self.present_announcement(context, destination);
            new.is_some() && new != destination.announced
        });
        for id in changed.map(|(id, _)| id).collect::<Vec<_>>() {
            self.reconsider(context, id, true);
        }
    }

    /// The prefix that somebody else announces with our router-id, and who does.
    pub fn duplicate(&self, own: RouterId) -> Option<(RouteKey, &Sender)> {
        let destination = self.table.get(self.duplicate?)?;
        let sender = destination.routes.iter().find_map(|route| {
            let sender = self.senders.get(route.neighbour)?;
            let holds = route.router_id == own
                && route.generation == sender.generation
                && !route.metric.is_infinite();
            holds.then_some(sender)
        })?;
        destination
            .own
            .is_none()
            .then_some((destination.key, sender))
    }

    /// How many appointments there are.
    #[cfg(test)]
    pub fn appointments(&self) -> usize {
        self.calendar.len()
    }
}
