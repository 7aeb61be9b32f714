//! The neighbour table: which Ethernet address an Internet address on a link has.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

use super::{NetlinkError, Rtnetlink};

impl Rtnetlink {
    /// The Ethernet address of a neighbour; `None` while the kernel does not know it.
    pub fn neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
    ) -> Result<Option<[u8; 6]>, NetlinkError> {
        let request = RouteNetlinkMessage::GetNeighbour(entry(interface, address));
        let message = match self.get(request) {
            Ok(RouteNetlinkMessage::NewNeighbour(message)) => message,
            Ok(_) => return Err(NetlinkError::Answer("not a neighbour".to_owned())),
            Err(error) if error.is(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let valid = matches!(
            message.header.state,
            NeighbourState::Reachable
                | NeighbourState::Stale
                | NeighbourState::Delay
                | NeighbourState::Probe
                | NeighbourState::Permanent
        );
        let address = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
                _ => None,
            });
        Ok(address.filter(|_| valid))
    }

    /// Makes the kernel look for a neighbour (ARP, neighbour discovery), as if a packet were waiting for it.
    pub fn resolve_neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
    ) -> Result<(), NetlinkError> {
        let mut message = entry(interface, address);
        message.header.flags = NeighbourFlags::Use;
        self.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }
}

fn entry(interface: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = interface;
    message.header.state = NeighbourState::None;
    let destination = match address {
        IpAddr::V4(address) => {
            message.header.family = AddressFamily::Inet;
            NeighbourAddress::Inet(address)
        }
        IpAddr::V6(address) => {
            message.header.family = AddressFamily::Inet6;
            NeighbourAddress::Inet6(address)
        }
    };
    message.attributes = vec![NeighbourAttribute::Destination(destination)];
    message
}
