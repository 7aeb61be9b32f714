//! Behind a NAT, the router is asked to pass a port on: what for, and what others are told of its answer.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{super::outside::PORT_MAPPING, super::troubles::Trouble, Controller};
use crate::{
    config::Carrier,
    io::random,
    mesh::address::is_public,
    port_mapping::{Mapping, Nonce, Protocol, Standing, Wanted, answer, shell::PortMapper},
};

/// The anycast address of PCP servers (RFC 7723): no packet is sent there, but the way to it is the way to the Internet.
const INTERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 9));
/// For the router to take a mapping back when the node ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// A port that the router passes on, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MappedPort {
    /// Where others reach this node.
    pub address: SocketAddr,
    /// The router.
    pub router: Ipv4Addr,
    /// How it was asked.
    pub protocol: Protocol,
}

impl fmt::Display for MappedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            router,
            protocol,
        } = self;
        write!(
            f,
            "the router at {router} passes what comes to {address} on to this node ({protocol})"
        )
    }
}

impl Controller {
    /// Where a router passes packets on to this node, if it does: it is asked for that, unless this node has a public IPv4
    /// address of its own.
    pub(super) fn mapped_port(&mut self, own: &[SocketAddr]) -> Option<MappedPort> {
        let wanted = self.wanted_mapping(own);
        let outcome = self.ask_for_mapping(wanted).context("port mapping");
        let standing = match outcome {
            Ok(standing) => {
                self.tell("port mapping", Ok(None));
                standing
            }
            Err(error) => {
                self.tell("port mapping", Err(error));
                return None;
            }
        };
        let (port, doubt) = match (standing, wanted) {
            (Standing::Mapped(mapping), Some(wanted)) if mapping.wanted == wanted => {
                self.judged(&mapping, own)
            }
            (Standing::Refused(why), Some(wanted)) if !self.is_reachable() => {
                (None, Some(answer::refusal(&wanted, &why)))
            }
            _ => (None, None),
        };
        let doubt = doubt.map(|text| Trouble { text, again: false });
        self.doubt("port mapping", doubt);
        port
    }

    fn judged(
        &self,
        mapping: &Mapping,
        own: &[SocketAddr],
    ) -> (Option<MappedPort>, Option<String>) {
        let peers = self.peers.iter();
        let seen = peers.flat_map(|peers| peers.channels.seen_at());
        let seen = seen.filter_map(|(_, seen)| match seen.ip().to_canonical() {
            IpAddr::V4(seen) => Some(seen),
            IpAddr::V6(_) => None,
        });
        let is_ours = |address: IpAddr| {
            let mut networks = self.config.networks.iter();
            own.iter().any(|own| own.ip() == address)
                || networks.any(|network| network.contains(&address))
        };
        match answer::outside(mapping, seen, is_ours) {
            Ok(address) => {
                let port = MappedPort {
                    address,
                    router: mapping.wanted.router,
                    protocol: mapping.protocol,
                };
                (Some(port), None)
            }
            Err(why) => (None, Some(why.to_string())),
        }
    }

    /// What the router of the default route is asked for.
    fn wanted_mapping(&mut self, own: &[SocketAddr]) -> Option<Wanted> {
        let configured = self.config.mesh.as_ref()?;
        let is_public = |socket: &SocketAddr| match socket.ip() {
            IpAddr::V4(ip) => is_public(ip),
            IpAddr::V6(_) => false,
        };
        let is_called = !configured.client && !configured.disabled.contains(&Carrier::Udp);
        let may_ask = is_called && configured.port_mapping && configured.ip.is_empty();
        if !may_ask || own.iter().any(is_public) {
            return None;
        }
        let way = self.host.netlink.way(INTERNET, None).ok()?;
        let (Some(IpAddr::V4(router)), Some(source)) = (way.gateway, way.source) else {
            return None;
        };
        let source = SocketAddr::new(source, self.config.port);
        let SocketAddr::V4(to) = source else {
            return None;
        };
        let by_the_mesh = self.instance.is_device(way.interface, &[]);
        (!by_the_mesh && !is_public(&source)).then(|| Wanted {
            router,
            to,
            nonce: self.nonce(),
        })
    }

    /// The same after a restart.
    fn nonce(&mut self) -> Nonce {
        if let Some(nonce) = self.state.kept.port_mapping_nonce {
            return nonce;
        }
        let nonce = [(); 3].map(|()| random::number() as u32);
        self.state.kept.port_mapping_nonce = Some(nonce);
        self.save();
        nonce
    }

    fn ask_for_mapping(&mut self, wanted: Option<Wanted>) -> Result<Standing> {
        let Some(mesh) = &mut self.mesh else {
            return Ok(Standing::None);
        };
        let places = &mut mesh.places;
        if places.mapper.is_none() && wanted.is_some() {
            let mapper = PortMapper::start().context("no thread for it")?;
            self.readiness.add(mapper.as_fd(), PORT_MAPPING)?;
            places.mapper = Some(mapper);
        }
        let Some(mapper) = &places.mapper else {
            return Ok(Standing::None);
        };
        mapper.want(wanted);
        Ok(mapper.standing())
    }

    /// There is no mesh any more: the router is told so, which the loop does not wait for.
    pub(super) fn leave_port_mapping(&mut self) {
        let mapper = self
            .mesh
            .as_mut()
            .and_then(|mesh| mesh.places.mapper.take());
        if let Some(mapper) = mapper {
            let end = move || mapper.end(PATIENCE);
            // without a thread the router forgets it by itself
            std::thread::Builder::new().spawn(end).ok();
        }
        self.tell("port mapping", Ok(None));
        self.doubt("port mapping", None);
    }

    /// The router need not pass anything on any more.
    pub(in super::super) fn end_port_mapping(&self) {
        let places = self.mesh.as_ref().map(|mesh| &mesh.places);
        if let Some(mapper) = places.and_then(|places| places.mapper.as_ref()) {
            mapper.end(PATIENCE);
        }
    }
}
