//! Neighbours as those who announce routes: what the link to each costs, and which routes each announces.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::Ipv6Addr,
};

use super::{
    digest::Digest,
    table::{Announcement, Route},
};
use crate::{
    babel::{
        ids::{DestinationId, NeighbourId},
        input::InterfaceId,
        message::NextHop,
        origins::node_name_of,
        quantities::{Metric, RouterId},
    },
    time::Time,
};

/// Next hops that one neighbour may name.
const MOST_NEXT_HOPS: usize = 255;

/// Whoever sends updates.
#[derive(Debug)]
pub struct Sender {
    pub interface: InterfaceId,
    pub address: Ipv6Addr,
    /// Of the link, as its routes are compared with.
    pub cost: Metric,
    /// Prefixes it has routes to; each route knows its place here.
    pub routes: Vec<DestinationId>,
    /// How many of them have a node of the network as origin, by its name.
    nodes: HashMap<[u8; 7], usize>,
    /// How often it took back all it said: routes of a former generation are retracted.
    pub generation: u16,
    /// Whether it announced anything in this generation.
    pub announces: bool,
    /// Where in `routes` its last update was: all is announced in the same order again and again, so the next one is
    /// probably of the route behind it.
    pub last_update: u32,
    /// What its routes name as next hop, by number.
    pub next_hops: Vec<NextHop>,
    /// How many of its routes, counted from the end, are still to be compared anew.
    pub to_compare: usize,
    /// It is gone, and its routes are being removed.
    pub removed: bool,
    /// Of all it announces.
    pub heard: Digest,
    /// Until when routes of a block are as good as announced again.
    pub blocks_expire: [Time; Digest::BLOCKS],
}

impl Sender {
    /// The number of its own address among its next hops.
    pub const ITSELF: u8 = 0;

    /// One that has not announced anything and cannot be reached yet.
    pub fn new(interface: InterfaceId, address: Ipv6Addr) -> Self {
        Self {
            interface,
            address,
            cost: Metric::INFINITY,
            routes: Vec::new(),
            nodes: HashMap::new(),
            generation: 0,
            announces: false,
            last_update: 0,
            next_hops: vec![NextHop::Ipv6(address)],
            to_compare: 0,
            removed: false,
            heard: Digest::default(),
            blocks_expire: [Time(0); Digest::BLOCKS],
        }
    }

    /// How many prefixes of a node it announces.
    pub fn prefixes_of(&self, node: [u8; 7]) -> usize {
        self.nodes.get(&node).copied().unwrap_or(0)
    }

    /// A route has another origin than before, if it was there before and is now.
    pub fn origin_changed(&mut self, before: Option<RouterId>, now: Option<RouterId>) {
        let [before, now] = [before, now].map(|origin| origin.and_then(node_name_of));
        if before == now {
            return;
        }
        if let Some(Entry::Occupied(mut count)) = before.map(|node| self.nodes.entry(node)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        if let Some(node) = now {
            *self.nodes.entry(node).or_default() += 1;
        }
    }

    /// The number of a next hop; `None` if there are too many.
    pub fn next_hop_number(&mut self, next_hop: NextHop) -> Option<u8> {
        let known = self.next_hops.iter().position(|known| *known == next_hop);
        let number = match known {
            Some(number) => number,
            None if self.next_hops.len() >= MOST_NEXT_HOPS => return None,
            None => {
                self.next_hops.push(next_hop);
                self.next_hops.len() - 1
            }
        };
        u8::try_from(number).ok()
    }
}

/// What a route contributes to the digest of its neighbour.
pub const fn as_heard(route: &Route) -> Announcement {
    Announcement {
        router_id: route.router_id,
        sequence_number: route.sequence_number,
        metric: route.metric,
    }
}

/// All of them, by the numbers of neighbours.
#[derive(Debug, Default)]
pub struct Senders(Vec<Option<Sender>>);

impl Senders {
    /// `None` if there is none of this number.
    pub fn get(&self, id: NeighbourId) -> Option<&Sender> {
        self.0.get(id.0 as usize)?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: NeighbourId) -> Option<&mut Sender> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// One more, or in place of one that is gone.
    pub fn insert(&mut self, id: NeighbourId, sender: Sender) {
        let place = id.0 as usize;
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(sender);
    }

    /// Its routes are gone, and so is it.
    pub fn remove(&mut self, id: NeighbourId) {
        if let Some(place) = self.0.get_mut(id.0 as usize) {
            *place = None;
        }
    }

    /// The numbers of all that are not gone.
    pub fn present(&self) -> Vec<NeighbourId> {
        let places = self.0.iter().enumerate();
        let present = places.filter(|(_, sender)| sender.as_ref().is_some_and(|it| !it.removed));
        present
            .map(|(place, _)| NeighbourId(place as u32))
            .collect()
    }

    /// From here to the origin: computed when it is needed, so that a changed cost touches no route (section 3.5.2).
    pub fn metric(&self, route: &Route) -> Metric {
        if route.ignored || route.metric.is_infinite() {
            return Metric::INFINITY;
        }
        let cost = self
            .get(route.neighbour)
            .filter(|sender| sender.generation == route.generation)
            .map_or(Metric::INFINITY, |sender| sender.cost);
        route.metric.plus(Metric(route.added)).plus(cost)
    }

    /// Interface and next hop of a route.
    pub fn way(&self, route: &Route) -> Option<(InterfaceId, NextHop)> {
        let sender = self.get(route.neighbour)?;
        let next_hop = *sender.next_hops.get(usize::from(route.next_hop))?;
        Some((sender.interface, next_hop))
    }
}
