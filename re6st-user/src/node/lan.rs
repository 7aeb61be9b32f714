//! Whether Babel can be spoken on a plain interface, and with which addresses. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::io::netlink::{address::Address, link::Interface};

/// What every IPv6 link must carry (RFC 8200 section 5): below it the kernel switches IPv6 off.
const IPV6_MINIMUM_MTU: u32 = 1280;

/// An interface as it is.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The interface.
    pub interface: &'a Interface,
    /// What it is a port of.
    pub controller: Option<&'a Interface>,
    /// Its addresses.
    pub addresses: &'a [Address],
    /// `net.ipv6.conf.INTERFACE.disable_ipv6`.
    pub ipv6_disabled: bool,
}

/// The addresses Babel has on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Of our packets.
    pub link_local: Ipv6Addr,
    /// The next hop of IPv4 routes.
    pub ipv4: Option<Ipv4Addr>,
}

/// Why Babel cannot be spoken on an interface, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is none of that name.
    #[error("there is no such interface: waiting for it")]
    Missing,
    /// Others take its packets.
    #[error(
        "it is a port of {0}, which gets its packets: name {0} in `interfaces` of `[babel]` instead"
    )]
    Port(String),
    /// Its routes are in a table of its own.
    #[error(
        "it is in the VRF {0}, which is not supported: routes are written to the main table only"
    )]
    Vrf(String),
    /// Switched off.
    #[error("it is down: `ip link set {0} up`")]
    Down(String),
    /// No cable.
    #[error("it has no carrier")]
    NoCarrier,
    /// Too small for IPv6.
    #[error("its MTU is {0}, and IPv6 needs 1280")]
    Mtu(u32),
    /// No groups.
    #[error("multicast is switched off there: `ip link set {0} multicast on`")]
    NoMulticast(String),
    /// No IPv6.
    #[error("IPv6 is switched off there: `sysctl net.ipv6.conf.{0}.disable_ipv6=0`")]
    Ipv6Disabled(String),
    /// Another host has its address.
    #[error(
        "another host on the link has its address {0} (duplicate address detection failed): give one of them another"
    )]
    Duplicate(Ipv6Addr),
    /// Duplicate address detection is not over.
    #[error("its address is still being checked for duplicates")]
    Checking,
    /// No source for Babel's packets.
    #[error(
        "it has no link-local IPv6 address: `ip link set {0} addrgenmode eui64`, or add one of fe80::/64"
    )]
    NoLinkLocal(String),
}

