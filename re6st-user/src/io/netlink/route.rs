//! The kernel's routes.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
        RouteScope, RouteType,
    },
};

use super::{NetlinkError, Refusal, Rtnetlink};

/// The protocol number our routes carry (`ip route show proto 69`), so that they are told from everybody else's.
pub const PROTOCOL: u8 = 69;
/// The metric of routes into the mesh. A route somebody else made to the same destination is usually preferred.
const METRIC: u32 = 1024;

/// The way of a packet, as the kernel's routing table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Interface index it leaves through.
    pub interface: u32,
    /// The router it goes to; `None` for a destination on the link.
    pub gateway: Option<IpAddr>,
    /// The source address a socket that does not care gets.
    pub source: Option<IpAddr>,
    /// Whether the destination is this host itself.
    pub local: bool,
    /// The biggest packet in bytes, where the route says so, or something on the path has said so.
    pub mtu: Option<u32>,
}

/// A route of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// Destination prefix.
    pub to: IpNet,
    /// Source prefix (IPv6 only).
    pub from: Option<IpNet>,
}

/// What a route of ours to a [`Destination`] through the mesh device says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The source address of packets of this host.
    pub source: Option<IpAddr>,
    /// The MTU in bytes where it differs from the interface's.
    pub mtu: Option<u32>,
}

