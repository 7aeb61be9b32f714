//! Routes on their way into the data plane and the kernel's table: the last word on each, a bounded number at a time.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use re6st_common::maps::{NextHop, interface, kind, next_hop_id, transmit};

use super::{
    kernel::KernelTable,
    wishes::{Refusal, Wanted, Wishes},
};
use crate::{
    babel::{
        input::{InstalledRoute, InterfaceId},
        message::NextHop as Router,
    },
    dataplane::{DataPlane, DataPlaneError, Route, bpf::maps},
    io::netlink::{
        NetlinkError,
        mesh_route::{self, Way},
    },
    route::RouteKey,
};

#[cfg(test)]
mod tests;
mod tunnels;

/// Routes written in one turn, so that Hellos and probes are never late.
const BATCH: usize = 512;

/// What packets go out of, by the speaker's number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A tunnel: its next hop's number, and its MTU where it differs from the mesh device's.
    Tunnel(u32, Option<u32>),
    /// A plain interface: its index, Ethernet address and MTU.
    Lan(u32, [u8; 6], u32),
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InstallCounters {
    /// Routes written to the kernel's table.
    pub kernel_writes: u64,
    /// Refused by the kernel, and tried again.
    pub kernel_refusals: u64,
    /// Refused by the data plane, and tried again.
    pub data_plane_refusals: u64,
    /// Not installed, since static routes or our own subnets say otherwise, or since they would lead a tunnel's own
    /// packets into the mesh.
    pub overruled: u64,
    /// Routes that somebody else had removed from the kernel's table or changed there, and that were put back.
    pub repaired: u64,
}

/// Writes routes to a data plane and a kernel's table.
pub struct Installer<P, K> {
    /// Where packets are forwarded.
    pub plane: P,
    kernel: K,
    /// The mesh device.
    device: u32,
    device_mtu: u32,
    /// UDP port of tunnels.
    port: u16,
    /// Of our routes in the kernel.
    metric: u32,
    /// Our addresses, sources of what this host sends.
    own: Vec<IpAddr>,
    /// Routes of the configuration.
    fixed: HashSet<RouteKey>,
    /// Outer addresses of peers.
    peers: Vec<IpAddr>,
    /// What each interface of the speaker is.
    pub exits: HashMap<InterfaceId, Exit>,
    /// The last word on each route.
    pub wishes: Wishes,
    /// Next hops of routers on plain interfaces.
    routers: HashMap<(u32, IpAddr), (u32, NextHop)>,
    /// Refusals that people have not been told of.
    news: Vec<(RouteKey, Refusal)>,
    /// Whether routes were written since the last tick.
    written: bool,
    /// For people.
    pub counters: InstallCounters,
}

/// What an installer works with.
pub struct Context<P> {
    /// The running maps.
    pub plane: P,
    /// The mesh device.
    pub device: u32,
    /// Its MTU.
    pub device_mtu: u32,
    /// UDP port of tunnels.
    pub port: u16,
    /// Of our routes in the kernel.
    pub metric: u32,
    /// Our addresses.
    pub own: Vec<IpAddr>,
    /// Routes of the configuration.
    pub fixed: HashSet<RouteKey>,
    /// Outer addresses of peers.
    pub peers: Vec<IpAddr>,
}

impl<P: DataPlane, K: KernelTable> Installer<P, K> {
    /// Nothing to write yet. `tunnels`: what each is.
    pub fn new(context: Context<P>, tunnels: HashMap<InterfaceId, Exit>, kernel: K) -> Self {
        Self {
            plane: context.plane,
            device: context.device,
            device_mtu: context.device_mtu,
            port: context.port,
            metric: context.metric,
            own: context.own,
            fixed: context.fixed,
            peers: context.peers,
            kernel,
            exits: tunnels,
            wishes: Wishes::default(),
            routers: HashMap::new(),
            news: Vec::new(),
            written: false,
            counters: InstallCounters::default(),
        }
    }

