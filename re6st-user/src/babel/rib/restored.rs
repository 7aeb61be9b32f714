//! Routes of before a restart: which may be selected while it is not known how near we said to be.

use std::{collections::HashMap, net::Ipv6Addr};

use super::{
    Change, Rib,
    calendar::Tick,
    table::{Installed, Route},
};
use crate::babel::{
    context::Context,
    ids::{DestinationId, NeighbourId},
    input::{InstalledRoute, InterfaceId},
    message::NextHop,
    output::{Event, Output},
};

impl Rib {
    /// Takes over what is installed.
    pub(super) fn restore(&mut self, routes: &[InstalledRoute]) {
        for route in routes {
            let id = self.table.find_or_insert(route.route);
            if let Some(destination) = self.table.get_mut(id) {
                destination.installed = Installed::Restored;
                destination.distance_unknown = !self.distances_known;
            }
            self.restored.insert(id, *route);
        }
    }

    /// Routes of before the restart that have not been heard again.
    pub const fn restored(&self) -> &HashMap<DestinationId, InstalledRoute> {
        &self.restored
    }

    /// Whether the way of before to a prefix goes by a neighbour, and was not heard again.
    pub fn goes_as_before(&self, id: DestinationId, by: NeighbourId) -> bool {
        let (Some(old), Some(sender)) = (self.restored.get(&id), self.senders.get(by)) else {
            return false;
        };
        (old.interface, old.next_hop) == (sender.interface, NextHop::Ipv6(sender.address))
    }

    /// Judges a route of a prefix that we announced before the restart without knowing how near we said to be.
    ///
    /// The way of before was free of loops when it was selected: that neighbour was nearer then, and can only have come
    /// nearer (section 2.4). It stays in use, and tells how new our own announcement was at most. All others must be
    /// newer. Any other way has to wait until we know more. Gives whether the route goes the way of before.
    pub(super) fn judge_restored(
        &mut self,
        context: &Context,
        id: DestinationId,
        route: &Route,
    ) -> bool {
        let goes_as_before = self
            .restored
            .get(&id)
            .is_some_and(|old| self.senders.way(route) == Some((old.interface, old.next_hop)));
        if goes_as_before && !route.ignored {
            self.assume_nearest(context, id, route);
        }
        goes_as_before
    }

    /// A prefix first heard of during the restart may be one that we announced, lost and retracted just before, and a
    /// neighbour that missed the retraction still routes by us: only what is newer than what is heard first is feasible.
    pub(super) fn judge_unknown(&mut self, context: &Context, id: DestinationId, route: &Route) {
        if !self.distances_known
            && context.now < self.restart_over
            && !route.ignored
            && let Some(destination) = self.table.get(id)
            && destination.own.is_none()
            && destination.sources.is_empty()
            && !destination.distance_unknown
        {
            self.assume_nearest(context, id, route);
        }
    }

    fn assume_nearest(&mut self, context: &Context, id: DestinationId, route: &Route) {
        let now = Tick::from_time(context.now);
        let most = context.settings.limits.sources_per_route;
        if let Some(destination) = self.table.get_mut(id) {
            destination.assume_nearest(route.router_id, route.sequence_number, now, most);
        }
    }

    /// A neighbour says that the way of before does not go by it any more, or that it forgot all it said: a prefix that was
    /// not heard again since is lost.
    pub fn void_restored(
        &mut self,
        context: &mut Context,
        (id, interface, by): (DestinationId, InterfaceId, Ipv6Addr),
    ) {
        self.distrust(id, interface, by);
        let way = (interface, NextHop::Ipv6(by));
        let goes_there = |old: &InstalledRoute| (old.interface, old.next_hop) == way;
        let destination = self.table.get(id);
        let kept = destination.is_some_and(|it| it.installed == Installed::Restored);
        if kept && self.restored.get(&id).is_some_and(goes_there) {
            self.restored.remove(&id);
            self.refuse(context, id);
            self.take_back(context, id);
            self.select(context, id);
        }
    }

    /// Gives up what was not heard again, and tells neighbours that may still count on it.
    pub fn end_restart(&mut self, context: &mut Context) {
        self.restored_distances = HashMap::new();
        let mut removed = 0;
        for (id, route) in std::mem::take(&mut self.restored) {
            let Some(destination) = self.table.get_mut(id) else {
                continue;
            };
            if destination.installed != Installed::Restored {
                continue;
            }
            destination.installed = Installed::Nothing;
            removed += 1;
            let route = route.route;
            context.outputs.push(Output::Remove { route });
            self.take_back(context, id);
            self.select(context, id);
        }
        context.event(Event::RestartOver { removed });
    }

    /// Nobody routes through us any more by what we announced before the restart; the retraction has been said often enough,
    /// and the routes have expired since we last announced them. So any other way is free of loops.
    pub fn settle(&mut self, context: &mut Context) {
        let unknown = self.table.iter();
        let unknown = unknown.filter(|(_, destination)| destination.distance_unknown);
        let unknown: Vec<DestinationId> = unknown.map(|(id, _)| id).collect();
        self.distances_known = true;
        for id in unknown {
            if let Some(destination) = self.table.get_mut(id) {
                destination.distance_unknown = false;
            }
            self.select(context, id);
            self.changes.push(Change::Compared(id));
        }
    }

    /// After listening for long enough, all that was heard may be used.
    pub fn compare_all(&mut self) {
        for id in self.senders.present() {
            self.compare_routes(id);
        }
    }
}
