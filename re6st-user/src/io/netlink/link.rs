//! Network interfaces.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, InfoVlan,
        LinkAttribute, LinkFlags, LinkHeader, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop,
        VlanProtocol, XdpAttached,
    },
};

use super::{NetlinkError, Rtnetlink};

/// What we need to know of an interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Interface index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its other names (`ip link property add ... altname`).
    pub alternative_names: Vec<String>,
    /// Ethernet address; `None` for what is not Ethernet.
    pub address: Option<[u8; 6]>,
    /// In bytes.
    pub mtu: u32,
    /// Whether it is set up.
    pub up: bool,
    /// Whether it is up and its link is there.
    pub carrier: bool,
    /// Whether it carries packets to groups.
    pub multicast: bool,
    /// What kind of virtual device it is (`veth`, `vlan`, ...), empty for others.
    pub kind: String,
    /// The device it stands on (of a veth: its other end), where that is in the same network namespace.
    pub parent: Option<u32>,
    /// The bridge, bond, team or VRF it is a member of.
    pub controller: Option<u32>,
    /// The device a VLAN device (of 802.1Q) stands on, and its VLAN identifier.
    pub vlan: Option<(u32, u16)>,
    /// The XDP program attached to it.
    pub xdp: Option<AttachedXdp>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// The program's id in the kernel.
    pub program: u32,
    /// Whether it runs in generic mode.
    pub generic: bool,
}

impl Interface {
    /// Whether it has a name, be it one of its alternative names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alternative_names.iter().any(|other| other == name)
    }

    /// Whether its frames arrive on members of it, where the kernel takes VLAN tags out of them.
    pub fn is_of_members(&self) -> bool {
        matches!(self.kind.as_str(), "bond" | "team" | "bridge")
    }
}

