//! Whether a node runs is said, however it ended.

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use testbed::{host::Testbed, internet::Internet, node::Node};

use crate::{babel_nodes::wait_until, unreachable_peers::warnings};

/// Whether the status warns that no node runs.
fn is_missed(node: &Node) -> Result<bool> {
    let warnings = warnings(node)?;
    Ok(warnings
        .iter()
        .any(|warning| warning.contains("no node runs")))
}

#[test]
fn the_status_says_whether_a_node_runs_after_each_signal() -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut a = Node::new(&testbed, &internet, "a", 1)?;
    a.speak_babel(&[]);
    let nothing = a.re6st_user(&["status"])?;
    assert!(!nothing.status.success(), "{}", nothing.stdout);
    assert!(
        nothing.stdout.contains("no instance is loaded"),
        "{}",
        nothing.stdout
    );
    a.load()?;
    assert_eq!(a.status()?["node"]["state"], "none");
    assert_eq!(warnings(&a)?, [""; 0]);

    for (signal, ends_well) in [
        (Signal::SIGTERM, true),
        (Signal::SIGINT, true),
        (Signal::SIGKILL, false),
    ] {
        let node = a.start_node()?;
        wait_until("it runs", || {
            Ok(node.stderr().contains("is up and speaks Babel"))
        })?;
        kill(node.id(), Signal::SIGHUP)?;
        wait_until("it says what it makes of SIGHUP", || {
            Ok(node.stderr().contains("reload: nothing has changed"))
        })?;
        let runs = a.status()?;
        assert_eq!(runs["node"]["state"], "runs");
        assert_eq!(runs["node"]["process"], node.id().as_raw());
        assert!(runs["controller"].is_object(), "{runs}");
        assert!(!is_missed(&a)?, "{runs}");

        let ended = node.stop(signal)?;

        assert_eq!(
            ended.status.success(),
            ends_well,
            "{signal}: {}",
            ended.stderr
        );
        assert_eq!(a.status()?["node"]["state"], "ended", "{signal}");
        assert!(is_missed(&a)?, "{signal}: {:?}", warnings(&a)?);
        let text = a.re6st_user(&["status"])?.success()?.stdout;
        assert!(text.contains("node: has ended"), "{text}");
    }
    Ok(())
}
