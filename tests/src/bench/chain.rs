//! Generator, relay and sink in a row: three hosts, two links.
//!
//! One core belongs to the generator, the other to the relay: it receives, forwards, and empties the far end of its
//! second link as it would finish its network card's transmissions.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use nix::{net::if_::if_nametoindex, unistd::Pid};

use super::{
    core::{self, CORE_OF_RELAY},
    frames::Hop,
};
use crate::{
    host::{Host, Testbed},
    link::{LinkOptions, link},
};

/// The three hosts.
#[derive(Debug)]
pub struct Chain {
    /// Where packets come from.
    pub generator: Host,
    /// What is measured.
    pub relay: Host,
    /// Where packets go.
    pub sink: Host,
    /// The generator's interface.
    pub generator_interface: String,
    /// The relay's interface towards the generator.
    pub relay_first: String,
    /// The relay's interface towards the sink.
    pub relay_second: String,
    /// The sink's interface.
    pub sink_interface: String,
}

/// From the generator to the relay.
pub const FIRST: Hop = Hop {
    from: [2, 0, 0, 0, 1, 1],
    to: [2, 0, 0, 0, 1, 2],
    source: Ipv4Addr::new(10, 0, 1, 1),
    destination: Ipv4Addr::new(10, 0, 1, 2),
};
/// From the relay to the sink.
pub const SECOND: Hop = Hop {
    from: [2, 0, 0, 0, 2, 1],
    to: [2, 0, 0, 0, 2, 2],
    source: Ipv4Addr::new(10, 0, 2, 1),
    destination: Ipv4Addr::new(10, 0, 2, 2),
};
/// IPv6 addresses of the second link.
pub const SECOND_IPV6: [&str; 2] = ["fd00:2::1", "fd00:2::2"];
const FIRST_IPV6: [&str; 2] = ["fd00:1::1", "fd00:1::2"];

impl Chain {
    /// Builds it: neighbours known, no program attached.
    pub fn build(testbed: &Testbed, name: &str) -> Result<Self> {
        // kernel threads are named after interfaces, so these names are no other's
        let unique = |letter: char| format!("{letter}{}{name}", std::process::id());
        let chain = Self {
            generator: testbed.host(&format!("{name}-generator"))?,
            relay: testbed.host(&format!("{name}-relay"))?,
            sink: testbed.host(&format!("{name}-sink"))?,
            generator_interface: unique('g'),
            relay_first: unique('r'),
            relay_second: unique('t'),
            sink_interface: unique('s'),
        };
        join(
            (&chain.generator, &chain.generator_interface),
            (&chain.relay, &chain.relay_first),
            &FIRST,
            FIRST_IPV6,
        )?;
        join(
            (&chain.relay, &chain.relay_second),
            (&chain.sink, &chain.sink_interface),
            &SECOND,
            SECOND_IPV6,
        )?;
        Ok(chain)
    }

    /// Gives the relay's receiving side a thread of its own on its core; which. After the programs are attached, because
    /// attaching makes new threads.
    pub fn pin(&self) -> Result<Vec<Pid>> {
        let threads = core::poll_with_threads(&self.relay, &self.relay_first)?;
        for thread in &threads {
            core::pin(*thread, CORE_OF_RELAY)?;
        }
        Ok(threads)
    }
}

/// Interface index.
pub fn index(host: &Host, interface: &str) -> Result<u32> {
    host.enter(|| if_nametoindex(interface))?
        .with_context(|| format!("no interface {interface} on host {}", host.name()))
}

fn join(left: (&Host, &str), right: (&Host, &str), hop: &Hop, ipv6: [&str; 2]) -> Result<()> {
    link(left, right, LinkOptions::default())?;
    let ends = [
        (left, hop.source, ipv6[0], &hop.from),
        (right, hop.destination, ipv6[1], &hop.to),
    ];
    for ((host, interface), ipv4, ipv6, address) in ends {
        host.ip(&["link", "set", interface, "address", &mac(address)])?;
        host.ip(&["address", "add", &format!("{ipv4}/24"), "dev", interface])?;
        host.ip(&["address", "add", &format!("{ipv6}/64"), "dev", interface])?;
    }
    let [
        (left, ipv4_left, ipv6_left, mac_left),
        (right, ipv4_right, ipv6_right, mac_right),
    ] = ends;
    neighbour(left, &ipv4_right.to_string(), mac_right)?;
    neighbour(left, ipv6_right, mac_right)?;
    neighbour(right, &ipv4_left.to_string(), mac_left)?;
    neighbour(right, ipv6_left, mac_left)
}

/// Tells a host for good what a neighbour's Ethernet address is.
pub fn neighbour(
    (host, interface): (&Host, &str),
    address: &str,
    mac_address: &[u8; 6],
) -> Result<()> {
    let mac_address = mac(mac_address);
    host.ip_batch(&format!(
        "neighbour replace {address} lladdr {mac_address} dev {interface} nud permanent"
    ))
}

/// An Ethernet address as people write it.
pub fn mac(address: &[u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
