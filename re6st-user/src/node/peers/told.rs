//! What channels are told: who this node is, whom it knows, and whom the file names; and what Babel is told of peers.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::super::{controller::Controller, mesh::NodeMesh, troubles::Trouble, wishes};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        origins::{self, Entitlement, Origins, Refusal},
    },
    certificate::{node::NodeCertificate, node_prefix::NodePrefix, static_key::StaticPublicKey},
    channel::{self, ChannelCredentials, Closing, Settings},
    config::{self, Config},
    dataplane::bpf::{
        handshakes::{self, HandshakeKeys},
        maps::Maps,
    },
    membership::{channel::ChannelStanding, shell::Request},
    route::RouteKey,
};

/// Handshakes without a cookie that a CPU lets through in a second: one takes a quarter of a millisecond.
const HANDSHAKES: u32 = 100;

impl Controller {
    /// Tells the channels what the membership says now, and the peers of the file.
    pub(in super::super) fn tell_channels(&mut self) {
        let Some(standing) = &self.membership else {
            return;
        };
        let standing = standing.borrow().channel.clone();
        let (Some(now), Some(peers)) = (standing, &mut self.peers) else {
            return;
        };
        let before = peers.told.replace(now.clone());
        let before = before.as_ref();
        let first = before.is_none();
        let entitled_otherwise = before.is_some_and(|before| before.ipv4 != now.ipv4);
        let credentials = before.is_none_or(|before| {
            !Arc::ptr_eq(&before.certificate, &now.certificate)
                || !Arc::ptr_eq(&before.authorities, &now.authorities)
                || !Arc::ptr_eq(&before.revoked, &now.revoked)
        });
        let held = before.is_none_or(|before| !Arc::ptr_eq(&before.held, &now.held));
        let known = before.map(|before| before.keys.clone()).unwrap_or_default();
        let news: Vec<(NodePrefix, StaticPublicKey)> = now
            .keys
            .iter()
            .filter(|(node, key)| known.get(node) != Some(key))
            .map(|(node, key)| (*node, *key))
            .collect();
        if credentials {
            let credentials = ChannelCredentials {
                key: (*now.static_key).clone(),
                certificate: (*now.certificate).clone(),
                authorities: (*now.authorities).clone(),
                revoked: (*now.revoked).clone(),
            };
            self.channel(channel::Input::Credentials(Box::new(credentials)));
            self.doubt_announcements();
        }
        if held {
            self.channel(channel::Input::PostQuantum(now.post_quantum));
            self.channel(channel::Input::Held((*now.held).clone()));
        }
        if first {
            self.judge_handshakes();
            self.tell_peers();
            self.doubt_addresses();
        }
        for (node, key) in news {
            self.channel(channel::Input::PeerKey { node, key });
            self.call_again(node, key);
        }
        if first {
            self.ask_for_inherited();
        }
        self.cut_off_unknown(&now.missing);
        if entitled_otherwise {
            self.doubt_announcements();
            self.entitle_all();
        }
    }

    /// Whoever had a tunnel in the life before is called, though nobody has named it: it may not know where this node is now.
    fn call_again(&mut self, node: NodePrefix, key: StaticPublicKey) {
        let peers = self.peers.as_ref();
        let inherited = peers.and_then(|peers| peers.inherited.get(&node));
        if inherited.is_none_or(|inherited| inherited.met) {
            return;
        }
        if let Some(tunnel) = self.config.tunnel(&node.common_name()) {
            let port = tunnel.remote_port.unwrap_or(self.config.port);
            let address = SocketAddr::new(tunnel.remote, port);
            self.channel(channel::Input::Restored(vec![(node, address, key)]));
        }
    }

    /// For that its key has to be known.
    fn ask_for_inherited(&mut self) {
        let Some(peers) = &self.peers else {
            return;
        };
        let known = peers.told.as_ref().map(|told| Arc::clone(&told.keys));
        let known = known.unwrap_or_default();
        let nodes = peers.inherited.keys().copied();
        let unknown: Vec<NodePrefix> = nodes.filter(|node| !known.contains_key(node)).collect();
        for node in unknown {
            self.ask_membership(Request::NodeKey(node));
        }
    }

