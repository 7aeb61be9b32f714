//! Handshakes that nobody means.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use re6st_user::certificate::static_key::StaticKey;
use testbed::host::Host;

use super::{
    super::{members::Member, support::node_file},
    add_peer, connected, outer, stream,
};
use crate::babel_nodes::wait_within;

/// Initiations that nobody will answer for, as fast as they can be sent, by somebody who knows a member's public key.
fn flood(attacker: &Host, member: &Member, duration: Duration) -> Result<u64> {
    let key = StaticKey::from_pem(&node_file(&member.host, "x25519.key")?)?;
    let mac_key = re6st_user::channel::handshake::mac_key(&key.public_key());
    let socket = attacker.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    socket.connect((outer(member)?.parse::<Ipv4Addr>()?, 4754))?;
    let mut initiation = vec![0x5a; 700];
    initiation[..16].copy_from_slice(&[1, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let begin = Instant::now();
    let mut sent = 0_u64;
    while begin.elapsed() < duration {
        initiation[24..32].copy_from_slice(&sent.to_be_bytes());
        let head = initiation.first_chunk().context("a head")?;
        let mac = re6st_common::handshake::mac(mac_key, head);
        initiation[16..24].copy_from_slice(&mac);
        // what comes back is of no interest, nor that nobody takes it
        let _ = socket.send(&initiation);
        sent += 1;
    }
    Ok(sent)
}

#[test]
fn a_flood_of_handshakes_keeps_nobody_out_and_loses_nothing() -> Result<()> {
    const FLOOD: Duration = Duration::from_secs(6);
    let (registry, [a, b]) = connected()?;
    let mut late = Member::new(&registry, "late", &["--anonymous"])?;
    late.configure(|text| text.replace("interfaces = [\"lan0\"]", "interfaces = []"))?;
    add_peer(&late, &b)?;
    let attacker = registry.newcomer("attacker")?;
    let stream = stream(&a, &b, 500)?;

    let (sent, took) = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(&attacker, &b, FLOOD));
        std::thread::sleep(Duration::from_secs(1));
        late.start()?;
        let took = wait_within(Duration::from_secs(10), "a handshake", || {
            Ok(late.said().contains("connected"))
        })
        .with_context(|| format!("{}\n---\n{}", late.said(), b.said()))?;
        let sent = flooding.join();
        let sent = sent.map_err(|_| anyhow::anyhow!("the flood has ended with a panic"))??;
        Ok::<_, anyhow::Error>((sent, took))
    })?;

    let datagrams = stream.finish()?;
    let computed = b.controller()?["channels"]["initiations_answered"].as_u64();
    let seen = b.controller()?["channels"]["datagrams_received"].as_u64();
    println!(
        "{sent} initiations sent, {seen:?} datagrams seen, {computed:?} answered, connected after {took:?}, {datagrams:?}"
    );
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    assert!(seen < Some(sent / 4), "the others were answered by XDP");
    Ok(())
}
