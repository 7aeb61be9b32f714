//! The ways of packets: every node of the path shows by its mesh address, for IPv6 and for IPv4; and outer packets leave
//! from an address that peers can know.

use std::time::Duration;

use anyhow::Result;
use testbed::{
    cleanup::wait_until,
    internet::IpVersion::*,
    node::{Encapsulation::*, TUNNEL_KINDS},
    traffic::traceroute,
};

use crate::{babel_nodes::assert_reaches, meshes::Chain};

#[test]
fn traceroute_shows_every_node_by_its_mesh_address() -> Result<()> {
    let [first, second, ..] = TUNNEL_KINDS;
    let chain = Chain::loaded(first, second)?;
    for version in [V6, V4] {
        let path = traceroute(&chain.a.host, chain.c.address(version))?;

        let expected = [&chain.b, &chain.c].map(|node| Some(node.address(version)));
        assert_eq!(path, expected, "{version:?}");
    }
    Ok(())
}

#[test]
fn tunnels_do_not_leave_from_temporary_addresses() -> Result<()> {
    let chain = Chain::new((Fou, V6), (Gre, V6))?;
    let (host, uplink) = (&chain.a.host, &chain.a.uplink);
    host.set_sysctl("net.ipv6.conf.eth0.use_tempaddr", "2")?;
    let lasting = format!("{}/64", uplink.ipv6);
    host.ip(&["address", "change", &lasting, "dev", "eth0", "mngtmpaddr"])?;
    // what this host's own connections leave from now
    let peer = chain.b.uplink.ipv6.to_string();
    let temporary = || {
        let route = host.ip(&["-6", "route", "get", &peer]);
        route.is_ok_and(|route| !route.contains(&format!("src {} ", uplink.ipv6)))
    };
    assert!(wait_until(Duration::from_secs(10), temporary));

    chain.load()?;

    for version in [V6, V4] {
        assert_reaches(host, chain.c.address(version), 3);
    }
    Ok(())
}
