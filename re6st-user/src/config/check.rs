//! From what the file says to a [`Config`] without contradictions.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;
use toml::Spanned;

use super::{
    Config, DEFAULT_FIB_BITS, MAXIMUM_INTERFACES, MAXIMUM_PREFIXES, MAXIMUM_ROUTES, Route, Tunnel,
    babel, command, mesh,
    mistake::Wrong,
    names::{interface_names, listed, some_of},
    peer,
    prefix::{family_name, host_in_subnet, prefix, usable},
    raw::{self, Text},
    section, tunnel,
};

/// Checks everything, in the order of the file's sections.
pub fn config(raw: &raw::Config) -> Result<Config, Wrong> {
    let networks = networks(&raw.networks)?;
    let addresses = addresses(&raw.addresses, &networks)?;
    let interfaces = interfaces(&raw.interfaces)?;
    let gateway_interfaces = some_of(
        "gateway-interfaces",
        &raw.gateway_interfaces,
        ("interfaces", &interfaces),
    )?;
    let port = tunnel::instance_port(raw.port.as_ref(), &raw.tunnel)?;
    let carries_ipv6 = networks.iter().any(|network| network.addr().is_ipv6());
    let tunnels = tunnel::all(&raw.tunnel, &networks, carries_ipv6)?;
    let tunnel_index_bits = tunnel::index_bits(&raw.tunnel, &tunnels)?;
    Ok(Config {
        routes: routes(&raw.route, &tunnels, &addresses)?,
        fib_bits: fib_bits(raw.fib_bits.as_ref())?,
        babel: raw.babel.as_ref().map(babel::babel).transpose()?,
        registry: raw.registry.as_ref().map(section::registry).transpose()?,
        peers: peer::all(raw, &networks, port)?,
        mesh: mesh::mesh(raw, &networks, port)?,
        commands: command::commands(raw)?,
        forward: raw.forward,
        ipv6_masquerade: raw.ipv6_masquerade,
        addresses,
        interfaces,
        gateway_interfaces,
        networks,
        port,
        tunnels,
        tunnel_index_bits,
    })
}

fn networks(raw: &Spanned<Vec<Text>>) -> Result<Vec<IpNet>, Wrong> {
    bounded(
        "networks",
        raw,
        MAXIMUM_PREFIXES,
        "the prefix of your mesh, such as \"2001:db8:42::/48\"",
    )?;
    let mut networks = Vec::with_capacity(raw.get_ref().len());
    for text in raw.get_ref() {
        let network = prefix("networks", text)?;
        usable(network).map_err(|why| Wrong::value("networks", text, why))?;
        if networks.contains(&network) {
            return Err(Wrong::value(
                "networks",
                text,
                "it is there twice; remove one",
            ));
        }
        networks.push(network);
    }
    Ok(networks)
}

fn addresses(raw: &Spanned<Vec<Text>>, networks: &[IpNet]) -> Result<Vec<IpNet>, Wrong> {
    bounded(
        "addresses",
        raw,
        MAXIMUM_PREFIXES,
        "this node's address and subnet, such as \"2001:db8:42:1::1/64\"",
    )?;
    let mut addresses: Vec<IpNet> = Vec::with_capacity(raw.get_ref().len());
    for text in raw.get_ref() {
        let address = host_in_subnet("addresses", text)?;
        if !networks.iter().any(|network| network.contains(&address)) {
            let problem = format!(
                "its subnet is in none of networks ({}); correct it, or add its network there",
                listed(networks.iter().map(IpNet::to_string))
            );
            return Err(Wrong::value("addresses", text, problem));
        }
        if addresses.iter().any(|other| other.addr() == address.addr()) {
            return Err(Wrong::value(
                "addresses",
                text,
                "it is there twice; remove one",
            ));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn interfaces(raw: &Spanned<Vec<Text>>) -> Result<Vec<String>, Wrong> {
    bounded(
        "interfaces",
        raw,
        MAXIMUM_INTERFACES,
        "the network interfaces to attach to, such as \"eth0\"",
    )?;
    interface_names("interfaces", raw.get_ref())
}

fn fib_bits(raw: Option<&Spanned<i64>>) -> Result<u8, Wrong> {
    let problem = "expected 1 to 20: the array takes 4 bytes for each of the 2^fib-bits slots";
    raw.map_or(Ok(DEFAULT_FIB_BITS), |bits| {
        tunnel::ranged("fib-bits", bits, 1..=20, problem)
    })
}

fn routes(
    raw: &[raw::Route],
    tunnels: &[Tunnel],
    addresses: &[IpNet],
) -> Result<Vec<Route>, Wrong> {
    if let Some(excess) = raw.get(MAXIMUM_ROUTES) {
        let problem = format!("more than {MAXIMUM_ROUTES} routes");
        return Err(Wrong::hidden("route", &excess.to, problem));
    }
    let names: HashSet<&str> = tunnels.iter().map(|tunnel| tunnel.name.as_str()).collect();
    let own: HashMap<IpNet, IpNet> = addresses
        .iter()
        .flat_map(|address| {
            [
                (address.trunc(), *address),
                (IpNet::from(address.addr()), *address),
            ]
        })
        .collect();
    let mut seen = HashSet::with_capacity(raw.len());
    let mut routes = Vec::with_capacity(raw.len());
    for raw in raw {
        let route = route(raw, &names, tunnels)?;
        if let (None, Some(address)) = (route.from, own.get(&route.to)) {
            let problem = format!(
                "that is this node's own, by addresses = {:?}",
                address.to_string()
            );
            return Err(Wrong::value("route: to", &raw.to, problem));
        }
        if !seen.insert((route.to, route.from)) {
            let from = route
                .from
                .map_or(String::new(), |from| format!(" from {from}"));
            let problem = format!(
                "another route has the destination {}{from}; remove one of the two",
                route.to
            );
            return Err(Wrong::value("route: to", &raw.to, problem));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn route(raw: &raw::Route, names: &HashSet<&str>, tunnels: &[Tunnel]) -> Result<Route, Wrong> {
    let to = prefix("route: to", &raw.to)?;
    let from = match &raw.from {
        Some(text) => Some(source(text, to)?).filter(|from| from.prefix_len() > 0),
        None => None,
    };
    if !names.contains(raw.via.get_ref().as_str()) {
        let known = tunnels.iter().map(|tunnel| tunnel.name.clone());
        let problem = format!("no [[tunnel]] has this name; there are: {}", listed(known));
        return Err(Wrong::value("route: via", &raw.via, problem));
    }
    Ok(Route {
        to,
        from,
        via: raw.via.get_ref().clone(),
    })
}

fn source(text: &Text, to: IpNet) -> Result<IpNet, Wrong> {
    let from = prefix("route: from", text)?;
    if from.addr().is_ipv4() != to.addr().is_ipv4() {
        let problem = format!(
            "that is {}, but to = \"{to}\" is {}; both must be the same",
            family_name(from.addr()),
            family_name(to.addr())
        );
        return Err(Wrong::value("route: from", text, problem));
    }
    Ok(from)
}

/// Between one and `maximum` entries.
fn bounded(
    key: &str,
    list: &Spanned<Vec<Text>>,
    maximum: usize,
    expected: &str,
) -> Result<(), Wrong> {
    match list.get_ref().len() {
        0 => Err(Wrong::hidden(
            key,
            list,
            format!("it is empty; give {expected}"),
        )),
        length if length > maximum => {
            let problem = format!("{length} entries are more than the {maximum} allowed");
            Err(Wrong::hidden(key, list, problem))
        }
        _ => Ok(()),
    }
}
