//! Route selection (RFC 8966 section 3.6): which of the routes to a prefix is used. Pure: the same routes, costs and time
//! give the same decision.
//!
//! A route can be used if its metric is finite and it is feasible (section 3.5.1): then it cannot be part of a loop. Of these
//! the one with the smallest metric is selected, but the one in use stays until another
//!
//! - has been better for some seconds (`hysteresis`),
//! - is better by a quarter,
//! - is better and of the same origin with a newer sequence number, or
//! - is the only one to answer a request that somebody sent us (section 3.8.1.2), who may have no route until we use it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    calendar::Tick,
    sender::Senders,
    table::{Destination, Route},
};
use crate::{
    babel::{
        ids::{DestinationId, NeighbourId},
        quantities::{Metric, RouterId, SequenceNumber, UNRESPONSIVE},
    },
    time::Time,
};

/// Numbers that somebody asked us for and waits for, by prefix and origin.
pub type Sought = BTreeMap<(DestinationId, RouterId), SequenceNumber>;

/// What a decision depends on beside the prefix and its routes.
#[derive(Clone, Copy, Debug)]
pub struct Costs<'a> {
    pub senders: &'a Senders,
    pub sought: &'a Sought,
    /// For how long another route must be better before it replaces one that still works.
    pub hysteresis: Duration,
    /// Until then nothing is selected: we only listen.
    pub listening_until: Time,
}

/// Which route is used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whose route; `None` if the prefix is ours, or there is none that can be used.
    pub selected: Option<NeighbourId>,
    /// Since when another one has been better, which has not replaced it yet.
    pub better_since: Option<Tick>,
    pub reason: Reason,
}

/// Why a decision is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// We are an origin ourselves.
    Own,
    /// None is feasible and finite.
    NoneUsable,
    /// None is better.
    Best,
    /// It is not much better than the one in use before, but has been for long enough, is much better, or newer.
    Replaced,
    /// Another one is better, but not for long.
    Hysteresis,
    /// It answers what somebody asks for, and the best one does not.
    Sought,
}

impl Reason {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Own => "it is our own",
            Self::NoneUsable => "none is feasible and finite",
            Self::Best => "it is the best",
            Self::Replaced => "it is better than the one before",
            Self::Hysteresis => "a better one has not lasted yet",
            Self::Sought => "it answers what somebody asks for",
        }
    }
}

impl Costs<'_> {
    /// Selects a route to a prefix.
    pub fn decide(&self, id: DestinationId, destination: &Destination, now: Time) -> Decision {
        let decision = |selected, better_since, reason| Decision {
            selected,
            better_since,
            reason,
        };
        if destination.own.is_some() {
            return decision(None, None, Reason::Own);
        }
        let best = self.best(destination, now);
        let Some((metric, current)) = self.current(destination, now) else {
            return match best {
                Some((_, best)) => decision(Some(best), None, Reason::Best),
                None => decision(None, None, Reason::NoneUsable),
            };
        };
        if let Some(sought) = self.sought(id, destination, current, now) {
            return decision(Some(sought), None, Reason::Sought);
        }
        let stays = decision(Some(current), None, Reason::Best);
        let Some((better, other)) = best.filter(|(better, _)| *better < metric) else {
            return stays;
        };
        let since = destination.better_since.unwrap_or(Tick::from_time(now));
        let much = u32::from(better.0) * 4 <= u32::from(metric.0) * 3;
        let long = now.since(since.time()) >= self.hysteresis;
        // whoever starves waits for a newer number
        match much || long || is_newer(destination, other, current) {
            true => decision(Some(other), None, Reason::Replaced),
            false => decision(Some(current), Some(since), Reason::Hysteresis),
        }
    }

    /// Whether a route may be used: finite and feasible.
    pub fn is_usable(&self, destination: &Destination, route: &Route, now: Time) -> bool {
        !self.senders.metric(route).is_infinite()
            && destination.is_route_feasible(route)
            && !destination.distance_unknown
            && now >= self.listening_until
    }

    /// The best usable route; among equals the first.
    fn best(&self, destination: &Destination, now: Time) -> Option<(Metric, NeighbourId)> {
        let routes = destination.routes.iter();
        routes
            .filter(|route| self.is_usable(destination, route, now))
            .map(|route| (self.senders.metric(route), route.neighbour))
            .min()
    }

    /// The route in use, if it still can be.
    fn current(&self, destination: &Destination, now: Time) -> Option<(Metric, NeighbourId)> {
        let route = destination.route(destination.selected?)?;
        self.is_usable(destination, route, now)
            .then(|| (self.senders.metric(route), route.neighbour))
    }

    /// The best route that answers what somebody asks for, where the one in use does not: whoever asked may have no way at all
    /// until it is used.
    fn sought(
        &self,
        id: DestinationId,
        destination: &Destination,
        in_use: NeighbourId,
        now: Time,
    ) -> Option<NeighbourId> {
        let in_use = destination.route(in_use)?;
        let number = self.sought.get(&(id, in_use.router_id))?;
        let answers = |route: &&Route| {
            route.router_id == in_use.router_id
                && !number.is_newer_than(route.sequence_number)
                && self.is_usable(destination, route, now)
        };
        if answers(&in_use) {
            return None;
        }
        let answers = destination.routes.iter().filter(answers);
        let best = answers.map(|route| (self.senders.metric(route), route.neighbour));
        let (_, neighbour) = best.min().filter(|(metric, _)| metric.0 < UNRESPONSIVE)?;
        Some(neighbour)
    }

    /// Who announces a route that cannot be used but would be better than what is used, if anything is: worth a request
    /// (sections 3.8.2.1 and 3.8.2.2).
    pub fn better_unfeasible(&self, destination: &Destination) -> Option<NeighbourId> {
        if destination.own.is_some() {
            return None;
        }
        let unfeasible = destination
            .routes
            .iter()
            .filter(|route| !destination.is_route_feasible(route))
            .map(|route| (self.senders.metric(route), route.neighbour))
            .min();
        let selected = destination.selected_route();
        let used = selected.map_or(Metric::INFINITY, |route| self.senders.metric(route));
        let (_, sender) = unfeasible.filter(|(metric, _)| *metric < used)?;
        Some(sender)
    }
}

