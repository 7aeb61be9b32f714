//! The host around the node: links, addresses, neighbours, routes and programs that others change while it runs.
//!
//! [`Host::note`] takes what the kernel tells, [`Host::look`] what is there now; the controller does what follows from it.
//! Nothing is looked at again unless the kernel said that it changed, or the last look failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use libc::EINTR;

use self::{
    due::{Due, Look},
    lans::Lan,
};
use super::{instance::Instance, transport::Transport, troubles::Trouble};
use crate::{
    babel::input::InterfaceId,
    config::{Babel, Config},
    dataplane::bpf::{
        BpfError, attachments, chain,
        load::present,
        resolve::{self, Interfaces, ResolvedTunnel},
        stacking::Stacking,
    },
    io::{
        bpffs,
        netlink::{NetlinkError, Rtnetlink, link::Interface, monitor::Change},
    },
    time::Time,
};

pub mod due;
pub mod lans;

/// What was seen of the host.
pub struct Host {
    /// Asks the kernel.
    pub netlink: Rtnetlink,
    /// What may be different now.
    pub due: Due,
    /// Plain interfaces that have been without IPv6, perhaps, and so forgot our groups.
    pub forgetful: BTreeSet<u32>,
    /// Where XDP is attached.
    pub attached: Interfaces,
    /// Interfaces by their names in the configuration: they may be called otherwise by now.
    pub named: BTreeMap<String, u32>,
}

/// What the node uses of the host.
pub struct Uses<'a> {
    /// Interfaces, tunnels, networks.
    pub config: &'a Config,
    /// Plain interfaces.
    pub babel: &'a Babel,
    /// Whether Babel's MAC keys are known.
    pub keys: bool,
    /// Tunnels and plain interfaces that are in use.
    pub transport: &'a Transport,
    /// What was loaded.
    pub instance: &'a Instance,
    /// Our addresses.
    pub own: &'a [IpAddr],
    /// Whether something is amiss, which may have to do with any link.
    pub hindered: bool,
}

/// What a look has found.
pub enum Finding {
    /// What came of it, as [`super::troubles::Troubles::note`] takes it.
    Outcome(String, Result<Option<String>>),
    /// What works but not well, if it does.
    Doubt(String, Option<Trouble>),
    /// What somebody else has changed of the loaded instance.
    Losses(Result<Vec<String>, BpfError>),
    /// What was missing when the instance was loaded and is there now, or what static routes say and is otherwise now.
    Arrivals(Vec<String>),
    /// Whether the link below a tunnel is up.
    Carrier(InterfaceId, bool),
    /// A plain interface, by its name in the configuration.
    Lan(String, Box<Lan>),
    /// The interfaces with XDP.
    Underlays(Interfaces),
    /// A tunnel's packets go another way than before.
    Way(InterfaceId, Box<ResolvedTunnel>),
    /// Programs that somebody had removed are back.
    Mended(String),
    /// Routes of ours may be missing.
    Routes,
}

impl Uses<'_> {
    fn device(&self) -> u32 {
        self.instance.manifest.settings.device
    }

    /// Whether routes of ours lead through an interface.
    fn has_routes(&self, index: u32) -> bool {
        index == self.device() || self.transport.lans.contains_key(&InterfaceId(index))
    }

    /// Whether tunnels' packets go out of an interface, to a router, if that is said.
    fn goes_by(&self, index: u32, neighbour: Option<IpAddr>) -> bool {
        self.transport.tunnels.values().any(|link| {
            link.resolved.route_interface == index
                && neighbour.is_none_or(|neighbour| neighbour == link.resolved.neighbour)
        })
    }
}

impl Host {
    /// Everything is to be looked at.
    pub fn new(netlink: Rtnetlink) -> Self {
        let mut due = Due::default();
        due.note(&Look::HOST);
        Self {
            netlink,
            due,
            forgetful: BTreeSet::new(),
            attached: Interfaces::new(),
            named: BTreeMap::new(),
        }
    }

    /// Until something that waits is to be looked at.
    pub fn wait(&self, now: Time) -> Option<Duration> {
        self.due.wait(now)
    }

    /// Whether an interface that XDP is to be attached to is there.
    pub fn is_there(&self, name: &str) -> bool {
        let mut attached = self.attached.values();
        attached.any(|interface| interface.name == name)
    }

