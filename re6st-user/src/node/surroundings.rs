//! The host around the controller: links, addresses, neighbours and routes that change while it runs.
//!
//! Nothing is looked at again unless the kernel said that it changed, or the last look failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;

use super::{controller::Controller, log::Log, wishes::Wanted};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        settings::{InterfaceKind, InterfaceSettings},
    },
    dataplane::bpf::{
        attachments, chain,
        error::chain as in_one_line,
        load::present::{self, Missing},
        refresh,
        resolve::{self, Interfaces, ResolvedTunnel},
        stacking::Stacking,
    },
    io::{
        bpffs,
        netlink::{link::Interface, monitor::Change},
    },
};

mod lans;

/// Between two looks at the ways of tunnels: routes of the host may change by the thousands.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Between two comparisons of the kernel's routes with ours: they may be very many.
const BETWEEN_COMPARISONS: Duration = Duration::from_millis(400);

/// What is said of comparing them.
const ROUTES: &str = "routes";

/// What was seen of the host, and what may be different now.
pub(super) struct Surroundings {
    /// Links and addresses are to be looked at.
    interfaces: bool,
    /// The ways of tunnels are to be looked at.
    tunnels: bool,
    /// Programs on interfaces are to be looked at.
    programs: bool,
    looked_at_tunnels: Option<Instant>,
    /// What was loaded is to be looked at.
    pub(super) instance: bool,
    pub(super) looked_at_instance: Option<Instant>,
    /// Routes of ours may have gone without a word.
    routes: bool,
    compared: Option<Instant>,
    /// Plain interfaces that have been without IPv6, perhaps, and so forgot our groups.
    forgetful: BTreeSet<u32>,
    /// Where XDP is attached.
    pub(super) attached: Interfaces,
    /// Interfaces by their names in the configuration: they may be called otherwise by now.
    pub(super) named: BTreeMap<String, u32>,
    /// What does not work, by what it is.
    hindrances: BTreeMap<String, Hindrance>,
    /// What works, but not well, by what it is.
    doubts: BTreeMap<String, Hindrance>,
}

/// Why something does not work.
#[derive(Debug, PartialEq, Eq)]
struct Hindrance {
    text: String,
    /// Whether it is tried again each second, or whatever ends it is told by the kernel.
    again: bool,
}

impl Default for Surroundings {
    /// Everything is to be looked at.
    fn default() -> Self {
        Self {
            interfaces: true,
            tunnels: true,
            programs: true,
            looked_at_tunnels: None,
            instance: true,
            looked_at_instance: None,
            routes: false,
            compared: None,
            forgetful: BTreeSet::new(),
            attached: Interfaces::new(),
            named: BTreeMap::new(),
            hindrances: BTreeMap::new(),
            doubts: BTreeMap::new(),
        }
    }
}

impl Surroundings {
    /// Until something that waits is to be looked at.
    pub fn wait(&self) -> Option<Duration> {
        let until = |last: Option<Instant>, between: Duration| {
            last.map_or(Duration::ZERO, |last| {
                between.saturating_sub(last.elapsed())
            })
        };
        let routes = self
            .routes
            .then(|| until(self.compared, BETWEEN_COMPARISONS));
        let tunnels = self
            .tunnels
            .then(|| until(self.looked_at_tunnels, BETWEEN_LOOKS));
        let instance = self
            .instance
            .then(|| until(self.looked_at_instance, BETWEEN_LOOKS));
        let others = (self.interfaces || self.programs).then_some(Duration::ZERO);
        [routes, tunnels, instance, others]
            .into_iter()
            .flatten()
            .min()
    }

    /// The instance was loaded: what is missing has been told, and everything is to be looked at.
    pub fn loaded(&mut self, missing: &Missing) {
        let was_missing = |what: &String| {
            what.starts_with(present::TUNNEL) || what.starts_with(present::INTERFACE)
        };
        self.hindrances.retain(|what, _| !was_missing(what));
        for (what, why) in missing {
            let text = why.clone();
            // who takes a tunnel's route away and puts it back tells; of other reasons nobody may tell
            let again = what.starts_with(present::TUNNEL);
            self.hindrances
                .insert(what.clone(), Hindrance { text, again });
        }
        self.everything_changed();
    }

    /// A plain interface that is not wanted any more: nothing is amiss with it.
    pub(super) fn forget(&mut self, name: &str) {
        self.hindrances.remove(name);
        for what in ["address", "rp_filter"] {
            self.doubts.remove(&format!("{name} {what}"));
        }
    }

    /// Whether an interface that XDP is to be attached to is there.
    pub(super) fn is_there(&self, name: &str) -> bool {
        let mut attached = self.attached.values();
        attached.any(|interface| interface.name == name)
    }

