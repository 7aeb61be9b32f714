//! Nodes that find each other: nothing in their files says where the others are.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{
    members::Member,
    support::{OPEN, RegistryHost, run},
};

/// So many members on the registry's Internet, which know nothing of each other but the registry.
fn members(names: &[&str], section: &str) -> Result<(RegistryHost, Vec<Member>)> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = names.iter().map(|name| {
        let member = Member::new(&registry, name, &["--anonymous"])?;
        member.configure(|text| {
            let text = text.replace("interfaces = [\"lan0\"]", "interfaces = []");
            format!("{text}\n[mesh]\n{section}")
        })?;
        Ok(member)
    });
    let members = members.collect::<Result<_>>()?;
    Ok((registry, members))
}

fn start(members: &mut [Member]) -> Result<()> {
    members.iter_mut().try_for_each(Member::start)
}

fn all_reach_all(members: &[Member]) -> Result<()> {
    for from in members {
        for to in members {
            if from.host.name() != to.host.name() {
                from.reach(to)?;
            }
        }
    }
    Ok(())
}

#[test]
fn nodes_that_know_the_registry_alone_reach_each_other() -> Result<()> {
    let (_registry, mut members) = members(&["a", "b", "c", "d"], "")?;
    start(&mut members)?;
    all_reach_all(&members)?;
    for member in &members {
        let mesh = &member.controller()?["mesh"];
        assert_eq!(mesh["reachable"], 3, "{mesh}");
        let text = member.status(&[])?;
        assert!(text.contains("mesh: 3 other nodes reachable"), "{text}");
        assert!(text.contains("others are told 203.0.113."), "{text}");
    }
    Ok(())
}

/// Killed, and nothing of it is left but its files, as if the host had started anew.
fn reboot(member: &mut Member) -> Result<()> {
    member.kill()?;
    let bpffs = member.host.bpffs();
    let bpffs = bpffs.to_str().context("a folder's name")?;
    let unload = ["--bpffs", bpffs, "unload", "--instance", "re6st0"];
    run(&member.host, &unload)?.success()?;
    Ok(())
}

#[test]
fn the_mesh_goes_on_without_the_registry_and_without_some_of_its_nodes() -> Result<()> {
    let section = "client-count = 2\ntunnel-refresh = 5\n";
    let (mut registry, mut members) = members(&["a", "b", "c", "d", "e", "f"], section)?;
    start(&mut members)?;
    all_reach_all(&members)?;

    registry.stop(Signal::SIGKILL)?;
    for _ in 0..2 {
        reboot(members.last_mut().context("no node")?)?;
        members.pop();
        all_reach_all(&members)?;
    }
    members.iter_mut().try_for_each(reboot)?;
    start(&mut members)?;
    all_reach_all(&members)?;

    // its tunnels go on, and belong to the mesh again
    let member = members.first_mut().context("no node")?;
    member.kill()?;
    member.start()?;
    let known = member.controller()?["mesh"]["tunnels"].clone();
    assert!(
        known.as_array().is_some_and(|known| !known.is_empty()),
        "{known}"
    );
    all_reach_all(&members)
}
