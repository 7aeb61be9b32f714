//! What has changed on the host since it was loaded, or was not there then.

use re6st_common::{
    encapsulation::{LinkHeader, OuterHeaders, outer_length},
    maps::NextHop,
};

use super::{
    super::{
        error::{BpfError, During as _},
        losses,
        resolve::Interfaces,
    },
    Observer,
};
use crate::printable::ethernet;

impl Observer<'_> {
    /// A warning about what a running node sees to, or else the operator.
    pub(super) fn warn(&mut self, what: &str) {
        self.warnings.push(match self.node {
            Some(_) => what.to_owned(),
            None => format!("{what}: load again"),
        });
    }

    /// What the kernel has lost, and what was not there when it was loaded.
    pub(super) fn look_for_losses(&mut self) -> Result<(), BpfError> {
        for loss in losses::losses(self.manifest, &mut self.netlink)? {
            self.warn(&loss);
        }
        if self.node.is_none() {
            self.look_for_outdone_routes()?;
        }
        for why in self.manifest.missing.values() {
            self.warnings.push(match self.node {
                Some(_) => why.clone(),
                None => format!("{why}; load again when that has changed"),
            });
        }
        Ok(())
    }

    /// Routes that others added to the same destinations, which the kernel prefers: by loading again ours would not be.
    fn look_for_outdone_routes(&mut self) -> Result<(), BpfError> {
        let name = &self.manifest.instance;
        let outdone = self
            .netlink
            .outdone_routes(self.manifest.settings.device)
            .during(|| format!("look at the routes to {name}"))?;
        if let Some((first, others)) = outdone.split_first() {
            let more = match others.len() {
                0 => String::new(),
                others => format!(" and to {others} other prefixes"),
            };
            self.warnings.push(format!(
                "the kernel prefers a route of somebody else's to {first}{more}, and sends what is for there past {name}: \
                 `ip route show {first}`"
            ));
        }
        Ok(())
    }

    /// What the kernel would do now, where it is not what the map says.
    pub(super) fn stale(
        &mut self,
        entry: &NextHop,
        outer: &OuterHeaders,
    ) -> Result<Option<String>, BpfError> {
        let remote = outer.remote;
        let way = match self.netlink.way(remote, Some(outer.local)) {
            Ok(way) => way,
            Err(error) => return Ok(Some(format!("no route to {remote} any more: {error}"))),
        };
        if way.interface != entry.route_interface {
            let name = self.interface_name(way.interface)?;
            return Ok(Some(format!(
                "the route to {remote} leads through {name} now"
            )));
        }
        if let Some(changed) = self.stale_interface(entry)? {
            return Ok(Some(changed));
        }
        let neighbour = way.gateway.unwrap_or(remote);
        let known = self
            .netlink
            .neighbour(way.interface, neighbour)
            .during(|| format!("look up the Ethernet address of {neighbour}"))?;
        // where XDP alone sends there, nothing else lets the kernel verify it; the next look will tell
        let _ = self.netlink.resolve_neighbour(way.interface, neighbour);
        let used = LinkHeader::read(entry).map(|link| link.destination);
        Ok(match (used, known) {
            (Some(used), Some(known)) if used != known => {
                Some(format!("{neighbour} is at {} now", ethernet(known)))
            }
            (None, Some(known)) => {
                Some(format!("{neighbour} has been found at {}", ethernet(known)))
            }
            _ => None,
        })
    }

    /// What has changed of the interface a tunnel's packets leave by.
    fn stale_interface(&mut self, entry: &NextHop) -> Result<Option<String>, BpfError> {
        let index = entry.route_interface;
        let found = self
            .netlink
            .interface_by_index(index)
            .during(|| format!("look up interface {index}"))?;
        let Some(interface) = found else {
            return Ok(None);
        };
        let outer = outer_length(entry.encapsulation).unwrap_or_default() as u32;
        let fits = interface.mtu.saturating_sub(outer);
        if entry.mtu > fits {
            return Ok(Some(format!(
                "the MTU of {} is {} now: packets above {fits} bytes are lost (`link_mtu`)",
                interface.name, interface.mtu
            )));
        }
        let used = LinkHeader::read(entry).map(|link| link.source);
        Ok(match interface.address {
            Some(address) if used.is_some_and(|used| used != address) => Some(format!(
                "{} is at {} now",
                interface.name,
                ethernet(address)
            )),
            _ => None,
        })
    }

    /// What outside must send to is in INTERFACES.
    pub(super) fn look_for_changed_addresses(
        &mut self,
        interfaces: &Interfaces,
    ) -> Result<(), BpfError> {
        let entries = self.maps.interfaces()?;
        for interface in interfaces.values() {
            if let (Ok(entry), Some(address)) =
                (entries.get(&interface.index, 0), interface.address)
                && entry.address != address
            {
                self.warn(&format!(
                    "{} has the Ethernet address {} now, and XDP takes what is sent to the former",
                    interface.name,
                    ethernet(address)
                ));
            }
        }
        Ok(())
    }
}
