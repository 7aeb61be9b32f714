//! Packets between two nodes without a tunnel between them cross a relay, whatever the tunnels are made of, and the
//! relay's kernel does not forward a single one.

use anyhow::Result;
use testbed::{
    internet::IpVersion::*,
    node::{Encapsulation::*, TUNNEL_KINDS, TunnelKind},
    traffic::ping,
};

use crate::meshes::Chain;

fn relays(first: TunnelKind, second: TunnelKind) -> Result<()> {
    let chain = Chain::loaded(first, second)?;
    let before = chain.b.host.forwarded_by_kernel()?;

    for version in [V6, V4] {
        let answers = ping(&chain.a.host, chain.c.address(version), 10, &[])?;
        assert!(
            answers.is_perfect(),
            "{first:?} {second:?} {version:?}: {}",
            answers.text
        );
    }

    assert_eq!(
        chain.b.host.forwarded_by_kernel()?,
        before,
        "{first:?} {second:?}"
    );
    Ok(())
}

#[test]
fn between_tunnels_of_one_kind() -> Result<()> {
    TUNNEL_KINDS
        .into_iter()
        .try_for_each(|kind| relays(kind, kind))
}

#[test]
fn between_tunnels_of_different_kinds() -> Result<()> {
    relays((Fou, V4), (Gre, V6))?;
    relays((Gre, V4), (Fou, V6))?;
    relays((Fou, V6), (Fou, V4))?;
    relays((Gre, V6), (Gre, V4))
}
