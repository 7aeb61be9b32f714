//! How a tunnel's peer is reached: route, source address, neighbour, MTU; and the map entries that follow.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use re6st_common::{
    address::Address,
    encapsulation::{LinkHeader, OuterHeaders, UdpPorts},
    maps::{NextHop, Tunnel, kind, transmit},
};

use super::{
    error::{BpfError, During as _},
    maps,
};
use crate::{
    config::{self, Config, Encapsulation, SourcePort},
    io::{
        netlink::{Rtnetlink, link::Interface},
        source,
    },
};

/// The overlay's MTU unless configured, in bytes.
const DEFAULT_MTU: u32 = 1420;
/// What every IPv6 link must carry (RFC 8200 section 5).
const IPV6_MINIMUM_MTU: u32 = 1280;
/// The interfaces of the configuration, as the host has them.
pub type Interfaces = BTreeMap<u32, Interface>;

/// A tunnel and how its peer is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedTunnel {
    /// The configured tunnel.
    pub tunnel: config::Tunnel,
    /// Our outer address.
    pub local: IpAddr,
    /// Interface XDP receives and transmits on.
    pub interface: u32,
    /// Interface the route names: the VLAN device, where XDP's is its parent.
    pub route_interface: u32,
    /// VLAN identifier, 0 for none.
    pub vlan: u16,
    /// The biggest inner packet, in bytes.
    pub mtu: u32,
    /// The router or the peer itself: whose Ethernet address packets go to.
    pub neighbour: IpAddr,
    /// That address; `None` while the kernel does not know it.
    pub neighbour_address: Option<[u8; 6]>,
    /// The Ethernet address packets come from.
    pub source_address: [u8; 6],
}

/// Looks up the way to one peer again, without waiting for the neighbour.
///
/// # Errors
/// As with [`tunnels`].
pub fn again(
    config: &Config,
    tunnel: &config::Tunnel,
    interfaces: &Interfaces,
    device: u32,
    netlink: &mut Rtnetlink,
) -> Result<ResolvedTunnel, BpfError> {
    let mut resolved = resolve(config, tunnel, interfaces, Some(device), netlink)?;
    let (interface, neighbour) = (resolved.route_interface, resolved.neighbour);
    resolved.neighbour_address = netlink
        .neighbour(interface, neighbour)
        .during(|| format!("look up the Ethernet address of {neighbour}"))?;
    if resolved.neighbour_address.is_none() {
        // the kernel looks for it, and tells when it has found it
        let _ = netlink.resolve_neighbour(interface, neighbour);
    }
    Ok(resolved)
}

/// What came of looking up the way to the peer of each tunnel.
#[derive(Debug, Default)]
pub struct Found {
    /// The tunnels that can be used.
    pub tunnels: Vec<ResolvedTunnel>,
    /// The names of the others, and why.
    pub missing: Vec<(String, BpfError)>,
}

/// Looks up the way to the peer of each tunnel. `device` is the mesh device if there is one already: no tunnel may lead
/// through it. `patience`: how long to wait for all neighbours together.
pub fn tunnels(
    config: &Config,
    interfaces: &Interfaces,
    device: Option<u32>,
    patience: Duration,
    netlink: &mut Rtnetlink,
) -> Result<Found, BpfError> {
    let mut found = Found::default();
    for tunnel in &config.tunnels {
        match resolve(config, tunnel, interfaces, device, netlink) {
            Ok(resolved) => found.tunnels.push(resolved),
            Err(error) => found.missing.push((tunnel.name.clone(), error)),
        }
    }
    find_neighbours(&mut found.tunnels, patience, netlink)?;
    Ok(found)
}

/// The MTU a tunnel will have once its peer is reached, unless the interface's asks for less.
pub fn expected_mtu(tunnel: &config::Tunnel) -> u32 {
    tunnel.mtu.map_or(DEFAULT_MTU, u32::from)
}

