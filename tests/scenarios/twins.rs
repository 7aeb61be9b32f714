//! Nodes that take themselves for one another are told apart, and it is said.

use std::time::Duration;

use anyhow::Result;
use testbed::{
    cleanup::wait_until,
    host::Testbed,
    internet::{Internet, IpVersion::*},
    node::{Encapsulation::*, Node, tunnel},
};

use crate::{babel_nodes::start, unreachable_peers::warnings};

#[test]
fn a_copied_configuration_is_warned_of() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut b = Node::new(&testbed, &internet, "b", 2)?;
    tunnel(&mut a, &mut b, (Fou, V4))?;
    b.configuration
        .addresses
        .clone_from(&a.configuration.addresses);
    a.speak_babel(&[]);
    b.speak_babel(&[]);

    let _controllers = start(&[&a, &b])?;

    for node in [&a, &b] {
        for subnet in ["2001:db8:42:1::/64", "10.42.1.0/24"] {
            let said = || {
                let shown = warnings(node).unwrap_or_default();
                let about =
                    |text: &String| text.starts_with(subnet) && text.contains("another node");
                shown.iter().any(about)
            };
            assert!(
                wait_until(Duration::from_secs(30), said),
                "{subnet}: {:?}",
                warnings(node)?
            );
        }
    }
    Ok(())
}
