//! A node that is alone says so, and why: once in its log, and in `status`.

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::{
    cleanup::wait_until,
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, link},
    node::{Encapsulation::*, Node, tunnel},
    process::Process,
};

/// How long anything may take to be seen.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn warnings(node: &Node) -> Result<Vec<String>> {
    let status = node.status()?;
    let warnings = status["warnings"].as_array().context("no warnings")?;
    let texts = warnings.iter().filter_map(Value::as_str);
    Ok(texts.map(str::to_owned).collect())
}

/// Waits for words in the log; they are there once, and in `status` for people and machines too.
fn says(node: &Node, process: &Process, words: &str) -> Result<()> {
    let said = || process.stderr().contains(words);
    assert!(wait_until(PATIENCE, said), "{}", process.stderr());
    let shown = warnings(node)?;
    assert!(shown.iter().any(|text| text.contains(words)), "{shown:?}");
    let text = node.re6st_user(&["status"])?.success()?.stdout;
    assert!(text.contains(words), "{text}");
    assert_eq!(process.stderr().matches(words).count(), 1, "once");
    Ok(())
}

#[test]
fn a_node_without_neighbours_says_why() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut b = Node::new(&testbed, &internet, "b", 2)?;
    link((&a.host, "lan0"), (&b.host, "lan0"), LinkOptions::default())?;

    // as a configuration without anything says
    a.speak_babel(&[]);
    let process = a.start_node()?;
    says(&a, &process, "this node can have no neighbours")?;
    process.stop(nix::sys::signal::Signal::SIGTERM)?;

    a.speak_babel(&["lan0"]);
    let process = a.start_node()?;
    says(&a, &process, "lan0: nobody is heard")?;
    b.speak_babel(&["lan0"]);
    let other = b.start_node()?;
    let silent =
        || warnings(&a).is_ok_and(|shown| shown.iter().all(|text| !text.contains("no neighbours")));
    assert!(wait_until(PATIENCE, silent), "{:?}", warnings(&a));
    // the log calls interfaces by their names
    assert!(
        process.stderr().contains("on lan0 is up"),
        "{}",
        process.stderr()
    );

    drop(other);
    let again =
        || warnings(&a).is_ok_and(|shown| shown.iter().any(|text| text.contains("no neighbours")));
    assert!(wait_until(PATIENCE, again), "{:?}", warnings(&a));
    Ok(())
}

#[test]
fn a_node_whose_tunnel_cannot_be_used_yet_says_so() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    let mut b = Node::new(&testbed, &internet, "b", 2)?;
    tunnel(&mut a, &mut b, (Gre, V6))?;
    a.host.ip(&["-6", "route", "del", "default"])?;
    a.speak_babel(&[]);

    let process = a.start_node()?;

    says(&a, &process, "tunnel b: it cannot be used yet")
}
