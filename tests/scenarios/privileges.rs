//! Where it is not permitted, the message names what is missing.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::Result;
use testbed::{
    internet::IpVersion::*,
    node::{Encapsulation::*, Node, re6st_user},
};

use crate::meshes::Chain;

/// Runs `load` on a node under util-linux's setpriv; the error message.
fn load_restricted(node: &Node, options: &[&str]) -> Result<String> {
    // where anybody may read it
    let program = node.host.directory().join("re6st-user");
    fs::copy(re6st_user()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let configuration = node.write_configuration()?;
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644))?;
    let mut command = Command::new("setpriv");
    command
        .args(options)
        .arg(&program)
        .arg("--bpffs")
        .arg(node.host.bpffs())
        .args(["load", "--config"])
        .arg(&configuration);
    node.host
        .spawn(&mut command)?
        .wait(Duration::from_secs(20))?
        .failure()
}

#[test]
fn the_missing_capability_is_named() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    for (options, named) in [
        (
            &["--reuid=65534", "--regid=65534", "--clear-groups"][..],
            "CAP_",
        ),
        (&["--bounding-set=-net_admin"], "CAP_NET_ADMIN"),
        (&["--bounding-set=-bpf,-sys_admin"], "CAP_BPF"),
    ] {
        let message = load_restricted(&chain.b, options)?;

        assert!(message.contains(named), "{options:?}: {message}");
        assert_eq!(chain.b.pins()?, [""; 0], "{options:?}: something is pinned");
    }
    Ok(())
}
