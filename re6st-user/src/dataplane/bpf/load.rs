//! `load`: from a configuration to a running instance, or from a running instance to the next.
//!
//! Everything is prepared beside what runs: maps filled, programs verified, all pinned in the folder `new`. Then links are
//! updated one by one, each at once, and only then is removed what is not wanted any more. What stays is never detached.
//! [`Rollback`] undoes a load that fails; the manifest in `new` tells the next load or unload about one that died.

pub mod in_place;
mod prepare;
pub mod present;

use std::{collections::BTreeMap, path::Path};

use present::Missing;
use re6st_common::maps::{NextHop, Tunnel};

use super::{
    GUARD, HANDOVER, MANIFEST, MAPS, SEND,
    attach::{self, Hook},
    chain::{self, Chain, OtherInstance},
    control_program,
    device::{self, Device, Plan},
    device_names,
    error::{BpfError, During as _},
    existing, fill, forwarding,
    manifest::{Manifest, Mode},
    maps::Maps,
    node,
    object::Object,
    offloads::{self, Underlay},
    pins::Pins,
    policies,
    resolve::{Interfaces, ResolvedTunnel},
    rollback::Rollback,
    stacking::Stacking,
    transmit::Transmit,
    unload,
    xdp::Xdp,
    xdp_program,
};
use crate::{
    config::Config,
    dataplane::{self, fib::Fib},
    io::{
        bpffs, host,
        netlink::{Rtnetlink, route::Destination},
    },
};

/// The first kernel with tcx links.
const FIRST_WITH_TCX: (u32, u32) = (6, 6);

/// On whose word something is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The operator's: what contradicts the host is refused.
    Command,
    /// A node's that starts: what is not there yet is left out, since the node picks it up later.
    Start,
    /// A node's that runs, and puts right what somebody has changed. Not if somebody has unloaded it.
    Repair,
}

/// What to load.
#[derive(Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Its file, for `status`.
    pub config_path: &'a Path,
    /// Where to pin.
    pub pins: &'a Pins,
    /// Where XDP shall run; `None`: in the driver if it can.
    pub mode: Option<Mode>,
    /// Routes of a routing protocol that go on, unless the configuration knows better.
    pub kept: &'a [dataplane::Route],
    /// Whether to attach TC programs with tcx links where the kernel has them (Linux 6.6).
    pub allow_tcx: bool,
    /// On whose word.
    pub occasion: Occasion,
    /// The lock that a running node holds: nothing is loaded then.
    pub unless_held: Option<&'a Path>,
    /// Interfaces by their names in the configuration, which may be called otherwise by now.
    pub renamed: Option<&'a BTreeMap<String, u32>>,
}

/// What came of it, for people.
#[derive(Debug)]
pub struct Summary {
    /// What was done.
    pub manifest: Manifest,
    /// The tunnels, and how their peers are reached.
    pub tunnels: Vec<ResolvedTunnel>,
    /// The mesh device.
    pub device: u32,
    /// Its other end.
    pub other_end: u32,
    /// Its MTU, in bytes.
    pub device_mtu: u32,
    /// The routes in the maps: what a [`BpfDataPlane`](super::plane::BpfDataPlane) goes on from.
    pub fib: Fib,
    /// What the other maps have of each tunnel.
    pub entries: Vec<(Tunnel, NextHop)>,
    /// Tunnels whose neighbour's Ethernet address is not known yet.
    pub unresolved: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// What keeps packets from arriving until the operator changes it.
    pub warnings: Vec<String>,
}