    /// Tunnels of the life before whose peers the registry does not know any more, as those that were revoked meanwhile.
    fn cut_off_unknown(&mut self, missing: &BTreeSet<NodePrefix>) {
        let Some(peers) = &self.peers else {
            return;
        };
        let inherited = peers.inherited.iter();
        let unknown = inherited.filter(|(node, it)| !it.met && missing.contains(node));
        let unknown: Vec<NodePrefix> = unknown.map(|(node, _)| *node).collect();
        for node in unknown {
            self.no_tunnel_to_peer(node, &Closing::Revoked);
        }
    }

    fn entitle_all(&mut self) {
        let links = self.transport.tunnels.keys().copied();
        let links: Vec<InterfaceId> = links.collect();
        for link in links {
            if let Some(peer) = self.peer_of(link) {
                self.entitle(peer, link);
            }
        }
    }

    /// Has XDP judge handshakes with this node, also after another load.
    pub(in super::super) fn judge_handshakes(&mut self) {
        let told = self.peers.as_ref().and_then(|peers| peers.told.as_ref());
        let keys = told.map(|told| HandshakeKeys {
            mac_key: channel::handshake::mac_key(&told.static_key.public_key()),
            rate: HANDSHAKES,
            burst: HANDSHAKES,
        });
        let maps = Maps::new(self.instance.pins.folder());
        let outcome = handshakes::set(&maps, keys.as_ref()).context("handshakes");
        self.tell("handshakes", outcome.map(|()| None));
    }

    /// Tells the channels whom the file names, and whom the mesh wants.
    pub(in super::super) fn tell_peers(&mut self) {
        let peers = self.config.peers.iter().map(|peer| channel::Peer {
            node: peer.node,
            addresses: peer.address.into_iter().collect(),
            key: peer.key,
        });
        let mut peers: Vec<channel::Peer> = peers.collect();
        let wanted = self.mesh.iter().flat_map(NodeMesh::peers);
        for wanted in wanted {
            match peers.iter_mut().find(|peer| peer.node == wanted.node) {
                // where the file does not say it, the mesh may know it
                Some(named) if named.addresses.is_empty() => named.addresses = wanted.addresses,
                Some(_) => {}
                None => peers.push(wanted),
            }
        }
        self.channel(channel::Input::Peers(peers));
    }

    /// Whether the file has an address of this host for a peer.
    pub(in super::super) fn doubt_addresses(&mut self) {
        let netlink = &mut self.host.netlink;
        let text = config::at_own_addresses(&self.config.peers, |address| {
            netlink.way(address, None).is_ok_and(|way| way.local)
        });
        let doubt = text.map(|text| Trouble { text, again: false });
        self.doubt("addresses of peers", doubt);
    }

    /// A configuration with the tunnels that peers have agreed on besides its own.
    pub(in super::super) fn with_peers(&self, config: &Config) -> Result<Config> {
        let own = config.tunnels.iter().filter(|tunnel| !tunnel.of_peer);
        let of_peers = self.config.tunnels.iter().filter(|tunnel| tunnel.of_peer);
        let tunnels = own.chain(of_peers).cloned().collect();
        config.with_tunnels(tunnels).context(
            "a tunnel's key is like that of a tunnel to a peer, which was chosen at random: try again, or give it another",
        )
    }

    /// What the peer may announce as its own.
    pub(in super::super) fn entitle(&mut self, peer: NodePrefix, interface: InterfaceId) {
        let Some((peers, told)) = self
            .peers
            .as_ref()
            .and_then(|peers| Some((peers, peers.told.as_ref()?)))
        else {
            return;
        };
        // one whose prefix is too long has no such router-id: nobody believes what it announces
        let Some(entitlement) = entitlement(told, peer, peers.channels.certificate(peer)) else {
            return;
        };
        self.handle(Input::Entitlement {
            interface,
            router_id_prefix: entitlement.name,
            prefixes: entitlement.prefixes,
            gateway: entitlement.gateway,
        });
    }

