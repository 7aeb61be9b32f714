//! Floods of packets that mean nothing: they cost little, are counted, and harm nobody else.

use std::{
    net::{SocketAddr, SocketAddrV6, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use testbed::{
    host::Testbed,
    internet::IpVersion::*,
    link::{LinkOptions, add_addresses, link},
    node::{Encapsulation::*, tunnel},
    process::Process,
};

use crate::{
    babel_nodes::{Pinging, memory, processor_time, start, wait_for},
    meshes::nodes,
};

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_secs(5);
/// Packets a second.
const RATE: u32 = 20_000;

/// Sends packets, one kind after the other, in bursts of five milliseconds; how many.
fn flood(from: &[&UdpSocket], to: SocketAddr, packets: &[Vec<u8>]) -> u64 {
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < FLOOD {
        let due = u64::from(RATE) * begin.elapsed().as_millis() as u64 / 1000;
        while sent < due {
            let packet = &packets[sent as usize % packets.len()];
            let socket = from[sent as usize / packets.len() % from.len()];
            // the flood's own losses do not matter
            let _ = socket.send_to(packet, to);
            sent += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    sent
}

/// Babel's header with a body of octets that look like anything.
fn babel_garbage(seed: u32, length: u16) -> Vec<u8> {
    let mut packet = vec![42, 2];
    packet.extend(length.to_be_bytes());
    let mut state = seed;
    for _ in 0..length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        packet.push((state >> 24) as u8);
    }
    packet
}

/// A flooded node may take half a processor and a little memory, and loses no packet of others; how many came.
fn bear(node: &Process, pinging: Pinging, flood: impl FnOnce() -> u64) -> Result<u64> {
    let (time, space) = (processor_time(node.id())?, memory(node.id())?);
    let sent = flood();
    let used = processor_time(node.id())? - time;
    let grown = memory(node.id())?.saturating_sub(space);
    println!("{used:?} of {FLOOD:?}, {grown} bytes more");
    assert!(used < FLOOD / 2, "{used:?} of {FLOOD:?}");
    assert!(grown < 32 << 20, "{grown} bytes more");
    assert_eq!(pinging.outage()?, Duration::ZERO);
    Ok(sent)
}

#[test]
fn a_neighbour_that_floods_a_plain_link_harms_nobody_else() -> Result<()> {
    let (_internet, [mut a, mut b]) = nodes(["a", "b"])?;
    let bad = Testbed::new()?.host("bad")?;
    link((&a.host, "lan0"), (&b.host, "lan0"), LinkOptions::default())?;
    link((&a.host, "lan1"), (&bad, "lan1"), LinkOptions::default())?;
    add_addresses(&bad, "lan1", &["2001:db8:bad::1/64"])?;
    a.configuration
        .interfaces
        .extend(["lan0".into(), "lan1".into()]);
    a.speak_babel(&["lan0", "lan1"]);
    b.configuration.interfaces.push("lan0".into());
    b.speak_babel(&["lan0"]);
    let controllers = start(&[&a, &b])?;
    wait_for(&b, &a, V6, &controllers)?;
    thread::sleep(Duration::from_secs(2));
    let said = controllers[1].stderr();
    let (own, index) = (
        bad.link_local("lan1")?,
        bad.ip_json(&["link", "show", "dev", "lan1"])?[0]["ifindex"]
            .as_u64()
            .context("no index")? as u32,
    );
    let bind = |address, port| {
        bad.enter(|| UdpSocket::bind(SocketAddrV6::new(address, port, 0, index)))?
            .context("bind")
    };
    let neighbour = bind(own, 6696)?;
    let other_port = bind(own, 0)?;
    let global = bind("2001:db8:bad::1".parse()?, 6696)?;
    let mut packets: Vec<_> = (1..30)
        .map(|seed| babel_garbage(seed, 20 * seed as u16))
        .collect();
    packets.extend([b"garbage".to_vec(), Vec::new(), vec![0; 1400]]);
    let pinging = Pinging::start(&b.host, a.address(V6), FLOOD + Duration::from_secs(1))?;
    let to = SocketAddrV6::new(a.host.link_local("lan1")?, 6696, 0, index);

    let sent = bear(&controllers[0], pinging, || {
        let from = [&neighbour, &neighbour, &other_port, &global];
        flood(&from, to.into(), &packets)
    })?;

    assert_eq!(
        controllers[1].stderr(),
        said,
        "the other neighbour notices nothing"
    );
    let status = a.status()?;
    let controller = &status["controller"];
    let refused = controller["refused"]["not link-local, or from another port"].as_u64();
    let received = controller["counters"]["packets_received"].as_u64();
    println!("{sent} sent, {received:?} taken, {refused:?} refused");
    assert!(refused > Some(sent / 20), "{controller}");
    assert!(received > Some(sent / 20), "{controller}");
    Ok(())
}

#[test]
fn a_flood_of_the_tunnels_port_harms_no_tunnel() -> Result<()> {
    let (_internet, [mut a, mut b, bad]) = nodes(["a", "b", "bad"])?;
    tunnel(&mut a, &mut b, (Fou, V4))?;
    a.speak_babel(&[]);
    b.speak_babel(&[]);
    let controllers = start(&[&a, &b])?;
    wait_for(&b, &a, V6, &controllers)?;
    thread::sleep(Duration::from_secs(2));
    let said = [controllers[0].stderr(), controllers[1].stderr()];
    let key = a.configuration.tunnels[0].key.local;
    let gre = |key: u32, protocol: u16| {
        let mut packet = vec![0x20, 0];
        packet.extend(protocol.to_be_bytes());
        packet.extend(key.to_be_bytes());
        // IPv6 from fe80::bad to Babel's group
        packet.extend([0x60, 0, 0, 0, 0, 8, 17, 1, 0xfe, 0x80]);
        packet.extend([0; 12]);
        packet.extend([0x0b, 0xad, 0xff, 0x02]);
        packet.extend([0; 11]);
        packet.extend([1, 0, 6]);
        packet.extend([0x1a, 0x28, 0x1a, 0x28, 0, 8, 0, 0]);
        packet
    };
    let packets = [
        // the controller's own: it begins with neither kind of GRE header
        vec![1; 100],
        vec![5; 1400],
        // a key nobody has, and the right key of another peer
        gre(key ^ 0x00ff_0000, 0x86dd),
        gre(key, 0x86dd),
        vec![0x20],
        Vec::new(),
    ];
    let socket = bad.host.enter(|| UdpSocket::bind("0.0.0.0:4754"))??;
    let pinging = Pinging::start(&b.host, a.address(V6), FLOOD + Duration::from_secs(1))?;
    let to = SocketAddr::new(a.uplink.address(V4), 4754);

    let sent = bear(&controllers[0], pinging, || flood(&[&socket], to, &packets))?;

    for (controller, said) in controllers.iter().zip(said) {
        assert_eq!(controller.stderr(), said, "the neighbours notice nothing");
    }
    let (reasons, status) = (a.reasons()?, a.status()?);
    let refused = status["controller"]["refused"]["not GRE with a key"].as_u64();
    println!("{sent} sent: {reasons:?}, the controller refused {refused:?}");
    for reason in ["unknown_key", "wrong_peer"] {
        assert!(reasons.get(reason) > Some(&(sent / 20)), "{reasons:?}");
    }
    assert!(refused > Some(sent / 20), "{status}");
    Ok(())
}
