//! What a controller before left: routes that go on.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use anyhow::{Context as _, Result};
use re6st_common::{encapsulation::OuterHeaders, maps::NextHop as NextHopEntry};

use super::{
    install, peers,
    state::State,
    transport::{OpenTunnel, tunnel_id},
};
use crate::{
    babel::{
        input::{InstalledRoute, InterfaceId},
        message::NextHop,
        quantities::Metric,
    },
    config::{Encapsulation, Keys, SourcePort, Tunnel},
    dataplane::{
        Route,
        bpf::{
            Manifest, Pins,
            maps::{self, Maps},
            status::lookup::Lookup,
        },
    },
    io::netlink::{
        Rtnetlink,
        mesh_route::{self, Way},
        route::Destination,
    },
    route::RouteKey,
};

/// What a controller before left.
#[derive(Default)]
pub struct Before {
    /// Routes in the kernel.
    pub routes: HashMap<RouteKey, Way>,
    /// Those of them that go through tunnels, with the next hops' numbers.
    pub kept: Vec<Route>,
    /// Tunnels that were agreed on with peers.
    pub of_peers: Vec<Tunnel>,
}

/// The tunnels to peers in the maps. One that makes no sense is passed over: its peer agrees on another.
fn of_peers(maps: &Maps, manifest: &Manifest) -> Result<Vec<Tunnel>> {
    let names = manifest.tunnels.iter();
    let mut names = names
        .filter(|(name, _)| peers::node(name).is_some())
        .peekable();
    if names.peek().is_none() {
        return Ok(Vec::new());
    }
    let next_hops = maps.current_next_hops()?;
    let accepted = maps::all(&maps.tunnels()?, "TUNNELS")?;
    let tunnel = |(name, number): (&String, &u32)| {
        let keys = accepted.iter().filter(|entry| entry.next_hop == *number);
        let next_hop = next_hops.get(*number as usize)?;
        of_peer(name, keys.map(|entry| entry.key).collect(), next_hop)
    };
    Ok(names.filter_map(tunnel).collect())
}

/// A tunnel to a peer as the maps have it.
fn of_peer(name: &str, accepted: Vec<u32>, next_hop: &NextHopEntry) -> Option<Tunnel> {
    let outer = OuterHeaders::read(next_hop)?;
    let udp = outer.udp?;
    let (local, former) = accepted.split_first()?;
    let mut keys = Keys::new(*local, outer.key);
    keys.former = former.to_vec();
    Some(Tunnel {
        name: name.to_owned(),
        remote: outer.remote,
        local: Some(outer.local),
        encapsulation: Encapsulation::Fou,
        keys,
        mtu: u16::try_from(next_hop.mtu).ok(),
        source_port: match udp.source {
            Some(_) => SourcePort::Fixed,
            None => SourcePort::Flow,
        },
        remote_port: Some(udp.destination),
        of_peer: true,
    })
}

impl Before {
    /// Looks for it.
    ///
    /// # Errors
    /// The kernel's routes or the maps cannot be read.
    pub fn look(pins: &Pins, netlink: &mut Rtnetlink) -> Result<Self> {
        let Some(manifest) = Manifest::of(pins)? else {
            return Ok(Self::default());
        };
        let metric = mesh_route::METRIC + manifest.order;
        let routes: HashMap<RouteKey, Way> = netlink
            .mesh_routes(metric)
            .context("read the routes of before")?
            .into_iter()
            .collect();
        let lookup = Lookup::new(&Maps::new(pins.folder()), &manifest)?;
        let mut kept = Vec::new();
        for (key, way) in &routes {
            let Way::Through { router: None, .. } = way else {
                continue;
            };
            let destination = Destination {
                to: key.to(),
                from: key.from(),
            };
            let number = lookup.next_hop(destination)?;
            if install::is_tunnel(number)
                && let Ok(route) = Route::new(key.to(), key.from(), number)
            {
                kept.push(route);
            }
        }
        Ok(Self {
            routes,
            kept,
            of_peers: of_peers(&Maps::new(pins.folder()), &manifest)?,
        })
    }

    /// What the speaker shall know of it: `tunnels` are those that are used.
    pub fn restored(
        &self,
        tunnels: &BTreeMap<InterfaceId, OpenTunnel>,
        state: &State,
    ) -> Vec<InstalledRoute> {
        let through = self.kept.iter().filter_map(|route| {
            let interface = tunnel_id(route.next_hop());
            let name = &tunnels.get(&interface)?.resolved.tunnel.name;
            let neighbour = state.kept.neighbours.get(name)?;
            Some((route.key(), interface, NextHop::Ipv6(*neighbour)))
        });
        let on_links = self.routes.iter().filter_map(|(key, way)| match way {
            Way::Through {
                interface,
                router: Some(router),
                ..
            } => Some((
                *key,
                InterfaceId(*interface),
                match router {
                    IpAddr::V4(address) => NextHop::Ipv4(*address),
                    IpAddr::V6(address) => NextHop::Ipv6(*address),
                },
            )),
            _ => None,
        });
        through
            .chain(on_links)
            .map(|(route, interface, next_hop)| InstalledRoute {
                route,
                interface,
                next_hop,
                metric: Metric::INFINITY,
                origin: None,
            })
            .collect()
    }
}
