//! Links that lose their carrier, or packets: the first is noticed at once, the second raises no alarm.

use std::{process::Command, thread, time::Duration};

use anyhow::Result;
use testbed::{
    emulator::{Emulator, Wire},
    host::Testbed,
    internet::{Internet, IpVersion::*},
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, Keys, Node, Tunnel, tunnel},
    process::Process,
};

use crate::babel_nodes::{Pinging, processor_time, start, wait_for};

/// How long packets may stay away when a cable is pulled: less than the silence after which a neighbour is given up anyway.
const OUTAGE: Duration = Duration::from_millis(600);
/// How long loss and load are borne.
const BUSY: Duration = Duration::from_secs(20);

/// Joins two nodes by a tunnel over a link of their own, `interface`.
fn direct_tunnel(nodes: [&mut Node; 2], interface: &str) -> Result<()> {
    for (place, node) in nodes.into_iter().enumerate() {
        let address = |place: usize| format!("198.51.100.{}", place + 1);
        let own = format!("{}/30", address(place));
        add_addresses(&node.host, interface, &[&own])?;
        node.configuration.interfaces.push(interface.into());
        node.configuration.tunnels.push(Tunnel {
            name: "direct".into(),
            remote: address(1 - place).parse()?,
            local: None,
            encap: Fou,
            port: Some(4754),
            mtu: None,
            key: Keys {
                local: 0x5ec1_0000 + place as u32,
                remote: 0x5ec1_0001 - place as u32,
            },
        });
    }
    Ok(())
}

/// `a` and `b` have a link of their own, and a longer way by `r`; the link is pulled under traffic.
fn pull_the_cable(plain: bool) -> Result<()> {
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let node = |name, number| Node::new(&testbed, &internet, name, number);
    let (mut a, mut r, mut b) = (node("a", 1)?, node("r", 2)?, node("b", 3)?);
    tunnel(&mut a, &mut r, (Fou, V4))?;
    tunnel(&mut r, &mut b, (Fou, V4))?;
    link((&a.host, "own0"), (&b.host, "own0"), LinkOptions::default())?;
    r.speak_babel(&[]);
    if plain {
        for node in [&mut a, &mut b] {
            node.configuration.interfaces.push("own0".into());
            node.speak_babel(&["own0"]);
        }
    } else {
        direct_tunnel([&mut a, &mut b], "own0")?;
        a.speak_babel(&[]);
        b.speak_babel(&[]);
    }
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
    let logs: Vec<_> = controllers.iter().map(Process::stderr).collect();
    assert!(outage < OUTAGE, "{outage:?}\n{}", logs.join("\n---\n"));
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
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let (mut a, mut b) = (
        Node::new(&testbed, &internet, "a", 1)?,
        Node::new(&testbed, &internet, "b", 2)?,
    );
    let wire = Wire {
        delay: Duration::from_millis(5),
        lost_of_1000: 50,
    };
    let emulator = Emulator::link((&a.host, "own0"), (&b.host, "own0"), wire)?;
    if plain {
        for node in [&mut a, &mut b] {
            node.configuration.interfaces.push("own0".into());
            node.speak_babel(&["own0"]);
        }
    } else {
        direct_tunnel([&mut a, &mut b], "own0")?;
        a.speak_babel(&[]);
        b.speak_babel(&[]);
    }
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
    assert!(lost > 2, "the wire has lost {lost}");
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
    let testbed = Testbed::new()?;
    let internet = Internet::new(&testbed)?;
    let mut node = Node::new(&testbed, &internet, "a", 1)?;
    // nobody answers, and nobody says so
    let router = internet.router();
    router.ip(&["route", "add", "blackhole", "198.51.100.0/24"])?;
    for number in 0..20 {
        node.configuration.tunnels.push(Tunnel {
            name: format!("t{number}"),
            remote: format!("198.51.100.{}", number + 1).parse()?,
            local: None,
            encap: Fou,
            port: Some(4754),
            mtu: None,
            key: Keys {
                local: 0x5ec2_0000 + number,
                remote: 0x5ec2_0100 + number,
            },
        });
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

    let before = processor_time(controller.id())?;
    thread::sleep(LOOK);
    let used = processor_time(controller.id())? - before;

    println!("{used:?} of {LOOK:?}");
    assert!(used < LOOK / 100, "{used:?} of {LOOK:?}");
    Ok(())
}
