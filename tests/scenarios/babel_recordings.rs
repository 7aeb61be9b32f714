//! What happens to a live node, recorded and done again.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::internet::IpVersion::*;

use crate::{
    babel_nodes::{in_use, start, wait_for},
    meshes::ring,
};

/// Names a file to copy the recording to: so the one under `re6st-user/tests/babel` was made.
const KEEP: &str = "RE6ST_RECORDING";

#[test]
fn a_recording_of_a_node_in_a_ring_that_is_cut_replays_as_it_was() -> Result<()> {
    let (internet, nodes) = ring()?;
    let [a, b, c, d] = &nodes;
    let file = a.host.directory().join("recording");
    let path = file.to_str().context("the path is not UTF-8")?;
    let recorded = a.start_node_with(&["--record", path])?;
    let controllers = start(&[b, c, d])?;
    wait_for(a, c, V6, &controllers)?;
    thread::sleep(Duration::from_secs(3));
    let dead = in_use(a, c, [b, d])?;

    internet.lose(a.uplink.address(V4), dead.uplink.address(V4))?;
    wait_for(a, c, V6, &controllers)?;
    thread::sleep(Duration::from_secs(1));
    let ended = recorded.stop(Signal::SIGTERM)?;

    assert!(ended.status.success(), "{}", ended.stderr);
    let shown = a.re6st_user(&["replay", path])?.success()?.stdout;
    assert!(shown.contains("does not answer"), "{shown}");
    assert!(shown.contains(" changes of routes"), "{shown}");
    if let Some(copy) = std::env::var_os(KEEP) {
        fs::copy(&file, copy)?;
    }
    Ok(())
}