fn resolve(
    config: &Config,
    tunnel: &config::Tunnel,
    interfaces: &Interfaces,
    device: Option<u32>,
    netlink: &mut Rtnetlink,
) -> Result<ResolvedTunnel, BpfError> {
    let name = &tunnel.name;
    let remote = tunnel.remote;
    let way = netlink.way(remote, tunnel.local).during(|| {
        let hint = match tunnel.local {
            Some(local) => format!(" from {local} (is that an address of this host?)"),
            None => String::new(),
        };
        format!("tunnel {name}: look up the route to {remote}{hint}")
    })?;
    if way.local {
        return Err(BpfError::Conflict(format!(
            "tunnel {name}: {remote} is an address of this host itself; `remote` is the peer's"
        )));
    }
    if Some(way.interface) == device {
        return Err(BpfError::Conflict(format!(
            "tunnel {name}: the route to {remote} leads into the mesh itself. Add a more specific route for {remote} \
             through a network interface, or take the `[[route]]` that covers it out of the configuration"
        )));
    }
    let route_interface = netlink
        .interface_by_index(way.interface)
        .during(|| format!("tunnel {name}: look up interface {}", way.interface))?
        .ok_or_else(|| {
            BpfError::Conflict(format!(
                "tunnel {name}: the interface of the route to {remote} vanished"
            ))
        })?;
    let (interface, vlan) = xdp_interface(tunnel, interfaces, &route_interface)?;
    let lasting = match remote {
        IpAddr::V6(remote) if tunnel.local.is_none() => source::lasting(remote).ok(),
        _ => None,
    };
    let chosen = lasting.or(way.source);
    let local = local_address(config, tunnel, chosen, &route_interface.name)?;
    Ok(ResolvedTunnel {
        mtu: mtu(config, tunnel, &route_interface)?,
        local,
        interface,
        route_interface: route_interface.index,
        vlan,
        neighbour: way.gateway.unwrap_or(remote),
        neighbour_address: None,
        source_address: route_interface.address.ok_or_else(|| {
            BpfError::Conflict(format!(
                "tunnel {name}: the route to {remote} leaves through {}, which is no Ethernet interface",
                route_interface.name
            ))
        })?,
        tunnel: tunnel.clone(),
    })
}

/// The interface XDP is attached to, and the VLAN identifier its frames carry.
fn xdp_interface(
    tunnel: &config::Tunnel,
    interfaces: &Interfaces,
    route_interface: &Interface,
) -> Result<(u32, u16), BpfError> {
    let below = route_interface
        .vlan
        .and_then(|(parent, vlan)| Some((interfaces.get(&parent)?, vlan)));
    if let Some((parent, vlan)) = below
        && !parent.is_of_members()
    {
        return Ok((parent.index, vlan));
    }
    if interfaces.contains_key(&route_interface.index) {
        return Ok((route_interface.index, 0));
    }
    let upper = &route_interface.name;
    let mut members = interfaces.values();
    let member = members.find(|attached| attached.controller == Some(route_interface.index));
    let advice = match (member, below, route_interface.vlan) {
        (Some(member), ..) => format!(
            "{0} is a member of {upper}: name {upper} there instead of {0}",
            member.name
        ),
        (None, Some((parent, _)), _) => format!(
            "name it there instead of {0}, for XDP on {0} sees frames without their VLAN tags",
            parent.name
        ),
        (None, None, Some(_)) => "add it there (or the interface that VLAN is on)".to_owned(),
        (None, None, None) => "add it there".to_owned(),
    };
    Err(BpfError::Conflict(format!(
        "tunnel {}: the route to {} leaves through {upper}, which is not in `interfaces`: {advice}, or change the route",
        tunnel.name, tunnel.remote
    )))
}

fn local_address(
    config: &Config,
    tunnel: &config::Tunnel,
    chosen: Option<IpAddr>,
    interface: &str,
) -> Result<IpAddr, BpfError> {
    if let Some(local) = tunnel.local {
        return Ok(local);
    }
    let usable = |address: &IpAddr| {
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let own = config.addresses.iter().any(|own| own.addr() == *address);
        !link_local && !own
    };
    chosen.filter(usable).ok_or_else(|| {
        BpfError::Conflict(format!(
            "tunnel {}: this host has no address on {interface} to reach {} from: give {interface} one, or set `local`",
            tunnel.name, tunnel.remote
        ))
    })
}

fn mtu(config: &Config, tunnel: &config::Tunnel, interface: &Interface) -> Result<u32, BpfError> {
    let outer = u32::from(tunnel.encapsulation.outer_length(tunnel.remote));
    let fits = interface.mtu.saturating_sub(outer);
    let name = &tunnel.name;
    let mtu = match tunnel.mtu.map(u32::from) {
        None => fits.min(DEFAULT_MTU),
        Some(mtu) if mtu <= fits => mtu,
        // what was found of the path lately
        Some(_) if tunnel.of_peer => fits,
        Some(mtu) => {
            return Err(BpfError::Conflict(format!(
                "tunnel {name}: `mtu = {mtu}` does not fit {} (MTU {}) with {outer} bytes of outer headers: at most {fits}",
                interface.name, interface.mtu
            )));
        }
    };
    let carries_ipv6 = config
        .addresses
        .iter()
        .chain(&config.networks)
        .any(|prefix| prefix.addr().is_ipv6());
    if carries_ipv6 && mtu < IPV6_MINIMUM_MTU {
        return Err(BpfError::Conflict(format!(
            "tunnel {name}: {} (MTU {}) leaves {mtu} bytes, and IPv6 needs {IPV6_MINIMUM_MTU}: raise its MTU to {} at least",
            interface.name,
            interface.mtu,
            IPV6_MINIMUM_MTU + outer
        )));
    }
    Ok(mtu)
}

