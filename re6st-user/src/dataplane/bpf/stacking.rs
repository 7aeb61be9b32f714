//! How interfaces stand on one another: which of them sees a frame first, and as whose.
//!
//! XDP in the driver of a bond (or of a card with another one underneath, as at some clouds) runs on its members and is told
//! the member's index; generic XDP runs where the kernel has given the frame to the upper device.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    error::{BpfError, During as _},
    manifest::Mode,
    resolve::Interfaces,
};
use crate::io::netlink::{Rtnetlink, link::Interface};

/// All interfaces of the network namespace.
#[derive(Debug, Default)]
pub struct Stacking(BTreeMap<u32, Interface>);

impl Stacking {
    /// Asks the kernel.
    pub fn query(netlink: &mut Rtnetlink) -> Result<Self, BpfError> {
        let interfaces = netlink
            .interfaces()
            .during(|| "list the network interfaces".to_owned())?;
        Ok(Self::new(interfaces))
    }

    fn new(interfaces: Vec<Interface>) -> Self {
        let by_index = interfaces.into_iter();
        Self(
            by_index
                .map(|interface| (interface.index, interface))
                .collect(),
        )
    }

    fn members(&self, index: u32) -> impl Iterator<Item = &Interface> {
        let all = self.0.values();
        all.filter(move |interface| interface.controller == Some(index))
    }

    fn controller(&self, interface: &Interface) -> Option<&Interface> {
        self.0.get(&interface.controller?)
    }

    /// Why XDP must not run in the driver of an interface, if so.
    pub fn why_generic(&self, index: u32) -> Option<String> {
        let interface = self.0.get(&index)?;
        let members: Vec<&str> = self
            .members(index)
            .map(|member| member.name.as_str())
            .collect();
        let name = &interface.name;
        match members.as_slice() {
            [] if matches!(interface.kind.as_str(), "bond" | "team") => Some(format!(
                "XDP in the driver sees frames as those of the members {name} will have"
            )),
            [] => None,
            members => Some(format!(
                "XDP in the driver sees frames as those of {name}'s members: {}",
                members.join(", ")
            )),
        }
    }

    /// Why an interface is of no use to us at all, if so.
    pub fn unfit(&self, index: u32) -> Option<String> {
        let interface = self.0.get(&index)?;
        let name = &interface.name;
        if interface.kind == "vrf" {
            return Some(format!(
                "{name} is a VRF, and the mesh has no part in those"
            ));
        }
        let vrf = self
            .controller(interface)
            .filter(|upper| upper.kind == "vrf")?;
        Some(format!(
            "{name} is in the VRF {}, and the mesh has no part in those: its routes and tunnels are in the main table",
            vrf.name
        ))
    }

    /// Those of `attached` that see the frames of an interface before it does.
    pub fn before<'a>(&'a self, upper: u32, attached: &'a Interfaces) -> Vec<&'a Interface> {
        let mut seen = BTreeSet::from([upper]);
        let mut found = Vec::new();
        // with how many VLAN tags its frames come: programs read one
        let mut next = vec![(upper, 0)];
        while let Some((index, tags)) = next.pop() {
            let Some(interface) = self.0.get(&index) else {
                continue;
            };
            let parent = match (interface.parent, interface.kind.as_str()) {
                (Some(_), "vlan") => interface.vlan.map(|(parent, _)| (parent, tags + 1)),
                (Some(parent), "macvlan" | "macvtap" | "ipvlan" | "ipvtap") => Some((parent, tags)),
                _ => None,
            };
            let members = self.members(index).map(|member| (member.index, tags));
            for (lower, tags) in members.chain(parent) {
                if tags <= 1 && seen.insert(lower) {
                    found.extend(attached.get(&lower));
                    next.push((lower, tags));
                }
            }
        }
        found
    }

    /// Why packets of a tunnel do not reach the program on its interface, if so.
    pub fn hidden(&self, tunnel: &str, interface: u32, attached: &Interfaces) -> Option<String> {
        let upper = &self.0.get(&interface)?.name;
        let lower = &self.before(interface, attached).first()?.name;
        Some(format!(
            "tunnel {tunnel}: its packets arrive on {upper}, but XDP on {lower}, which {upper} stands on, sees them first and \
             takes them for another's: leave {lower} out of `interfaces`"
        ))
    }