/// Which addresses to use: those `in_use` while they are there, else the first that nobody else was `heard` to use, those
/// the kernel has checked for duplicates before others (`fe80::1` on every router of a LAN is not checked).
///
/// # Errors
/// [`Unusable`], the reason that is to be mended first.
pub fn judge(
    seen: Option<Seen<'_>>,
    in_use: Option<Own>,
    heard: impl Fn(Ipv6Addr) -> bool,
) -> Result<Own, Unusable> {
    let seen = seen.ok_or(Unusable::Missing)?;
    check_interface(seen)?;
    let link_local = link_local(seen, in_use.map(|own| own.link_local), heard)?;
    let mut ipv4 = seen
        .addresses
        .iter()
        .filter_map(|address| match address.ip {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
    let kept = in_use.and_then(|own| own.ipv4);
    let ipv4 = match kept {
        Some(kept) if ipv4.clone().any(|address| address == kept) => Some(kept),
        _ => ipv4.next(),
    };
    Ok(Own { link_local, ipv4 })
}

fn check_interface(seen: Seen<'_>) -> Result<(), Unusable> {
    let interface = seen.interface;
    let name = || interface.name.clone();
    match seen.controller {
        Some(controller) if controller.kind == "vrf" => Err(Unusable::Vrf(controller.name.clone())),
        Some(controller) => Err(Unusable::Port(controller.name.clone())),
        None if !interface.up => Err(Unusable::Down(name())),
        None if !interface.carrier => Err(Unusable::NoCarrier),
        None if interface.mtu < IPV6_MINIMUM_MTU => Err(Unusable::Mtu(interface.mtu)),
        None if seen.ipv6_disabled => Err(Unusable::Ipv6Disabled(name())),
        None if !interface.multicast => Err(Unusable::NoMulticast(name())),
        None => Ok(()),
    }
}

fn link_local(
    seen: Seen<'_>,
    in_use: Option<Ipv6Addr>,
    heard: impl Fn(Ipv6Addr) -> bool,
) -> Result<Ipv6Addr, Unusable> {
    let all = || {
        seen.addresses
            .iter()
            .filter_map(|address| match address.ip {
                IpAddr::V6(ip) if ip.is_unicast_link_local() => Some((ip, address)),
                _ => None,
            })
    };
    let best = all()
        .filter(|(_, address)| !address.duplicate && !address.tentative)
        .min_by_key(|(ip, address)| (heard(*ip), Some(*ip) != in_use, address.unchecked));
    if let Some((ip, _)) = best {
        return Ok(ip);
    }
    if all().any(|(_, address)| address.tentative && !address.duplicate) {
        return Err(Unusable::Checking);
    }
    match all().next() {
        Some((ip, _)) => Err(Unusable::Duplicate(ip)),
        None => Err(Unusable::NoLinkLocal(seen.interface.name.clone())),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may end there")]
mod tests {
    use super::*;

    fn interface() -> Interface {
        Interface {
            index: 7,
            name: "lan0".to_owned(),
            address: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            carrier: true,
            multicast: true,
            alternative_names: Vec::new(),
            controller: None,
            parent: None,
            kind: String::new(),
            vlan: None,
            xdp: None,
        }
    }

    /// `fe80::1`, with a letter for each flag: `d`uplicate, `t`entative, `u`nchecked.
    fn address(text: &str) -> Address {
        let (ip, flags) = text.split_once(' ').unwrap_or((text, ""));
        Address {
            ip: ip.parse().unwrap(),
            duplicate: flags.contains('d'),
            passing: false,
            tentative: flags.contains('t'),
            unchecked: flags.contains('u'),
        }
    }

    fn own(link_local: &str, ipv4: Option<&str>) -> Own {
        Own {
            link_local: link_local.parse().unwrap(),
            ipv4: ipv4.map(|address| address.parse().unwrap()),
        }
    }

    #[test]
    fn the_address_is_one_that_works_and_stays() {
        use Unusable::{Checking, Duplicate, NoLinkLocal};
        let a = |text: &str| Ok(own(text, None));
        let duplicate = |text: &str| Err(Duplicate(text.parse().unwrap()));
        for (addresses, in_use, heard, expected) in [
            (&["fe80::a", "fe80::b"][..], None, "", a("fe80::a")),
            (&["fe80::a", "fe80::b"], Some("fe80::b"), "", a("fe80::b")),
            (&["fe80::a", "fe80::b"], Some("fe80::c"), "", a("fe80::a")),
            // one that the kernel has checked rather than one that every router may have
            (&["fe80::1 u", "fe80::b"], None, "", a("fe80::b")),
            (&["fe80::1 u", "fe80::b"], Some("fe80::1"), "", a("fe80::1")),
            (&["fe80::1 u"], None, "", a("fe80::1")),
            // somebody else was heard with it
            (
                &["fe80::1 u", "fe80::b u"],
                Some("fe80::1"),
                "fe80::1",
                a("fe80::b"),
            ),
            (&["fe80::1 u"], Some("fe80::1"), "fe80::1", a("fe80::1")),
            (&["fe80::a dt"], None, "", duplicate("fe80::a")),
            (
                &["fe80::a dt", "fe80::b"],
                Some("fe80::a"),
                "",
                a("fe80::b"),
            ),
            (&["fe80::a t"], None, "", Err(Checking)),
            (&["fe80::a t"], Some("fe80::a"), "", Err(Checking)),
            (&["fe80::a dt", "fe80::b t"], None, "", Err(Checking)),
            (
                &["2001:db8::1"],
                None,
                "",
                Err(NoLinkLocal("lan0".to_owned())),
            ),
            (&[], None, "", Err(NoLinkLocal("lan0".to_owned()))),
        ] {
            let list: Vec<Address> = addresses.iter().map(|text| address(text)).collect();
            let interface = interface();
            let seen = Seen {
                interface: &interface,
                controller: None,
                addresses: &list,
                ipv6_disabled: false,
            };
            let in_use = in_use.map(|text| own(text, None));
            let found = judge(Some(seen), in_use, |ip| ip.to_string() == heard);
            assert_eq!(found, expected, "{addresses:?} {in_use:?} {heard}");
        }
    }

    #[test]
    fn the_ipv4_address_stays_while_it_is_there() {
        for (addresses, in_use, expected) in [
            (&["192.0.2.1", "192.0.2.2"][..], None, Some("192.0.2.1")),
            (
                &["192.0.2.1", "192.0.2.2"],
                Some("192.0.2.2"),
                Some("192.0.2.2"),
            ),
            (&["192.0.2.1"], Some("192.0.2.2"), Some("192.0.2.1")),
            (&[], Some("192.0.2.2"), None),
        ] {
            let addresses = [&["fe80::a"], addresses].concat();
            let list: Vec<Address> = addresses.iter().map(|text| address(text)).collect();
            let interface = interface();
            let seen = Seen {
                interface: &interface,
                controller: None,
                addresses: &list,
                ipv6_disabled: false,
            };
            let in_use = Some(own("fe80::a", in_use));
            let found = judge(Some(seen), in_use, |_| false);
            assert_eq!(found, Ok(own("fe80::a", expected)), "{addresses:?}");
        }
    }

    #[test]
    fn each_hindrance_is_named_whatever_else_is_wrong() {
        let set = |change: fn(&mut Interface)| {
            let mut interface = interface();
            change(&mut interface);
            interface
        };
        let port = |kind: &str| {
            let mut controller = interface();
            (controller.name, controller.kind) = ("x0".to_owned(), kind.to_owned());
            Some(controller)
        };
        let name = || "lan0".to_owned();
        for (interface, controller, ipv6_disabled, expected) in [
            (
                set(|_| {}),
                port("bridge"),
                false,
                Unusable::Port("x0".to_owned()),
            ),
            (
                set(|_| {}),
                port("bond"),
                true,
                Unusable::Port("x0".to_owned()),
            ),
            (
                set(|_| {}),
                port("vrf"),
                false,
                Unusable::Vrf("x0".to_owned()),
            ),
            (
                set(|lan| (lan.up, lan.carrier, lan.mtu) = (false, false, 600)),
                None,
                true,
                Unusable::Down(name()),
            ),
            (
                set(|lan| lan.carrier = false),
                None,
                true,
                Unusable::NoCarrier,
            ),
            (set(|lan| lan.mtu = 1279), None, true, Unusable::Mtu(1279)),
            (set(|_| {}), None, true, Unusable::Ipv6Disabled(name())),
            (
                set(|lan| lan.multicast = false),
                None,
                false,
                Unusable::NoMulticast(name()),
            ),
        ] {
            let seen = Seen {
                interface: &interface,
                controller: controller.as_ref(),
                addresses: &[],
                ipv6_disabled,
            };
            assert_eq!(judge(Some(seen), None, |_| false), Err(expected));
        }
        assert_eq!(judge(None, None, |_| false), Err(Unusable::Missing));
    }
}
