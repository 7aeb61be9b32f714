//! The routes of this node, as the mesh wants to know them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    babel::{input::InstalledRoute, origins::node_of, settings::RoundTrip},
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
            if let Some(node) = node_at(&installed, network).filter(|node| *node != own) {
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

/// The node that a route leads to: the one whose prefix it is, if its origin's router-id names just that node. Whoever announces parts
/// of a prefix is not as many nodes. Of before a restart the origin is not known, and the prefix must do until it is heard again.
fn node_at(installed: &InstalledRoute, network: &Network) -> Option<NodePrefix> {
    let IpNet::V6(to) = installed.route.to() else {
        return None;
    };
    let node = match installed.origin {
        Some(origin) => node_of(origin)?,
        None => NodePrefix::of_subnet(&to, network)?,
    };
    let is_its_own = installed.route.from().is_none() && node.subnet(network) == Some(to);
    is_its_own.then_some(node)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::*;
    use crate::babel::{
        input::InterfaceId, message::NextHop, origins::router_id_of, quantities::RouterId,
    };

    #[test]
    fn a_route_leads_to_a_node_if_it_is_the_one_that_the_origins_name_gives_it() {
        let network = "2001:db8:42::/48".parse().unwrap();
        let named = |name| router_id_of(&NodePrefix::from_common_name(name).unwrap(), 9);
        let stranger = RouterId::new([2, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1]);
        // the prefix, the source prefix, the origin, whose it is
        let cases = [
            ("2001:db8:42:1::/64", None, named("1/16"), Some("1/16")),
            ("2001:db8:42:1:100::/72", None, named("1/16"), None),
            ("2001:db8:42:1::1/128", None, named("1/16"), None),
            (
                "2001:db8:42:1::/64",
                Some("2001:db8::/32"),
                named("1/16"),
                None,
            ),
            ("2001:db8:42:2::/64", None, named("1/16"), None),
            ("2001:db8:42:1::/64", None, stranger, None),
            ("2001:db8:43::/64", None, named("1/16"), None),
            ("10.42.1.0/24", None, named("1/16"), None),
            // of before a restart
            ("2001:db8:42:1::/64", None, None, Some("1/16")),
            ("2001:db8:43::/64", None, None, None),
        ];
        for (to, from, origin, expected) in cases {
            let route = RouteKey::new(to.parse().unwrap(), from.map(|it| it.parse().unwrap()));
            let installed = InstalledRoute {
                route: route.unwrap(),
                interface: InterfaceId(1),
                next_hop: NextHop::Ipv6("fe80::1".parse().unwrap()),
                metric: Metric(96),
                origin,
            };
            let node = node_at(&installed, &network).map(|node| node.common_name());
            assert_eq!(node.as_deref(), expected, "{to} of {origin:?}");
        }
    }
}
