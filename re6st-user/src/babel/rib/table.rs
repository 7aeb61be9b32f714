//! The route table and the source table (RFC 8966 sections 3.2.5 and 3.2.6), both by prefix.

use std::collections::HashMap;

use super::{calendar::Tick, digest};
use crate::{
    babel::{
        ids::{DestinationId, NeighbourId},
        input::InterfaceId,
        quantities::{Interval, Metric, RouterId, SequenceNumber},
    },
    route::RouteKey,
};

/// What a neighbour announced of a prefix. There may be millions: every octet counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub router_id: RouterId,
    pub neighbour: NeighbourId,
    /// Where in the neighbour's list of routes this one is.
    pub position: u32,
    /// When it expires, unless its block of the neighbour's digest is refreshed later.
    pub expires: Tick,
    /// The appointment that looks after expiry.
    pub appointment: Tick,
    pub sequence_number: SequenceNumber,
    /// As announced.
    pub metric: Metric,
    /// The smallest announced since it has this origin and sequence number: the neighbour's feasibility distance is not
    /// larger, whatever it announces now.
    pub least_metric: Metric,
    /// Added by our accept filter.
    pub added: u16,
    /// As announced.
    pub interval: Interval,
    /// Of the neighbour's, when it was announced.
    pub generation: u16,
    /// Number among the neighbour's next hops.
    pub next_hop: u8,
    /// Not to be used: denied by a filter, or our own coming back.
    pub ignored: bool,
    /// The neighbour was asked for it again, shortly before it would expire.
    pub asked: bool,
}

impl Route {
    /// Whether another announcement of the same neighbour goes on where this one ended: same origin and sequence number,
    /// and no retraction between.
    pub fn is_same_life(&self, later: &Self) -> bool {
        self.router_id == later.router_id
            && self.sequence_number == later.sequence_number
            && !self.metric.is_infinite()
    }

    /// Whether a later announcement of the same neighbour changes nothing but the time of expiry.
    pub fn is_repeated_by(&self, later: &Self) -> bool {
        (self.router_id, self.sequence_number, self.metric)
            == (later.router_id, later.sequence_number, later.metric)
            && (self.added, self.interval, self.next_hop, self.ignored)
                == (later.added, later.interval, later.next_hop, later.ignored)
    }
}

/// A feasibility distance (section 3.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub router_id: RouterId,
    pub sequence_number: SequenceNumber,
    pub metric: Metric,
    /// When it was last raised or announced.
    pub used: Tick,
}

/// What neighbours are told of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub router_id: RouterId,
    pub sequence_number: SequenceNumber,
    /// Infinite in a retraction.
    pub metric: Metric,
}

/// What the data plane has for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    Nothing,
    Via {
        neighbour: NeighbourId,
        next_hop: u8,
    },
    Unreachable,
    /// From before the restart.
    Restored,
}

/// A prefix and all that is known of it.
#[derive(Debug)]
pub struct Destination {
    pub key: RouteKey,
    pub routes: Vec<Route>,
    pub sources: Vec<Source>,
    /// Whose route is in use.
    pub selected: Option<NeighbourId>,
    /// The metric of our own route.
    pub own: Option<Metric>,
    pub installed: Installed,
    /// What neighbours were last told, or will be in a moment; `None` if nothing, or the retraction is long ago.
    pub announced: Option<Announcement>,
    /// On which interface it was learned, as the digests count it.
    pub learned_on: Option<InterfaceId>,
    /// The data plane has not got it, though it should: nobody is told of it.
    pub not_installed: bool,
    /// Until when packets are refused after a loss.
    pub hold: Option<Tick>,
    /// Since when another route has been better.
    pub better_since: Option<Tick>,
    /// How many more times the announcement is sent, to be sure.
    pub resends: u8,
    /// The appointment for that.
    pub resend_at: Tick,
    /// The appointment for all else.
    pub look_at: Tick,
    /// It was announced before a restart, and how near we said to be is not known: nothing may be selected.
    pub distance_unknown: bool,
    /// Which block of a digest it belongs to.
    pub block: u8,
}

impl Destination {
    fn new(key: RouteKey) -> Self {
        Self {
            block: digest::block_of(&key),
            key,
            routes: Vec::new(),
            sources: Vec::new(),
            selected: None,
            own: None,
            installed: Installed::Nothing,
            announced: None,
            learned_on: None,
            not_installed: false,
            hold: None,
            better_since: None,
            resends: 0,
            resend_at: Tick::UNSET,
            look_at: Tick::UNSET,
            distance_unknown: false,
        }
    }

