//! What can be set of the mesh of a node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    address::{Address, Country, Protocol},
    known::Known,
};
use crate::{certificate::node_prefix::NodePrefix, rate::Rate};

/// Of the mesh of a node. All of it may change while the node runs: what stays good stays open.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Tunnels that this node opens and keeps (`client-count`). 0 opens none.
    pub client_count: usize,
    /// Tunnels that others may have to this node (`max-clients`). 0 serves nobody.
    pub max_clients: usize,
    /// Tunnels are reconsidered this often (`tunnel-refresh`).
    pub tunnel_refresh: Duration,
    /// Peers to which a tunnel is always kept (`neighbour`), with addresses if the configuration has some.
    pub preferred: BTreeMap<NodePrefix, Vec<Address>>,
    /// One tunnel only, nobody is served (`client`).
    pub client_mode: bool,
    /// What tunnels may be carried in; the others are disabled (`disable-proto`).
    pub protocols: BTreeSet<Protocol>,
    /// Tunnels to IPv4 addresses.
    pub ipv4: bool,
    /// Tunnels to IPv6 addresses.
    pub ipv6: bool,
    /// No tunnel crosses the borders of these countries (`same-country`).
    pub same_country: BTreeSet<Country>,
    /// The registry's own node: who has no way to it is cut off from the network.
    pub registry_node: Option<NodePrefix>,
    /// This is the registry's own node: it never asks the registry for peers.
    pub is_registry: bool,
    /// How long what takes.
    pub timers: Timers,
    /// How much is done.
    pub limits: Limits,
    /// When a direct tunnel is worth it.
    pub direct: Direct,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_count: 10,
            max_clients: 20,
            tunnel_refresh: Duration::from_secs(300),
            preferred: BTreeMap::new(),
            client_mode: false,
            protocols: BTreeSet::from([Protocol::Udp]),
            ipv4: true,
            ipv6: true,
            same_country: BTreeSet::new(),
            registry_node: None,
            is_registry: false,
            timers: Timers::default(),
            limits: Limits::default(),
            direct: Direct::default(),
        }
    }
}

impl Settings {
    /// Tunnels that this node opens: all of them, or two of them as long as nobody can open one to it.
    pub(super) fn clients(&self, is_reachable: bool) -> usize {
        match (self.client_mode, is_reachable) {
            (true, _) => self.client_count.min(1),
            (false, true) => self.client_count,
            (false, false) => self.client_count.min(self.limits.unreachable_clients),
        }
    }

    /// What the configuration says of peers.
    pub(super) fn preferred(&self) -> Vec<Known> {
        let preferred = self.preferred.iter();
        let known = preferred.map(|(node, addresses)| Known {
            node: *node,
            addresses: addresses.clone(),
            owner: None,
            made_at: None,
        });
        known.collect()
    }

    /// Tunnels that others may have to this node.
    pub(super) const fn served(&self) -> usize {
        if self.client_mode {
            0
        } else {
            self.max_clients
        }
    }
}

/// How long what takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// A tunnel that is not up by then is given up.
    pub opening: Duration,
    /// A question is answered by then, or not at all.
    pub answer: Duration,
    /// A probe likewise.
    pub probe: Duration,
    /// A new tunnel has to be up so long before the one it replaces is drained.
    pub settling: Duration,
    /// A tunnel is closed so long after it was begun to be drained, unless it is known to be empty before.
    pub draining: Duration,
    /// A peer that could not be reached is tried again after so long, doubled each time.
    pub retry: Duration,
    /// But at the latest after so long.
    pub retry_max: Duration,
    /// A peer that has no room for us is asked again after so long.
    pub full: Duration,
    /// The registry is asked for peers again after so long, doubled each time.
    pub registry: Duration,
    /// But at the latest after so long.
    pub registry_max: Duration,
    /// Of the remembered peers that no route leads to one is tried this often: the network may have fallen apart.
    pub healing: Duration,
    /// Somebody has opened a tunnel to us: so long we can be reached from outside.
    pub reachable: Duration,
    /// A candidate that promised more than it gave is not believed for so long, doubled each time.
    pub distrust: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            opening: seconds(15),
            answer: seconds(5),
            probe: seconds(5),
            settling: seconds(20),
            draining: seconds(10),
            retry: seconds(60),
            retry_max: seconds(3_600),
            full: seconds(600),
            registry: seconds(5),
            registry_max: seconds(300),
            healing: seconds(60),
            reachable: seconds(3_600),
            distrust: seconds(3_600),
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tunnels that a node opens while nobody can open one to it.
    pub unreachable_clients: usize,
    /// Peers whose addresses are remembered.
    pub known: usize,
    /// Nodes that are considered in each round.
    pub candidates: usize,
    /// Destinations that stand for all when ways are compared.
    pub destinations: usize,
    /// Rounds between renewals of a random tunnel.
    pub renewal_rounds: u32,
    /// A candidate has to be better by so many percent.
    pub better_percent: u32,
    /// Tunnels that are being opened, and questions for addresses for more of them, at a time.
    pub openings: usize,
    /// Questions of others that are answered.
    pub questions: Rate,
    /// The same of one node.
    pub questions_of_node: Rate,
    /// Nodes whose questions are told apart, and nodes that are not believed.
    pub remembered: usize,
    /// The lot gives each node so many others, to open random tunnels to.
    pub given: usize,
    /// One served tunnel in so many is for nodes that the lot gave this one, if they want it.
    pub given_share: usize,
    /// One served tunnel in so many is kept for nodes that no route leads to.
    pub lost_share: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unreachable_clients: 2,
            known: 200,
            candidates: 20,
            destinations: 256,
            renewal_rounds: 5,
            better_percent: 5,
            openings: 10,
            questions: Rate {
                count: 200,
                seconds: 10,
            },
            questions_of_node: Rate {
                count: 4,
                seconds: 60,
            },
            remembered: 1_024,
            given: 20,
            given_share: 2,
            lost_share: 4,
        }
    }
}

/// When a direct tunnel is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// So many at a time. 0 opens none.
    pub count: usize,
    /// Octets a second to a node from which on one is wanted.
    pub rate: u64,
    /// It is closed after so long with less than a quarter of that.
    pub idle: Duration,
}

impl Default for Direct {
    fn default() -> Self {
        Self {
            count: 5,
            rate: 100_000,
            idle: Duration::from_secs(300),
        }
    }
}
