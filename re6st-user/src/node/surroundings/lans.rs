//! Plain interfaces: looked at, taken up, given up.

use std::{net::IpAddr, os::fd::AsFd as _};

use anyhow::Result;

use super::{Controller, Hindrance};
use crate::{
    babel::{
        input::{Input, InterfaceId},
        output::GROUP,
        settings::{InterfaceKind, InterfaceSettings, RoundTrip},
    },
    dataplane::bpf::forwarding,
    io::{netlink::link::Interface, sysctl},
    node::{
        install::Exit,
        lan::{self, Own, Seen, Unusable},
    },
};

impl Controller {
    /// What is waited for, if anything.
    pub(super) fn look_at_lan(&mut self, name: &str) -> Result<Option<String>> {
        let found = self.named(name)?;
        self.leave_lans(name, found.as_ref().map(|interface| interface.index));
        if let Some(interface) = &found
            && self.parameters.mac.is_none()
        {
            // others would not hear us, and we must not hear just anybody
            self.suspend_lan(InterfaceId(interface.index));
            return Ok(Some("waiting for the network's MAC keys".to_owned()));
        }
        let own = match self.judge_lan(found.as_ref())? {
            Ok(own) => own,
            Err(unusable) => {
                if let Some(interface) = found {
                    self.suspend_lan(InterfaceId(interface.index));
                }
                return Ok(Some(unusable.to_string()));
            }
        };
        if let Some(interface) = found {
            self.use_lan(name, &interface, own)?;
        }
        Ok(None)
    }

    fn judge_lan(&mut self, interface: Option<&Interface>) -> Result<Result<Own, Unusable>> {
        let Some(interface) = interface else {
            return Ok(lan::judge(None, None, |_| false));
        };
        let id = InterfaceId(interface.index);
        let addresses = self.netlink.interface_addresses(interface.index)?;
        let controller = match interface.controller {
            Some(index) => self.netlink.interface_by_index(index)?,
            None => None,
        };
        let disabled = sysctl::read(&format!("ipv6/conf/{}/disable_ipv6", interface.name));
        let seen = Seen {
            interface,
            controller: controller.as_ref(),
            addresses: &addresses,
            ipv6_disabled: disabled.is_ok_and(|disabled| disabled == "1"),
        };
        let ours = addresses.iter().filter_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
            _ => None,
        });
        self.transport.set_addresses(id, ours.collect());
        let in_use = self.transport.lans.get(&id).map(|link| link.own);
        let now = self.now();
        let heard = |address| self.transport.is_shared(now, id, address);
        Ok(lan::judge(Some(seen), in_use, heard))
    }

    /// Interfaces that once had a name are not those that have it now.
    pub(in crate::node) fn leave_lans(&mut self, name: &str, index: Option<u32>) {
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

    /// Nothing goes by it for now.
    fn suspend_lan(&mut self, id: InterfaceId) {
        if let Some((true, Some(settings))) = self.known.get(&id).cloned() {
            self.tell(id, false, settings);
        }
    }

    fn use_lan(&mut self, name: &str, interface: &Interface, own: Own) -> Result<()> {
        let id = InterfaceId(interface.index);
        let forgetful = self.surroundings.forgetful.contains(&interface.index);
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
        self.surroundings.forgetful.remove(&interface.index);
        let exit = Exit::Lan(
            interface.index,
            interface.address.unwrap_or_default(),
            interface.mtu,
        );
        self.installer.set_exit(id, exit);
        let settings = self.lan_settings(name, interface, own);
        self.tell(id, true, settings);
        self.doubt_lan(name, interface);
        Ok(())
    }

    /// What may keep packets from arriving all the same.
    fn doubt_lan(&mut self, name: &str, interface: &Interface) {
        let id = InterfaceId(interface.index);
        let shared = self.transport.shared_address(self.now(), id);
        let shared = shared.map(|address| Hindrance {
            text: format!(
                "{name}: another router on the link has our address {address} too, so neither hears the other: give one of \
                 them another"
            ),
            // nothing tells that it has gone
            again: true,
        });
        let strict = Hindrance {
            text: format!(
                "{name}: `rp_filter` is 1 there, so the kernel drops IPv4 packets of the mesh whose answers take another \
                 way: `sysctl {}=2`",
                sysctl::name(&format!("ipv4/conf/{}/rp_filter", interface.name))
            ),
            again: false,
        };
        let strict = self.filters_strictly(&interface.name).then_some(strict);
        for (what, doubt) in [("address", shared), ("rp_filter", strict)] {
            let what = format!("{name} {what}");
            self.surroundings.doubt(&mut self.log, what, doubt);
        }
    }

    /// Whether the mesh has IPv4 packets, and they must come from where answers to them go (RFC 3704).
    fn filters_strictly(&self, interface: &str) -> bool {
        let config = &self.config;
        let mut prefixes = config.addresses.iter().chain(&config.networks);
        prefixes.any(|prefix| prefix.addr().is_ipv4()) && forwarding::filters_strictly(interface)
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
}
