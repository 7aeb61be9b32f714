//! At which of its addresses a node is called, and in which order.

use std::net::{IpAddr, SocketAddr};

use super::{Address, Controller};
use crate::{io::netlink::route::Way, mesh::address::is_private};

/// How an address is, seen from this host: the earlier ones are called first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Prospect {
    /// In one of our own subnets: nothing is nearer.
    Neighbouring,
    Public,
    /// Of a LAN that is not ours, most likely: many have the same.
    Private,
    /// There is no way to it now, as to IPv6 without an IPv6 router.
    NoWay,
}

impl Prospect {
    /// None if nobody else can be there: it is this host's.
    fn of(ip: IpAddr, way: Option<&Way>) -> Option<Self> {
        match way {
            None => Some(Self::NoWay),
            Some(way) if way.local => None,
            Some(way) if is_private(ip) && way.gateway.is_none() => Some(Self::Neighbouring),
            Some(_) if is_private(ip) => Some(Self::Private),
            Some(_) => Some(Self::Public),
        }
    }
}

/// In which order to call; what is equally good stays as it was.
fn in_order(
    addresses: &[Address],
    mut prospect: impl FnMut(IpAddr) -> Option<Prospect>,
) -> Vec<SocketAddr> {
    let sockets = addresses.iter().map(|address| address.socket);
    let with = sockets.filter_map(|socket| Some((prospect(socket.ip())?, socket)));
    let mut with: Vec<_> = with.collect();
    with.sort_by_key(|(prospect, _)| *prospect);
    with.into_iter().map(|(_, socket)| socket).collect()
}

impl Controller {
    /// Where to call a node that says, or of which somebody says, that it is there. Never an address of this host, which another
    /// site may have as well, and none inside of the mesh.
    pub(super) fn where_to_call(&mut self, addresses: &[Address]) -> Vec<SocketAddr> {
        let networks = &self.config.networks;
        let netlink = &mut self.host.netlink;
        in_order(addresses, |ip| {
            let ip = ip.to_canonical();
            if networks.iter().any(|network| network.contains(&ip)) {
                return None;
            }
            Prospect::of(ip, netlink.way(ip, None).ok().as_ref())
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    #[test]
    fn the_own_subnet_is_called_first_and_what_there_is_no_way_to_last_and_this_host_never() {
        let way = |local, gateway: Option<&str>| {
            Some(Way {
                interface: 2,
                gateway: gateway.map(|it| it.parse().unwrap()),
                source: None,
                local,
                mtu: None,
            })
        };
        let routed = || way(false, Some("192.168.1.1"));
        let ways = [
            ("2001:db8::7", None),
            ("10.9.9.1", routed()),
            ("192.168.1.5", way(true, None)),
            ("203.0.113.7", routed()),
            ("198.51.100.7", routed()),
            ("192.168.1.7", way(false, None)),
        ];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let addresses = ways
            .iter()
            .map(|(text, _)| Address::udp(SocketAddr::new(ip(text), 4754)));
        let addresses: Vec<Address> = addresses.collect();
        let found = in_order(&addresses, |asked| {
            let (_, way) = ways.iter().find(|(text, _)| ip(text) == asked).unwrap();
            Prospect::of(asked, way.as_ref())
        });
        let found: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        let expected = [
            "192.168.1.7",
            "203.0.113.7",
            "198.51.100.7",
            "10.9.9.1",
            "2001:db8::7",
        ];
        assert_eq!(found, expected.map(ip));
    }
}