/// Whether a route is newer than another of the same origin.
fn is_newer(destination: &Destination, one: NeighbourId, other: NeighbourId) -> bool {
    let route = |neighbour| destination.route(neighbour);
    let (Some(one), Some(other)) = (route(one), route(other)) else {
        return false;
    };
    one.router_id == other.router_id && one.sequence_number.is_newer_than(other.sequence_number)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::babel::{
        input::InterfaceId,
        quantities::Interval,
        rib::{sender::Sender, table::Table},
    };

    /// A route of a neighbour, whose link costs 10, announced with this number and metric.
    fn route(neighbour: u32, number: u16, metric: u16) -> Route {
        Route {
            router_id: RouterId::LEAST,
            neighbour: NeighbourId(neighbour),
            position: 0,
            expires: Tick(u32::MAX),
            appointment: Tick::UNSET,
            sequence_number: SequenceNumber(number),
            metric: Metric(metric),
            least_metric: Metric(metric),
            added: 0,
            interval: Interval(400),
            generation: 0,
            next_hop: Sender::ITSELF,
            ignored: false,
            asked: false,
        }
    }

    #[test]
    fn a_route_in_use_stays_until_another_is_better_for_long_by_much_or_newer() {
        use Reason::{Best, Hysteresis, NoneUsable, Replaced, Sought as Asked};
        let (now, long_ago) = (Time(100_000_000), Some(Tick(950)));
        // the route in use, another one, since when that is better, what is sought; who is selected, and why
        let cases = [
            (None, (1, 90), None, None, Some(1), Best),
            (None, (1, u16::MAX), None, None, None, NoneUsable),
            (Some((1, 100)), (1, 120), None, None, Some(0), Best),
            (Some((1, 100)), (1, 90), None, None, Some(0), Hysteresis),
            (Some((1, 100)), (1, 90), long_ago, None, Some(1), Replaced),
            (Some((1, 100)), (1, 70), None, None, Some(1), Replaced),
            (Some((1, 100)), (2, 90), None, None, Some(1), Replaced),
            (Some((1, 100)), (2, 120), None, Some(2), Some(1), Asked),
            (Some((2, 100)), (1, 120), None, Some(2), Some(0), Best),
        ];
        for case in cases {
            let (current, other, better_since, sought, expected, reason) = case;
            let mut senders = Senders::default();
            for id in [0, 1] {
                let mut sender = Sender::new(InterfaceId(1), Ipv6Addr::LOCALHOST);
                sender.cost = Metric(10);
                senders.insert(NeighbourId(id), sender);
            }
            let mut table = Table::default();
            let prefix = "2001:db8::/64".parse().unwrap_or_else(|_| unreachable!());
            let key = crate::route::RouteKey::new(prefix, None);
            let id = table.find_or_insert(key.unwrap_or_else(|_| unreachable!()));
            let destination = table.get_mut(id).unwrap_or_else(|| unreachable!());
            destination.selected = current.map(|_| NeighbourId(0));
            let current = current.map(|(number, metric)| route(0, number, metric));
            destination.routes.extend(current);
            destination.routes.push(route(1, other.0, other.1));
            destination.better_since = better_since;
            let sought = sought.map(|number| ((id, RouterId::LEAST), SequenceNumber(number)));
            let costs = Costs {
                senders: &senders,
                sought: &sought.into_iter().collect(),
                hysteresis: Duration::from_secs(4),
                listening_until: now,
            };
            let decision = costs.decide(id, destination, now);
            assert_eq!(decision.selected.map(|id| id.0), expected, "{case:?}");
            assert_eq!(decision.reason, reason, "{case:?}");
        }
    }
}
