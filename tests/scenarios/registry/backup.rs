//! A registry that is gone, comes back, or comes back somewhere else.

use std::fs;

use anyhow::Result;
use nix::sys::signal::Signal;
use testbed::{host::Testbed, internet::Internet};

use super::support::{RegistryHost, host, node_file};

const OPEN: [&str; 2] = ["--anonymous-prefix-length", "16"];

#[test]
fn a_registry_that_was_killed_comes_back_as_it_was() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut registry = RegistryHost::new(&testbed, &internet, &OPEN, "")?;
    let (node, _) = host(&testbed, &internet, "node")?;
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
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut registry = RegistryHost::new(&testbed, &internet, &OPEN, "")?;
    registry.stop(Signal::SIGTERM)?;
    let (database, away) = (registry.file("registry.db"), registry.file("away.db"));
    fs::rename(&database, &away)?;

    // no arguments: it serves
    for command in [&[][..], &["cert", "list"], &["backup", "/nowhere"]] {
        let error = registry.operate(command)?.failure()?;
        assert!(
            error.contains("restore the registry's last backup"),
            "{error}"
        );
        assert!(!database.exists());
    }

    fs::rename(&away, &database)?;
    registry.serve()?;
    registry.operate(&["cert", "list"])?.success()?;
    Ok(())
}

#[test]
fn a_backup_is_made_while_it_serves_and_restored_on_another_host() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut registry = RegistryHost::new(&testbed, &internet, &OPEN, "")?;
    let (node, _) = host(&testbed, &internet, "node")?;
    registry.conf(&node, &["--anonymous"])?.success()?;
    let certificate = node_file(&node, "cert.crt")?;
    let list = registry.shown(&["cert", "list"])?;

    let copy = registry.host.directory().join("copy.db");
    registry
        .operate(&["backup", copy.to_str().unwrap()])?
        .success()?;
    registry.stop(Signal::SIGKILL)?;

    let (other, uplink) = host(&testbed, &internet, "other")?;
    let directory = other.directory().join("registry");
    fs::create_dir(&directory)?;
    for name in ["ca.crt", "ca.key", "registry.toml"] {
        fs::copy(registry.file(name), directory.join(name))?;
    }
    fs::copy(&copy, directory.join("registry.db"))?;
    let mut restored = RegistryHost {
        host: other,
        uplink,
        process: None,
        fingerprint: registry.fingerprint.clone(),
    };
    restored.serve()?;

    assert_eq!(restored.shown(&["cert", "list"])?, list);
    restored.conf(&node, &["--anonymous"])?.success()?;
    assert_eq!(node_file(&node, "cert.crt")?, certificate);
    Ok(())
}