    /// Whether other nodes take what the file has this node announce: each looks at its certificate.
    pub(in super::super) fn doubt_announcements(&mut self) {
        let told = self.peers.as_ref().and_then(|peers| peers.told.as_ref());
        let doubt = told.and_then(|told| {
            let certificate = &told.certificate;
            let node = certificate.prefix();
            let entitlement = entitlement(told, node, Some(certificate))?;
            let origins = Origins {
                network: told.authorities.network(),
                shortest: 0,
            };
            let own = origins::router_id_of(&node, 0)?;
            let announced = self.babel.announce.iter().map(|(route, _)| *route);
            not_taken(announced, |route| {
                origins.refusal(Some(&entitlement), route, own)
            })
        });
        let doubt = doubt.map(|text| Trouble { text, again: false });
        self.doubt("announcements", doubt);
    }
}

/// What a node may announce as its own, by its certificate; none if its prefix is too long for a router-id that names it.
/// Nobody is a gateway: no certificate says so.
fn entitlement(
    told: &ChannelStanding,
    node: NodePrefix,
    certificate: Option<&NodeCertificate>,
) -> Option<Entitlement> {
    let ipv6 = node.subnet(&told.authorities.network()).map(IpNet::V6);
    let serial = certificate.map(NodeCertificate::subject_serial);
    let ipv4 = told
        .ipv4
        .zip(serial)
        .and_then(|(ipv4, serial)| ipv4.address(serial));
    let prefixes = ipv6.into_iter().chain(ipv4.map(IpNet::V4));
    Some(Entitlement {
        name: origins::name_of(origins::router_id_of(&node, 0)?),
        prefixes: prefixes.map(|prefix| prefix.trunc()).collect(),
        gateway: false,
    })
}

/// What is said of announcements that nobody takes.
fn not_taken(
    announced: impl Iterator<Item = RouteKey>,
    refusal: impl Fn(&RouteKey) -> Option<Refusal>,
) -> Option<String> {
    let refused = announced.filter_map(|route| Some((refusal(&route)?, route)));
    let mut refused: Vec<_> = refused.collect();
    refused.sort_unstable_by_key(|(refusal, _)| *refusal);
    let (why, _) = refused.last()?;
    let why = match why {
        Refusal::NoGateway => {
            "certificates make no node a gateway, so no peer takes a route out of the network from the node that leads there"
        }
        _ => "this node's certificate does not give it that",
    };
    let routes = refused.iter().map(|(_, route)| wishes::name(route));
    let routes: Vec<String> = routes.collect();
    Some(format!(
        "`announce`: other nodes ignore {}: {why}",
        routes.join(", ")
    ))
}

/// How channels are set up beside what is loaded: `mask` and `tunnels` are the data plane's.
pub(in super::super) fn settings(config: &Config, mask: u32) -> Settings {
    let own = config.tunnels.iter().filter(|tunnel| !tunnel.of_peer);
    Settings {
        port: config.port,
        tunnel_index_mask: mask,
        reserved_indexes: own.map(|tunnel| tunnel.keys.local & mask).collect(),
        ..Settings::default()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    #[test]
    fn people_hear_which_announcements_others_ignore() {
        let route = |text: &str| RouteKey::new(text.parse().unwrap(), None).unwrap();
        let refusal = |route: &RouteKey| match route.to().to_string().as_str() {
            "::/0" => Some(Refusal::NoGateway),
            "2001:db8:43::/48" => Some(Refusal::NotEntitled),
            _ => None,
        };
        let said = |routes: &[&str]| not_taken(routes.iter().map(|it| route(it)), refusal);
        assert_eq!(said(&["2001:db8:42::/48"]), None);
        let foreign = said(&["2001:db8:42::/48", "2001:db8:43::/48"]).unwrap();
        assert!(foreign.contains("ignore 2001:db8:43::/48: this node's certificate"));
        let gateway = said(&["::/0"]).unwrap();
        assert!(gateway.contains("ignore ::/0: certificates make no node a gateway"));
    }
}
