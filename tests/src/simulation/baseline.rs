//! What others do, on the same Internet: a model of their rules, not their programs.

use super::{
    generator::Generator,
    graph::{Neighbours, first_hops},
    underlay::Underlay,
};

/// Who opened tunnels to whom.
#[derive(Debug)]
pub struct Baseline<'a> {
    underlay: &'a Underlay,
    clients: Vec<Vec<usize>>,
    served: Vec<usize>,
    max_clients: usize,
}

impl<'a> Baseline<'a> {
    /// Each node has opened so many tunnels to random nodes, none of which serves more than `max_clients`.
    pub fn random(
        underlay: &'a Underlay,
        tunnels: usize,
        max_clients: usize,
        random: &mut Generator,
    ) -> Self {
        let nodes = underlay.nodes();
        let mut new = Self {
            underlay,
            clients: vec![Vec::new(); nodes],
            served: vec![0; nodes],
            max_clients,
        };
        for node in 0..nodes {
            for _ in 0..tunnels {
                new.open(node, random);
            }
        }
        new
    }

    fn open(&mut self, node: usize, random: &mut Generator) {
        // in a network that has no room for more one is missing
        for _ in 0..1_000 {
            let other = random.below(self.clients.len());
            let is_joined =
                self.clients[node].contains(&other) || self.clients[other].contains(&node);
            if other != node && !is_joined && self.served[other] < self.max_clients {
                self.clients[node].push(other);
                self.served[other] += 1;
                return;
            }
        }
    }

    /// The tunnels as a graph.
    pub fn graph(&self) -> Neighbours {
        let mut graph: Neighbours = vec![Vec::new(); self.clients.len()];
        for (node, clients) in self.clients.iter().enumerate() {
            for other in clients {
                let cost = self.underlay.cost(node, *other);
                graph[node].push((*other as u32, cost));
                graph[*other].push((node as u32, cost));
            }
        }
        graph
    }

    /// A round of re6stnet: each node closes the one of its tunnels that the fewest of its ways lead by, and opens one to a random node.
    pub fn scored_removal(&mut self, random: &mut Generator) {
        let graph = self.graph();
        for node in 0..self.clients.len() {
            let hops = first_hops(&graph, node);
            let ways = |client: &usize| {
                let by = hops.iter().filter(|hop| **hop as usize == *client);
                by.count()
            };
            let clients = self.clients[node].iter().enumerate();
            let Some((worst, _)) = clients.min_by_key(|(_, client)| ways(client)) else {
                continue;
            };
            let gone = self.clients[node].swap_remove(worst);
            self.served[gone] -= 1;
            self.open(node, random);
        }
    }
}
