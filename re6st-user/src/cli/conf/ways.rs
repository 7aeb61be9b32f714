//! What the kernel says about this host: its routes and addresses.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrIn6};
use re6st_user::{certificate::network::Network, io::netlink::Route};

/// An address of each family that is far away from everybody: a.root-servers.net. Nothing is sent there.
const FAR_AWAY: [&str; 2] = ["198.41.0.4", "2001:503:ba3e::2:30"];

/// The interfaces that lead to the Internet.
pub fn uplinks() -> Vec<String> {
    let Ok(mut routes) = Route::open() else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for destination in FAR_AWAY.iter().filter_map(|text| text.parse().ok()) {
        let Ok(way) = routes.way(destination, None) else {
            continue;
        };
        if let Ok(Some(interface)) = routes.interface_by_index(way.interface)
            && !names.contains(&interface.name)
        {
            names.push(interface.name);
        }
    }
    names
}

/// Whether this host is outside of the network, by its addresses: exit status 0 if so.
pub fn is_needed(network: Network) -> Result<ExitCode> {
    let interfaces = getifaddrs().context("this host's addresses")?;
    let mut addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        address.as_sockaddr_in6().map(SockaddrIn6::ip)
    });
    Ok(
        match addresses.find(|address| network.prefix().contains(address)) {
            Some(address) => {
                println!("not needed: this host is in {network} as {address}");
                ExitCode::FAILURE
            }
            None => {
                println!("needed: this host is not in {network}");
                ExitCode::SUCCESS
            }
        },
    )
}
