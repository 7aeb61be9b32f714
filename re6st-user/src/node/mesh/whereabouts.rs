//! Where this node is, for others: what the file says, else the addresses of its interfaces, and where peers see it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Address, Controller, Input, Protocol};
use crate::{
    certificate::record::{MAX_ADDRESSES, Whereabouts},
    config::Carrier,
    membership::shell::Request,
    time::Time,
};

/// Until the next look.
const AGAIN: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Default)]
pub struct Places {
    told: Option<Whereabouts>,
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
}

impl Controller {
    /// Looks where this node is, and tells the membership and the mesh if that is somewhere else than before.
    pub(super) fn look_where_we_are(&mut self) {
        let now = self.now();
        match &mut self.mesh {
            Some(mesh) if mesh.places.look_at <= now => mesh.places.look_at = now + AGAIN,
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
        });
        let own = own.collect();
        self.ask_membership(Request::Whereabouts(whereabouts));
        self.mesh(Input::OwnAddresses(own));
    }

    fn whereabouts(&mut self) -> Whereabouts {
        let configured = self.config.mesh.clone().unwrap_or_default();
        let mut addresses = configured.ip;
        if addresses.is_empty() {
            addresses = self.addresses_of_interfaces();
            addresses.extend(self.seen_by_several());
        }
        // nobody is to call where nobody is served
        addresses.retain(|address| {
            !configured.client && !configured.disabled.contains(&Carrier::to(address.ip()))
        });
        addresses.truncate(MAX_ADDRESSES);
        Whereabouts {
            addresses,
            open: false,
            country: configured.country,
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
        let mut usable: Vec<_> = sockets.filter(|it| Address::udp(*it).is_usable()).collect();
        // those that everybody can reach first
        usable.sort_by_key(|socket| is_private(socket.ip()));
        usable
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

const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
