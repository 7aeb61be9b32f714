//! A packet's mark steers the packet, not the tunnel it travels in.

use anyhow::Result;
use testbed::{
    internet::IpVersion::*,
    node::{Encapsulation::*, INSTANCE},
    traffic::ping,
};

use crate::meshes::Chain;

const MARK: &str = "7";
const TABLE: &str = "1007";

/// As a "kill switch" does: what is marked may use the mesh, and nothing else.
#[test]
fn marked_packets_leave_in_unmarked_ones() -> Result<()> {
    for version in [V4, V6] {
        let chain = Chain::loaded((Fou, version), (Fou, version))?;
        let a = &chain.a.host;
        for (family, mesh) in [("-4", "10.42.0.0/16"), ("-6", "2001:db8:42::/48")] {
            a.ip(&[family, "rule", "add", "fwmark", MARK, "lookup", TABLE])?;
            let more = [family, "route", "add", "table", TABLE];
            a.ip(&[&more[..], &[mesh, "dev", INSTANCE]].concat())?;
            a.ip(&[&more[..], &["unreachable", "default"]].concat())?;
        }
        for to in [V6, V4] {
            let answers = ping(a, chain.c.address(to), 3, &["-m", MARK])?;
            assert!(answers.is_perfect(), "{version:?}: {}", answers.text);
        }
        // the rule is in force
        let outside = chain.b.uplink.address(version).to_string();
        let error = a
            .output("ping", &["-c", "1", "-m", MARK, &outside])?
            .failure()?;
        assert!(error.contains("No route to host"), "{error}");
    }
    Ok(())
}