    /// Goes on with what was loaded anew: `tunnels` are what they are there. All routes are written
    /// again.
    pub fn adopt(&mut self, context: Context<P>, tunnels: HashMap<InterfaceId, Exit>) {
        self.plane = context.plane;
        self.device = context.device;
        self.device_mtu = context.device_mtu;
        self.fixed = context.fixed;
        self.peers = context.peers;
        self.exits
            .retain(|_, exit| !matches!(exit, Exit::Tunnel(..)));
        self.exits.extend(tunnels);
        // theirs were in the maps of before
        self.routers.clear();
        let settled: Vec<RouteKey> = self.wishes.settled().map(|(route, _)| route).collect();
        let refused = self.wishes.refusals().keys().copied();
        for route in settled.into_iter().chain(refused.collect::<Vec<_>>()) {
            self.wishes.repeat(route);
        }
    }

    /// Those of the speaker's routes through tunnels that may be in the data plane.
    pub fn kept(&self, installed: &[InstalledRoute]) -> Vec<Route> {
        let kept = installed.iter().filter_map(|installed| {
            let Exit::Tunnel(number, _) = *self.exits.get(&installed.interface)? else {
                return None;
            };
            let wanted = Wanted::Via(installed.interface, installed.next_hop);
            let (Some(Wanted::Via(..)), None) = self.judge(&installed.route, wanted) else {
                return None;
            };
            Route::new(installed.route.to(), installed.route.from(), number).ok()
        });
        kept.collect()
    }

    /// Writes some of what waits: first where packets are forwarded, then the kernel's table.
    pub fn turn(&mut self) {
        self.written = true;
        let mut writes = Vec::with_capacity(self.wishes.waiting().min(BATCH));
        while writes.len() < BATCH
            && let Some((route, wanted)) = self.wishes.take()
        {
            let (write, refusal) = self.judge(&route, wanted);
            self.counters.overruled += u64::from(refusal.is_some());
            let Some(write) = write else {
                self.conclude(route, refusal);
                continue;
            };
            let refusal = refusal.or(self.data_plane(route, write).err().map(|error| {
                self.counters.data_plane_refusals += 1;
                Refusal::DataPlane(error.to_string())
            }));
            writes.push((route, self.way(&route, write), refusal));
        }
        let (to_kernel, others): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .partition(|(route, ..)| is_in_kernel(route));
        let refused = self.write_to_kernel(&to_kernel);
        for ((route, _, refusal), refused) in to_kernel.into_iter().zip(refused) {
            self.conclude(route, refusal.or(refused));
        }
        for (route, _, refusal) in others {
            self.conclude(route, refusal);
        }
    }

    /// What the kernel says to each.
    fn write_to_kernel(
        &mut self,
        writes: &[(RouteKey, Option<Way>, Option<Refusal>)],
    ) -> Vec<Option<Refusal>> {
        let changes: Vec<_> = writes
            .iter()
            .map(|(route, way, _)| (*route, *way))
            .collect();
        self.counters.kernel_writes += changes.len() as u64;
        let mut refused = vec![None; changes.len()];
        match self.kernel.set_routes(self.metric, &changes) {
            Ok(refusals) => {
                for refusal in refusals {
                    if let Some(place) = refused.get_mut(refusal.index) {
                        *place = Some(match refusal.error.is(libc::ENETDOWN) {
                            true => Refusal::Down,
                            false => Refusal::Kernel(refusal.error.to_string()),
                        });
                    }
                }
            }
            Err(error) => refused.fill(Some(Refusal::Kernel(error.to_string()))),
        }
        self.counters.kernel_refusals += refused.iter().flatten().count() as u64;
        refused
    }

    fn conclude(&mut self, route: RouteKey, refusal: Option<Refusal>) {
        match refusal {
            None => self.wishes.done(route),
            Some(why) => {
                if self.wishes.refused(route, why.clone()) {
                    self.news.push((route, why));
                }
            }
        }
    }

    /// What was refused since the last time, or for another reason than before.
    pub fn news(&mut self) -> Vec<(RouteKey, Refusal)> {
        std::mem::take(&mut self.news)
    }

