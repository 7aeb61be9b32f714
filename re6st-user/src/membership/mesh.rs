//! How the nodes of a network keep tunnels, as its parameters say; what a node's file says wins.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    certificate::{node_prefix::NodePrefix, record::Country},
    config::{LONGEST_TUNNEL_REFRESH, MAXIMUM_MESH_TUNNELS},
    registry::documents::NetworkParameters,
};

/// What may change while a node runs. Numbers are within the bounds that a file's have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshParameters {
    /// Tunnels that a node opens and keeps.
    pub client_count: Option<usize>,
    /// Tunnels that others may have to it.
    pub max_clients: Option<usize>,
    /// Time between two looks at them.
    pub tunnel_refresh: Option<Duration>,
    /// No tunnel crosses the borders of these countries.
    pub same_country: BTreeSet<Country>,
    /// Who has no way to this node may be cut off, and asks the registry for others.
    pub registry_node: Option<NodePrefix>,
}

impl MeshParameters {
    /// Of a network, if its parameters are known.
    pub fn of(network: Option<&NetworkParameters>) -> Self {
        let Some(network) = network else {
            return Self::default();
        };
        let count = |count: Option<usize>| count.map(|it| it.min(MAXIMUM_MESH_TUNNELS));
        let refresh = network.tunnel_refresh();
        let refresh = refresh.filter(|refresh| !refresh.is_zero());
        Self {
            client_count: count(network.client_count()),
            max_clients: count(network.max_clients()),
            tunnel_refresh: refresh.map(|refresh| refresh.min(LONGEST_TUNNEL_REFRESH)),
            same_country: network.same_country().collect(),
            registry_node: network.registry_node(),
        }
    }
}
