//! Nodes on one LAN change their MAC key while packets flow (RFC 8967 section 5).

use std::{process::Command, thread, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::{
    configuration::{Mac, MacAlgorithm::*},
    internet::{Internet, IpVersion::*},
    node::Node,
    process::Process,
};

use crate::{
    babel_nodes::{logs, wait_until},
    meshes::lan,
};

fn key(number: u8, accept_only: bool) -> Mac {
    Mac {
        algorithm: if number == 1 { HmacSha256 } else { Blake2s128 },
        key: format!("{number:02x}").repeat(32),
        accept_only,
    }
}

/// Two nodes on one LAN and their controllers.
struct Lan {
    controllers: Vec<Process>,
    nodes: [Node; 2],
    _internet: Internet,
}

impl Lan {
    fn new() -> Result<Self> {
        let (internet, nodes) = lan()?;
        Ok(Self {
            controllers: Vec::new(),
            nodes,
            _internet: internet,
        })
    }

    /// Waits until both hear each other, and use the other's route.
    fn wait_for_each_other(&self) -> Result<()> {
        let hears = |node: &Node| {
            let neighbours = node.list(&["neighbours"]).unwrap_or_default();
            neighbours.first().is_some_and(|neighbour| {
                let settled = neighbour["cost"].as_u64().is_some_and(|cost| cost < 200);
                settled && neighbour["routes"].as_u64() >= Some(2)
            })
        };
        wait_until("they find each other", || Ok(self.nodes.iter().all(hears)))
            .with_context(|| logs(&self.controllers))
            .map(drop)
    }
}

#[test]
fn a_key_is_changed_without_losing_a_packet() -> Result<()> {
    let mut lan = Lan::new()?;
    for index in 0..2 {
        lan.nodes[index].babel().mac = vec![key(1, false)];
        lan.controllers.push(lan.nodes[index].start_node()?);
    }
    lan.wait_for_each_other()?;
    thread::sleep(Duration::from_secs(2));
    let (from, to) = (&lan.nodes[0].host, lan.nodes[1].address(V6).to_string());
    let pinging =
        from.spawn(Command::new("ping").args(["-n", "-q", "-i", "0.01", "-W", "1", &to]))?;

    let rounds: [&[Mac]; 3] = [
        // accepted everywhere, then used everywhere, then the only one
        &[key(1, false), key(2, true)],
        &[key(1, false), key(2, false)],
        &[key(2, false)],
    ];
    let mut said = String::new();
    for keys in rounds {
        for index in 0..2 {
            lan.nodes[index].babel().mac = keys.to_vec();
            let ended = lan.controllers.remove(index).stop(Signal::SIGTERM)?;
            assert!(ended.status.success(), "{}", ended.stderr);
            said += &ended.stderr;
            lan.controllers
                .insert(index, lan.nodes[index].start_node()?);
            lan.wait_for_each_other()?;
        }
    }

    let ping = pinging.stop(Signal::SIGINT)?.stdout;
    said += &logs(&lan.controllers);
    println!("{ping}");
    assert!(ping.contains(" 0% packet loss"), "{ping}\n{said}");
    assert!(!said.contains("is down"), "a neighbour was lost:\n{said}");
    Ok(())
}
