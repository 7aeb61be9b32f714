//! Babel as the controller sees it.

use super::*;

impl Routing for Speaker {
    fn handle(&mut self, now: Time, input: Input, outputs: &mut Vec<Output>) {
        Self::handle(self, now, input, outputs);
    }

    fn next_deadline(&self) -> Option<Time> {
        Self::next_deadline(self)
    }

    fn installed(&self) -> Vec<InstalledRoute> {
        Self::installed(self)
    }

    fn distances(&self) -> Option<Vec<Distance>> {
        Self::distances(self)
    }

    fn is_alone(&self) -> bool {
        Self::is_alone(self)
    }

    fn hears_on(&self, interface: InterfaceId) -> bool {
        Self::hears_on(self, interface)
    }

    fn describe(&self, event: &Event) -> String {
        Self::describe(self, event)
    }

    fn summary(&self) -> Option<Summary> {
        Some(Summary {
            router_id: self.settings().router_id,
            sequence_number: self.sequence_number(),
            totals: self.totals(),
            counters: *self.counters(),
        })
    }

    fn warnings(&self, now: Time) -> Vec<String> {
        Self::warnings(self, now)
    }

    fn route(&self, now: Time, route: &RouteKey) -> Option<RouteSnapshot> {
        Self::route(self, now, route)
    }

    fn route_page(&self, now: Time, from: u32, near: Option<IpNet>) -> Page<RouteSnapshot> {
        Self::route_page(self, now, from, near)
    }

    fn neighbour_page(&self, from: u32) -> Page<NeighbourSnapshot> {
        Self::neighbour_page(self, from)
    }
}
