//! What a routing protocol is to the controller, which carries its packets, tells it of links, and writes its routes.
//!
//! A protocol is pure: it has no clock, no socket and no random source, and does nothing but answer. [`Speaker`] is Babel,
//! [`StaticRoutes`] a node whose routes are all in its configuration; others plug in here.

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    babel::{
        counters::Counters,
        input::{Distance, Input, InstalledRoute, InterfaceId},
        output::{Event, NeighbourSnapshot, Output, Page, RouteSnapshot, Totals},
        quantities::{RouterId, SequenceNumber},
        speaker::Speaker,
    },
    route::RouteKey,
    time::Time,
};

mod babel;

/// A routing protocol. What it must do is without a default; a protocol that has nothing to tell tells nothing.
pub trait Routing {
    /// Handles what happened, and whatever is due at `now`; appends what is to be done, in order.
    fn handle(&mut self, now: Time, input: Input, outputs: &mut Vec<Output>);

    /// When [`Routing::handle`] must be called at the latest; `None` if nothing is due.
    fn next_deadline(&self) -> Option<Time>;

    /// The routes in use, as they were last told to the data plane.
    fn installed(&self) -> Vec<InstalledRoute> {
        Vec::new()
    }

    /// What must be kept for the next life; `None` if that is not known yet.
    fn distances(&self) -> Option<Vec<Distance>> {
        Some(Vec::new())
    }

    /// Whether it needs neighbours and has none.
    fn is_alone(&self) -> bool {
        false
    }

    /// Whether somebody is heard on an interface.
    fn hears_on(&self, _interface: InterfaceId) -> bool {
        false
    }

    /// An event, for people.
    fn describe(&self, event: &Event) -> String {
        event.words("")
    }

    /// What it tells of itself.
    fn summary(&self) -> Option<Summary> {
        None
    }

    /// What cannot work as it is, and why.
    fn warnings(&self, _now: Time) -> Vec<String> {
        Vec::new()
    }

    /// All it knows of one route.
    fn route(&self, _now: Time, _route: &RouteKey) -> Option<RouteSnapshot> {
        None
    }

    /// A page of all routes, from a place on: those to prefixes that lie in `near`, or in which it lies.
    fn route_page(&self, _now: Time, _from: u32, _near: Option<IpNet>) -> Page<RouteSnapshot> {
        Page {
            items: Vec::new(),
            next: None,
        }
    }

    /// A page of all neighbours, from a place on.
    fn neighbour_page(&self, _from: u32) -> Page<NeighbourSnapshot> {
        Page {
            items: Vec::new(),
            next: None,
        }
    }
}

/// What a protocol tells of itself: short, however big the mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Our own; [`RouterId`] says how it is written.
    #[serde(serialize_with = "as_text")]
    pub router_id: RouterId,
    /// Of our own routes.
    pub sequence_number: SequenceNumber,
    /// How much it knows.
    #[serde(flatten)]
    pub totals: Totals,
    /// How often what happened.
    pub counters: Counters,
}

fn as_text<S: serde::Serializer>(router_id: &RouterId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(router_id)
}

/// No protocol: the load has written all routes, and neighbours that speak one are not listened to.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaticRoutes;

impl Routing for StaticRoutes {
    fn handle(&mut self, _now: Time, _input: Input, _outputs: &mut Vec<Output>) {}

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}
