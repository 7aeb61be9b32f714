//! Checks the `[[tunnel]]` tables.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    ops::RangeInclusive,
};

use ipnet::IpNet;
use toml::{Spanned, Value};

use super::{
    DEFAULT_PORT, Encapsulation, Keys, MAXIMUM_TUNNELS, SourcePort, TUNNEL_INDEX_BITS, Tunnel,
    mistake::Wrong,
    prefix::{family_name, outer_address, refuse_inner},
    raw,
};

/// Bytes of the longest tunnel name: with a zero byte it fills the 16 bytes of a map's entry.
const MAXIMUM_NAME: usize = 15;
/// The smallest MTU of IPv6 (RFC 8200 section 5).
const MINIMUM_MTU_IPV6: i64 = 1280;
/// The smallest MTU of IPv4 (RFC 791 section 3.2).
const MINIMUM_MTU_IPV4: i64 = 68;

/// All tunnels. `carries_ipv6` is whether the mesh has IPv6 addresses at all.
pub fn all(
    raw: &[raw::Tunnel],
    networks: &[IpNet],
    carries_ipv6: bool,
) -> Result<Vec<Tunnel>, Wrong> {
    if let Some(excess) = raw.get(MAXIMUM_TUNNELS) {
        let problem = format!("more than {MAXIMUM_TUNNELS} tunnels; a node keeps about ten");
        return Err(Wrong::hidden("tunnel", &excess.name, problem));
    }
    let mut names = HashSet::with_capacity(raw.len());
    let mut tunnels = Vec::with_capacity(raw.len());
    for raw in raw {
        let tunnel = one(raw, networks, carries_ipv6)?;
        if !names.insert(raw.name.get_ref()) {
            let problem = "another tunnel has this name; names must differ, routes use them";
            return Err(Wrong::value("tunnel: name", &raw.name, problem));
        }
        tunnels.push(tunnel);
    }
    Ok(tunnels)
}

fn one(raw: &raw::Tunnel, networks: &[IpNet], carries_ipv6: bool) -> Result<Tunnel, Wrong> {
    check_name(raw)?;
    let key = |key: &str| format!("tunnel {:?}: {key}", raw.name.get_ref());
    let remote = outer_address(&key("remote"), &raw.remote)?;
    refuse_inner(&key("remote"), &raw.remote, remote, networks)?;
    let encapsulation = match raw.encap.get_ref().as_str() {
        "fou" => Encapsulation::Fou,
        "gre" => Encapsulation::Gre,
        _ => {
            return Err(Wrong::value(
                key("encap"),
                &raw.encap,
                "expected \"fou\" or \"gre\"",
            ));
        }
    };
    if let (Encapsulation::Gre, Some(port)) = (encapsulation, &raw.port) {
        let problem = "plain GRE has no port; remove this line, or write encap = \"fou\"";
        return Err(Wrong::value(key("port"), port, problem));
    }
    Ok(Tunnel {
        name: raw.name.get_ref().clone(),
        remote,
        local: local(raw, remote)?,
        encapsulation,
        keys: Keys::new(
            gre_key(&key("key.local"), &raw.key.local)?,
            gre_key(&key("key.remote"), &raw.key.remote)?,
        ),
        mtu: mtu(raw, encapsulation, remote, carries_ipv6)?,
        source_port: source_port(raw, encapsulation)?,
        remote_port: None,
        of_peer: false,
    })
}

fn check_name(raw: &raw::Tunnel) -> Result<(), Wrong> {
    let name = raw.name.get_ref();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > MAXIMUM_NAME || !name.bytes().all(allowed) {
        let problem = format!("expected 1 to {MAXIMUM_NAME} characters of A-Z a-z 0-9 _ . -");
        return Err(Wrong::value("tunnel: name", &raw.name, problem));
    }
    Ok(())
}

fn local(raw: &raw::Tunnel, remote: IpAddr) -> Result<Option<IpAddr>, Wrong> {
    let Some(text) = &raw.local else {
        return Ok(None);
    };
    let key = format!("tunnel {:?}: local", raw.name.get_ref());
    let local = outer_address(&key, text)?;
    if local.is_ipv4() != remote.is_ipv4() {
        let problem = format!(
            "that is {}, but remote {remote} is {}; both ends need the same",
            family_name(local),
            family_name(remote)
        );
        return Err(Wrong::value(key, text, problem));
    }
    if local == remote {
        let problem = "that is the remote address too; local is this host's own";
        return Err(Wrong::value(key, text, problem));
    }
    Ok(Some(local))
}

/// A GRE key, which no message shows.
fn gre_key(key: &str, value: &Spanned<Value>) -> Result<u32, Wrong> {
    value
        .get_ref()
        .as_integer()
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            let problem = "expected an integer from 0 to 4294967295 (0xffffffff), not quoted";
            Wrong::hidden(key, value, problem)
        })
}

