//! Checks the `[[peer]]` tables.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use ipnet::IpNet;

use super::{
    MAXIMUM_PEERS,
    mistake::Wrong,
    prefix::{refuse_inner, refuse_special_outer},
    raw::{self, Text},
};
use crate::certificate::{node_prefix::NodePrefix, static_key::StaticPublicKey};

/// A node of the managed mesh to have a channel with. That it is not this node itself is seen beside its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The name in its certificate.
    pub node: NodePrefix,
    /// Where to reach it; without one it comes to us.
    pub address: Option<SocketAddr>,
    /// Its public X25519 key; the registry is asked for it if there is none.
    pub key: Option<StaticPublicKey>,
}

/// All peers. `port` is the tunnels', which a peer has too unless its address says otherwise.
pub fn all(raw: &raw::Config, networks: &[IpNet], port: u16) -> Result<Vec<Peer>, Wrong> {
    let (Some(first), None) = (raw.peer.first(), &raw.registry) else {
        return some(&raw.peer, networks, port);
    };
    let problem = "peers know each other by certificates, so [[peer]] needs the section [registry], which `re6st-user conf` \
         writes; a host without a certificate is a [[tunnel]]";
    Err(Wrong::value("peer: node", &first.node, problem))
}

fn some(raw: &[raw::Peer], networks: &[IpNet], port: u16) -> Result<Vec<Peer>, Wrong> {
    if let Some(excess) = raw.get(MAXIMUM_PEERS) {
        let problem = format!("more than {MAXIMUM_PEERS} peers; a node keeps about ten");
        return Err(Wrong::hidden("peer", &excess.node, problem));
    }
    let (mut nodes, mut addresses, mut keys) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut peers = Vec::with_capacity(raw.len());
    for raw in raw {
        let peer = one(raw, networks, port)?;
        let name = raw.node.get_ref();
        if nodes.insert(peer.node, name).is_some() {
            let problem = "another peer has this name; put what is known of it in one [[peer]]";
            return Err(Wrong::value("peer: node", &raw.node, problem));
        }
        let twice = |other: &String| format!("peer {other:?} has it too; each has its own");
        let address = peer.address.zip(raw.address.as_ref());
        if let Some((address, text)) = address
            && let Some(other) = addresses.insert(address, name)
        {
            return Err(Wrong::value(key(raw, "address"), text, twice(other)));
        }
        if let Some((value, text)) = peer.key.zip(raw.key.as_ref())
            && let Some(other) = keys.insert(value, name)
        {
            return Err(Wrong::hidden(key(raw, "key"), text, twice(other)));
        }
        peers.push(peer);
    }
    Ok(peers)
}

/// The path of a key in messages.
fn key(raw: &raw::Peer, key: &str) -> String {
    format!("peer {:?}: {key}", raw.node.get_ref())
}

fn one(raw: &raw::Peer, networks: &[IpNet], port: u16) -> Result<Peer, Wrong> {
    let node = NodePrefix::from_common_name(raw.node.get_ref()).map_err(|error| {
        let problem = format!(
            "{error}; expected the name in the node's certificate, such as \"1/16\": `re6st-user status` there shows it"
        );
        Wrong::value("peer: node", &raw.node, problem)
    })?;
    let address = raw.address.as_ref();
    let address = address.map(|text| address_and_port(&key(raw, "address"), text, networks, port));
    let public_key = raw.key.as_ref();
    Ok(Peer {
        node,
        address: address.transpose()?,
        key: public_key
            .map(|text| static_public_key(&key(raw, "key"), text))
            .transpose()?,
    })
}

pub(super) fn address_and_port(
    key: &str,
    text: &Text,
    networks: &[IpNet],
    port: u16,
) -> Result<SocketAddr, Wrong> {
    let written = text.get_ref();
    if let Some(problem) = unbracketed(written, port) {
        return Err(Wrong::value(key, text, problem));
    }
    let bracketed = written.strip_prefix('[');
    let bracketed = bracketed.and_then(|rest| rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok());
    let address = bracketed.map(IpAddr::V6).or(written.parse().ok());
    let address = match (address, written.parse::<SocketAddr>()) {
        (Some(address), _) => SocketAddr::new(address, port),
        (None, Ok(address)) => address,
        (None, Err(_)) => return Err(Wrong::value(key, text, expected(written))),
    };
    if let SocketAddr::V6(address) = address
        && address.scope_id() != 0
    {
        return Err(Wrong::value(key, text, expected(written)));
    }
    if address.port() == 0 {
        let problem = "expected a UDP port from 1 to 65535";
        return Err(Wrong::value(key, text, problem));
    }
    refuse_special_outer(key, text, address.ip())?;
    refuse_inner(key, text, address.ip(), networks)?;
    Ok(address)
}

/// What is said of an IPv6 address with a port behind it, but without brackets. It may be an address itself, whose last part is
/// like the port.
fn unbracketed(written: &str, port: u16) -> Option<String> {
    let (address, last) = written.rsplit_once(':')?;
    let (address, number) = (address.parse::<Ipv6Addr>().ok()?, last.parse::<u16>().ok()?);
    if written.parse::<Ipv6Addr>().is_err() {
        return Some(format!(
            "an IPv6 address with a port stands in brackets: \"[{address}]:{number}\""
        ));
    }
    (number == port).then(|| {
        format!(
            "is {number} the port? Then write \"[{address}]:{number}\"; if it is a part of the address, \"[{written}]\""
        )
    })
}

/// The peers whose address is one of this host, in words: nobody else is reached there. `is_own` is asked of each.
pub fn at_own_addresses(peers: &[Peer], mut is_own: impl FnMut(IpAddr) -> bool) -> Option<String> {
    let mut own = peers.iter().filter_map(|peer| {
        let address = peer.address.map(|address| address.ip());
        let address = address.filter(|address| is_own(*address))?;
        Some(format!("peer {}: {address}", peer.node.common_name()))
    });
    let first = own.next()?;
    let all = std::iter::once(first).chain(own).collect::<Vec<_>>();
    Some(format!(
        "{} is an address of this host itself; `address` is where the peer is reached",
        all.join(", ")
    ))
}

/// What is said of something that is no address.
fn expected(written: &str) -> String {
    let expected = "expected an address, such as \"192.0.2.7\", or with a port \"192.0.2.7:4754\" or \"[2001:db8::7]:4754\"";
    let mut labels = written.split(':').next().unwrap_or_default().split('.');
    let is_label = |label: &str| {
        label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let last_begins_with_a_letter =
        |label: &str| label.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_name =
        labels.clone().all(is_label) && labels.next_back().is_some_and(last_begins_with_a_letter);
    match is_name && !written.contains("::") {
        true => format!("{expected}; names of hosts are not looked up"),
        false => expected.to_owned(),
    }
}

/// A public key, which no message shows: it might be the private one by mistake.
fn static_public_key(key: &str, text: &Text) -> Result<StaticPublicKey, Wrong> {
    let octets = HEXLOWER_PERMISSIVE.decode(text.get_ref().as_bytes()).ok();
    let octets = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    let Some(octets) = octets else {
        let problem = "expected a string of 64 hexadecimal digits: the public X25519 key in the peer's certificate";
        return Err(Wrong::hidden(key, text, problem));
    };
    let public_key = StaticPublicKey::new(octets);
    if !public_key.is_contributory() {
        let problem = "that is nobody's key: what is agreed on with it would be known to all";
        return Err(Wrong::hidden(key, text, problem));
    }
    Ok(public_key)
}
