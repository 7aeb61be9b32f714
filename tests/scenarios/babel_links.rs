//! Links that lose their carrier, or packets: the first is noticed at once, the second raises no alarm.

use std::{process::Command, thread, time::Duration};

use anyhow::Result;
use testbed::{
    emulator::{Emulator, Wire},
    internet::IpVersion::*,
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, Keys, Node, Tunnel},
    process::Process,
};

use crate::{
    babel_nodes::{Pinging, logs, processor_time, sleeps, start, wait_for},
    meshes::{nodes, speaking},
};

/// How long packets may stay away when a cable is pulled: less than the silence after which a neighbour is given up anyway.
const OUTAGE: Duration = Duration::from_millis(600);
/// How long loss and load are borne.
const BUSY: Duration = Duration::from_secs(20);

fn tunnel_to(name: &str, remote: &str, local_key: u32, remote_key: u32) -> Result<Tunnel> {
    Ok(Tunnel {
        name: name.into(),
        remote: remote.parse()?,
        local: None,
        encap: Fou,
        port: Some(4754),
        mtu: None,
        key: Keys {
            local: local_key,
            remote: remote_key,
        },
    })
}

/// Two nodes speak Babel over a link of their own, `own0`: plain, or in a tunnel.
fn speak_directly([a, b]: [&mut Node; 2], plain: bool) -> Result<()> {
    let (to_a, to_b) = ("198.51.100.1", "198.51.100.2");
    for (node, own, peer, keys) in [
        (a, to_a, to_b, (0x5ec1_0000, 0x5ec1_0001)),
        (b, to_b, to_a, (0x5ec1_0001, 0x5ec1_0000)),
    ] {
        node.configuration.interfaces.push("own0".into());
        if plain {
            node.speak_babel(&["own0"]);
        } else {
            add_addresses(&node.host, "own0", &[&format!("{own}/30")])?;
            let direct = tunnel_to("direct", peer, keys.0, keys.1)?;
            node.configuration.tunnels.push(direct);
            node.speak_babel(&[]);
        }
    }
    Ok(())
}

/// `a` and `b` have a link of their own, and a longer way by `r`; the link is pulled under traffic.
fn pull_the_cable(plain: bool) -> Result<()> {
    let (_internet, [mut a, r, mut b]) = speaking(["a", "r", "b"], &[(Fou, V4); 2])?;
    link((&a.host, "own0"), (&b.host, "own0"), LinkOptions::default())?;
    speak_directly([&mut a, &mut b], plain)?;
    let controllers = start(&[&a, &r, &b])?;
    for (from, to) in [(&a, &b), (&a, &r), (&r, &b)] {
        wait_for(from, to, V6, &controllers)?;
    }
    thread::sleep(Duration::from_secs(3));
    let before = r.host.interface_counters("eth0")?.received_packets;

    let pinging = Pinging::start(&a.host, b.address(V6), Duration::from_secs(4))?;
    thread::sleep(Duration::from_secs(2));
    let carried = r.host.interface_counters("eth0")?.received_packets - before;
    assert!(carried < 150, "the link is not in use: {carried}");
    b.host.ip(&["link", "set", "own0", "down"])?;

    let outage = pinging.outage()?;
    println!("a cable was pulled, plain {plain}: outage {outage:?}");
    assert!(outage < OUTAGE, "{outage:?}\n{}", logs(&controllers));
    Ok(())
}

#[test]
fn a_pulled_cable_of_a_tunnels_underlay_is_noticed_at_once() -> Result<()> {
    pull_the_cable(false)
}

#[test]
fn a_pulled_cable_of_a_plain_link_is_noticed_at_once() -> Result<()> {
    pull_the_cable(true)
}

/// One link that loses one packet of twenty each way, on a machine with more to do than it can.
fn bear_loss_and_load(plain: bool) -> Result<()> {
    let (_internet, [mut a, mut b]) = nodes(["a", "b"])?;
    let wire = Wire {
        delay: Duration::from_millis(5),
        lost_of_1000: 50,
    };
    let emulator = Emulator::link((&a.host, "own0"), (&b.host, "own0"), wire)?;
    speak_directly([&mut a, &mut b], plain)?;
    let controllers = start(&[&a, &b])?;
    wait_for(&a, &b, V6, &controllers)?;
    thread::sleep(Duration::from_secs(2));
    let selections = || -> Result<[u64; 2]> {
        let of = |node: &Node| -> Result<u64> {
            let count = &node.status()?["controller"]["counters"]["selections"];
            Ok(count.as_u64().unwrap_or_default())
        };
        Ok([of(&a)?, of(&b)?])
    };
    let before = selections()?;
    let (said, lost) = (
        [controllers[0].stderr(), controllers[1].stderr()],
        emulator.lost(),
    );

    let seconds = BUSY.as_secs().to_string();
    let busy: Vec<Process> = (0..2 * thread::available_parallelism()?.get())
        .map(|_| {
            let mut command = Command::new("timeout");
            command.args([&seconds, "sh", "-c", "while :; do :; done"]);
            a.host.spawn(&mut command)
        })
        .collect::<Result<_>>()?;
    thread::sleep(BUSY);
    drop(busy);

    for (controller, said) in controllers.iter().zip(said) {
        let now = controller.stderr();
        assert_eq!(now, said, "nothing is worth a word");
        assert!(processor_time(controller.id())? < BUSY / 4);
    }
    assert_eq!(selections()?, before);
    let lost = emulator.lost() - lost;
    assert!(lost > 0, "the wire has lost nothing");
    Ok(())
}

#[test]
fn loss_and_load_raise_no_alarm_in_a_tunnel() -> Result<()> {
    bear_loss_and_load(false)
}

#[test]
fn loss_and_load_raise_no_alarm_on_a_plain_link() -> Result<()> {
    bear_loss_and_load(true)
}

#[test]
fn twenty_tunnels_without_news_cost_next_to_nothing() -> Result<()> {
    const LOOK: Duration = Duration::from_secs(10);
    let (internet, [mut node]) = nodes(["a"])?;
    // nobody answers, and nobody says so
    let router = internet.router();
    router.ip(&["route", "add", "blackhole", "198.51.100.0/24"])?;
    for number in 0..20 {
        let (name, remote) = (format!("t{number}"), format!("198.51.100.{}", number + 1));
        let tunnel = tunnel_to(&name, &remote, 0x5ec2_0000 + number, 0x5ec2_0100 + number)?;
        node.configuration.tunnels.push(tunnel);
    }
    link(
        (&node.host, "lan0"),
        (router, "lan0"),
        LinkOptions::default(),
    )?;
    node.configuration.interfaces.push("lan0".into());
    node.speak_babel(&["lan0"]);
    let controller = node.start_node()?;
    thread::sleep(Duration::from_secs(4));

    let before = (processor_time(controller.id())?, sleeps(controller.id())?);
    thread::sleep(LOOK);
    let used = processor_time(controller.id())? - before.0;
    let slept = sleeps(controller.id())? - before.1;

    // it wakes to say Hello in each tunnel every four seconds, and does not turn without rest either
    println!("woken {slept} times, {used:?} of {LOOK:?}");
    assert!(slept < 600, "woken {slept} times");
    assert!(used < LOOK / 4, "{used:?} of {LOOK:?}");
    Ok(())
}
