//! Hosts that are elsewhere all of a sudden.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{all_reach_all, joined};
use crate::{
    babel_nodes::Pinging,
    registry::{members::Member, support::RegistryHost},
};

/// Pings go on while something happens to a host, which may be without a way for some seconds.
fn move_under_traffic(change: impl FnOnce(&RegistryHost, &Member) -> Result<()>) -> Result<()> {
    const LOOK: Duration = Duration::from_secs(20);
    let (registry, members) = joined(&["a", "b", "c", "d"], "client-count = 2\n")?;
    let [moving, .., other] = &members[..] else {
        anyhow::bail!("too few nodes");
    };
    let pinging = Pinging::start(&other.host, moving.address()?.parse()?, LOOK)?;

    change(&registry, moving)?;

    let outage = pinging.outage()?;
    println!("without a way for {outage:?}");
    all_reach_all(&members)?;
    assert!(outage < LOOK / 2, "{outage:?}\n{}", moving.said());
    Ok(())
}

#[test]
fn a_host_that_gets_another_address_is_reached_on() -> Result<()> {
    move_under_traffic(|registry, moving| {
        let router = registry.router();
        router.ip(&["address", "add", "198.51.100.1/24", "dev", "a2"])?;
        let host = &moving.host;
        host.ip(&["address", "add", "198.51.100.2/24", "dev", "eth0"])?;
        let addresses = host.ip_json(&["-4", "address", "show", "dev", "eth0"])?;
        let old = addresses[0]["addr_info"][0]["local"]
            .as_str()
            .context("no address")?;
        host.ip(&["address", "delete", &format!("{old}/30"), "dev", "eth0"])?;
        host.ip(&["route", "replace", "default", "via", "198.51.100.1"])?;
        Ok(())
    })
}
