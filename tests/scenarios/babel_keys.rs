//! Nodes on one LAN change their MAC key while packets flow (RFC 8967 section 5).

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use testbed::{
    configuration::{Mac, MacAlgorithm::*},
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, link},
    node::Node,
    process::Process,
};

/// How long two nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

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
    nodes: Vec<Node>,
    _internet: Internet,
}

impl Lan {
    fn new() -> Result<Self> {
        let testbed = Testbed::new()?;
        let internet = Internet::new(&testbed)?;
        let node = |name, number| Node::new(&testbed, &internet, name, number);
        let mut nodes = vec![node("a", 1)?, node("b", 2)?];
        link(
            (&nodes[0].host, "lan0"),
            (&nodes[1].host, "lan0"),
            LinkOptions::default(),
        )?;
        for node in &mut nodes {
            node.configuration.interfaces = vec!["lan0".into()];
            node.speak_babel(&["lan0"]);
        }
        Ok(Self {
            controllers: Vec::new(),
            nodes,
            _internet: internet,
        })
    }

    fn set_keys(&mut self, index: usize, keys: &[Mac]) {
        if let Some(babel) = &mut self.nodes[index].configuration.babel {
            babel.mac = keys.to_vec();
        }
    }

    /// Waits until both hear each other, and use the other's route.
    fn wait_for_each_other(&self) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let hears = |node: &Node| {
                let neighbours = node.list(&["neighbours"]).unwrap_or_default();
                neighbours.first().is_some_and(|neighbour| {
                    let settled = neighbour["cost"].as_u64().is_some_and(|cost| cost < 200);
                    settled && neighbour["routes"].as_u64() >= Some(2)
                })
            };
            if self.nodes.iter().all(hears) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("they do not find each other:\n{}", self.logs())
    }

    fn logs(&self) -> String {
        let logs = self.controllers.iter().map(Process::stderr);
        logs.collect::<Vec<_>>().join("\n---\n")
    }
}

#[test]
fn a_key_is_changed_without_losing_a_packet() -> Result<()> {
    let mut lan = Lan::new()?;
    for index in 0..2 {
        lan.set_keys(index, &[key(1, false)]);
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
    let mut logs = String::new();
    for keys in rounds {
        for index in 0..2 {
            lan.set_keys(index, keys);
            let ended = lan.controllers.remove(index).stop(Signal::SIGTERM)?;
            assert!(ended.status.success(), "{}", ended.stderr);
            logs += &ended.stderr;
            lan.controllers
                .insert(index, lan.nodes[index].start_node()?);
            lan.wait_for_each_other()?;
        }
    }

    let ping = pinging.stop(Signal::SIGINT)?.stdout;
    logs += &lan.logs();
    println!("{ping}");
    assert!(ping.contains(" 0% packet loss"), "{ping}\n{logs}");
    assert!(!logs.contains("is down"), "a neighbour was lost:\n{logs}");
    Ok(())
}
