//! Offloads of network interfaces that hide tunnels' packets from XDP: what to tell the operator, whose offloads they are.

use super::{
    manifest::Mode,
    resolve::{Interfaces, ResolvedTunnel},
};
use crate::{
    config::Encapsulation,
    io::{netlink::link::Interface, offload},
};

/// A tunnel, as far as offloads matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The tunnel's name.
    pub tunnel: String,
    /// Index of the interface whose XDP program receives its packets.
    pub interface: u32,
    /// VLAN identifier its frames carry there, 0 for none.
    pub vlan: u16,
    /// Whether it is plain GRE.
    pub gre: bool,
}

impl From<&ResolvedTunnel> for Underlay {
    fn from(resolved: &ResolvedTunnel) -> Self {
        Self {
            tunnel: resolved.tunnel.name.clone(),
            interface: resolved.interface,
            vlan: resolved.vlan,
            gre: resolved.tunnel.encapsulation == Encapsulation::Gre,
        }
    }
}

/// What happens to a frame before XDP sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offloads {
    merges_segments: bool,
    strips_vlan_tags: bool,
}

/// Whether an interface has VLANs whose frames may come without their tags: a card takes them out, and a veth's frames carry
/// them or not, as its other end likes.
pub fn hides_vlan_tags(interface: &Interface) -> bool {
    let may_hide =
        interface.kind == "veth" || offload::strips_vlan_tags(&interface.name).unwrap_or(true);
    may_hide && offload::has_vlans(&interface.name)
}

/// Warnings about all interfaces for which `mode` knows how XDP is attached.
pub fn warnings(
    interfaces: &Interfaces,
    mode: impl Fn(u32) -> Option<Mode>,
    underlays: &[Underlay],
) -> Vec<String> {
    interfaces
        .values()
        .filter_map(|interface| Some((interface, mode(interface.index)?)))
        .flat_map(|(interface, mode)| {
            let own: Vec<&Underlay> = underlays
                .iter()
                .filter(|underlay| underlay.interface == interface.index)
                .collect();
            Offloads::of(interface).warnings(&interface.name, mode, &own)
        })
        .collect()
}

impl Offloads {
    /// What the driver says; one that cannot be asked does nothing.
    fn of(interface: &Interface) -> Self {
        Self {
            merges_segments: offload::merges_segments(&interface.name).unwrap_or(false),
            // a veth takes nothing out: whether its frames carry their tags is up to its other end
            strips_vlan_tags: interface.kind != "veth"
                && offload::strips_vlan_tags(&interface.name).unwrap_or(false),
        }
    }

    fn warnings(self, interface: &str, mode: Mode, underlays: &[&Underlay]) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.merges_segments
            && mode == Mode::Generic
            && underlays.iter().any(|underlay| underlay.gre)
        {
            warnings.push(format!(
                "{interface} merges segments (GRO) before generic XDP sees them, and merged packets of gre tunnels cannot be \
                 taken apart: `ethtool -K {interface} gro off`"
            ));
        }
        let tagged: Vec<String> = underlays
            .iter()
            .filter(|underlay| underlay.vlan != 0)
            .map(|underlay| format!("{} (VLAN {})", underlay.tunnel, underlay.vlan))
            .collect();
        if self.strips_vlan_tags
            && let Some((first, others)) = tagged.split_first()
        {
            let more = match others.len() {
                0 => String::new(),
                others => format!(" and of {others} more"),
            };
            warnings.push(format!(
                "{interface} takes VLAN tags out of frames before XDP sees them, and what arrives of tunnel {first}{more} is \
                 dropped (wrong_interface): `ethtool -K {interface} rxvlan off`"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIPS: Offloads = Offloads {
        merges_segments: false,
        strips_vlan_tags: true,
    };
    const MERGES: Offloads = Offloads {
        merges_segments: true,
        strips_vlan_tags: false,
    };

    fn underlay(tunnel: &str, vlan: u16, gre: bool) -> Underlay {
        Underlay {
            tunnel: tunnel.to_owned(),
            interface: 2,
            vlan,
            gre,
        }
    }

    #[test]
    fn hidden_tags_matter_to_tunnels_over_vlans_in_either_mode() {
        let (plain, tagged) = (underlay("a", 0, true), underlay("b", 5, false));
        let another = underlay("c", 6, false);
        for mode in [Mode::Driver, Mode::Generic] {
            let warnings = STRIPS.warnings("eth0", mode, &[&plain, &tagged, &another]);

            assert_eq!(
                warnings,
                [
                    "eth0 takes VLAN tags out of frames before XDP sees them, and what arrives of tunnel b (VLAN 5) and of \
                     1 more is dropped (wrong_interface): `ethtool -K eth0 rxvlan off`"
                ]
            );
            assert!(STRIPS.warnings("eth0", mode, &[&plain]).is_empty());
        }
        assert!(
            MERGES
                .warnings("eth0", Mode::Generic, &[&tagged])
                .is_empty()
        );
    }

    #[test]
    fn merged_segments_matter_to_gre_in_generic_mode() {
        let (gre, fou) = (underlay("a", 5, true), underlay("b", 0, false));

        assert_eq!(MERGES.warnings("eth0", Mode::Generic, &[&gre]).len(), 1);
        assert!(MERGES.warnings("eth0", Mode::Generic, &[&fou]).is_empty());
        assert!(MERGES.warnings("eth0", Mode::Driver, &[&gre]).is_empty());
    }
}
