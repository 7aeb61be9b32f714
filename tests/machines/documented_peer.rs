//! The plain Linux peer of docs/operating.md, by the commands that stand there, and the node of README.md.

use anyhow::{Context as _, Result};
use testbed::documentation::{Mark, story};

use crate::support::{Scene, on_each_kernel};

fn a_plain_peer_by_the_documents_commands(scene: &Scene) -> Result<()> {
    scene.run(
        "hosts node b
        cable node eth0 b eth0
        addresses node eth0 192.0.2.1/24
        addresses b eth0 192.0.2.7/24",
    )?;
    for block in story("docs/operating.md", "plain-peer")? {
        for line in block.commands() {
            scene
                .run(&format!("on b {line}"))
                .with_context(|| format!("{block}: {line}"))?;
        }
    }
    let blocks = story("README.md", "static")?;
    let file = blocks
        .iter()
        .find(|block| matches!(block.mark, Mark::File(_)));
    let file = file.context("README.md has no file of host a")?;
    scene.load("node", "re6st0", &file.text, "")?;

    for (host, address) in [("node", "42:2::1"), ("b", "42:1::1")] {
        scene.run(&format!("on {host} ping -c 1 -W 5 2001:db8:{address}"))?;
    }
    scene.run(
        "on node ping -c 1 -W 5 10.42.2.1
        on b ping -c 1 -W 5 10.42.1.1",
    )?;

    scene.unload("node", "re6st0")?;
    scene.nothing_loaded()
}

on_each_kernel!(a_plain_peer_by_the_documents_commands);