    pub fn route(&self, neighbour: NeighbourId) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.neighbour == neighbour)
    }

    pub fn route_mut(&mut self, neighbour: NeighbourId) -> Option<&mut Route> {
        self.routes
            .iter_mut()
            .find(|route| route.neighbour == neighbour)
    }

    /// The route in use.
    pub fn selected_route(&self) -> Option<&Route> {
        self.route(self.selected?)
    }

    /// The feasibility distance for an origin.
    pub fn source(&self, router_id: RouterId) -> Option<&Source> {
        self.sources
            .iter()
            .find(|source| source.router_id == router_id)
    }

    /// Whether a route as announced cannot loop (section 3.5.1).
    pub fn is_feasible(
        &self,
        router_id: RouterId,
        sequence_number: SequenceNumber,
        metric: Metric,
    ) -> bool {
        metric.is_infinite()
            || self.source(router_id).is_none_or(|source| {
                sequence_number.is_newer_than(source.sequence_number)
                    || sequence_number == source.sequence_number && metric < source.metric
            })
    }

    /// Whether a route cannot loop (section 3.5.1): by the smallest metric its neighbour announced, which is what shows
    /// that the neighbour is nearer. A cost that grows makes a route worse, but not unfeasible.
    pub fn is_route_feasible(&self, route: &Route) -> bool {
        self.is_feasible(route.router_id, route.sequence_number, route.least_metric)
    }

    /// What neighbours were told, unless it was retracted.
    pub fn finite_announcement(&self) -> Option<Announcement> {
        self.announced.filter(|told| !told.metric.is_infinite())
    }

    /// Forgets feasibility distances of origins that have not been announced for so many ticks (section 3.7.3). Gives whether
    /// there were any.
    pub fn forget_sources(&mut self, now: Tick, lifetime: u32) -> bool {
        let before = self.sources.len();
        self.use_source(now);
        self.sources
            .retain(|source| now.0.saturating_sub(source.used.0) < lifetime);
        self.sources.len() < before
    }

    /// Until now what was announced was announced again and again: its distance is forgotten three minutes after that
    /// (section 3.7.3).
    pub fn use_source(&mut self, now: Tick) {
        let Some(announced) = self.finite_announcement() else {
            return;
        };
        for source in &mut self.sources {
            if source.router_id == announced.router_id {
                source.used = now;
            }
        }
    }

    /// Raises the feasibility distance before an announcement is sent (section 3.7.3). Gives whether an origin had to be
    /// forgotten to make room for a new one.
    pub fn raise_source(&mut self, announcement: Announcement, now: Tick, most: usize) -> bool {
        let Announcement {
            router_id,
            sequence_number,
            metric,
        } = announcement;
        if metric.is_infinite() {
            return false;
        }
        if let Some(source) = self
            .sources
            .iter_mut()
            .find(|source| source.router_id == router_id)
        {
            source.used = now;
            if sequence_number.is_newer_than(source.sequence_number) {
                source.sequence_number = sequence_number;
                source.metric = metric;
            } else if sequence_number == source.sequence_number {
                source.metric = source.metric.min(metric);
            }
            return false;
        }
        let full = self.sources.len() >= most.max(1);
        if full {
            let oldest = (0..self.sources.len()).min_by_key(|place| self.sources[*place].used);
            if let Some(oldest) = oldest {
                self.sources.swap_remove(oldest);
            }
        }
        self.sources.push(Source {
            router_id,
            sequence_number,
            metric,
            used: now,
        });
        full
    }

    /// Another way than before a restart is announced from now on. Whoever hears that may come to be nearer than the way of
    /// before, which must show anew that it is.
    pub fn leave_way_of_before(&mut self, chosen: NeighbourId) {
        for route in &mut self.routes {
            if route.neighbour != chosen && route.least_metric == Metric::ZERO {
                route.least_metric = route.metric;
            }
        }
    }

    /// Takes for granted that we announced a route of this origin with this sequence number as if we were next to the
    /// origin: from now on only newer ones are feasible.
    pub fn assume_nearest(
        &mut self,
        router_id: RouterId,
        number: SequenceNumber,
        now: Tick,
        most: usize,
    ) {
        let nearest = Announcement {
            router_id,
            sequence_number: number,
            metric: Metric(1),
        };
        self.raise_source(nearest, now, most);
        self.distance_unknown = false;
    }

    /// Whether packets to it get anywhere.
    pub const fn has_way(&self) -> bool {
        self.own.is_some() || self.selected.is_some()
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.sources.is_empty()
            && self.own.is_none()
            && self.announced.is_none()
            && self.hold.is_none()
            && !self.not_installed
            && self.installed == Installed::Nothing
    }
}

