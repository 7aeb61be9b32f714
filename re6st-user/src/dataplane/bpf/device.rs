//! The mesh device, its addresses, and the kernel's routes that lead to it.
//!
//! IPv6 forwarding looks at the interface's own MTU, never at a route's (unless locked, which would break path MTU
//! discovery). So where tunnels differ, the device is as big as the biggest of them, its IPv6 MTU (`net.ipv6.conf.*.mtu`)
//! as small as the smallest, and each route says its tunnel's: what this host sends is limited by the route, what its
//! kernel forwards by the smallest tunnel, and "too big" is answered where it has to be.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    error::{BpfError, During as _},
    pins::InstanceName,
    resolve::{self, ResolvedTunnel},
    rollback::Rollback,
};
use crate::{
    config::Config,
    io::{
        netlink::{
            Refusal, Rtnetlink, ethtool,
            link::Interface,
            route::{Destination, Properties},
        },
        random, sysctl,
    },
};

/// What every IPv6 link must carry (RFC 8200 section 5).
const SMALLEST_MTU: u32 = 1280;

/// What the mesh device and the kernel's routes shall be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In bytes: the biggest tunnel's.
    pub mtu: u32,
    /// In bytes: the smallest tunnel's.
    pub ipv6_mtu: u32,
    /// This node's mesh addresses.
    pub addresses: Vec<IpAddr>,
    /// The kernel's routes to the device.
    pub routes: HashMap<Destination, Properties>,
    /// Prefixes that are unreachable where no route says better.
    pub unreachable: BTreeSet<IpNet>,
    /// How many IPv4 routes have a source prefix, which the kernel's table cannot express.
    pub not_in_kernel: usize,
}

impl Plan {
    /// What a configuration asks for, but for the routes of tunnels that are not used.
    pub fn new(config: &Config, tunnels: &[ResolvedTunnel]) -> Self {
        let by_name: BTreeMap<&str, u32> = tunnels
            .iter()
            .map(|tunnel| (tunnel.tunnel.name.as_str(), tunnel.mtu))
            .collect();
        // those of peers come and go, and their MTU follows the path: each of their routes says it
        let mtus = || {
            let lasting = config.tunnels.iter().filter(|tunnel| !tunnel.of_peer);
            lasting.map(|tunnel| {
                let used = by_name.get(tunnel.name.as_str()).copied();
                used.unwrap_or_else(|| resolve::expected_mtu(tunnel))
            })
        };
        let mtu = mtus().max().unwrap_or(1420).max(SMALLEST_MTU);
        let ipv6_mtu = mtus().min().unwrap_or(mtu).max(SMALLEST_MTU);
        let addresses: Vec<IpAddr> = config.addresses.iter().map(IpNet::addr).collect();
        let own = |to: IpNet| {
            addresses
                .iter()
                .find(|address| address.is_ipv4() == to.addr().is_ipv4())
                .copied()
        };
        let in_kernel =
            |route: &&crate::config::Route| route.from.is_none() || route.to.addr().is_ipv6();
        let routes: HashMap<Destination, Properties> = config
            .routes
            .iter()
            .filter(in_kernel)
            .filter(|route| by_name.contains_key(route.via.as_str()))
            .map(|route| {
                let destination = Destination {
                    to: route.to,
                    from: route.from,
                };
                let tunnel = by_name.get(route.via.as_str()).copied();
                let properties = Properties {
                    source: own(route.to),
                    mtu: tunnel.filter(|_| mtu != ipv6_mtu || mtus().min() != Some(mtu)),
                };
                (destination, properties)
            })
            .collect();
        let host = |prefix: &IpNet| prefix.prefix_len() == prefix.max_prefix_len();
        let unreachable = config
            .addresses
            .iter()
            .filter(|prefix| !host(prefix))
            .map(IpNet::trunc)
            .chain(config.networks.iter().copied())
            .collect();
        let not_in_kernel = config.routes.len() - config.routes.iter().filter(in_kernel).count();
        Self {
            mtu,
            ipv6_mtu,
            addresses,
            routes,
            unreachable,
            not_in_kernel,
        }
    }
}

/// The mesh device and its other end.
#[derive(Clone, Debug)]
pub struct Device {
    /// The device.
    pub index: u32,
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// The other end's index.
    pub other_end: u32,
}

/// Finds the mesh device.
pub fn find(instance: &InstanceName, netlink: &mut Rtnetlink) -> Result<Option<Device>, BpfError> {
    let what = || format!("look up the mesh device {instance}");
    let Some(device) = netlink.interface(instance.device()).during(what)? else {
        return Ok(None);
    };
    let other = netlink.interface(&instance.other_end()).during(what)?;
    Ok(match (device.address, other) {
        (Some(address), Some(other)) if is_veth(&device) && is_veth(&other) => Some(Device {
            index: device.index,
            address,
            other_end: other.index,
        }),
        _ => None,
    })
}

