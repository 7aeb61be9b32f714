//! Other nodes that take themselves for this one: their configuration is a copy of ours, perhaps.

use ipnet::IpNet;

use super::controller::Controller;
use crate::{route::RouteKey, time::Time};

impl Controller {
    /// Our subnets that others announce too: who is nearer to them gets our packets, and our hosts.
    pub(super) fn twins(&self, now: Time) -> Vec<String> {
        let Some(own) = self.routing.summary().map(|summary| summary.router_id) else {
            return Vec::new();
        };
        let twin = |address: &IpNet| {
            let subnet = address.trunc();
            let route = RouteKey::new(subnet, None).ok()?;
            let route = self.routing.route(now, &route)?;
            let other = route.candidates.into_iter().find(|candidate| {
                candidate.router_id != own && !candidate.advertised_metric.is_infinite()
            })?;
            Some(format!(
                "{subnet}, which `addresses` says is ours, is announced by another node too (router-id {}, heard on {}): \
                 whoever is nearer to it does not reach this one",
                other.router_id, other.interface_name
            ))
        };
        self.config.addresses.iter().filter_map(twin).collect()
    }
}