/// All prefixes, by number and by key.
#[derive(Debug, Default)]
pub struct Table {
    places: Vec<Option<Destination>>,
    free: Vec<DestinationId>,
    by_key: HashMap<RouteKey, DestinationId>,
    /// How many routes neighbours announce, to all prefixes together.
    pub routes: usize,
}

impl Table {
    pub fn get(&self, id: DestinationId) -> Option<&Destination> {
        self.places.get(id.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: DestinationId) -> Option<&mut Destination> {
        self.places.get_mut(id.0 as usize)?.as_mut()
    }

    pub fn find(&self, key: &RouteKey) -> Option<DestinationId> {
        self.by_key.get(key).copied()
    }

    pub fn find_or_insert(&mut self, key: RouteKey) -> DestinationId {
        if let Some(id) = self.find(&key) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            DestinationId(self.places.len() as u32 - 1)
        });
        self.places[id.0 as usize] = Some(Destination::new(key));
        self.by_key.insert(key, id);
        id
    }

    /// Forgets a prefix of which nothing is left. Gives it if it was one.
    pub fn remove_if_empty(&mut self, id: DestinationId) -> Option<Destination> {
        let place = self.places.get_mut(id.0 as usize)?;
        let removed = place.take_if(|destination| destination.is_empty())?;
        self.by_key.remove(&removed.key);
        self.free.push(id);
        Some(removed)
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Numbers are below this.
    pub fn end(&self) -> u32 {
        self.places.len() as u32
    }

    pub fn iter(&self) -> impl Iterator<Item = (DestinationId, &Destination)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(place, destination)| {
                Some((DestinationId(place as u32), destination.as_ref()?))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Option<RouterId> = RouterId::new([1; 8]);

    fn announcement(sequence_number: u16, metric: u16) -> Announcement {
        Announcement {
            router_id: ORIGIN.unwrap_or_else(|| unreachable!()),
            sequence_number: SequenceNumber(sequence_number),
            metric: Metric(metric),
        }
    }

    fn destination() -> Destination {
        let prefix = "2001:db8::/64".parse().unwrap_or_else(|_| unreachable!());
        Destination::new(RouteKey::new(prefix, None).unwrap_or_else(|_| unreachable!()))
    }

    #[test]
    fn only_newer_or_strictly_nearer_routes_are_feasible() {
        let mut destination = destination();
        destination.raise_source(announcement(10, 200), Tick(0), 4);
        let router_id = announcement(0, 0).router_id;
        let cases = [
            (10, 199, true),
            (10, 200, false),
            (10, 300, false),
            (11, 60_000, true),
            (9, 1, false),
            (9, u16::MAX, true),
        ];
        for (number, metric, expected) in cases {
            let feasible =
                destination.is_feasible(router_id, SequenceNumber(number), Metric(metric));
            assert_eq!(feasible, expected, "number {number}, metric {metric}");
        }
    }

    #[test]
    fn the_feasibility_distance_only_falls_within_a_sequence_number() {
        let mut destination = destination();
        for (number, metric, expected) in [
            (10, 200, 200),
            (10, 300, 200),
            (10, 100, 100),
            (9, 5, 100),
            (11, 900, 900),
        ] {
            destination.raise_source(announcement(number, metric), Tick(0), 4);
            assert_eq!(
                destination.sources[0].metric,
                Metric(expected),
                "after ({number}, {metric})"
            );
        }
    }

    #[test]
    fn retractions_raise_nothing() {
        let mut destination = destination();
        destination.raise_source(announcement(10, u16::MAX), Tick(0), 4);
        assert_eq!(destination.sources, []);
    }

    #[test]
    fn the_memory_of_a_route_is_stated() {
        assert_eq!(size_of::<Route>(), 40);
        assert!(
            size_of::<Destination>() <= 176,
            "{}",
            size_of::<Destination>()
        );
    }
}
