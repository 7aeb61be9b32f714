//! Nodes that go for good: by themselves, or because they must.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use testbed::traffic::UdpStream;

use super::{all_reach_all, joined, name, wait_for_ways};

#[test]
fn who_leaves_says_so_and_what_it_relays_is_not_lost() -> Result<()> {
    let names = ["a", "b", "c", "d", "e"];
    let (_registry, mut members) = joined(&names, "client-count = 2\n")?;
    let mut leaving = members.pop().context("no node")?;
    let left = name(&leaving)?;
    let streams = members
        .iter()
        .zip(members.iter().cycle().skip(1))
        .map(|(from, to)| UdpStream::start(&from.host, &to.host, to.address()?.parse()?, 200, 100));
    let streams = streams.collect::<Result<Vec<_>>>()?;

    leaving.end(Signal::SIGINT)?;
    wait_for_ways(&members, 3)?;

    for stream in streams {
        let datagrams = stream.finish()?;
        assert!(datagrams.is_perfect(), "{datagrams:?}");
    }
    for member in &members {
        let said = member.said();
        let missed = format!("peer {left} does not answer");
        assert!(!said.contains(&missed), "{said}");
    }
    Ok(())
}

#[test]
fn who_is_revoked_is_cut_off_everywhere() -> Result<()> {
    let (registry, members) = joined(&["a", "b", "c", "d"], "")?;
    let (revoked, others) = members.split_last().context("no node")?;
    let serial = revoked.membership()?["certificate"]["serial"].to_string();

    registry.operate(&["cert", "revoke", &serial])?;

    wait_for_ways(others, 2)?;
    all_reach_all(others)?;
    let address = revoked.address()?;
    for other in others {
        let ping = ["-n", "-c", "2", "-W", "1", &address];
        assert!(!other.host.output("ping", &ping)?.status.success());
    }
    revoked.wait("its revocation", |standing| {
        standing["certificate"]["revoked"] == true
    })
}