    /// Notes what the kernel tells.
    pub fn note(&mut self, change: &Change, uses: &Uses<'_>) {
        use Look::{Instance, Interfaces, Programs, Routes, Tunnels, Underlays};
        match change {
            Change::Link { index, names, .. } if uses.instance.is_device(*index, names) => {
                self.due.note(&[Instance, Routes]);
            }
            Change::Link {
                index,
                names,
                switched,
            } => {
                if self.concerns(*index, names, uses) || uses.hindered {
                    self.due.note(&[Interfaces, Underlays, Tunnels, Programs]);
                }
                if *switched && uses.has_routes(*index) {
                    self.due.note(&[Routes]);
                }
            }
            Change::Addresses { index, gone } => {
                if uses.instance.is_device(*index, &[]) {
                    self.due.note(&[Instance]);
                }
                if self.concerns(*index, &[], uses) {
                    self.due.note(&[Interfaces, Underlays, Tunnels]);
                }
                let Some(gone) = gone else {
                    return;
                };
                if matches!(gone, IpAddr::V6(gone) if gone.is_unicast_link_local()) {
                    self.forgetful.insert(*index);
                }
                if uses.has_routes(*index) || uses.own.contains(gone) {
                    self.due.note(&[Routes]);
                }
            }
            Change::Neighbour { interface, address } => {
                if uses.goes_by(*interface, Some(*address)) {
                    self.due.note(&[Underlays, Tunnels]);
                }
            }
            Change::StaticRoutes => self.due.note(&[Instance]),
            Change::Filters => self.due.note(&[Programs]),
            Change::Settings => self.due.note(&[Interfaces, Instance]),
            Change::Route { .. } => self.due.note(&[Underlays, Tunnels]),
            Change::Everything => {
                self.due.note(&Look::ALL);
                let lans = uses.transport.lans.keys().map(|interface| interface.0);
                self.forgetful.extend(lans);
            }
        }
    }

    fn concerns(&self, index: u32, names: &[String], uses: &Uses<'_>) -> bool {
        let mut plain = uses.babel.interfaces.iter();
        let mut attached = uses.config.attached_interfaces();
        uses.transport.lans.contains_key(&InterfaceId(index))
            || self.attached.contains_key(&index)
            || uses.goes_by(index, None)
            || attached.any(|name| names.contains(name))
            || plain.any(|name| names.contains(name))
    }

    /// What there is to find, if the time for this look has come.
    pub fn look(&mut self, look: Look, now: Time, uses: &Uses<'_>) -> Vec<Finding> {
        if !self.due.take(look, now) {
            return Vec::new();
        }
        match look {
            Look::Instance => self.losses(uses).into_iter().collect(),
            Look::Interfaces => self.interfaces(now, uses),
            Look::Underlays => self.underlays(uses),
            Look::Tunnels => self.ways(uses),
            Look::Programs => self.programs(uses),
            Look::Routes => vec![Finding::Routes],
        }
    }

    fn losses(&mut self, uses: &Uses<'_>) -> Option<Finding> {
        // the kernel may have nothing to tell of the end of a load that goes on
        if bpffs::is_locked(uses.instance.pins.bpffs()).unwrap_or(false) {
            self.due.note(&[Look::Instance]);
            return None;
        }
        let losses = uses.instance.losses(&mut self.netlink);
        // routes changed while they were read
        if matches!(&losses, Err(BpfError::Netlink { source, .. }) if source.is(EINTR)) {
            self.due.note(&[Look::Instance]);
            return None;
        }
        Some(Finding::Losses(losses))
    }

    fn interfaces(&mut self, now: Time, uses: &Uses<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut carriers: BTreeMap<u32, bool> = BTreeMap::new();
        for (id, link) in &uses.transport.tunnels {
            let underlay = link.resolved.route_interface;
            let up = *carriers.entry(underlay).or_insert_with(|| {
                let interface = self.netlink.interface_by_index(underlay);
                matches!(interface, Ok(Some(interface)) if interface.carrier)
            });
            findings.push(Finding::Carrier(*id, up));
        }
        for name in &uses.babel.interfaces {
            let lan = self.lan(name, now, uses, &mut findings);
            findings.push(match lan {
                Ok(lan) => Finding::Lan(name.clone(), Box::new(lan)),
                Err(error) => {
                    Finding::Outcome(name.clone(), Err(error).with_context(|| name.clone()))
                }
            });
        }
        findings
    }

    /// An interface by its name in the configuration, also if it has been called otherwise since.
    fn named(
        &mut self,
        name: &str,
        findings: &mut Vec<Finding>,
    ) -> Result<Option<Interface>, NetlinkError> {
        let mut found = self.netlink.interface(name)?;
        if found.is_none()
            && let Some(index) = self.named.get(name)
        {
            found = self.netlink.interface_by_index(*index)?;
        }
        if let Some(interface) = &found {
            self.named.insert(name.to_owned(), interface.index);
        }
        let mut renamed = found.iter().filter(|interface| !interface.is_called(name));
        let doubt = renamed.next().map(|interface| Trouble {
            text: format!(
                "interface {name}: it is called {} now: change it in the configuration too, or the next start does not find it",
                interface.name
            ),
            again: false,
        });
        findings.push(Finding::Doubt(format!("interface {name}"), doubt));
        Ok(found)
    }

