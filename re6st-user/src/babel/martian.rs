//! Prefixes that nobody may announce: their addresses mean something to one host or one link alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::counters::Counters;
use crate::route::RouteKey;

/// Why a prefix is not routed. Displayed as what its addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Martian {
    /// `::`, `0.0.0.0` (RFC 4291 section 2.5.2).
    #[error("the unspecified address")]
    Unspecified,
    /// `::1`, `127.0.0.0/8` (RFC 4291 section 2.5.3, RFC 1122 section 3.2.1.3).
    #[error("a loopback address")]
    Loopback,
    /// `fe80::/10`, `169.254.0.0/16` (RFC 4291 section 2.5.6, RFC 3927 section 2.7).
    #[error("a link-local address")]
    LinkLocal,
    /// `ff00::/8`, `224.0.0.0/4` (RFC 4291 section 2.7, RFC 1112 section 4).
    #[error("a multicast address")]
    Multicast,
    /// `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
    #[error("an IPv4 address in IPv6 clothes")]
    Mapped,
    /// `0.0.0.0/8` (RFC 1122 section 3.2.1.3).
    #[error("an address of \"this network\"")]
    ThisNetwork,
    /// `240.0.0.0/4` (RFC 1112 section 4), `::/96` (RFC 4291 section 2.5.5.1).
    #[error("a reserved address")]
    Reserved,
}

/// The first that a prefix lies in decides.
const TABLE: [(IpAddr, u8, Martian); 13] = [
    (v6(0, 0), 128, Martian::Unspecified),
    (v6(0, 1), 128, Martian::Loopback),
    (v6(0, 0xffff_0000_0000), 96, Martian::Mapped),
    (v6(0, 0), 96, Martian::Reserved),
    (v6(0xfe80 << 48, 0), 10, Martian::LinkLocal),
    (v6(0xff00 << 48, 0), 8, Martian::Multicast),
    (v4(0, 0), 32, Martian::Unspecified),
    (v4(0, 0), 8, Martian::ThisNetwork),
    (v4(127, 0), 8, Martian::Loopback),
    (v4(169, 254), 16, Martian::LinkLocal),
    (v4(224, 0), 4, Martian::Multicast),
    (v4(240, 0), 4, Martian::Reserved),
    // both of them
    (v4(224, 0), 3, Martian::Reserved),
];

const fn v6(high: u64, low: u64) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits((high as u128) << 64 | low as u128))
}

const fn v4(first: u8, second: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(first, second, 0, 0))
}

impl Martian {
    /// Why nobody may announce a prefix, as far as its bits tell. Prefixes that also hold other addresses, such as that of a
    /// default route, are none.
    pub fn of(prefix: IpNet) -> Option<Self> {
        let holds = |(address, length, _): &&(IpAddr, u8, Self)| {
            IpNet::new(*address, *length).is_ok_and(|martian| martian.contains(&prefix))
        };
        TABLE.iter().find(holds).map(|(_, _, why)| *why)
    }

    /// Counts what was refused for this.
    const fn counter(self, counters: &mut Counters) -> &mut u64 {
        match self {
            Self::Unspecified => &mut counters.refused_unspecified,
            Self::Loopback => &mut counters.refused_loopback,
            Self::LinkLocal => &mut counters.refused_link_local,
            Self::Multicast => &mut counters.refused_multicast,
            Self::Mapped => &mut counters.refused_mapped,
            Self::ThisNetwork | Self::Reserved => &mut counters.refused_reserved,
        }
    }
}

/// Whether nobody may announce a route, which is counted then.
pub(super) fn is_refused(route: &RouteKey, counters: &mut Counters) -> bool {
    let from = || route.from().and_then(Martian::of);
    let why = Martian::of(route.to()).or_else(from);
    if let Some(why) = why {
        *why.counter(counters) += 1;
    }
    why.is_some()
}