    /// Somebody else has removed a route from the kernel's table, or put another one in its place.
    pub fn disturbed(&mut self, route: RouteKey, metric: u32) {
        if mesh_route::metric(&route, self.metric) == metric && self.wishes.repeat(route) {
            self.counters.repaired += 1;
        }
    }

    /// Compares the kernel's table with what should be there, and writes again what is missing or different: not every
    /// route that goes is told of (those whose interface or source address goes are not).
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn compare(&mut self) -> Result<(), NetlinkError> {
        let present: HashMap<RouteKey, Way> =
            self.kernel.routes(self.metric)?.into_iter().collect();
        let differs = |(route, wanted): &(RouteKey, Wanted)| match self.judge(route, *wanted) {
            (Some(write), _) => present.get(route).copied() != self.way(route, write),
            (None, _) => false,
        };
        let settled = self.wishes.settled();
        let lost: Vec<RouteKey> = settled
            .filter(|(route, _)| is_in_kernel(route))
            .filter(differs)
            .map(|(route, _)| route)
            .collect();
        self.counters.repaired += lost.len() as u64;
        for route in lost {
            self.wishes.repeat(route);
        }
        Ok(())
    }

    /// Whether an address is the source of what this host sends along our routes.
    pub fn is_source(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }

    /// This node's addresses in the mesh.
    pub fn own(&self) -> &[IpAddr] {
        &self.own
    }

    /// The mesh device.
    pub const fn device(&self) -> u32 {
        self.device
    }

    /// Whether [`Self::tick`] has something to do.
    pub fn wants_attention(&self) -> bool {
        self.written || self.wishes.may_pass()
    }

    /// A second later: tries again what was refused, and forgets routers that no route leads to.
    pub fn tick(&mut self) {
        self.wishes.retry();
        if std::mem::take(&mut self.written) {
            let plane = &mut self.plane;
            self.routers
                .retain(|_, (number, _)| plane.remove_next_hop(*number).is_err());
        }
    }

    /// A router's Ethernet address may be another.
    pub fn refresh_router(&mut self, interface: u32, address: IpAddr) {
        let Some((number, entry)) = self.routers.get(&(interface, address)).copied() else {
            return;
        };
        let mut now = entry;
        if let Some(Exit::Lan(_, own, mtu)) = self.exits.get(&InterfaceId(interface)).copied() {
            now.ethernet[6..12].copy_from_slice(&own);
            now.mtu = mtu;
        }
        let now = self.resolved(interface, address, now);
        if now != entry && self.plane.set_next_hop(number, &now).is_ok() {
            self.routers.insert((interface, address), (number, now));
        }
    }

    /// The same of all routers.
    pub fn refresh_routers(&mut self) {
        let routers: Vec<_> = self.routers.keys().copied().collect();
        for (interface, address) in routers {
            self.refresh_router(interface, address);
        }
    }

    /// What an interface of the speaker is from now on.
    pub fn set_exit(&mut self, interface: InterfaceId, exit: Exit) {
        if self.exits.insert(interface, exit) != Some(exit) {
            self.wishes.retry();
            self.refresh_routers();
        }
    }

    /// What is to be written, if anything, and whether that is less than what is wanted: static routes and our own
    /// subnets win, and no route may swallow the tunnels themselves.
    fn judge(&self, route: &RouteKey, wanted: Wanted) -> (Option<Wanted>, Option<Refusal>) {
        let is_way = matches!(wanted, Wanted::Via(..));
        if self.fixed.contains(route) {
            return (None, is_way.then_some(Refusal::Configured));
        }
        let mut peers = self.peers.iter().filter(|_| route.to().prefix_len() > 0);
        if let Some(peer) = peers.find(|peer| route.to().contains(*peer)) {
            let refusal = is_way.then_some(Refusal::Peer(*peer));
            return (Some(Wanted::Nothing), refusal);
        }
        match wanted {
            // what was there before may still be right
            Wanted::Via(interface, _) if !self.exits.contains_key(&interface) => {
                (None, Some(Refusal::Interface))
            }
            wanted => (Some(wanted), None),
        }
    }

