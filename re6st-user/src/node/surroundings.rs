//! The host around the controller: links, addresses, neighbours and routes that change while it runs.
//!
//! Nothing is looked at again unless the kernel said that it changed, or the last look failed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use ipnet::IpNet;

use super::{
    controller::Controller,
    install::{Exit, Wanted},
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        settings::{InterfaceKind, InterfaceSettings, RoundTrip},
    },
    dataplane::bpf::{
        Manifest, Pins, attachments, chain, refresh,
        resolve::{self, Interfaces, ResolvedTunnel},
        stacking::Stacking,
    },
    io::{
        bpffs,
        netlink::{link::Interface, monitor::Change},
    },
};

/// Between two looks at the ways of tunnels: routes of the host may change by the thousands.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What was seen of the host, and what may be different now.
pub(super) struct Surroundings {
    /// Links and addresses are to be looked at.
    interfaces: bool,
    /// The ways of tunnels are to be looked at.
    tunnels: bool,
    /// Programs on interfaces are to be looked at.
    programs: bool,
    /// What was loaded.
    pub loaded: Option<(Pins, Manifest)>,
    looked_at_tunnels: Option<Instant>,
    /// Where XDP is attached.
    attached: Interfaces,
    /// Interfaces by their names in the configuration: they may be called otherwise by now.
    named: BTreeMap<String, u32>,
    /// What failed, and why, as last told to people.
    trouble: BTreeMap<String, String>,
}

impl Default for Surroundings {
    /// Everything is to be looked at.
    fn default() -> Self {
        Self {
            interfaces: true,
            tunnels: true,
            programs: true,
            loaded: None,
            looked_at_tunnels: None,
            attached: Interfaces::new(),
            named: BTreeMap::new(),
            trouble: BTreeMap::new(),
        }
    }
}

impl Surroundings {
    /// Whether something waits to be looked at.
    pub const fn is_stale(&self) -> bool {
        self.interfaces || self.tunnels || self.programs
    }

    /// What interfaces are to be told has changed.
    pub const fn interfaces_changed(&mut self) {
        self.interfaces = true;
    }

    /// Whether [`Self::tick`] has something to do.
    pub fn wants_attention(&self) -> bool {
        !self.trouble.is_empty()
    }

    /// A second later: what failed is tried again.
    pub fn tick(&mut self) {
        if !self.trouble.is_empty() {
            self.everything_changed();
        }
    }

    const fn everything_changed(&mut self) {
        self.interfaces = true;
        self.tunnels = true;
        self.programs = true;
    }

    /// Tells people of a failure, once.
    fn tell(&mut self, what: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.trouble.remove(what);
            }
            Err(error) => {
                let text = format!("{error:#}");
                if self.trouble.get(what) != Some(&text) {
                    eprintln!("{what}: {text}");
                    self.trouble.insert(what.to_owned(), text);
                }
            }
        }
    }
}

