//! Nodes that take themselves for one another are told apart, and it is said.

use std::time::Duration;

use anyhow::Result;
use testbed::{cleanup::wait_until, internet::IpVersion::*, node::Encapsulation::*};

use crate::{babel_nodes::start, meshes::speaking};

#[test]
fn a_copied_configuration_is_warned_of() -> Result<()> {
    let (_internet, [a, mut b]) = speaking(["a", "b"], &[(Fou, V4)])?;
    let copied = &a.configuration.addresses;
    b.configuration.addresses.clone_from(copied);

    let _controllers = start(&[&a, &b])?;

    for node in [&a, &b] {
        for subnet in ["2001:db8:42:1::/64", "10.42.1.0/24"] {
            let said = || {
                let shown = node.warnings().unwrap_or_default();
                let about =
                    |text: &String| text.starts_with(subnet) && text.contains("another node");
                shown.iter().any(about)
            };
            assert!(
                wait_until(Duration::from_secs(30), said),
                "{subnet}: {:?}",
                node.warnings()?
            );
        }
    }
    Ok(())
}
