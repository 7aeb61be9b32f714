//! What follows from what is seen of the host: links are taken up and given up, and the speaker is told of them; tunnels go
//! other ways; what was changed by others is put right.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::{
    controller::Controller,
    host::{Finding, due::Look, lans::Lan},
    install::Exit,
    lan::Own,
    troubles::Trouble,
    wishes::Wanted,
};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        output::GROUP,
        settings::{InterfaceKind, InterfaceSettings, RoundTrip},
    },
    channel,
    dataplane::bpf::{
        fill,
        maps::Maps,
        resolve::{Interfaces, ResolvedTunnel},
    },
    io::netlink::{link::Interface, monitor::Change},
};

/// In bytes.
const ETHERNET_MTU: u32 = 1500;
/// What is said of comparing the kernel's routes with ours.
const ROUTES: &str = "routes";

impl Controller {
    /// Notes what the kernel tells.
    pub(super) fn note(&mut self, change: &Change) {
        match change {
            Change::Neighbour { interface, address } => {
                self.installer.refresh_router(*interface, *address);
            }
            Change::Route { route, metric } => self.installer.disturbed(*route, *metric),
            Change::Everything => self.installer.refresh_routers(),
            Change::Addresses { index, .. } if !self.instance.is_device(*index, &[]) => {
                self.channel(channel::Input::Moved);
            }
            _ => {}
        }
        self.note_for_whereabouts(change);
        let (host, uses) = self.host_and_uses();
        host.note(change, &uses);
    }

    /// Looks at what may have changed, and does what follows from it.
    ///
    /// # Errors
    /// It cannot go on.
    pub(super) fn look_around(&mut self) -> Result<()> {
        for look in Look::ALL {
            let now = self.now();
            let (host, uses) = self.host_and_uses();
            for finding in host.look(look, now, &uses) {
                self.respond(finding)?;
            }
        }
        Ok(())
    }

    fn respond(&mut self, finding: Finding) -> Result<()> {
        match finding {
            Finding::Outcome(what, outcome) => self.tell(&what, outcome),
            Finding::Doubt(what, doubt) => self.doubt(&what, doubt),
            Finding::Losses(losses) => self.put_right(losses)?,
            Finding::Arrivals(arrivals) => {
                if !self.open_arrivals(&arrivals) {
                    self.load_again("what was missing", &arrivals)?;
                }
            }
            Finding::Carrier(tunnel, up) => {
                if let Some(settings) = self.tunnel_settings(tunnel) {
                    self.tell_speaker(tunnel, up, settings);
                }
            }
            Finding::Lan(name, lan) => {
                let outcome = self.take_up_lan(&name, *lan).with_context(|| name.clone());
                let outcome = outcome.map(|waits| waits.map(|text| format!("{name}: {text}")));
                self.tell(&name, outcome);
            }
            Finding::Underlays(attached) => {
                // no tunnel to a peer carries more than fits there, and what does not leave an interface is no loss on the way
                let mtus = attached.values().map(|interface| interface.mtu);
                let mtu = mtus.min().unwrap_or(ETHERNET_MTU).min(ETHERNET_MTU);
                self.channel(channel::Input::LinkMtu(mtu as u16));
                let outcome = self.refresh(&attached).context("interfaces");
                self.tell("interfaces", outcome.map(|()| None));
            }
            Finding::Way(tunnel, now) => {
                self.change_tunnel_and_tell(tunnel, *now);
                self.channel(channel::Input::Moved);
            }
            Finding::Mended(text) => self.say(&text),
            Finding::Routes => {
                let outcome = self.compare_routes().context(ROUTES);
                self.tell(ROUTES, outcome.map(|()| None));
            }
        }
        Ok(())
    }

    /// A second later: what failed is tried again.
    pub(super) fn try_again(&mut self) {
        if self.troubles.want_attention() {
            self.host.due.note(&Look::HOST);
            if self.troubles.hinders(ROUTES) {
                self.host.due.note(&[Look::Routes]);
            }
        }
    }

    /// Tells people what came of something, if that is new.
    pub(super) fn tell(&mut self, what: &str, outcome: Result<Option<String>>) {
        let said = self.troubles.note(what, outcome);
        said.iter().for_each(|text| self.say(text));
    }

    pub(super) fn doubt(&mut self, what: &str, doubt: Option<Trouble>) {
        let said = self.troubles.doubt(what, doubt);
        said.iter().for_each(|text| self.say(text));
    }

    fn refresh(&self, attached: &Interfaces) -> Result<()> {
        let maps = Maps::new(self.instance.pins.folder());
        for interface in attached.values() {
            fill::refresh(interface, &maps)?;
        }
        Ok(())
    }

    /// The mesh device has its addresses, and the kernel our routes.
    fn compare_routes(&mut self) -> Result<()> {
        let device = self.installer.device();
        self.host.put_addresses_back(device, self.installer.own())?;
        self.installer.compare()?;
        self.installer.wishes.retry_after_change();
        Ok(())
    }

    /// A tunnel's packets go another way from now on, or as people are told they cannot.
    pub(super) fn change_tunnel_and_tell(&mut self, id: InterfaceId, now: ResolvedTunnel) {
        let what = format!("tunnel {}", now.tunnel.name);
        let outcome = self.change_tunnel(id, now);
        self.tell(&what, outcome.map(|()| None));
    }

