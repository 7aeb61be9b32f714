//! What a neighbour is worth: how much longer the ways of this node would be without it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    certificate::node_prefix::NodePrefix,
    mesh::routes::{Metric, Routes},
};

/// A way to one destination.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Way {
    /// How much the destination counts; 1 without traffic.
    weight: f64,
    /// The best way's cost.
    first: f64,
    by: NodePrefix,
    /// The best one's by another neighbour; not more than twice the best, for so little is known of what would be if there were none.
    second: f64,
}

/// The ways to some destinations, which stand for all.
#[derive(Clone, PartialEq, Debug)]
pub struct Survey {
    pub destinations: Arc<[NodePrefix]>,
    /// In the order of the destinations; none where there is no way now.
    ways: Vec<Option<Way>>,
}

impl Survey {
    /// Looks up the ways by all neighbours.
    pub fn new(
        routes: &dyn Routes,
        destinations: Vec<(NodePrefix, f64)>,
        neighbours: &[NodePrefix],
    ) -> Self {
        let way = |(destination, weight): &(NodePrefix, f64)| {
            let by = |neighbour: &NodePrefix| {
                let metric = routes.metric_by(*destination, *neighbour)?;
                (!metric.is_infinite()).then_some((metric, *neighbour))
            };
            let (mut first, mut second): (Option<(Metric, NodePrefix)>, Option<Metric>) =
                (None, None);
            for (metric, neighbour) in neighbours.iter().filter_map(by) {
                match first {
                    Some((best, _)) if best <= metric => {
                        second = Some(second.map_or(metric, |second| second.min(metric)));
                    }
                    _ => {
                        second = first.map(|(metric, _)| metric);
                        first = Some((metric, neighbour));
                    }
                }
            }
            let (first, by) = first?;
            let first = f64::from(first.0.max(1));
            let second = second.map_or(f64::INFINITY, |second| f64::from(second.0));
            Some(Way {
                weight: *weight,
                first,
                by,
                second: second.min(2.0 * first),
            })
        };
        Self {
            ways: destinations.iter().map(way).collect(),
            destinations: destinations.iter().map(|(node, _)| *node).collect(),
        }
    }

    /// What each of the neighbours is worth that some best way leads by.
    pub fn losses(&self) -> BTreeMap<NodePrefix, f64> {
        let mut losses = BTreeMap::new();
        for way in self.ways.iter().flatten() {
            *losses.entry(way.by).or_default() += way.weight * (way.second - way.first) / way.first;
        }
        losses
    }

    /// What a node would be worth as a neighbour in place of another one: a tunnel to it costs so much, and its ways to the destinations
    /// so much.
    pub fn gain(&self, without: Option<NodePrefix>, tunnel: Metric, metrics: &[Metric]) -> f64 {
        let ways = self.ways.iter().zip(metrics);
        let gains = ways.filter_map(|(way, metric)| {
            let way = way.as_ref()?;
            let now = match without == Some(way.by) {
                true => way.second,
                false => way.first,
            };
            let whole = tunnel.plus(*metric);
            if whole.is_infinite() {
                return None;
            }
            Some(way.weight * (now - f64::from(whole.0)).max(0.0) / way.first)
        });
        gains.sum()
    }
}

/// What a candidate has promised.
#[derive(Clone, PartialEq, Debug)]
pub struct Promise {
    pub survey: Arc<Survey>,
    pub without: Option<NodePrefix>,
    pub gain: f64,
}

impl Promise {
    /// Whether it gave at least half of that, now that it is a neighbour. The mesh changes meanwhile, so more would be too much to ask.
    pub fn is_kept(&self, routes: &dyn Routes, neighbour: NodePrefix) -> bool {
        let destinations = self.survey.destinations.iter();
        let by = |node: &NodePrefix| routes.metric_by(*node, neighbour);
        let metrics: Vec<Metric> = destinations
            .map(|node| by(node).unwrap_or(Metric::INFINITY))
            .collect();
        self.survey.gain(self.without, Metric(0), &metrics) >= self.gain / 2.0
    }
}
