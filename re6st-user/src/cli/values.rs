//! What options take: each refusal says what was expected, by an example.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, path::PathBuf, str::FromStr};

use clap::Args;
use ipnet::Ipv4Net;
use re6st_user::{
    certificate::{digest::Fingerprint, network::Network},
    config,
};

/// An address to listen on.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    parse(text, "ADDRESS:PORT, such as [::]:443 or 192.0.2.1:443")
}

/// The IPv6 prefix of a new network.
pub fn network(text: &str) -> Result<Network, String> {
    let network: Network = text.parse().map_err(|error| format!("{error}"))?;
    config::usable(network.prefix().into()).map_err(|why| {
        format!("{why}; a network is a prefix of your own, such as 2001:db8:42::/48 or fd42:1234:5678::/48")
    })?;
    Ok(network)
}

/// The IPv4 prefix of a network.
pub fn ipv4_network(text: &str) -> Result<Ipv4Net, String> {
    let network: Ipv4Net = parse(text, "an IPv4 prefix, such as 10.42.0.0/16")?;
    config::usable(network.into())
        .map_err(|why| format!("{why}; choose another prefix, such as 10.42.0.0/16"))?;
    Ok(network)
}

/// The fingerprint of an authority.
pub fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    parse(
        text,
        "sha256: and 64 hexadecimal digits, as `registry init` has printed it",
    )
}

/// Bits of a node's prefix.
pub fn prefix_bits(text: &str) -> Result<u8, String> {
    number(text, 0..=64)
}

/// Bits that number the nodes' parts of the IPv4 network.
pub fn subnet_bits(text: &str) -> Result<u8, String> {
    number(text, 0..=16)
}

/// How long an authority is valid.
pub fn days(text: &str) -> Result<u32, String> {
    number(text, 1..=36_500)
}

/// The number of a line.
pub fn line(text: &str) -> Result<i64, String> {
    number(text, 0..=i64::MAX)
}

fn number<T: FromStr + PartialOrd + Display>(
    text: &str,
    allowed: RangeInclusive<T>,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| {
        format!(
            "expected a number from {} to {}",
            allowed.start(),
            allowed.end()
        )
    })
}

fn parse<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {expected}"))
}

/// Options of other subcommands: not offered, and refused.
#[derive(Debug, Args)]
pub struct NoDataPlane {
    #[arg(long, hide = true, value_parser = useless)]
    bpffs: Option<PathBuf>,
    #[arg(long, hide = true, value_parser = useless)]
    sockets: Option<PathBuf>,
}

/// An option that means nothing here.
pub fn useless(_: &str) -> Result<PathBuf, String> {
    Err("this subcommand has no use for it".to_owned())
}
