//! Where this node is, for others: what the file says, else where a router passes packets on to it, the addresses of its
//! interfaces, and where peers see it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Address, Controller, Input, Protocol, mapped::MappedPort};
use crate::{
    certificate::record::{MAX_ADDRESSES, Whereabouts},
    config::Carrier,
    io::netlink::monitor::Change,
    membership::shell::Request,
    mesh::address::is_private,
    port_mapping::shell::PortMapper,
    time::Time,
};

/// Until the next look: where peers see this node nobody tells.
const AGAIN: Duration = Duration::from_secs(10);
/// The least between two looks, however often the host changes.
const PAUSE: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Debug, Default)]
pub struct Places {
    told: Option<Whereabouts>,
    /// Addresses of interfaces.
    own: Option<Vec<SocketAddr>>,
    pub mapped: Option<MappedPort>,
    /// None before there was anything to ask a router for.
    pub mapper: Option<PortMapper>,
    looked_at: Option<Time>,
    pub(super) look_at: Time,
}

impl Places {
    /// Where others are told that this node is.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.told.as_ref().map_or(&[], |told| &told.addresses)
    }

    /// When to look again.
    pub const fn next_deadline(&self) -> Option<Time> {
        Some(self.look_at)
    }

    /// Something has changed.
    fn look_soon(&mut self, now: Time) {
        let soon = self.looked_at.map_or(now, |last| now.max(last + PAUSE));
        self.look_at = self.look_at.min(soon);
    }
}

impl Controller {
    /// The host has changed: its own addresses may be others, or its way to the outside.
    pub(in super::super) fn note_for_whereabouts(&mut self, change: &Change) {
        let matters = match change {
            Change::Addresses { index, .. } => !self.instance.is_device(*index, &[]),
            Change::Route { route, .. } => route.to().prefix_len() == 0,
            Change::Link { switched, .. } => *switched,
            Change::Everything => true,
            _ => false,
        };
        let now = self.now();
        if let Some(mesh) = self.mesh.as_mut().filter(|_| matters) {
            mesh.places.look_soon(now);
        }
    }

    /// The router has answered.
    pub(in super::super) fn look_where_we_are_at_once(&mut self) {
        let now = self.now();
        if let Some(mesh) = &mut self.mesh {
            mesh.places.look_at = now;
        }
    }

    /// Looks where this node is, and tells the membership and the mesh if that is somewhere else than before.
    pub(super) fn look_where_we_are(&mut self) {
        let now = self.now();
        match &mut self.mesh {
            Some(mesh) if mesh.places.look_at <= now => {
                mesh.places.look_at = now + AGAIN;
                mesh.places.looked_at = Some(now);
            }
            _ => return,
        }
        let whereabouts = self.whereabouts();
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        if mesh.places.told.as_ref() == Some(&whereabouts) {
            return;
        }
        mesh.places.told = Some(whereabouts.clone());
        let own = whereabouts.addresses.iter().map(|socket| Address {
            socket: *socket,
            protocol: Protocol::Udp,
            country: whereabouts.country,
            is_open: whereabouts.open,
        });
        let own = own.collect();
        self.ask_membership(Request::Whereabouts(whereabouts));
        self.mesh(Input::OwnAddresses(own));
    }

    fn whereabouts(&mut self) -> Whereabouts {
        let configured = self.config.mesh.clone().unwrap_or_default();
        let own = self.addresses_of_interfaces();
        self.note_move(&own);
        let mapped = self.mapped_port(&own);
        self.say_mapped(mapped);
        let is_translated = own.iter().any(|socket| is_private(socket.ip()));
        let mut addresses = configured.ip;
        // somebody who reaches one of several addresses says nothing of the NAT before a private one
        let open = mapped.is_some() || self.is_reachable() && !is_translated;
        if addresses.is_empty() {
            let (private, public): (Vec<_>, Vec<_>) =
                own.into_iter().partition(|socket| is_private(socket.ip()));
            addresses.extend(mapped.map(|mapped| mapped.address));
            addresses.extend(public);
            addresses.extend(self.seen_by_several());
            addresses.extend(private);
            let mut known = BTreeSet::new();
            addresses.retain(|address| known.insert(*address));
        }
        // nobody is to call where nobody is served
        addresses.retain(|address| {
            !configured.client && !configured.disabled.contains(&Carrier::to(address.ip()))
        });
        addresses.truncate(MAX_ADDRESSES);
        Whereabouts {
            addresses,
            open,
            country: configured.country,
        }
    }

    /// Whether others can open tunnels to this node, as far as they have.
    pub(super) fn is_reachable(&self) -> bool {
        let mesh = self.mesh.as_ref();
        mesh.is_some_and(|mesh| mesh.mesh.is_reachable(self.now()))
    }

    /// Peers that could not be reached may be reached from another place.
    fn note_move(&mut self, own: &[SocketAddr]) {
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        let before = mesh.places.own.replace(own.to_vec());
        if before.is_some_and(|before| before != own) {
            self.mesh(Input::Moved);
        }
    }

    fn say_mapped(&mut self, mapped: Option<MappedPort>) {
        let Some(mesh) = &mut self.mesh else {
            return;
        };
        let before = std::mem::replace(&mut mesh.places.mapped, mapped);
        if let Some(mapped) = mapped.filter(|_| mapped != before) {
            self.say(&format!("mesh: {mapped}"));
        }
    }

    fn addresses_of_interfaces(&mut self) -> Vec<SocketAddr> {
        let port = self.config.port;
        let mut found = Vec::new();
        for name in &self.config.interfaces {
            let Ok(Some(interface)) = self.host.netlink.interface(name) else {
                continue;
            };
            let addresses = self.host.netlink.addresses(interface.index);
            found.extend(addresses.unwrap_or_default());
        }
        let networks = &self.config.networks;
        let outside = |ip: &IpAddr| !networks.iter().any(|network| network.contains(ip));
        let sockets = found.into_iter().filter(outside);
        let sockets = sockets.map(|ip| SocketAddr::new(ip, port));
        sockets.filter(|it| Address::udp(*it).is_usable()).collect()
    }

    /// Where at least two peers see this node, which is not one of its own addresses: there is a NAT that gives all peers the
    /// same port.
    fn seen_by_several(&self) -> Vec<SocketAddr> {
        let Some(peers) = &self.peers else {
            return Vec::new();
        };
        let (mut once, mut several) = (BTreeSet::new(), BTreeSet::new());
        for (_, seen) in peers.channels.seen_at() {
            if !once.insert(seen) {
                several.insert(seen);
            }
        }
        several.into_iter().collect()
    }
}