/// Puts the data plane of a configuration into the kernel, in place of what was there of the same instance; all of it or nothing.
pub fn load(request: &Request<'_>) -> Result<Summary, BpfError> {
    host::check()?;
    let mut notes = Vec::new();
    if bpffs::ensure(request.pins.bpffs())? {
        let path = request.pins.bpffs().display();
        notes.push(format!("mounted a BPF file system at {path}"));
    }
    let mut netlink = Rtnetlink::open().during(|| "open rtnetlink".to_owned())?;
    let stacking = Stacking::query(&mut netlink)?;
    let mut missing = Missing::new();
    let interfaces = present::interfaces(request, &stacking, &mut netlink, &mut missing)?;
    let tunnels = present::tunnels(request, &stacking, &interfaces, &mut netlink, &mut missing)?;
    let _lock = bpffs::lock(request.pins.bpffs())?;
    if let Some(holder) = request.unless_held.map(node::holder).transpose()?.flatten() {
        return Err(BpfError::Conflict(format!(
            "a node runs on instance {} ({holder}), and loading would take the routes it has found out of the data plane. \
             To have it take up another configuration: `re6st-user reload`. To load all the same, `--force`; the node then puts \
             its own back",
            request.pins.instance()
        )));
    }
    let cookie =
        host::network_namespace().during(|| "identify the network namespace".to_owned())?;
    let former = existing::find(request.pins, cookie, &mut notes)?;
    if former.is_none() && request.occasion == Occasion::Repair {
        return Err(BpfError::Unloaded(request.pins.instance().to_string()));
    }
    let others = chain::others(request.pins, cookie)?;
    let mut loading = Loading {
        request,
        netlink,
        stacking,
        interfaces,
        tunnels,
        missing,
        former,
        others,
        notes,
        warnings: policies::warning()?.into_iter().collect(),
        rollback: Rollback::default(),
        cookie,
        tcx: request.allow_tcx && host::kernel_version()? >= FIRST_WITH_TCX,
    };
    match loading.run() {
        Ok(summary) => {
            loading.rollback.commit();
            Ok(summary)
        }
        Err(error) => Err(undo(error, loading.rollback)),
    }
}

fn undo(error: BpfError, rollback: Rollback) -> BpfError {
    let left: Vec<String> = rollback
        .undo()
        .into_iter()
        .map(|error| error.to_string())
        .collect();
    if left.is_empty() {
        return error;
    }
    BpfError::Conflict(format!(
        "{error}\nand undoing what had been done failed too: {}. `re6st-user unload` cleans up",
        left.join("; ")
    ))
}

/// A load under way.
struct Loading<'a> {
    request: &'a Request<'a>,
    netlink: Rtnetlink,
    stacking: Stacking,
    interfaces: Interfaces,
    tunnels: Vec<ResolvedTunnel>,
    missing: Missing,
    former: Option<Manifest>,
    others: Vec<OtherInstance>,
    notes: Vec<String>,
    warnings: Vec<String>,
    rollback: Rollback,
    cookie: u64,
    tcx: bool,
}

