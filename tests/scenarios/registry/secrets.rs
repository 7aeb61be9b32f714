//! What a node does for its secrets, and what becomes of one that has lost some.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    members::Member,
    support::{OPEN, RegistryHost},
};

/// A number of a line of `/proc/PID/status`, in kB.
fn kilobytes(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no such line")?.parse()?)
}

#[test]
fn secrets_are_not_swapped_out_nor_dumped() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let mut node = Member::new(&registry, "node", &["--anonymous"])?;
    node.start()?;

    for process in [node.id()?, registry.id()?] {
        let limits = fs::read_to_string(format!("/proc/{process}/limits"))?;
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file"));
        let core: Vec<&str> = core.context("no limit")?.split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"], "{limits}");
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        // all of it but what belongs to devices
        let (locked, all) = (
            kilobytes(&status, "VmLck:")?,
            kilobytes(&status, "VmSize:")?,
        );
        assert!(locked > all / 2, "{status}");
    }
    assert!(
        !node.said().contains("secrets of this process"),
        "{}",
        node.said()
    );
    Ok(())
}

#[test]
fn a_node_that_has_lost_its_x25519_key_says_so_and_conf_gives_it_another() -> Result<()> {
    let registry = RegistryHost::new(&OPEN, "")?;
    let mut node = Member::new(&registry, "node", &["--anonymous"])?;
    let certificate = fs::read_to_string(node.path("cert.crt"))?;
    fs::remove_file(node.path("x25519.key"))?;

    node.start()?;

    let warning = "no channels to other nodes: ";
    assert!(node.said().contains(warning), "{}", node.said());
    let status = node.status(&[])?;
    assert!(status.contains(warning), "{status}");
    node.wait("all else to work", |registry| {
        registry["reachable"] == true && registry["certificate"]["common-name"] == "0/16"
    })?;
    node.kill()?;

    registry.conf(&node.host, &["--anonymous"])?.success()?;
    assert_ne!(fs::read_to_string(node.path("cert.crt"))?, certificate);
    node.start()?;

    assert!(!node.said().contains(warning), "{}", node.said());
    node.wait("the same node", |registry| {
        registry["certificate"]["common-name"] == "0/16"
    })?;
    let status = node.status(&[])?;
    assert!(!status.contains(warning), "{status}");
    Ok(())
}