impl Controller {
    /// Notes what the kernel tells.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::Link { index, names } if self.concerns(*index, names) => {
                self.surroundings.everything_changed();
            }
            Change::Addresses { index } if self.concerns(*index, &[]) => {
                self.surroundings.interfaces = true;
                self.surroundings.tunnels = true;
            }
            Change::Link { .. } | Change::Addresses { .. } => {}
            Change::Neighbour { interface, address } => {
                self.installer.refresh_router(*interface, *address);
                let of_a_tunnel = self.transport.tunnels.values().any(|link| {
                    (link.resolved.route_interface, link.resolved.neighbour)
                        == (*interface, *address)
                });
                self.surroundings.tunnels |= of_a_tunnel;
            }
            Change::Routes => self.surroundings.tunnels = true,
            Change::Filters => self.surroundings.programs = true,
            Change::Everything => {
                self.surroundings.everything_changed();
                self.installer.refresh_routers();
            }
        }
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
    pub(super) fn look_around(&mut self) {
        if std::mem::take(&mut self.surroundings.interfaces) {
            self.look_at_interfaces();
        }
        let recent = |looked: Instant| looked.elapsed() < BETWEEN_LOOKS;
        if self.surroundings.tunnels && !self.surroundings.looked_at_tunnels.is_some_and(recent) {
            self.surroundings.tunnels = false;
            self.surroundings.looked_at_tunnels = Some(Instant::now());
            self.look_at_tunnels();
        }
        if std::mem::take(&mut self.surroundings.programs) {
            let outcome = self.look_at_programs();
            self.surroundings.tell("programs", outcome);
        }
    }

    /// Puts TC programs back that somebody has taken away or come before, and looks whether XDP still sees the frames that are
    /// ours.
    fn look_at_programs(&mut self) -> Result<()> {
        let Some((pins, manifest)) = &self.surroundings.loaded else {
            return Ok(());
        };
        let netlink = &mut self.netlink;
        let others = chain::others(pins, manifest.network_namespace)?;
        if !attachments::misplaced(pins, manifest, &others, netlink)?.is_empty() {
            // somebody may be loading just now
            let _lock = bpffs::lock(pins.bpffs())?;
            for program in attachments::misplaced(pins, manifest, &others, netlink)? {
                ensure!(program.can_be_restored(), "{program}: {}", program.advice());
                attachments::restore(&program, pins, manifest.settings.device, netlink)?;
                eprintln!("{program}: mended");
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
            let outcome = self.look_at_lan(&name);
            self.surroundings.tell(&name, outcome);
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
        self.common(&mut settings);
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
        let outcome = match &found {
            Some(interface) if !interface.is_called(name) => Err(anyhow!(
                "it is called {} now: change it in the configuration too, or the next start does not find it",
                interface.name
            )),
            _ => Ok(()),
        };
        self.surroundings
            .tell(&format!("interface {name}"), outcome);
        Ok(found)
    }

    fn look_at_lan(&mut self, name: &str) -> Result<()> {
        let found = self.named(name)?;
        let index = found.as_ref().map(|interface| interface.index);
        let gone: Vec<InterfaceId> = self
            .transport
            .lans
            .iter()
            .filter(|(id, link)| link.name == name && Some(id.0) != index)
            .map(|(id, _)| *id)
            .collect();
        for interface in gone {
            self.transport.lans.remove(&interface);
            self.known.remove(&interface);
            self.installer.exits.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
        let Some(interface) = found else {
            return Ok(());
        };
        if self.parameters.mac.is_none() {
            // others would not hear us, and we must not hear just anybody
            return Ok(());
        }
        let addresses = self.netlink.addresses(interface.index)?;
        let link_local = addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(*address),
            _ => None,
        });
        let Some(link_local) = link_local else {
            // nothing to send from, for now
            let id = InterfaceId(interface.index);
            if let Some((true, Some(settings))) = self.known.get(&id).cloned() {
                self.tell(id, false, settings);
            }
            return Ok(());
        };
        let settings = self.lan_settings(name, &interface, link_local, &addresses)?;
        let exit = Exit::Lan(
            interface.index,
            interface.address.unwrap_or_default(),
            interface.mtu,
        );
        self.installer.set_exit(InterfaceId(interface.index), exit);
        self.tell(InterfaceId(interface.index), interface.carrier, settings);
        Ok(())
    }

    fn lan_settings(
        &mut self,
        name: &str,
        interface: &Interface,
        link_local: Ipv6Addr,
        addresses: &[IpAddr],
    ) -> Result<InterfaceSettings> {
        let id = InterfaceId(interface.index);
        let known = self.transport.lans.get(&id).map(|link| link.link_local);
        let told = matches!(self.known.get(&id), Some((_, Some(_))));
        if !told || known != Some(link_local) {
            if let Some(mac) = &self.parameters.mac {
                self.transport.add_lan(name, interface, link_local, mac)?;
            }
            if let Some(link) = self.transport.lans.get(&id) {
                self.readiness
                    .add(link.socket.as_fd(), u64::from(interface.index))?;
            }
        }
        let mut settings = InterfaceSettings::new(InterfaceKind::Lan, link_local);
        settings.name.clone_from(&interface.name);
        settings.mtu = interface.mtu;
        settings.reserved = self.transport.overhead(id);
        settings.ipv4 = addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        let names = &self.babel.round_trip_interfaces;
        if names.iter().any(|known| known == name) {
            settings.round_trip = Some(RoundTrip::default());
        }
        self.common(&mut settings);
        Ok(settings)
    }

    /// Tells the speaker of an interface what it does not know yet.
    fn tell(&mut self, interface: InterfaceId, up: bool, settings: InterfaceSettings) {
        let (was_up, former) = self
            .known
            .insert(interface, (up, Some(settings.clone())))
            .unwrap_or((true, None));
        if former.as_ref() != Some(&settings) {
            self.handle(Input::Interface {
                interface,
                settings: Box::new(settings),
            });
        }
        if was_up != up {
            self.handle(Input::Carrier { interface, up });
        }
    }

    /// Which way packets of tunnels go: interface, source, next router and its Ethernet address, MTU.
    fn look_at_tunnels(&mut self) {
        let outcome = self.look_at_attached();
        self.surroundings.tell("interfaces", outcome);
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
                Ok(now) if now == before => Ok(()),
                Ok(now) => self.change_tunnel(id, &before, now),
                Err(error) => Err(error.into()),
            };
            self.surroundings.tell(&before.tunnel.name, outcome);
        }
    }

    /// The Ethernet addresses of interfaces with XDP, which packets from outside must carry.
    fn look_at_attached(&mut self) -> Result<()> {
        let mut attached = Interfaces::new();
        let names: Vec<String> = self.config.attached_interfaces().cloned().collect();
        for name in names {
            if let Some(interface) = self.named(&name)? {
                attached.insert(interface.index, interface);
            }
        }
        for (index, interface) in &attached {
            let before = self.surroundings.attached.get(index);
            if before.is_none_or(|before| before.address != interface.address) {
                refresh::interface(interface, &self.installer.maps)?;
            }
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
                    self.installer.want(route.route, wanted);
                }
            }
        }
        // its carrier is another interface's perhaps, and its MTU another
        self.surroundings.interfaces = true;
        Ok(())
    }
}