    /// The interfaces with XDP, whose Ethernet addresses packets from outside must carry, and what is there now that was
    /// missing before.
    fn underlays(&mut self, uses: &Uses<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut attached = Interfaces::new();
        for name in uses.config.attached_interfaces() {
            let found = match self.named(name, &mut findings) {
                Ok(found) => found,
                Err(error) => {
                    let outcome = Err(error).context("interfaces");
                    findings.push(Finding::Outcome("interfaces".to_owned(), outcome));
                    return findings;
                }
            };
            let missing = found.is_none().then(|| present::absent(name));
            let what = present::interface_key(name);
            findings.push(Finding::Outcome(what, Ok(missing)));
            attached.extend(found.map(|interface| (interface.index, interface)));
        }
        self.attached.clone_from(&attached);
        findings.push(Finding::Underlays(attached));
        let arrivals = self.arrivals(uses, &mut findings);
        findings.push(Finding::Arrivals(arrivals));
        findings
    }

    fn arrivals(&mut self, uses: &Uses<'_>, findings: &mut Vec<Finding>) -> Vec<String> {
        let manifest = &uses.instance.manifest;
        let known = |index| {
            let mut records = manifest.interfaces.iter();
            records.any(|record| record.index == index)
        };
        let attached = self.attached.values();
        let mut arrivals: Vec<String> = attached
            .filter(|interface| interface.address.is_some() && !known(interface.index))
            .map(|interface| format!("{} is there", interface.name))
            .collect();
        let routed = |name: &String| uses.config.routes.iter().any(|route| route.via == *name);
        for link in uses.transport.tunnels.values() {
            let (name, mtu) = (&link.resolved.tunnel.name, link.resolved.mtu);
            if routed(name) && uses.instance.loaded_mtu(&link.resolved) != mtu {
                arrivals.push(format!("tunnel {name} carries packets of {mtu} bytes now"));
            }
        }
        let missing = |name: &String| manifest.missing.contains_key(&present::tunnel_key(name));
        let tunnels = uses.config.tunnels.iter();
        for tunnel in tunnels.filter(|tunnel| missing(&tunnel.name)) {
            match self.way(tunnel, uses) {
                Ok(_) => arrivals.push(format!("tunnel {} can be used", tunnel.name)),
                Err(error) => {
                    let what = present::tunnel_key(&tunnel.name);
                    findings.push(Finding::Outcome(what, Err(error.into())));
                }
            }
        }
        arrivals
    }

    /// Which way packets of a tunnel go: interface, source, next router and its Ethernet address, MTU.
    fn way(
        &mut self,
        tunnel: &crate::config::Tunnel,
        uses: &Uses<'_>,
    ) -> Result<ResolvedTunnel, BpfError> {
        resolve::again(
            uses.config,
            tunnel,
            &self.attached,
            uses.device(),
            &mut self.netlink,
        )
    }

    fn ways(&mut self, uses: &Uses<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (id, link) in &uses.transport.tunnels {
            let before = &link.resolved;
            let outcome = match self.way(&before.tunnel, uses) {
                Ok(now) if now != *before => {
                    findings.push(Finding::Way(*id, Box::new(now)));
                    continue;
                }
                outcome => outcome.map(|_| None).map_err(Into::into),
            };
            let what = format!("tunnel {}", before.tunnel.name);
            findings.push(Finding::Outcome(what, outcome));
        }
        findings
    }

    fn programs(&mut self, uses: &Uses<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let outcome = self.restore_programs(uses, &mut findings);
        let outcome = outcome.context("programs").map(|()| None);
        findings.push(Finding::Outcome("programs".to_owned(), outcome));
        findings
    }

    /// Puts TC programs back that somebody has taken away or come before, and looks whether XDP still sees the frames that
    /// are ours.
    fn restore_programs(&mut self, uses: &Uses<'_>, findings: &mut Vec<Finding>) -> Result<()> {
        let (pins, manifest) = (&uses.instance.pins, &uses.instance.manifest);
        let netlink = &mut self.netlink;
        let others = chain::others(pins, manifest.network_namespace)?;
        if !attachments::misplaced(pins, manifest, &others, netlink)?.is_empty() {
            // somebody may be loading just now
            let _lock = bpffs::lock(pins.bpffs())?;
            for program in attachments::misplaced(pins, manifest, &others, netlink)? {
                ensure!(program.can_be_restored(), "{program}: {}", program.advice());
                attachments::restore(&program, pins, manifest.settings.device, netlink)?;
                findings.push(Finding::Mended(format!("{program}: mended")));
            }
        }
        let mode = |index| {
            let mut records = manifest.interfaces.iter();
            Some(records.find(|record| record.index == index)?.mode)
        };
        let tunnels: Vec<(String, u32)> = uses
            .transport
            .tunnels
            .values()
            .map(|link| (link.resolved.tunnel.name.clone(), link.resolved.interface))
            .collect();
        let stacking = Stacking::query(netlink)?;
        let warnings = stacking.warnings(&self.attached, mode, &tunnels, uses.device());
        ensure!(warnings.is_empty(), "{}", warnings.join("; "));
        Ok(())
    }

    /// The mesh device has its addresses.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn put_addresses_back(&mut self, device: u32, own: &[IpAddr]) -> Result<(), NetlinkError> {
        let present = self.netlink.addresses(device)?;
        let missing = own.iter().filter(|address| !present.contains(address));
        for address in missing {
            self.netlink.add_address(device, *address)?;
        }
        Ok(())
    }
}
