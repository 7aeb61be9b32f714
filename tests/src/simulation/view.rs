//! The routes that nodes have.

use std::time::Duration;

use re6st_user::{
    certificate::node_prefix::NodePrefix,
    mesh::{Metric, Random, Routes},
    time::Time,
};

use super::{
    generator::Generator,
    graph::{Components, NONE},
    options::{LIE, Lies, Options},
    underlay::{RELAY, Underlay},
};

/// The name of the node with a number.
pub fn name(number: usize) -> NodePrefix {
    NodePrefix::new(number as u128, 20).unwrap_or_default()
}

/// The number of the node with a name.
pub fn number(name: NodePrefix) -> usize {
    name.number() as usize
}

/// The ways that are known by now.
#[derive(Debug, Default)]
pub struct Ways {
    /// Parts of the network.
    pub components: Components,
    /// The nodes to which ways are known exactly, and where their distances are.
    pub landmarks: Vec<u32>,
    /// The place of each node among these.
    pub landmark_of: Vec<Option<u32>>,
    /// To each landmark, of all nodes.
    pub distances: Vec<Vec<u16>>,
    /// Since when.
    pub components_at: Time,
    /// Since when.
    pub distances_at: Time,
    /// Tunnels have come or gone since.
    pub is_stale: bool,
    /// The same.
    pub are_distances_stale: bool,
}

impl Ways {
    /// Where the distances to a node are.
    fn landmark(&self, node: usize) -> Option<usize> {
        let place = self.landmark_of.get(node).copied().flatten()?;
        Some(place as usize)
    }
}

/// The routes of one node.
pub struct View<'a> {
    /// Whose.
    pub node: usize,
    /// Of all.
    pub ways: &'a Ways,
    /// What tunnels cost.
    pub underlay: &'a Underlay,
    /// Who lies.
    pub options: &'a Options,
}

impl View<'_> {
    /// The neighbour is an attacker's, and lies about its ways.
    fn is_liar(&self, neighbour: usize) -> bool {
        self.options.lies == Lies::AnswersAndRoutes && self.options.is_hostile(neighbour)
    }

    fn members(&self) -> &[u32] {
        let component = self.ways.components.of.get(self.node);
        component.map_or(&[], |component| {
            match self.ways.components.members.get(*component as usize) {
                Some(members) => members,
                None => &[],
            }
        })
    }

    fn reaches(&self, other: usize) -> bool {
        let of = &self.ways.components.of;
        other != self.node
            && of
                .get(other)
                .is_some_and(|part| *part != u32::MAX && of.get(self.node) == Some(part))
    }
}

impl Routes for View<'_> {
    fn count(&self) -> usize {
        self.members().len().saturating_sub(1)
    }

    fn node(&self, index: usize) -> Option<NodePrefix> {
        let own = *self.ways.components.place.get(self.node)? as usize;
        let index = if index >= own { index + 1 } else { index };
        Some(name(*self.members().get(index)? as usize))
    }

    fn metric(&self, node: NodePrefix) -> Option<Metric> {
        let node = number(node);
        if !self.reaches(node) {
            return None;
        }
        // what is not known exactly is far away
        let Some(landmark) = self.ways.landmark(node) else {
            return Some(Metric(NONE - 1));
        };
        let metric = self.ways.distances[landmark][self.node];
        Some(Metric(metric.min(NONE - 1)))
    }

    fn metric_by(&self, node: NodePrefix, neighbour: NodePrefix) -> Option<Metric> {
        let (node, neighbour) = (number(node), number(neighbour));
        let link = self.underlay.cost(self.node, neighbour);
        let link = u16::try_from(link).unwrap_or(NONE - 1);
        if node == neighbour {
            return Some(Metric(link));
        }
        if !self.reaches(node) {
            return None;
        }
        if self.is_liar(neighbour) {
            return Some(Metric(link).plus(LIE));
        }
        let Some(landmark) = self.ways.landmark(node) else {
            return Some(Metric(NONE - 1));
        };
        let distances = &self.ways.distances[landmark];
        let (own, theirs) = (distances[self.node], distances[neighbour]);
        let back = own.saturating_add(link).saturating_add(RELAY as u16);
        // its own way leads by us: it does not announce that here
        let offered = theirs != NONE && theirs < back;
        offered.then(|| Metric(theirs).plus(Metric(link)).plus(Metric(RELAY as u16)))
    }

    fn cost(&self, round_trip: Duration) -> Metric {
        let tenths = round_trip.as_micros() / 100;
        Metric(
            u16::try_from(tenths)
                .unwrap_or(NONE)
                .saturating_add(RELAY as u16),
        )
    }

    fn sample(&self, most: usize, random: Random<'_>) -> Vec<NodePrefix> {
        let landmarks = self.ways.landmarks.iter();
        let reached = landmarks.filter(|landmark| self.reaches(**landmark as usize));
        let mut nodes = Vec::from_iter(reached.map(|landmark| name(*landmark as usize)));
        if self.options.landmarks <= most {
            return nodes;
        }
        let mut octets = [0; 8];
        random(&mut octets);
        let mut generator = Generator::new(u64::from_le_bytes(octets));
        for place in 0..most.min(nodes.len()) {
            let other = place + generator.below(nodes.len() - place);
            nodes.swap(place, other);
        }
        nodes.truncate(most);
        nodes
    }
}
