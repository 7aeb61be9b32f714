//! What TLVs of a packet leave behind for later ones (RFC 8966 section 4.5). Reader and writer keep the same state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{address::AddressEncoding, prefix::PrefixOctets};
use crate::babel::{message::NextHop, quantities::RouterId};

/// The state of one packet.
#[derive(Clone, Copy, Debug)]
pub struct ParserState {
    /// Of the updates that follow.
    pub router_id: Option<RouterId>,
    next_hop_ipv4: Option<Ipv4Addr>,
    next_hop_ipv6: Option<Ipv6Addr>,
    default_ipv4: Option<PrefixOctets>,
    default_ipv6: Option<PrefixOctets>,
    default_ipv4_via_ipv6: Option<PrefixOctets>,
}

impl ParserState {
    /// At the start of a packet: the IPv6 next hop is its source, the rest unknown.
    pub const fn new(source: Ipv6Addr) -> Self {
        Self {
            router_id: None,
            next_hop_ipv4: None,
            next_hop_ipv6: Some(source),
            default_ipv4: None,
            default_ipv6: None,
            default_ipv4_via_ipv6: None,
        }
    }

    /// Where updates of this encoding send packets.
    pub fn next_hop(&self, encoding: AddressEncoding) -> Option<NextHop> {
        match encoding {
            AddressEncoding::Ipv4 => self.next_hop_ipv4.map(NextHop::Ipv4),
            AddressEncoding::Ipv6 | AddressEncoding::Ipv4ViaIpv6 => {
                self.next_hop_ipv6.map(NextHop::Ipv6)
            }
            AddressEncoding::Wildcard | AddressEncoding::LinkLocal => None,
        }
    }

    /// A Next Hop TLV. One that cannot be a next hop leaves none: the updates that follow are not about the one before.
    pub const fn set_next_hop(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.next_hop_ipv4 = match is_host(IpAddr::V4(address)) {
                    true => Some(address),
                    false => None,
                }
            }
            IpAddr::V6(address) => {
                self.next_hop_ipv6 = match is_host(IpAddr::V6(address)) {
                    true => Some(address),
                    false => None,
                }
            }
        }
    }

    /// What octets omitted by prefixes of this encoding were; each encoding has its own (RFC 9229 section 4.1).
    pub const fn default_prefix(&self, encoding: AddressEncoding) -> Option<PrefixOctets> {
        match encoding {
            AddressEncoding::Ipv4 => self.default_ipv4,
            AddressEncoding::Ipv6 => self.default_ipv6,
            AddressEncoding::Ipv4ViaIpv6 => self.default_ipv4_via_ipv6,
            AddressEncoding::Wildcard | AddressEncoding::LinkLocal => None,
        }
    }

    /// An update with the flag P.
    pub const fn set_default_prefix(&mut self, encoding: AddressEncoding, octets: PrefixOctets) {
        let default = match encoding {
            AddressEncoding::Ipv4 => &mut self.default_ipv4,
            AddressEncoding::Ipv6 => &mut self.default_ipv6,
            AddressEncoding::Ipv4ViaIpv6 => &mut self.default_ipv4_via_ipv6,
            AddressEncoding::Wildcard | AddressEncoding::LinkLocal => return,
        };
        *default = Some(octets);
    }
}

/// Whether packets can be sent to it at all.
pub const fn is_host(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}
