//! Routes of Babel in the kernel's table: `proto babel`, at a metric of the instance's own, below static routes.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{
        RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
        RouteType, RouteVia,
    },
};

use super::{
    NetlinkError, Refusal, Rtnetlink,
    route::{base, ip, parse},
};
use crate::route::RouteKey;

/// `RTPROT_BABEL`.
pub const PROTOCOL: u8 = 42;
/// Below static routes (1024). The place of the instance is added, so that each knows its own.
pub const METRIC: u32 = 2048;

/// Added for default routes: whatever default the host has by itself wins, and no lost one of ours shadows it.
const DEFAULT: u32 = 0x2000_0000;

/// The metric of a route of the instance whose routes begin at `first`.
pub fn metric(route: &RouteKey, first: u32) -> u32 {
    let is_default = route.to().prefix_len() == 0 && route.from().is_none();
    first + if is_default { DEFAULT } else { 0 }
}

/// Where packets of a route go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through an interface, to a router on its link if one is named.
    Through {
        /// Interface index.
        interface: u32,
        /// The router.
        router: Option<IpAddr>,
        /// The source address of packets of this host.
        source: Option<IpAddr>,
        /// The MTU in bytes where it differs from the interface's.
        mtu: Option<u32>,
    },
    /// Nowhere.
    Unreachable,
}

impl Rtnetlink {
    /// The routes of the instance whose routes begin at metric `first`.
    pub fn mesh_routes(&mut self, first: u32) -> Result<Vec<(RouteKey, Way)>, NetlinkError> {
        let mut routes = Vec::new();
        self.routes_by(PROTOCOL, |message| {
            let metric = |key| RouteAttribute::Priority(self::metric(key, first));
            if let Some((destination, properties)) = parse(&message)
                && let Ok(key) = RouteKey::new(destination.to, destination.from)
                && message.attributes.contains(&metric(&key))
            {
                let way = match message.header.kind {
                    RouteType::Unicast => Way::Through {
                        interface: interface(&message),
                        router: router(&message),
                        source: properties.source,
                        mtu: properties.mtu,
                    },
                    _ => Way::Unreachable,
                };
                routes.push((key, way));
            }
        })?;
        Ok(routes)
    }

    /// Sets or (`None`) removes routes, many at a time. A route that is to be removed and is not there is no error.
    pub fn set_mesh_routes(
        &mut self,
        first: u32,
        routes: &[(RouteKey, Option<Way>)],
    ) -> Result<Vec<Refusal>, NetlinkError> {
        let refusals = self.batch(routes.iter().map(|(key, way)| {
            let message = message(key, *way, metric(key, first));
            match way {
                Some(_) => (
                    RouteNetlinkMessage::NewRoute(message),
                    NLM_F_CREATE | NLM_F_REPLACE,
                ),
                None => (RouteNetlinkMessage::DelRoute(message), 0),
            }
        }))?;
        Ok(refusals
            .into_iter()
            .filter(|refusal| !refusal.error.is(libc::ESRCH))
            .collect())
    }

    /// Removes all routes of an instance.
    pub fn remove_mesh_routes(&mut self, first: u32) -> Result<(), NetlinkError> {
        let routes: Vec<_> = self
            .mesh_routes(first)?
            .into_iter()
            .map(|(key, _)| (key, None))
            .collect();
        match self.set_mesh_routes(first, &routes)?.into_iter().next() {
            None => Ok(()),
            Some(refusal) => Err(refusal.error),
        }
    }
}

fn message(key: &RouteKey, way: Option<Way>, metric: u32) -> RouteMessage {
    let kind = match way {
        Some(Way::Through { .. }) => RouteType::Unicast,
        Some(Way::Unreachable) => RouteType::Unreachable,
        None => RouteType::Unspec,
    };
    let scope = match (key.to().addr(), way) {
        (_, None) => RouteScope::NoWhere,
        (IpAddr::V4(_), Some(Way::Through { router: None, .. })) => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    let mut message = base(key.to(), kind, scope, metric);
    message.header.protocol = RouteProtocol::from(PROTOCOL);
    if let Some(from) = key.from() {
        message.header.source_prefix_length = from.prefix_len();
        message
            .attributes
            .push(RouteAttribute::Source(from.network().into()));
    }
    if let Some(Way::Through {
        interface,
        router,
        source,
        mtu,
    }) = way
    {
        message.attributes.push(RouteAttribute::Oif(interface));
        match (key.to().addr(), router) {
            (IpAddr::V4(_), Some(IpAddr::V6(router))) => message
                .attributes
                .push(RouteAttribute::Via(RouteVia::Inet6(router))),
            (_, Some(router)) => {
                // it has said so itself that it is there, whatever its address is
                if !matches!(router, IpAddr::V6(router) if router.is_unicast_link_local()) {
                    message.header.flags |= RouteFlags::Onlink;
                }
                message
                    .attributes
                    .push(RouteAttribute::Gateway(router.into()));
            }
            (_, None) => {}
        }
        message
            .attributes
            .extend(source.map(|source| RouteAttribute::PrefSource(source.into())));
        message
            .attributes
            .extend(mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    }
    message
}

fn interface(message: &RouteMessage) -> u32 {
    let index = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    };
    message
        .attributes
        .iter()
        .find_map(index)
        .unwrap_or_default()
}

fn router(message: &RouteMessage) -> Option<IpAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
            RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
            _ => None,
        })
}