pub(super) fn is_veth(interface: &Interface) -> bool {
    interface.kind == "veth"
}

/// Creates the mesh device.
pub fn create(
    instance: &InstanceName,
    mtu: u32,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<Device, BpfError> {
    let what = || format!("create the mesh device {instance}");
    for name in [instance.device(), &instance.other_end()] {
        if netlink.interface(name).during(what)?.is_some() {
            return Err(BpfError::Conflict(format!(
                "an interface {name} exists, and this software did not make it: choose another name with `--instance`"
            )));
        }
    }
    let other_end = instance.other_end();
    netlink
        .create_veth(instance.device(), random_address(), &other_end, mtu)
        .during(what)?;
    let undo = instance.clone();
    rollback.push(move || {
        let mut netlink = Rtnetlink::open().during(|| format!("remove the mesh device {undo}"))?;
        remove(&undo, &mut netlink)
    });
    let device = find(instance, netlink)?.ok_or_else(|| {
        BpfError::Conflict(format!(
            "the mesh device {instance} vanished while it was made"
        ))
    })?;
    let ipv6 = sysctl::read("ipv6/conf/all/disable_ipv6").is_ok();
    if ipv6 {
        netlink.set_no_link_local(device.index).during(what)?;
        netlink.set_no_link_local(device.other_end).during(what)?;
        set(&format!("ipv6/conf/{other_end}/disable_ipv6"), "1")?;
        // the host may have IPv6 disabled for new interfaces
        set(&format!("ipv6/conf/{instance}/disable_ipv6"), "0")?;
        for name in [instance.device(), &other_end] {
            set(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        }
        set(&format!("ipv6/conf/{instance}/router_solicitations"), "0")?;
    }
    set(&format!("ipv4/conf/{instance}/send_redirects"), "0")?;
    set_up(instance, &device, netlink)?;
    Ok(device)
}

/// Lets the kernel give the device whole those segmented packets alone that get outer headers whole.
pub fn limit_segmentation(instance: &InstanceName, device: &Device) -> Result<(), BpfError> {
    ethtool::segment_tcp_and_udp_alone(device.index)
        .during(|| format!("limit segmentation offload of {instance}"))
}

/// Sets the mesh device up, and its other end.
pub fn set_up(
    instance: &InstanceName,
    device: &Device,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    for index in [device.other_end, device.index] {
        netlink
            .set_up(index)
            .during(|| format!("set up the mesh device {instance}"))?;
    }
    Ok(())
}

/// Removes the mesh device, and with it its other end, its addresses and all routes through it.
pub fn remove(instance: &InstanceName, netlink: &mut Rtnetlink) -> Result<(), BpfError> {
    let what = || format!("remove the mesh device {instance}");
    for name in [instance.device(), &instance.other_end()] {
        if let Some(interface) = netlink.interface(name).during(what)?
            && is_veth(&interface)
        {
            netlink.delete_interface(interface.index).during(what)?;
        }
    }
    Ok(())
}

fn set(name: &str, value: &str) -> Result<(), BpfError> {
    sysctl::write(name, value).during(|| format!("set /proc/sys/net/{name} to {value}"))
}

/// Random, locally administered, unicast.
fn random_address() -> [u8; 6] {
    let mut address = [0; 6];
    random::fill(&mut address);
    address[0] = (address[0] & 0xfc) | 0x02;
    address
}

/// Sets the device's MTU. Bigger at once; smaller only when the routes fit, so call it before and after changing them.
pub fn set_mtu(
    instance: &InstanceName,
    device: &Device,
    plan: &Plan,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let what = || format!("set the MTU of {instance}");
    let current = netlink
        .interface_by_index(device.index)
        .during(what)?
        .map_or(plan.mtu, |interface| interface.mtu);
    if current != plan.mtu {
        for index in [device.other_end, device.index] {
            netlink.set_mtu(index, plan.mtu).during(what)?;
            rollback.push(move || {
                Rtnetlink::open()
                    .and_then(|mut netlink| netlink.set_mtu(index, current))
                    .during(|| "put the former MTU back".to_owned())
            });
        }
    }
    let name = format!("ipv6/conf/{instance}/mtu");
    if let Ok(before) = sysctl::read(&name)
        && before != plan.ipv6_mtu.to_string()
    {
        set(&name, &plan.ipv6_mtu.to_string())?;
        rollback.push(move || set(&name, &before));
    }
    Ok(())
}

/// Adds the addresses that are missing.
pub fn add_addresses(
    instance: &InstanceName,
    device: &Device,
    plan: &Plan,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    let index = device.index;
    let present = netlink
        .addresses(index)
        .during(|| format!("read the addresses of {instance}"))?;
    for address in plan.addresses.iter().copied() {
        if present.contains(&address) {
            continue;
        }
        netlink
            .add_address(index, address)
            .during(|| format!("add address {address} to {instance}"))?;
        rollback.push(move || {
            Rtnetlink::open()
                .and_then(|mut netlink| netlink.remove_address(index, address))
                .during(|| format!("remove address {address}"))
        });
    }
    Ok(())
}

/// Removes the addresses that are not wanted.
pub fn remove_addresses(
    instance: &InstanceName,
    device: &Device,
    plan: &Plan,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    let present = netlink
        .addresses(device.index)
        .during(|| format!("read the addresses of {instance}"))?;
    for address in present {
        if !plan.addresses.contains(&address) {
            netlink
                .remove_address(device.index, address)
                .during(|| format!("remove address {address} from {instance}"))?;
        }
    }
    Ok(())
}

/// Makes the kernel's routes what the plan says: missing and different ones first. Returns those to remove later.
pub fn add_routes(
    instance: &InstanceName,
    device: &Device,
    plan: &Plan,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<Vec<Destination>, BpfError> {
    let index = device.index;
    let present: HashMap<Destination, Properties> = netlink
        .own_routes(index)
        .during(|| format!("read the routes to {instance}"))?
        .into_iter()
        .collect();
    let add: Vec<(Destination, Properties)> = plan
        .routes
        .iter()
        .filter(|(destination, properties)| present.get(destination) != Some(properties))
        .map(|(destination, properties)| (*destination, *properties))
        .collect();
    let surplus = present
        .keys()
        .filter(|destination| !plan.routes.contains_key(destination))
        .copied()
        .collect();
    let former: Vec<(Destination, Option<Properties>)> = add
        .iter()
        .map(|(destination, _)| (*destination, present.get(destination).copied()))
        .collect();
    rollback.push(move || put_routes_back(index, former));
    let refusals = netlink
        .add_routes(index, add.iter().copied())
        .during(|| format!("add routes to {instance}"))?;
    match refusals.into_iter().next() {
        None => Ok(surplus),
        Some(refusal) => Err(refused(&add, refusal)),
    }
}

fn put_routes_back(
    index: u32,
    former: Vec<(Destination, Option<Properties>)>,
) -> Result<(), BpfError> {
    let what = || "put the former routes back".to_owned();
    let mut netlink = Rtnetlink::open().during(what)?;
    let added = former.iter().filter(|(_, properties)| properties.is_none());
    netlink
        .remove_routes(index, added.map(|(destination, _)| *destination))
        .during(what)?;
    let changed = former
        .iter()
        .filter_map(|(destination, properties)| Some((*destination, (*properties)?)));
    netlink.add_routes(index, changed).during(what)?;
    Ok(())
}

fn refused(routes: &[(Destination, Properties)], refusal: Refusal) -> BpfError {
    let Some((destination, _)) = routes.get(refusal.index) else {
        return BpfError::Netlink {
            what: "add routes".to_owned(),
            source: refusal.error,
        };
    };
    let what = match destination.from {
        None => format!("add the kernel's route to {}", destination.to),
        Some(from) => format!(
            "add the kernel's route to {} from {from} (this needs a kernel with CONFIG_IPV6_SUBTREES)",
            destination.to
        ),
    };
    BpfError::Netlink {
        what,
        source: refusal.error,
    }
}

/// Removes routes [`add_routes`] found to be unwanted.
pub fn remove_routes(
    instance: &InstanceName,
    device: &Device,
    surplus: Vec<Destination>,
    netlink: &mut Rtnetlink,
) -> Result<(), BpfError> {
    let what = || format!("remove routes to {instance}");
    let refusals = netlink.remove_routes(device.index, surplus).during(what)?;
    match refusals.into_iter().next() {
        None => Ok(()),
        Some(refusal) => Err(refusal.error).during(what),
    }
}

/// Adds the "unreachable" routes.
pub fn add_unreachable(
    plan: &Plan,
    former: &[IpNet],
    metric: u32,
    netlink: &mut Rtnetlink,
    rollback: &mut Rollback,
) -> Result<(), BpfError> {
    for prefix in plan.unreachable.iter().copied() {
        netlink
            .add_unreachable(prefix, metric)
            .during(|| format!("add the route `unreachable {prefix}`"))?;
        if !former.contains(&prefix) {
            rollback.push(move || {
                Rtnetlink::open()
                    .and_then(|mut netlink| netlink.remove_unreachable(prefix, metric))
                    .during(|| format!("remove the route `unreachable {prefix}`"))
            });
        }
    }
    Ok(())
}