impl Rtnetlink {
    /// An interface by any of its names; `None` if there is none.
    pub fn interface(&mut self, name: &str) -> Result<Option<Interface>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.get_interface(message)
    }

    /// An interface by index; `None` if there is none.
    pub fn interface_by_index(&mut self, index: u32) -> Result<Option<Interface>, NetlinkError> {
        // the kernel takes these for a mistake; ours come out of maps
        if index == 0 || i32::try_from(index).is_err() {
            return Ok(None);
        }
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.get_interface(message)
    }

    /// All interfaces of the network namespace.
    pub fn interfaces(&mut self) -> Result<Vec<Interface>, NetlinkError> {
        let mut attempts = 3;
        loop {
            let mut interfaces = Vec::new();
            let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
            let outcome = self.dump(request, |answer| {
                if let RouteNetlinkMessage::NewLink(message) = answer {
                    interfaces.push(parse(&message));
                }
                Ok(())
            });
            attempts -= 1;
            match outcome {
                // some came or went meanwhile
                Err(error) if error.is(libc::EINTR) && attempts > 0 => {}
                outcome => return outcome.map(|()| interfaces),
            }
        }
    }

    fn get_interface(&mut self, message: LinkMessage) -> Result<Option<Interface>, NetlinkError> {
        match self.get(RouteNetlinkMessage::GetLink(message)) {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(parse(&message))),
            Ok(_) => Err(NetlinkError::Answer("not an interface".to_owned())),
            Err(error) if error.is(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a veth pair, both ends without neighbour resolution, without addresses of their own making, and down.
    pub fn create_veth(
        &mut self,
        name: &str,
        address: [u8; 6],
        peer: &str,
        mtu: u32,
    ) -> Result<(), NetlinkError> {
        let mut other = end(peer, None, mtu);
        other.header.interface_family = Default::default();
        let mut message = end(name, Some(address), mtu);
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
        ]));
        self.change(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// No IPv6 address of the kernel's own making on an interface.
    pub fn set_no_link_local(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)],
        )])];
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Sets an interface up.
    pub fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Gives an interface another name. Where the kernel refuses that while it is up, it is down afterwards.
    pub fn rename(&mut self, index: u32, name: &str) -> Result<(), NetlinkError> {
        let message = |attributes: &[LinkAttribute], change_mask| {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.header.change_mask = change_mask;
            message.attributes = attributes.to_vec();
            RouteNetlinkMessage::SetLink(message)
        };
        let called = [LinkAttribute::IfName(name.to_owned())];
        match self.change(message(&called, LinkFlags::empty()), 0) {
            Err(error) if error.is(libc::EBUSY) => {
                self.change(message(&[], LinkFlags::Up), 0)?;
                self.change(message(&called, LinkFlags::empty()), 0)
            }
            outcome => outcome,
        }
    }

    /// Sets an interface's MTU, in bytes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::Mtu(mtu)];
        self.change(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Deletes an interface. A veth's other end goes too. No error if there is none.
    pub fn delete_interface(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.is(libc::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// Tries the old way to attach an XDP program, only to hear why the driver refuses: a BPF link's refusal comes without
    /// words. Should it succeed, it is undone.
    pub fn why_no_driver_xdp(&mut self, index: u32, program: i32) -> Option<NetlinkError> {
        const UPDATE_IF_NOEXIST: u32 = 1;
        const DRIVER: u32 = 4;
        let message = |program| {
            let mut message = LinkMessage::default();
            message.header.index = index;
            message.attributes = vec![LinkAttribute::Xdp(vec![
                LinkXdp::Fd(program),
                LinkXdp::Flags(if program < 0 {
                    DRIVER
                } else {
                    DRIVER | UPDATE_IF_NOEXIST
                }),
            ])];
            RouteNetlinkMessage::SetLink(message)
        };
        let error = self.change(message(program), 0).err();
        if error.is_none() {
            return self.change(message(-1), 0).err();
        }
        error
    }
}

fn end(name: &str, address: Option<[u8; 6]>, mtu: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header = LinkHeader::default();
    message.header.flags = LinkFlags::Noarp;
    // no multicast either: the kernel would announce its groups to the mesh
    message.header.change_mask = LinkFlags::Noarp | LinkFlags::Multicast;
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
    ];
    if let Some(address) = address {
        message
            .attributes
            .push(LinkAttribute::Address(address.to_vec()));
    }
    message
}

pub(super) fn parse(message: &LinkMessage) -> Interface {
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        alternative_names: Vec::new(),
        address: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message
            .header
            .flags
            .contains(LinkFlags::Up | LinkFlags::LowerUp),
        multicast: message.header.flags.contains(LinkFlags::Multicast),
        kind: String::new(),
        parent: None,
        controller: None,
        vlan: None,
        xdp: None,
    };
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let mut elsewhere = false;
    let mut vlan = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Address(bytes) if ethernet => {
                interface.address = bytes.as_slice().try_into().ok();
            }
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Link(index) => interface.parent = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Controller(index) => interface.controller = Some(*index),
            LinkAttribute::PropList(properties) => {
                interface.alternative_names = alternative_names(properties);
            }
            LinkAttribute::Xdp(attributes) => interface.xdp = attached_xdp(attributes),
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => interface.kind = kind.to_string(),
                        LinkInfo::Data(InfoData::Vlan(attributes)) => {
                            vlan = vlan_identifier(attributes);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if elsewhere {
        interface.parent = None;
    }
    interface.vlan = interface.parent.zip(vlan);
    interface
}

fn alternative_names(properties: &[Prop]) -> Vec<String> {
    let names = properties.iter().filter_map(|property| match property {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Of 802.1Q: the programs do not know the tags of other protocols, such as 802.1ad.
fn vlan_identifier(attributes: &[InfoVlan]) -> Option<u16> {
    let known = attributes
        .iter()
        .all(|attribute| !matches!(attribute, InfoVlan::Protocol(protocol) if *protocol != VlanProtocol::Ieee8021Q));
    let identifier = attributes.iter().find_map(|attribute| match attribute {
        InfoVlan::Id(id) => Some(*id),
        _ => None,
    });
    identifier.filter(|_| known)
}

fn attached_xdp(attributes: &[LinkXdp]) -> Option<AttachedXdp> {
    let program = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
        _ => None,
    })?;
    let generic = attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkXdp::Attached(XdpAttached::SocketBuffer)));
    Some(AttachedXdp { program, generic })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what it wants by stopping")]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_no_interface_can_have_finds_none() {
        let mut netlink = Rtnetlink::open().unwrap();
        assert!(netlink.interface_by_index(1).unwrap().is_some(), "lo");
        for index in [0, 1 << 30, 1 << 31, u32::MAX] {
            assert!(
                netlink.interface_by_index(index).unwrap().is_none(),
                "{index}"
            );
        }
    }
}