    /// What interfaces are to be told has changed.
    pub const fn interfaces_changed(&mut self) {
        self.interfaces = true;
    }

    /// Whether [`Self::tick`] has something to do.
    pub fn wants_attention(&self) -> bool {
        let mut all = self.hindrances.values().chain(self.doubts.values());
        all.any(|hindrance| hindrance.again)
    }

    /// A second later: what failed is tried again.
    pub fn tick(&mut self) {
        if self.wants_attention() {
            self.everything_changed();
            self.routes |= self.hindrances.contains_key(ROUTES);
        }
    }

    /// Interfaces and what is on them.
    const fn links_changed(&mut self) {
        self.interfaces = true;
        self.tunnels = true;
        self.programs = true;
    }

    const fn everything_changed(&mut self) {
        self.links_changed();
        self.instance = true;
    }

    /// What does not work, and what does not work well.
    pub fn warnings(&self) -> Vec<String> {
        let all = self.hindrances.values().chain(self.doubts.values());
        all.map(|hindrance| hindrance.text.clone()).collect()
    }

    /// Tells people of what does not work, once, and when it does again. `outcome`: what is waited for, if anything.
    pub(super) fn tell(&mut self, log: &mut Log, what: &str, outcome: Result<Option<String>>) {
        let hindrance = match outcome {
            Ok(None) => None,
            Ok(Some(text)) => Some(Hindrance { text, again: false }),
            Err(error) => Some(Hindrance {
                text: in_one_line(error.as_ref()),
                again: true,
            }),
        };
        let Some(hindrance) = hindrance else {
            if self.hindrances.remove(what).is_some() {
                log.say(&format!("{what}: works again"));
            }
            return;
        };
        if self.hindrances.get(what) != Some(&hindrance) {
            log.say(&hindrance.text);
            self.hindrances.insert(what.to_owned(), hindrance);
        }
    }

    /// Tells people of what does not work well, once.
    fn doubt(&mut self, log: &mut Log, what: String, doubt: Option<Hindrance>) {
        let Some(doubt) = doubt else {
            self.doubts.remove(&what);
            return;
        };
        if self.doubts.get(&what) != Some(&doubt) {
            log.say(&doubt.text);
            self.doubts.insert(what, doubt);
        }
    }
}

