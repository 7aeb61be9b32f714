//! A node that is alone says so, and why: once in its log, and in `status`.

use anyhow::Result;
use testbed::{
    cleanup::wait_until,
    internet::IpVersion::*,
    node::{Encapsulation::*, Node},
    process::Process,
};

use crate::meshes::{lan, speaking};

/// How long anything may take to be seen.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits for words in the log; they are there once, and in `status` for people and machines too.
fn says(node: &Node, process: &Process, words: &str) -> Result<()> {
    let said = || process.stderr().contains(words);
    assert!(wait_until(PATIENCE, said), "{}", process.stderr());
    assert!(node.warning(words)?.is_some(), "{:?}", node.warnings());
    let text = node.re6st_user(&["status"])?.success()?.stdout;
    assert!(text.contains(words), "{text}");
    assert_eq!(process.stderr().matches(words).count(), 1, "once");
    Ok(())
}

#[test]
fn a_node_without_neighbours_says_why() -> Result<()> {
    let (_internet, [mut a, b]) = lan()?;

    // as a configuration without anything says
    a.speak_babel(&[]);
    let process = a.start_node()?;
    says(&a, &process, "this node can have no neighbours")?;
    process.stop(nix::sys::signal::Signal::SIGTERM)?;

    a.speak_babel(&["lan0"]);
    let process = a.start_node()?;
    says(&a, &process, "lan0: nobody is heard")?;
    let other = b.start_node()?;
    let warned = || a.warning("no neighbours").map(|warning| warning.is_some());
    let silent = || warned().is_ok_and(|warned| !warned);
    assert!(wait_until(PATIENCE, silent), "{:?}", a.warnings());
    // the log calls interfaces by their names
    assert!(
        process.stderr().contains("on lan0 is up"),
        "{}",
        process.stderr()
    );

    drop(other);
    let again = || warned().unwrap_or(false);
    assert!(wait_until(PATIENCE, again), "{:?}", a.warnings());
    Ok(())
}

#[test]
fn a_node_whose_tunnel_cannot_be_used_yet_says_so() -> Result<()> {
    let (_internet, [a, _b]) = speaking(["a", "b"], &[(Gre, V6)])?;
    a.host.ip(&["-6", "route", "del", "default"])?;

    let process = a.start_node()?;

    says(&a, &process, "tunnel b: it cannot be used yet")
}