    /// What is not as the programs need it. `modes`: of the interfaces; `tunnels`: names, and the interfaces whose programs
    /// receive their packets; `device`: the mesh device.
    pub fn warnings(
        &self,
        attached: &Interfaces,
        mode: impl Fn(u32) -> Option<Mode>,
        tunnels: &[(String, u32)],
        device: u32,
    ) -> Vec<String> {
        let of_interfaces = attached.keys().flat_map(|index| {
            let driver = mode(*index) == Some(Mode::Driver);
            let members = self.why_generic(*index).filter(|_| driver);
            let members = members.map(|why| {
                let name = &attached[index].name;
                format!("{name}: {why}. They are dropped (wrong_interface): load again")
            });
            self.unfit(*index).into_iter().chain(members)
        });
        let of_tunnels = tunnels
            .iter()
            .filter_map(|(name, interface)| self.hidden(name, *interface, attached));
        let device = self.0.get(&device);
        let of_device = device.and_then(|device| {
            let upper = self.controller(device)?;
            Some(format!(
                "{} is a member of {} ({}), and packets from the mesh do not reach this host: `ip link set {} nomaster`",
                device.name, upper.name, upper.kind, device.name
            ))
        });
        of_interfaces.chain(of_tunnels).chain(of_device).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Index, name, kind, what it stands on, what it is a member of, VLAN identifier.
    type Row = (
        u32,
        &'static str,
        &'static str,
        Option<u32>,
        Option<u32>,
        Option<u16>,
    );

    /// A host with one of everything.
    const HOST: [Row; 17] = [
        (1, "eth1", "", None, Some(10), None),
        (2, "eth2", "", None, Some(10), None),
        (10, "bond0", "bond", None, None, None),
        (11, "bond0.5", "vlan", Some(10), None, Some(5)),
        (12, "bond0.5.6", "vlan", Some(11), None, Some(6)),
        (20, "eth3", "", None, None, None),
        (21, "macvlan0", "macvlan", Some(20), None, None),
        (22, "ipvlan0", "ipvlan", Some(20), None, None),
        (23, "provider", "vlan", Some(20), None, None),
        (24, "vxlan0", "vxlan", Some(20), None, None),
        (30, "veth0", "veth", Some(31), None, None),
        (31, "veth1", "veth", Some(30), Some(32), None),
        (32, "br0", "bridge", None, None, None),
        (40, "blue", "vrf", None, None, None),
        (41, "eth4", "", None, Some(40), None),
        (50, "bond1", "bond", None, None, None),
        (60, "re6st0", "veth", None, Some(32), None),
    ];

    fn host() -> (Stacking, Interfaces) {
        let interface = |row: Row| {
            let (index, name, kind, parent, controller, vlan) = row;
            Interface {
                index,
                name: name.to_owned(),
                alternative_names: Vec::new(),
                address: Some([0; 6]),
                mtu: 1500,
                up: true,
                carrier: true,
                multicast: true,
                kind: kind.to_owned(),
                parent,
                controller,
                vlan: parent.zip(vlan),
                xdp: None,
            }
        };
        let all: Vec<Interface> = HOST.into_iter().map(interface).collect();
        let attached = all
            .iter()
            .map(|interface| (interface.index, interface.clone()));
        (Stacking::new(all.clone()), attached.collect())
    }

    #[test]
    fn what_sees_the_frames_of_an_interface_before_it() {
        let cases: [(u32, &[&str]); 11] = [
            (1, &[]),
            (10, &["eth1", "eth2"]),
            (11, &["bond0", "eth1", "eth2"]),
            // with two tags below bond0.5, and those are nobody's
            (12, &["bond0.5"]),
            (21, &["eth3"]),
            (22, &["eth3"]),
            // of 802.1ad, so it has no identifier that programs could read
            (23, &[]),
            (24, &[]),
            (30, &[]),
            (32, &["re6st0", "veth1"]),
            (60, &[]),
        ];
        let (stacking, attached) = host();
        for (upper, expected) in cases {
            let mut found: Vec<&str> = stacking
                .before(upper, &attached)
                .into_iter()
                .map(|interface| interface.name.as_str())
                .collect();

            found.sort_unstable();
            assert_eq!(found, expected, "{upper}");
        }
    }

    #[test]
    fn drivers_that_see_members_frames_are_not_for_xdp() {
        let (stacking, _) = host();
        for (index, _, kind, ..) in HOST {
            let expected = matches!(kind, "bond" | "bridge" | "vrf");
            assert_eq!(stacking.why_generic(index).is_some(), expected, "{index}");
        }
        assert!(
            stacking
                .why_generic(10)
                .is_some_and(|why| why.contains("eth1, eth2"))
        );
    }

    #[test]
    fn vrfs_and_their_members_are_unfit() {
        let (stacking, _) = host();
        let unfit = HOST
            .into_iter()
            .filter(|row| stacking.unfit(row.0).is_some());

        assert_eq!(unfit.map(|row| row.1).collect::<Vec<_>>(), ["blue", "eth4"]);
    }

    #[test]
    fn what_has_changed_since_it_was_loaded_is_warned_of() {
        let (stacking, attached) = host();
        let some = |names: &[&str]| -> Interfaces {
            let all = attached.clone().into_iter();
            all.filter(|(_, interface)| names.contains(&interface.name.as_str()))
                .collect()
        };
        let tunnels = [("a".to_owned(), 10)];
        let cases: [(&[&str], Mode, u32, &[&str]); 5] = [
            (&["bond0"], Mode::Generic, 0, &[]),
            (&["bond0"], Mode::Driver, 0, &["wrong_interface"]),
            (&["bond0", "eth2"], Mode::Generic, 0, &["tunnel a"]),
            (&["bond0", "eth4"], Mode::Generic, 0, &["VRF blue"]),
            (
                &["bond0"],
                Mode::Generic,
                60,
                &["re6st0 is a member of br0"],
            ),
        ];
        for (names, mode, device, expected) in cases {
            let warnings = stacking.warnings(&some(names), |_| Some(mode), &tunnels, device);

            assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
            for (warning, part) in warnings.iter().zip(expected) {
                assert!(warning.contains(part), "{warning}");
            }
        }
    }
}
