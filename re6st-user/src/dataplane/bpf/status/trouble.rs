//! What is not as the loaded instance needs it, in words for the operator.

use re6st_common::{
    encapsulation,
    maps::{NextHop, interface, next_hop_id},
};

use super::{
    super::{
        attachments::{self, Misplaced},
        error::{BpfError, During as _},
        manifest::{InterfaceRecord, Mode},
        maps,
        offloads::{self, Underlay},
        policies,
        resolve::Interfaces,
        stacking::Stacking,
        transmit::Transmit,
    },
    InterfaceStatus, Observer, TunnelStatus,
};

impl Observer<'_> {
    /// TC programs that are not where they belong, which are warned of.
    pub(super) fn misplaced(&mut self) -> Result<Vec<Misplaced>, BpfError> {
        if !self.here {
            return Ok(Vec::new());
        }
        let misplaced =
            attachments::misplaced(self.pins, self.manifest, &self.others, &mut self.netlink)?;
        let warnings = misplaced
            .iter()
            .map(|program| format!("{program}: {}", program.advice()));
        self.warnings.extend(warnings);
        Ok(misplaced)
    }

    /// What an interface is called now. Another name is warned of: the next load will not find it by the old one.
    pub(super) fn name_now(&mut self, record: &InterfaceRecord) -> Result<String, BpfError> {
        let now = self
            .here
            .then(|| self.netlink.interface_by_index(record.index))
            .transpose()
            .during(|| format!("look up interface {}", record.name))?
            .flatten();
        let Some(now) = now.filter(|now| !now.is_called(&record.name)) else {
            return Ok(record.name.clone());
        };
        self.warnings.push(format!(
            "{} is called {} now: change it in the configuration too, or the next load does not find it",
            record.name, now.name
        ));
        Ok(now.name)
    }

    pub(super) fn look_for_trouble(
        &mut self,
        tunnels: &[TunnelStatus],
        interfaces: &[InterfaceStatus],
    ) {
        if tunnels.iter().any(|tunnel| tunnel.stale.is_some()) {
            self.warn("the way to a peer has changed");
        }
        for interface in interfaces {
            let name = &interface.name;
            if interface.mode.is_none() {
                self.warn(&format!(
                    "{name} is gone or was made again, or its XDP program was detached"
                ));
            }
        }
    }

    /// What the host has that does not fit.
    pub(super) fn look_at_host(
        &mut self,
        tunnels: &[TunnelStatus],
        interfaces: &[InterfaceStatus],
        next_hops: &[NextHop],
    ) -> Result<(), BpfError> {
        self.look_for_losses()?;
        let present = self.present(interfaces)?;
        self.look_for_changed_addresses(&present)?;
        let underlays = self.underlays(next_hops)?;
        self.look_for_changed_drivers(&present, interfaces)?;
        self.look_for_hidden_tags(&present)?;
        self.warnings
            .extend(offloads::warnings(&present, &underlays));
        self.look_for_stacking(&present, interfaces, &underlays)?;
        self.look_for_narrow_paths(tunnels, next_hops);
        self.warnings.extend(policies::warning()?);
        Ok(())
    }

    /// What the kernel has heard of the path to a peer: that something on it carries less than the interface does.
    fn look_for_narrow_paths(&mut self, tunnels: &[TunnelStatus], next_hops: &[NextHop]) {
        for tunnel in tunnels {
            // an error is told of as `stale`
            let way = self.netlink.way(tunnel.remote, Some(tunnel.local));
            let outer = next_hops
                .get(tunnel.number as usize)
                .and_then(|entry| encapsulation::outer_length(entry.encapsulation));
            let (Some(carries), Some(outer)) = (way.ok().and_then(|way| way.mtu), outer) else {
                continue;
            };
            let fits = carries.saturating_sub(outer as u32);
            if tunnel.mtu > fits {
                self.warnings.push(format!(
                    "tunnel {}: the path to {} carries packets of {carries} bytes, and bigger ones are lost on it: set \
                     `mtu = {fits}` at both ends",
                    tunnel.name, tunnel.remote
                ));
            }
        }
    }

    /// The interfaces that are still there.
    fn present(&mut self, statuses: &[InterfaceStatus]) -> Result<Interfaces, BpfError> {
        let mut interfaces = Interfaces::new();
        for status in statuses {
            let interface = self
                .netlink
                .interface_by_index(status.index)
                .during(|| format!("look up interface {}", status.name))?;
            interfaces.extend(interface.map(|interface| (interface.index, interface)));
        }
        Ok(interfaces)
    }

    /// Whether interfaces take frames from XDP may change at any time: a veth's does with what its other end has.
    fn look_for_changed_drivers(
        &mut self,
        interfaces: &Interfaces,
        statuses: &[InterfaceStatus],
    ) -> Result<(), BpfError> {
        let mut now = Transmit::query(interfaces)?;
        now.update(interfaces, &self.manifest.interfaces)?;
        for status in statuses
            .iter()
            .filter(|status| interfaces.contains_key(&status.index))
        {
            let name = &status.name;
            match (status.transmit, now.needs_tc(status.index)) {
                ("xdp", true) => self.warn(&format!(
                    "{name} takes no frames from XDP any more (a veth whose other end has lost XDP or GRO?), and they are \
                     lost"
                )),
                ("tc", false) => self.warn(&format!(
                    "{name} takes frames from XDP now, which is faster, and is not used so"
                )),
                _ => {}
            }
        }
        Ok(())
    }

    /// The tunnels, as far as interfaces matter to them.
    fn underlays(&self, next_hops: &[NextHop]) -> Result<Vec<Underlay>, BpfError> {
        let tunnels = maps::all(&self.maps.tunnels()?, "TUNNELS")?;
        Ok(tunnels
            .iter()
            .filter(|tunnel| tunnel.next_hop != next_hop_id::NONE)
            .map(|tunnel| Underlay {
                tunnel: next_hops
                    .get(tunnel.next_hop as usize)
                    .map_or_else(String::new, |entry| maps::text(&entry.name)),
                interface: tunnel.interface,
                vlan: tunnel.vlan,
            })
            .collect())
    }

    /// So can VLANs be made and removed.
    fn look_for_hidden_tags(&mut self, interfaces: &Interfaces) -> Result<(), BpfError> {
        let entries = self.maps.interfaces()?;
        for interface in interfaces.values() {
            let flags = maps::access(
                entries.get(&interface.index, 0),
                "INTERFACES",
                interface.index,
            )
            .map_or(0, |entry| entry.flags);
            let name = &interface.name;
            let known = flags & interface::HIDDEN_TAGS != 0;
            match (known, offloads::hides_vlan_tags(interface)) {
                (false, true) => self.warnings.push(format!(
                    "{name} has VLANs now, and frames may come without their tags: what hosts of a VLAN send enters the mesh \
                     past the rules of the VLAN's device: load again"
                )),
                (true, false) => self.warnings.push(format!(
                    "{name} has no VLANs any more whose tags are hidden, and XDP could carry its plain frames: load again to \
                     use it"
                )),
                _ => {}
            }
        }
        Ok(())
    }

    /// Interfaces become members of others, or get members.
    fn look_for_stacking(
        &mut self,
        interfaces: &Interfaces,
        statuses: &[InterfaceStatus],
        underlays: &[Underlay],
    ) -> Result<(), BpfError> {
        let tunnels: Vec<(String, u32)> = underlays
            .iter()
            .map(|underlay| (underlay.tunnel.clone(), underlay.interface))
            .collect();
        let stacking = Stacking::query(&mut self.netlink)?;
        self.warnings.extend(stacking.warnings(
            interfaces,
            |index| mode_of(statuses, index),
            &tunnels,
            self.manifest.settings.device,
        ));
        Ok(())
    }
}

fn mode_of(statuses: &[InterfaceStatus], index: u32) -> Option<Mode> {
    let mut statuses = statuses.iter();
    statuses.find(|status| status.index == index)?.mode
}
