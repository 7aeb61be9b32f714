//! Where it is not permitted, the message names what is missing.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{
    internet::IpVersion::*,
    node::{Encapsulation::*, Node, re6st_user},
};

use crate::{babel_nodes::wait_within, meshes::Chain};

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs `load` on a node under util-linux's setpriv; the error message.
fn load_restricted(node: &Node, options: &[&str]) -> Result<String> {
    let configuration = node.write_configuration()?;
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644))?;
    let configuration = configuration.to_string_lossy();
    refused(node, options, &["load", "--config", &configuration])
}

/// Runs a subcommand on a node under util-linux's setpriv; the error message.
fn refused(node: &Node, options: &[&str], subcommand: &[&str]) -> Result<String> {
    // where anybody may read it
    let program = node.host.directory().join("re6st-user");
    if !program.exists() {
        // by a process of its own: what this one writes, a child that another test starts meanwhile holds open
        let original = re6st_user()?;
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(original).arg(&program);
        let done = node.host.spawn(&mut install)?;
        done.wait(Duration::from_secs(20))?.success()?;
    }
    let mut command = Command::new("setpriv");
    command
        .args(options)
        .arg(&program)
        .arg("--bpffs")
        .arg(node.host.bpffs())
        .arg("--sockets")
        .arg(node.host.directory())
        .args(subcommand);
    node.host
        .spawn(&mut command)?
        .wait(Duration::from_secs(20))?
        .failure()
}

#[test]
fn the_missing_capability_is_named() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    for (options, named) in [
        (&NOBODY[..], "CAP_"),
        (&["--bounding-set=-net_admin"], "CAP_NET_ADMIN"),
        (&["--bounding-set=-bpf,-sys_admin"], "CAP_BPF"),
    ] {
        let message = load_restricted(&chain.b, options)?;

        assert!(message.contains(named), "{options:?}: {message}");
        assert_eq!(chain.b.pins()?, [""; 0], "{options:?}: something is pinned");
    }
    Ok(())
}

#[test]
fn the_capabilities_of_the_unit_are_all_that_a_node_takes() -> Result<()> {
    let unit = include_str!("../../docs/re6st-ebpf@.service");
    let mut lines = unit.lines();
    let granted = lines.find_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_"));
    let granted = granted.context("the unit grants no capabilities")?;
    let granted = granted.to_lowercase().replace(" cap_", ",+");
    let mut chain = Chain::new((Fou, V4), (Gre, V6))?;
    chain.b.speak_babel(&[]);
    let node = &chain.b;
    let configuration = node.write_configuration()?;
    // what is there from the first life is taken over
    for _ in 0..2 {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--bounding-set=-all,+{granted}"))
            .arg(re6st_user()?)
            .arg("--bpffs")
            .arg(node.host.bpffs())
            .arg("--sockets")
            .arg(node.host.directory())
            .args(["node", "--config"])
            .arg(&configuration);

        let process = node.host.spawn(&mut command)?;

        let up = || Ok(process.stderr().contains("is up"));
        wait_within(Duration::from_secs(60), "the node", up).with_context(|| process.stderr())?;
        let said = process.stop(Signal::SIGTERM)?.stderr;
        assert!(!said.contains("CAP_"), "{said}");
        assert!(!said.contains("not permitted"), "{said}");
    }
    Ok(())
}

/// Whether an error tells its cause twice over.
fn repeats_itself(message: &str) -> bool {
    let parts: Vec<&str> = message.trim().split(": ").collect();
    let twice = |(place, part): (usize, &&str)| parts[place + 1..].contains(part);
    parts.iter().enumerate().any(twice)
}

#[test]
fn who_is_not_root_is_told_so_by_every_subcommand() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    let node = &chain.b;
    node.load()?;
    // as systemd mounts it
    fs::set_permissions(node.host.bpffs(), fs::Permissions::from_mode(0o700))?;
    let configuration = node.write_configuration()?;
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o644))?;
    let configuration = configuration.to_string_lossy();
    for subcommand in [
        &["status"][..],
        &["status", "--instance", "re6st0"],
        &["status", "--json"],
        &["trace", "send: 10.42.2.1 > 10.42.3.1 icmp"],
        &["unload"],
        &["load", "--config", &configuration],
    ] {
        let message = refused(node, &NOBODY, subcommand)?;

        let helps = ["root", "CAP_"].iter().any(|word| message.contains(word));
        assert!(helps, "{subcommand:?}: {message}");
        assert!(!repeats_itself(&message), "{subcommand:?}: {message}");
    }
    Ok(())
}

const WRONG: &str = "
    load --config /nowhere/re6st0.toml
    node --config /nowhere/re6st0.toml
    load --config /dev
    registry --config /nowhere/registry.toml
    registry backup /nowhere/copy --config /nowhere/registry.toml
    registry init --network 2001:db8::/48 --dir /dev/null/x
    conf --registry https://127.0.0.1:9/ --anonymous --dir /dev/null/x
    conf --registry https://127.0.0.1:9/ --is-needed
    replay /nowhere/recording
    status --instance none0
";

#[test]
fn errors_tell_their_cause_once() -> Result<()> {
    let chain = Chain::new((Fou, V4), (Gre, V6))?;
    let node = &chain.b;
    let mut commands: Vec<Vec<&str>> = WRONG
        .trim()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    commands.push(vec!["trace", "send: nonsense"]);
    for subcommand in &commands {
        let message = node.re6st_user(subcommand)?.failure()?;

        assert!(!repeats_itself(&message), "{subcommand:?}: {message}");
        assert_eq!(
            message.trim().lines().count(),
            1,
            "{subcommand:?}: {message}"
        );
    }
    Ok(())
}
