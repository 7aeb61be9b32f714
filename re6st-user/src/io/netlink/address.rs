//! Addresses of interfaces.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
};

use super::{NetlinkError, Rtnetlink};

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// Whether duplicate address detection (RFC 4862 section 5.4) found that another host has it.
    pub duplicate: bool,
    /// Whether that is still being looked for, so that it cannot be used yet.
    pub tentative: bool,
    /// Whether that was never looked for.
    pub unchecked: bool,
    /// Whether it soon gives way to another one: a temporary one (RFC 8981), or one that is deprecated (RFC 4862 section 5.5.4).
    pub passing: bool,
}

impl Address {
    /// Whether others can be told that this host is there.
    pub const fn is_lasting(&self) -> bool {
        !self.duplicate && !self.tentative && !self.passing
    }
}

pub(super) fn parse(message: &AddressMessage) -> Option<Address> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    // IFA_ADDRESS is the peer's on a point-to-point interface; IPv6 often has nothing else
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = find(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let flags = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Flags(flags) => Some(*flags),
            _ => None,
        });
    let flags = flags.unwrap_or(AddressFlags::empty());
    let ip = local.or(address)?;
    // of an IPv4 address the same bit says that the interface has another one of its subnet
    let temporary = ip.is_ipv6() && flags.contains(AddressFlags::Secondary);
    Some(Address {
        ip,
        duplicate: flags.contains(AddressFlags::Dadfailed),
        tentative: flags.contains(AddressFlags::Tentative)
            && !flags.contains(AddressFlags::Optimistic),
        unchecked: flags.contains(AddressFlags::Nodad),
        passing: temporary || flags.contains(AddressFlags::Deprecated),
    })
}

impl Rtnetlink {
    /// The addresses of an interface.
    pub fn addresses(&mut self, interface: u32) -> Result<Vec<IpAddr>, NetlinkError> {
        let addresses = self.interface_addresses(interface)?;
        Ok(addresses.into_iter().map(|address| address.ip).collect())
    }

    /// The same, with what the kernel knows of each.
    pub fn interface_addresses(&mut self, interface: u32) -> Result<Vec<Address>, NetlinkError> {
        let mut addresses = Vec::new();
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(request, |answer| {
            let RouteNetlinkMessage::NewAddress(message) = answer else {
                return Ok(());
            };
            if message.header.index == interface {
                addresses.extend(parse(&message));
            }
            Ok(())
        })?;
        Ok(addresses)
    }

    /// Gives an interface an address, of that one host alone. No error if it has it.
    pub fn add_address(&mut self, interface: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewAddress(host(interface, address));
        self.change(message, NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Takes an address from an interface. No error if it has not got it.
    pub fn remove_address(&mut self, interface: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelAddress(host(interface, address));
        match self.change(message, 0) {
            Err(error) if error.is(libc::EADDRNOTAVAIL) || error.is(libc::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}

fn host(interface: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = interface;
    message.header.scope = AddressScope::Universe;
    message.header.flags = AddressHeaderFlags::Nodad;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
        AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
    ];
    message
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_of_addresses_that_stay() {
        let v6 = "2001:db8::1".parse().unwrap();
        let v4 = "192.0.2.1".parse().unwrap();
        for (ip, flags, lasting) in [
            (v6, AddressFlags::Permanent, true),
            (v6, AddressFlags::Managetempaddr, true),
            (v6, AddressFlags::Secondary, false),
            (v6, AddressFlags::Deprecated, false),
            (v6, AddressFlags::Tentative, false),
            (v6, AddressFlags::Dadfailed, false),
            (v4, AddressFlags::Secondary, true),
            (v4, AddressFlags::Deprecated, false),
        ] {
            let mut message = AddressMessage::default();
            message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Flags(flags)];
            let found = parse(&message).map(|address| address.is_lasting());
            assert_eq!(found, Some(lasting), "{ip} {flags:?}");
        }
    }
}