/// Fills in the neighbours' Ethernet addresses, for those the kernel finds in time. It is asked all at once.
fn find_neighbours(
    tunnels: &mut [ResolvedTunnel],
    patience: Duration,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    let mut found: BTreeMap<(u32, IpAddr), Option<[u8; 6]>> = tunnels
        .iter()
        .map(|tunnel| ((tunnel.route_interface, tunnel.neighbour), None))
        .collect();
    let start = Instant::now();
    let mut asked = false;
    loop {
        for ((interface, address), known) in &mut found {
            if known.is_some() {
                continue;
            }
            let what = || format!("look up the Ethernet address of {address}");
            *known = netlink.neighbour(*interface, *address).during(what)?;
            if known.is_none() && !asked {
                // refused, for example, when the interface is down: the tunnel takes the slow path
                let _ = netlink.resolve_neighbour(*interface, *address);
            }
        }
        asked = true;
        if found.values().all(Option::is_some) || start.elapsed() >= patience {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    for tunnel in tunnels {
        tunnel.neighbour_address = found
            .get(&(tunnel.route_interface, tunnel.neighbour))
            .copied()
            .flatten();
    }
    Ok(())
}

impl ResolvedTunnel {
    /// The headers we send, to the tunnels' port or the one that the peer's NAT has chosen.
    fn outer(&self, port: u16) -> OuterHeaders {
        let tunnel = &self.tunnel;
        OuterHeaders {
            local: self.local,
            remote: tunnel.remote,
            udp: (tunnel.encapsulation == Encapsulation::Fou).then_some(UdpPorts {
                source: (tunnel.source_port == SourcePort::Fixed).then_some(port),
                destination: tunnel.remote_port.unwrap_or(port),
            }),
            key: tunnel.keys.remote,
        }
    }

    /// The entries of TUNNELS, one for each key: what the peer must send.
    pub fn entries(&self, next_hop: u32) -> Vec<Tunnel> {
        let entry = |key| Tunnel {
            next_hop,
            key,
            interface: self.interface,
            vlan: self.vlan,
            encapsulation: self.outer(0).encapsulation(),
            remote: Address::from(self.tunnel.remote).octets(),
            local: Address::from(self.local).octets(),
        };
        self.tunnel.keys.accepted().map(entry).collect()
    }

    /// The entry of NEXT_HOPS: what we send. `with_tc`: the interface takes no frames from XDP.
    pub fn next_hop(&self, port: u16, with_tc: bool) -> NextHop {
        let mut entry = NextHop {
            kind: kind::TUNNEL,
            flags: if with_tc { transmit::WITH_TC } else { 0 },
            interface: self.interface,
            route_interface: self.route_interface,
            mtu: self.mtu,
            name: maps::name(&self.tunnel.name),
            ..NextHop::FREE
        };
        self.outer(port).write(&mut entry);
        if let Some(destination) = self.neighbour_address {
            let link = LinkHeader {
                destination,
                source: self.source_address,
                vlan: self.vlan,
            };
            link.write(&mut entry);
        }
        entry
    }
}

#[cfg(test)]
impl ResolvedTunnel {
    /// A tunnel through an interface.
    pub fn example(tunnel: &config::Tunnel, interface: u32, mtu: u32) -> Self {
        let address = |ipv4: [u8; 4], ipv6: [u16; 8]| match tunnel.remote {
            IpAddr::V4(_) => IpAddr::from(ipv4),
            IpAddr::V6(_) => IpAddr::from(ipv6),
        };
        Self {
            tunnel: tunnel.clone(),
            local: address([192, 0, 2, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
            interface,
            route_interface: interface,
            vlan: 0,
            mtu,
            neighbour: address([192, 0, 2, 254], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 254]),
            neighbour_address: Some([4; 6]),
            source_address: [2; 6],
        }
    }
}