    pub(super) fn change_tunnel(&mut self, id: InterfaceId, now: ResolvedTunnel) -> Result<()> {
        self.installer.change_tunnel(id, &now)?;
        let Some(link) = self.transport.tunnels.get_mut(&id) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut link.resolved, now);
        if link.resolved.mtu != before.mtu {
            for route in self.routing.installed() {
                if route.interface == id {
                    let wanted = Wanted::Via(route.interface, route.next_hop);
                    self.installer.wishes.want(route.route, wanted);
                }
            }
        }
        // its carrier is another interface's perhaps, and its MTU another
        self.host
            .due
            .note(&[Look::Interfaces, Look::Underlays, Look::Tunnels]);
        Ok(())
    }

    /// Tells the speaker of an interface what it does not know yet.
    fn tell_speaker(&mut self, interface: InterfaceId, up: bool, settings: InterfaceSettings) {
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
            if former.is_none()
                && let Some(peer) = self.peer_of(interface)
            {
                self.entitle(peer, interface);
            }
        }
        if was_up != up {
            self.handle(Input::Carrier { interface, up });
        }
    }

    fn tunnel_settings(&self, id: InterfaceId) -> Option<InterfaceSettings> {
        let link = self.transport.tunnels.get(&id)?;
        let mut settings = InterfaceSettings::new(InterfaceKind::Tunnel, link.link_local);
        settings.name.clone_from(&link.resolved.tunnel.name);
        settings.mtu = link.resolved.mtu;
        settings.measured = link.resolved.tunnel.of_peer;
        // not every speaker takes IPv4 routes by an IPv6 next hop (RFC 9229)
        let mut addresses = self.config.addresses.iter();
        settings.ipv4 = addresses.find_map(|address| match address {
            IpNet::V4(address) => Some(address.addr()),
            IpNet::V6(_) => None,
        });
        self.note_draining(&link.resolved.tunnel.name, &mut settings);
        self.common(&mut settings);
        // what came for others would be dropped
        settings.own_only = !self.config.forward;
        Some(settings)
    }

    fn lan_settings(&self, name: &str, interface: &Interface, own: Own) -> InterfaceSettings {
        let mut settings = InterfaceSettings::new(InterfaceKind::Lan, own.link_local);
        name.clone_into(&mut settings.name);
        settings.mtu = interface.mtu;
        settings.reserved = self.transport.overhead(InterfaceId(interface.index));
        settings.ipv4 = own.ipv4;
        let mut timed = self.babel.round_trip_interfaces.iter();
        if timed.any(|timed| timed == name) {
            settings.round_trip = Some(RoundTrip::default());
        }
        self.common(&mut settings);
        settings
    }

    fn common(&self, settings: &mut InterfaceSettings) {
        settings.hello_interval = self.parameters.hello_interval;
        settings.update_interval = self.parameters.update_interval;
        settings.accept = self.babel.accept_filter.clone();
        settings.announce = self.babel.announce_filter.clone();
    }

    /// What is waited for, if anything.
    fn take_up_lan(&mut self, name: &str, lan: Lan) -> Result<Option<String>> {
        let index = lan.interface.as_ref().map(|interface| interface.index);
        self.leave_lans(name, index);
        let Some(interface) = lan.interface else {
            return Ok(lan.own.err());
        };
        let id = InterfaceId(interface.index);
        self.transport.set_addresses(id, lan.link_local);
        match lan.own {
            Ok(own) => self.use_lan(name, &interface, own).map(|()| None),
            Err(why) => {
                // nothing goes by it for now
                if let Some((true, Some(settings))) = self.known.get(&id).cloned() {
                    self.tell_speaker(id, false, settings);
                }
                Ok(Some(why))
            }
        }
    }

    /// Interfaces that once had a name are not those that have it now.
    pub(super) fn leave_lans(&mut self, name: &str, index: Option<u32>) {
        let lans = self.transport.lans.iter();
        let gone: Vec<InterfaceId> = lans
            .filter(|(id, link)| link.name == name && Some(id.0) != index)
            .map(|(id, _)| *id)
            .collect();
        for interface in gone {
            self.transport.lans.remove(&interface);
            self.known.remove(&interface);
            self.installer.exits.remove(&interface);
            self.handle(Input::InterfaceRemoved { interface });
        }
    }

    fn use_lan(&mut self, name: &str, interface: &Interface, own: Own) -> Result<()> {
        let id = InterfaceId(interface.index);
        let forgetful = self.host.forgetful.contains(&interface.index);
        match self.transport.lans.get_mut(&id) {
            Some(link) => {
                if forgetful {
                    link.socket.join_again(interface.index, GROUP)?;
                }
                link.own = own;
            }
            None => {
                if let Some(mac) = &self.parameters.mac {
                    self.transport.add_lan(name, interface, own, mac)?;
                }
                if let Some(link) = self.transport.lans.get(&id) {
                    self.readiness
                        .add(link.socket.as_fd(), u64::from(interface.index))?;
                }
            }
        }
        self.host.forgetful.remove(&interface.index);
        let exit = Exit::Lan(
            interface.index,
            interface.address.unwrap_or_default(),
            interface.mtu,
        );
        self.installer.set_exit(id, exit);
        let settings = self.lan_settings(name, interface, own);
        self.tell_speaker(id, true, settings);
        self.doubt_address(name, id);
        Ok(())
    }

    /// Somebody else may have our address on the link.
    fn doubt_address(&mut self, name: &str, id: InterfaceId) {
        let shared = self.transport.shared_address(self.now(), id);
        let shared = shared.map(|address| Trouble {
            text: format!(
                "{name}: another router on the link has our address {address} too, so neither hears the other: give one of \
                 them another"
            ),
            // nothing tells that it has gone
            again: true,
        });
        self.doubt(&format!("{name} address"), shared);
    }
}
