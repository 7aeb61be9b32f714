//! From nothing to a mesh.

use anyhow::Result;
use testbed::link::{LinkOptions, link};

use super::{all_reach_all, joined, members, reboot, start, wait_for_ways};

/// Names of this many hosts.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n{number}")).collect()
}

#[test]
fn nodes_that_know_the_registry_alone_reach_each_other() -> Result<()> {
    let (_registry, members) = joined(&["a", "b", "c", "d"], "")?;
    for member in &members {
        let text = member.status(&[])?;
        assert!(text.contains("mesh: 3 other nodes reachable"), "{text}");
        assert!(text.contains("others are told 203.0.113."), "{text}");
    }
    Ok(())
}

/// RE6ST_NODES makes it larger.
#[test]
fn twelve_nodes_reach_each_other() -> Result<()> {
    let count = std::env::var("RE6ST_NODES").ok();
    let names = names(count.map_or(Ok(12), |count| count.parse())?);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_registry, members) = joined(&names, "client-count = 4\nmax-clients = 8\n")?;
    for member in &members {
        let tunnels = &member.controller()?["mesh"]["tunnels"];
        let up = tunnels.as_array().into_iter().flatten();
        let up: Vec<_> = up.filter(|tunnel| tunnel["is-up"] == true).collect();
        let served = up.iter().filter(|tunnel| tunnel["owner"] == "peer");
        assert!(!up.is_empty() && served.count() <= 8, "{tunnels}");
    }
    Ok(())
}

/// Three nodes on one switch, whose uplinks are unplugged and which start again then.
#[test]
fn nodes_on_a_lan_without_an_uplink_have_each_other() -> Result<()> {
    let (registry, mut members) = members(&["a", "b", "c"], "")?;
    let switch = registry.newcomer("switch")?;
    switch.ip_batch("link add br0 type bridge mcast_snooping 0\nlink set br0 up")?;
    for member in &members {
        let port = &format!("to-{}", member.host.name());
        link(
            (&member.host, "lan0"),
            (&switch, port),
            LinkOptions::default(),
        )?;
        switch.ip(&["link", "set", port, "master", "br0"])?;
        member.configure(|text| text.replace("interfaces = []", "interfaces = [\"lan0\"]"))?;
    }
    start(&mut members)?;
    // they have the keys of the network's MAC by then
    all_reach_all(&members)?;

    for member in &mut members {
        member.host.ip(&["link", "set", "eth0", "down"])?;
        reboot(member)?;
    }
    start(&mut members)?;

    wait_for_ways(&members, 2)?;
    all_reach_all(&members)
}
