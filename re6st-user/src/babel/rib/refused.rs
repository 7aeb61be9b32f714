//! Routes that are not taken of a neighbour because their origin may not announce them.

use std::{collections::BTreeMap, net::Ipv6Addr, time::Duration};

use super::Rib;
use crate::{
    babel::{
        context::Context,
        ids::{DestinationId, NeighbourId},
        input::InterfaceId,
        message::Update,
        origins::Refusal,
        output::Event,
        quantities::RouterId,
    },
    route::RouteKey,
    time::Time,
};

/// How often the log hears of each kind of refusal at a place, and how long it is warned of at least.
const BETWEEN_REPORTS: Duration = Duration::from_secs(600);

/// The last refusals, by place and kind.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<(InterfaceId, Refusal), Refused>);

/// A route that was not taken.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    pub neighbour: NeighbourId,
    pub address: Ipv6Addr,
    pub route: RouteKey,
    pub router_id: RouterId,
    last: Time,
    /// When the log was told.
    reported: Time,
}

impl Rib {
    /// Counts a refused route, and tells the log, seldom.
    pub(super) fn note_refusal(
        &mut self,
        context: &mut Context,
        neighbour: NeighbourId,
        (route, router_id): (RouteKey, RouterId),
        why: Refusal,
    ) {
        *match why {
            Refusal::Nameless => &mut context.counters.refused_nameless_origins,
            Refusal::TooShort => &mut context.counters.refused_short_origins,
            Refusal::Foreign => &mut context.counters.refused_foreign_origins,
            Refusal::NotEntitled => &mut context.counters.refused_not_entitled,
            Refusal::NoGateway => &mut context.counters.refused_no_gateway,
        } += 1;
        let Some(sender) = self.senders.get(neighbour) else {
            return;
        };
        let (interface, address, last) = (sender.interface, sender.address, context.now);
        let before = self.refusals.0.get(&(interface, why));
        let recent = before.map(|before| before.reported);
        let recent = recent.filter(|reported| last.since(*reported) < BETWEEN_REPORTS);
        let refused = Refused {
            neighbour,
            address,
            route,
            router_id,
            last,
            reported: recent.unwrap_or(last),
        };
        self.refusals.0.insert((interface, why), refused);
        if recent.is_none() {
            context.event(Event::RouteRefused {
                interface,
                address,
                route,
                router_id,
                why,
            });
        }
    }

    /// What was refused of late, or still is announced.
    pub fn refused(&self, now: Time) -> impl Iterator<Item = (InterfaceId, Refusal, &Refused)> {
        let all = self.refusals.0.iter();
        all.filter(move |(_, refused)| {
            now.since(refused.last) < BETWEEN_REPORTS || self.is_still_announced(refused)
        })
        .map(|((interface, why), refused)| (*interface, *why, refused))
    }

    fn is_still_announced(&self, refused: &Refused) -> bool {
        let id = self.table.find(&refused.route);
        let route = id.and_then(|id| self.table.get(id)?.route(refused.neighbour));
        let sender = self.senders.get(refused.neighbour);
        let (Some(route), Some(sender)) = (route, sender) else {
            return false;
        };
        route.ignored
            && !route.metric.is_infinite()
            && route.router_id == refused.router_id
            && route.generation == sender.generation
            && sender.address == refused.address
    }

    /// Nobody is there any more.
    pub fn forget_refusals(&mut self, interface: InterfaceId) {
        self.refusals.0.retain(|(at, _), _| *at != interface);
    }

    /// A neighbour may announce other things from now on: what it may not any more is not used any more, from now on. What it
    /// may now it has to announce again.
    pub fn judge_again(
        &mut self,
        context: &mut Context,
        from: NeighbourId,
        judge: impl Fn(&RouteKey, RouterId) -> Option<Refusal>,
    ) {
        let routes = self.senders.get(from).map(|sender| sender.routes.clone());
        let refused = |rib: &mut Self, id: DestinationId| {
            let destination = rib.table.get_mut(id)?;
            let key = destination.key;
            let route = destination.route_mut(from)?;
            let usable = !route.ignored && !route.metric.is_infinite();
            let why = judge(&key, route.router_id).filter(|_| usable)?;
            route.ignored = true;
            Some(((key, route.router_id), why))
        };
        for id in routes.into_iter().flatten() {
            if let Some((route, why)) = refused(self, id) {
                self.note_refusal(context, from, route, why);
            }
        }
        self.compare_routes(from);
    }

    /// An update that is not taken.
    pub(super) fn refuse_update(
        &mut self,
        context: &mut Context,
        from: NeighbourId,
        update: &Update,
        why: Option<Refusal>,
    ) {
        if let (Some(why), Some(router_id)) = (why, update.router_id) {
            self.note_refusal(context, from, (update.route, router_id), why);
        }
    }
}
