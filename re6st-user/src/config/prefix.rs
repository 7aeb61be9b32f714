//! Addresses and prefixes in text, with an answer to each common slip.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{mistake::Wrong, raw::Text};
use crate::babel::martian::Martian;

/// Which family an address is of, for people.
pub const fn family_name(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// A prefix whose host bits are zero.
pub fn prefix(key: &str, text: &Text) -> Result<IpNet, Wrong> {
    let prefix = with_length(key, text)?;
    if prefix.addr() != prefix.network() {
        let problem = format!(
            "it has bits set behind its length; write {}",
            prefix.trunc()
        );
        return Err(Wrong::value(key, text, problem));
    }
    refuse_special(key, text, prefix)?;
    Ok(prefix)
}

/// An address of a host with the prefix of its subnet.
pub fn host_in_subnet(key: &str, text: &Text) -> Result<IpNet, Wrong> {
    let host = with_length(key, text)?;
    refuse_special(key, text, host)?;
    if host.max_prefix_len() - host.prefix_len() > 1 {
        if host.addr() == host.network() {
            let problem = format!(
                "that is the subnet, not an address in it; write {}/{} or another one",
                successor(host.addr()),
                host.prefix_len()
            );
            return Err(Wrong::value(key, text, problem));
        }
        if host.addr().is_ipv4() && host.addr() == host.broadcast() {
            let problem = "that is the subnet's broadcast address; choose another one";
            return Err(Wrong::value(key, text, problem));
        }
    }
    Ok(host)
}

/// An outer address: one host that the underlay can reach.
pub fn outer_address(key: &str, text: &Text) -> Result<IpAddr, Wrong> {
    let expected = "expected an IPv4 or IPv6 address, such as \"192.0.2.7\" or \"2001:db8::7\"";
    let address: IpAddr = text
        .get_ref()
        .parse()
        .map_err(|_| Wrong::value(key, text, expected))?;
    refuse_special_outer(key, text, address)?;
    Ok(address)
}

/// Refuses addresses that no underlay routes.
pub fn refuse_special_outer(key: &str, text: &Text, address: IpAddr) -> Result<(), Wrong> {
    match Martian::of(address.into()) {
        Some(kind) => {
            let problem =
                format!("that is {kind}; give the address the Internet (or your LAN) routes");
            Err(Wrong::value(key, text, problem))
        }
        None => Ok(()),
    }
}

/// Refuses outer addresses that the mesh itself leads to.
pub fn refuse_inner(
    key: &str,
    text: &Text,
    address: IpAddr,
    networks: &[IpNet],
) -> Result<(), Wrong> {
    match networks.iter().find(|network| network.contains(&address)) {
        Some(network) => {
            let problem = format!(
                "that is inside the mesh's own network {network}, so the tunnel would run through itself; give the peer's \
                 outer address"
            );
            Err(Wrong::value(key, text, problem))
        }
        None => Ok(()),
    }
}

fn with_length(key: &str, text: &Text) -> Result<IpNet, Wrong> {
    if let Ok(prefix) = text.get_ref().parse() {
        return Ok(prefix);
    }
    let problem = match text.get_ref().parse::<IpAddr>() {
        Ok(address) => {
            let full = IpNet::from(address);
            format!("the prefix length is missing; for this one address alone write {full}")
        }
        Err(_) => "expected a prefix, such as \"2001:db8:42::/48\" or \"10.42.0.0/16\"".to_owned(),
    };
    Err(Wrong::value(key, text, problem))
}

/// Refuses prefixes that no mesh can route. The whole of the Internet (`::/0`) is none of them.
fn refuse_special(key: &str, text: &Text, prefix: IpNet) -> Result<(), Wrong> {
    match Martian::of(prefix) {
        Some(kind) => {
            let problem = format!("that is {kind}, which is never routed; choose another prefix");
            Err(Wrong::value(key, text, problem))
        }
        None => Ok(()),
    }
}

/// Whether a prefix can be the network of a mesh.
///
/// # Errors
/// Whether packets of a mesh may have addresses of a prefix; why not, for people.
pub fn usable(prefix: IpNet) -> Result<(), String> {
    if let Some(kind) = Martian::of(prefix) {
        return Err(format!("that is {kind}, which is never routed"));
    }
    let least = if prefix.addr().is_ipv4() { 8 } else { 16 };
    if prefix.prefix_len() < least {
        let rest = if prefix.prefix_len() == 0 {
            "all of the Internet"
        } else {
            "most of it other people's"
        };
        return Err(format!(
            "that is {rest}, and packets to it would go into the mesh; a mesh's own prefix has at least {least} bits"
        ));
    }
    Ok(())
}

/// The next address. Only used for subnets of at least four addresses.
fn successor(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((u32::from(address) | 1).into()),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) | 1).into()),
    }
}
