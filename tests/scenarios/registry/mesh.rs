//! Nodes that find each other: nothing in their files says where the others are.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{
    members::Member,
    support::{OPEN, RegistryHost, node_file, run, wait_for},
};

/// So many members on the registry's Internet, which know nothing of each other but the registry.
fn members(names: &[&str], section: &str) -> Result<(RegistryHost, Vec<Member>)> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let members = names.iter().map(|name| {
        let member = Member::of_mesh(&registry, name, &["--anonymous"])?;
        member.configure(|text| {
            let text = text.replace("interfaces = [\"lan0\"]", "interfaces = []");
            format!("{text}{section}")
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
        // it counts them when something happens to it
        wait_for("the count", || {
            Ok(member.controller()?["mesh"]["reachable"] == 3)
        })?;
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

#[test]
fn the_mesh_follows_its_file_and_the_networks_parameters_while_the_node_runs() -> Result<()> {
    let (registry, mut members) = members(&["a", "b", "c"], "")?;
    let last = members.last().context("no node")?;
    let with_mesh = node_file(&last.host, "re6st0.toml")?;
    let (without, _) = with_mesh.split_once("[mesh]").context("no section")?;
    last.configure(|_| without.to_owned())?;
    start(&mut members)?;
    let last = members.last().context("no node")?;
    assert!(last.controller()?["mesh"].is_null());

    last.configure(|_| with_mesh.clone())?;
    let said = last.reload()?;
    assert!(said.contains("[mesh]: added"), "{said}");
    all_reach_all(&members)?;

    let counts = |member: &Member| -> Result<[Option<u64>; 2]> {
        let mesh = &member.controller()?["mesh"];
        Ok(["client-count", "max-clients"].map(|key| mesh[key].as_u64()))
    };
    registry.set(&["client-count=1", "max-clients=7"])?;
    for member in &members {
        wait_for("the network's parameters", || {
            Ok(counts(member)? == [Some(1), Some(7)])
        })?;
    }
    last.configure(|_| format!("{with_mesh}client-count = 2\n"))?;
    let said = last.reload()?;
    assert!(said.contains("[mesh]: changed"), "{said}");
    assert_eq!(counts(last)?, [Some(2), Some(7)], "the file wins");

    last.configure(|_| without.to_owned())?;
    let said = last.reload()?;
    assert!(said.contains("[mesh]: removed"), "{said}");
    wait_for(
        "the mesh to go",
        || Ok(last.controller()?["mesh"].is_null()),
    )
}

#[test]
fn a_client_reaches_everybody_by_one_tunnel_and_nobody_is_told_where_it_is() -> Result<()> {
    let (_registry, mut members) = members(&["a", "b", "c"], "")?;
    let client = members.last().context("no node")?;
    client.configure(|text| format!("{text}client = true\n"))?;
    start(&mut members)?;
    all_reach_all(&members)?;

    let client = members.last().context("no node")?;
    // those that led into the network and are too many are drained
    wait_for("one tunnel", || {
        let mesh = &client.controller()?["mesh"];
        let owners = mesh["tunnels"].as_array().into_iter().flatten();
        Ok(Vec::from_iter(owners.map(|tunnel| &tunnel["owner"])) == ["us"])
    })?;
    all_reach_all(&members)?;
    let mesh = &client.controller()?["mesh"];
    assert_eq!(mesh["addresses"], serde_json::json!([]), "{mesh}");
    assert_eq!(
        (&mesh["client-count"], &mesh["max-clients"]),
        (&1.into(), &0.into())
    );
    Ok(())
}
