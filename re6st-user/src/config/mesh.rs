//! Checks the section `[mesh]`.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;
use toml::Spanned;

use super::{
    Carrier, LONGEST_TUNNEL_REFRESH, MAXIMUM_MESH_TUNNELS, Mesh, mistake::Wrong,
    peer::address_and_port, raw, raw::Text,
};
use crate::certificate::record::{Country, MAX_ADDRESSES, NoCountry};

/// The section. `port` is the tunnels', which an address has too unless it says otherwise.
pub fn mesh(raw: &raw::Config, networks: &[IpNet], port: u16) -> Result<Option<Mesh>, Wrong> {
    let Some(mesh) = &raw.mesh else {
        return Ok(None);
    };
    if raw.registry.is_none() {
        let problem = "nodes find each other by the registry and by certificates, so [mesh] needs the section [registry], which \
                       `re6st-user conf` writes";
        return Err(Wrong::hidden("mesh", mesh, problem));
    }
    let mesh = mesh.get_ref();
    if let Some(excess) = mesh.ip.get(MAX_ADDRESSES) {
        let problem = format!("more than {MAX_ADDRESSES} addresses");
        return Err(Wrong::value("mesh.ip", excess, problem));
    }
    if mesh.client {
        one_tunnel(mesh)?;
    }
    let ip = mesh.ip.iter();
    let ip = ip.map(|text| address_and_port("mesh.ip", text, networks, port));
    let refresh = mesh.tunnel_refresh.as_ref();
    let longest = LONGEST_TUNNEL_REFRESH.as_secs() as i64;
    let refresh = number("mesh.tunnel-refresh", refresh, 1, longest)?;
    let same_country = mesh.same_country.as_ref().map(|codes| {
        let codes = codes.iter();
        let codes = codes.map(|code| country("mesh.same-country", code));
        codes.collect::<Result<_, _>>()
    });
    Ok(Some(Mesh {
        client_count: count("mesh.client-count", mesh.client_count.as_ref())?,
        max_clients: count("mesh.max-clients", mesh.max_clients.as_ref())?,
        tunnel_refresh: refresh.map(Duration::from_secs),
        ip: ip.collect::<Result<_, _>>()?,
        country: mesh
            .country
            .as_ref()
            .map(|code| country("mesh.country", code))
            .transpose()?,
        disabled: disabled(&mesh.disable_proto)?,
        same_country: same_country.transpose()?,
        client: mesh.client,
        port_mapping: mesh.port_mapping.unwrap_or(true),
    }))
}

/// A client has one tunnel and serves nobody, so no other numbers can be meant.
fn one_tunnel(mesh: &raw::Mesh) -> Result<(), Wrong> {
    let numbers = [
        ("mesh.client-count", &mesh.client_count, 1),
        ("mesh.max-clients", &mesh.max_clients, 0),
    ];
    for (key, number, most) in numbers {
        if let Some(number) = number.as_ref().filter(|number| *number.get_ref() > most) {
            let problem = "a node with client = true has one tunnel and serves nobody: leave out one of the two";
            return Err(Wrong::value(key, number, problem));
        }
    }
    Ok(())
}

fn country(key: &str, code: &Text) -> Result<Country, Wrong> {
    let country = code.get_ref().parse();
    country.map_err(|error: NoCountry| Wrong::value(key, code, error))
}

fn disabled(names: &[Text]) -> Result<BTreeSet<Carrier>, Wrong> {
    let mut disabled = BTreeSet::new();
    for name in names {
        let mut all = Carrier::NAMES.into_iter();
        let found = all.find(|(known, _)| known == name.get_ref());
        let Some((_, carrier)) = found else {
            let problem = "expected \"udp\" (tunnels to IPv4 addresses) or \"udp6\" (to IPv6 addresses): there are no others";
            return Err(Wrong::value("mesh.disable-proto", name, problem));
        };
        disabled.insert(carrier);
        if disabled.len() == Carrier::NAMES.len() {
            let problem = "that leaves nothing that could carry a tunnel; for a node without tunnels leave [mesh] out";
            return Err(Wrong::value("mesh.disable-proto", name, problem));
        }
    }
    Ok(disabled)
}

fn count(key: &str, value: Option<&Spanned<i64>>) -> Result<Option<usize>, Wrong> {
    let count = number(key, value, 0, MAXIMUM_MESH_TUNNELS as i64)?;
    Ok(count.map(|count| count as usize))
}

fn number(
    key: &str,
    value: Option<&Spanned<i64>>,
    least: i64,
    most: i64,
) -> Result<Option<u64>, Wrong> {
    let Some(value) = value else {
        return Ok(None);
    };
    let number = *value.get_ref();
    match (least..=most).contains(&number) {
        true => Ok(Some(number.unsigned_abs())),
        false => Err(Wrong::value(
            key,
            value,
            format!("expected a number from {least} to {most}"),
        )),
    }
}
