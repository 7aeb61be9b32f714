//! From the first packet on: keys change, nodes start again and move, documents come.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{
    super::{
        members::Member,
        support::{run, wait_for},
    },
    accepted_keys, add_peer, connected, name, outer, peer, strangers, stream, wait_until_connected,
};
use crate::babel_nodes::wait_within;

#[test]
fn three_lines_of_one_file_connect_two_fresh_nodes() -> Result<()> {
    let (_registry, mut members) = strangers()?;
    let [a, b] = &members;
    add_peer(a, b)?;
    members.iter_mut().try_for_each(Member::start)?;
    let [a, b] = &members;

    a.reach(b)?;
    b.reach(a)?;

    for (member, other, opened_by) in [(a, b, "us"), (b, a, "peer")] {
        let peer = peer(member)?;
        assert_eq!(peer["peer"], name(other)?, "{peer}");
        assert_eq!(peer["state"], "connected", "{peer}");
        assert_eq!(peer["opened-by"], opened_by, "{peer}");
        assert_eq!(peer["post-quantum"], true, "{peer}");
        assert_eq!(peer["payload-encrypted"], false, "{peer}");
        assert!(peer["tunnel"]["sent-packets"].as_u64() > Some(0), "{peer}");
        let said = member.said();
        assert!(said.contains("connected, post-quantum keys"), "{said}");
        let text = member.status(&["peers"])?;
        assert!(text.contains("post-quantum"), "{text}");
    }
    Ok(())
}

/// RE6ST_REKEYS and RE6ST_RATE make it longer and heavier.
#[test]
fn keys_change_under_traffic_and_no_packet_is_lost() -> Result<()> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (_registry, [a, b]) = connected()?;
    let name = name(&b)?;
    let stream = stream(&a, &b, number("RE6ST_RATE").unwrap_or(5_000))?;
    let before = accepted_keys(&b)?;

    for _ in 0..number("RE6ST_REKEYS").unwrap_or(10) {
        a.about_peer(&[&name, "--reconnect"])?;
        wait_for("a new handshake", || {
            Ok(peer(&a)?["last-handshake"]["secs"] == 0)
        })?;
        std::thread::sleep(Duration::from_secs(1));
    }

    let datagrams = stream.finish()?;
    println!("{datagrams:?}");
    assert!(datagrams.is_perfect(), "{datagrams:?}");
    // a sender that the kernel moves to another CPU overtakes itself now and then, also without new keys
    assert!(
        datagrams.reordered * 10_000 <= datagrams.sent,
        "{datagrams:?}"
    );
    // whoever has read the keys of before has nothing any more
    wait_for("the end of the former keys", || {
        Ok(accepted_keys(&b)?.len() == 1)
    })?;
    assert_ne!(accepted_keys(&b)?, before);
    Ok(())
}

#[test]
fn what_the_network_has_signed_reaches_who_cannot_reach_the_registry() -> Result<()> {
    let (registry, [a, b]) = connected()?;
    let number = |member: &Member| {
        Ok::<_, anyhow::Error>(member.membership()?["parameters"]["number"].as_u64())
    };
    let (from, to) = (outer(&b)?, registry.uplink.ipv4);
    let cut = format!(
        "add table inet test;
        add chain inet test forward {{ type filter hook forward priority 0; }};
        add rule inet test forward ip saddr {from} ip daddr {to} drop;"
    );
    registry.router().run("nft", &[&cut])?;
    let before = number(&b)?;

    registry.set(&["hello-interval=2"])?;
    let serial = a.membership()?["certificate"]["serial"].to_string();

    wait_within(Duration::from_secs(20), "the parameters", || {
        Ok(number(&b)? > before && b.membership()?["parameters"]["hello-interval"] == 2.0)
    })
    .with_context(|| format!("{}\n---\n{}", a.said(), b.said()))?;

    // and that one of the two is no member any more, which it tells of itself
    registry.operate(&["cert", "revoke", &serial])?;
    wait_within(Duration::from_secs(20), "the revocation", || {
        Ok(b.membership()?["revocations"]["count"] == 1)
    })
    .with_context(|| format!("{}\n---\n{}", a.said(), b.said()))?;
    assert!(accepted_keys(&b)?.is_empty(), "{}", b.said());
    Ok(())
}

#[test]
fn a_killed_controllers_tunnel_forwards_on_and_is_taken_up_again() -> Result<()> {
    let (_registry, [mut a, b]) = connected()?;
    let stream = stream(&b, &a, 500)?;

    a.kill()?;
    std::thread::sleep(Duration::from_secs(2));
    a.start()?;
    wait_until_connected(&a)?;
    // longer than the keys of before are accepted
    std::thread::sleep(Duration::from_secs(12));

    let datagrams = stream.finish()?;
    assert!(datagrams.is_perfect(), "{datagrams:?}\n{}", a.said());
    a.reach(&b)?;
    Ok(())
}

#[test]
fn a_peer_that_moves_is_followed() -> Result<()> {
    let (registry, [a, b]) = connected()?;
    let before = peer(&b)?["address"].clone();
    let router = registry.router();
    router.ip(&["address", "add", "198.51.100.1/24", "dev", "a2"])?;
    a.host
        .ip(&["address", "add", "198.51.100.2/24", "dev", "eth0"])?;

    let old = format!("{}/30", outer(&a)?);
    a.host.ip(&["address", "delete", &old, "dev", "eth0"])?;
    a.host
        .ip(&["route", "replace", "default", "via", "198.51.100.1"])?;

    wait_for("the new address", || {
        let address = peer(&b)?["address"].clone();
        Ok(address != before && address.to_string().contains("198.51.100.2"))
    })
    .with_context(|| format!("{}\n{}", a.said(), b.said()))?;
    a.reach(&b)?;
    b.reach(&a)?;
    Ok(())
}

#[test]
fn both_ends_that_start_again_without_the_registry_know_each_other() -> Result<()> {
    let (mut registry, mut members) = connected()?;
    registry.stop(Signal::SIGTERM)?;

    members.iter_mut().try_for_each(Member::kill)?;
    for member in &members {
        // as after another boot: nothing is forwarded meanwhile
        let bpffs = member.host.bpffs();
        let bpffs = bpffs.to_str().context("a folder's name")?;
        run(
            &member.host,
            &["--bpffs", bpffs, "unload", "--instance", "re6st0"],
        )?
        .success()?;
    }
    members.iter_mut().try_for_each(Member::start)?;

    let [a, b] = &members;
    a.reach(b)?;
    b.reach(a)?;
    Ok(())
}