impl Rtnetlink {
    /// Which way a packet to `destination` would take.
    pub fn way(
        &mut self,
        destination: IpAddr,
        source: Option<IpAddr>,
    ) -> Result<Way, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = bits(destination);
        message
            .attributes
            .push(RouteAttribute::Destination(destination.into()));
        if let Some(source) = source {
            message.header.source_prefix_length = bits(source);
            message
                .attributes
                .push(RouteAttribute::Source(source.into()));
        }
        let RouteNetlinkMessage::NewRoute(message) =
            self.get(RouteNetlinkMessage::GetRoute(message))?
        else {
            return Err(NetlinkError::Answer("not a route".to_owned()));
        };
        let mut way = Way {
            interface: 0,
            gateway: None,
            source: None,
            local: message.header.kind == RouteType::Local,
            mtu: mtu(&message),
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(index) => way.interface = *index,
                RouteAttribute::Gateway(address) => way.gateway = ip(address),
                RouteAttribute::PrefSource(address) => way.source = ip(address),
                RouteAttribute::Via(via) => {
                    way.gateway = match via {
                        netlink_packet_route::route::RouteVia::Inet(address) => {
                            Some((*address).into())
                        }
                        netlink_packet_route::route::RouteVia::Inet6(address) => {
                            Some((*address).into())
                        }
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        Ok(way)
    }

    /// Our routes through an interface.
    pub fn own_routes(
        &mut self,
        interface: u32,
    ) -> Result<Vec<(Destination, Properties)>, NetlinkError> {
        self.routes_of_ours(RouteType::Unicast, &RouteAttribute::Oif(interface))
    }

    /// Destinations of our routes through an interface to which somebody else has a route that the kernel prefers. Not the
    /// default route: a host may well have its own.
    pub fn outdone_routes(&mut self, interface: u32) -> Result<Vec<IpNet>, NetlinkError> {
        let own = self.own_routes(interface)?;
        let own: BTreeSet<Destination> = own.into_iter().map(|(route, _)| route).collect();
        let mut found = Vec::new();
        if own.is_empty() {
            return Ok(found);
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            self.dump(RouteNetlinkMessage::GetRoute(request), |answer| {
                if let RouteNetlinkMessage::NewRoute(message) = answer
                    && message.header.protocol != RouteProtocol::Other(PROTOCOL)
                    && message.header.table == RouteHeader::RT_TABLE_MAIN
                    && metric(&message) < METRIC
                    && let Some((route, _)) = parse(&message)
                    && route.to.prefix_len() > 0
                    && own.contains(&route)
                {
                    found.push(route.to);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The prefixes that [`Self::add_unreachable`] was asked for with this metric.
    pub fn unreachable_routes(&mut self, metric: u32) -> Result<Vec<IpNet>, NetlinkError> {
        let metric = RouteAttribute::Priority(metric);
        let routes = self.routes_of_ours(RouteType::Unreachable, &metric)?;
        Ok(routes.into_iter().map(|(route, _)| route.to).collect())
    }

    fn routes_of_ours(
        &mut self,
        kind: RouteType,
        attribute: &RouteAttribute,
    ) -> Result<Vec<(Destination, Properties)>, NetlinkError> {
        let mut routes = Vec::new();
        self.routes_by(PROTOCOL, |message| {
            if message.header.kind == kind && message.attributes.contains(attribute) {
                routes.extend(parse(&message));
            }
        })?;
        Ok(routes)
    }

    /// Those of the kernel's routes that carry a protocol number. The kernel itself leaves the others out: a router of the
    /// Internet has a million of them.
    pub(super) fn routes_by(
        &mut self,
        protocol: u8,
        mut visit: impl FnMut(RouteMessage),
    ) -> Result<(), NetlinkError> {
        self.socket.set_netlink_get_strict_chk(true)?;
        let families = [AddressFamily::Inet, AddressFamily::Inet6];
        let outcome = families.into_iter().try_for_each(|family| {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            request.header.protocol = protocol.into();
            self.dump(RouteNetlinkMessage::GetRoute(request), |answer| {
                if let RouteNetlinkMessage::NewRoute(message) = answer
                    && u8::from(message.header.protocol) == protocol
                {
                    visit(message);
                }
                Ok(())
            })
        });
        self.socket.set_netlink_get_strict_chk(false)?;
        outcome
    }

    /// Adds routes through an interface, or changes those that are there.
    pub fn add_routes(
        &mut self,
        interface: u32,
        routes: impl IntoIterator<Item = (Destination, Properties)>,
    ) -> Result<Vec<Refusal>, NetlinkError> {
        self.batch(routes.into_iter().map(|(destination, properties)| {
            let message = through(interface, destination, properties);
            (
                RouteNetlinkMessage::NewRoute(message),
                NLM_F_CREATE | NLM_F_REPLACE,
            )
        }))
    }

    /// Removes routes through an interface. Those that are not there are no error.
    pub fn remove_routes(
        &mut self,
        interface: u32,
        routes: impl IntoIterator<Item = Destination>,
    ) -> Result<Vec<Refusal>, NetlinkError> {
        let refusals = self.batch(routes.into_iter().map(|destination| {
            let message = through(interface, destination, Properties::default());
            (RouteNetlinkMessage::DelRoute(message), 0)
        }))?;
        Ok(refusals.into_iter().filter(is_real).collect())
    }

    /// Lets the kernel answer "unreachable" for a prefix where no other route says better. `metric` tells the instances
    /// on one host apart.
    pub fn add_unreachable(&mut self, prefix: IpNet, metric: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(unreachable(prefix, metric));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Undoes [`Self::add_unreachable`]. No error if there is no such route.
    pub fn remove_unreachable(&mut self, prefix: IpNet, metric: u32) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRoute(unreachable(prefix, metric));
        match self.change(message, 0) {
            Err(error) if error.is(libc::ESRCH) => Ok(()),
            outcome => outcome,
        }
    }
}

fn is_real(refusal: &Refusal) -> bool {
    !refusal.error.is(libc::ESRCH)
}

pub(super) fn base(to: IpNet, kind: RouteType, scope: RouteScope, metric: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(to.addr());
    message.header.destination_prefix_length = to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.scope = scope;
    message.header.kind = kind;
    message.attributes = vec![
        RouteAttribute::Destination(to.network().into()),
        RouteAttribute::Priority(metric),
    ];
    message
}

fn through(interface: u32, destination: Destination, properties: Properties) -> RouteMessage {
    let scope = match destination.to {
        IpNet::V4(_) => RouteScope::Link,
        IpNet::V6(_) => RouteScope::Universe,
    };
    let mut message = base(destination.to, RouteType::Unicast, scope, METRIC);
    message.attributes.push(RouteAttribute::Oif(interface));
    if let Some(from) = destination.from {
        message.header.source_prefix_length = from.prefix_len();
        message
            .attributes
            .push(RouteAttribute::Source(from.network().into()));
    }
    if let Some(source) = properties.source {
        message
            .attributes
            .push(RouteAttribute::PrefSource(source.into()));
    }
    if let Some(mtu) = properties.mtu {
        message
            .attributes
            .push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    message
}

fn unreachable(prefix: IpNet, metric: u32) -> RouteMessage {
    base(prefix, RouteType::Unreachable, RouteScope::Universe, metric)
}

/// Of several routes to a destination the kernel takes the one with the least.
fn metric(message: &RouteMessage) -> u32 {
    let mut attributes = message.attributes.iter();
    attributes
        .find_map(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        })
        .unwrap_or(0)
}

pub(super) fn parse(message: &RouteMessage) -> Option<(Destination, Properties)> {
    let find = |wanted: fn(&RouteAttribute) -> Option<&RouteAddress>| {
        message.attributes.iter().find_map(wanted).and_then(ip)
    };
    let to = find(|attribute| match attribute {
        RouteAttribute::Destination(address) => Some(address),
        _ => None,
    });
    let from = find(|attribute| match attribute {
        RouteAttribute::Source(address) => Some(address),
        _ => None,
    });
    let source = find(|attribute| match attribute {
        RouteAttribute::PrefSource(address) => Some(address),
        _ => None,
    });
    let mtu = mtu(message);
    let header = &message.header;
    let to = prefix(header.address_family, to, header.destination_prefix_length)?;
    let from = match header.source_prefix_length {
        0 => None,
        length => Some(prefix(header.address_family, from, length)?),
    };
    Some((Destination { to, from }, Properties { source, mtu }))
}

fn mtu(message: &RouteMessage) -> Option<u32> {
    let mut attributes = message.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => metrics.iter().find_map(|metric| match metric {
            RouteMetric::Mtu(mtu) => Some(*mtu),
            _ => None,
        }),
        _ => None,
    })
}

/// The kernel leaves the address out for a prefix of length 0.
fn prefix(family: AddressFamily, address: Option<IpAddr>, length: u8) -> Option<IpNet> {
    match (family, address) {
        (_, Some(address)) => IpNet::new(address, length).ok(),
        (AddressFamily::Inet, None) => Some(Ipv4Net::default().into()),
        (AddressFamily::Inet6, None) => Some(Ipv6Net::default().into()),
        _ => None,
    }
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