impl Controller {
    /// Notes what the kernel tells.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::Link { index, names, .. } if self.instance.is_device(*index, names) => {
                self.surroundings.instance = true;
                self.surroundings.routes = true;
            }
            Change::Link {
                index,
                names,
                switched,
            } => {
                // what is amiss may have to do with any
                if self.concerns(*index, names) || !self.surroundings.hindrances.is_empty() {
                    self.surroundings.links_changed();
                }
                self.surroundings.routes |= *switched && self.has_routes(*index);
            }
            Change::Addresses { index, gone } => {
                self.surroundings.instance |= self.instance.is_device(*index, &[]);
                if self.concerns(*index, &[]) {
                    self.surroundings.interfaces = true;
                    self.surroundings.tunnels = true;
                }
                let Some(gone) = gone else {
                    return;
                };
                if matches!(gone, IpAddr::V6(gone) if gone.is_unicast_link_local()) {
                    self.surroundings.forgetful.insert(*index);
                }
                self.surroundings.routes |=
                    self.has_routes(*index) || self.installer.is_source(*gone);
            }
            Change::Neighbour { interface, address } => {
                self.installer.refresh_router(*interface, *address);
                let of_a_tunnel = self.transport.tunnels.values().any(|link| {
                    (link.resolved.route_interface, link.resolved.neighbour)
                        == (*interface, *address)
                });
                self.surroundings.tunnels |= of_a_tunnel;
            }
            Change::StaticRoutes => self.surroundings.instance = true,
            Change::Filters => self.surroundings.programs = true,
            Change::Settings => {
                self.surroundings.interfaces = true;
                self.surroundings.instance = true;
            }
            Change::Route { route, metric } => {
                self.installer.disturbed(*route, *metric);
                self.surroundings.tunnels = true;
            }
            Change::Everything => {
                self.surroundings.everything_changed();
                self.surroundings.routes = true;
                let lans = self.transport.lans.keys().map(|interface| interface.0);
                self.surroundings.forgetful.extend(lans);
                self.installer.refresh_routers();
            }
        }
    }

    /// Whether routes of ours lead through an interface.
    fn has_routes(&self, index: u32) -> bool {
        index == self.installer.device() || self.transport.lans.contains_key(&InterfaceId(index))
    }

    fn concerns(&self, index: u32, names: &[String]) -> bool {
        let named = || {
            let mut attached = self.config.attached_interfaces();
            attached.any(|attached| names.contains(attached))
                || self
                    .babel
                    .interfaces
                    .iter()
                    .any(|plain| names.contains(plain))
        };
        self.transport.lans.contains_key(&InterfaceId(index))
            || self.surroundings.attached.contains_key(&index)
            || self
                .transport
                .tunnels
                .values()
                .any(|link| link.resolved.route_interface == index)
            || named()
    }

    /// Looks at what may have changed.
    ///
    /// # Errors
    /// It cannot go on.
    pub(super) fn look_around(&mut self) -> Result<()> {
        if self.surroundings.instance {
            self.look_at_instance()?;
        }
        if std::mem::take(&mut self.surroundings.interfaces) {
            self.look_at_interfaces();
        }
        let recent = |looked: Instant| looked.elapsed() < BETWEEN_LOOKS;
        if self.surroundings.tunnels && !self.surroundings.looked_at_tunnels.is_some_and(recent) {
            self.surroundings.tunnels = false;
            self.surroundings.looked_at_tunnels = Some(Instant::now());
            self.look_at_tunnels()?;
        }
        if std::mem::take(&mut self.surroundings.programs) {
            let outcome = self.look_at_programs().context("programs").map(|()| None);
            self.surroundings.tell(&mut self.log, "programs", outcome);
        }
        let recent = |compared: Instant| compared.elapsed() < BETWEEN_COMPARISONS;
        if self.surroundings.routes && !self.surroundings.compared.is_some_and(recent) {
            self.surroundings.routes = false;
            self.surroundings.compared = Some(Instant::now());
            let outcome = self.look_at_routes().context(ROUTES).map(|()| None);
            self.surroundings.tell(&mut self.log, ROUTES, outcome);
        }
        Ok(())
    }

    /// Puts TC programs back that somebody has taken away or come before, and looks whether XDP still sees the frames that are
    /// ours.
    fn look_at_programs(&mut self) -> Result<()> {
        let (pins, manifest) = (&self.instance.pins, &self.instance.manifest);
        let netlink = &mut self.netlink;
        let others = chain::others(pins, manifest.network_namespace)?;
        if !attachments::misplaced(pins, manifest, &others, netlink)?.is_empty() {
            // somebody may be loading just now
            let _lock = bpffs::lock(pins.bpffs())?;
            for program in attachments::misplaced(pins, manifest, &others, netlink)? {
                ensure!(program.can_be_restored(), "{program}: {}", program.advice());
                attachments::restore(&program, pins, manifest.settings.device, netlink)?;
                self.log.say(&format!("{program}: mended"));
            }
        }
        let mode = |index| {
            let mut records = manifest.interfaces.iter();
            Some(records.find(|record| record.index == index)?.mode)
        };
        let tunnels: Vec<(String, u32)> = self
            .transport
            .tunnels
            .values()
            .map(|link| (link.resolved.tunnel.name.clone(), link.resolved.interface))
            .collect();
        let device = manifest.settings.device;
        let attached = &self.surroundings.attached;
        let warnings = Stacking::query(netlink)?.warnings(attached, mode, &tunnels, device);
        ensure!(warnings.is_empty(), "{}", warnings.join("; "));
        Ok(())
    }

    /// The mesh device has its addresses, and the kernel our routes.
    fn look_at_routes(&mut self) -> Result<()> {
        let device = self.installer.device();
        let present = self.netlink.addresses(device)?;
        for address in self.installer.own() {
            if !present.contains(address) {
                self.netlink.add_address(device, *address)?;
            }
        }
        self.installer.compare()?;
        self.installer.wishes.retry_after_change();
        Ok(())
    }

    fn look_at_interfaces(&mut self) {
        let mut carriers: BTreeMap<u32, bool> = BTreeMap::new();
        let tunnels: Vec<_> = self
            .transport
            .tunnels
            .iter()
            .map(|(id, link)| (*id, link.resolved.route_interface))
            .collect();
        for (id, underlay) in tunnels {
            let up = *carriers.entry(underlay).or_insert_with(|| {
                let interface = self.netlink.interface_by_index(underlay);
                matches!(interface, Ok(Some(interface)) if interface.carrier)
            });
            if let Some(settings) = self.tunnel_settings(id) {
                self.tell(id, up, settings);
            }
        }
        for name in self.babel.interfaces.clone() {
            let outcome = self.look_at_lan(&name).with_context(|| name.clone());
            let outcome = outcome.map(|waits| waits.map(|text| format!("{name}: {text}")));
            self.surroundings.tell(&mut self.log, &name, outcome);
        }
    }

    fn tunnel_settings(&self, id: InterfaceId) -> Option<InterfaceSettings> {
        let link = self.transport.tunnels.get(&id)?;
        let mut settings = InterfaceSettings::new(InterfaceKind::Tunnel, link.link_local);
        settings.name.clone_from(&link.resolved.tunnel.name);
        settings.mtu = link.resolved.mtu;
        // not every speaker takes IPv4 routes by an IPv6 next hop (RFC 9229)
        settings.ipv4 = self
            .config
            .addresses
            .iter()
            .find_map(|address| match address {
                IpNet::V4(address) => Some(address.addr()),
                IpNet::V6(_) => None,
            });
        self.note_draining(&link.resolved.tunnel.name, &mut settings);
        self.common(&mut settings);
        // what came for others would be dropped
        settings.own_only = !self.config.forward;
        Some(settings)
    }

    fn common(&self, settings: &mut InterfaceSettings) {
        settings.hello_interval = self.parameters.hello_interval;
        settings.update_interval = self.parameters.update_interval;
        settings.accept = self.babel.accept_filter.clone();
        settings.announce = self.babel.announce_filter.clone();
    }

    /// An interface by its name in the configuration, also if it has been called otherwise since.
    fn named(&mut self, name: &str) -> Result<Option<Interface>> {
        let mut found = self.netlink.interface(name)?;
        let known = self.surroundings.named.get(name);
        if found.is_none()
            && let Some(index) = known
        {
            found = self.netlink.interface_by_index(*index)?;
        }
        if let Some(interface) = &found {
            let named = &mut self.surroundings.named;
            named.insert(name.to_owned(), interface.index);
        }
        let renamed = found
            .as_ref()
            .filter(|interface| !interface.is_called(name));
        let doubt = renamed.map(|interface| Hindrance {
            text: format!(
                "interface {name}: it is called {} now: change it in the configuration too, or the next start does not find it",
                interface.name
            ),
            again: false,
        });
        self.surroundings
            .doubt(&mut self.log, format!("interface {name}"), doubt);
        Ok(found)
    }

    /// Tells the speaker of an interface what it does not know yet.
    fn tell(&mut self, interface: InterfaceId, up: bool, settings: InterfaceSettings) {
        let (mut was_up, former) = self
            .known
            .insert(interface, (up, Some(settings.clone())))
            .unwrap_or((true, None));
        if former.as_ref() != Some(&settings) {
            self.handle(Input::Interface {
                interface,
                settings: Box::new(settings),
            });
            // what the speaker takes for granted
            was_up = true;
        }
        if was_up != up {
            self.handle(Input::Carrier { interface, up });
        }
    }

    /// Which way packets of tunnels go: interface, source, next router and its Ethernet address, MTU.
    fn look_at_tunnels(&mut self) -> Result<()> {
        let outcome = self.look_at_attached().context("interfaces").map(|()| None);
        self.surroundings.tell(&mut self.log, "interfaces", outcome);
        let arrivals = self.arrivals();
        self.load_again("what was missing", &arrivals)?;
        let tunnels: Vec<_> = self
            .transport
            .tunnels
            .iter()
            .map(|(id, link)| (*id, link.resolved.clone()))
            .collect();
        for (id, before) in tunnels {
            let found = resolve::again(
                &self.config,
                &before.tunnel,
                &self.surroundings.attached,
                self.installer.device(),
                &mut self.netlink,
            );
            let outcome = match found {
                Ok(now) if now == before => Ok(None),
                Ok(now) => self.change_tunnel(id, &before, now).map(|()| None),
                Err(error) => Err(error.into()),
            };
            let name = format!("tunnel {}", before.tunnel.name);
            self.surroundings.tell(&mut self.log, &name, outcome);
        }
        Ok(())
    }

    /// The Ethernet addresses of interfaces with XDP, which packets from outside must carry.
    fn look_at_attached(&mut self) -> Result<()> {
        let mut attached = Interfaces::new();
        let names: Vec<String> = self.config.attached_interfaces().cloned().collect();
        for name in names {
            let found = self.named(&name)?;
            let missing = found.is_none().then(|| present::absent(&name));
            self.surroundings
                .tell(&mut self.log, &present::interface_key(&name), Ok(missing));
            attached.extend(found.map(|interface| (interface.index, interface)));
        }
        for interface in attached.values() {
            refresh::interface(interface, &self.installer.maps)?;
        }
        self.surroundings.attached = attached;
        Ok(())
    }

    fn change_tunnel(
        &mut self,
        id: InterfaceId,
        before: &ResolvedTunnel,
        now: ResolvedTunnel,
    ) -> Result<()> {
        let mtu = now.mtu;
        self.installer.change_tunnel(id, &now)?;
        if let Some(link) = self.transport.tunnels.get_mut(&id) {
            link.resolved = now;
        }
        if mtu != before.mtu {
            for route in self.speaker.installed() {
                if route.interface == id {
                    let wanted = Wanted::Via(route.interface, route.next_hop);
                    self.installer.wishes.want(route.route, wanted);
                }
            }
        }
        // its carrier is another interface's perhaps, and its MTU another
        self.surroundings.interfaces = true;
        Ok(())
    }
}
