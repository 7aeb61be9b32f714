//! Plain interfaces as the host has them: whether Babel can be spoken there, and what may keep packets away all the same.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;

use super::{Finding, Host, Uses};
use crate::{
    babel::input::InterfaceId,
    config::Config,
    dataplane::bpf::forwarding,
    io::{netlink::link::Interface, sysctl},
    node::{
        lan::{self, Own, Seen},
        troubles::Trouble,
    },
    time::Time,
};

/// A plain interface.
pub struct Lan {
    /// If there is one.
    pub interface: Option<Interface>,
    /// All our link-local addresses there.
    pub link_local: Vec<Ipv6Addr>,
    /// Those to use, or what is waited for.
    pub own: Result<Own, String>,
}

impl Host {
    /// Looks at a plain interface.
    pub(super) fn lan(
        &mut self,
        name: &str,
        now: Time,
        uses: &Uses<'_>,
        findings: &mut Vec<Finding>,
    ) -> Result<Lan> {
        let found = self.named(name, findings)?;
        let Some(interface) = &found else {
            let own = lan::judge(None, None, |_| false).map_err(|unusable| unusable.to_string());
            return Ok(Lan {
                interface: None,
                link_local: Vec::new(),
                own,
            });
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
        let in_use = uses.transport.lans.get(&id).map(|link| link.own);
        let heard = |address| uses.transport.is_shared(now, id, address);
        let own = match uses.keys {
            true => lan::judge(Some(seen), in_use, heard).map_err(|unusable| unusable.to_string()),
            // others would not hear us, and we must not hear just anybody
            false => Err("waiting for the network's MAC keys".to_owned()),
        };
        let link_local = addresses.iter().filter_map(|address| match address.ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(ip),
            _ => None,
        });
        let link_local = link_local.collect();
        if own.is_ok() {
            doubts(name, interface, uses.config, findings);
        }
        Ok(Lan {
            interface: found,
            link_local,
            own,
        })
    }
}

/// What may keep packets from arriving all the same.
fn doubts(name: &str, interface: &Interface, config: &Config, findings: &mut Vec<Finding>) {
    let strict = Trouble {
        text: format!(
            "{name}: `rp_filter` is 1 there, so the kernel drops IPv4 packets of the mesh whose answers take another \
             way: `sysctl {}=2`",
            sysctl::name(&format!("ipv4/conf/{}/rp_filter", interface.name))
        ),
        again: false,
    };
    // whether the mesh has IPv4 packets, and they must come from where answers to them go (RFC 3704)
    let mut prefixes = config.addresses.iter().chain(&config.networks);
    let filters = prefixes.any(|prefix| prefix.addr().is_ipv4())
        && forwarding::filters_strictly(&interface.name);
    let doubt = filters.then_some(strict);
    findings.push(Finding::Doubt(format!("{name} rp_filter"), doubt));
}
