//! What the routing protocol knows.

use std::time::Duration;

use super::{Random, random};
use crate::certificate::node_prefix::NodePrefix;
pub use crate::route::Metric;

/// The routes of this node, looked up when the mesh wants to know something: nothing is copied. All nodes are those whose
/// certificates entitle them to the routes they announce, and never this one.
pub trait Routes {
    /// How many nodes can be reached.
    fn count(&self) -> usize;

    /// One of them; `index` is below [`Self::count`]. Their order is of no importance, but it is the same during a call of the mesh.
    fn node(&self, index: usize) -> Option<NodePrefix>;

    /// What the best way to a node costs; none if there is no way.
    fn metric(&self, node: NodePrefix) -> Option<Metric>;

    /// What the way to a node by a neighbour costs, with the tunnel to the neighbour; none if the neighbour offers none that may be used
    /// (that goes round in no circle: of Babel's, the feasible ones).
    fn metric_by(&self, node: NodePrefix, neighbour: NodePrefix) -> Option<Metric>;

    /// What a tunnel with this round trip would cost.
    fn cost(&self, round_trip: Duration) -> Metric;

    /// Some of the nodes that can be reached, drawn at random: all of them if they are not more than `most`, else so many, without
    /// doubles.
    fn sample(&self, most: usize, random: Random<'_>) -> Vec<NodePrefix> {
        let indexes = random::distinct(self.count(), most, random);
        let nodes = indexes.into_iter().filter_map(|index| self.node(index));
        nodes.collect()
    }
}
