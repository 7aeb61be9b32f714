//! What file and network say of the mesh is followed.

use anyhow::{Context as _, Result};

use super::{
    super::{
        members::Member,
        support::{node_file, wait_for},
    },
    all_reach_all, members, start,
};

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
