//! Tunnels as a graph: parts of the network that hang together, and shortest ways.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::underlay::{Cost, RELAY};

/// Who has tunnels with whom, and what they cost.
pub type Neighbours = Vec<Vec<(u32, Cost)>>;

/// No way.
pub const NONE: u16 = u16::MAX;

/// The parts of a network that hang together.
#[derive(Clone, Debug, Default)]
pub struct Components {
    /// The number of each node's part.
    pub of: Vec<u32>,
    /// The nodes of each part.
    pub members: Vec<Vec<u32>>,
    /// The place of each node among those of its part.
    pub place: Vec<u32>,
}

impl Components {
    /// Of the nodes that live.
    pub fn new(graph: &Neighbours, alive: &[bool]) -> Self {
        let mut found = Self {
            of: vec![u32::MAX; graph.len()],
            members: Vec::new(),
            place: vec![0; graph.len()],
        };
        for start in 0..graph.len() {
            if alive[start] && found.of[start] == u32::MAX {
                found.explore(graph, alive, start);
            }
        }
        found
    }

    fn explore(&mut self, graph: &Neighbours, alive: &[bool], start: usize) {
        let number = self.members.len() as u32;
        self.of[start] = number;
        let mut members = vec![start as u32];
        let mut next = 0;
        while let Some(node) = members.get(next).copied() {
            self.place[node as usize] = next as u32;
            next += 1;
            for (other, _) in &graph[node as usize] {
                let other = *other as usize;
                if alive[other] && self.of[other] == u32::MAX {
                    self.of[other] = number;
                    members.push(other as u32);
                }
            }
        }
        self.members.push(members);
    }

    /// How many nodes are not in the largest part.
    pub fn outside(&self) -> usize {
        let sizes = || self.members.iter().map(Vec::len);
        sizes().sum::<usize>() - sizes().max().unwrap_or(0)
    }
}

/// What the ways from one node to all others cost (Dijkstra); a relay costs [`RELAY`] more.
pub fn distances(graph: &Neighbours, from: usize, found: &mut Vec<u16>) {
    found.clear();
    found.resize(graph.len(), NONE);
    let mut heap = BinaryHeap::new();
    found[from] = 0;
    heap.push(Reverse((0_u32, from as u32)));
    while let Some(Reverse((cost, node))) = heap.pop() {
        if cost > u32::from(found[node as usize]) {
            continue;
        }
        let relay = if node as usize == from { 0 } else { RELAY };
        for (other, link) in &graph[node as usize] {
            let through = cost + link + relay;
            let other_cost = &mut found[*other as usize];
            if through < u32::from(*other_cost) {
                *other_cost = through as u16;
                heap.push(Reverse((through, *other)));
            }
        }
    }
}

/// By which neighbour the ways from one node to all others lead (Dijkstra).
pub fn first_hops(graph: &Neighbours, from: usize) -> Vec<u32> {
    let mut costs = vec![u32::MAX; graph.len()];
    let mut first = vec![u32::MAX; graph.len()];
    let mut heap = BinaryHeap::from([Reverse((0_u32, from as u32))]);
    costs[from] = 0;
    while let Some(Reverse((cost, node))) = heap.pop() {
        let is_start = node as usize == from;
        if cost > costs[node as usize] {
            continue;
        }
        let relay = if is_start { 0 } else { RELAY };
        for (other, link) in &graph[node as usize] {
            let through = cost + link + relay;
            if through < costs[*other as usize] {
                costs[*other as usize] = through;
                first[*other as usize] = if is_start {
                    *other
                } else {
                    first[node as usize]
                };
                heap.push(Reverse((through, *other)));
            }
        }
    }
    first
}

/// How many tunnels lie between one node and the farthest.
pub fn eccentricity(graph: &Neighbours, from: usize) -> u32 {
    let mut hops = vec![u32::MAX; graph.len()];
    let mut queue = std::collections::VecDeque::from([from]);
    hops[from] = 0;
    let mut most = 0;
    while let Some(node) = queue.pop_front() {
        most = hops[node];
        for (other, _) in &graph[node] {
            let other = *other as usize;
            if hops[other] == u32::MAX {
                hops[other] = hops[node] + 1;
                queue.push_back(other);
            }
        }
    }
    most
}