impl Loading<'_> {
    fn run(&mut self) -> Result<Summary, BpfError> {
        let pins = self.request.pins.clone();
        let plan = Plan::new(self.request.config, &self.tunnels);
        let mut manifest = self.first_manifest(&plan)?;
        self.prepare_folder(&manifest)?;
        let device = self.device(&plan)?;
        forwarding::apply(&manifest.sysctls, &mut self.rollback)?;
        device::limit_segmentation(pins.instance(), &device)?;
        manifest.settings = self.settings(&device);
        self.write_unfinished(&manifest)?;

        let fib = fill::fib(
            self.request.config,
            &self.tunnels,
            &manifest,
            self.request.kept,
        )?;
        let sizes = self.sizes(&manifest, &fib);
        let keep = self.kept(sizes);
        let mut object = Object::load(&manifest.settings, sizes, manifest.frags, &pins, keep)?;
        object.pin(&pins)?;
        let mut transmit = Transmit::query(&self.interfaces)?;
        let (config, maps) = (self.request.config, Maps::new(pins.new_folder()));
        let mut entries = fill::entries(config, &self.tunnels, &manifest, &transmit)?;
        fill::fill(config, &entries, &self.interfaces, &transmit, &fib, &maps)?;
        let counting = self.former.as_ref().filter(|_| keep.tunnel_counters);
        fill::clear_counters(&manifest, counting, &maps)?;

        self.attach(&mut manifest, &object, &device)?;
        if transmit.update(&self.interfaces, &manifest.interfaces)? {
            entries = fill::entries(config, &self.tunnels, &manifest, &transmit)?;
            fill::next_hops(config, &entries, &self.interfaces, &transmit, &maps)?;
        }
        let surplus = self.network(&plan, &manifest, &device)?;
        self.check_ways(&device)?;

        self.move_pins(&object)?;
        manifest.complete = true;
        self.clean_up(&plan, &manifest, &device, surplus)?;
        manifest.write(&pins.object(MANIFEST), &pins.new_object("scratch"))?;
        bpffs::remove_folder(&pins.new_folder())?;
        Ok(self.summary(manifest, fib, entries, &plan, &device))
    }

    fn prepare_folder(&mut self, manifest: &Manifest) -> Result<(), BpfError> {
        let pins = self.request.pins.clone();
        if self.former.is_none() {
            let undo = pins.clone();
            self.rollback
                .push(move || Ok(bpffs::remove_folder(&undo.folder())?));
        }
        let undo = pins.clone();
        self.rollback
            .push(move || Ok(bpffs::remove_folder(&undo.new_folder())?));
        bpffs::make_folder(&pins.new_folder())?;
        bpffs::make_folder(&pins.links())?;
        self.write_unfinished(manifest)
    }

    fn write_unfinished(&self, manifest: &Manifest) -> Result<(), BpfError> {
        let pins = self.request.pins;
        manifest.write(&pins.new_object(MANIFEST), &pins.new_object("scratch"))
    }

    /// The mesh device: the one that is there, if we made it.
    fn device(&mut self, plan: &Plan) -> Result<Device, BpfError> {
        let instance = self.request.pins.instance();
        let found = match &self.former {
            Some(former) => {
                device_names::put_back(former, &mut self.netlink)?;
                device::find(instance, &mut self.netlink)?
            }
            None => None,
        };
        let device = match found {
            Some(device) => device,
            None => device::create(instance, plan.mtu, &mut self.netlink, &mut self.rollback)?,
        };
        forwarding::loosen_reverse_path_filter(instance)?;
        Ok(device)
    }

    /// Attaches what is new and updates what is there; XDP last, since what it hands over must be met by TC.
    fn attach(
        &mut self,
        manifest: &mut Manifest,
        object: &Object,
        device: &Device,
    ) -> Result<(), BpfError> {
        let pins = self.request.pins;
        let rollback = &mut self.rollback;
        let netlink = &mut self.netlink;
        for (hook, name) in [
            (Hook::Send(device.other_end), SEND),
            (Hook::Guard(device.index), GUARD),
        ] {
            let how = attach::prepare_tc(hook.interface(), self.tcx, netlink, rollback)?;
            let program = object.program(name)?;
            attach::set_tc(pins, hook, how, device.index, program, netlink, rollback)?;
        }
        for record in &mut manifest.interfaces {
            record.tc = attach::prepare_tc(record.index, self.tcx, netlink, rollback)?;
            let hook = Hook::Handover(record.index);
            let program = object.program(HANDOVER)?;
            attach::set_tc(
                pins,
                hook,
                record.tc,
                device.index,
                program,
                netlink,
                rollback,
            )?;
        }
        self.attach_xdp(manifest, object)
    }

    fn attach_xdp(&mut self, manifest: &mut Manifest, object: &Object) -> Result<(), BpfError> {
        let pins = self.request.pins;
        let chain = Chain::new(&self.others, manifest)?;
        chain.set_own_next(&pins.new_object("NEXT_INSTANCE"))?;
        let program = object.program(xdp_program(manifest.frags))?;
        for record in &mut manifest.interfaces {
            let attach = Xdp {
                pins,
                wanted: self.request.mode,
                program,
                chain: &chain,
                stacking: &self.stacking,
            };
            let note = attach.attach(record, &mut self.netlink, &mut self.rollback)?;
            self.notes.extend(note);
        }
        chain.set_others_next(program, &mut self.rollback)
    }

    /// Addresses and routes that are wanted. Returns the routes that are not.
    fn network(
        &mut self,
        plan: &Plan,
        manifest: &Manifest,
        device: &Device,
    ) -> Result<Vec<Destination>, BpfError> {
        let instance = self.request.pins.instance();
        let former = self
            .former
            .as_ref()
            .map_or(&[][..], |former| &former.unreachable);
        let (netlink, rollback) = (&mut self.netlink, &mut self.rollback);
        // a device that was down has lost much: first up, then the rest
        device::set_up(instance, device, netlink)?;
        device::set_mtu(instance, device, plan, netlink, rollback)?;
        device::add_addresses(instance, device, plan, netlink, rollback)?;
        let metric = manifest.unreachable_metric;
        device::add_unreachable(plan, former, metric, netlink, rollback)?;
        device::add_routes(instance, device, plan, netlink, rollback)
    }

    /// The new routes must not lead the tunnels' own packets into the mesh.
    fn check_ways(&mut self, device: &Device) -> Result<(), BpfError> {
        for tunnel in &self.tunnels {
            let name = &tunnel.tunnel.name;
            let remote = tunnel.tunnel.remote;
            let way = self
                .netlink
                .way(remote, tunnel.tunnel.local)
                .during(|| format!("tunnel {name}: look up the route to {remote}"))?;
            if way.interface == device.index {
                return Err(BpfError::Conflict(format!(
                    "tunnel {name}: a `[[route]]` of the configuration covers {remote}, so the tunnel's own packets would \
                     go into the mesh. Add a more specific route for {remote} through a network interface, or take that \
                     `[[route]]` out"
                )));
            }
        }
        Ok(())
    }

    fn move_pins(&self, object: &Object) -> Result<(), BpfError> {
        let pins = self.request.pins;
        for name in MAPS.into_iter().chain(object.programs()) {
            bpffs::rename(&pins.new_object(name), &pins.object(name))?;
        }
        Ok(())
    }

    /// Removes what the former load made and this one does not want.
    fn clean_up(
        &mut self,
        plan: &Plan,
        manifest: &Manifest,
        device: &Device,
        surplus: Vec<Destination>,
    ) -> Result<(), BpfError> {
        let pins = self.request.pins;
        let instance = pins.instance();
        device::remove_routes(instance, device, surplus, &mut self.netlink)?;
        device::remove_addresses(instance, device, plan, &mut self.netlink)?;
        for program in [xdp_program, control_program] {
            bpffs::remove(&pins.object(program(!manifest.frags)))?;
        }
        let Some(former) = &self.former else {
            return Ok(());
        };
        let handle = former.settings.device;
        for record in &former.interfaces {
            if !self.interfaces.contains_key(&record.index) {
                unload::interface(pins, record, handle, &self.others, &mut self.netlink)?;
            } else if handle != device.index {
                // filters are numbered after the mesh device, which is another one now
                let place = Hook::Handover(record.index).place(handle);
                let what = || format!("detach the former filter from {}", record.name);
                self.netlink.remove_filter(place).during(what)?;
            }
        }
        for prefix in &former.unreachable {
            if !plan.unreachable.contains(prefix) {
                self.netlink
                    .remove_unreachable(*prefix, former.unreachable_metric)
                    .during(|| format!("remove the route `unreachable {prefix}`"))?;
            }
        }
        let stale = former
            .sysctls
            .iter()
            .filter(|(name, _)| !manifest.sysctls.contains_key(*name));
        forwarding::restore(stale, &self.others)?;
        Ok(())
    }

    fn summary(
        &mut self,
        manifest: Manifest,
        fib: Fib,
        entries: Vec<(Tunnel, NextHop)>,
        plan: &Plan,
        device: &Device,
    ) -> Summary {
        let mut notes = std::mem::take(&mut self.notes);
        let known = |name: &String| {
            self.former
                .as_ref()
                .is_some_and(|former| former.sysctls.contains_key(name))
        };
        let changed = forwarding::notes(&manifest.sysctls).filter(|(name, _)| !known(name));
        notes.extend(changed.map(|(_, note)| note));
        for interface in self.interfaces.values().filter(|interface| !interface.up) {
            notes.push(format!("{} is down", interface.name));
        }
        if plan.not_in_kernel > 0 {
            notes.push(format!(
                "{} IPv4 routes have a source prefix (`from`): the data plane heeds them, the kernel's routing table \
                 cannot; what this host itself sends needs `ip rule` for them",
                plan.not_in_kernel
            ));
        }
        let unresolved = self
            .tunnels
            .iter()
            .filter(|tunnel| tunnel.neighbour_address.is_none())
            .map(|tunnel| tunnel.tunnel.name.clone())
            .collect();
        let underlays: Vec<Underlay> = self.tunnels.iter().map(Into::into).collect();
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.extend(offloads::warnings(&self.interfaces, &underlays));
        let then = match self.request.occasion {
            Occasion::Command => "load again when that has changed",
            Occasion::Start | Occasion::Repair => "it will be used when that changes",
        };
        let missing = manifest.missing.values();
        warnings.extend(missing.map(|why| format!("{why}; {then}")));
        Summary {
            device: device.index,
            other_end: device.other_end,
            device_mtu: plan.mtu,
            manifest,
            tunnels: self.tunnels.clone(),
            fib,
            entries,
            unresolved,
            notes,
            warnings,
        }
    }
}
