//! What offloads of network interfaces do to frames before XDP sees them; what to tell the operator, whose offloads they are.

use super::resolve::{Interfaces, ResolvedTunnel};
use crate::io::{netlink::link::Interface, offload};

/// A tunnel, as far as offloads matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    /// The tunnel's name.
    pub tunnel: String,
    /// Index of the interface whose XDP program receives its packets.
    pub interface: u32,
    /// VLAN identifier its frames carry there, 0 for none.
    pub vlan: u16,
}

impl From<&ResolvedTunnel> for Underlay {
    fn from(resolved: &ResolvedTunnel) -> Self {
        Self {
            tunnel: resolved.tunnel.name.clone(),
            interface: resolved.interface,
            vlan: resolved.vlan,
        }
    }
}

/// Whether an interface has VLANs whose frames may come without their tags: a card takes them out, and a veth's frames carry
/// them or not, as its other end likes.
pub fn hides_vlan_tags(interface: &Interface) -> bool {
    let may_hide =
        interface.kind == "veth" || offload::strips_vlan_tags(&interface.name).unwrap_or(true);
    may_hide && offload::has_vlans(&interface.name)
}

/// Whether what arrives on an interface may have been merged before XDP sees it: on one that stands on others, and so gets
/// what those have merged. Where XDP is attached itself, in the driver or not, the kernel merges nothing before.
pub fn merges_segments(interface: &Interface) -> bool {
    !matches!(interface.kind.as_str(), "" | "veth" | "tun")
}

/// Warnings about all interfaces that take VLAN tags out of what tunnels need them in.
pub fn warnings(interfaces: &Interfaces, underlays: &[Underlay]) -> Vec<String> {
    interfaces
        .values()
        // a veth takes nothing out: whether its frames carry their tags is up to its other end
        .filter(|interface| {
            interface.kind != "veth" && offload::strips_vlan_tags(&interface.name).unwrap_or(false)
        })
        .filter_map(|interface| {
            let own = underlays
                .iter()
                .filter(|underlay| underlay.interface == interface.index);
            stripped_tags(&interface.name, own)
        })
        .collect()
}

fn stripped_tags<'a>(
    interface: &str,
    underlays: impl Iterator<Item = &'a Underlay>,
) -> Option<String> {
    let tagged: Vec<String> = underlays
        .filter(|underlay| underlay.vlan != 0)
        .map(|underlay| format!("{} (VLAN {})", underlay.tunnel, underlay.vlan))
        .collect();
    let (first, others) = tagged.split_first()?;
    let more = match others.len() {
        0 => String::new(),
        others => format!(" and of {others} more"),
    };
    Some(format!(
        "{interface} takes VLAN tags out of frames before XDP sees them, and what arrives of tunnel {first}{more} is \
         dropped (wrong_interface): `ethtool -K {interface} rxvlan off`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn underlay(tunnel: &str, vlan: u16) -> Underlay {
        Underlay {
            tunnel: tunnel.to_owned(),
            interface: 2,
            vlan,
        }
    }

    #[test]
    fn hidden_tags_matter_to_tunnels_over_vlans() {
        let (plain, tagged, another) = (underlay("a", 0), underlay("b", 5), underlay("c", 6));

        let warning = stripped_tags("eth0", [&plain, &tagged, &another].into_iter());

        assert_eq!(
            warning.as_deref(),
            Some(
                "eth0 takes VLAN tags out of frames before XDP sees them, and what arrives of tunnel b (VLAN 5) and of 1 more \
                 is dropped (wrong_interface): `ethtool -K eth0 rxvlan off`"
            )
        );
        assert_eq!(stripped_tags("eth0", [&plain].into_iter()), None);
    }
}
