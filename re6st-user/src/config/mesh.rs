//! Checks the section `[mesh]`.

use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::{Mesh, mistake::Wrong, peer::address_and_port, raw};
use crate::certificate::record::{MAX_ADDRESSES, NoCountry};

/// Tunnels of either kind, at most: as many as the data plane has next hops for in the smallest of its tables.
const MOST_TUNNELS: i64 = 200;
/// Seconds between two looks at the tunnels, at most: a day.
const LONGEST_REFRESH: i64 = 86_400;

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
    let ip = mesh.ip.iter();
    let ip = ip.map(|text| address_and_port("mesh.ip", text, networks, port));
    let country = mesh.country.as_ref().map(|text| {
        let country = text.get_ref().parse();
        country.map_err(|error: NoCountry| Wrong::value("mesh.country", text, error))
    });
    let refresh = number(
        "mesh.tunnel-refresh",
        mesh.tunnel_refresh.as_ref(),
        1,
        LONGEST_REFRESH,
    )?;
    Ok(Some(Mesh {
        client_count: number(
            "mesh.client-count",
            mesh.client_count.as_ref(),
            0,
            MOST_TUNNELS,
        )?
        .map(|count| count as usize),
        max_clients: number(
            "mesh.max-clients",
            mesh.max_clients.as_ref(),
            0,
            MOST_TUNNELS,
        )?
        .map(|count| count as usize),
        tunnel_refresh: refresh.map(Duration::from_secs),
        ip: ip.collect::<Result<_, _>>()?,
        country: country.transpose()?,
    }))
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
