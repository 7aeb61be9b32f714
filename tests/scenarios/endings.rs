//! Whether a node runs is said, however it ended.

use anyhow::Result;
use nix::sys::signal::{Signal, kill};

use crate::{babel_nodes::wait_until, meshes::speaking};

#[test]
fn the_status_says_whether_a_node_runs_after_each_signal() -> Result<()> {
    let (_internet, [a]) = speaking(["a"], &[])?;
    let nothing = a.re6st_user(&["status"])?;
    assert!(!nothing.status.success(), "{}", nothing.stdout);
    assert!(
        nothing.stdout.contains("no instance is loaded"),
        "{}",
        nothing.stdout
    );
    a.load()?;
    assert_eq!(a.status()?["node"]["state"], "none");
    assert_eq!(a.warnings()?, [""; 0]);

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
        assert_eq!(a.warning("no node runs")?, None);

        let ended = node.stop(signal)?;

        assert_eq!(
            ended.status.success(),
            ends_well,
            "{signal}: {}",
            ended.stderr
        );
        assert_eq!(a.status()?["node"]["state"], "ended", "{signal}");
        let missed = a.warning("no node runs")?;
        assert!(missed.is_some(), "{signal}: {:?}", a.warnings());
        let text = a.re6st_user(&["status"])?.success()?.stdout;
        assert!(text.contains("node: has ended"), "{text}");
    }
    Ok(())
}