fn mtu(
    raw: &raw::Tunnel,
    encapsulation: Encapsulation,
    remote: IpAddr,
    carries_ipv6: bool,
) -> Result<Option<u16>, Wrong> {
    let Some(mtu) = &raw.mtu else {
        return Ok(None);
    };
    let outer = encapsulation.outer_length(remote);
    let maximum = u16::MAX - outer;
    let (minimum, why) = match carries_ipv6 {
        true => (MINIMUM_MTU_IPV6, "the least that IPv6 needs"),
        false => (MINIMUM_MTU_IPV4, "the least that IPv4 needs"),
    };
    let key = format!("tunnel {:?}: mtu", raw.name.get_ref());
    let problem = format!(
        "expected {minimum} ({why}) to {maximum} (65535 less {outer} bytes of outer headers)"
    );
    ranged(&key, mtu, minimum..=i64::from(maximum), &problem).map(Some)
}

fn source_port(raw: &raw::Tunnel, encapsulation: Encapsulation) -> Result<SourcePort, Wrong> {
    let Some(text) = &raw.source_port else {
        return Ok(SourcePort::default());
    };
    let key = format!("tunnel {:?}: source-port", raw.name.get_ref());
    match (text.get_ref().as_str(), encapsulation) {
        (_, Encapsulation::Gre) => {
            let problem = "plain GRE has no port; remove this line, or write encap = \"fou\"";
            Err(Wrong::value(key, text, problem))
        }
        ("flow", _) => Ok(SourcePort::Flow),
        ("fixed", _) => Ok(SourcePort::Fixed),
        _ => {
            let problem =
                "expected \"flow\" (a hash of the inner flow) or \"fixed\" (the tunnels' port)";
            Err(Wrong::value(key, text, problem))
        }
    }
}

/// The instance's port: the top-level one, which every tunnel's must equal, or the one all tunnels agree on.
pub fn instance_port(top: Option<&Spanned<i64>>, tunnels: &[raw::Tunnel]) -> Result<u16, Wrong> {
    const EXPECTED: &str = "expected a UDP port from 1 to 65535";
    let range = 1..=i64::from(u16::MAX);
    let mut first = match top {
        Some(port) => Some((
            "port".to_owned(),
            ranged("port", port, range.clone(), EXPECTED)?,
        )),
        None => None,
    };
    for tunnel in tunnels {
        let Some(value) = &tunnel.port else {
            continue;
        };
        let key = format!("tunnel {:?}: port", tunnel.name.get_ref());
        let port = ranged(&key, value, range.clone(), EXPECTED)?;
        match &first {
            Some((other, expected)) if *expected != port => {
                let problem = format!(
                    "{other} is {expected}, and an instance has one port for all of its tunnels; make them equal, or \
                     load a second instance"
                );
                return Err(Wrong::value(key, value, problem));
            }
            Some(_) => {}
            None => first = Some((key, port)),
        }
    }
    Ok(first.map_or(DEFAULT_PORT, |(_, port)| port))
}

/// The fewest low bits that tell all keys we accept apart.
pub fn index_bits(raw: &[raw::Tunnel], tunnels: &[Tunnel]) -> Result<u32, Wrong> {
    let mut collision = None;
    for bits in TUNNEL_INDEX_BITS {
        match collision_in(bits, tunnels) {
            None => return Ok(bits),
            Some(pair) => collision = Some(pair),
        }
    }
    let Some((first, second)) = collision else {
        return Ok(*TUNNEL_INDEX_BITS.end());
    };
    let name = &tunnels[first].name;
    let problem = if tunnels[first].keys.local == tunnels[second].keys.local {
        format!("tunnel {name:?} accepts the same key; each tunnel needs a key of its own")
    } else {
        format!(
            "the last {} bits are the same as in the key of tunnel {name:?}, and they must differ; change one of the two",
            TUNNEL_INDEX_BITS.end()
        )
    };
    let key = format!("tunnel {:?}: key.local", tunnels[second].name);
    Err(Wrong::hidden(key, &raw[second].key.local, problem))
}

/// The same of tunnels that were checked one by one; `None` if there are none.
pub fn fewest_bits(tunnels: &[Tunnel]) -> Option<u32> {
    let mut all = TUNNEL_INDEX_BITS;
    all.find(|bits| collision_in(*bits, tunnels).is_none())
}

/// Two tunnels whose keys have the same low bits, by their positions.
fn collision_in(bits: u32, tunnels: &[Tunnel]) -> Option<(usize, usize)> {
    let mask = (1 << bits) - 1;
    let mut seen = HashMap::with_capacity(tunnels.len());
    tunnels.iter().enumerate().find_map(|(position, tunnel)| {
        tunnel.keys.accepted().find_map(|key| {
            let earlier = seen.insert(key & mask, position)?;
            Some((earlier, position))
        })
    })
}

/// A number within bounds.
pub fn ranged<T: TryFrom<i64>>(
    key: &str,
    value: &Spanned<i64>,
    range: RangeInclusive<i64>,
    problem: &str,
) -> Result<T, Wrong> {
    Some(*value.get_ref())
        .filter(|number| range.contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Wrong::value(key, value, problem))
}
