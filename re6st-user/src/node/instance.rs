//! The instance a node has loaded: whether it is still there as it was, and loading it again.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use blake2::{Blake2s256, Digest as _};

use super::{
    install::{self, Context, Exit},
    transport::{OpenTunnel, tunnel_id},
};
use crate::{
    babel::{input::InterfaceId, quantities::RouterId},
    certificate::node_prefix::NodePrefix,
    config::Config,
    dataplane::{
        Route,
        bpf::{
            BpfError, MANIFEST, Manifest, Pins,
            error::During as _,
            load::{self, Occasion, Request, Summary, present::Missing},
            losses,
            manifest::Mode,
            maps::Maps,
            plane::BpfDataPlane,
            plane::BpfMaps,
            resolve::ResolvedTunnel,
        },
        plane::Plane,
    },
    io::{
        bpf_call, bpffs,
        netlink::{Rtnetlink, mesh_route},
    },
    time::Time,
};

/// Loads that may follow each other at once.
const LOADS: u32 = 5;
/// Until there may be one more.
const BETWEEN_LOADS: Duration = Duration::from_secs(5);

/// What a node has loaded, and how.
pub struct Instance {
    config_path: PathBuf,
    /// Where it is pinned.
    pub pins: Pins,
    mode: Option<Mode>,
    allow_tcx: bool,
    router_id: RouterId,
    /// The name in this node's certificate, if it has one.
    node: Option<NodePrefix>,
    /// What the last load did.
    pub manifest: Manifest,
    /// The MTU of each tunnel that was used then, in bytes: static routes have it.
    mtus: BTreeMap<String, u32>,
    /// The mesh device's other end.
    other_end: u32,
    /// The kernel's number of the map MANIFEST: each load makes a new one.
    number: Option<u64>,
    /// When the loads before would all be forgotten: each counts for [`BETWEEN_LOADS`].
    rested: Time,
}

impl Instance {
    /// What was just loaded.
    ///
    /// # Errors
    /// The manifest cannot be opened.
    pub fn new(
        now: Time,
        request: &Request<'_>,
        router_id: RouterId,
        node: Option<NodePrefix>,
        summary: &Summary,
    ) -> Result<Self, BpfError> {
        Ok(Self {
            config_path: request.config_path.to_owned(),
            pins: request.pins.clone(),
            mode: request.mode,
            allow_tcx: request.allow_tcx,
            router_id,
            node,
            manifest: summary.manifest.clone(),
            mtus: mtus(summary),
            other_end: summary.other_end,
            number: number(request.pins)?,
            rested: now,
        })
    }

    /// The configuration's file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// Loads it again. `kept`: routes that go on. `renamed`: interfaces that may be called otherwise by now.
    ///
    /// # Errors
    /// [`BpfError::Unloaded`], and as [`load::load`]; then all is as before.
    pub fn load_again(
        &mut self,
        now: Time,
        config: &Config,
        kept: &[Route],
        renamed: &BTreeMap<String, u32>,
    ) -> Result<Summary, BpfError> {
        self.rested = self.rested.max(now) + BETWEEN_LOADS;
        let summary = load::load(&Request {
            config,
            config_path: &self.config_path,
            pins: &self.pins,
            mode: self.mode,
            kept,
            allow_tcx: self.allow_tcx,
            occasion: Occasion::Repair,
            unless_held: None,
            renamed: Some(renamed),
        })?;
        self.number = number(&self.pins)?;
        self.manifest = summary.manifest.clone();
        self.mtus = mtus(&summary);
        self.other_end = summary.other_end;
        Ok(summary)
    }

    /// Whether it may be loaded again already: whoever changes the host all the time must not keep us busy.
    pub fn may_load(&self, now: Time) -> bool {
        self.rested.since(now) < BETWEEN_LOADS * LOADS
    }

    /// What is not as the last load left it, for people; nothing if all is.
    ///
    /// # Errors
    /// [`BpfError::Unloaded`], or what keeps us from looking.
    pub fn losses(&self, netlink: &mut Rtnetlink) -> Result<Vec<String>, BpfError> {
        let Some(number) = number(&self.pins)? else {
            let instance = self.pins.instance().to_string();
            return Err(BpfError::Unloaded(instance));
        };
        let mut losses = losses::losses(&self.manifest, netlink)?;
        if Some(number) != self.number {
            losses.push("somebody else has loaded it".to_owned());
        }
        Ok(losses)
    }

    /// The MTU of a tunnel, in bytes, as the last load wrote it to static routes and the mesh device.
    pub fn loaded_mtu(&self, tunnel: &ResolvedTunnel) -> u32 {
        let loaded = self.mtus.get(&tunnel.tunnel.name);
        loaded.copied().unwrap_or(tunnel.mtu)
    }

    /// Whether the mesh device is the one that was loaded.
    pub fn has_device(&self, netlink: &mut Rtnetlink) -> bool {
        let found = netlink.interface_by_index(self.manifest.settings.device);
        matches!(found, Ok(Some(_)))
    }

