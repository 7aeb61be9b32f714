//! A node that cannot run has attached nothing, and two do not share an instance.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{
    internet::{Internet, IpVersion::*},
    node::{Encapsulation::*, Node},
};

use crate::{
    babel_nodes::{PATIENCE, assert_reaches, start, wait_for, wait_until},
    meshes::speaking,
};

/// Two nodes that speak Babel over a tunnel, not started.
fn pair() -> Result<(Internet, [Node; 2])> {
    speaking(["a", "b"], &[(Fou, V4)])
}

/// What a node leaves that did not start.
fn traces(node: &Node) -> Result<(Vec<String>, bool)> {
    let links = node.host.ip(&["-brief", "link"])?;
    let device = links.lines().any(|link| link.starts_with("re6st"));
    Ok((node.pins()?, device))
}

#[test]
fn what_keeps_a_node_from_running_is_met_before_anything_is_attached() -> Result<()> {
    let (_internet, [mut a, _b]) = pair()?;
    let file = a.host.directory().join("a-file");
    std::fs::write(&file, "")?;
    let inside = file.join("x");
    let inside = inside.to_str().context("the path is not UTF-8")?;
    let nothing = (Vec::<String>::new(), false);

    let output = a.start_node_with(&["--record", inside])?.wait(PATIENCE)?;
    assert!(output.failure()?.contains("a-file"));
    assert_eq!(traces(&a)?, nothing, "a recording that cannot be written");

    let socket = a.host.directory().join("re6st0.sock");
    std::fs::create_dir(&socket)?;
    let said = a.start_node()?.wait(PATIENCE)?.failure()?;
    assert!(said.contains("re6st0.sock"), "{said}");
    assert_eq!(traces(&a)?, nothing, "a control socket that cannot be made");
    std::fs::remove_dir(&socket)?;

    let taken = a.host.enter(|| std::net::UdpSocket::bind("[::]:4754"))??;
    let said = a.start_node()?.wait(PATIENCE)?.failure()?;
    assert!(said.contains("4754") && said.contains("in use"), "{said}");
    assert_eq!(traces(&a)?, nothing, "a port that is taken");
    drop(taken);

    for name in ["distances", "babel.json"] {
        // a folder in the place of a file
        let state = a.host.directory().join("state");
        std::fs::create_dir_all(state.join(name))?;
        let said = a.start_node()?.wait(PATIENCE)?.failure()?;
        assert!(said.contains("state"), "{said}");
        assert_eq!(traces(&a)?, nothing, "{name} that cannot be read");
        std::fs::remove_dir(state.join(name))?;
    }

    a.babel().state_directory = file.clone();
    let said = a.start_node()?.wait(PATIENCE)?.failure()?;
    assert!(said.contains("a-file"), "{said}");
    assert_eq!(traces(&a)?, nothing, "a state directory that is a file");
    Ok(())
}

#[test]
fn a_second_node_leaves_the_first_one_alone() -> Result<()> {
    let (_internet, [mut a, b]) = pair()?;
    let controllers = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &controllers)?;
    let first = controllers[0].id().to_string();

    // another file, without the tunnel
    let tunnels = std::mem::take(&mut a.configuration.tunnels);
    let second = a.start_node()?.wait(PATIENCE)?.failure()?;
    let beside = a.start_node_with(&["--instance", "re6st1"])?;
    a.configuration.tunnels = tunnels;

    assert!(
        second.contains("a node runs") && second.contains(&first),
        "{second}"
    );
    assert_reaches(&a.host, b.address(V6), 5);
    // another instance needs a port of its own, and says so before it attaches anything
    let port = a.start_node_with(&["--instance", "re6st2"])?;
    let said = port.wait(PATIENCE)?.failure()?;
    assert!(said.contains("4754"), "{said}");
    assert!(!a.pins()?.contains(&"re6st2".to_owned()));
    beside.stop(Signal::SIGTERM)?;
    assert_reaches(&a.host, b.address(V6), 5);
    Ok(())
}

#[test]
fn load_and_unload_leave_the_instance_of_a_running_node_alone_unless_forced() -> Result<()> {
    let (_internet, [a, b]) = pair()?;
    let mut controllers = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &controllers)?;

    let load = a.try_load(&[])?.failure()?;
    let unload = a.re6st_user(&["unload"])?.failure()?;

    for said in [&load, &unload] {
        assert!(
            said.contains("a node runs") && said.contains("--force"),
            "{said}"
        );
    }
    assert_reaches(&a.host, b.address(V6), 5);
    assert_reaches(&b.host, a.address(V6), 5);

    a.load_with(&["--force"])?;
    wait_until("the node takes its instance back", || {
        let log = controllers[0].stderr();
        Ok(log.contains("somebody else has loaded it"))
    })?;
    wait_for(&a, &b, V6, &controllers)?;
    assert_reaches(&a.host, b.address(V6), 5);

    a.re6st_user(&["unload", "--force"])?.success()?;
    let said = controllers.remove(0).wait(PATIENCE)?.failure()?;
    assert!(said.contains("unloaded"), "{said}");
    assert!(!said.contains("forwards on"), "{said}");
    assert_eq!(traces(&a)?, (Vec::new(), false));
    Ok(())
}
