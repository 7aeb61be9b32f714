//! A registry that is gone, comes back, or comes back somewhere else.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::support::{OPEN, RegistryHost, node_file};

#[test]
fn a_registry_that_was_killed_comes_back_as_it_was() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;
    registry.conf(&node, &["--anonymous"])?.success()?;
    let before = registry.shown(&["cert", "list"])?;
    let certificate = node_file(&node, "cert.crt")?;

    registry.stop(Signal::SIGKILL)?;
    registry.serve()?;

    assert_eq!(registry.shown(&["cert", "list"])?, before);
    registry.conf(&node, &["--anonymous"])?.success()?;
    assert_eq!(node_file(&node, "cert.crt")?, certificate);
    Ok(())
}

#[test]
fn a_registry_without_its_database_begins_no_new_network() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    registry.stop(Signal::SIGTERM)?;
    let (database, away) = (registry.file("registry.db"), registry.file("away.db"));
    fs::rename(&database, &away)?;

    // no arguments: it serves
    for command in [&[][..], &["cert", "list"], &["backup", "/nowhere"]] {
        let error = registry.refuses(command)?;
        assert!(
            error.contains("restore the registry's last backup"),
            "{error}"
        );
        assert!(!database.exists());
    }

    fs::rename(&away, &database)?;
    registry.serve()?;
    registry.operate(&["cert", "list"])?;
    Ok(())
}

#[test]
fn a_backup_is_made_while_it_serves_and_restored_on_another_host() -> Result<()> {
    let mut registry = RegistryHost::new(&OPEN, "")?;
    let node = registry.newcomer("node")?;
    registry.conf(&node, &["--anonymous"])?.success()?;
    let certificate = node_file(&node, "cert.crt")?;
    let list = registry.shown(&["cert", "list"])?;

    let copy = registry.back_up()?;
    registry.stop(Signal::SIGKILL)?;
    let restored = registry.restored(&copy)?;

    assert_eq!(restored.shown(&["cert", "list"])?, list);
    restored.conf(&node, &["--anonymous"])?.success()?;
    assert_eq!(node_file(&node, "cert.crt")?, certificate);
    Ok(())
}
