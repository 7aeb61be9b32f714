//! The routes of this node, as the mesh wants to know them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    babel::settings::RoundTrip,
    certificate::{network::Network, node_prefix::NodePrefix},
    mesh::{Metric, Routes},
    route::RouteKey,
    routing::Routing,
    time::Time,
};

/// What a tunnel costs without any delay (RFC 8966, appendix A.2).
const PLAIN_COST: u16 = 96;
/// For so long what was found out holds: routes change in between, and the mesh looks at them again.
const AGE: Duration = Duration::from_secs(1);

/// The nodes that can be reached, looked up once in a while.
#[derive(Debug, Default)]
pub struct Reachable {
    looked_at: Option<Time>,
    nodes: Vec<NodePrefix>,
    metrics: HashMap<NodePrefix, Metric>,
}

impl Reachable {
    /// Looks at the routes, unless that was done just now.
    pub fn look(&mut self, now: Time, routing: &dyn Routing, network: &Network, own: NodePrefix) {
        if self.looked_at.is_some_and(|at| now.since(at) < AGE) {
            return;
        }
        self.looked_at = Some(now);
        let mut metrics = BTreeMap::new();
        for installed in routing.installed() {
            let IpNet::V6(to) = installed.route.to() else {
                continue;
            };
            let node = NodePrefix::of_subnet(&to, network);
            let from_anywhere = installed.route.from().is_none();
            if let Some(node) = node.filter(|node| from_anywhere && *node != own) {
                metrics.insert(node, installed.metric);
            }
        }
        self.nodes = metrics.keys().copied().collect();
        self.metrics = metrics.into_iter().collect();
    }

    /// How many nodes can be reached.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }
}

/// All that is known of routes at a moment.
pub struct View<'a> {
    pub reachable: &'a Reachable,
    pub routing: &'a dyn Routing,
    pub network: Network,
    pub now: Time,
}

impl Routes for View<'_> {
    fn count(&self) -> usize {
        self.reachable.count()
    }

    fn node(&self, index: usize) -> Option<NodePrefix> {
        self.reachable.nodes.get(index).copied()
    }

    fn metric(&self, node: NodePrefix) -> Option<Metric> {
        self.reachable.metrics.get(&node).copied()
    }

    fn metric_by(&self, node: NodePrefix, neighbour: NodePrefix) -> Option<Metric> {
        let subnet = node.subnet(&self.network)?;
        let key = RouteKey::new(IpNet::V6(subnet), None).ok()?;
        let route = self.routing.route(self.now, &key)?;
        let tunnel = neighbour.common_name();
        // a way that leads by us is announced with at least our metric and the cost of a tunnel. One that is announced with less
        // does not: if it is not feasible, it is once our own is worse, for then Babel asks for a newer sequence number
        let by_us = self.metric(node)?.0.saturating_add(PLAIN_COST);
        let mut ways = route.candidates.iter();
        let way = ways.find(|way| {
            let is_usable = way.feasible || way.advertised_metric.0 < by_us;
            is_usable && way.interface_name == tunnel
        })?;
        let metric = way.metric;
        (!metric.is_infinite()).then_some(metric)
    }

    fn cost(&self, round_trip: Duration) -> Metric {
        Metric(PLAIN_COST.saturating_add(RoundTrip::default().penalty(round_trip)))
    }
}
