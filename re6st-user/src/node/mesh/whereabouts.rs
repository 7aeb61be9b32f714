//! Where this node is, for others: what the file says, else where a router passes packets on to it, the addresses of its
//! interfaces, and where peers see it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{Address, Controller, Input, Protocol, mapped::MappedPort};
use crate::{
    certificate::record::{MAX_ADDRESSES, Whereabouts},
    config::Carrier,
    io::netlink::{address::Address as HostAddress, monitor::Change},
    membership::shell::Request,
    mesh::address::{Block, is_private},
    port_mapping::shell::PortMapper,
    time::Time,
};

/// Until the next look: where peers see this node nobody tells.
const AGAIN: Duration = Duration::from_secs(10);
/// The least between two looks, however often the host changes.
const PAUSE: Duration = Duration::from_secs(1);
/// So many places where peers see this node are told: enough for a NAT, and little for peers that lie.
const MAX_SEEN: usize = 2;

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
        // nobody is to call where nobody is served
        let is_called = |address: &SocketAddr| {
            !configured.client && !configured.disabled.contains(&Carrier::to(address.ip()))
        };
        // somebody who reaches one of several addresses says nothing of the NAT before a private one
        let open = mapped.is_some() || self.is_reachable() && !is_translated;
        let addresses = match configured.ip.is_empty() {
            true => told(Found {
                mapped: mapped.map(|mapped| mapped.address).filter(is_called),
                own: own.into_iter().filter(is_called).collect(),
                seen: believed(self.claims())
                    .into_iter()
                    .filter(is_called)
                    .collect(),
            }),
            false => configured.ip.iter().copied().filter(is_called).collect(),
        };
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
            let addresses = self.host.netlink.interface_addresses(interface.index);
            let lasting = addresses
                .into_iter()
                .flatten()
                .filter(HostAddress::is_lasting);
            found.extend(lasting.map(|address| address.ip));
        }
        let networks = &self.config.networks;
        let outside = |ip: &IpAddr| !networks.iter().any(|network| network.contains(ip));
        let sockets = found.into_iter().filter(outside);
        let sockets = sockets.map(|ip| SocketAddr::new(ip, port));
        sockets.filter(|it| Address::udp(*it).is_usable()).collect()
    }

    /// Where peers say that they see this node, each with where it is itself.
    fn claims(&self) -> Vec<(IpAddr, SocketAddr)> {
        let seen = self.peers.iter().flat_map(|peers| peers.channels.seen_at());
        let networks = &self.config.networks;
        let claims = seen.filter_map(|(node, seen)| {
            let tunnel = self.config.tunnel(&node.common_name())?;
            let is_outside = !networks.iter().any(|network| network.contains(&seen.ip()));
            is_outside.then_some((tunnel.remote, seen))
        });
        claims.collect()
    }
}

/// Where peers see this node if that is to be believed: a NAT gives all of them the same port. Peers that are in one block of addresses
/// may be one attacker's, so there are two blocks of them, or three peers. What most of them say comes first.
fn believed(claims: Vec<(IpAddr, SocketAddr)>) -> Vec<SocketAddr> {
    let mut by_place: BTreeMap<SocketAddr, Vec<Block>> = BTreeMap::new();
    for (peer, seen) in claims {
        if Address::udp(seen).is_usable() {
            by_place.entry(seen).or_default().push(Block::of(peer));
        }
    }
    by_place.retain(|_, peers| {
        let blocks = peers.iter().collect::<BTreeSet<_>>().len();
        blocks >= 2 || peers.len() >= 3
    });
    let mut places = Vec::from_iter(by_place);
    places.sort_by_key(|(_, peers)| Reverse(peers.len()));
    places.into_iter().map(|(place, _)| place).collect()
}

/// Where this node was found to be.
#[derive(Debug, Default)]
struct Found {
    /// Where a router passes packets on to it.
    mapped: Option<SocketAddr>,
    /// Addresses of interfaces.
    own: Vec<SocketAddr>,
    /// Where peers see it.
    seen: Vec<SocketAddr>,
}