    fn data_plane(&mut self, route: RouteKey, wanted: Wanted) -> Result<(), DataPlaneError> {
        let number = match wanted {
            Wanted::Via(interface, router) => match self.exits.get(&interface).copied() {
                Some(Exit::Tunnel(number, _)) => Some(number),
                Some(Exit::Lan(index, address, mtu)) => {
                    self.router(index, address, mtu, address_of(router))
                }
                None => None,
            },
            Wanted::Unreachable | Wanted::Nothing => None,
        };
        // without a number the kernel has the answer
        match number.and_then(|number| Route::new(route.to(), route.from(), number).ok()) {
            Some(route) => self.plane.set_route(route),
            None => match self.plane.remove_route(route) {
                Err(DataPlaneError::NoSuchRoute(_)) => Ok(()),
                outcome => outcome,
            },
        }
    }

    /// The next hop number of a router on a plain interface; `None` if there is no room.
    fn router(&mut self, index: u32, own: [u8; 6], mtu: u32, router: IpAddr) -> Option<u32> {
        if let Some((number, _)) = self.routers.get(&(index, router)) {
            return Some(*number);
        }
        let flags = self.plane.interface(index)?.flags;
        let number = self.plane.free_next_hop(next_hop_id::FIRST_TUNNEL).ok()?;
        let mut entry = NextHop {
            kind: kind::NEIGHBOUR,
            flags: match flags & interface::TRANSMIT_WITH_TC {
                0 => 0,
                _ => transmit::WITH_TC,
            },
            interface: index,
            route_interface: index,
            mtu,
            name: maps::name("lan"),
            ..NextHop::FREE
        };
        entry.ethernet[6..12].copy_from_slice(&own);
        let entry = self.resolved(index, router, entry);
        self.plane.set_next_hop(number, &entry).ok()?;
        self.routers.insert((index, router), (number, entry));
        Some(number)
    }

    /// With the router's Ethernet address, if the kernel knows it.
    fn resolved(&mut self, interface: u32, router: IpAddr, mut entry: NextHop) -> NextHop {
        match self.kernel.neighbour(interface, router) {
            Ok(Some(address)) => {
                entry.ethernet[..6].copy_from_slice(&address);
                entry.ethernet_length = 14;
            }
            _ => {
                entry.ethernet_length = 0;
                // the kernel looks for it, and tells when it has found it
                let _ = self.kernel.resolve_neighbour(interface, router);
            }
        }
        entry
    }

    fn way(&self, route: &RouteKey, wanted: Wanted) -> Option<Way> {
        let source = self
            .own
            .iter()
            .find(|own| own.is_ipv4() == route.to().addr().is_ipv4())
            .copied();
        match wanted {
            Wanted::Nothing => None,
            Wanted::Unreachable => Some(Way::Unreachable),
            Wanted::Via(interface, router) => Some(match *self.exits.get(&interface)? {
                Exit::Tunnel(_, mtu) => Way::Through {
                    interface: self.device,
                    router: None,
                    source,
                    mtu,
                },
                Exit::Lan(index, ..) => Way::Through {
                    interface: index,
                    router: Some(address_of(router)),
                    source,
                    mtu: None,
                },
            }),
        }
    }
}

/// The keys of what the configuration itself routes.
pub fn fixed(config: &crate::config::Config) -> HashSet<RouteKey> {
    let routes = config.routes.iter().map(|route| (route.to, route.from));
    let own = config
        .addresses
        .iter()
        .flat_map(|address| [(address.trunc(), None), (IpNet::from(address.addr()), None)]);
    routes
        .chain(own)
        .filter_map(|(to, from)| RouteKey::new(to, from).ok())
        .collect()
}

/// The kernel has no source-specific IPv4 routes.
fn is_in_kernel(route: &RouteKey) -> bool {
    route.from().is_none() || route.to().addr().is_ipv6()
}

/// Whether a next hop's number is a tunnel's.
pub const fn is_tunnel(number: u32) -> bool {
    number >= next_hop_id::FIRST_TUNNEL
}

const fn address_of(router: Router) -> IpAddr {
    match router {
        Router::Ipv6(address) => IpAddr::V6(address),
        Router::Ipv4(address) => IpAddr::V4(address),
    }
}
