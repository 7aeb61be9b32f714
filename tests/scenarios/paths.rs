//! traceroute shows every node of the path by its mesh address, for IPv6 and for IPv4.

use anyhow::Result;
use testbed::{internet::IpVersion::*, node::TUNNEL_KINDS, traffic::traceroute};

use crate::meshes::Chain;

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
