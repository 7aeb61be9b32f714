//! What is measured of a world.

use super::{
    graph::{Neighbours, distances, eccentricity},
    underlay::Underlay,
};

/// How ways over the mesh compare with the direct ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratios {
    /// Of mesh and direct.
    pub mean: f64,
    /// Of mesh and direct.
    pub median: f64,
    /// A tenth of the pairs are worse.
    pub p90: f64,
    /// Share of pairs that have a shorter way over the mesh.
    pub better: f64,
    /// Share of pairs whose way is more than a tenth longer.
    pub worse: f64,
}

/// Of all ways from some nodes.
pub fn ratios(graph: &Neighbours, underlay: &Underlay, sources: &[usize]) -> Option<Ratios> {
    let mut all = Vec::new();
    let mut found = Vec::new();
    for source in sources {
        distances(graph, *source, &mut found);
        let others = found.iter().enumerate().filter(|(node, _)| node != source);
        all.extend(
            others.map(|(node, cost)| f64::from(*cost) / f64::from(underlay.cost(*source, node))),
        );
    }
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied();
    let share = |count: usize| count as f64 / all.len() as f64;
    Some(Ratios {
        mean: all.iter().sum::<f64>() / all.len() as f64,
        median: at(0.5)?,
        p90: at(0.9)?,
        better: share(all.iter().filter(|ratio| **ratio < 1.0).count()),
        worse: share(all.iter().filter(|ratio| **ratio > 1.1).count()),
    })
}

/// The best that any mesh can do: everybody has a tunnel with everybody.
pub fn full_mesh(underlay: &Underlay) -> Neighbours {
    let all = 0..underlay.nodes();
    let others = |node: usize| {
        let others = all.clone().filter(move |other| *other != node);
        others.map(move |other| (other as u32, underlay.cost(node, other)))
    };
    all.clone().map(|node| others(node).collect()).collect()
}

/// Mean and largest number of tunnels of a node that has some.
pub fn degrees(graph: &Neighbours) -> (f64, usize) {
    let degrees = || graph.iter().map(Vec::len).filter(|degree| *degree > 0);
    let sum: usize = degrees().sum();
    (
        sum as f64 / degrees().count().max(1) as f64,
        degrees().max().unwrap_or(0),
    )
}

/// The longest of the shortest ways from some nodes, in tunnels.
pub fn diameter(graph: &Neighbours, sources: &[usize]) -> u32 {
    let all = sources.iter();
    let farthest = all.map(|source| eccentricity(graph, *source));
    farthest.max().unwrap_or(0)
}

/// If each of `nodes` opens `tunnels` to random others and a share of the nodes dies: how many of the others have no tunnel left, on
/// average, and how likely the others are one network.
pub fn formula(nodes: usize, tunnels: usize, dead: f64) -> (f64, f64) {
    let alive = 1.0 - dead;
    let (n, k) = (nodes as f64, tunnels as f64);
    let isolated = n * alive * dead.powf(k) * (-k * alive).exp();
    (isolated, (-isolated).exp())
}