    /// Whether an interface is the mesh device or its other end.
    pub fn is_device(&self, index: u32, names: &[String]) -> bool {
        let instance = self.pins.instance();
        let ends = [instance.device().to_owned(), instance.other_end()];
        [self.manifest.settings.device, self.other_end].contains(&index)
            || names.iter().any(|name| ends.contains(name))
    }

    /// What interfaces' numbers depend on: the kernel's, and those of tunnels.
    ///
    /// # Errors
    /// They cannot be written down.
    pub fn numbers(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&(self.manifest.settings.device, &self.manifest.tunnels))
    }

    /// The tunnels that are used, by the speaker's number.
    pub fn tunnels(&self, tunnels: &[ResolvedTunnel]) -> BTreeMap<InterfaceId, OpenTunnel> {
        let link = |resolved: &ResolvedTunnel| {
            let number = self.manifest.tunnels.get(&resolved.tunnel.name)?;
            Some((tunnel_id(*number), self.opened(resolved)))
        };
        tunnels.iter().filter_map(link).collect()
    }

    /// A tunnel, and our address in it.
    pub fn opened(&self, resolved: &ResolvedTunnel) -> OpenTunnel {
        let (device, name) = (self.pins.instance().device(), &resolved.tunnel.name);
        let own = self.node.filter(|_| resolved.tunnel.of_peer);
        OpenTunnel {
            resolved: resolved.clone(),
            link_local: own
                .map_or_else(|| link_local(device, self.router_id, name), peer_link_local),
        }
    }

    /// Writes down, beside what the last load did, which numbers tunnels have, and which are missing.
    ///
    /// # Errors
    /// Somebody else has loaded or unloaded the instance, or it cannot be written.
    pub fn record(
        &mut self,
        tunnels: BTreeMap<String, u32>,
        missing: Missing,
    ) -> Result<(), BpfError> {
        let _lock = bpffs::lock(self.pins.bpffs())?;
        let instance = self.pins.instance();
        match number(&self.pins)? {
            None => return Err(BpfError::Unloaded(instance.to_string())),
            found if found != self.number => {
                let text = format!("somebody else has loaded {instance}");
                return Err(BpfError::Conflict(text));
            }
            _ => {}
        }
        let manifest = Manifest {
            tunnels,
            missing,
            ..self.manifest.clone()
        };
        if manifest != self.manifest {
            manifest.write(&self.pins.object(MANIFEST), &self.pins.object("scratch"))?;
            self.number = number(&self.pins)?;
            self.manifest = manifest;
        }
        Ok(())
    }

    /// What an installer works with, and what each tunnel is to it.
    ///
    /// # Errors
    /// A map cannot be opened.
    pub fn context(
        &self,
        config: &Config,
        summary: Summary,
    ) -> Result<(Context<BpfDataPlane>, HashMap<InterfaceId, Exit>), BpfError> {
        let maps = Maps::new(self.pins.folder());
        let device_mtu = summary.device_mtu;
        let numbers = &self.manifest.tunnels;
        let exits = summary.tunnels.iter().filter_map(|tunnel| {
            let number = *numbers.get(&tunnel.tunnel.name)?;
            let mtu = Some(tunnel.mtu).filter(|mtu| *mtu < device_mtu);
            Some((tunnel_id(number), Exit::Tunnel(number, mtu)))
        });
        let exits = exits.collect();
        let context = Context {
            plane: Plane::new(BpfMaps::open(&maps)?, summary.fib, summary.entries),
            device: summary.device,
            device_mtu,
            port: config.port,
            metric: mesh_route::METRIC + self.manifest.order,
            own: config.addresses.iter().map(ipnet::IpNet::addr).collect(),
            fixed: install::fixed(config),
            peers: config.tunnels.iter().map(|tunnel| tunnel.remote).collect(),
        };
        Ok((context, exits))
    }
}

fn mtus(summary: &Summary) -> BTreeMap<String, u32> {
    let tunnels = summary.tunnels.iter();
    let mtus = tunnels.map(|tunnel| (tunnel.tunnel.name.clone(), tunnel.mtu));
    mtus.collect()
}

/// The kernel's number of the pinned manifest; `None` if there is none.
fn number(pins: &Pins) -> Result<Option<u64>, BpfError> {
    let path = pins.object(MANIFEST);
    let what = || format!("look at {}", path.display());
    match bpf_call::open_pin(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        map => bpf_call::information(map.during(what)?, "map_id").during(what),
    }
}

/// A node's address inside tunnels to its peers, which know it by its name.
pub fn peer_link_local(node: NodePrefix) -> Ipv6Addr {
    let name = u64::try_from(node.number()).unwrap_or(u64::MAX);
    let low = u64::from(node.length()) << 56 | name & ((1 << 56) - 1);
    Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(low))
}

/// Our address inside a tunnel: the same after a restart.
fn link_local(instance: &str, router_id: RouterId, tunnel: &str) -> Ipv6Addr {
    let mut hash = Blake2s256::new();
    for part in [instance.as_bytes(), &router_id.octets(), tunnel.as_bytes()] {
        hash.update([part.len() as u8]);
        hash.update(part);
    }
    let hash = hash.finalize();
    let low = hash.first_chunk::<8>().copied().unwrap_or_default();
    Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(u64::from_be_bytes(low)))
}