/// What others are told of it, each once. Interfaces may have any number of addresses: they leave room for what is known from
/// outside alone, and private ones for public ones.
fn told(found: Found) -> Vec<SocketAddr> {
    let mut known = BTreeSet::new();
    let mut once = |sockets: Vec<SocketAddr>| {
        let sockets = sockets.into_iter();
        Vec::from_iter(sockets.filter(|socket| known.insert(*socket)))
    };
    let mut addresses = once(Vec::from_iter(found.mapped));
    let (private, public) = once(found.own)
        .into_iter()
        .partition::<Vec<_>, _>(|socket| is_private(socket.ip()));
    let mut seen = once(found.seen);
    seen.truncate(MAX_SEEN);
    let room = MAX_ADDRESSES - addresses.len() - seen.len();
    addresses.extend(public.into_iter().take(room));
    addresses.extend(seen);
    addresses.extend(private);
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    fn sockets(ips: &[&str]) -> Vec<SocketAddr> {
        let ips = ips.iter().map(|ip| ip.parse().unwrap());
        ips.map(|ip: IpAddr| SocketAddr::new(ip, 4754)).collect()
    }

    #[test]
    fn many_addresses_of_interfaces_leave_room_for_those_known_from_outside() {
        let private: Vec<String> = (1..=12).map(|last| format!("10.0.0.{last}")).collect();
        let private: Vec<&str> = private.iter().map(String::as_str).collect();
        let mapped = sockets(&["198.51.100.1"]);
        let seen = sockets(&["203.0.113.9", "203.0.113.7", "198.51.100.1"]);
        let mut own = sockets(&private);
        own.extend(sockets(&["203.0.113.7", "2001:db8::7"]));
        let addresses = told(Found {
            mapped: mapped.first().copied(),
            own,
            seen,
        });
        let outside = ["198.51.100.1", "203.0.113.7", "2001:db8::7", "203.0.113.9"];
        assert_eq!(addresses, sockets(&[&outside[..], &private[..4]].concat()));
    }

    #[test]
    fn many_public_addresses_leave_room_for_where_peers_see_the_node() {
        let public: Vec<String> = (1..=12).map(|last| format!("203.0.113.{last}")).collect();
        let public: Vec<&str> = public.iter().map(String::as_str).collect();
        let addresses = told(Found {
            mapped: None,
            own: sockets(&public),
            seen: sockets(&["198.51.100.9"]),
        });
        assert_eq!(addresses.len(), MAX_ADDRESSES);
        assert_eq!(addresses.last(), sockets(&["198.51.100.9"]).last());
    }

    /// Where peers are, and where they see this node.
    type Claims<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn peers_are_believed_if_they_are_far_from_each_other_or_three() {
        let cases: [(Claims<'_>, &[&str]); 8] = [
            (&[("11.1.0.1", "11.9.9.9:1")], &[]),
            (
                &[("11.1.0.1", "11.9.9.9:1"), ("11.1.0.2", "11.9.9.9:1")],
                &[],
            ),
            (
                &[("11.1.0.1", "11.9.9.9:1"), ("11.2.0.1", "11.9.9.9:1")],
                &["11.9.9.9:1"],
            ),
            (
                &[
                    ("11.1.0.1", "11.9.9.9:1"),
                    ("11.1.0.2", "11.9.9.9:1"),
                    ("11.1.0.3", "11.9.9.9:1"),
                ],
                &["11.9.9.9:1"],
            ),
            (
                &[("11.1.0.1", "11.9.9.9:1"), ("11.2.0.1", "11.9.9.9:2")],
                &[],
            ),
            (
                &[
                    ("2001:db8::1", "11.9.9.9:1"),
                    ("2001:db8:1::1", "11.9.9.9:1"),
                ],
                &[],
            ),
            // nothing can be sent there
            (
                &[("11.1.0.1", "127.0.0.1:1"), ("11.2.0.1", "127.0.0.1:1")],
                &[],
            ),
            // what most see comes first
            (
                &[
                    ("11.1.0.1", "11.9.9.9:1"),
                    ("11.2.0.1", "11.9.9.9:1"),
                    ("11.1.0.1", "11.9.9.9:2"),
                    ("11.2.0.1", "11.9.9.9:2"),
                    ("11.3.0.1", "11.9.9.9:2"),
                    ("11.1.0.1", "11.9.9.9:3"),
                    ("11.2.0.1", "11.9.9.9:3"),
                    ("11.3.0.1", "11.9.9.9:3"),
                ],
                &["11.9.9.9:2", "11.9.9.9:3", "11.9.9.9:1"],
            ),
        ];
        for (claims, expected) in cases {
            let parsed = claims.iter();
            let parsed = parsed.map(|(peer, seen)| (peer.parse().unwrap(), seen.parse().unwrap()));
            let places = believed(parsed.collect());
            let places = Vec::from_iter(places.iter().map(ToString::to_string));
            assert_eq!(places, expected, "{claims:?}");
        }
    }
}
